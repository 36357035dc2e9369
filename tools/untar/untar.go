// Package untar unpacks tar archives, compressed with gzip or bzip2, into
// directories: files, directories and links with their modes and times, owned by
// the one who unpacks them. Devices and the like are errors, and so is an archive
// with more than a million entries or 16 GiB.
package untar

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

const (
	maxEntries = 1 << 20
	maxBytes   = 16 << 30
)

// File unpacks the archive name into the directory to, which is made. Nothing is
// written outside to, whatever the archive says; an entry replaces what is there.
func File(ctx context.Context, name, to string) error {
	if err := file(ctx, name, to); err != nil {
		return fault.Step.Wrap(fmt.Errorf("unpacking %s into %s: %w", name, to, err))
	}
	return nil
}

// Check reads the archive name to its end. What it lacks or holds too much of is an
// error; one of reading the file itself is an *fs.PathError.
func Check(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var total int64
	return entries(ctx, f, func(h *tar.Header, r io.Reader) error {
		n, err := io.Copy(io.Discard, io.LimitReader(r, maxBytes-total+1))
		if total += n; err == nil && total > maxBytes {
			err = errTooMuch
		}
		return err
	})
}

var errTooMuch = fmt.Errorf("the archive holds more than %d bytes", int64(maxBytes))

func file(ctx context.Context, name, to string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	u := unpacker{root: root}
	if err := entries(ctx, f, u.entry); err != nil {
		return err
	}
	return u.finish()
}

// entries calls each for every entry of a compressed archive, and reads on to the
// checksum at its end.
func entries(ctx context.Context, f io.Reader, each func(*tar.Header, io.Reader) error) error {
	br := bufio.NewReaderSize(f, 1<<16)
	magic, _ := br.Peek(3)
	var r io.Reader = br
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		gz, err := gzip.NewReader(br)
		if err != nil {
			return err
		}
		r = gz
	case string(magic) == "BZh":
		r = bzip2.NewReader(br)
	default:
		return errors.New("it is compressed with neither gzip nor bzip2")
	}
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if n >= maxEntries {
			return fmt.Errorf("it has more than %d entries", maxEntries)
		}
		if err := each(h, tr); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	// The checksum comes after the archive's end.
	_, err := io.Copy(io.Discard, io.LimitReader(r, maxBytes))
	return err
}

// unpacker writes entries below root.
type unpacker struct {
	root *os.Root
	n    int64
	dirs []dir // whose mode is set last: it may forbid writing
}

type dir struct {
	name string
	mode fs.FileMode
}

func (u *unpacker) entry(h *tar.Header, r io.Reader) error {
	name := path.Clean(strings.TrimLeft(h.Name, "/"))
	if name == "." && h.Typeflag == tar.TypeDir {
		return nil
	}
	if !fs.ValidPath(name) || name == "." {
		return errors.New("the name leads outside")
	}
	mode := h.FileInfo().Mode()
	if h.Typeflag == tar.TypeDir {
		u.dirs = append(u.dirs, dir{strings.Clone(name), mode}) // it may be a part of a whole header
		return u.root.MkdirAll(name, 0o755)
	}
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeXGlobalHeader {
		if err := u.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		n, err := io.Copy(f, io.LimitReader(r, maxBytes-u.n+1))
		if u.n += n; err == nil && u.n > maxBytes {
			err = errTooMuch
		}
		if err == nil {
			err = f.Chmod(mode)
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		return u.root.Chtimes(name, h.ModTime, h.ModTime)
	case tar.TypeSymlink:
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		to := path.Clean(strings.TrimLeft(h.Linkname, "/"))
		if !fs.ValidPath(to) {
			return errors.New("the link leads outside")
		}
		return u.root.Link(to, name)
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("it is of a kind (%q) that is no part of an agent", h.Typeflag)
	}
}

func (u *unpacker) finish() error {
	for i := len(u.dirs) - 1; i >= 0; i-- {
		if err := u.root.Chmod(u.dirs[i].name, u.dirs[i].mode); err != nil {
			return err
		}
	}
	return nil
}
