package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOnlyOneHolds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	var wg sync.WaitGroup
	var inside, count atomic.Int32
	for range 20 {
		wg.Go(func() {
			l, err := Get(context.Background(), path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if !l.Holds() || inside.Add(1) != 1 {
				t.Error("two hold the lock")
			}
			even := count.Add(1)%2 == 0
			runtime.Gosched()
			inside.Add(-1)
			if even {
				l.Remove()
			} else {
				l.Release()
			}
		})
	}
	wg.Wait()
	if n := count.Load(); n != 20 {
		t.Errorf("%d got the lock, want 20", n)
	}
}

// A lock that is given back is free at once, also while a program is being started,
// which has the file open, too, until it runs.
func TestFreeAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	for _, giveBack := range []func(*Lock){(*Lock).Release, (*Lock).Remove} {
		l, err := Try(path)
		if err != nil || l == nil {
			t.Fatalf("Try = %v, %v", l, err)
		}
		child, err := syscall.Dup(int(l.f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		giveBack(l)
		again, err := Try(path)
		if err != nil || again == nil {
			t.Fatalf("Try = %v, %v after it was given back", again, err)
		}
		again.Release()
		if err := syscall.Close(child); err != nil {
			t.Error(err)
		}
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	l, err := Try(path)
	if err != nil || l == nil {
		t.Fatalf("Try = %v, %v", l, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	told := 0
	if _, err := Get(ctx, path, func() { told++ }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get = %v, want the context's end", err)
	}
	if told != 1 {
		t.Errorf("told %d times, want once", told)
	}
	l.Remove()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

// What is no file of its own is no lock, and nothing is made where a link leads.
func TestNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, target := filepath.Join(dir, "lock"), filepath.Join(dir, "target")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if l, err := Try(path); l != nil || err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link to nothing: %v, %v", l, err)
	}
	if _, err := os.Lstat(target); !os.IsNotExist(err) {
		t.Errorf("the link was followed: %v", err)
	}
	if err := os.WriteFile(target, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if l, err := Try(path); l != nil || err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link to a file: %v, %v", l, err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	if l, err := Try(pipe); l != nil || err == nil {
		t.Errorf("a pipe: %v, %v", l, err)
	}
}
