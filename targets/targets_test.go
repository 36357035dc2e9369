package targets

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A make that is stopped has time to stop what it runs, and to remove what is half
// made.
func TestCommandStops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	up, done := filepath.Join(dir, "up"), filepath.Join(dir, "done")
	if err := unix.Mkfifo(up, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		os.ReadFile(up) // until the program is there
		cancel()
	}()
	err := command(ctx, "sh", "-c", `trap 'echo asked >"$2"; exit 3' TERM; echo up >"$1"; while :; do sleep 0.01; done`, "sh", up, done)
	if err == nil {
		t.Error("no error")
	}
	if got, err := os.ReadFile(done); err != nil || strings.TrimSpace(string(got)) != "asked" {
		t.Errorf("%q, %v", got, err)
	}
}
