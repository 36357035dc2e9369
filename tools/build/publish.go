package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// publish gives the files their final names, that of the manifest, which must be
// the last one, last. What has these names is put aside first, its manifest before
// the rest: at no moment a manifest stands beside files of another build. If one
// file cannot have its name, none keeps it, and what was there is there again.
func (o *output) publish(names ...string) error {
	for i := len(names) - 1; i >= 0; i-- {
		if err := o.putAside(i, names[i]); err != nil {
			o.restore(names, i+1)
			return err
		}
	}
	for i, name := range names {
		if err := o.move(o.temp(name), o.final(name)); err != nil {
			for _, done := range names[:i] {
				os.Remove(o.final(done))
			}
			o.restore(names, 0)
			return err
		}
	}
	for i := range names {
		os.Remove(o.aside(i)) // else the next build does
	}
	return nil
}

func (o *output) final(name string) string { return filepath.Join(o.dir, name) }

// aside is where the file waits that had the name number i.
func (o *output) aside(i int) string { return o.temp(fmt.Sprintf("old-%d", i)) }

func (o *output) move(from, to string) error {
	if o.rename != nil {
		return o.rename(from, to)
	}
	return os.Rename(from, to)
}

func (o *output) putAside(i int, name string) error {
	there, err := os.Lstat(o.final(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case there.IsDir():
		return fmt.Errorf("%s is a directory", o.final(name))
	}
	return o.move(o.final(name), o.aside(i))
}

// restore gives what was put aside its names again, from number first on, the
// manifest last.
func (o *output) restore(names []string, first int) {
	for i := first; i < len(names); i++ {
		err := o.move(o.aside(i), o.final(names[i]))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return // without its manifest what is back is no image
		}
	}
}
