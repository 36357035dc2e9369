package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/filelock"
)

// locked runs f while this process holds the agent's lock: a directory with
// the holder's process and machine in a file. Only the holder removes it; a
// lock whose holder, on this machine, is gone counts for nothing.
func (a *Agent) locked(ctx context.Context, f func() error) error {
	lock := filepath.Join(a.opts.Cache, a.opts.Repo+".lock")
	owner := filepath.Join(lock, "owner")
	host, err := os.Hostname()
	if err != nil {
		return fault.Unfit.Errorf("finding this machine's name: %w", err)
	}
	for try := 0; ; try++ {
		err := os.Mkdir(lock, 0o777)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return fault.Step.Errorf("locking %s: %w", a.opts.Repo, err)
		}
		by, _ := os.ReadFile(owner)
		if gone(string(by), host) {
			if err := breakLock(ctx, lock, host); err != nil {
				return fault.Step.Errorf("breaking the lock of %s: %w", a.opts.Repo, err)
			}
			continue
		}
		if try == 0 {
			a.opts.Infof("%s: waiting for the lock %s", a.opts.Repo, lock)
		}
		if try >= a.opts.LockTries {
			return fault.WithHint(fault.Step.Errorf("%s is locked by process and machine %q, and has been for %d tries", a.opts.Repo, strings.TrimSpace(string(by)), try),
				"if nothing runs there: rm -r %s", lock)
		}
		if err := a.opts.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	defer os.RemoveAll(lock)
	if err := os.WriteFile(owner, fmt.Appendf(nil, "%d %s\n", os.Getpid(), host), 0o666); err != nil {
		return fault.Step.Errorf("locking %s: %w", a.opts.Repo, err)
	}
	return f()
}

// breakLock removes a lock whose holder is gone. One process does so at a time,
// and looks again: by now it may be the lock of somebody who broke it before.
func breakLock(ctx context.Context, lock, host string) error {
	l, err := filelock.Get(ctx, lock+".break", nil)
	if err != nil {
		return err
	}
	defer l.Remove()
	by, err := os.ReadFile(filepath.Join(lock, "owner"))
	if err != nil || !gone(string(by), host) {
		return nil
	}
	return os.RemoveAll(lock)
}

// gone tells whether the lock's owner was a process of this machine and has
// ended. Of a lock without a name nothing is known.
func gone(owner, host string) bool {
	pid, machine, ok := strings.Cut(strings.TrimSpace(owner), " ")
	n, err := strconv.Atoi(pid)
	return ok && err == nil && n > 1 && machine == host && errors.Is(syscall.Kill(n, 0), syscall.ESRCH)
}
