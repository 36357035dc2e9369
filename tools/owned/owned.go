// Package owned tells whether a directory is a user's own, so that what is in it
// cannot come from others who use the machine: directories such as /tmp and
// /var/tmp let everybody make a name first.
//
// Owners and permission bits count. Access control lists, and who may write to
// directories further up, are not looked at.
package owned

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// Make makes dir, an absolute path, for this user alone, or sees that the one
// there is so: a directory and no link, that nobody else may write to. Parents that
// are missing are made, too. Errors name dir.
func Make(dir string, uid int) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	fi, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !fi.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case Owner(fi) != uid:
		return fmt.Errorf("%s belongs to user %d, not to user %d", dir, Owner(fi), uid)
	case fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s is not this user's alone: others may write to it", dir)
	}
	return nil
}

// Tighten takes write permission from the group of a directory of the user's, which
// a umask of 002 has given. Anything else stays as it is, for Make to judge.
func Tighten(dir string, uid int) error {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.IsDir() || Owner(fi) != uid || fi.Mode().Perm()&0o022 != 0o020 {
		return err
	}
	return f.Chmod(fi.Mode() &^ 0o020)
}

// Check tells why what is in dir may be another's: dir stands where everybody can
// make names, and is a link, belongs to none of the users, or may be written to by
// everybody. Elsewhere it may be anything: whoever named it knows the place. Errors
// name dir; one that is not there is an error, too.
func Check(dir string, users []int) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	above := filepath.Dir(filepath.Clean(dir))
	if shared, err := Shared(above); err != nil || !shared {
		return err
	}
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		err = errors.New("it is a symbolic link")
	case !slices.Contains(users, Owner(fi)):
		err = fmt.Errorf("it belongs to user %d", Owner(fi))
	case fi.Mode().Perm()&0o002 != 0:
		err = errors.New("everybody may write to it")
	default:
		return nil
	}
	return fmt.Errorf("%s may be another user's, as everybody can write to %s: %w", dir, above, err)
}

// Shared tells whether everybody can make names in dir, as in /tmp.
func Shared(dir string) (bool, error) {
	fi, err := os.Stat(dir)
	return err == nil && fi.Mode().Perm()&0o002 != 0, err
}

// Users are those whose files this process takes for its user's own: the user it
// runs as and was started by, root, and who became root with sudo.
func Users(getenv func(string) string) []int {
	users := []int{os.Geteuid(), os.Getuid(), 0}
	if os.Geteuid() == 0 {
		if uid, err := strconv.Atoi(getenv("SUDO_UID")); err == nil {
			users = append(users, uid)
		}
	}
	return users
}

// Owner is the number of the user a file belongs to; -1 where files have none.
func Owner(fi fs.FileInfo) int {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
