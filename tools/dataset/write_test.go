package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/oracle"
)

var testTime = fstree.Time{Sec: 1766000000, Nsec: 123456789}

func saveLayer(t testing.TB, l Layer) string {
	t.Helper()
	b := make([]byte, l.Size)
	if _, err := l.R.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), strings.ReplaceAll(l.Name, "/", "_")+".zfs")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func writeIncrement(t testing.TB, base *Dataset, tree *fstree.Tree, guid uint64) Layer {
	t.Helper()
	var b bytes.Buffer
	_, err := WriteIncrement(context.Background(), &b, base, tree, Options{ToGUID: guid, ToName: "zones/test@final", CreationTime: 1766000000, Now: testTime})
	if err != nil {
		t.Fatal(err)
	}
	return Layer{R: bytes.NewReader(b.Bytes()), Size: int64(b.Len()), Name: "incr"}
}

func listing(t testing.TB, tree *fstree.Tree, base *Dataset) []string {
	t.Helper()
	l, err := Listing(context.Background(), tree, ListOptions{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func writeFull(t testing.TB, tree *fstree.Tree, guid uint64) Layer {
	t.Helper()
	var b bytes.Buffer
	_, err := WriteFull(context.Background(), &b, tree, Options{ToGUID: guid, ToName: "zones/base@final", CreationTime: 1766000000, Now: testTime})
	if err != nil {
		t.Fatal(err)
	}
	return Layer{R: bytes.NewReader(b.Bytes()), Size: int64(b.Len()), Name: "full"}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// increment makes changes on a chain, and has them judged by our reader and by
// real ZFS.
func increment(t *testing.T, chain []Layer, o oracle.Options, change func(*fstree.Tree)) (*Dataset, Layer) {
	t.Helper()
	ctx := context.Background()
	base, err := Read(ctx, chain, ReadOptions{})
	must(t, err)
	tree, err := base.Tree(testTime)
	must(t, err)
	change(tree)
	want := listing(t, tree, base)
	incr := writeIncrement(t, base, tree, 77)
	chain = append(chain[:len(chain):len(chain)], incr)
	ds, err := Read(ctx, chain, ReadOptions{})
	must(t, err)
	got, err := ds.Listing(ctx, ListOptions{})
	must(t, err)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("our reader lists otherwise (-want +got):\n%.3000s", d)
	}
	for _, p := range problems(t, ds, CheckOptions{Linux: o.Linux}) {
		t.Error(p)
	}
	var files []string
	for _, l := range chain {
		files = append(files, saveLayer(t, l))
	}
	if d := cmp.Diff(want, oracle.Check(t, o, files...)); d != "" {
		t.Errorf("real ZFS lists otherwise (-want +got):\n%.3000s", d)
	}
	return ds, incr
}

// The sandbox's base images are read as recorded, and take an increment.
func TestSandboxBases(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob("../sandbox/data/images/*/file.zfs.gz")
	must(t, err)
	if len(dirs) != 6 {
		t.Fatalf("%d base images, not 6", len(dirs))
	}
	for _, name := range dirs {
		dir := filepath.Dir(name)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			b, err := gunzip(name)
			must(t, err)
			chain := []Layer{{R: bytes.NewReader(b), Size: int64(len(b)), Name: name}}
			ds, err := Read(context.Background(), chain, ReadOptions{})
			must(t, err)
			got, err := ds.Listing(context.Background(), ListOptions{})
			must(t, err)
			want, err := gunzip(filepath.Join(dir, "listing.gz"))
			must(t, err)
			if d := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), got); d != "" {
				t.Errorf("%.3000s", d)
			}
			for _, p := range problems(t, ds, CheckOptions{}) {
				t.Error(p)
			}
			if testing.Short() {
				return
			}
			increment(t, chain, oracle.Options{}, func(tree *fstree.Tree) {
				must(t, tree.RemoveAll("root/var/db/pkgin"))
				must(t, tree.RemoveAll("config"))
				must(t, tree.WriteFile("root/etc/motd", []byte("hello\n"), 0o644))
				must(t, tree.MkdirAll("root/opt/new/a", 0o755))
				must(t, tree.WriteFile("root/opt/new/a/b", []byte("new"), 0o4755))
				must(t, tree.Rename("root/opt/local/bin", "root/opt/new/bin"))
			})
		})
	}
}

func gunzip(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// Directories that are large: many leaves, a pointer table of its own, hashes
// that collide. ENGBLD_SOAK has 300,000 names instead of 20,000.
func TestLargeDirectory(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	count := 20_000
	if os.Getenv("ENGBLD_SOAK") != "" {
		count = 300_000
	}
	tree := fstree.New(testTime)
	_, err := tree.Mkdir("big", 0o755, 0, 0)
	must(t, err)
	big, err := tree.Lstat("big")
	must(t, err)
	nodes := make([]*fstree.Node, 500) // hard links keep the number of objects low
	for i := range nodes {
		nodes[i] = &fstree.Node{Mode: fstree.TypeRegular | 0o644, MTime: testTime, ATime: testTime}
	}
	for i := range count {
		big.Add(fmt.Sprintf("name-%d", i), nodes[i%len(nodes)])
	}
	full := writeFull(t, tree, 5)
	ds, err := Read(context.Background(), []Layer{full}, ReadOptions{})
	must(t, err)
	n, err := ds.Tree(testTime)
	must(t, err)
	if d := cmp.Diff(listing(t, tree, nil), listing(t, n, nil)); d != "" {
		t.Errorf("%.2000s", d)
	}
	increment(t, []Layer{full}, oracle.Options{Every: true}, func(tree *fstree.Tree) {
		big, err := tree.Lstat("big")
		must(t, err)
		for i := range count / 4 {
			must(t, tree.Remove(fmt.Sprintf("big/name-%d", 3*i)))
		}
		for i := range count / 10 {
			big.Add(fmt.Sprintf("%d%s", i, strings.Repeat("long", 50)), big.Child("name-1"))
		}
	})
}

// The same tree and base give the same bytes.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	var firstFull, first []byte
	for i := range 20 {
		c := newChanger(t, 99)
		c.counts["micro to fat by number"] = 100 // slow, and tested elsewhere
		full := ownBase(t, c, 100)
		base, err := Read(context.Background(), []Layer{full}, ReadOptions{})
		must(t, err)
		tree, err := base.Tree(testTime)
		must(t, err)
		c.apply(tree, 100)
		b, err := io.ReadAll(io.NewSectionReader(writeIncrement(t, base, tree, 77).R, 0, 1<<40))
		must(t, err)
		f, err := io.ReadAll(io.NewSectionReader(full.R, 0, 1<<40))
		must(t, err)
		if i == 0 {
			first, firstFull = b, f
		} else if !bytes.Equal(first, b) || !bytes.Equal(firstFull, f) {
			t.Fatalf("run %d gives other bytes", i)
		}
	}
}

// Rules of the recipe that are easily lost (spec zfs-stream.md section 15).
func TestRecipe(t *testing.T) {
	t.Parallel()
	base := open(t, "minimal-base")
	highest := base.numbers[len(base.numbers)-1]
	tree, err := base.Tree(testTime)
	must(t, err)
	motd, err := tree.Lstat("root/etc/motd")
	must(t, err)
	passwd, err := tree.Lstat("root/etc/passwd")
	must(t, err)
	oldMotd, oldPasswd := motd.Base, passwd.Base
	must(t, tree.WriteFile("root/etc/motd", []byte("rewritten"), 0o644))
	passwd.SetPerm(0o600)
	in := writeIncrement(t, base, tree, 77)
	ds, err := Read(context.Background(), append(base.layers, in), ReadOptions{})
	must(t, err)
	now, err := ds.Tree(testTime)
	must(t, err)
	motd, err = now.Lstat("root/etc/motd")
	must(t, err)
	passwd, err = now.Lstat("root/etc/passwd")
	must(t, err)
	if motd.Base <= highest || ds.objects.get(oldMotd) != nil {
		t.Errorf("a rewritten file has number %d, was %d, highest %d", motd.Base, oldMotd, highest)
	}
	if passwd.Base != oldPasswd {
		t.Errorf("a file with another mode has number %d, was %d", passwd.Base, oldPasswd)
	}
	a, err := base.Info(oldMotd)
	must(t, err)
	b, err := ds.Info(motd.Base)
	must(t, err)
	if b.Gen <= a.Gen {
		t.Errorf("the new object has generation %d, the old one %d", b.Gen, a.Gen)
	}
	if passwd.CTime != testTime || motd.CTime != testTime {
		t.Errorf("change times %v, %v", passwd.CTime, motd.CTime)
	}
	// No layout is added without need: LAYOUTS has no record.
	if ds.objects.get(ds.layObj).runs[0].layer != 0 {
		t.Error("the layouts were rewritten")
	}
}

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	base := open(t, "tiny-full")
	for _, tt := range []struct {
		name   string
		change func(*fstree.Tree)
		opts   Options
		want   string
	}{
		{"guid of the base", func(*fstree.Tree) {}, Options{ToGUID: base.GUID()}, "guid of its base"},
		{"no guid", func(*fstree.Tree) {}, Options{}, "snapshot guid 0x0"},
		{"no type", func(x *fstree.Tree) { x.Root.Add("a", &fstree.Node{Mode: 0o644}) }, Options{ToGUID: 1}, "./a: mode 0644 has no file type"},
		{"empty link", func(x *fstree.Tree) { x.Root.Add("a", &fstree.Node{Mode: fstree.TypeSymlink}) }, Options{ToGUID: 1}, "a symbolic link to 0 bytes"},
		{"name", func(x *fstree.Tree) { x.Root.Add("..", &fstree.Node{Mode: fstree.TypeFifo}) }, Options{ToGUID: 1}, `file name ".." cannot be stored`},
		{"directory twice", func(x *fstree.Tree) { x.Root.Add("again", x.Root.Child("root")) }, Options{ToGUID: 1}, "the directory is also ./again"},
		{"circle", func(x *fstree.Tree) { x.Root.Child("root").Add("up", x.Root) }, Options{ToGUID: 1}, "the directory is also ."},
		{"nanoseconds", func(x *fstree.Tree) { x.Root.MTime.Nsec = 1e9 }, Options{ToGUID: 1}, "1000000000 nanoseconds"},
		{"content too short", func(x *fstree.Tree) {
			x.Root.Add("a", &fstree.Node{Mode: fstree.TypeRegular, Content: shortContent{}})
		}, Options{ToGUID: 1}, "./a: reading 100 bytes at 0: unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tree, err := base.Tree(testTime)
			must(t, err)
			tt.change(tree)
			if _, err = WriteIncrement(context.Background(), io.Discard, base, tree, tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tree, err := base.Tree(testTime)
	must(t, err)
	if _, err := WriteIncrement(ctx, io.Discard, base, tree, Options{ToGUID: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Read(ctx, base.layers, ReadOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type shortContent struct{}

func (shortContent) Size() int64                           { return 100 }
func (shortContent) ReadAt(p []byte, _ int64) (int, error) { return 0, io.EOF }
