//go:build unix

package imgstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

const lockPoll = 50 * time.Millisecond

// lock keeps other builds from making the same image, goroutines and
// processes alike; it waits until ctx ends. On file systems that know no locks
// it does nothing: builds then do the same work twice, each under names of its
// own.
func (s *Store) lock(ctx context.Context, uuid string) (unlock func(), err error) {
	for told := false; ; {
		unlock, ok, err := s.tryLock(uuid)
		if err != nil || ok {
			return unlock, err
		}
		if !told {
			s.opts.Log.Infof("image %s: waiting for another build that is getting it", uuid)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// tryLock does not wait; ok is false if someone else holds the lock.
func (s *Store) tryLock(uuid string) (unlock func(), ok bool, err error) {
	f, err := os.OpenFile(filepath.Join(s.locks(), uuid), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, false, fault.Step.Errorf("image cache: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			break
		}
	}
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, false, f.Close()
	case err != nil && !errors.Is(err, syscall.ENOLCK) && !errors.Is(err, syscall.ENOSYS) && !errors.Is(err, errors.ErrUnsupported):
		f.Close()
		return nil, false, fault.Step.Errorf("image cache: locking %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, true, nil // closing unlocks
}
