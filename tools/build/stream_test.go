package build

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

func TestWriteStream(t *testing.T) {
	t.Parallel()
	tree := fstree.New(fstree.Time{})
	for _, name := range []string{"a", "b"} {
		if err := tree.WriteFile(name, []byte(strings.Repeat(name, 3<<20)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	good := func(w io.Writer) (dataset.Stats, error) {
		return dataset.WriteFull(t.Context(), w, tree, dataset.Options{ToGUID: 1, ToName: "a/b@c"})
	}
	bad := errors.New("bad")
	for _, tt := range []struct {
		name  string
		write func(w io.Writer) (dataset.Stats, error)
		want  string
	}{
		{"good", good, ""},
		{"the writer fails", func(w io.Writer) (dataset.Stats, error) {
			s, _ := good(w)
			return s, bad
		}, "bad"},
		{"no stream", func(w io.Writer) (dataset.Stats, error) {
			_, err := io.WriteString(w, strings.Repeat("not a stream", 1000))
			return dataset.Stats{}, err
		}, "reading back what was written: not a ZFS send stream"},
		{"something behind it", func(w io.Writer) (dataset.Stats, error) {
			s, err := good(w)
			io.WriteString(w, "more")
			return s, err
		}, "reading back what was written"},
		{"nothing", func(w io.Writer) (dataset.Stats, error) { return dataset.Stats{}, nil }, "reading back what was written"},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		w, stats, err := WriteStream(f, tt.write)
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		fi, _ := f.Stat()
		if err != nil || w.Size != fi.Size() || stats.Records == 0 {
			t.Errorf("%s: %+v, %+v, %v", tt.name, w, stats, err)
		}
	}
}
