package bits

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// Dir is a Store in a directory, of this machine or mounted on it. Pointers
// are relative symbolic links.
type Dir struct {
	base  string
	swept sync.Map // directories without leftovers of killed uploads
}

// prefix of the names of what is not complete.
const prefix = ".engbld-"

// OpenDir returns the store in the directory base, which is made when the first
// file is stored.
func OpenDir(base string) *Dir {
	return &Dir{base: filepath.Clean(base)}
}

func (d *Dir) Address(name string) string {
	return filepath.Join(d.base, filepath.FromSlash(name))
}

func (d *Dir) Stat(_ context.Context, name string) (Stat, error) {
	info, err := os.Lstat(d.Address(name))
	if errors.Is(err, fs.ErrNotExist) {
		return Stat{}, err
	}
	if err != nil {
		return Stat{}, fault.Step.Errorf("looking at what is in the store: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Stat{}, fault.Step.Errorf("%s is there already and is no file", d.Address(name))
	}
	return Stat{Size: info.Size()}, nil
}

func (d *Dir) Sum(ctx context.Context, name string) (Sum, error) {
	return fileSum(ctx, File{Path: d.Address(name)})
}

func (d *Dir) Mkdir(_ context.Context, name string) error {
	if err := os.MkdirAll(d.Address(name), 0o777); err != nil {
		return fault.Step.Errorf("making the upload's directory: %w", err)
	}
	return nil
}

// Put copies the file beside its place, with its mode, and renames it there.
// Others may do the same at the same time; the last one wins.
func (d *Dir) Put(ctx context.Context, name string, f File) (sum Sum, err error) {
	defer func() {
		if err != nil {
			err = fault.Step.Wrap(fmt.Errorf("uploading %s to %s: %w", f.Path, d.Address(name), err))
		}
	}()
	src, err := os.Open(f.Path)
	if err != nil {
		return sum, err
	}
	defer src.Close()
	dst := d.Address(name)
	if err := os.MkdirAll(filepath.Dir(dst), 0o777); err != nil {
		return sum, err
	}
	d.sweep(filepath.Dir(dst))
	err = newfile.FillSwept(dst, f.Mode|0o400, func(w *os.File) error {
		h := NewHash(f)
		n, err := copySummed(ctx, w, src, h)
		if err == nil && n != f.Size {
			err = fmt.Errorf("it changed while it was read: %d bytes became %d", f.Size, n)
		}
		if err == nil {
			sum, err = h.Sum()
		}
		return err
	})
	return sum, err
}

// sweep removes the files that killed uploads left in a directory, once.
func (d *Dir) sweep(dir string) {
	if _, done := d.swept.LoadOrStore(dir, true); !done {
		newfile.Sweep(dir)
	}
}

func (d *Dir) PutText(_ context.Context, name, text string) error {
	d.sweep(filepath.Dir(d.Address(name)))
	if err := replaceText(d.Address(name), text); err != nil {
		return fault.Step.Errorf("writing %s: %w", d.Address(name), err)
	}
	return nil
}

// Point makes a new link beside the old one and renames it over that. Others
// may do the same at the same time under the same name: whoever loses it to
// another begins again.
func (d *Dir) Point(_ context.Context, name, stamp string) error {
	link := d.Address(name)
	if filepath.Dir(link) != d.base || strings.HasPrefix(name, ".") {
		return fault.Usage.Errorf("%q cannot be the name of a pointer", name)
	}
	h := md5.Sum([]byte(name))
	tmp := filepath.Join(d.base, prefix+hex.EncodeToString(h[:8]))
	const tries = 1000
	var err error
	for range tries {
		if err = os.Symlink(stamp, tmp); errors.Is(err, fs.ErrExist) {
			if err = os.Remove(tmp); err == nil || errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		if err != nil {
			break
		}
		if err = os.Rename(tmp, link); err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			os.Remove(tmp)
			break
		}
	}
	return fault.Step.Errorf("pointing %s to %s: %w", link, stamp, err)
}

func replaceText(dst, text string) error {
	return newfile.FillSwept(dst, 0o666, func(w *os.File) error {
		_, err := io.WriteString(w, text)
		return err
	})
}
