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

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// Dir is a Store in a directory, of this machine or mounted on it. Pointers
// are relative symbolic links.
type Dir struct {
	base string
}

// OpenDir returns the store in the directory base, which is made when the first
// file is stored.
func OpenDir(base string) *Dir {
	return &Dir{filepath.Clean(base)}
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
	return fileSum(ctx, d.Address(name))
}

func (d *Dir) Mkdir(_ context.Context, name string) error {
	if err := os.MkdirAll(d.Address(name), 0o777); err != nil {
		return fault.Step.Errorf("making the upload's directory: %w", err)
	}
	return nil
}

// Put copies the file beside its place, with its mode, and renames it there.
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
	err = replace(dst, f.Mode|0o400, func(w *os.File) error {
		n, copied, err := copySummed(ctx, w, src)
		if err == nil && n != f.Size {
			err = fmt.Errorf("it changed while it was read: %d bytes became %d", f.Size, n)
		}
		sum = copied
		return err
	})
	return sum, err
}

// beside is the name under which dst is prepared. It is the same each time, so
// that the next run replaces what a killed one left.
func beside(dst string) string {
	h := md5.Sum([]byte(filepath.Base(dst)))
	return filepath.Join(filepath.Dir(dst), ".engbld-"+hex.EncodeToString(h[:8]))
}

// replace writes dst anew: on the disk before it has its name.
func replace(dst string, mode fs.FileMode, write func(*os.File) error) error {
	tmp := beside(dst)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, dst)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

func (d *Dir) PutText(_ context.Context, name, text string) error {
	if err := replaceText(d.Address(name), text); err != nil {
		return fault.Step.Errorf("writing %s: %w", d.Address(name), err)
	}
	return nil
}

// Point makes a new link beside the old one and renames it over that.
func (d *Dir) Point(_ context.Context, name, stamp string) error {
	link := d.Address(name)
	if filepath.Dir(link) != d.base || strings.HasPrefix(name, ".") {
		return fault.Usage.Errorf("%q cannot be the name of a pointer", name)
	}
	tmp := beside(link)
	err := os.Remove(tmp)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Symlink(stamp, tmp)
	}
	if err == nil {
		if err = os.Rename(tmp, link); err != nil {
			os.Remove(tmp)
		}
	}
	if err != nil {
		return fault.Step.Errorf("pointing %s to %s: %w", link, stamp, err)
	}
	return nil
}

func replaceText(dst, text string) error {
	return replace(dst, 0o666, func(w *os.File) error {
		_, err := io.WriteString(w, text)
		return err
	})
}
