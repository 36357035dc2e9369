package inspect

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

func open(t testing.TB, names ...string) *Image {
	t.Helper()
	var layers []dataset.Layer
	for _, name := range names {
		f, err := os.Open(filepath.Join("..", "dataset", "testdata", name+".zfs.gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, dataset.Layer{R: bytes.NewReader(b), Size: int64(len(b)), Name: name})
	}
	im, err := Open(context.Background(), layers, dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func TestList(t *testing.T) {
	t.Parallel()
	im := open(t, "tiny-full")
	for _, tt := range []struct {
		path string
		o    ListOptions
		want string
	}{
		{"/root/", ListOptions{}, "etc\nlink\none-byte\ntmp\n"},
		{"root", ListOptions{Recursive: true}, "etc\netc/empty\netc/motd\netc/numbers\netc/numbers.hard\nlink\none-byte\ntmp\n"},
		{"root/etc/motd", ListOptions{}, "motd\n"},
		{"root", ListOptions{Long: true}, `drwxr-xr-x   2     0     0          6 2024-11-05 06:07:08 etc
lrwxrwxrwx   1     0     0          8 2024-11-05 06:07:08 link -> etc/motd
-rwxr-xr-x   1     0     0          1 2024-11-05 06:07:08 one-byte
drwxrwxrwt   2     0     0          2 2024-11-05 06:07:08 tmp
`},
		{"root/etc", ListOptions{Exact: true, NoTimes: true}, `d 0755 0:0 size=6 nlink=2 .
f 0644 0:0 size=0 nlink=1 sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ./empty
f 0644 0:0 size=12 nlink=1 sha256=74f19264b3e280835d33f5b269c6d924dd6003fe1eb8a5e2dd314c319bc02ed3 ./motd
f 0640 12:34 size=1492 nlink=2 sha256=079c7f8c11c1f937511ef9b17fdcc14345730c69d29d3d269175eb545ce02f45 ./numbers
f 0640 12:34 size=1492 nlink=2 sha256=079c7f8c11c1f937511ef9b17fdcc14345730c69d29d3d269175eb545ce02f45 ./numbers.hard
`},
	} {
		var b strings.Builder
		if err := im.List(context.Background(), &b, tt.path, tt.o); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(tt.want, b.String()); d != "" {
			t.Errorf("%s %+v:\n%s", tt.path, tt.o, d)
		}
	}
	if err := im.List(context.Background(), io.Discard, "root/nothing", ListOptions{}); err == nil {
		t.Error("a missing path is listed")
	}
}

func TestCatAndStat(t *testing.T) {
	t.Parallel()
	im := open(t, "tiny-full")
	var b strings.Builder
	if err := im.Cat(context.Background(), &b, "root/link", "root/etc/empty"); err != nil || len(b.String()) != 12 {
		t.Errorf("%q, %v", b.String(), err)
	}
	if err := im.Cat(context.Background(), &b, "root/etc"); err == nil {
		t.Error("a directory is printed")
	}
	b.Reset()
	if err := im.Stat(context.Background(), &b, "root/etc/motd", "root/link"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"path:     root/etc/motd\ntype:     file\nmode:     0644 -rw-r--r--\nowner:    0:0\nsize:     12\nlinks:    1\nsha256:   74f1",
		"modified: 2024-11-05T06:07:08.123456789Z\n", "object:   128, generation ", "blocks:   1 of 512 bytes\n", "\n\npath:     root/link\ntype:     symbolic link\n", "target:   etc/motd\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	sub, err := im.Chroot("root")
	if err != nil {
		t.Fatal(err)
	}
	b.Reset()
	if err := sub.Cat(context.Background(), &b, "/link"); err != nil || len(b.String()) != 12 {
		t.Errorf("%q, %v", b.String(), err)
	}
	if found, err := im.Dataset.Check(context.Background(), dataset.CheckOptions{}); len(found) != 0 || err != nil {
		t.Errorf("%d problems, %v", len(found), err)
	}
}

func TestModeString(t *testing.T) {
	t.Parallel()
	for mode, want := range map[uint32]string{
		0o100644: "-rw-r--r--", 0o104755: "-rwsr-xr-x", 0o102644: "-rw-r-Sr--", 0o041777: "drwxrwxrwt", 0o041770: "drwxrwx--T", 0o120777: "lrwxrwxrwx", 0o020600: "crw-------",
	} {
		if got := ModeString(mode); got != want {
			t.Errorf("%o: %s, want %s", mode, got, want)
		}
	}
}

type warnings []string

func (w *warnings) Warnf(format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }

// What is extracted, read from the disk, is what the image holds.
func TestExtract(t *testing.T) {
	t.Parallel()
	im := open(t, "minimal-base", "minimal-incr")
	dir := filepath.Join(t.TempDir(), "out")
	var w warnings
	stats, err := im.Extract(context.Background(), dir, ExtractOptions{Warn: &w})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", stats)
	got := onDisk(t, dir)
	var want []string
	im.Tree.Walk(func(p string, n *fstree.Node) error {
		want = append(want, describe(t, p, n))
		return nil
	})
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%.3000s", d)
	}
	if len(w) != stats.Skipped {
		t.Errorf("%d warnings, %d skipped", len(w), stats.Skipped)
	}
	if _, err := im.Extract(context.Background(), dir, ExtractOptions{}); err == nil {
		t.Error("extracted over something")
	}
}

// An extraction that does not get to its end leaves the disk as it was.
func TestExtractInterrupted(t *testing.T) {
	t.Parallel()
	im := open(t, "minimal-base", "minimal-incr")
	top := t.TempDir()
	var names int
	im.Tree.Walk(func(string, *fstree.Node) error { names++; return nil })
	for _, n := range []int{0, 1, 2, names / 2, names - 1} {
		for _, dir := range []string{"made", "empty"} {
			dir = filepath.Join(top, dir)
			was := ""
			if filepath.Base(dir) == "empty" {
				was = "empty"
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := im.Extract(&stops{Context: t.Context(), after: n}, dir, ExtractOptions{}); !errors.Is(err, context.Canceled) {
				t.Fatalf("stopped after %d looks: %v", n, err)
			}
			entries, err := os.ReadDir(dir)
			if len(entries) > 0 || was == "" && !errors.Is(err, fs.ErrNotExist) || was != "" && err != nil {
				t.Fatalf("stopped after %d looks: left in %s: %v, %v", n, dir, entries, err)
			}
		}
	}
	dir := filepath.Join(top, "made")
	if _, err := im.Extract(t.Context(), dir, ExtractOptions{}); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if _, err := im.Extract(t.Context(), dir, ExtractOptions{}); fault.Hint(err) == "" {
		t.Errorf("over something: %v", err)
	} else if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

// stops is a context that has ended when it was looked at a number of times.
type stops struct {
	context.Context
	after int
}

func (s *stops) Err() error {
	if s.after--; s.after < 0 {
		return context.Canceled
	}
	return nil
}

func describe(t testing.TB, p string, n *fstree.Node) string {
	t.Helper()
	s := fmt.Sprintf("%s %o", p, n.Mode)
	switch n.Type() {
	case fstree.TypeSymlink:
		return s + " " + n.Target
	case fstree.TypeRegular:
		b, err := n.ReadAll(1 << 24)
		if err != nil {
			t.Fatal(err)
		}
		s += fmt.Sprintf(" %x", b)
	}
	return fmt.Sprintf("%s %v", s, n.MTime)
}

func onDisk(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		info, err := os.Lstat(name)
		if err != nil {
			return err
		}
		n := &fstree.Node{Mode: uint32(info.Mode().Perm()), MTime: fstree.TimeOf(info.ModTime())}
		for mode, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
			if info.Mode()&mode != 0 {
				n.Mode |= bit
			}
		}
		switch {
		case info.IsDir():
			n.Mode |= fstree.TypeDir
		case info.Mode()&fs.ModeSymlink != 0:
			n.Mode |= fstree.TypeSymlink
			n.Target, err = os.Readlink(name)
		default:
			n.Mode |= fstree.TypeRegular
			var b []byte
			b, err = os.ReadFile(name)
			n.Content = fstree.Bytes(b)
		}
		if err != nil {
			return err
		}
		out = append(out, describe(t, rel, n))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Links that lead out of the image are written, never followed.
func TestExtractConfined(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	tree := fstree.New(fstree.Time{Sec: 1})
	for _, target := range []string{outside, "../../../../../../../.." + outside} {
		if err := tree.Put("out", &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: target}); err != nil {
			t.Fatal(err)
		}
		if err := tree.Put("fifo", &fstree.Node{Mode: fstree.TypeFifo | 0o600}); err != nil {
			t.Fatal(err)
		}
		im := &Image{Tree: tree}
		dir := filepath.Join(t.TempDir(), "x")
		var w warnings
		if _, err := im.Extract(context.Background(), dir, ExtractOptions{Warn: &w}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(filepath.Join(dir, "out")); err != nil || got != target {
			t.Errorf("%q, %v", got, err)
		}
		if len(w) != 1 {
			t.Errorf("warnings %q", w)
		}
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Errorf("something was written outside: %v", entries)
	}
}

// An archive read again is the same tree.
func TestTar(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	im := open(t, "minimal-base", "minimal-incr")
	var a, b bytes.Buffer
	if _, err := im.Tar(ctx, &a, ExtractOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := im.Tar(ctx, &b, ExtractOptions{}); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("two archives differ (%v)", err)
	}
	spool, err := fstree.NewSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	tree, err := fstree.ReadTar(ctx, &a, spool, fstree.TarOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := dataset.Listing(ctx, im.Tree, dataset.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := dataset.Listing(ctx, tree, dataset.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%.3000s", d)
	}
}
