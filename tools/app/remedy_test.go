package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
)

func TestRemedy(t *testing.T) {
	t.Parallel()
	at := func(path string, err error) error {
		return fmt.Errorf("fetching x: %w", &fs.PathError{Op: "write", Path: path, Err: err})
	}
	for _, tc := range []struct {
		name    string
		err     error
		sandbox string // ENGBLD_SANDBOX_DIR
		want    string
	}{
		{"full cache", at("/cache/packages/x", syscall.ENOSPC), "", `make room with "engbld cache prune", or set ENGBLD_CACHE_DIR to a directory that has more`},
		{"cache that is read only", at("/cache/packages/x", syscall.EROFS), "", "set ENGBLD_CACHE_DIR to a directory that can be written"},
		{"cache of somebody else", at("/cache/packages/x", syscall.EACCES), "", "set ENGBLD_CACHE_DIR to a directory that can be written"},
		{"cache of the sandbox", at("/box/server", syscall.EROFS), "/box", "set ENGBLD_SANDBOX_DIR to a directory that can be written"},
		{"a link", &os.LinkError{Op: "rename", Old: "/elsewhere", New: "/cache/x", Err: syscall.EDQUOT}, "", `make room with "engbld cache prune", or set ENGBLD_CACHE_DIR to a directory that has more`},
		{"full temporary directory", at(filepath.Join(os.TempDir(), ".engbld-spool-1"), syscall.ENOSPC), "", "set TMPDIR to a directory that has more room"},
		{"full elsewhere", at("/cache2/x", syscall.ENOSPC), "", "make room where it goes, and run the same command again"},
		{"descriptors", at("/elsewhere", syscall.EMFILE), "", "let it have more open files: ulimit -n 256"},
		{"the nearer hint", fault.WithHint(at("/cache/x", syscall.EROFS), "do this"), "", "do this"},
		{"nobody answers", fault.Network.Wrap(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), "", "see whether this machine reaches that server; HTTPS_PROXY and HTTP_PROXY name a proxy"},
		{"a server in trouble", fault.Network.Wrap(&fetch.StatusError{Code: 503}), "", "the server or the way to it is in trouble: run the same command again later"},
		{"a file that is not there", fault.Network.Wrap(&fetch.StatusError{Code: 404}), "", ""},
		{"something else", errors.New("x"), "", ""},
	} {
		env := map[string]string{"ENGBLD_CACHE_DIR": "/cache", "ENGBLD_SANDBOX_DIR": tc.sandbox}
		if tc.sandbox != "" {
			env["ENGBLD_SANDBOX"] = "true"
		}
		a := &app{env: Env{Getenv: func(name string) string { return env[name] }}}
		got := a.remedy(tc.err)
		if h := fault.Hint(got); h != tc.want {
			t.Errorf("%s: hint %q, want %q", tc.name, h, tc.want)
		}
		if got.Error() != tc.err.Error() {
			t.Errorf("%s: the error became %q", tc.name, got)
		}
	}
}
