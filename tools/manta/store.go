package manta

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/fault"
)

// Store keeps uploads below a directory. Pointers are text objects that hold
// the path of the upload (spec manta.md section 7).
type Store struct {
	c    *Client
	base string
}

var _ bits.Store = (*Store)(nil)

// NewStore returns the store at dest as bits-upload's -d names it: below
// /ACCOUNT if it begins with a slash, else below /ACCOUNT/stor (spec
// engbld-interface.md section 4.1).
func NewStore(c *Client, dest string) (*Store, error) {
	full := "/" + c.Account() + "/stor/" + dest
	switch {
	case strings.HasPrefix(dest, "/"):
		full = "/" + c.Account() + dest
	case strings.HasPrefix(dest, "~~/"):
		full = dest
	}
	base, err := c.Path(full)
	if err != nil {
		return nil, err
	}
	if area := strings.Split(base, "/")[2]; area != "stor" && area != "public" {
		return nil, fault.WithHint(fault.Usage.Errorf("object store: there is no place %s", base), "begin with /stor/ or /public/")
	}
	return &Store{c, base}, nil
}

func (s *Store) path(name string) string { return path.Join(s.base, name) }

// Address is the URL of what anybody can read, else the path.
func (s *Store) Address(name string) string {
	p := s.path(name)
	if strings.Split(p, "/")[2] == "public" {
		return s.c.URL(p)
	}
	return p
}

// Presign returns an address with which anybody may read name for so long. It
// is a secret.
func (s *Store) Presign(name string, lifetime time.Duration) (string, error) {
	return s.c.Presign(s.path(name), s.c.opts.Now().Add(lifetime))
}

func (s *Store) Stat(ctx context.Context, name string) (bits.Stat, error) {
	info, err := s.c.Info(ctx, s.path(name))
	switch {
	case err != nil:
		return bits.Stat{}, err
	case info.Dir:
		return bits.Stat{}, fault.Step.Errorf("object store %s: %s is there already and is a directory", s.c.Server(), s.path(name))
	case info.MD5 == nil:
		return bits.Stat{Size: info.Size}, nil
	}
	sum := bits.Sum(*info.MD5)
	return bits.Stat{Size: info.Size, Sum: &sum}, nil
}

func (s *Store) Sum(ctx context.Context, name string) (sum bits.Sum, err error) {
	body, _, err := s.c.Get(ctx, s.path(name))
	if err != nil {
		return sum, err
	}
	defer body.Close()
	h := md5.New()
	if _, err := io.Copy(h, body); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}

func (s *Store) Mkdir(ctx context.Context, name string) error { return s.c.Mkdir(ctx, s.path(name)) }

// Put reads the file twice: for its MD5, which goes before it, and to send it.
func (s *Store) Put(ctx context.Context, name string, f bits.File) (sum bits.Sum, err error) {
	open := func() (io.ReadCloser, error) { return os.Open(f.Path) }
	if sum, err = sumOf(ctx, open, f); err != nil {
		return sum, fault.Step.Wrap(fmt.Errorf("uploading %s to %s: %w", f.Path, s.path(name), err))
	}
	err = s.c.Put(ctx, s.path(name), Content{Open: open, Size: f.Size, MD5: sum})
	var changed *changedError
	var local *localError
	if errors.As(err, &changed) || errors.As(err, &local) {
		return sum, fault.Step.Errorf("uploading %s to %s: %w", f.Path, s.path(name), err)
	}
	return sum, err
}

func sumOf(ctx context.Context, open func() (io.ReadCloser, error), file bits.File) (sum bits.Sum, err error) {
	f, err := open()
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := bits.NewHash(file)
	buf := make([]byte, 256<<10)
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		k, err := f.Read(buf)
		h.Write(buf[:k])
		n += int64(k)
		if err == io.EOF {
			break
		}
		if err != nil {
			return sum, err
		}
	}
	if n != file.Size {
		return sum, fmt.Errorf("it changed while it was read: %d bytes became %d", file.Size, n)
	}
	return h.Sum()
}

func (s *Store) PutText(ctx context.Context, name, text string) error {
	return s.c.Put(ctx, s.path(name), Content{
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
		Size: int64(len(text)), MD5: md5.Sum([]byte(text)), Type: "text/plain",
	})
}

// Point lets the object name hold the path of the upload.
func (s *Store) Point(ctx context.Context, name, stamp string) error {
	if name == "" || strings.HasPrefix(name, ".") || strings.Contains(name, "/") {
		return fault.Usage.Errorf("%q cannot be the name of a pointer", name)
	}
	return s.PutText(ctx, name, s.path(stamp)+"\n")
}
