package lock

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/google/go-cmp/cmp"
)

const (
	theBase = "41bd4100-eb86-409a-85b0-e649aadf6f62"
	sum1    = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
	sum2    = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

func sample() *Lock {
	return &Lock{
		Format: 1, Name: "triton-origin-x86_64-24.4.1",
		Wants:           Wants{Base: theBase, Upgrade: true, Audit: true, Packages: []string{"curl", "gsed"}, Accept: []string{}},
		Images:          []Image{{UUID: theBase, Name: "minimal-64-lts", Version: "24.4.1", SHA1: sum1, Size: 12, Stream: sum2}},
		Keyring:         &Keyring{Path: "/opt/local/etc/gnupg/pkgsrc.gpg", Keys: []string{"AB", "CD"}},
		Vulnerabilities: &File{URL: "https://example.invalid/v.gz", Size: 5, SHA256: sum2},
		Packages: []Package{{Name: "curl", Version: "8.11.1", Replaces: "curl-8.9.0", Size: 3, SHA256: sum2, Repository: "https://example.invalid/All",
			SignedBy: "AB", Index: Index{PkgPath: "www/curl", BuildDate: "2025-01-01 00:00:00 +0000", Depends: []string{"zlib>=1"}}}},
		Removed: []Removed{{Name: "old-1"}},
		Known:   []Index{{PkgName: "new-2", Supersedes: []string{"old<2"}}},
	}
}

func TestEncodeAndParse(t *testing.T) {
	t.Parallel()
	want := sample()
	raw := want.Encode()
	got, err := Parse(raw)
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-written +read:\n%s\n%s", d, raw)
	}
	if !bytes.Equal(got.Encode(), raw) {
		t.Error("written again it is another text")
	}
}

func TestRecordEncodeAndParse(t *testing.T) {
	t.Parallel()
	want := &Record{Lock: *sample(), Build: Build{Image: theBase, Writer: "w 1", Plan: sum2, Request: "{\n \"name\": \"é\\\"\"\n}\n",
		Outputs: []Output{{"x-zfs-1.zfs.gz", 5, sum2}}}}
	got, err := ParseRecord(want.Encode())
	if err != nil {
		t.Fatalf("%v\n%s", err, want.Encode())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-written +read:\n%s", d)
	}
	records := Records(filepath.Join(t.TempDir(), "records"))
	if _, err := records.Get(theBase); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v of an empty directory", err)
	}
	if err := records.Put(want); err != nil {
		t.Fatal(err)
	}
	if got, err := records.Get(theBase); err != nil || got.Build.Plan != sum2 {
		t.Errorf("got %v, %v", got, err)
	}
	if err := records.PutTimings(theBase, []Timing{{"base", 1.5}}); err != nil {
		t.Fatal(err)
	}
	if got, err := records.Timings(theBase); err != nil || len(got) != 1 || got[0].Seconds != 1.5 {
		t.Errorf("timings: %v, %v", got, err)
	}
	if _, err := records.Get("../x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v for an impossible uuid", err)
	}
}

// TestRecordsOfKilledBuilds: what they were writing goes; nothing is elsewhere.
func TestRecordsOfKilledBuilds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".engbld-file-"+theBase+".toml-1"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Records(dir).PutTimings(theBase, nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if want := []string{theBase + ".timings.json"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

// TestInputsOfKilledRuns: what is being stored is in the inputs' own directory, and
// what killed runs left of that goes when it is old.
func TestInputsOfKilledRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := filepath.Join(dir, "sha256", ".engbld-file-abc-1")
	if err := os.MkdirAll(filepath.Dir(left), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	when := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(left, when, when); err != nil {
		t.Fatal(err)
	}
	in, err := OpenInputs(dir, InputsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	under := ""
	slow := readerFunc(func(p []byte) (int, error) {
		entries, err := os.ReadDir(filepath.Dir(left))
		if err == nil && len(entries) == 1 {
			under = entries[0].Name()
		}
		return 0, io.EOF
	})
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if err := in.write(slow, empty); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(under, ".engbld-file-"+empty+"-") {
		t.Errorf("being stored: %q", under)
	}
	if !in.Has(empty) {
		t.Error("it is not there")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := string(sample().Encode())
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "[wants]\n", "[wants]\ncolour = 1\n", "colour"},
		{"syntax", "[wants]", "[wants", "expected"},
		{"format", "format = 1", "format = 2", "format 2"},
		{"sha1", sum1, sum1[1:], "sha1"},
		{"sha256 of a package", "size = 3\nsha256 = \"" + sum2, "size = 3\nsha256 = \"X", "curl-8.11.1"},
		{"name leads elsewhere", `name = "curl"`, `name = "../curl"`, "../curl-8.11.1"},
		{"chain", "uuid = \"" + theBase, "uuid = \"5417ab20-3156-11ea-8b19-2b66f5e7a439", "the last image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bad := strings.Replace(good, c.old, c.new, 1)
			if bad == good {
				t.Fatal("nothing was changed")
			}
			if _, err := Parse([]byte(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
	name := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(name); fault.KindOf(err) != fault.Drift || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v, want drift that names the file", err)
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	l := sample()
	if why := l.Stale(l.Wants); why != nil {
		t.Errorf("stale against itself: %q", why)
	}
	for _, c := range []struct {
		mend func(*Wants)
		want string
	}{
		{func(w *Wants) { w.Base = "5417ab20-3156-11ea-8b19-2b66f5e7a439" }, "the base image is now 5417ab20-3156-11ea-8b19-2b66f5e7a439, the lock is for " + theBase},
		{func(w *Wants) { w.Upgrade = false }, "upgrading first is now off, the lock is for on"},
		{func(w *Wants) { w.Packages = []string{"curl", "sudo"} }, "packages differ: +sudo -gsed"},
		{func(w *Wants) { w.Packages = []string{"gsed", "curl"} }, "packages stand in another order now"},
		{func(w *Wants) { w.Accept = []string{"x:y"} }, "accepted actions differ: +x:y"},
	} {
		w := sample().Wants
		c.mend(&w)
		if got := strings.Join(l.Stale(w), "; "); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	was, now := sample(), sample()
	was.Packages = append(was.Packages, Package{Name: "gone", Version: "1"})
	now.Packages[0].Version = "8.12.0"
	now.Packages = append(now.Packages, Package{Name: "fresh", Version: "2"})
	now.Vulnerabilities = &File{SHA256: strings.Repeat("0", 64)}
	want := []string{"curl-8.11.1 -> 8.12.0", "+ fresh-2", "- gone-1", "vulnerabilities: another list (e3b0c44298fc -> 000000000000)"}
	if d := cmp.Diff(want, Changes(was, now)); d != "" {
		t.Error(d)
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	in, err := OpenInputs(dir, InputsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := in.PutBytes(ctx, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(src, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := in.Put(ctx, src, sum2); err == nil {
		t.Error("stored under another digest")
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	web, err := OpenInputs(srv.URL+"/", InputsOptions{Client: &fetch.Client{Retries: -1}, CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []*Inputs{in, web} {
		path, err := i.Get(ctx, sum, 0)
		if err != nil {
			t.Fatalf("%s: %v", i, err)
		}
		if b, _ := os.ReadFile(path); string(b) != "hello" {
			t.Errorf("%s: got %q", i, b)
		}
		if _, err := i.Get(ctx, sum2, 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v for what is not there", i, err)
		}
	}
	if web.Writable() || web.Put(ctx, src, sum) == nil {
		t.Error("a web server was written to")
	}
	if err := os.Chmod(in.path(sum), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in.path(sum), []byte("hellO"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Get(ctx, sum, 0); fault.KindOf(err) != fault.Drift {
		t.Errorf("a damaged file gives %v", err)
	}
	if _, err := OpenInputs("ftp://x/y", InputsOptions{}); fault.KindOf(err) != fault.Usage {
		t.Errorf("ftp gives %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample().Encode())
	f.Add([]byte("format = 1\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := Parse(raw)
		if err != nil {
			return
		}
		again, err := Parse(l.Encode())
		if err != nil {
			t.Fatalf("%v\n%s", err, l.Encode())
		}
		if !bytes.Equal(l.Encode(), again.Encode()) {
			t.Error("read and written twice it differs")
		}
	})
}

func TestImagesInInputs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	in, err := OpenInputs(dir, InputsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	const hello = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
	m, err := imgmanifest.Parse([]byte(`{"v": 2, "uuid": "` + theBase + `", "name": "x", "version": "1", "files": [{"sha1": "` + hello + `", "size": 5, "compression": "gzip"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if in.HasImage(ctx, theBase, hello) {
		t.Error("an image is there before it is stored")
	}
	if err := in.PutImage(ctx, m, file); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	web, err := OpenInputs(srv.URL, InputsOptions{Client: &fetch.Client{Retries: -1}, CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []*Inputs{in, web} {
		if !i.HasImage(ctx, theBase, hello) || i.HasImage(ctx, theBase, sum1) {
			t.Errorf("%s: the image is not there, or too many are", i)
		}
		src := i.ImageSource([]Image{{UUID: theBase, SHA1: hello}})
		got, err := src.Manifest(ctx, theBase)
		if err != nil {
			t.Fatalf("%s: %v", i, err)
		}
		path, err := src.File(ctx, got, "")
		if err != nil {
			t.Fatalf("%s: %v", i, err)
		}
		if raw, _ := os.ReadFile(path); string(raw) != "hello" {
			t.Errorf("%s: %q", i, raw)
		}
		if _, err := i.ImageSource(nil).Manifest(ctx, theBase); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v for an image that is not of the lock", i, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add((&Record{Lock: *sample(), Build: Build{Image: theBase, Request: "{}", Outputs: []Output{{"x-zfs-1.zfs.gz", 5, sum2}}}}).Encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := ParseRecord(raw)
		if err != nil {
			return
		}
		if _, err := ParseRecord(r.Encode()); err != nil {
			t.Fatalf("%v\n%s", err, r.Encode())
		}
	})
}
