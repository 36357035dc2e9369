package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// remedy adds what can be done where a directory is full or may not be written, or
// descriptors have run out.
func (a *app) remedy(err error) error {
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	switch {
	case errors.Is(err, syscall.EMFILE):
		return fault.WithHint(err, "let it have more open files: ulimit -n 256")
	case !full && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS):
		return err
	}
	path := failedPath(err)
	if sandboxed := a.on("ENGBLD_SANDBOX"); path != "" {
		if cache, e := a.cacheRoot(sandboxed); e == nil && within(path, cache) {
			setting := "ENGBLD_CACHE_DIR"
			if sandboxed && a.env.Getenv("ENGBLD_SANDBOX_DIR") != "" {
				setting = "ENGBLD_SANDBOX_DIR"
			}
			if full {
				return fault.WithHint(err, "make room with \"engbld cache prune\", or set %s to a directory that has more", setting)
			}
			return fault.WithHint(err, "set %s to a directory that can be written", setting)
		}
	}
	if full && within(path, os.TempDir()) {
		return fault.WithHint(err, "set TMPDIR to a directory that has more room")
	}
	return err
}

// failedPath is what the operating system refused to write, "" if err does not
// tell.
func failedPath(err error) string {
	var one *fs.PathError
	var two *os.LinkError
	switch {
	case errors.As(err, &one):
		return one.Path
	case errors.As(err, &two):
		return two.New
	}
	return ""
}

// within tells whether path is dir or below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
