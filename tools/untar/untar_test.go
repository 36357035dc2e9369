package untar

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// archive writes a gzipped tar of headers; content is that of regular files.
func archive(t *testing.T, name string, headers ...tar.Header) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz := gzip.NewWriter(f)
	tw := tar.NewWriter(gz)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 3
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(tw, "abc")
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	reg := func(name string, mode int64) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}
	}
	link := func(name, to string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}
	}
	tests := []struct {
		name    string
		headers []tar.Header
		want    string // in the error; "": none
	}{
		{"usual", []tar.Header{{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755}, {Typeflag: tar.TypeDir, Name: "d/", Mode: 0o555}, reg("d/f", 0o4755), link("d/l", "../x"),
			{Typeflag: tar.TypeLink, Name: "d/h", Linkname: "d/f"}, reg("./a b", 0o600)}, ""},
		{"absolute", []tar.Header{reg("/abs/f", 0o644)}, ""},
		{"upwards", []tar.Header{reg("../f", 0o644)}, "outside"},
		{"through a link", []tar.Header{link("l", "/tmp"), reg("l/f", 0o644)}, "escapes"},
		{"hard link upwards", []tar.Header{{Typeflag: tar.TypeLink, Name: "h", Linkname: "../../etc/passwd"}}, "outside"},
		{"device", []tar.Header{{Typeflag: tar.TypeChar, Name: "dev"}}, "kind"},
		{"twice", []tar.Header{reg("f", 0o644), reg("f", 0o600)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			archive(t, filepath.Join(dir, "a.tgz"), tt.headers...)
			to := filepath.Join(dir, "to")
			err := File(t.Context(), filepath.Join(dir, "a.tgz"), to)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if tt.name != "usual" {
				return
			}
			var got []string
			filepath.Walk(to, func(p string, i os.FileInfo, _ error) error {
				rel, _ := filepath.Rel(to, p)
				got = append(got, rel+" "+i.Mode().String())
				return nil
			})
			os.Chmod(filepath.Join(to, "d"), 0o755)
			want := []string{". drwxr-xr-x", "a b -rw-------", "d dr-xr-xr-x", "d/f urwxr-xr-x", "d/h urwxr-xr-x", "d/l Lrwxrwxrwx"}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
	// An archive cut short is an error, wherever.
	dir := t.TempDir()
	archive(t, filepath.Join(dir, "a.tgz"), reg("f", 0o644))
	whole, _ := os.ReadFile(filepath.Join(dir, "a.tgz"))
	for n := range whole {
		if err := os.WriteFile(filepath.Join(dir, "cut.tgz"), whole[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		if File(t.Context(), filepath.Join(dir, "cut.tgz"), filepath.Join(dir, "cut")) == nil {
			t.Errorf("no error for %d of %d bytes", n, len(whole))
		}
	}
}

// Check wants every byte of an archive.
func TestCheck(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a.tgz")
	archive(t, name, tar.Header{Typeflag: tar.TypeReg, Name: "../anywhere", Mode: 0o644}, tar.Header{Typeflag: tar.TypeFifo, Name: "fifo"})
	if err := Check(t.Context(), name); err != nil {
		t.Errorf("a whole one: %v", err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if err := os.WriteFile(name, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Check(t.Context(), name); err == nil {
			t.Errorf("no error for %d of %d bytes", n, len(b))
		}
	}
	var path *fs.PathError
	if err := Check(t.Context(), name+"x"); !errors.As(err, &path) {
		t.Errorf("one that is not there: %v", err)
	}
}

// TestKeepsNoHeaders: strings of a header are parts of its text, which may have a
// MiB.
func TestKeepsNoHeaders(t *testing.T) {
	t.Parallel()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	u := unpacker{root: root}
	h := &tar.Header{Name: strings.Repeat("d", 10), Mode: 0o755, Typeflag: tar.TypeDir}
	if err := u.entry(h, nil); err != nil {
		t.Fatal(err)
	}
	if len(u.dirs) != 1 || u.dirs[0].name != h.Name || unsafe.StringData(u.dirs[0].name) == unsafe.StringData(h.Name) {
		t.Errorf("%+v", u.dirs)
	}
}
