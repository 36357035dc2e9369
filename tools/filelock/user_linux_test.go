package filelock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// asNobody calls f as a user who owns nothing; where the tests do not run as root,
// as who runs them. Where root cannot be another user, or another cannot come to
// dir, the test is skipped.
func asNobody(t *testing.T, dir string, f func()) {
	t.Helper()
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
		if _, cannot = os.Stat(dir); cannot == nil {
			f()
		}
	}()
	<-done
	if cannot != nil {
		t.Skip(cannot)
	}
}

const nobody = 65534

// The lock that another user made is waited for and taken as one's own; one that
// cannot be used says what to do.
func TestOfAnotherUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "lock")
	l, err := Try(path)
	if err != nil || l == nil {
		t.Fatalf("Try = %v, %v", l, err)
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	asNobody(t, dir, func() {
		if f, err := os.OpenFile(path, os.O_RDWR, 0); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("the test is none: %v, %v", f, err)
		}
		if l, err := Try(path); l != nil || err != nil {
			t.Errorf("while it is held: Try = %v, %v", l, err)
		}
		l.Release()
		l, err := Try(path)
		if err != nil || l == nil {
			t.Errorf("when it is free: Try = %v, %v", l, err)
			return
		}
		if again, err := Try(path); again != nil || err != nil {
			t.Errorf("while we hold it: Try = %v, %v", again, err)
		}
		l.Release()
	})
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	asNobody(t, dir, func() {
		l, err := Try(path)
		if l != nil || !errors.Is(err, fs.ErrPermission) || !strings.Contains(fault.Hint(err), "chmod a+rw "+path) {
			t.Errorf("that nobody may open: %v, %v, hint %q", l, err, fault.Hint(err))
		}
	})
	if err := errors.Join(os.Remove(path), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	asNobody(t, dir, func() {
		if l, err := Try(path); l != nil || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("where it cannot be made: %v, %v", l, err)
		}
	})
}

// Where the file cannot be made that is soon known: over a network each attempt
// takes its time. (Not parallel: allocations are counted.)
func TestNoPlace(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	asNobody(t, dir, func() {
		if n := testing.AllocsPerRun(1, func() { Try(filepath.Join(dir, "lock")) }); n > 500 {
			t.Errorf("it takes %v allocations", n)
		}
	})
}
