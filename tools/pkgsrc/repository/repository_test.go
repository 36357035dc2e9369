package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/sniff"
)

const (
	fixture = "../testdata/fixture/SmartOS/"
	now     = fixture + "2024Q4/x86_64/All"
	old     = fixture + "2015Q4/multiarch/All"
)

// server serves the fixture and fails as told.
type server struct {
	*httptest.Server
	requests atomic.Int64
}

func serve(t *testing.T, wrap func(next http.Handler) http.Handler) *server {
	t.Helper()
	s := &server{}
	files := http.Handler(http.FileServer(http.Dir(fixture)))
	if wrap != nil {
		files = wrap(files)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func quick(t *testing.T) Options {
	return Options{
		Client:   &fetch.Client{Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }},
		CacheDir: t.TempDir(),
	}
}

func open(t *testing.T, address string, opts Options) *Repo {
	t.Helper()
	r, err := Open(address, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLocalAndRemoteAreTheSame(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	abs, err := filepath.Abs(now)
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, nil)
	var wantNames []string
	for i, address := range []string{abs, "file://" + abs, s.URL + "/2024Q4/x86_64/All", s.URL + "/2024Q4/x86_64/All/"} {
		r := open(t, address, quick(t))
		names, err := r.Names(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			wantNames = names
		}
		if len(names) != 34 || !slices.Equal(names, wantNames) {
			t.Errorf("%s: %d names, want 34", address, len(names))
		}
		entries, err := r.Summary(ctx)
		if err != nil || len(entries) < 30 {
			t.Fatalf("%s: %d records, %v", address, len(entries), err)
		}
		path, err := r.Package(ctx, "curl-8.11.1")
		if err != nil {
			t.Fatal(err)
		}
		got, _ := os.ReadFile(path)
		if want, _ := os.ReadFile(now + "/curl-8.11.1.tgz"); !bytes.Equal(got, want) {
			t.Errorf("%s: another package", address)
		}
		if _, err := r.Package(ctx, "absent-1"); !errors.Is(err, fs.ErrNotExist) || fault.KindOf(err) != fault.Network {
			t.Errorf("%s: kind %d, %v", address, fault.KindOf(err), err)
		}
	}
}

func TestSummaryRecords(t *testing.T) {
	t.Parallel()
	r := open(t, now, Options{})
	entries, err := r.Summary(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*Entry{}
	for _, e := range entries {
		byName[e.PkgName] = e
		if e.PkgPath == "" || e.BuildDate == "" || e.MachineArch != "x86_64" || e.Opsys != "SunOS" || e.OSVersion != "5.11" ||
			e.SizePkg == 0 && e.PkgName != "" && e.Comment == "" || e.Repo != r || len(e.Description) == 0 || e.FileName != e.PkgName+".tgz" {
			t.Errorf("%+v", e)
		}
		st, err := os.Stat(filepath.Join(now, e.FileName))
		if err != nil {
			t.Fatal(err)
		}
		if (st.Size() == e.FileSize) != (e.PkgName != "badsize-1.0") {
			t.Errorf("%s: FILE_SIZE %d, has %d", e.PkgName, e.FileSize, st.Size())
		}
	}
	if e := byName["newname-2.0"]; !slices.Equal(e.Supersedes, []string{"oldname-[0-9]*"}) && len(e.Supersedes) != 1 {
		t.Errorf("SUPERSEDES %q", e.Supersedes)
	}
	if e := byName["coreutils-9.5nb1"]; e.Name() != "coreutils" || e.Version() != "9.5nb1" || len(e.Depends) != 3 || len(e.Conflicts) == 0 {
		t.Errorf("%+v", e)
	}
}

func TestFetchChecksTheSize(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for _, address := range []string{now, s.URL + "/2024Q4/x86_64/All"} {
		r := open(t, address, quick(t))
		entries, err := r.Summary(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			_, err := e.Fetch(context.Background())
			if bad := e.PkgName == "badsize-1.0"; (err != nil) != bad || (bad && fault.KindOf(err) != fault.Network) {
				t.Errorf("%s: %v", e.PkgName, err)
			}
		}
		if _, err := r.Package(context.Background(), "badsize-1.0"); err != nil {
			t.Errorf("pkg_add's way does not look at the summary: %v", err)
		}
	}
}

// cutting breaks off each answer after n bytes; ranges work.
func cutting(n int64) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&cutWriter{ResponseWriter: w, left: n}, r)
		})
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > c.left {
		c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= int64(len(p))
	return c.ResponseWriter.Write(p)
}

// TestFaults fetches everything of both repositories from servers that fail;
// what comes is the same.
func TestFaults(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]int{}
	for name, wrap := range map[string]func(next http.Handler) http.Handler{
		"cut": cutting(1500), // the fixture's files are small
		"404 of some forms": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, ".zst") || strings.HasSuffix(r.URL.Path, ".xz") {
					http.NotFound(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		"broken forms": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "pkg_summary") && !strings.HasSuffix(r.URL.Path, ".gz") {
					w.Write([]byte("\xfd7zXZ\x00 and then nonsense"))
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		"5xx, then fine": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				asked[r.URL.Path]++
				first := asked[r.URL.Path] == 1
				mu.Unlock()
				if first {
					http.Error(w, "busy", http.StatusServiceUnavailable)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		"redirect": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("there") == "" && !strings.HasSuffix(r.URL.Path, "/") {
					http.Redirect(w, r, r.URL.Path+"?there=1", http.StatusTemporaryRedirect)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		"slow": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(5 * time.Millisecond)
				next.ServeHTTP(w, r)
			})
		},
		"no listing": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/") {
					http.Error(w, "no", http.StatusForbidden)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, wrap)
			for _, dir := range []string{"2024Q4/x86_64/All", "2015Q4/multiarch/All"} {
				compareAll(t, open(t, s.URL+"/"+dir, quick(t)), fixture+dir)
			}
		})
	}
}

func compareAll(t *testing.T, r *Repo, dir string) {
	t.Helper()
	ctx := context.Background()
	entries, err := r.Summary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want, err := open(t, dir, Options{}).Summary(ctx)
	if err != nil || len(entries) != len(want) {
		t.Fatalf("%d records, want %d, %v", len(entries), len(want), err)
	}
	names, err := r.Names(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		path, err := Job{Repo: r, Name: n}.Fetch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := os.ReadFile(path)
		if want, err := os.ReadFile(filepath.Join(dir, n+".tgz")); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs, %v", n, err)
		}
	}
}

func TestWrongLengthIsAnError(t *testing.T) {
	t.Parallel()
	s := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, ".tgz") {
				w.Header().Set("Content-Length", strconv.Itoa(5))
				w.Write([]byte("short"))
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	r := open(t, s.URL+"/2024Q4/x86_64/All", quick(t))
	entries, err := r.Summary(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entries[0].Fetch(context.Background()); fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), "has 5 bytes") {
		t.Errorf("kind %d, %v", fault.KindOf(err), err)
	}
}

func TestNoRepository(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	gone := serve(t, nil)
	gone.Close()
	for _, address := range []string{s.URL + "/nothing", t.TempDir(), filepath.Join(t.TempDir(), "x"), gone.URL + "/2024Q4"} {
		r := open(t, address, quick(t))
		if _, err := r.Summary(context.Background()); fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: kind %d, %v", address, fault.KindOf(err), err)
		}
		if _, err := r.Names(context.Background()); err == nil {
			t.Errorf("%s: it has names", address)
		}
	}
}

func TestOffline(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := serve(t, nil)
	opts := quick(t)
	filled := open(t, s.URL+"/2024Q4/x86_64/All", opts)
	if _, err := filled.Names(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := filled.Summary(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := filled.Package(ctx, "patch-2.7.6nb1"); err != nil {
		t.Fatal(err)
	}
	before := s.requests.Load()
	opts.Offline = true
	r := open(t, s.URL+"/2024Q4/x86_64/All", opts)
	names, err := r.Names(ctx)
	if err != nil || len(names) != 34 {
		t.Errorf("%d names, %v", len(names), err)
	}
	if entries, err := r.Summary(ctx); err != nil || len(entries) == 0 {
		t.Errorf("%d records, %v", len(entries), err)
	}
	if _, err := r.Package(ctx, "patch-2.7.6nb1"); err != nil {
		t.Error(err)
	}
	if _, err := r.Package(ctx, "curl-8.11.1"); !errors.Is(err, fetch.ErrOffline) || fault.Hint(err) == "" {
		t.Errorf("not in the cache: %v", err)
	}
	if s.requests.Load() != before {
		t.Errorf("%d requests offline", s.requests.Load()-before)
	}
}

// TestRefreshedRepository changes a package on the server; the cache must not
// give out the old one, whatever its name.
func TestRefreshedRepository(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	content := "one"
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		http.ServeContent(w, r, "x", time.Time{}, strings.NewReader(content))
	}))
	defer s.Close()
	opts := quick(t)
	for _, want := range []string{"one", "two"} {
		mu.Lock()
		content = want
		mu.Unlock()
		path, err := open(t, s.URL, opts).Package(ctx, "a-1")
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEachThingIsAskedForOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	r := open(t, s.URL+"/2024Q4/x86_64/All", quick(t))
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := r.Package(context.Background(), "curl-8.11.1"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s.requests.Load() != 1 {
		t.Errorf("%d requests", s.requests.Load())
	}
}

// TestFailingServer: each form of the summary is asked for, and warned of, once,
// whoever wants it.
func TestFailingServer(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	})
	opts := quick(t)
	var warned atomic.Int64
	opts.Warnf = func(string, ...any) { warned.Add(1) }
	r := open(t, s.URL+"/2024Q4/x86_64/All", opts)
	_, first := r.Summary(ctx)
	_, names := r.Names(ctx)
	_, second := r.Summary(ctx)
	for _, err := range []error{first, names, second} {
		if fault.KindOf(err) != fault.Network {
			t.Error(err)
		}
	}
	if n := s.requests.Load(); n != 5 { // four summaries and the listing
		t.Errorf("%d requests", n)
	}
	if n := warned.Load(); n != 4 {
		t.Errorf("%d warnings", n)
	}
	opts.Offline = true
	if _, err := open(t, s.URL+"/2024Q4/x86_64/All", opts).Summary(ctx); !errors.Is(err, fetch.ErrOffline) || warned.Load() != 4 {
		t.Errorf("offline: %v, %d warnings", err, warned.Load()-4)
	}
}

func TestMirrors(t *testing.T) {
	t.Parallel()
	bad := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) })
	})
	closed := serve(t, nil)
	closed.Close()
	good := serve(t, nil)
	opts := quick(t)
	opts.Mirrors = []string{bad.URL + "/2024Q4/x86_64/All", good.URL + "/2024Q4/x86_64/All"}
	var warnings []string
	opts.Warnf = func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	r := open(t, closed.URL+"/2024Q4/x86_64/All", opts)
	if names, err := r.Names(context.Background()); err != nil || len(names) != 34 {
		t.Errorf("%d names, %v", len(names), err)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0], closed.URL) {
		t.Errorf("warnings %q", warnings)
	}
	before := bad.requests.Load()
	if _, err := r.Package(context.Background(), "curl-8.11.1"); err != nil || bad.requests.Load() != before {
		t.Errorf("the good one is not remembered: %v", err)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, err := OpenSet([]string{old + ";" + now + " ; " + fixture + "2024Q4-before/x86_64/All"}, Options{})
	if err != nil || len(s) != 3 {
		t.Fatal(len(s), err)
	}
	for pattern, want := range map[string]string{
		"curl": "curl-8.11.1", "curl<8": "curl-7.51.0", "patch-2.7.5": "patch-2.7.5", "patch>=2.7.6<2.7.6nb1": "patch-2.7.6", "absent>=3": "",
	} {
		name, repo, ok, err := s.Find(ctx, pattern)
		if name != want || ok != (want != "") || err != nil || ok != (repo != nil) {
			t.Errorf("Find(%s) = %s, %v, %v", pattern, name, ok, err)
		}
	}
	if _, _, _, err := s.Find(ctx, "{"); err == nil {
		t.Error("Find took unbalanced braces")
	}
	all, err := s.Summary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.PkgName == "libidn2-2.3.7" && e.Repo != s[1] {
			t.Errorf("libidn2 comes from %s, which is later", e.Repo.URL)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "ftp://h/x", "http://", "http://h/x?y", "file://other/x", "file://", "gopher://x"} {
		if _, err := Open(bad, Options{CacheDir: "x"}); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := Open("http://h/x", Options{}); fault.KindOf(err) != fault.Usage {
		t.Errorf("no cache directory: %v", err)
	}
	r, err := Open("http://user:pw@h/x//", Options{CacheDir: "x"})
	if err != nil || r.URL != "http://h/x" {
		t.Errorf("%+v, %v", r, err)
	}
	if got := Expand("https://h/$osrelease/$arch/All", "x86_64", "5.11"); got != "https://h/5.11/x86_64/All" {
		t.Error(got)
	}
	if got := SplitPath("a;;b; c"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q", got)
	}
	for _, name := range []string{"", "../x-1", "a/b-1", ".x-1", "a b-1"} {
		if _, err := r.Package(context.Background(), name); fault.KindOf(err) != fault.Usage {
			t.Errorf("Package(%q): %v", name, err)
		}
	}
}

func TestParseIndex(t *testing.T) {
	t.Parallel()
	page := `<HTML><A HREF="?C=N;O=D">Name</A> <a href="/">up</a><a href="../">..</a>
<a class=x href='gtk2+-2.24.tgz'>x</a><a href=libfoo%2B%2B-1.0.tgz>x</a><a href="/p/All/abs-1.tgz">x</a>
<a href="http://other/p/All/far-1.tgz">x</a><a href="/p/All/sub/deep-1.tgz">x</a><a href="&#97;mp-1.tgz#top">x</a>
<a href="..%2fescape-1.tgz">x</a><a href="pkg_summary.gz">x</a><link href="style-1.tgz"><a href="%zz">x</a>`
	var names []string
	for _, f := range parseIndex(page, "http://h/p/All") {
		if n, ok := packageName(f); ok {
			names = append(names, n)
		}
	}
	if want := []string{"gtk2+-2.24", "libfoo++-1.0", "abs-1", "amp-1"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestParseSummary(t *testing.T) {
	t.Parallel()
	entries, err := ParseSummary("PKGNAME=foo\nLICENSE=\nFILE_SIZE=12\nFILE_CKSUM=SHA1 abc\nNEWKEY=x=y\nDESCRIPTION=\nDESCRIPTION=a=b\n\n\n" +
		"PKGNAME=bar-1\r\nFILE_CKSUM=sha-512:def\r\n\nPKGNAME=baz-x\nFILE_NAME=other.tgz")
	if err != nil || len(entries) != 3 {
		t.Fatal(entries, err)
	}
	if e := entries[0]; e.PkgName != "foo-0.0" || e.FileName != "foo.tgz" || e.expect().SHA1 != "abc" || e.expect().Size != 12 ||
		!slices.Equal(e.Description, []string{"", "a=b"}) {
		t.Errorf("%+v", e)
	}
	if e := entries[1]; e.PkgName != "bar-1" || e.expect().SHA512 != "def" {
		t.Errorf("%+v", e)
	}
	if e := entries[2]; e.PkgName != "baz-x-0.0" || e.FileName != "other.tgz" {
		t.Errorf("%+v", e)
	}
	for in, want := range map[string]string{
		"nonsense\n":                       "line 1: \"nonsense\" has no =",
		"COMMENT=x\n\n":                    "line 2: record without PKGNAME",
		"PKGNAME=a-1\nPKGNAME=b-1\n":       "line 2: second PKGNAME",
		"PKGNAME=../a-1\n\n":               "PKGNAME",
		"PKGNAME=a-1\nFILE_SIZE=x\n":       "FILE_SIZE",
		"PKGNAME=a-1\nFILE_SIZE=-1\n":      "FILE_SIZE",
		strings.Repeat("x", maxLine+1):     "over",
		strings.Repeat("A=\n", 1+maxLines): "over",
	} {
		if _, err := ParseSummary(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %q", in, err, want)
		}
	}
}

// FuzzSummary checks that what is taken can be used: names are safe in paths.
func FuzzSummary(f *testing.F) {
	for _, dir := range []string{now, old} {
		raw, err := os.ReadFile(dir + "/pkg_summary.gz")
		if err != nil {
			f.Fatal(err)
		}
		text, err := sniff.All(bytes.NewReader(raw), 1<<20)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := ParseSummary(text)
		if err != nil {
			return
		}
		for _, e := range entries {
			if !goodName(e.PkgName) || e.Version() == "" || strings.ContainsAny(e.PkgName, "/\n") || e.FileSize < 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(`<a href="a-1.tgz">`)
	f.Fuzz(func(t *testing.T, page string) {
		for _, file := range parseIndex(page, "http://h/p") {
			if n, ok := packageName(file); ok && (strings.Contains(n, "/") || !goodName(n)) {
				t.Errorf("%q", n)
			}
		}
	})
}

// TestFindIsBounded: patterns come from packages, names from listings.
func TestFindIsBounded(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i := range 3000 {
		name := strings.Repeat("a", 240) + fmt.Sprintf("-%d", i)
		files[name] = name + ".tgz"
	}
	r := &Repo{URL: "r"}
	r.names.value, r.names.done = files, true
	name, repo, ok, err := Set{r}.Find(t.Context(), "*a")
	if want := strings.Repeat("a", 240) + "-2999"; err != nil || !ok || name != want || repo != r {
		t.Errorf("got %q, %v", name, err)
	}
	if _, _, _, err := (Set{r}).Find(t.Context(), "*"+strings.Repeat("a", 120)+"b"); err == nil || !strings.Contains(err.Error(), "repository r") || !strings.Contains(err.Error(), "steps") {
		t.Errorf("a pattern that takes long: %v", err)
	}
}

// A disk that fails is a failed step, damaged content is the repository's.
func TestUnreadSummary(t *testing.T) {
	t.Parallel()
	broken := &fs.PathError{Op: "read", Path: "/cache/1", Err: syscall.EIO}
	for err, want := range map[error]fault.Kind{
		fmt.Errorf("xz: %w", broken):                                    fault.Step,
		fmt.Errorf("xz: no magic number"):                               fault.Network,
		&fs.PathError{Op: "open", Path: "/repo/1", Err: fs.ErrNotExist}: fault.Network,
		io.ErrUnexpectedEOF:                                             fault.Network,
	} {
		if got := fault.KindOf(unread(err)); got != want {
			t.Errorf("%v: kind %v, not %v", err, got, want)
		}
	}
}
