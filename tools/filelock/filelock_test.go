package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
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
