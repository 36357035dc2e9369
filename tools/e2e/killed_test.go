package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

// TestKilledUploads ends an upload with publication at several lines of its story.
// The same command finishes it: one image, active, with its file; the pointer leads
// to a complete upload.
func TestKilledUploads(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	uuid := strings.TrimSpace(c.Run(t, []string{"TIMESTAMP=" + stampTime}, "tools/engbld.sh", "image", "build", theFlavor))
	program := strings.TrimSpace(c.Run(t, nil, "tools/engbld.sh", "--engbld-path"))
	args := []string{"bits-upload", "-b", "main", "-d", "/public/x", "-n", theFlavor, "-D", filepath.Join(c.Dir, "bits"), "-t", "main-1", "-p"}
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		for _, line := range []string{".imgmanifest (", ".zfs.gz (", "uploaded", "imported image", "added the file", "published image"} {
			t.Run(fmt.Sprintf("%v at %s", sig, line), func(t *testing.T) {
				own := []string{"ENGBLD_SANDBOX_DIR=" + t.TempDir(), "ENGBLD_ROOT=" + c.Dir}
				cmd := c.Command(own, program, args...)
				signalAt(t, cmd, sig, line)
				if code := cmd.ProcessState.ExitCode(); sig == syscall.SIGINT && code != 130 && code != 0 {
					t.Errorf("exit %d, want 130, or 0 if it was done", code)
				}
				c.Run(t, own, program, args...)
				got := c.Run(t, own, program, "imgadm", "-C", "*", "list", "-a", "-H", "-o", "uuid,state,channels,size", "name=~triton-origin-")
				if f := strings.Fields(got); len(f) != 4 || f[0] != uuid || f[1] != "active" || f[2] != "dev" || f[3] == "-" {
					t.Errorf("on the server: %q", got)
				}
				_, stderr, _ := c.Try(t, own, program, args...)
				if !strings.Contains(stderr, "uploaded 0 of 3 files") || !strings.Contains(stderr, "already, in dev") {
					t.Errorf("it was not finished:\n%s", stderr)
				}
			})
		}
	}
}
