package fetch

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// server serves one file and fails as told.
type server struct {
	*httptest.Server
	data     []byte
	etag     string
	modified string
	requests atomic.Int64
	ranges   atomic.Int64 // answers with part of the file

	// fault is asked first, with the number of the request; true: it has answered.
	fault func(n int64, w http.ResponseWriter, r *http.Request) bool
	cutAt int  // bytes after which each answer breaks off; 0: none
	plain bool // knows no ranges
	deaf  bool // takes no notice of If-Range
}

func serve(t *testing.T, data []byte) *server {
	t.Helper()
	s := &server{data: data, etag: `"v1"`}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(s.Close)
	return s
}

func (s *server) handle(w http.ResponseWriter, r *http.Request) {
	n := s.requests.Add(1)
	if s.fault != nil && s.fault(n, w, r) {
		return
	}
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	if s.modified != "" {
		w.Header().Set("Last-Modified", s.modified)
	}
	if m := r.Header.Get("If-None-Match"); m != "" && m == s.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	start := 0
	if v, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && !s.plain {
		if c := r.Header.Get("If-Range"); c == "" || c == s.etag || c == s.modified || s.deaf {
			start, _ = strconv.Atoi(strings.TrimSuffix(v, "-"))
		}
	}
	rest := s.data[start:]
	w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
	if start > 0 {
		s.ranges.Add(1)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(s.data)-1, len(s.data)))
		w.WriteHeader(http.StatusPartialContent)
	}
	if s.cutAt > 0 && len(rest) > s.cutAt {
		w.Write(rest[:s.cutAt])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(rest)
}

func testData(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// quickClient waits for nothing.
func quickClient() *Client {
	return &Client{Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

// onlyFile checks that a directory holds the file and nothing else.
func onlyFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(want))
	}
	left(t, filepath.Dir(path), filepath.Base(path))
}

func left(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("left behind: %q, want %q", names, want)
	}
}

func TestGetFile(t *testing.T) {
	t.Parallel()
	data := testData(200_000)
	s := serve(t, data)
	dst := filepath.Join(t.TempDir(), "f")
	var last Progress
	c := quickClient()
	c.Progress = func(p Progress) { last = p }
	info, err := c.GetFile(context.Background(), s.URL+"/x?token=secret", dst, Expect{
		Size: 200_000, MD5: fmt.Sprintf("%x", md5.Sum(data)), SHA1: fmt.Sprintf("%X", sha1.Sum(data)),
	})
	if err != nil {
		t.Fatal(err)
	}
	onlyFile(t, dst, data)
	if info.SHA256 != fmt.Sprintf("%x", sha256.Sum256(data)) || info.Size != 200_000 || info.ETag != `"v1"` {
		t.Errorf("%+v", info)
	}
	if last.Done != 200_000 || last.Total != 200_000 || strings.Contains(last.URL, "secret") {
		t.Errorf("%+v", last)
	}
}

func TestFaultsThatPass(t *testing.T) {
	t.Parallel()
	data := testData(500_000)
	once := func(f func(w http.ResponseWriter)) func(int64, http.ResponseWriter, *http.Request) bool {
		return func(n int64, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				return false
			}
			f(w)
			return true
		}
	}
	for name, tt := range map[string]struct {
		set    func(s *server)
		ranges int64 // at least
	}{
		"cut every 64 KiB": {func(s *server) { s.cutAt = 64 << 10 }, 7},
		"cut, no ETag":     {func(s *server) { s.cutAt, s.etag, s.modified = 64<<10, "", "Mon, 06 Jan 2025 00:00:00 GMT" }, 7},
		"cut, weak ETag":   {func(s *server) { s.cutAt, s.etag, s.modified = 64<<10, `W/"1"`, "Mon, 06 Jan 2025 00:00:00 GMT" }, 7},
		"cut once, no ranges": {func(s *server) {
			s.plain = true
			s.fault = func(n int64, _ http.ResponseWriter, _ *http.Request) bool {
				s.cutAt = []int{0, 400_000, 0}[min(n, 2)]
				return false
			}
		}, 0},
		"5xx": {func(s *server) {
			s.fault = func(n int64, w http.ResponseWriter, _ *http.Request) bool {
				if n <= 3 {
					http.Error(w, "busy", []int{500, 503, 502}[n-1])
				}
				return n <= 3
			}
		}, 0},
		"429":    {func(s *server) { s.fault = once(func(w http.ResponseWriter) { w.WriteHeader(429) }) }, 0},
		"closed": {func(s *server) { s.fault = once(func(http.ResponseWriter) { panic(http.ErrAbortHandler) }) }, 0},
		"short close": {func(s *server) {
			s.fault = once(func(w http.ResponseWriter) { w.Write(data[:1000]); w.(http.Flusher).Flush() })
		}, 0},
		"redirect": {func(s *server) {
			s.fault = func(n int64, w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/there" {
					return false
				}
				http.Redirect(w, r, "/there", http.StatusFound)
				return true
			}
		}, 0},
		"another file by then": {func(s *server) {
			s.fault = func(n int64, _ http.ResponseWriter, _ *http.Request) bool {
				if n == 1 {
					s.data, s.etag, s.cutAt = bytes.Repeat([]byte("x"), 500_000), `"old"`, 100_000
				} else {
					s.data, s.etag, s.cutAt = data, `"new"`, 0
				}
				return false
			}
		}, 0},
		"wrong range": {func(s *server) {
			s.fault = func(n int64, w http.ResponseWriter, _ *http.Request) bool {
				s.cutAt = []int{0, 100_000, 0, 0}[min(n, 3)]
				if n == 2 {
					w.Header().Set("Content-Range", "bytes 5-9/10")
					w.WriteHeader(http.StatusPartialContent)
				}
				return n == 2
			}
		}, 0},
		"416": {func(s *server) {
			s.fault = func(n int64, w http.ResponseWriter, _ *http.Request) bool {
				s.cutAt = []int{0, 100_000, 0, 0}[min(n, 3)]
				if n == 2 {
					w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				}
				return n == 2
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, data)
			tt.set(s)
			dst := filepath.Join(t.TempDir(), "f")
			if _, err := quickClient().GetFile(context.Background(), s.URL+"/f", dst, Expect{Size: 500_000}); err != nil {
				t.Fatal(err)
			}
			onlyFile(t, dst, data)
			if s.ranges.Load() < tt.ranges {
				t.Errorf("%d answers with a part, want %d", s.ranges.Load(), tt.ranges)
			}
		})
	}
}

// A server that takes no notice of If-Range sends the rest of another file, and
// nobody knows a digest: what it says of the two tells, in one call and between two.
func TestChangedWithoutIfRange(t *testing.T) {
	t.Parallel()
	const monday, tuesday = "Mon, 05 Jan 2026 10:00:00 GMT", "Tue, 06 Jan 2026 10:00:00 GMT"
	type answer struct {
		etag, modified string
		size           int
	}
	for name, tt := range map[string]struct {
		first, second answer
		ranges        int64 // parts that were sent
		same          bool  // it is the same file
	}{
		"time":                  {answer{"", monday, 300_000}, answer{"", tuesday, 300_000}, 1, false},
		"length":                {answer{"", monday, 300_000}, answer{"", monday, 300_001}, 1, false},
		"ETag":                  {answer{`"1"`, monday, 300_000}, answer{`"2"`, monday, 300_000}, 1, false},
		"weak ETag":             {answer{`W/"1"`, monday, 300_000}, answer{`W/"2"`, monday, 300_000}, 1, false},
		"time beside the ETag":  {answer{`"1"`, monday, 300_000}, answer{`"1"`, tuesday, 300_000}, 1, false},
		"an ETag that is gone":  {answer{`"1"`, monday, 300_000}, answer{"", monday, 300_000}, 1, false},
		"nothing to compare":    {answer{`W/"1"`, "", 300_000}, answer{"", "", 300_000}, 0, false},
		"the same":              {answer{`"1"`, monday, 300_000}, answer{`"1"`, monday, 300_000}, 1, true},
		"the same, by its time": {answer{"", monday, 300_000}, answer{"", monday, 300_000}, 1, true},
		"the same, time unsaid": {answer{"", monday, 300_000}, answer{"", "", 300_000}, 1, true},
	} {
		for _, calls := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s in %d calls", name, calls), func(t *testing.T) {
				t.Parallel()
				s := serve(t, nil)
				s.deaf = true
				old, data := testData(tt.first.size), testData(tt.second.size + 1)[1:]
				if tt.same {
					data = old
				}
				s.fault = func(n int64, _ http.ResponseWriter, _ *http.Request) bool {
					if n == 1 {
						s.data, s.etag, s.modified, s.cutAt = old, tt.first.etag, tt.first.modified, 100_000
					} else {
						s.data, s.etag, s.modified, s.cutAt = data, tt.second.etag, tt.second.modified, 0
					}
					return false
				}
				dst := filepath.Join(t.TempDir(), "f")
				c := quickClient()
				if calls == 2 {
					c.Retries = -1
					if _, err := c.GetFile(t.Context(), s.URL, dst, Expect{}); err == nil {
						t.Fatal("no error")
					}
					c = quickClient()
				}
				if _, err := c.GetFile(t.Context(), s.URL, dst, Expect{}); err != nil {
					t.Fatal(err)
				}
				onlyFile(t, dst, data)
				if n := s.ranges.Load(); n != tt.ranges {
					t.Errorf("%d parts were sent, want %d", n, tt.ranges)
				}
			})
		}
	}
}

// A part whose file's length is not known is fetched again.
func TestPartOfUnknownLength(t *testing.T) {
	t.Parallel()
	data := testData(300_000)
	s := serve(t, data)
	s.etag, s.modified, s.deaf = "", "Mon, 05 Jan 2026 10:00:00 GMT", true
	dir := t.TempDir()
	d := &download{url: s.URL, parent: dir}
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(d.partName(), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(d.partName(), 0o700); err != nil {
		t.Fatal(err)
	}
	put(dataName, strings.Repeat("x", 100_000))
	put(metaName, fmt.Sprintf(`{"URL":%q,"LastModified":%q}`, s.URL, s.modified))
	dst := filepath.Join(dir, "f")
	if _, err := quickClient().GetFile(t.Context(), s.URL, dst, Expect{}); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, dst, data)
}

// TestMixedUpParts has a server without validators whose file changes between
// the cut and the rest: the digest tells, and all is fetched again.
func TestMixedUpParts(t *testing.T) {
	t.Parallel()
	data := testData(300_000)
	s := serve(t, data)
	s.etag = ""
	s.fault = func(n int64, _ http.ResponseWriter, _ *http.Request) bool {
		s.data, s.cutAt = data, 0
		if n == 1 {
			s.data, s.cutAt = testData(300_001)[1:], 100_000
		}
		return false
	}
	dst := filepath.Join(t.TempDir(), "f")
	if _, err := quickClient().GetFile(context.Background(), s.URL, dst, Expect{SHA1: fmt.Sprintf("%x", sha1.Sum(data))}); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, dst, data)
	if s.requests.Load() != 3 {
		t.Errorf("%d requests, want 3", s.requests.Load())
	}
}

func TestFaultsThatStay(t *testing.T) {
	t.Parallel()
	data := testData(100_000)
	status := func(code int) func(*server) {
		return func(s *server) {
			s.fault = func(_ int64, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
		}
	}
	for name, tt := range map[string]struct {
		set      func(s *server)
		want     Expect
		text     string
		requests int64
		missing  bool
	}{
		"404":         {status(404), Expect{}, "answered 404 Not Found", 1, true},
		"410":         {status(410), Expect{}, "410", 1, true},
		"403":         {status(403), Expect{}, "403", 1, false},
		"304 unasked": {status(304), Expect{}, "304", 1, false},
		"always 503":  {status(503), Expect{}, "503 Service Unavailable", 5, false},
		"501":         {status(501), Expect{}, "501", 1, false},
		"too long":    {nil, Expect{Size: 99_999}, "has 100000 bytes, expected are 99999", 1, false},
		"too short":   {nil, Expect{Size: 100_001}, "has 100000 bytes, expected are 100001", 1, false},
		"over limit":  {nil, Expect{MaxSize: 99_999}, "at most 99999", 1, false},
		"wrong SHA-1": {nil, Expect{SHA1: strings.Repeat("0", 40)}, "has SHA-1", 1, false},
		"wrong MD5":   {nil, Expect{MD5: "x"}, "has MD5", 1, false},
		"wrong SHA-2": {nil, Expect{SHA256: "x"}, "has SHA-256", 1, false},
		"wrong 512":   {nil, Expect{SHA512: "x"}, "has SHA-512", 1, false},
		"loop": {func(s *server) {
			s.fault = func(_ int64, w http.ResponseWriter, r *http.Request) bool { http.Redirect(w, r, "/", 302); return true }
		}, Expect{}, "redirects", 11, false},
		"redirect to a file": {func(s *server) {
			s.fault = func(_ int64, w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, "file:///etc/passwd", 302)
				return true
			}
		}, Expect{}, "neither http nor https", 1, false},
		"never whole, no ranges": {func(s *server) { s.plain, s.cutAt = true, 20_000 }, Expect{}, "EOF", 5, false},
		"endless": {func(s *server) {
			s.fault = func(_ int64, w http.ResponseWriter, r *http.Request) bool {
				for range 100 {
					if _, err := w.Write(data); err != nil {
						break
					}
				}
				return true
			}
		}, Expect{MaxSize: 1_000_000}, "over 1000000 bytes", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, data)
			if tt.set != nil {
				tt.set(s)
			}
			dir := t.TempDir()
			_, err := quickClient().GetFile(context.Background(), s.URL+"/f", filepath.Join(dir, "f"), tt.want)
			if fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), s.URL) {
				t.Errorf("kind %d, %v", fault.KindOf(err), err)
			}
			if errors.Is(err, fs.ErrNotExist) != tt.missing {
				t.Errorf("missing is %v", !tt.missing)
			}
			if s.requests.Load() != tt.requests {
				t.Errorf("%d requests, want %d", s.requests.Load(), tt.requests)
			}
			left(t, dir)
		})
	}
}

func TestPartWaitsForTheNextCall(t *testing.T) {
	t.Parallel()
	data := testData(300_000)
	s := serve(t, data)
	s.cutAt = 100_000
	dir := t.TempDir()
	dst := filepath.Join(dir, "f")
	c := quickClient()
	c.Retries = -1
	ctx := context.Background()
	s.fault = func(n int64, w http.ResponseWriter, _ *http.Request) bool {
		if n == 2 {
			w.WriteHeader(500)
		}
		return n == 2
	}
	for range 2 { // cut, then not there at all
		if _, err := c.GetFile(ctx, s.URL, dst, Expect{}); err == nil {
			t.Fatal("no error")
		}
	}
	if parts, _ := filepath.Glob(filepath.Join(dir, ".engbld-part-*")); len(parts) != 1 {
		t.Fatalf("parts: %q", parts)
	}
	s.cutAt = 0
	if _, err := c.GetFile(ctx, s.URL, dst, Expect{}); err != nil {
		t.Fatal(err)
	}
	onlyFile(t, dst, data)
	if s.ranges.Load() != 1 {
		t.Errorf("%d ranges, want 1", s.ranges.Load())
	}
}

func TestKilledDownloadsAreSwept(t *testing.T) {
	t.Parallel()
	s := serve(t, testData(10))
	dir := filepath.Join(t.TempDir(), "odd[name")
	leave := func(name string, age time.Duration) {
		t.Helper()
		data := filepath.Join(dir, name, dataName)
		if err := os.MkdirAll(filepath.Dir(data), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(data, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-age)
		if err := os.Chtimes(data, old, old); err != nil {
			t.Fatal(err)
		}
	}
	leave(".engbld-get-dead", 25*time.Hour)
	leave(".engbld-get-slow", time.Hour)
	leave(".engbld-part-old", 8*24*time.Hour)
	leave(".engbld-part-new", 48*time.Hour)
	if _, err := quickClient().GetFile(context.Background(), s.URL, filepath.Join(dir, "f"), Expect{}); err != nil {
		t.Fatal(err)
	}
	left(t, dir, ".engbld-get-slow", ".engbld-part-new", "f")
}

func TestStandingStill(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"header", "body"} {
		s := serve(t, nil)
		s.fault = func(_ int64, w http.ResponseWriter, r *http.Request) bool {
			if where == "body" {
				w.Header().Set("Content-Length", "10")
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
			return true
		}
		c := quickClient()
		c.HeaderTimeout, c.IdleTimeout, c.Retries = 50*time.Millisecond, 50*time.Millisecond, 1
		if where == "body" {
			c.HeaderTimeout = time.Hour
		}
		_, err := c.GetBytes(context.Background(), s.URL, 100)
		if fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), "for 50ms") {
			t.Errorf("%s: %v", where, err)
		}
	}
}

// TestSlowIsNotStandingStill takes longer in all than the idle time-out.
func TestSlowIsNotStandingStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := quickClient()
		c.HTTP = &http.Client{Transport: slowly(10)}
		c.IdleTimeout = 300 * time.Millisecond
		if b, err := c.GetBytes(t.Context(), "http://h.example.invalid/x", 100); err != nil || len(b) != 10 {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// slowly answers with so many bytes, each of which takes 299 ms.
type slowly int

func (s slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, ContentLength: int64(s), Body: io.NopCloser(&slowBody{r.Context(), s}), Request: r}, nil
}

type slowBody struct {
	ctx  context.Context
	left slowly
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(299 * time.Millisecond):
	}
	b.left--
	return copy(p, "x"), nil
}

func TestGetBytes(t *testing.T) {
	t.Parallel()
	data := testData(1000)
	s := serve(t, data)
	c := quickClient()
	if b, err := c.GetBytes(context.Background(), s.URL, 1000); err != nil || !bytes.Equal(b, data) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := c.GetBytes(context.Background(), s.URL, 999); fault.KindOf(err) != fault.Network {
		t.Errorf("over the limit: %v", err)
	}
	s.fault = func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(422)
		w.Write([]byte(`{"code":"InvalidParameter"}`))
		return true
	}
	_, err := c.GetBytes(context.Background(), s.URL, 999)
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 422 || string(status.Body) != `{"code":"InvalidParameter"}` {
		t.Errorf("%v", err)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.fault = func(_ int64, w http.ResponseWriter, r *http.Request) bool {
		fmt.Fprint(w, r.Header.Get("User-Agent"), r.Header.Get("Accept-Version"), r.Header.Get("Accept-Encoding"))
		return true
	}
	c := quickClient()
	c.Header = http.Header{"Accept-Version": {"~2"}}
	if b, err := c.GetBytes(context.Background(), s.URL, 999); err != nil || string(b) != "engbld~2identity" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.fault = func(n int64, w http.ResponseWriter, _ *http.Request) bool {
		if n == 2 {
			w.Header().Set("Retry-After", "7")
		}
		w.WriteHeader(503)
		return true
	}
	var slept []time.Duration
	c := &Client{Sleep: func(_ context.Context, d time.Duration) error { slept = append(slept, d); return nil }}
	c.GetBytes(context.Background(), s.URL, 10)
	if got, want := fmt.Sprint(slept), "[500ms 7s 2s 4s]"; got != want {
		t.Errorf("slept %s, want %s", got, want)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	s.Close()
	_, err := quickClient().GetBytes(context.Background(), s.URL+"/x", 10)
	if fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), s.URL) || strings.Contains(err.Error(), "Get ") {
		t.Errorf("kind %d, %v", fault.KindOf(err), err)
	}
	for _, bad := range []string{"", "ftp://h/x", "http://", "::", "/path"} {
		if _, err := quickClient().GetBytes(context.Background(), bad, 10); fault.KindOf(err) != fault.Network {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := serve(t, testData(300_000))
	s.cutAt = 100_000
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{Progress: func(Progress) { cancel() }}
	dir := t.TempDir()
	_, err := c.GetFile(ctx, s.URL, filepath.Join(dir, "f"), Expect{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "f")); err == nil {
		t.Error("half a file has its name")
	}
}

func TestOffline(t *testing.T) {
	t.Parallel()
	c := &Client{Offline: true}
	_, err := c.GetBytes(context.Background(), "http://h.example.invalid/x", 10)
	_, err2 := c.GetFile(context.Background(), "http://h.example.invalid/x", filepath.Join(t.TempDir(), "f"), Expect{})
	for _, err := range []error{err, err2} {
		if !errors.Is(err, ErrOffline) || fault.KindOf(err) != fault.Network || fault.Hint(err) == "" {
			t.Errorf("kind %d, %v", fault.KindOf(err), err)
		}
	}
}

// TestProxiesOfTheEnvironment runs itself in a process of its own: net/http reads
// the environment once for each process.
func TestProxiesOfTheEnvironment(t *testing.T) {
	t.Parallel()
	const child = "FETCH_TEST_CHILD"
	if os.Getenv(child) != "" {
		if b, err := quickClient().GetBytes(context.Background(), "http://nowhere.example.invalid/x", 10); string(b) != "by proxy" {
			t.Errorf("%q, %v", b, err)
		}
		return
	}
	s := serve(t, []byte("by proxy"))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestProxiesOfTheEnvironment$", "-test.count=1")
	cmd.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+s.URL, "http_proxy=", "NO_PROXY=", "no_proxy=", "REQUEST_METHOD=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if s.requests.Load() != 1 {
		t.Errorf("the proxy was asked %d times, want once", s.requests.Load())
	}
}

// Errors name the place, whatever else the address holds and the parser says.
func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://ci:s3cret/s3cret@h.invalid/x?s3cret")
		w.WriteHeader(http.StatusFound)
	}))
	defer odd.Close()
	for address, want := range map[string]string{
		"https://ci:s3cret/s3cret@h.invalid/x":       "https://h.invalid/x",
		"https://ci:%zzs3cret@h.invalid/x":           "https://h.invalid/x",
		"ci:s3cret@h.invalid/x":                      "h.invalid/x",
		"http://s3cret@127.0.0.1:1/x?s3cret":         "http://127.0.0.1:1/x",
		odd.URL + "/x?pwd=s3cret&code=s3cret#s3cret": odd.URL + "/x:",
	} {
		_, err := quickClient().GetBytes(context.Background(), address, 10)
		if err == nil || strings.Contains(err.Error()+fault.Hint(err), "s3cret") || !strings.Contains(err.Error(), "fetching "+want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	s := serve(t, testData(1000))
	ctx := context.Background()
	c := &Cache{Client: quickClient(), Dir: t.TempDir()}
	get := func(want Expect) (string, error) {
		t.Helper()
		path, info, err := c.Get(ctx, s.URL+"/a.tgz", want)
		if err == nil {
			if err := Check(path, Expect{SHA256: info.SHA256, Size: info.Size}); err != nil {
				t.Error(err)
			}
		}
		return path, err
	}
	first, err := get(Expect{})
	if err != nil {
		t.Fatal(err)
	}
	long := time.Unix(1_000_000_000, 0)
	if err := os.Chtimes(filepath.Dir(first), long, long); err != nil {
		t.Fatal(err)
	}
	if p, err := get(Expect{}); p != first || err != nil || s.requests.Load() != 2 {
		t.Errorf("unchanged: %s, %v, %d requests", p, err, s.requests.Load())
	}
	if st, err := os.Stat(filepath.Dir(first)); err != nil || !st.ModTime().Equal(long) {
		t.Errorf("what is current was asked for, and a file was made: %v", err)
	}
	if p, err := get(Expect{SHA256: filepath.Base(first)}); p != first || err != nil || s.requests.Load() != 2 {
		t.Errorf("known digest: %s, %v, %d requests", p, err, s.requests.Load())
	}
	if _, err := get(Expect{Size: 1001}); err == nil {
		t.Error("a wrong size was taken")
	}
	if err := os.WriteFile(first, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if p, err := get(Expect{}); p != first || err != nil {
		t.Errorf("damaged: %s, %v", p, err)
	}
	s.data, s.etag = testData(1001)[1:], `"v2"`
	if p, err := get(Expect{}); p == first || err != nil {
		t.Errorf("changed there: %s, %v", p, err)
	}
	c.Client.Offline = true
	before := s.requests.Load()
	if _, err := get(Expect{}); err != nil || s.requests.Load() != before {
		t.Errorf("offline: %v", err)
	}
	if _, _, err := c.Get(ctx, s.URL+"/b.tgz", Expect{}); !errors.Is(err, ErrOffline) || !strings.Contains(err.Error(), "not in the cache") {
		t.Errorf("offline, not there: %v", err)
	}
	left(t, filepath.Join(c.Dir, "content"), func() (names []string) {
		es, _ := os.ReadDir(filepath.Join(c.Dir, "content"))
		for _, e := range es {
			if len(e.Name()) == 64 {
				names = append(names, e.Name())
			}
		}
		return
	}()...)
}

func TestCacheInParallel(t *testing.T) {
	t.Parallel()
	s := serve(t, testData(100_000))
	s.cutAt = 64 << 10
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c := &Cache{Client: quickClient(), Dir: dir}
			path, info, err := c.Get(context.Background(), s.URL+"/a", Expect{Size: 100_000})
			if err == nil {
				err = Check(path, Expect{SHA256: info.SHA256})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
