package build

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// twoBuilds makes a directory with three finished files of an older build, if there
// was one, and three of a newer one to be published.
func twoBuilds(t *testing.T, older bool) (o *output, names []string) {
	t.Helper()
	o, names = &output{dir: t.TempDir()}, []string{"a.zfs.gz", "a.pkgaudit", "a.imgmanifest"}
	for _, name := range names {
		if older {
			if err := os.WriteFile(o.final(name), []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.write(name, []byte("new")); err != nil {
			t.Fatal(err)
		}
	}
	return o, names
}

// contents are those of the files, "" where there is none.
func contents(t *testing.T, o *output, names []string) (got [3]string) {
	t.Helper()
	for i, name := range names {
		b, err := os.ReadFile(o.final(name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		got[i] = string(b)
	}
	return got
}

// A build replaces the one before it; when it ends at any moment, a manifest that
// stands has its own files beside it. After an error all is as it was.
func TestPublishAtAnyMoment(t *testing.T) {
	t.Parallel()
	type killed struct{}
	for _, older := range []bool{false, true} {
		before := [3]string{}
		if older {
			before = [3]string{"old", "old", "old"}
		}
		for _, kill := range []bool{false, true} {
			for at := 1; ; at++ {
				o, names := twoBuilds(t, older)
				n := 0
				o.rename = func(from, to string) error {
					if n++; n == at && kill {
						panic(killed{})
					} else if n == at {
						return errors.New("no room")
					}
					return os.Rename(from, to)
				}
				err := func() (err error) {
					defer func() {
						if r := recover(); r != nil {
							err = errors.New("killed")
						}
					}()
					return o.publish(names...)
				}()
				got := contents(t, o, names)
				switch manifest := got[2]; {
				case err == nil && got != [3]string{"new", "new", "new"}:
					t.Errorf("older %v: published: %q", older, got)
				case err != nil && kill && manifest != "" && got != [3]string{manifest, manifest, manifest}:
					t.Errorf("older %v: killed at rename %d: %q", older, at, got)
				case err != nil && !kill && got != before:
					t.Errorf("older %v: rename %d failed: %q", older, at, got)
				}
				if err == nil {
					left, _ := filepath.Glob(o.final(tempPrefix + "*"))
					if len(left) > 0 {
						t.Errorf("left: %q", left)
					}
					if at < 4 {
						t.Errorf("only %d renames", at-1)
					}
					break
				}
			}
		}
	}
}

// What stands in the way of the last name takes the others with it: an image
// without its manifest is none.
func TestPublishAllOrNothing(t *testing.T) {
	t.Parallel()
	for _, older := range []bool{false, true} {
		o, names := twoBuilds(t, older)
		os.Remove(o.final(names[2]))
		if err := os.MkdirAll(filepath.Join(o.final(names[2]), "full"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := o.publish(names...); err == nil {
			t.Error("no error")
		}
		want := ""
		if older {
			want = "old"
		}
		if got := contents(t, o, names[:2]); got != [3]string{want, want} {
			t.Errorf("older %v: %q", older, got)
		}
	}
}
