package app

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
)

// remedy adds what can be done where a directory is full or may not be written,
// descriptors have run out, or a server is not reached.
func (a *app) remedy(err error) error {
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	switch {
	case errors.Is(err, syscall.EMFILE):
		return fault.WithHint(err, "let it have more open files: ulimit -n 256")
	case !full && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS):
		return unanswered(err)
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
	if full {
		return fault.WithHint(err, "make room where it goes, and run the same command again")
	}
	return err
}

// unanswered adds what can be done where a server does not answer, or not well.
func unanswered(err error) error {
	var op *net.OpError
	var status *fetch.StatusError
	switch {
	case fault.KindOf(err) != fault.Network:
	case errors.As(err, &op) && op.Op == "dial":
		return fault.WithHint(err, "see whether this machine reaches that server; HTTPS_PROXY and HTTP_PROXY name a proxy")
	case errors.As(err, &status) && status.Code >= 500, errors.Is(err, io.ErrUnexpectedEOF):
		return fault.WithHint(err, "the server or the way to it is in trouble: run the same command again later")
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
