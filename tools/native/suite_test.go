//go:build linux

package native_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/native"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/google/go-cmp/cmp"
)

// engine is an engine at work in a place of its own.
type engine struct {
	base    string
	options build.Options // without Out and Story
	left    func(t *testing.T)
}

// heard notes the steps a build tells of, and may stop it at one.
type heard struct {
	mu    sync.Mutex
	steps []string
	stop  map[string]func()
}

func (h *heard) Step(name, _ string, _ ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.steps = append(h.steps, name)
	if f := h.stop[name]; f != nil {
		f()
	}
}
func (h *heard) Infof(string, ...any)   {}
func (h *heard) Detailf(string, ...any) {}
func (h *heard) Warnf(string, ...any)   {}

func TestPortableEngine(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(context.Background(), sandbox.Options{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { sb.Close() })
	transport := sb.Transport(nil)
	source, err := imgstore.ParseSource(sb.ImageURL(), imgstore.SourceOptions{Transport: transport})
	must(t, err)
	store, err := imgstore.Open(imgstore.Options{CacheDir: t.TempDir(), Sources: []imgstore.Source{source}, Sandbox: true})
	must(t, err)
	suite(t, engine{base: "41bd4100-eb86-409a-85b0-e649aadf6f62", left: func(*testing.T) {}, options: build.Options{
		Images: store, Client: &fetch.Client{HTTP: &http.Client{Transport: transport}, Retries: -1}, PackageCache: t.TempDir(), Sandbox: true,
	}})
}

func TestNativeEngine(t *testing.T) {
	p := inPool(t)
	if p == nil {
		return
	}
	j := p.newJob(t, p.makeImages(t))
	before := p.mounts(t)
	source, err := imgstore.NewDir(j.Source)
	must(t, err)
	store, err := imgstore.Open(imgstore.Options{CacheDir: j.Cache, Sources: []imgstore.Source{source}})
	must(t, err)
	suite(t, engine{
		base: secondUUID,
		left: func(t *testing.T) { p.nothingLeft(t, j, before) },
		options: build.Options{Images: store, TempDir: j.Temp, Native: &native.Options{
			Runner: &native.Programs{Path: []string{p.file("sbin")}}, Dataset: p.set, StateDir: j.State,
		}},
	})
}

// suite is what every engine does the same way.
func suite(t *testing.T, e engine) {
	dir := t.TempDir()
	request := func(change func(*build.Request)) build.Request {
		r := build.Request{
			Name: "component", Prefix: "component-zfs", Version: "1.2.3", Base: e.base, Platform: build.DefaultPlatform,
			Manifest: json.RawMessage(`{"name":"component","version":"1.2.3","tags":{"smartdc_service":true}}`),
			Packages: []string{"curl"}, Upgrade: true, Audit: true, MOTD: true, SourceRepo: "https://example.invalid/component.git",
			Timestamp: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		}
		if change != nil {
			change(&r)
		}
		return r
	}
	with := func(path string) func(*build.Request) {
		return func(r *build.Request) { r.Component.Package = path }
	}
	run := func(t *testing.T, ctx context.Context, r build.Request, out string, h *heard) (*build.Result, error) {
		t.Helper()
		o := e.options
		o.Out, o.Story = out, h
		res, err := build.Run(ctx, r, o)
		e.left(t)
		if err != nil && len(entries(t, out)) > 0 {
			t.Errorf("after %v: %v", err, entries(t, out))
		}
		return res, err
	}
	const files = "component-zfs-1.2.3.imgmanifest component-zfs-1.2.3.pkgaudit component-zfs-1.2.3.zfs.gz"
	all := []string{"base", "upgrade", "packages", "pkgdb", "audit", "finish", "write", "done"}

	t.Run("an image", func(t *testing.T) {
		out, h := t.TempDir(), &heard{}
		for range 2 { // the second time over the first one's files
			h.steps = nil
			res, err := run(t, context.Background(), request(nil), out, h)
			must(t, err)
			wholeImage(t, res, e.base)
			if d := cmp.Diff(all, h.steps); d != "" {
				t.Errorf("steps (-want +got):\n%s", d)
			}
			if got := strings.Join(entries(t, out), " "); got != files {
				t.Errorf("files: %s", got)
			}
		}
	})
	t.Run("without audit", func(t *testing.T) {
		out, h := t.TempDir(), &heard{}
		res, err := run(t, context.Background(), request(func(r *build.Request) { r.Audit = false }), out, h)
		must(t, err)
		wholeImage(t, res, e.base)
		if slices.Contains(h.steps, "audit") || len(entries(t, out)) != 2 {
			t.Errorf("steps %v, files %v", h.steps, entries(t, out))
		}
	})
	for _, c := range []struct {
		name   string
		change func(*build.Request)
		kind   fault.Kind // 0: none
		want   string
	}{
		{"an empty archive", with(archive(t, dir, "empty.tar.gz", nil)), 0, ""},
		{"files", with(archive(t, dir, "files.tar.gz", map[string]string{"root/opt/component/file": "x"})), 0, ""},
		{"no archive", with(filepath.Join(dir, "absent.tar.gz")), fault.Step, "absent.tar.gz"},
		{"an archive without root/", with(archive(t, dir, "rootless.tar.gz", map[string]string{"opt/file": "x"})), fault.Step, "holds no directory root/"},
		{"a file where a directory is", with(archive(t, dir, "conflict.tar.gz", map[string]string{"root/opt": "x"})), fault.Step, "the image has a directory there"},
		{"a program of another system", with(archive(t, dir, "foreign.tar.gz", map[string]string{"root/opt/prog": linuxProgram(t)})), fault.Policy, "opt/prog"},
		{"no archive at all but text", with(text(t, dir)), fault.Step, "text.tar.gz"},
		{"an unknown base", func(r *build.Request) { r.Base = "00000000-0000-4000-8000-000000000000" }, fault.Network, "00000000-0000-4000-8000-000000000000"},
		{"no name for files", func(r *build.Request) { r.Prefix = "a/b" }, fault.Usage, `"a/b"`},
		{"no manifest", func(r *build.Request) { r.Manifest = json.RawMessage("{") }, fault.Usage, "manifest"},
		{"a manifest with its own uuid", func(r *build.Request) {
			r.Manifest = json.RawMessage(`{"name":"component","version":"1.2.3","uuid":"00000000-0000-4000-8000-000000000000"}`)
		}, fault.Usage, "uuid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(c.change)
			res, err := run(t, context.Background(), r, t.TempDir(), &heard{})
			switch {
			case c.kind == 0 && err == nil:
				wholeImage(t, res, e.base)
			case c.kind == 0 || err == nil || fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want):
				t.Errorf("kind %d: %v", fault.KindOf(err), err)
			}
		})
	}
	for _, step := range all[:len(all)-1] {
		t.Run("stopped at "+step, func(t *testing.T) {
			cause := errors.New("stopped")
			ctx, cancel := context.WithCancelCause(context.Background())
			_, err := run(t, ctx, request(nil), t.TempDir(), &heard{stop: map[string]func(){step: func() { cancel(cause) }}})
			if !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	}
}

// wholeImage looks at an image's files.
func wholeImage(t *testing.T, res *build.Result, base string) {
	t.Helper()
	if err := res.Manifest.Validate(); err != nil {
		t.Error(err)
	}
	raw, err := os.ReadFile(res.FilePath)
	must(t, err)
	f := res.Manifest.Files()[0]
	if f.Size != int64(len(raw)) || f.SHA1 != fmt.Sprintf("%x", sha1.Sum(raw)) || f.Compression != "gzip" {
		t.Errorf("the manifest says of the file %+v", f)
	}
	if imgmanifest.DeriveUUID(res.Manifest) != res.Manifest.UUID() || res.Manifest.Origin() != base || res.Manifest.PublishedAt() != "2026-01-01T00:00:00Z" {
		t.Errorf("manifest: %s", res.Manifest.Encode())
	}
	if res.AuditPath != "" {
		if _, err := os.Stat(res.AuditPath); err != nil {
			t.Error(err)
		}
	}
}

func archive(t *testing.T, dir, name string, files map[string]string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	f, err := os.Create(path)
	must(t, err)
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for name, content := range files {
		must(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}))
		_, err := w.Write([]byte(content))
		must(t, err)
	}
	must(t, errors.Join(w.Close(), z.Close(), f.Close()))
	return path
}

func text(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "text.tar.gz")
	must(t, os.WriteFile(path, []byte(strings.Repeat("no archive\n", 200)), 0o644))
	return path
}

// linuxProgram is a program of this machine.
func linuxProgram(t *testing.T) string {
	t.Helper()
	f, err := os.ReadFile("/bin/sh")
	must(t, err)
	return string(f)
}
