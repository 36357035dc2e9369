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
// as who runs them.
func asNobody(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if os.Geteuid() == 0 {
			_ = unix.Setfsuid(65534)
		}
		f()
	}()
	<-done
}

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
	asNobody(func() {
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
	asNobody(func() {
		l, err := Try(path)
		if l != nil || !errors.Is(err, fs.ErrPermission) || !strings.Contains(fault.Hint(err), "chmod a+rw "+path) {
			t.Errorf("that nobody may open: %v, %v, hint %q", l, err, fault.Hint(err))
		}
	})
	if err := errors.Join(os.Remove(path), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	asNobody(func() {
		if l, err := Try(path); l != nil || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("where it cannot be made: %v, %v", l, err)
		}
	})
}
