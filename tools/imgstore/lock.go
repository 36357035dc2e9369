package imgstore

import (
	"context"
	"path/filepath"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/filelock"
)

// lock keeps other builds from making the same image, goroutines and
// processes alike; it waits until ctx ends. Where the file system knows no
// locks builds do the same work twice, each under names of its own.
func (s *Store) lock(ctx context.Context, uuid string) (unlock func(), err error) {
	l, err := filelock.Get(ctx, filepath.Join(s.locks(), uuid), func() {
		s.opts.Log.Infof("image %s: waiting for another build that is getting it", uuid)
	})
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, err
	case err != nil:
		return nil, fault.Step.Errorf("image cache: %w", err)
	}
	return l.Release, nil
}

// tryLock does not wait; ok is false if someone else holds the lock.
func (s *Store) tryLock(uuid string) (unlock func(), ok bool, err error) {
	l, err := filelock.Try(filepath.Join(s.locks(), uuid))
	if l == nil || err != nil {
		return nil, false, fault.Step.Wrap(err)
	}
	return l.Release, true, nil
}
