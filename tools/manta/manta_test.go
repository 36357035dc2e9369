package manta_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/bits/storetest"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/manta"
	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver"
	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver/cut"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
	"golang.org/x/crypto/ssh"
)

var key = sync.OnceValue(func() *sshsign.Key {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	s, err := ssh.NewSignerFromKey(k)
	if err != nil {
		panic(err)
	}
	return sshsign.NewKey(s, "a test")
})

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func serve(t *testing.T, wrap func(http.Handler) http.Handler) *httptest.Server {
	t.Helper()
	dir := t.TempDir()
	h, err := mantaserver.New(mantaserver.Options{Dir: dir, Wrap: wrap, PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys", "acct.keys"), ssh.MarshalAuthorizedKey(key().Public()), 0o644); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func client(t *testing.T, url string, tr http.RoundTripper) *manta.Client {
	t.Helper()
	c, err := manta.New(manta.Options{URL: url + "/", Account: "acct", Key: key(), Transport: tr, Sleep: noSleep})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func text(s string) manta.Content {
	return manta.Content{Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }, Size: int64(len(s)), MD5: md5.Sum([]byte(s))}
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) bits.Store {
		s, err := manta.NewStore(client(t, serve(t, nil).URL, nil), "builds/a comp")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, func(t *testing.T, s bits.Store, name string) string {
		return strings.TrimSuffix(read(t, s, name), "\n")[len("/acct/stor/builds/a comp/"):]
	})
}

// read gets an object through its signed address.
func read(t *testing.T, s bits.Store, name string) string {
	t.Helper()
	u, err := s.(*manta.Store).Presign(name, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %d %s %v", name, resp.StatusCode, b, err)
	}
	return string(b)
}

func TestObjects(t *testing.T) {
	t.Parallel()
	srv := serve(t, nil)
	c := client(t, srv.URL, nil)
	ctx := t.Context()
	p := "/acct/stor/d/e/ü a+b'(!).txt"
	if err := c.Put(ctx, p, text("hello")); err != nil {
		t.Fatal(err)
	}
	info, err := c.Info(ctx, p)
	if err != nil || info.Size != 5 || *info.MD5 != md5.Sum([]byte("hello")) || info.Type != "text/plain" || info.Dir || info.Modified.IsZero() || info.Etag == "" {
		t.Errorf("%+v, %v", info, err)
	}
	if b, err := c.GetBytes(ctx, p, 5); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := c.GetBytes(ctx, p, 4); err == nil {
		t.Error("the limit was not kept")
	}
	if info, err := c.Info(ctx, "/acct/stor/d"); err != nil || !info.Dir {
		t.Errorf("%+v, %v", info, err)
	}
	if _, _, err := c.Get(ctx, "/acct/stor/d"); err == nil {
		t.Error("a directory was read")
	}
	if err := c.Mkdir(ctx, p); err == nil || !strings.Contains(err.Error(), "an object") {
		t.Errorf("directory on an object: %v", err)
	}
	if b, _ := c.GetBytes(ctx, p, 5); string(b) != "hello" {
		t.Error("the object is gone")
	}
	for range 2 {
		if err := c.Delete(ctx, p); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Info(ctx, p); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	// Somebody removed the directory that we remember.
	if err := client(t, srv.URL, nil).Delete(ctx, "/acct/stor/d/e"); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(ctx, p, text("again")); err != nil {
		t.Error(err)
	}
}

func TestChangedFile(t *testing.T) {
	t.Parallel()
	c := client(t, serve(t, nil).URL, nil)
	for name, content := range map[string]string{"shrank": "hell", "changed": "HELLO"} {
		bad := text("hello")
		opened := 0
		bad.Open = func() (io.ReadCloser, error) {
			opened++
			return io.NopCloser(struct{ io.Reader }{strings.NewReader(content)}), nil
		}
		err := c.Put(t.Context(), "/acct/stor/"+name, bad)
		if err == nil || !strings.Contains(err.Error(), "changed while it was sent") || opened != 1 {
			t.Errorf("%s: %v (opened %d times)", name, err, opened)
		}
		if _, err := c.Info(t.Context(), "/acct/stor/"+name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The rows of spec manta.md section 9: what the client makes of each error,
// and how often it asks.
func TestErrors(t *testing.T) {
	t.Parallel()
	rows := map[int]string{
		401: "AuthorizationRequired InvalidAlgorithm",
		403: "InvalidSignature KeyDoesNotExist InvalidKeyId AccountDoesNotExist AccountBlocked UserDoesNotExist AuthorizationFailed " +
			"AuthorizationSchemeNotAllowed NoMatchingRoleTag InvalidQueryStringAuthentication SecureTransportRequired SnaplinksDisabledError",
		404: "ResourceNotFound SourceObjectNotFound",
		400: "InvalidHeader ParentNotDirectory DirectoryNotEmpty OperationNotAllowedOnDirectory OperationNotAllowedOnRootDirectory " +
			"InvalidDurabilityLevel InvalidUpdate InvalidMaxContentLength InvalidResource ContentMD5Mismatch BadRequest",
		409: "ConcurrentRequest DirectoryLimitExceeded EntityAlreadyExists InvalidRole InvalidRoleTag",
		411: "ContentLengthRequired", 412: "PreconditionFailed", 413: "MaxContentLengthExceeded", 408: "UploadTimeout", 499: "UploadAbandoned",
		507: "NotEnoughSpace", 500: "InternalError", 503: "InternalError ServiceUnavailable ThrottledError",
	}
	again := "ConcurrentRequest UploadTimeout UploadAbandoned InternalError ServiceUnavailable ThrottledError"
	for status, codes := range rows {
		for code := range strings.FieldsSeq(codes) {
			n := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n++
				w.Header().Set("X-Request-Id", "an-id")
				w.WriteHeader(status)
				fmt.Fprintf(w, `{"code":%q,"message":"why\u001b[31m"}`, code)
			}))
			c := client(t, srv.URL, nil)
			err := c.Put(t.Context(), "/acct/stor/o", text("x"))
			srv.Close()
			want := 1
			if slices.Contains(strings.Fields(again), code) {
				want = 5
			}
			var e *manta.Error
			if !errors.As(err, &e) || e.Status != status || e.Code != code || fault.KindOf(err) != fault.Network || n != want {
				t.Errorf("%d %s: asked %d times, want %d: %v", status, code, n, want, err)
			}
			msg := "object store " + srv.URL + ": storing /acct/stor/o: " + code + fmt.Sprintf(" (HTTP %d): why[31m (request an-id)", status)
			if err.Error() != msg {
				t.Errorf("message %q, want %q", err, msg)
			}
			if errors.Is(err, fs.ErrNotExist) != (status == 404) || errors.Is(err, fs.ErrPermission) != (status == 401 || status == 403) {
				t.Errorf("%s: wrong kind of error", code)
			}
		}
	}
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
		n      int
	}{
		"html": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(504)
			io.WriteString(w, "<html>\n gone </html>")
		}, "HTTP 504 Gateway Timeout: <html> gone </html>", 5},
		"redirect":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere?signature=secret", 302) }, "redirects are not followed", 1},
		"no MD5":    {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, "stored something else", 5},
		"wrong MD5": {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Computed-MD5", "xx"); w.WriteHeader(204) }, "stored something else", 5},
		"cut":       {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "server closed the connection", 5},
	} {
		n := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n++
			_, _ = io.Copy(io.Discard, r.Body)
			tt.answer(w, r)
		}))
		err := client(t, srv.URL, nil).Put(t.Context(), "/acct/stor/o", text("x"))
		srv.Close()
		if err == nil || !strings.Contains(err.Error(), tt.want) || n != tt.n || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: asked %d times: %v", name, n, err)
		}
	}
}

func TestPresignIsSecret(t *testing.T) {
	t.Parallel()
	c := client(t, "http://127.0.0.1:1", nil)
	u, err := c.Presign("/acct/stor/a b.zfs.gz", time.Unix(1704168245, 0))
	if err != nil || !strings.HasPrefix(u, "http://127.0.0.1:1/acct/stor/a%20b.zfs.gz?algorithm=ECDSA-SHA256&expires=1704168245&keyId=%2Facct%2Fkeys%2F") {
		t.Errorf("%s, %v", u, err)
	}
	if _, err := (func() (*manta.Client, error) { return manta.New(manta.Options{URL: u, Account: "acct"}) })(); err == nil || strings.Contains(err.Error(), "signature") {
		t.Errorf("an address with a signature: %v", err)
	}
}

func TestFromEnv(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	id := filepath.Join(home, ".ssh", "id_rsa")
	if _, err := sshsign.Ensure(id); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		env  map[string]string
		want string // in the error
	}{
		{map[string]string{"MANTA_URL": "h", "MANTA_USER": "u", "HOME": home}, ""},
		{map[string]string{"MANTA_URL": "h", "MANTA_USER": "u", "MANTA_NO_AUTH": "true"}, ""},
		{map[string]string{"MANTA_URL": "h", "MANTA_USER": "u"}, "MANTA_KEY_ID is not set"},
		{map[string]string{"MANTA_URL": "h", "MANTA_USER": "u", "MANTA_KEY_ID": "/no/key"}, "/no/key"},
		{map[string]string{"MANTA_URL": "h", "MANTA_USER": "u", "MANTA_KEY_ID": id}, ""},
		{map[string]string{"MANTA_URL": "h", "MANTA_USER": "u", "MANTA_KEY_ID": "MD5:xx"}, "no fingerprint"},
		{map[string]string{"MANTA_USER": "u"}, "not set: MANTA_URL"},
		{nil, "not set: MANTA_URL, MANTA_USER"},
	} {
		o, err := manta.FromEnv(func(k string) string { return tt.env[k] })
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v", tt.env, err)
		}
		if err == nil {
			if c, err := manta.New(o); err != nil || c.Server() != "https://h" {
				t.Errorf("%v: %v", tt.env, err)
			}
		}
	}
	for v, want := range map[string]bool{"": false, "0": false, "1": true, "false": true} {
		o, _ := manta.FromEnv(func(k string) string {
			return map[string]string{"MANTA_URL": "h", "MANTA_USER": "u", "HOME": home, "MANTA_TLS_INSECURE": v}[k]
		})
		if o.Insecure != want {
			t.Errorf("MANTA_TLS_INSECURE=%q: %v", v, o.Insecure)
		}
	}
}

func TestOpenStore(t *testing.T) {
	t.Parallel()
	srv := serve(t, nil)
	env := map[string]string{"MANTA_URL": srv.URL, "MANTA_USER": "acct", "MANTA_NO_AUTH": "true", "MANTA_TLS_INSECURE": "1"}
	var said []string
	var done int64
	s, err := manta.OpenStore(func(k string) string { return env[k] }, "/public/x", func(o *manta.Options) {
		o.Key = key()
		o.Progress = func(path string, d, total int64) {
			if path != "/acct/public/x/f" || total != 5 {
				t.Errorf("%s %d", path, total)
			}
			done = d
		}
	}, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutText(t.Context(), "f", "hello"); err != nil || done != 5 {
		t.Errorf("%v, %d", err, done)
	}
	if len(said) != 1 || !strings.Contains(said[0], "not verified") {
		t.Errorf("%q", said)
	}
}

func TestDestinations(t *testing.T) {
	t.Parallel()
	c := client(t, "http://h.test", nil)
	for dest, want := range map[string]string{
		"builds/x": "/acct/stor/builds/x/s", "/public/builds//x/": "http://h.test/acct/public/builds/x/s", "/stor/x": "/acct/stor/x/s",
		"~~/stor/x": "/acct/stor/x/s", "/acct/stor": "", "../x": "", "/elsewhere/x": "",
	} {
		s, err := manta.NewStore(c, dest)
		if (err == nil) != (want != "") || err == nil && s.Address("s") != want {
			t.Errorf("%s: %v", dest, err)
		}
	}
}

// upload makes an upload of three files through a transport.
func upload(t *testing.T, url, dir string, tr http.RoundTripper, retry bool) error {
	t.Helper()
	o := manta.Options{URL: url, Account: "acct", Key: key(), Transport: tr, Sleep: noSleep}
	if !retry {
		o.Backoff = []time.Duration{}
	}
	c, err := manta.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := manta.NewStore(c, "/public/builds/comp")
	if err != nil {
		t.Fatal(err)
	}
	_, err = bits.Upload(t.Context(), s, bits.Request{Branch: "release-20240102", Name: "comp", Dir: dir, Stamp: "s1", Parallel: 1})
	return err
}

// The table fault × outcome of an upload: the connection breaks at each
// request, before, in the middle and after it. With repetitions nothing is
// noticed; without, the same command finishes, and until then no pointer leads
// anywhere but to a complete upload.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{"comp/a.zfs.gz": strings.Repeat("image", 1000), "comp/a.imgmanifest": "{}", "comp/sub/name with space": ""}
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	whole := &cut.Transport{}
	if err := upload(t, serve(t, nil).URL, dir, whole, false); err != nil {
		t.Fatal(err)
	}
	complete := func(srv *httptest.Server) error {
		c := client(t, srv.URL, nil)
		for _, pointer := range []string{"release-20240102-latest", "latest-release"} {
			b, err := c.GetBytes(t.Context(), "/acct/public/builds/comp/"+pointer, 100)
			if err != nil {
				return err
			}
			if string(b) != "/acct/public/builds/comp/s1\n" {
				return fmt.Errorf("%s holds %q", pointer, b)
			}
			for name, content := range files {
				b, err := c.GetBytes(t.Context(), "/acct/public/builds/comp/s1/"+name, 1<<20)
				if err != nil || !bytes.Equal(b, []byte(content)) {
					return fmt.Errorf("%w: %s", errWrong, name)
				}
			}
			if _, err := c.Info(t.Context(), "/acct/public/builds/comp/s1/md5sums.txt"); err != nil {
				return fmt.Errorf("%w: md5sums.txt", errWrong)
			}
		}
		return nil
	}
	for at := 1; at <= len(whole.Log()); at++ {
		for _, mode := range []cut.Mode{cut.Before, cut.Middle, cut.After} {
			srv := serve(t, nil)
			if err := upload(t, srv.URL, dir, &cut.Transport{At: at, Mode: mode}, true); err != nil {
				t.Errorf("cut %v request %d (%s), repeated: %v", mode, at, whole.Log()[at-1], err)
			}
			if err := complete(srv); err != nil {
				t.Errorf("cut %v request %d, repeated: %v", mode, at, err)
			}
			srv.Close()

			srv = serve(t, nil)
			err := upload(t, srv.URL, dir, &cut.Transport{At: at, Mode: mode, Times: -1}, false)
			if fault.KindOf(err) != fault.Network {
				t.Errorf("cut %v request %d: %v", mode, at, err)
			}
			if err := complete(srv); errors.Is(err, errWrong) {
				t.Errorf("cut %v request %d: a pointer leads to what is not complete: %v", mode, at, err)
			}
			if err := upload(t, srv.URL, dir, nil, false); err != nil {
				t.Errorf("cut %v request %d, again: %v", mode, at, err)
			}
			if err := complete(srv); err != nil {
				t.Errorf("cut %v request %d, again: %v", mode, at, err)
			}
			srv.Close()
		}
	}
}

var errWrong = errors.New("missing or wrong")

// A server that stops reading, and one that stops sending.
func TestStandstill(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			<-done
		}
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(200)
		_, _ = io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		<-done
	}))
	defer srv.Close()
	defer close(done)
	c, err := manta.New(manta.Options{URL: srv.URL, Account: "acct", Idle: 100 * time.Millisecond, Backoff: []time.Duration{}, Transport: &http.Transport{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetBytes(t.Context(), "/acct/public/o", 100); err == nil || !strings.Contains(err.Error(), "server stopped sending for 100ms") {
		t.Errorf("reading: %v", err)
	}
	big := manta.Content{Open: func() (io.ReadCloser, error) { return io.NopCloser(zeros{}), nil }, Size: 1 << 30}
	if err := c.Put(t.Context(), "/acct/public/o", big); err == nil || !strings.Contains(err.Error(), "server stopped taking what is sent for 100ms") {
		t.Errorf("storing: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
