package frontdoor

import (
	"os"
	"strings"
	"testing"
)

// TestMain keeps blanks out of the paths of components, as make knows none in
// lists. Tests that are about blanks make their own.
func TestMain(m *testing.M) {
	if strings.ContainsAny(os.TempDir(), " \t") {
		os.Setenv("TMPDIR", "/tmp")
	}
	os.Exit(m.Run())
}
