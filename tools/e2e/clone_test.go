package e2e

import (
	"testing"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

const (
	stampTime = checkout.StampTime
	theFlavor = "triton-origin-x86_64-24.4.1"
)

func TestMain(m *testing.M) { checkout.Main(m) }
