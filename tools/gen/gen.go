package gen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// file is one generated file: its path below the root, and what it should hold
// given what it holds now (nil if it does not exist). A nil result leaves it alone.
type file struct {
	path string
	make func(set *flavor.Set, now []byte) ([]byte, error)
}

func files(set *flavor.Set) []file {
	whole := func(f func(*flavor.Set) ([]byte, error)) func(*flavor.Set, []byte) ([]byte, error) {
		return func(s *flavor.Set, _ []byte) ([]byte, error) { return f(s) }
	}
	list := []file{
		{"README.md", readme},
		{"images/Jenkinsfile", whole(jenkinsfile)},
		{"images/flavors.mk", whole(wrappers)},
		{"magefile.go", aliases},
		{"targets/zz_flavors.go", whole(targets)},
		{"tools/buildenv.maps", whole(maps)},
	}
	for _, f := range set.Flavors {
		list = append(list, file{"images/" + f.Name + "/Makefile", func(s *flavor.Set, _ []byte) ([]byte, error) {
			return imageMakefile(s, f)
		}})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].path < list[j].path })
	return list
}

// each calls visit with every file that is not what it should be; want is nil
// for one that should not be there: the Makefile of a flavor that is gone.
func each(root string, visit func(path string, now, want []byte) error) error {
	set, err := flavor.Load(os.DirFS(filepath.Join(root, "images")))
	if err != nil {
		return err
	}
	for _, f := range files(set) {
		now, want, err := f.compare(root, set)
		if err != nil {
			return err
		}
		if want == nil {
			continue
		}
		if err := visit(f.path, now, want); err != nil {
			return err
		}
	}
	left, err := filepath.Glob(filepath.Join(root, "images", "*", "Makefile"))
	if err != nil {
		return fault.Step.Errorf("generated files: %w", err)
	}
	for _, full := range left {
		name := filepath.Base(filepath.Dir(full))
		if slices.Contains(set.Names(), name) {
			continue
		}
		now, err := os.ReadFile(full)
		if err != nil {
			return fault.Step.Errorf("generated file: %w", err)
		}
		if !bytes.HasPrefix(now, []byte(header)) {
			continue // somebody's own
		}
		if err := visit("images/"+name+"/Makefile", now, nil); err != nil {
			return err
		}
	}
	return nil
}

// compare returns what a file below root holds (nil if there is none) and what it
// should; want is nil where that is the same.
func (f *file) compare(root string, set *flavor.Set) (now, want []byte, err error) {
	now, err = os.ReadFile(filepath.Join(root, f.path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fault.Step.Errorf("generated file: %w", err)
	}
	if want, err = f.make(set, now); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.path, err)
	}
	if now != nil && bytes.Equal(now, want) {
		want = nil
	}
	return now, want, nil
}

// Current tells whether one generated file is what the flavor files say; an
// error of kind fault.Drift says that it is not.
func Current(root, path string) error {
	set, err := flavor.Load(os.DirFS(filepath.Join(root, "images")))
	if err != nil {
		return err
	}
	all := files(set)
	i := slices.IndexFunc(all, func(f file) bool { return f.path == path })
	if i < 0 {
		return nil
	}
	_, want, err := all[i].compare(root, set)
	if err == nil && want != nil {
		err = fault.WithHint(fault.Drift.Errorf("%s is not what the flavor files say", path), "make gen")
	}
	return err
}

// Write brings every generated file below root up to date, from the flavor files
// in root/images. It returns the paths of those it wrote, sorted.
func Write(root string) (changed []string, err error) {
	err = each(root, func(path string, _, want []byte) error {
		full := filepath.Join(root, path)
		changed = append(changed, path)
		if want == nil {
			return fault.Step.Wrap(os.Remove(full))
		}
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			return fault.Step.Errorf("generated file: %w", err)
		}
		if err := newfile.Write(full, want, 0o644); err != nil {
			return fault.Step.Errorf("writing %s: %w", path, err)
		}
		return nil
	})
	return changed, err
}

// Check writes to w, as a unified diff, what Write would change; an error of kind
// fault.Drift says that there is something.
func Check(root string, w io.Writer) error {
	n := 0
	err := each(root, func(path string, now, want []byte) error {
		n++
		from, to := path, path+" (generated)"
		if now == nil {
			from = "/dev/null"
		}
		if want == nil {
			to = "/dev/null"
		}
		diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
			A: difflib.SplitLines(string(now)), B: difflib.SplitLines(string(want)),
			FromFile: from, ToFile: to, Context: 3,
		})
		if err == nil {
			_, err = io.WriteString(w, diff)
		}
		return fault.Step.Wrap(err)
	})
	if err == nil && n > 0 {
		err = fault.WithHint(fault.Drift.Errorf("%d generated files are not what the flavor files say", n), "make gen")
	}
	return err
}
