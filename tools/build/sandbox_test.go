package build

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/images"
	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/oracle"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/google/go-cmp/cmp"
)

// recorded is the version and source the recordings were made with.
const (
	recordedVersion = "master-20260101T000000Z-g0000000"
	recordedSource  = "https://example.invalid/engbld.git"
)

// told collects a build's story for the test's log.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (s *told) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}
func (s *told) Step(name, format string, args ...any) { s.say(name+": "+format, args...) }
func (s *told) Infof(format string, args ...any)      { s.say(format, args...) }
func (s *told) Detailf(format string, args ...any)    { s.say(format, args...) }
func (s *told) Warnf(format string, args ...any)      { s.say("warning: "+format, args...) }
func (s *told) String() string                        { return strings.Join(s.lines, "\n") }

// bench is a sandbox with an image store, for one test.
type bench struct {
	set   *flavor.Set
	opts  Options
	story *told
	store *imgstore.Store

	source imgstore.Source
}

// from is b with another image cache, which is filled from source.
func (b *bench) from(t *testing.T, source imgstore.Source) *bench {
	t.Helper()
	c := *b
	var err error
	if c.store, err = imgstore.Open(imgstore.Options{CacheDir: t.TempDir(), Sources: []imgstore.Source{source}, Sandbox: true}); err != nil {
		t.Fatal(err)
	}
	c.source, c.opts.Images = source, c.store
	return &c
}

func newBench(t *testing.T, o sandbox.Options) *bench {
	t.Helper()
	set, err := flavor.Load(images.FS)
	if err != nil {
		t.Fatal(err)
	}
	o.Dir = t.TempDir()
	sb, err := sandbox.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sb.Close() })
	transport := sb.Transport(nil)
	from, err := imgstore.ParseSource(sb.ImageURL(), imgstore.SourceOptions{Transport: transport, Backoff: []time.Duration{time.Millisecond}, Fetch: &fetch.Client{Retries: -1}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := imgstore.Open(imgstore.Options{CacheDir: t.TempDir(), Sources: []imgstore.Source{from}, Sandbox: true})
	if err != nil {
		t.Fatal(err)
	}
	story := &told{}
	return &bench{set: set, story: story, store: store, source: from, opts: Options{
		Out: t.TempDir(), Images: store, Client: &fetch.Client{HTTP: &http.Client{Transport: transport}, Retries: -1},
		PackageCache: t.TempDir(), EOLPage: set.BuildEnv.EOLPage, Sandbox: true, Story: story,
	}}
}

func (b *bench) request(t *testing.T, name string) Request {
	t.Helper()
	f, err := b.set.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	mf, err := json.Marshal(map[string]any{"name": f.Name, "version": recordedVersion, "description": f.Description})
	if err != nil {
		t.Fatal(err)
	}
	r := Request{
		Name: f.Name, Prefix: f.Name + "-zfs", Version: recordedVersion, Base: f.Base.UUID, Manifest: mf,
		Packages: f.Pkgsrc.Packages, Upgrade: f.Pkgsrc.Upgrade, Audit: true, MOTD: true, SourceRepo: recordedSource,
		Timestamp: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Platform: DefaultPlatform,
	}
	for _, a := range b.set.Accepts(f) {
		r.Accept = append(r.Accept, a.Package+":"+a.Action)
	}
	return r
}

func (b *bench) build(t *testing.T, r Request) *Result {
	t.Helper()
	res, err := Run(context.Background(), r, b.opts)
	if err != nil {
		t.Fatalf("%v\n%s", err, b.story)
	}
	return res
}

// tree reads a finished image back, with its origin chain.
func (b *bench) tree(t *testing.T, res *Result) (*fstree.Tree, *dataset.Dataset) {
	t.Helper()
	chain, err := b.store.Chain(context.Background(), res.Manifest.UUID())
	if err != nil {
		t.Fatal(err)
	}
	var layers []dataset.Layer
	for _, img := range chain {
		f, err := img.Open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		layers = append(layers, dataset.Layer{R: f, Size: img.Size, Name: img.Manifest.NameVersion()})
	}
	ds, err := dataset.Read(context.Background(), layers, dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := ds.Tree(fstree.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return tree, ds
}

func TestSandboxFlavorsAreAsTheGenuineToolsMakeThem(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"triton-origin-multiarch-15.4.1", "triton-origin-x86_64-18.4.0", "triton-origin-x86_64-19.4.0",
		"triton-origin-x86_64-21.4.0", "triton-origin-x86_64-23.4.0", "triton-origin-x86_64-24.4.1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, sandbox.Options{})
			res := b.build(t, b.request(t, name))
			if err := res.Manifest.Validate(); err != nil {
				t.Errorf("manifest: %v", err)
			}
			tree, ds := b.tree(t, res)
			lines, err := dataset.Listing(context.Background(), tree, dataset.ListOptions{Base: ds})
			if err != nil {
				t.Fatal(err)
			}
			checkPublished(t, res)
			t.Run("zfs", func(t *testing.T) { checkWithZFS(t, b, res, lines) })
			expected := filepath.Join("testdata", "expected", name)
			if _, err := os.Stat(expected); err != nil {
				return // two flavors have no recording
			}
			compareListing(t, filepath.Join(expected, "tree.listing.gz"), lines)
			comparePackages(t, expected, tree, res)
		})
	}
}

// checkPublished: the files are what the manifest says, and nothing else is there.
func checkPublished(t *testing.T, res *Result) {
	t.Helper()
	fi, err := os.Stat(res.FilePath)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Manifest.Files()[0].Size; got != fi.Size() {
		t.Errorf("manifest says %d bytes, the file has %d", got, fi.Size())
	}
	raw, err := os.ReadFile(res.ManifestPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, res.Manifest.Encode()) {
		t.Error("the manifest on disk is another")
	}
	if got, want := imgmanifest.DeriveUUID(res.Manifest), res.Manifest.UUID(); got != want {
		t.Errorf("uuid %s does not belong to the manifest, want %s", want, got)
	}
	entries, err := os.ReadDir(filepath.Dir(res.FilePath))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 {
		t.Errorf("%d files in the results directory, want 3: %v", len(entries), entries)
	}
}

// checkWithZFS lets real ZFS receive the image and list it.
func checkWithZFS(t *testing.T, b *bench, res *Result, want []string) {
	chain, err := b.store.Chain(context.Background(), res.Manifest.Origin())
	if err != nil {
		t.Fatal(err)
	}
	var streams []string
	for _, img := range chain {
		streams = append(streams, img.Path)
	}
	got := oracle.Check(t, oracle.Options{RoundTrip: true}, append(streams, res.FilePath)...)
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("real ZFS lists the image otherwise (-ours +ZFS):\n%s", d)
	}
}

var mtime = regexp.MustCompile(` mtime=\S+`)

// compareListing leaves out what varies between runs of the genuine tools: the
// bytes of pkgdb.byfile.db and the order inside +REQUIRED_BY (their README).
func compareListing(t *testing.T, name string, got []string) {
	t.Helper()
	want := strings.Split(strings.TrimSuffix(string(gunzip(t, name)), "\n"), "\n")
	clean := func(lines []string) (out []string) {
		for _, l := range lines {
			l = mtime.ReplaceAllString(l, "")
			switch {
			case strings.HasSuffix(l, "/pkgdb.byfile.db"), strings.HasSuffix(l, "/+REQUIRED_BY"):
				l = regexp.MustCompile(` sha256=\S+`).ReplaceAllString(l, "")
			}
			out = append(out, l)
		}
		slices.Sort(out)
		return out
	}
	if d := cmp.Diff(clean(want), clean(got)); d != "" {
		t.Errorf("tree differs from the recording (-recorded +ours):\n%s", d)
	}
}

func comparePackages(t *testing.T, expected string, tree *fstree.Tree, res *Result) {
	t.Helper()
	root, err := tree.Sub("root")
	if err != nil {
		t.Fatal(err)
	}
	conf, err := pkgdb.ReadConfig(root)
	if err != nil {
		t.Fatal(err)
	}
	db, err := pkgdb.Open(root, conf)
	if err != nil {
		t.Fatal(err)
	}
	info, err := db.Info()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "pkg_info", filepath.Join(expected, "pkg_info"), info)

	audit, err := os.ReadFile(res.AuditPath)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "audit", filepath.Join(expected, "audit"),
		regexp.MustCompile(`see http\S*/eol-packages`).ReplaceAllString(string(audit), "see <EOL-PAGE>"))

	raw, err := root.ReadFile(conf.DBDir+"/pkgdb.byfile.db", 1<<26)
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := pkgdb.ReadByFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	var dump, required []string
	for _, p := range pairs {
		dump = append(dump, fmt.Sprintf("file: %s pkg: %s\n", p.Path, p.Package))
	}
	slices.Sort(dump)
	want := strings.SplitAfter(string(gunzip(t, filepath.Join(expected, "byfile.gz"))), "\n")
	want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
	slices.Sort(want)
	if d := cmp.Diff(want, dump); d != "" {
		t.Errorf("pkgdb.byfile.db (-recorded +ours):\n%s", d)
	}
	for _, name := range db.Names() {
		rec, err := db.Record(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, by := range rec.RequiredBy {
			required = append(required, name+"\t"+by+"\n")
		}
	}
	slices.Sort(required)
	same(t, "required_by", filepath.Join(expected, "required_by"), strings.Join(required, ""))
}

func same(t *testing.T, what, name, got string) {
	t.Helper()
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-recorded +ours):\n%s", what, d)
	}
}

func gunzip(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
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
	return b
}

func TestSameRequestSameBytes(t *testing.T) {
	t.Parallel()
	var first map[string]string
	for i := range 3 {
		b := newBench(t, sandbox.Options{})
		res := b.build(t, b.request(t, "triton-origin-x86_64-24.4.1"))
		got := map[string]string{}
		for _, name := range []string{res.FilePath, res.ManifestPath, res.AuditPath} {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got[filepath.Base(name)] = string(raw)
		}
		if first == nil {
			first = got
		} else if !cmp.Equal(first, got) {
			t.Fatalf("build %d gave other bytes", i+1)
		}
	}
}

func TestPackagesOfTheRequestDecide(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, "triton-origin-x86_64-24.4.1")
	r.Packages = []string{"curl"}
	tree, _ := b.tree(t, b.build(t, r))
	for path, want := range map[string]bool{"root/opt/local/bin/curl": true, "root/opt/local/bin/sudo": false, "root/opt/local/bin/gsed": false} {
		if _, err := tree.Lstat(path); (err == nil) != want {
			t.Errorf("%s: there is %v, want %v", path, err == nil, want)
		}
	}
}

// TestFailures: each kind of bad input gives its exit code, names what is
// wrong, and leaves nothing behind.
func TestFailures(t *testing.T) {
	t.Parallel()
	const base = "41bd4100-eb86-409a-85b0-e649aadf6f62"
	for _, c := range []struct {
		name   string
		faults func(*sandbox.Faults)
		mend   func(*Request)
		kind   fault.Kind
		want   string
	}{
		{"base unknown", nil, func(r *Request) { r.Base = "00000000-0000-4000-8000-000000000001" }, fault.Network, "00000000-0000-4000-8000-000000000001"},
		{"base flipped", func(f *sandbox.Faults) { f.Add(sandbox.Fault{Path: "/images/" + base + "/file", Corrupt: 5000}) }, nil, fault.Network, "image " + base},
		{"base truncated", func(f *sandbox.Faults) { f.Add(sandbox.Fault{Path: "/images/" + base + "/file", Cut: 70000}) }, nil, fault.Network, "127.0.0.1"},
		{"server broken", func(f *sandbox.Faults) { f.Add(sandbox.Fault{Path: "/images/" + base, Status: 503}) }, nil, fault.Network, "127.0.0.1"},
		{"package unknown", nil, func(r *Request) { r.Packages = []string{"nosuchpackage"} }, fault.Network, "nosuchpackage"},
		{"package flipped", func(f *sandbox.Faults) {
			f.Add(sandbox.Fault{Path: "/packages/SmartOS/2024Q4/x86_64/All/curl-8.11.1.tgz", Corrupt: 6000})
		}, nil, fault.Policy, "curl-8.11.1"},
		{"list of vulnerabilities missing", func(f *sandbox.Faults) { f.Add(sandbox.Fault{Path: "/vulns/pkg-vulnerabilities.gz", Status: 404}) }, nil, fault.Network, "vulnerabilit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var faults sandbox.Faults
			if c.faults != nil {
				c.faults(&faults)
			}
			b := newBench(t, sandbox.Options{Faults: &faults})
			r := b.request(t, "triton-origin-x86_64-24.4.1")
			if c.mend != nil {
				c.mend(&r)
			}
			_, err := Run(context.Background(), r, b.opts)
			if fault.KindOf(err) != c.kind || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v (kind %d), want kind %d with %q", err, fault.KindOf(err), c.kind, c.want)
			}
			if left, _ := os.ReadDir(b.opts.Out); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestStoppedInEachStep cancels at each line of the story: nothing may be left.
func TestStoppedInEachStep(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, "triton-origin-x86_64-24.4.1")
	b.build(t, r)
	steps := len(b.story.lines)
	out := t.TempDir()
	for at := 1; at < steps-1; at += 5 {
		ctx, cancel := context.WithCancel(context.Background())
		opts := b.opts
		opts.Out = out
		opts.Story = &stopAt{told: &told{}, left: at, stop: cancel}
		_, err := Run(ctx, r, opts)
		cancel()
		if err == nil {
			t.Fatalf("stopped at line %d, but the build went on", at)
		}
		if left, _ := os.ReadDir(out); len(left) != 0 {
			t.Fatalf("stopped at line %d: left behind %v", at, left)
		}
	}
}

type stopAt struct {
	*told
	left int
	stop func()
}

func (s *stopAt) count() {
	if s.left--; s.left == 0 {
		s.stop()
	}
}
func (s *stopAt) Step(name, format string, args ...any) { s.count() }
func (s *stopAt) Infof(format string, args ...any)      { s.count() }
func (s *stopAt) Detailf(format string, args ...any)    { s.count() }
func (s *stopAt) Warnf(format string, args ...any)      { s.count() }
