package newfile

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// unnamed returns nil where the file system cannot do it. Any other reason is
// found by the next attempt, too.
func unnamed(dir, name string) *os.File {
	for {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), filepath.Join(dir, name))
		case unix.EINTR:
		default:
			return nil
		}
	}
}
