package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/filelock"
)

// impatient ends the context when a build is told to wait.
type impatient struct{ cancel context.CancelCauseFunc }

var errWaits = errors.New("it waits")

func (s impatient) Infof(string, ...any)        { s.cancel(errWaits) }
func (impatient) Step(string, string, ...any)   {}
func (impatient) Detailf(string, ...any)        {}
func (impatient) Warnf(format string, a ...any) {}

// open is openOutput for those who do not wait.
func open(t *testing.T, dir, locks string) (*output, error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	return openOutput(ctx, dir, locks, impatient{cancel})
}

// shared is a directory where everybody can make names.
func shared(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tmp")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Nothing that others put into /tmp beforehand is written through or waited for.
func TestOutputBesideOthers(t *testing.T) {
	t.Parallel()
	dir := shared(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	names := []string{"p-1.zfs.gz", "p-1.pkgaudit", "p-1.imgmanifest"}
	for i, name := range append([]string{"old-0", "old-1", "old-2"}, names...) {
		traps := []string{tempPrefix + name + ".part"}
		if i >= 3 {
			traps = append(traps, name)
		}
		for _, trap := range traps {
			if err := os.Symlink(victim, filepath.Join(dir, trap)); err != nil {
				t.Fatal(err)
			}
		}
	}
	theirs, err := filelock.Get(t.Context(), filepath.Join(dir, tempPrefix+"lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Release()

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, locks := range []string{"", filepath.Join(t.TempDir(), "cache", "locks"), filepath.Join(file, "locks")} {
		o, err := open(t, dir, locks)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := o.write(name, []byte("new")); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(o.temp(name), name+".part") {
				t.Errorf("%s can be foretold", o.temp(name))
			}
		}
		if err := o.publish(names...); err != nil {
			t.Fatal(err)
		}
		o.close()
		for _, name := range names {
			fi, err := os.Lstat(o.final(name))
			if b, _ := os.ReadFile(o.final(name)); err != nil || !fi.Mode().IsRegular() || string(b) != "new" {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		}
		if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
			t.Errorf("the other file is %q, %v", b, err)
		}
		if left, _ := filepath.Glob(filepath.Join(locks, "*")); locks != "" && len(left) > 0 {
			t.Errorf("locks left: %q", left)
		}
		for _, pattern := range []string{"file-*", "old-*"} {
			left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+pattern))
			for _, l := range left {
				if fi, err := os.Lstat(l); err != nil || fi.Mode().IsRegular() {
					t.Errorf("left: %s", l)
				}
			}
		}
	}
}

// One user's builds into one directory wait for each other, wherever its lock is.
func TestOutputOneAtATime(t *testing.T) {
	t.Parallel()
	locks := t.TempDir()
	for _, dir := range []string{shared(t), t.TempDir()} {
		first, err := open(t, dir, locks)
		if err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(dir, link); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{dir, link} {
			if _, err := open(t, name, locks); !errors.Is(err, errWaits) {
				t.Errorf("a second build in %s: %v", name, err)
			}
		}
		other, err := open(t, shared(t), locks)
		if err != nil {
			t.Fatal(err)
		}
		other.close()
		first.close()
		again, err := open(t, dir, locks)
		if err != nil {
			t.Fatal(err)
		}
		again.close()
	}
}
