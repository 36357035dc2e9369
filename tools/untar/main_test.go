package untar

import (
	"os"
	"syscall"
	"testing"
)

// TestMain: the files that tests begin with have the modes they ask for.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}
