// Package filelock keeps processes, and goroutines of one process, from doing
// the same work at once: an advisory lock on a file that ends with its process,
// however that ends. On file systems that know no locks everyone gets the lock;
// users must stay correct then, only slower.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

const (
	firstPoll = time.Millisecond
	poll      = 50 * time.Millisecond // at most, for what takes long anyway
	maxTries  = 1000                  // to find the file still there after locking it
	maxOpens  = 10                    // of a file that is another's, and then is gone
)

// Lock is a lock that is held.
type Lock struct {
	f     *os.File
	holds bool
}

// Holds tells whether others are kept out: not on file systems that know no locks.
func (l *Lock) Holds() bool { return l.holds }

// Get waits for the lock on the file at path, which is made where missing.
// waiting is called once if somebody else has it; it may be nil.
func Get(ctx context.Context, path string, waiting func()) (*Lock, error) {
	for wait := firstPoll; ; wait = min(2*wait, poll) {
		l, err := Try(path)
		if l != nil || err != nil {
			return l, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// Try takes the lock, or returns nil at once where somebody else has it.
func Try(path string) (*Lock, error) {
	for tries := 0; ; tries++ {
		f, err := open(path)
		if err != nil {
			return nil, err
		}
		have, err := f.Stat()
		if err == nil && !have.Mode().IsRegular() {
			err = fault.WithHint(fmt.Errorf("locking %s: it is no file", path), "remove it, if it is not of use")
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		held := Hold(f)
		switch {
		case errors.Is(held, ErrHeld):
			return nil, f.Close()
		case held != nil && !errors.Is(held, errors.ErrUnsupported):
			f.Close()
			return nil, hint(held, path)
		}
		// Remove may have taken the file away between opening and locking.
		stands, err := os.Lstat(path)
		same := err == nil && os.SameFile(have, stands)
		if same || tries == maxTries { // a file system whose files are never the same
			return &Lock{f, held == nil}, nil
		}
		f.Close()
	}
}

// open opens the file of a lock, or makes it; a symbolic link at its name is never
// followed. What another user made may perhaps be read only, which is enough for a
// lock on most file systems.
func open(path string) (*os.File, error) {
	for tries := 0; ; tries++ {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o666)
		switch {
		case errors.Is(err, syscall.ELOOP):
			return nil, fault.WithHint(fmt.Errorf("locking %s: it is a symbolic link", path), "remove it, if it is not of use")
		case !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS):
			return f, err
		}
		f, readErr := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		switch {
		case readErr == nil:
			return f, nil
		case !errors.Is(readErr, fs.ErrNotExist):
			return nil, hint(err, path)
		case tries == maxOpens: // it is not there, and may not be made
			return nil, err
		}
	}
}

// hint says what can be done about the lock of another user.
func hint(err error, path string) error {
	return fault.WithHint(err, "its owner lets others use it with: chmod a+rw %s", path)
}

// Release gives the lock back; the file stays.
func (l *Lock) Release() {
	// A program that is being started has all our files open until it runs: closing
	// alone would leave the lock with it for that instant.
	_ = syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN) // closed at once anyway
	l.f.Close()
}

// Remove takes the file away and gives the lock back.
func (l *Lock) Remove() {
	os.Remove(l.f.Name())
	l.Release()
}

// ErrHeld is a lock that somebody else has.
var ErrHeld = errors.New("somebody else has the lock")

// Hold takes the lock on an open file, which lasts until that is closed, or
// returns ErrHeld. errors.ErrUnsupported is a file system that knows no locks.
func Hold(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrHeld
		case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOSYS), errors.Is(err, errors.ErrUnsupported):
			return errors.ErrUnsupported
		default:
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		}
	}
}
