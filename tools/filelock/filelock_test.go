package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
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
			if inside.Add(1) != 1 {
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

// Files that are being written stay; those of ended processes go, and so does
// nothing that Create did not make.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	held, err := Create(dir, ".p-", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	left, err := Create(dir, ".p-", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	left.Close()
	for _, other := range []string{".p-0123", ".p-x123456789abcdef", "p-0123456789abcdef", ".p-0123456789abcdef0"} {
		if err := os.WriteFile(filepath.Join(dir, other), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	Sweep(dir, ".p-")
	if _, err := os.Stat(held.Name()); err != nil {
		t.Errorf("a file that is being written: %v", err)
	}
	if _, err := os.Stat(left.Name()); !os.IsNotExist(err) {
		t.Errorf("a leftover: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 5 {
		t.Errorf("%d files, want 5", len(entries))
	}
	held.Close()
}

// Create and Sweep at once: nobody loses a file that is held.
func TestSweepBesideCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop := make(chan struct{})
	var sweepers, makers sync.WaitGroup
	for range 2 {
		sweepers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					Sweep(dir, ".p-")
				}
			}
		})
	}
	for range 4 {
		makers.Go(func() {
			for range 200 {
				f, err := Create(dir, ".p-", 0o600)
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.Rename(f.Name(), filepath.Join(dir, "done")); err != nil {
					t.Error(err)
				}
				f.Close()
			}
		})
	}
	makers.Wait()
	close(stop)
	sweepers.Wait()
}
