package mantaserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/sandbox/loopback"
)

// Start serves on a free port of 127.0.0.1, without TLS, until it is closed or
// until ctx is done; what is stored stays.
func Start(ctx context.Context, o Options) (*loopback.Server, error) {
	o.PlainHTTP = true
	h, err := New(o)
	if err != nil {
		return nil, err
	}
	s, err := loopback.Serve(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	return s, nil
}

// AddUser makes an account of a server whose Options have this Dir and no Keys,
// or gives it another key.
func AddUser(dir, account string, key ssh.PublicKey) error {
	if account == "" || account != filepath.Base(account) || strings.HasPrefix(account, ".") {
		return fmt.Errorf("object store: %q is not an account's name", account)
	}
	keys := filepath.Join(dir, "keys")
	if err := os.MkdirAll(keys, 0o755); err != nil {
		return fmt.Errorf("object store: %w", err)
	}
	name := filepath.Join(keys, account+".keys")
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("object store: %w", err)
	}
	line := string(ssh.MarshalAuthorizedKey(key))
	if strings.Contains(string(old), line) {
		return nil
	}
	if err := newfile.Write(name, []byte(string(old)+line), 0o600); err != nil {
		return fmt.Errorf("object store: %w", err)
	}
	return nil
}
