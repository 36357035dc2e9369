package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// publish gives the files their final names, that of the manifest, which must be
// the last one, last. What has these names is put aside first, its manifest before
// the rest: at no moment a manifest stands beside files of another build. If one
// file cannot have its name, none keeps it, and what was there is there again.
func (o *output) publish(names ...string) error {
	for i, name := range slices.Backward(names) {
		if err := o.putAside(name); err != nil {
			o.restore(names[i+1:])
			return err
		}
	}
	for i, name := range names {
		if err := o.move(o.temp(name), o.final(name)); err != nil {
			for _, done := range names[:i] {
				os.Remove(o.final(done))
			}
			o.restore(names)
			return err
		}
	}
	for _, name := range names {
		os.Remove(o.aside(name)) // else the next build does
	}
	return nil
}

func (o *output) final(name string) string { return filepath.Join(o.dir, name) }

// aside is where the file waits that had the name. As that of the new one it cannot
// be foretold.
func (o *output) aside(name string) string {
	return o.final(tempPrefix + "old-" + strings.TrimPrefix(filepath.Base(o.temp(name)), tempPrefix) + ".part")
}

func (o *output) move(from, to string) error {
	if o.rename != nil {
		return o.rename(from, to)
	}
	return os.Rename(from, to)
}

func (o *output) putAside(name string) error {
	there, err := os.Lstat(o.final(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case there.IsDir():
		return fmt.Errorf("%s is a directory", o.final(name))
	}
	err = o.move(o.final(name), o.aside(name))
	if errors.Is(err, fs.ErrPermission) {
		err = fault.WithHint(err, "if it is another user's: have %s removed", shellWord(o.final(name)))
	}
	return err
}

// restore gives what was put aside its names again, the manifest last.
func (o *output) restore(names []string) {
	for _, name := range names {
		err := o.move(o.aside(name), o.final(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return // without its manifest what is back is no image
		}
	}
}
