package build

import (
	"os"
	"path/filepath"
	"testing"
)

// What stands in the way of the last name takes the others with it: an image
// without its manifest is none.
func TestPublishAllOrNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := &output{dir: dir}
	for _, name := range []string{"a", "b", "c"} {
		if err := o.write(name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "c", "full"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := o.publish("a", "b", "c"); err == nil {
		t.Error("no error")
	}
	for _, name := range []string{"a", "b"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
