package mantaserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Server is a running server.
type Server struct {
	http  *http.Server
	url   string
	close func() error
}

// Start serves on a free port of 127.0.0.1, without TLS, until Close or until
// ctx is done.
func Start(ctx context.Context, o Options) (*Server, error) {
	o.PlainHTTP = true
	h, err := New(o)
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("object store: listening on the loopback interface: %w", err)
	}
	s := &Server{http: &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}, url: "http://" + l.Addr().String()}
	s.close = sync.OnceValue(s.http.Close)
	context.AfterFunc(ctx, func() { _ = s.close() })
	go func() { _ = s.http.Serve(l) }() // ends with ErrServerClosed
	return s, nil
}

// URL returns the server's address, without a final slash.
func (s *Server) URL() string { return s.url }

// Close stops the server; what is stored stays.
func (s *Server) Close() error { return s.close() }

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
	f, err := os.CreateTemp(keys, ".engbld-*")
	if err != nil {
		return fmt.Errorf("object store: %w", err)
	}
	defer os.Remove(f.Name()) // gone already if all went well
	_, err = f.WriteString(string(old) + line)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("object store: %w", err)
	}
	return nil
}
