package build

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/plan"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/google/go-cmp/cmp"
)

const locked = "triton-origin-x86_64-24.4.1"

func (b *bench) lock(t *testing.T, r Request) *lock.Lock {
	t.Helper()
	l, err := Resolve(context.Background(), r, b.opts)
	if err != nil {
		t.Fatalf("%v\n%s", err, b.story)
	}
	return l
}

func outputs(t *testing.T, res *Result) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, name := range []string{res.FilePath, res.ManifestPath, res.AuditPath} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(name)] = string(raw)
	}
	return got
}

// TestLockedBuild: for each flavor the lock holds everything, and a build with it
// gives the bytes of one without, with nothing left of the servers.
func TestLockedBuild(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"triton-origin-multiarch-15.4.1", "triton-origin-x86_64-18.4.0", "triton-origin-x86_64-21.4.0", locked} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, sandbox.Options{})
			r := b.request(t, name)
			b.opts.Records = lock.Records(t.TempDir())
			free := b.build(t, r)
			l := b.lock(t, r)
			if d := cmp.Diff(free.Record.Lock, *l); d != "" {
				t.Errorf("the build's record and the lock differ:\n%s", d)
			}
			parsed, err := lock.Parse(l.Encode())
			if err != nil {
				t.Fatalf("%v\n%s", err, l.Encode())
			}
			for _, p := range l.Packages {
				if p.SignedBy == "" || !slices.Contains(l.Keyring.Keys, p.SignedBy) {
					t.Errorf("%s is signed by %q, the keyring has %v", p.FullName(), p.SignedBy, l.Keyring.Keys)
				}
			}
			b.opts.Lock, b.opts.Out, b.opts.Offline = parsed, t.TempDir(), true
			b.opts.Client.Offline = true
			if d := cmp.Diff(outputs(t, free), outputs(t, b.build(t, r))); d != "" {
				t.Error("a build with the lock gives other bytes")
			}
			if again := b.lock(t, r); !bytes.Equal(again.Encode(), l.Encode()) {
				t.Errorf("the lock of a locked build differs:\n%s", cmp.Diff(string(l.Encode()), string(again.Encode())))
			}
		})
	}
}

func TestStaleLockIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, locked)
	b.opts.Lock, b.opts.LockFile = b.lock(t, r), "images/x/flavor.lock"
	for _, c := range []struct {
		name string
		mend func(*Request, *lock.Lock)
		want string
	}{
		{"other packages", func(r *Request, _ *lock.Lock) { r.Packages = []string{"curl"} }, "images/x/flavor.lock is stale: packages differ: "},
		{"other base", func(r *Request, _ *lock.Lock) { r.Base = "a7199134-7e94-11ec-be67-db6f482136c2" }, "the base image is now a7199134"},
		{"no upgrade", func(r *Request, _ *lock.Lock) { r.Upgrade = false }, "upgrading first is now off"},
		{"other file of the base", func(_ *Request, l *lock.Lock) { l.Images[0].SHA1 = strings.Repeat("0", 40) }, "is another file now"},
		{"other stream of the base", func(_ *Request, l *lock.Lock) { l.Images[0].Stream = strings.Repeat("0", 64) }, "is another file now"},
		{"other archive", func(_ *Request, l *lock.Lock) { l.Packages[0].SHA256 = strings.Repeat("0", 64) }, "is another file now"},
		{"package nobody needs", func(_ *Request, l *lock.Lock) {
			p := l.Packages[len(l.Packages)-1]
			p.Name, p.SHA256, p.Size = "libnobody", l.Packages[0].SHA256, l.Packages[0].Size
			l.Packages = append(l.Packages, p)
		}, "nothing asks any more to install libnobody-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, opts := r, b.opts
			l, err := lock.Parse(b.opts.Lock.Encode())
			if err != nil {
				t.Fatal(err)
			}
			opts.Lock, opts.Out = l, t.TempDir()
			c.mend(&r, l)
			_, err = Run(context.Background(), r, opts)
			if fault.KindOf(err) != fault.Drift || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v (kind %d), want drift with %q", err, fault.KindOf(err), c.want)
			}
			if !strings.Contains(fault.Hint(err), "engbld lock "+locked) {
				t.Errorf("hint %q does not renew the lock", fault.Hint(err))
			}
			if left, _ := os.ReadDir(opts.Out); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestInputsChangedOnTheServer: one byte of one input, and a build with a lock
// stops, or takes the right one from the inputs.
func TestInputsChangedOnTheServer(t *testing.T) {
	t.Parallel()
	first := newBench(t, sandbox.Options{})
	r := first.request(t, locked)
	l := first.lock(t, r)
	want := outputs(t, first.build(t, r))
	inputs, err := lock.OpenInputs(t.TempDir(), lock.InputsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first.opts.Inputs = inputs
	if err := StoreInputs(context.Background(), l, first.opts, first.source); err != nil {
		t.Fatal(err)
	}
	const all = "/packages/SmartOS/2024Q4/x86_64/All/"
	for _, c := range []struct {
		name, path string
		kind       fault.Kind
	}{
		{"package", all + "curl-8.11.1.tgz", fault.Drift},
		{"vulnerabilities", "/vulns/pkg-vulnerabilities.gz", fault.Drift},
		{"base", "/images/" + r.Base + "/file", fault.Network},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var faults sandbox.Faults
			faults.Add(sandbox.Fault{Path: c.path, Corrupt: 60})
			b := newBench(t, sandbox.Options{Faults: &faults})
			b.opts.Lock = l
			_, err := Run(context.Background(), r, b.opts)
			if fault.KindOf(err) != c.kind {
				t.Errorf("got %v (kind %d), want kind %d", err, fault.KindOf(err), c.kind)
			}
			found, err := CheckInputs(context.Background(), l, b.opts, b.source)
			if err != nil {
				t.Fatal(err)
			}
			missing := 0
			for _, f := range found {
				if f.From == "" {
					missing++
				}
			}
			if want := 1; missing != want && c.name != "base" { // of a base only the manifest is looked at
				t.Errorf("%d inputs are missing, want %d: %+v", missing, want, found)
			}
			b.opts.Inputs = inputs
			b = b.from(t, inputs.ImageSource(l.Images))
			if d := cmp.Diff(want, outputs(t, b.build(t, r))); d != "" {
				t.Error("built from the inputs it has other bytes")
			}
		})
	}
	t.Run("damaged inputs", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(inputs.String())); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, "sha256", l.Packages[0].SHA256)
		flip(t, name, 100)
		damaged, err := lock.OpenInputs(dir, lock.InputsOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t, sandbox.Options{})
		b.opts.Lock, b.opts.Inputs, b.opts.Offline = l, damaged, true
		if _, err := Run(context.Background(), r, b.opts); err == nil || !strings.Contains(err.Error(), l.Packages[0].FullName()) {
			t.Errorf("got %v", err)
		}
	})
}

// flip changes one byte of a file.
func flip(t *testing.T, name string, at int64) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil { // it may be linked to elsewhere
		t.Fatal(err)
	}
	raw[at] ^= 1
	if err := os.WriteFile(name, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestUpdateOfOnePackage(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, locked)
	now := b.lock(t, r)
	old, err := lock.Parse(now.Encode())
	if err != nil {
		t.Fatal(err)
	}
	// As if an older curl were locked, which nobody has any more.
	b.opts.Lock, b.opts.Renew = old, []string{"curl"}
	for i := range old.Packages {
		if old.Packages[i].Name == "curl" {
			old.Packages[i].Version, old.Packages[i].SHA256 = "8.0.0", strings.Repeat("1", 64)
		}
	}
	got := b.lock(t, r)
	if d := cmp.Diff(now.Encode(), got.Encode()); d != "" {
		t.Errorf("the update is another lock than a new one:\n%s", cmp.Diff(string(now.Encode()), string(got.Encode())))
	}
	b.opts.Lock, b.opts.Renew = now, []string{"nosuchpackage"}
	if _, err := Resolve(context.Background(), r, b.opts); fault.KindOf(err) != fault.Usage {
		t.Errorf("an unknown package gives %v", err)
	}
}

// TestUpdateThatNeedsAnother: what is pinned stays; a package that needs a newer
// one says which to renew as well.
func TestUpdateThatNeedsAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, locked)
	l := b.lock(t, r)
	for i := range l.Packages {
		if l.Packages[i].Name == "nghttp2" {
			l.Packages[i].Version = "0.1"
		}
	}
	b.opts.Lock, b.opts.Renew = l, []string{"curl"}
	_, err := Resolve(context.Background(), r, b.opts)
	if err == nil || !strings.Contains(err.Error(), `needs "nghttp2>=`) || !strings.HasSuffix(fault.Hint(err), "--update curl --update nghttp2") {
		t.Errorf("got %v, hint %q", err, fault.Hint(err))
	}
	b.opts.Renew = []string{"curl", "nghttp2"}
	b.lock(t, r)
}

// TestInputsOnAWebServer: a copy of the inputs that a server hands out will do.
func TestInputsOnAWebServer(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, locked)
	l := b.lock(t, r)
	want := outputs(t, b.build(t, r))
	dir, err := lock.OpenInputs(t.TempDir(), lock.InputsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.opts.Inputs = dir
	if err := StoreInputs(context.Background(), l, b.opts, b.source); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(dir.String())))
	defer srv.Close()
	var faults sandbox.Faults
	faults.Add(sandbox.Fault{Path: "/**", Status: 404})
	far := newBench(t, sandbox.Options{Faults: &faults})
	web, err := lock.OpenInputs(srv.URL, lock.InputsOptions{Client: far.opts.Client, CacheDir: far.opts.PackageCache})
	if err != nil {
		t.Fatal(err)
	}
	far.opts.Inputs, far.opts.Lock = web, l
	far = far.from(t, web.ImageSource(l.Images))
	if d := cmp.Diff(want, outputs(t, far.build(t, r))); d != "" {
		t.Error("built from the server it has other bytes")
	}
	if err := StoreInputs(context.Background(), l, far.opts, far.source); fault.KindOf(err) != fault.Usage {
		t.Errorf("storing on the server gives %v", err)
	}
}

func TestNothingToDo(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, locked)
	b.opts.Records = lock.Records(t.TempDir())
	b.opts.Lock = b.lock(t, r)
	first := b.build(t, r)
	if first.Reused {
		t.Fatal("the first build did nothing")
	}
	if res := b.build(t, r); !res.Reused || res.Manifest.UUID() != first.Manifest.UUID() {
		t.Error("the second build did it all again")
	}
	p, err := Plan(context.Background(), r, b.opts)
	if err != nil {
		t.Fatal(err)
	}
	if p.Image != first.Manifest.UUID() || p.Steps[1].State != plan.Done {
		t.Errorf("the plan does not know of the image: %+v", p)
	}
	for name, change := range map[string]func(r *Request, o *Options){
		"version":   func(r *Request, _ *Options) { r.Version += "x" },
		"timestamp": func(r *Request, _ *Options) { r.Timestamp = r.Timestamp.Add(1e9) },
		"policy":    func(_ *Request, o *Options) { o.Policy = &Policy{FailOn: []string{"nothing-like-it"}} },
		"again":     func(_ *Request, o *Options) { o.Again = true },
		"lock":      func(_ *Request, o *Options) { o.Lock = nil },
	} {
		r, o := r, b.opts
		o.Out = t.TempDir()
		if err := os.CopyFS(o.Out, os.DirFS(b.opts.Out)); err != nil {
			t.Fatal(err)
		}
		change(&r, &o)
		if res, err := Run(context.Background(), r, o); err != nil || res.Reused {
			t.Errorf("%s changed: %v, reused %v", name, err, res != nil && res.Reused)
		}
	}
	flip(t, first.FilePath, 5000)
	if res := b.build(t, r); res.Reused {
		t.Error("a damaged result was taken for good")
	}
}

func TestPlanIsWhatRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, locked)
	open, err := Plan(context.Background(), r, b.opts)
	if err != nil {
		t.Fatal(err)
	}
	res := b.build(t, r)
	var planned, ran []string
	for _, s := range open.Steps {
		if s.State == plan.Run {
			planned = append(planned, s.Name)
		}
		if s.Why == "" {
			t.Errorf("step %s does not say why", s.Name)
		}
	}
	for _, s := range res.Timings {
		ran = append(ran, s.Step)
	}
	if d := cmp.Diff(planned, ran); d != "" {
		t.Errorf("planned and run differ:\n%s", d)
	}
	b.opts.Lock = &res.Record.Lock
	p, err := Plan(context.Background(), r, b.opts)
	if err != nil {
		t.Fatal(err)
	}
	if p.Digest != res.Record.Build.Plan {
		t.Errorf("planned %s, built %s", p.Digest, res.Record.Build.Plan)
	}
	var named []string
	for _, s := range p.Steps {
		for _, in := range s.Inputs {
			if in.Place != plan.Cached || in.Digest == "" {
				t.Errorf("%s: %+v is not in the cache after a build", s.Name, in)
			}
			named = append(named, in.Kind)
		}
	}
	if want := len(b.opts.Lock.Packages) + len(b.opts.Lock.Images) + 1; len(named) != want {
		t.Errorf("%d inputs in the plan, want %d", len(named), want)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	r := b.request(t, locked)
	res := b.build(t, r)
	check := func(dir string) error { return Verify(context.Background(), res.Record, dir, b.opts) }
	if err := check(b.opts.Out); err != nil {
		t.Fatal(err)
	}
	// Another image in its place: the same request with another package.
	other := r
	other.Packages = []string{"curl"}
	o := b.opts
	o.Out = t.TempDir()
	if _, err := Run(context.Background(), other, o); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		want   []string
	}{
		{"byte of the file", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, filepath.Base(res.FilePath)), 9000) }, []string{".zfs.gz", "byte 9000", "record "}},
		{"other content", func(t *testing.T, dir string) {
			if err := os.CopyFS(dir, os.DirFS(o.Out)); err != nil && !errors.Is(err, os.ErrExist) {
				t.Fatal(err)
			}
			name := filepath.Base(res.FilePath)
			raw, err := os.ReadFile(filepath.Join(o.Out, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
				t.Fatal(err)
			}
		}, []string{".zfs.gz", "./root/", "record 0: BEGIN"}},
		{"byte of the audit", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, filepath.Base(res.AuditPath)), 10) }, []string{".pkgaudit", "line 1 is"}},
		{"byte of the manifest", func(t *testing.T, dir string) {
			name := filepath.Join(dir, filepath.Base(res.ManifestPath))
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			flip(t, name, int64(bytes.Index(raw, []byte("published_at")))+18)
		}, []string{".imgmanifest", "published_at is"}},
		{"missing file", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, filepath.Base(res.AuditPath))) }, []string{".pkgaudit", "missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(b.opts.Out)); err != nil {
				t.Fatal(err)
			}
			c.change(t, dir)
			err := check(dir)
			if fault.KindOf(err) != fault.Drift {
				t.Fatalf("got %v (kind %d), want drift", err, fault.KindOf(err))
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("got %v, want something with %q", err, w)
				}
			}
			t.Log(err)
		})
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	var faults sandbox.Faults
	faults.Add(sandbox.Fault{Path: "/vulns/pkg-vulnerabilities.gz", Status: 404})
	b := newBench(t, sandbox.Options{Faults: &faults})
	b.opts.Keep = true
	r := b.request(t, locked)
	if _, err := Run(context.Background(), r, b.opts); err == nil {
		t.Fatal("built without the list")
	}
	left, err := os.ReadDir(b.opts.Out)
	if err != nil || len(left) != 1 || !strings.Contains(left[0].Name(), ".listing-") {
		t.Errorf("kept: %v, %v", left, err)
	}
	if !strings.Contains(b.story.String(), "kept: "+b.opts.Out) {
		t.Errorf("the story does not say where: %s", b.story)
	}
	r.Audit = false
	b.build(t, r)
	if left, _ := os.ReadDir(b.opts.Out); len(left) != 2 {
		t.Errorf("the next build leaves %v", left)
	}
}

func TestWriteLock(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	b.opts.WriteLock = true
	res := b.build(t, b.request(t, locked))
	rec, err := lock.ReadRecord(strings.TrimSuffix(res.ManifestPath, ".imgmanifest") + RecordSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(res.Record, rec); d != "" {
		t.Error(d)
	}
}
