package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/sniff"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/google/go-cmp/cmp"
)

// TestOneByteOfTheLock: whatever byte of a lock changes, the build refuses it, or
// gives the same image.
func TestOneByteOfTheLock(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, locked)
	raw := b.lock(t, r).Encode()
	want := outputs(t, b.build(t, r))
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 40 {
		at := random.IntN(len(raw))
		bad := bytes.Clone(raw)
		bad[at] ^= byte(1 << random.IntN(3))
		if bytes.Equal(bad, raw) {
			continue
		}
		l, err := lock.Parse(bad)
		if err != nil {
			refused++
			continue
		}
		o := b.opts
		o.Lock, o.Out, o.Story = l, t.TempDir(), &told{}
		o.Client.Offline = true // everything is in the cache; a wrong address costs no time
		res, err := Run(context.Background(), r, o)
		if err != nil {
			refused++
			continue
		}
		if d := cmp.Diff(want, outputs(t, res)); d != "" {
			t.Errorf("byte %d: another image without an error:\n%s", at, cmp.Diff(string(raw), string(bad)))
		}
	}
	if refused < 10 {
		t.Errorf("only %d of 40 changes were refused", refused)
	}
}

// TestOneByteOfAnyInput: whatever a server changes in an input, a build with the
// lock stops; nothing is left behind.
func TestOneByteOfAnyInput(t *testing.T) {
	t.Parallel()
	first := newBench(t, sandbox.Options{})
	r := first.request(t, locked)
	l := first.lock(t, r)
	random := rand.New(rand.NewPCG(3, 4))
	type input struct {
		path string
		size int64
	}
	list := []input{{"/images/" + r.Base + "/file", l.Images[0].Size}, {"/vulns/pkg-vulnerabilities.gz", l.Vulnerabilities.Size}}
	for _, p := range l.Packages {
		list = append(list, input{"/packages/SmartOS/2024Q4/x86_64/All/" + p.FullName() + ".tgz", p.Size})
	}
	for _, in := range list {
		var faults sandbox.Faults
		at := 1 + random.Int64N(in.size)
		faults.Add(sandbox.Fault{Path: in.path, Corrupt: at})
		b := newBench(t, sandbox.Options{Faults: &faults})
		b.opts.Lock = l
		_, err := Run(context.Background(), r, b.opts)
		if kind := fault.KindOf(err); err == nil || kind != fault.Drift && kind != fault.Network {
			t.Errorf("%s, byte %d: %v", in.path, at, err)
		}
		if left, _ := os.ReadDir(b.opts.Out); len(left) != 0 {
			t.Errorf("%s: left behind: %v", in.path, left)
		}
	}
}

// rolled is the sandbox's data after its repositories moved on: files that match
// are gone or changed.
type rolled struct {
	fs.FS
	gone    func(name string) bool
	changed func(name string, content []byte) []byte // nil: as it was
	order   *rand.Rand                               // of directories; nil: as it was
}

func (r *rolled) Open(name string) (fs.File, error) {
	if r.gone != nil && r.gone(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return r.FS.Open(name)
}

func (r *rolled) ReadFile(name string) ([]byte, error) {
	if r.gone != nil && r.gone(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	raw, err := fs.ReadFile(r.FS, name)
	if err == nil && r.changed != nil {
		if c := r.changed(name, raw); c != nil {
			return c, nil
		}
	}
	return raw, err
}

func (r *rolled) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(r.FS, name)
	var left []fs.DirEntry
	for _, e := range list {
		if r.gone == nil || !r.gone(path.Join(name, e.Name())) {
			left = append(left, e)
		}
	}
	if r.order != nil {
		r.order.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	}
	return left, err
}

// TestTheRepositoryMovedOn: another curl is there now, and another summary. Builds
// with the lock still find what they need among the downloads or in the inputs;
// elsewhere they say what is missing. The plain build takes what there is.
func TestTheRepositoryMovedOn(t *testing.T) {
	t.Parallel()
	old := newBench(t, sandbox.Options{})
	r := old.request(t, locked)
	l := old.lock(t, r)
	want := outputs(t, old.build(t, r))
	data := &rolled{FS: sandbox.Data(), gone: func(name string) bool {
		return strings.Contains(name, "2024Q4") && (strings.Contains(name, "pkg_summary") || strings.Contains(name, "/curl-8.11.1"))
	}}
	b := newBench(t, sandbox.Options{Data: data})
	if _, err := Run(context.Background(), r, b.opts); err == nil {
		t.Error("a plain build found what is not there")
	}
	b.opts.Lock = l
	_, err := Run(context.Background(), r, b.opts)
	if fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), "curl-8.11.1") || !strings.Contains(fault.Hint(err), "ENGBLD_INPUTS") {
		t.Errorf("got %v (kind %d, hint %q)", err, fault.KindOf(err), fault.Hint(err))
	}
	b.opts.PackageCache = old.opts.PackageCache
	if d := cmp.Diff(want, outputs(t, b.build(t, r))); d != "" {
		t.Error("with what was downloaded before it is another image")
	}
}

// TestSameBytesInAnyOrder: the order in which a server lists its packages and
// writes its summary shows nowhere.
func TestSameBytesInAnyOrder(t *testing.T) {
	t.Parallel()
	builds := 20
	if testing.Short() {
		builds = 3
	}
	var want map[string]string
	for i := range builds {
		random := rand.New(rand.NewPCG(uint64(i), 0))
		var data fs.FS
		if i > 0 {
			data = &rolled{FS: sandbox.Data(), order: random, changed: func(name string, raw []byte) []byte {
				if !strings.Contains(name, "pkg_summary") {
					return nil
				}
				return shuffledSummary(t, raw, random)
			}}
		}
		b := newBench(t, sandbox.Options{Data: data})
		got := outputs(t, b.build(t, b.request(t, locked)))
		if want == nil {
			want = got
		} else if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("build %d gave other bytes", i+1)
		}
	}
}

func shuffledSummary(t *testing.T, raw []byte, random *rand.Rand) []byte {
	text, err := sniff.All(bytes.NewReader(raw), 1<<24)
	if err != nil {
		t.Error(err)
		return nil
	}
	records := strings.Split(strings.TrimSpace(string(text)), "\n\n")
	random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err = io.WriteString(z, strings.Join(records, "\n\n")+"\n\n")
	if e := z.Close(); err != nil || e != nil {
		t.Error(err, e)
	}
	return b.Bytes()
}

// TestVerifyOfAComponent: its files are an input too.
func TestVerifyOfAComponent(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, locked)
	r.Name, r.Prefix, r.Packages, r.Upgrade, r.Audit = "vmapi", "vmapi-zfs", nil, false, false
	r.Component.Package = filepath.Join(t.TempDir(), "vmapi.tar.gz")
	pack := func(content string) {
		var raw bytes.Buffer
		z := gzip.NewWriter(&raw)
		w := tar.NewWriter(z)
		for _, h := range []tar.Header{{Name: "root/", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "root/opt/", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "root/opt/hello", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}} {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				fmt.Fprint(w, content)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.Component.Package, raw.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pack("hello")
	res := b.build(t, r)
	if err := Verify(context.Background(), res.Record, b.opts.Out, b.opts); err != nil {
		t.Fatal(err)
	}
	pack("hellO")
	err := Verify(context.Background(), res.Record, b.opts.Out, b.opts)
	if fault.KindOf(err) != fault.Drift || !strings.Contains(err.Error(), "vmapi.tar.gz is not what the image was made of") {
		t.Errorf("got %v", err)
	}
}
