package imgstore

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
)

const base = "41bd4100-eb86-409a-85b0-e649aadf6f62"

func start(t *testing.T) (*sandbox.Sandbox, *sandbox.Faults) {
	t.Helper()
	faults := new(sandbox.Faults)
	sb, err := sandbox.Start(t.Context(), sandbox.Options{Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sb.Close(); err != nil {
			t.Error(err)
		}
	})
	return sb, faults
}

func source(t *testing.T, sb *sandbox.Sandbox) Source {
	t.Helper()
	src, err := ParseSource(sb.ImageURL(), SourceOptions{Transport: sb.Transport(nil), Backoff: []time.Duration{}, Fetch: &fetch.Client{
		Backoff: func(int) time.Duration { return time.Millisecond }}})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	if o.CacheDir == "" {
		o.CacheDir = t.TempDir()
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// image writes an own build: a manifest and its file, both named after the
// uuid, and returns their paths.
func image(t *testing.T, dir, uuid, origin, content string, change func(*imgmanifest.Manifest)) (manifest, file string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return imageFile(t, dir, uuid, origin, b.Bytes(), "gzip", ".zfs.gz", change)
}

func imageFile(t *testing.T, dir, uuid, origin string, content []byte, compression, end string, change func(*imgmanifest.Manifest)) (manifest, file string) {
	t.Helper()
	sum := sha1.Sum(content)
	m, err := imgmanifest.Parse(fmt.Appendf(nil,
		`{"v":2,"uuid":%q,"name":"n","version":"1","type":"zone-dataset","os":"smartos","files":[{"sha1":%q,"size":%d,"compression":%q}]}`,
		uuid, hex.EncodeToString(sum[:]), len(content), compression))
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		if err := m.Set("origin", origin); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(m)
	}
	manifest, file = filepath.Join(dir, uuid+".imgmanifest"), filepath.Join(dir, uuid+end)
	if err := os.WriteFile(manifest, m.Encode(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return manifest, file
}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func content(t *testing.T, img Image) string {
	t.Helper()
	f, err := img.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(raw)) != img.Size {
		t.Errorf("stream has %d bytes, Size says %d", len(raw), img.Size)
	}
	return string(raw)
}

// nothingHalfMade checks that the cache holds complete entries only.
func nothingHalfMade(t *testing.T, s *Store) {
	t.Helper()
	streams, err := filepath.Glob(filepath.Join(s.streams(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	indexes := 0 // beside their sidecars
	for _, name := range streams {
		if base, ok := strings.CutSuffix(name, indexEnd); ok {
			if _, err := os.Stat(base + sidecarEnd); err == nil {
				indexes++
			}
		}
	}
	if got, want := len(streams)-indexes, 2*len(s.entries("*")); got != want {
		t.Errorf("%d files in the cache, want %d: %q", got, want, streams)
	}
	damaged, err := s.Verify(t.Context())
	if err != nil || len(damaged) > 0 {
		t.Errorf("cache is damaged: %v, %v", damaged, err)
	}
}

func TestChainFromServerThenCache(t *testing.T) {
	t.Parallel()
	sb, faults := start(t)
	s := open(t, Options{Sources: []Source{source(t, sb)}, Sandbox: true})
	chain, err := s.Chain(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) != 1 || chain[0].SHA1 != "72e2eee64e91cccf219a4788786d19ef65801d9d" || chain[0].FileSize != 148193 {
		t.Fatalf("chain = %+v", chain)
	}
	asked := len(faults.Requests())
	again, err := s.Chain(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	if len(faults.Requests()) != asked {
		t.Errorf("the server was asked again: %v", faults.Requests()[asked:])
	}
	if again[0].From != "cache" || again[0].SHA256 != chain[0].SHA256 || again[0].Path != chain[0].Path {
		t.Errorf("from the cache: %+v", again[0])
	}
	nothingHalfMade(t, s)
}

func TestChainOfThree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	image(t, dir, id(1), "", "base", nil)
	image(t, dir, id(2), id(1), "middle", nil)
	image(t, dir, id(3), id(2), "top", nil)
	src, err := NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Sources: []Source{src}})
	chain, err := s.Chain(t.Context(), id(3))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, img := range chain {
		got = append(got, content(t, img))
	}
	if strings.Join(got, " ") != "base middle top" {
		t.Errorf("chain is %q", got)
	}
	nothingHalfMade(t, s)
}

func TestBadChains(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, want string
		kind       fault.Kind
		make       func(t *testing.T, dir string)
	}{
		{"cycle", "lead back", fault.Network, func(t *testing.T, dir string) {
			image(t, dir, id(1), id(2), "a", nil)
			image(t, dir, id(2), id(1), "b", nil)
		}},
		{"too long", "more than 100 origins", fault.Network, func(t *testing.T, dir string) {
			for i := range 102 {
				image(t, dir, id(i+1), id(i+2), "x", nil)
			}
		}},
		{"origin missing", "origin of " + id(1), fault.Network, func(t *testing.T, dir string) {
			image(t, dir, id(1), id(2), "a", nil)
		}},
		{"not active", "disabled, not active", fault.Network, func(t *testing.T, dir string) {
			image(t, dir, id(1), "", "a", func(m *imgmanifest.Manifest) { _ = m.Set("state", "disabled") })
		}},
		{"wrong sha1", "its manifest says", fault.Network, func(t *testing.T, dir string) {
			_, file := image(t, dir, id(1), "", "a", nil)
			spoil(t, file)
		}},
		{"wrong size", "the manifest says", fault.Network, func(t *testing.T, dir string) {
			_, file := image(t, dir, id(1), "", "a", nil)
			if err := os.Truncate(file, 3); err != nil {
				t.Fatal(err)
			}
		}},
		{"no gzip", "cannot be read: gzip", fault.Network, func(t *testing.T, dir string) {
			imageFile(t, dir, id(1), "", []byte("plain text"), "gzip", ".zfs.gz", nil)
		}},
		{"bomb", "expands to more than", fault.Network, func(t *testing.T, dir string) {
			image(t, dir, id(1), "", strings.Repeat("\x00", 160<<20), nil)
		}},
		{"sandbox image", "was made in the sandbox", fault.Policy, func(t *testing.T, dir string) {
			image(t, dir, id(1), "", "a", func(m *imgmanifest.Manifest) { _ = m.Set("tags", map[string]any{"sandbox": true}) })
		}},
		{"two files", "2 files", fault.Network, func(t *testing.T, dir string) {
			image(t, dir, id(1), "", "a", func(m *imgmanifest.Manifest) {
				_ = m.Set("files", append(m.Files(), m.Files()...))
			})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tt.make(t, dir)
			src, err := NewDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, Options{Sources: []Source{src}})
			_, err = s.Chain(t.Context(), id(1))
			if err == nil || !strings.Contains(err.Error(), tt.want) || fault.KindOf(err) != tt.kind {
				t.Errorf("kind %d: %v; want kind %d, %q", fault.KindOf(err), err, tt.kind, tt.want)
			}
			nothingHalfMade(t, s)
		})
	}
}

func spoil(t *testing.T, name string) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCompressions(t *testing.T) {
	t.Parallel()
	// printf hello | xz -c, bzip2 -c (xz 5.4.1, bzip2 1.0.8)
	files := map[string]struct{ end, hex string }{
		"none":  {".zfs", "68656c6c6f"},
		"xz":    {".zfs.xz", xzHello},
		"bzip2": {".zfs.bz2", bzip2Hello},
	}
	for compression, f := range files {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			raw, err := hex.DecodeString(f.hex)
			if err != nil {
				t.Fatal(err)
			}
			imageFile(t, dir, id(1), "", raw, compression, f.end, nil)
			s := open(t, Options{OwnDirs: []string{dir}})
			chain, err := s.Chain(t.Context(), id(1))
			if err != nil {
				t.Fatal(err)
			}
			if got := content(t, chain[0]); got != "hello" {
				t.Errorf("content %q", got)
			}
		})
	}
}

func TestServerFaults(t *testing.T) {
	t.Parallel()
	file, manifest := "/images/"+base+"/file", "/images/"+base
	tests := []struct {
		name  string
		fault sandbox.Fault
		want  string // "" is success
	}{
		{"slow", sandbox.Fault{Path: file, Delay: 20 * time.Millisecond, Pause: time.Millisecond}, ""},
		{"manifest: reset", sandbox.Fault{Path: manifest, Reset: true}, "server closed the connection"},
		{"manifest: HTML error", sandbox.Fault{Path: manifest, Status: 502, Body: "<html><h1>Bad gateway</h1>"}, "HTTP 502 Bad Gateway: <html><h1>Bad gateway"},
		{"manifest: redirect", sandbox.Fault{Path: manifest, Redirect: "https://elsewhere.example.test/"}, "redirects are not followed: https://elsewhere.example.test/"},
		{"manifest: of another image", sandbox.Fault{Path: manifest, Status: 200, Body: `{"v":2,"uuid":"` + id(9) + `"}`}, "answer is image"},
		{"manifest: gone", sandbox.Fault{Path: manifest, Status: 404, Body: `{"code":"ResourceNotFound","message":"image not found"}`}, "not in http"},
		{"manifest: not active", sandbox.Fault{Path: manifest, Status: 200, Body: `{"v":2,"uuid":"` + base + `","state":"unactivated"}`}, "not active"},
		{"manifest: no JSON", sandbox.Fault{Path: manifest, Status: 200, Body: "<p>hi"}, "not JSON"},
		{"manifest: refused", sandbox.Fault{Path: manifest, Status: 401, Body: `{"code":"UnauthorizedError","message":"Unauthorized"}`}, "UnauthorizedError (HTTP 401)"},
		{"file: cut once", sandbox.Fault{Path: file, Times: 1, Cut: 60000}, ""},
		{"file: cut always", sandbox.Fault{Path: file, Cut: 20000}, "unexpected EOF"},
		{"file: 503, then fine", sandbox.Fault{Path: file, Times: 3, Status: 503, Body: "<html>"}, ""},
		{"file: reset, then fine", sandbox.Fault{Path: file, Times: 3, Reset: true}, ""},
		{"file: wrong length", sandbox.Fault{Path: file, Lie: -5}, "148188 bytes, expected are 148193"},
		{"file: longer length", sandbox.Fault{Path: file, Lie: 5}, "148198 bytes, expected are 148193"},
		{"file: no length", sandbox.Fault{Path: file, NoLength: true}, ""},
		{"file: a byte changed", sandbox.Fault{Path: file, Corrupt: 70000}, "MD5"},
		{"file: a byte changed, no MD5", sandbox.Fault{Path: file, Corrupt: 70000, Drop: []string{"Content-Md5"}}, "SHA-1"},
		{"file: a byte changed once", sandbox.Fault{Path: file, Corrupt: 70000, Times: 1}, ""},
		{"file: gone", sandbox.Fault{Path: file, Status: 404, Body: `{"code":"ResourceNotFound","message":"x"}`}, "404 Not Found"},
		{"file: redirect", sandbox.Fault{Path: file, Redirect: "/elsewhere"}, "302 Found, a redirect that is not followed"},
		{"file: server error", sandbox.Fault{Path: file, Status: 500, Body: `{"message":"boom"}`}, "500 Internal Server Error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sb, faults := start(t)
			faults.Add(tt.fault)
			s := open(t, Options{Sources: []Source{source(t, sb)}, Sandbox: true})
			_, err := s.Chain(t.Context(), base)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("error: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want %q", err, tt.want)
			case tt.want != "" && fault.KindOf(err) != fault.Network:
				t.Errorf("kind %d of %v", fault.KindOf(err), err)
			case tt.want != "" && !strings.Contains(err.Error(), "127.0.0.1"):
				t.Errorf("%v does not name the server", err)
			}
			nothingHalfMade(t, s)
			faults.Clear()
			if _, err := s.Chain(t.Context(), base); err != nil {
				t.Errorf("after the fault is gone: %v", err)
			}
			nothingHalfMade(t, s)
		})
	}
}

// Components name released images, which are not there.
func TestSandboxHintsAtBuildingTheBase(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	s := open(t, Options{Sandbox: true, Sources: []Source{source(t, sb)}})
	_, err := s.Chain(t.Context(), "a9368831-958e-432d-a031-f8ce6768d190")
	for _, want := range []string{"make -C deps/eng FLAVOR-buildimage", "make BASE_IMAGE_UUID=UUID"} {
		if !strings.Contains(fault.Hint(err), want) {
			t.Errorf("hint %q lacks %s", fault.Hint(err), want)
		}
	}
}

func TestUnreachableServerHintsAtBothWaysOut(t *testing.T) {
	t.Parallel()
	src, err := ParseSource("http://127.0.0.1:1", SourceOptions{Transport: http.DefaultTransport, Backoff: []time.Duration{time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Sources: []Source{src}})
	_, err = s.Chain(t.Context(), base)
	if fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), "http://127.0.0.1:1") {
		t.Errorf("kind %d: %v", fault.KindOf(err), err)
	}
	for _, want := range []string{"ENGBLD_SANDBOX=true", "ENGBLD_IMAGE_SOURCE=DIR"} {
		if !strings.Contains(fault.Hint(err), want) {
			t.Errorf("hint %q lacks %s", fault.Hint(err), want)
		}
	}
}

func TestOffline(t *testing.T) {
	t.Parallel()
	sb, faults := start(t)
	s := open(t, Options{Sources: []Source{source(t, sb)}, Sandbox: true, Offline: true})
	if _, err := s.Chain(t.Context(), base); fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), "ENGBLD_OFFLINE") {
		t.Errorf("error %v", err)
	}
	if n := len(faults.Requests()); n > 0 {
		t.Errorf("%d requests", n)
	}
}

func TestConcurrentBuildsShareOneDownload(t *testing.T) {
	t.Parallel()
	sb, faults := start(t)
	faults.Add(sandbox.Fault{Path: "/images/*/file", Pause: 5 * time.Millisecond})
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		s := open(t, Options{CacheDir: dir, Sources: []Source{source(t, sb)}, Sandbox: true})
		wg.Go(func() {
			if _, err := s.Chain(t.Context(), base); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := faults.Count("GET", "/images/*/file"); n != 1 {
		t.Errorf("the file was fetched %d times", n)
	}
	nothingHalfMade(t, open(t, Options{CacheDir: dir, Sandbox: true}))
}

// TestHelperProcess is a build in a process of its own.
func TestHelperProcess(t *testing.T) {
	address, dir := os.Getenv("IMGSTORE_TEST_URL"), os.Getenv("IMGSTORE_TEST_DIR")
	if address == "" {
		t.Skip("runs for TestProcessesShareOneDownload only")
	}
	src, err := ParseSource(address, SourceOptions{})
	must(t, err)
	_, err = open(t, Options{CacheDir: dir, Sources: []Source{src}, Sandbox: true}).Chain(t.Context(), base)
	must(t, err)
}

func TestProcessesShareOneDownload(t *testing.T) {
	t.Parallel()
	sb, faults := start(t)
	faults.Add(sandbox.Fault{Path: "/images/*/file", Pause: 40 * time.Millisecond})
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperProcess$")
		cmd.Env = append(os.Environ(), "IMGSTORE_TEST_URL="+sb.ImageURL(), "IMGSTORE_TEST_DIR="+dir)
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	if n := faults.Count("GET", "/images/*/file"); n != 1 {
		t.Errorf("the file was fetched %d times", n)
	}
	nothingHalfMade(t, open(t, Options{CacheDir: dir, Sandbox: true}))
}

func TestKilledBuildLeavesNothingInTheWay(t *testing.T) {
	t.Parallel()
	sb, faults := start(t)
	faults.Add(sandbox.Fault{Path: "/images/*/file", Times: 1, Pause: 100 * time.Millisecond})
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), "IMGSTORE_TEST_URL="+sb.ImageURL(), "IMGSTORE_TEST_DIR="+dir)
	must(t, cmd.Start())
	for deadline := time.Now().Add(time.Minute); faults.Count("GET", "/images/*/file") == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the build does not fetch")
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	s := open(t, Options{CacheDir: dir, Sources: []Source{source(t, sb)}, Sandbox: true})
	_, err := s.Chain(t.Context(), base)
	must(t, err)
	nothingHalfMade(t, s)
	open(t, Options{CacheDir: dir, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	if left, err := os.ReadDir(s.parts()); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestDamagedCacheIsRepaired(t *testing.T) {
	t.Parallel()
	damages := map[string]func(t *testing.T, e *entry){
		"stream changed": func(t *testing.T, e *entry) { spoil(t, e.stream) },
		"stream cut": func(t *testing.T, e *entry) {
			must(t, os.Chmod(e.stream, 0o644))
			must(t, os.Truncate(e.stream, 10))
		},
		"stream gone":      func(t *testing.T, e *entry) { must(t, os.Remove(e.stream)) },
		"sidecar gone":     func(t *testing.T, e *entry) { must(t, os.Remove(e.sidecar)) },
		"sidecar unread":   func(t *testing.T, e *entry) { must(t, os.WriteFile(e.sidecar, []byte("{"), 0o644)) },
		"sidecar of other": func(t *testing.T, e *entry) { must(t, os.WriteFile(e.sidecar, []byte("{}"), 0o644)) },
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, _ := start(t)
			s := open(t, Options{Sources: []Source{source(t, sb)}, Sandbox: true})
			first, err := s.Chain(t.Context(), base)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, s.findEntry(base, ""))
			second, err := s.Chain(t.Context(), base)
			if err != nil {
				t.Fatal(err)
			}
			if second[0].SHA256 != first[0].SHA256 {
				t.Error("another stream")
			}
			nothingHalfMade(t, s)
		})
	}
}

func TestTouchedStreamIsReadAgainAndKept(t *testing.T) {
	t.Parallel()
	sb, faults := start(t)
	s := open(t, Options{Sources: []Source{source(t, sb)}, Sandbox: true})
	chain, err := s.Chain(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	must(t, os.Chtimes(chain[0].Path, time.Now(), time.Unix(1, 0)))
	n := len(faults.Requests())
	if _, err := s.Chain(t.Context(), base); err != nil || len(faults.Requests()) != n {
		t.Errorf("error %v, %d requests", err, len(faults.Requests())-n)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRegisteredBuildIsFoundElsewhere(t *testing.T) {
	t.Parallel()
	cache, bits := t.TempDir(), t.TempDir()
	manifest, file := image(t, bits, id(1), "", "own", nil)
	s := open(t, Options{CacheDir: cache})
	must(t, s.Register(t.Context(), manifest, file))
	must(t, s.Register(t.Context(), manifest, file)) // again is no error
	must(t, os.RemoveAll(bits))
	chain, err := open(t, Options{CacheDir: cache}).Chain(t.Context(), id(1))
	must(t, err)
	if got := content(t, chain[0]); got != "own" {
		t.Errorf("content %q", got)
	}
	// A damaged one is refused, found by Verify, and then gone.
	spoil(t, filepath.Join(s.own(), id(1)+".file"))
	damaged, err := s.Verify(t.Context())
	must(t, err)
	if len(damaged) != 1 || !damaged[0].Own {
		t.Errorf("damaged: %+v", damaged)
	}
}

func TestSandboxAndRealBuildsAreKeptApart(t *testing.T) {
	t.Parallel()
	bits := t.TempDir()
	mark := func(m *imgmanifest.Manifest) { _ = m.Set("tags", map[string]any{"sandbox": true}) }
	sandboxManifest, sandboxFile := image(t, bits, id(1), "", "sandbox", mark)
	realManifest, realFile := image(t, bits, id(2), "", "real", nil)

	real := open(t, Options{OwnDirs: []string{bits}})
	if _, err := real.Chain(t.Context(), id(1)); fault.KindOf(err) != fault.Policy {
		t.Errorf("a real build on a sandbox image: %v", err)
	}
	if err := real.Register(t.Context(), sandboxManifest, sandboxFile); fault.KindOf(err) != fault.Policy {
		t.Errorf("registering a sandbox image: %v", err)
	}
	sandboxed := open(t, Options{OwnDirs: []string{bits}, Sandbox: true})
	if _, err := sandboxed.Chain(t.Context(), id(2)); fault.KindOf(err) != fault.Network {
		t.Errorf("a sandbox build on a real own build: %v", err)
	}
	if err := sandboxed.Register(t.Context(), realManifest, realFile); fault.KindOf(err) != fault.Policy {
		t.Errorf("registering a real image in the sandbox: %v", err)
	}
	if _, err := sandboxed.Chain(t.Context(), id(1)); err != nil {
		t.Error(err)
	}
}

func TestLeftoversAreCleaned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, Options{CacheDir: dir})
	left := []string{
		filepath.Join(s.streams(), tempPrefix+id(1)+"-123"),
		filepath.Join(s.streams(), id(1)+"-"+strings.Repeat("0", 40)+streamEnd),
		filepath.Join(s.own(), tempPrefix+id(1)),
	}
	busy := filepath.Join(s.streams(), tempPrefix+id(2)+"-123")
	part := filepath.Join(s.parts(), tempPrefix+"part-0123", "data")
	must(t, os.Mkdir(filepath.Dir(part), 0o755))
	for _, name := range append(left, busy, part) {
		must(t, os.WriteFile(name, []byte("x"), 0o644))
	}
	unlock, err := s.lock(t.Context(), id(2))
	must(t, err)
	open(t, Options{CacheDir: dir})
	for _, name := range left {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range []string{busy, part} {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	unlock()
	s = open(t, Options{CacheDir: dir, Now: func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }})
	for _, name := range []string{busy, part} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestDuAndPrune(t *testing.T) {
	t.Parallel()
	bits := t.TempDir()
	image(t, bits, id(1), "", "old", nil)
	image(t, bits, id(2), "", "new", nil)
	now := time.Now()
	s := open(t, Options{OwnDirs: []string{bits}, Now: func() time.Time { return now }})
	_, err := s.Chain(t.Context(), id(1))
	must(t, err)
	now = now.Add(10 * 24 * time.Hour)
	_, err = s.Chain(t.Context(), id(2))
	must(t, err)
	used, err := s.Du()
	must(t, err)
	if len(used) != 2 || used[0].Bytes == 0 || used[0].NameVersion != "n@1" {
		t.Errorf("Du: %+v", used)
	}
	o := PruneOptions{OlderThan: 24 * time.Hour, DryRun: true}
	for range 2 {
		gone, err := s.Prune(t.Context(), o)
		must(t, err)
		if len(gone) != 1 || gone[0].UUID != id(1) {
			t.Errorf("Prune(%+v): %+v", o, gone)
		}
		o.DryRun = false
	}
	gone, err := s.Prune(t.Context(), PruneOptions{Keep: []string{id(2)}})
	if err != nil || len(gone) > 0 {
		t.Errorf("Prune: %+v, %v", gone, err)
	}
	nothingHalfMade(t, s)
}

func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	bits := t.TempDir()
	image(t, bits, id(1), "", "x", nil)
	s := open(t, Options{OwnDirs: []string{bits}})
	unlock, err := s.lock(t.Context(), id(1))
	must(t, err)
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
	defer cancel()
	if _, err := s.Chain(ctx, id(1)); err != context.DeadlineExceeded {
		t.Errorf("error %v", err)
	}
}

// A stream whose sidecar appears while it is looked at stays; one without goes.
func TestCleanBesideObtain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base := filepath.Join(dir, "streams", id(1)+"-"+strings.Repeat("a", 40))
	left := filepath.Join(dir, "streams", id(2)+"-"+strings.Repeat("b", 40)+streamEnd)
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{base + streamEnd, base + indexEnd, left} {
		if err := os.WriteFile(name, nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(Options{CacheDir: dir, Now: func() time.Time {
		// Another build, between the first look and the lock.
		if err := os.WriteFile(base+sidecarEnd, nil, 0o644); err != nil {
			t.Error(err)
		}
		return time.Now()
	}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{base + streamEnd, base + indexEnd} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s: %v", left, err)
	}
}
