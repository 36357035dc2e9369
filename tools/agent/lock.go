package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/filelock"
)

// locked runs f while this process holds the agent's lock. Ours is a lock on the
// file CACHE/.engbld-REPO.lock, which ends with its process, however that ends.
// CACHE/REPO.lock is there meanwhile for other tools, which make a directory of
// that name (spec engbld-interface.md section 4.4): a symbolic link, since that is
// made in one step with what tells it from theirs.
func (a *Agent) locked(ctx context.Context, f func() error) error {
	mark := filepath.Join(a.opts.Cache, a.opts.Repo+".lock")
	host, err := os.Hostname()
	if err != nil {
		return fault.Unfit.Errorf("finding this machine's name: %w", err)
	}
	var lock *filelock.Lock
	defer func() {
		if lock != nil {
			lock.Remove()
		}
	}()
	for try := 0; ; try++ {
		if lock == nil {
			if lock, err = filelock.Try(filepath.Join(a.opts.Cache, ".engbld-"+a.opts.Repo+".lock")); err != nil {
				return fault.Step.Errorf("locking %s: %w", a.opts.Repo, err)
			}
		}
		if lock != nil {
			err := setMark(mark, fmt.Sprintf("process %d on %s", os.Getpid(), host), lock.Holds())
			if err == nil {
				break
			}
			if !errors.Is(err, fs.ErrExist) {
				return fault.Step.Errorf("locking %s: %w", a.opts.Repo, err)
			}
		}
		if try == 0 {
			a.opts.Infof("%s: waiting for the lock %s", a.opts.Repo, mark)
		}
		if try >= a.opts.LockTries {
			by, err := os.Readlink(mark)
			if err != nil {
				by = "another tool"
			}
			return fault.WithHint(fault.Step.Errorf("%s is locked by %s, and has been for %d tries", a.opts.Repo, by, try),
				"if nothing runs there: rm -r %s", mark)
		}
		if err := a.opts.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	defer os.Remove(mark)
	return f()
}

// setMark makes the link. One that is there was left by a killed process of ours,
// if we hold the lock.
func setMark(mark, by string, held bool) error {
	err := os.Symlink(by, mark)
	if !held || !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, rerr := os.Readlink(mark); rerr != nil {
		return err // a directory, of another tool
	}
	if err := os.Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(by, mark)
}
