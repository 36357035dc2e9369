package buildenv

import "golang.org/x/sys/unix"

func free(dir string) (uint64, error) {
	var s unix.Statvfs_t
	if err := unix.Statvfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Frsize), nil
}
