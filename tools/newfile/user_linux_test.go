package newfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A file that its own user may only read, as an upload makes of a read-only one, is
// no less a leftover. As root everything may be written: another user looks.
func TestSweepReadOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	var cannot error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if os.Geteuid() == 0 {
			_ = unix.Setfsuid(nobody)
			if is, _ := unix.SetfsuidRetUid(-1); is != nobody {
				cannot = errors.New("root is not another user here")
				return
			}
		}
		if _, cannot = os.Stat(dir); cannot != nil { // for another user
			return
		}
		left, err := Create(filepath.Join(dir, "left"), 0o444)
		if err != nil {
			t.Error(err)
			return
		}
		held, err := Create(filepath.Join(dir, "held"), 0o444)
		if err != nil {
			t.Error(err)
			return
		}
		left.Close()
		Sweep(dir)
		if got := names(t, dir); len(got) != 1 || got[0] != filepath.Base(held.Name()) {
			t.Errorf("there is %q", got)
		}
		held.Discard()
	}()
	<-done
	if cannot != nil {
		t.Skip(cannot)
	}
}
