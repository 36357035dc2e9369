package frontdoor

import (
	"testing"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

func TestMain(m *testing.M) { checkout.Main(m) }
