package fstree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

func tarOf(t testing.TB, format tar.Format, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.PAXRecords["test.content"]
		h.PAXRecords = nil
		h.Format, h.Size = format, int64(len(content))
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1000, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func content(s string) map[string]string { return map[string]string{"test.content": s} }

func readTar(t testing.TB, b *bytes.Buffer, o TarOptions) (*Tree, error) {
	t.Helper()
	spool, err := NewSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { spool.Close() })
	return ReadTar(context.Background(), b, spool, o)
}

func TestReadTar(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("deep/", 40) + strings.Repeat("n", 200)
	for _, format := range []tar.Format{tar.FormatGNU, tar.FormatPAX} {
		b := tarOf(t, format,
			tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o700, Uid: 5},
			tar.Header{Typeflag: tar.TypeDir, Name: "./root/", Mode: 0o750, Uid: 5, Gid: 6},
			tar.Header{Typeflag: tar.TypeReg, Name: "./root/su", Mode: 0o4755, Uid: 5, PAXRecords: content("x")},
			tar.Header{Typeflag: tar.TypeLink, Name: "root/hard", Linkname: "./root/su"},
			tar.Header{Typeflag: tar.TypeSymlink, Name: "root/l", Linkname: "../../etc", Mode: 0o777},
			tar.Header{Typeflag: tar.TypeChar, Name: "root/c", Mode: 0o666, Devmajor: 13, Devminor: 2},
			tar.Header{Typeflag: tar.TypeBlock, Name: "root/b", Mode: 0o640, Devmajor: 8},
			tar.Header{Typeflag: tar.TypeFifo, Name: "root/p", Mode: 0o600},
			tar.Header{Typeflag: tar.TypeReg, Name: "/abs", Mode: 0o644},
			tar.Header{Typeflag: tar.TypeReg, Name: "twice", Mode: 0o644, PAXRecords: content("1")},
			tar.Header{Typeflag: tar.TypeReg, Name: "twice", Mode: 0o600, PAXRecords: content("2")},
			tar.Header{Typeflag: tar.TypeReg, Name: long, Mode: 0o644},
		)
		tree, err := readTar(t, b, TarOptions{Now: now, RootOwned: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tree.Lstat(long); err != nil {
			t.Error(err)
		}
		if err := tree.RemoveAll("deep"); err != nil {
			t.Fatal(err)
		}
		tree.Root.MTime = then
		want := []string{"40700 . t1000", `100644 abs t1000 ""`, "40750 root t1000", "60640 root/b t1000 rdev=0x800000000", "20666 root/c t1000 rdev=0xd00000002",
			`104755 root/hard t1000 "x" names=2`, "120777 root/l t1000 -> ../../etc", "10600 root/p t1000", `104755 root/su t1000 "x" names=2`, `100600 twice t1000 "2"`}
		if d := cmp.Diff(want, show(t, tree)); d != "" {
			t.Error(d)
		}
	}
}

func TestReadTarRefuses(t *testing.T) {
	t.Parallel()
	reg := func(name string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, PAXRecords: content("12345")}
	}
	for _, tt := range []struct {
		name    string
		headers []tar.Header
		want    string
	}{
		{"dots", []tar.Header{reg("a/../../b")}, "leads out of the archive"},
		{"hard link out", []tar.Header{{Typeflag: tar.TypeLink, Name: "a", Linkname: "../../etc/passwd"}}, "leads out of the archive"},
		{"hard link to nothing", []tar.Header{{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"}}, "does not exist"},
		{"too many", []tar.Header{reg("a"), {Typeflag: tar.TypeFifo, Name: "b"}, {Typeflag: tar.TypeFifo, Name: "c"}, {Typeflag: tar.TypeFifo, Name: "d"}, {Typeflag: tar.TypeFifo, Name: "e"}}, "more than 4 entries"},
		{"too large", []tar.Header{reg("a"), reg("b"), reg("c")}, "more than 10 bytes"},
		{"file over directory", []tar.Header{reg("a/b"), reg("a")}, "directory not empty"},
		{"below a file", []tar.Header{reg("a"), reg("a/b")}, "not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := readTar(t, tarOf(t, tar.FormatPAX, tt.headers...), TarOptions{MaxEntries: 4, MaxBytes: 10})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	b := tarOf(t, tar.FormatPAX, reg("a"))
	b.Truncate(514)
	if _, err := readTar(t, b, TarOptions{}); err == nil {
		t.Error("a truncated archive was read")
	}
}

// What is below a link stays below the root, wherever the link leads.
func TestReadTarConfined(t *testing.T) {
	t.Parallel()
	b := tarOf(t, tar.FormatPAX,
		tar.Header{Typeflag: tar.TypeDir, Name: "etc", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "out", Linkname: "../../../../etc"},
		tar.Header{Typeflag: tar.TypeReg, Name: "out/passwd", Mode: 0o600, PAXRecords: content("x")})
	tree, err := readTar(t, b, TarOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Lstat("etc/passwd"); err != nil {
		t.Error(err)
	}
}

func FuzzReadTar(f *testing.F) {
	f.Add(tarOf(f, tar.FormatGNU, tar.Header{Typeflag: tar.TypeReg, Name: "a/b", PAXRecords: content("x")},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "a"}).Bytes())
	f.Add(tarOf(f, tar.FormatPAX, tar.Header{Typeflag: tar.TypeDir, Name: "d/"}, tar.Header{Typeflag: tar.TypeLink, Name: "h", Linkname: "d"}).Bytes())
	spool, err := NewSpool(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := ReadTar(context.Background(), bytes.NewReader(b), spool, TarOptions{MaxEntries: 100, MaxBytes: 1 << 16})
		if err != nil {
			return
		}
		tree.Walk(func(p string, n *Node) error {
			if _, err := tree.Lstat(p); err != nil && !errors.Is(err, ErrLoop) {
				t.Errorf("%q: %v", p, err)
			}
			return nil
		})
	})
}

// TestReadTarKeepsNoHeaders: strings of a header are parts of its text, which may
// have a MiB.
func TestReadTarKeepsNoHeaders(t *testing.T) {
	t.Parallel()
	u := untar{TarOptions: TarOptions{MaxBytes: 1}, tree: New(Time{}), times: make(map[*Node]Time)}
	h := &tar.Header{Name: "a", Linkname: strings.Repeat("b", 10), Typeflag: tar.TypeSymlink}
	if err := u.entry(h, nil); err != nil {
		t.Fatal(err)
	}
	n, err := u.tree.Lstat("a")
	if err != nil || n.Target != h.Linkname || unsafe.StringData(n.Target) == unsafe.StringData(h.Linkname) {
		t.Errorf("%+v, %v", n, err)
	}
}
