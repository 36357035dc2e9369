package app

import (
	"os"
	"syscall"
)

// ownDir tells whether dir is a directory of this user. A link to one does for
// a home, but not for what stands in a directory everybody can write to.
func ownDir(stat func(string) (os.FileInfo, error), dir string) bool {
	fi, err := stat(dir)
	if err != nil || !fi.IsDir() {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}
