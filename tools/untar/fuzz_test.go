package untar

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Whatever an archive holds, nothing is written outside the directory.
func FuzzFile(f *testing.F) {
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeReg, Name: "a/f", Mode: 0o644, Size: 3},
		{Typeflag: tar.TypeSymlink, Name: "l", Linkname: ".."},
		{Typeflag: tar.TypeReg, Name: "../f", Mode: 0o644, Size: 3},
		{Typeflag: tar.TypeLink, Name: "h", Linkname: "../keep"},
	} {
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		tw.WriteHeader(&h)
		io.WriteString(tw, "abc"[:h.Size])
		tw.Close()
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		var b bytes.Buffer
		gz := gzip.NewWriter(&b)
		gz.Write(data)
		gz.Close()
		for name, text := range map[string][]byte{"a.tgz": b.Bytes(), "keep": []byte("kept")} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		File(t.Context(), filepath.Join(dir, "a.tgz"), filepath.Join(dir, "to"))
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 3 {
			t.Fatalf("%d entries beside the directory, %v", len(entries), err)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, "keep")); string(got) != "kept" {
			t.Fatalf("the file beside it became %q", got)
		}
		filepath.WalkDir(filepath.Join(dir, "to"), func(p string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				os.Chmod(p, 0o700) // for the removal
			}
			return nil
		})
	})
}
