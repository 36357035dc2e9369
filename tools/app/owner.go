package app

import (
	"os"

	"github.com/TritonDataCenter/engbld/tools/owned"
)

// ownDir tells whether dir is a directory of this user, or a link to one.
func ownDir(dir string) bool {
	fi, err := os.Stat(dir)
	return err == nil && fi.IsDir() && owned.Owner(fi) == os.Getuid()
}
