package imgapi_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver/cut"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
	"golang.org/x/sync/errgroup"
)

// server is a sandbox's image server and a signature for it.
type server struct {
	*sandbox.Sandbox
	sign func(*http.Request) error
}

func startServer(t *testing.T, o sandbox.Options) *server {
	t.Helper()
	o.Dir = t.TempDir()
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	user, file, err := s.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := sshsign.Places{}.Identity(file)
	if err != nil {
		t.Fatal(err)
	}
	sign, err := sshsign.IMGAPI(user, key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return &server{s, sign}
}

// client returns a signed client; repeat says whether lost requests are repeated.
func (s *server) client(t *testing.T, channel string, tr http.RoundTripper, repeat bool) *imgapi.Client {
	t.Helper()
	o := imgapi.Options{URL: s.ImageURL(), Channel: channel, Transport: tr, Sign: s.sign,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	if !repeat {
		o.Backoff = []time.Duration{}
	}
	c, err := imgapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func uuidOf(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func manifestOf(t *testing.T, n int, more string) *imgmanifest.Manifest {
	t.Helper()
	m, err := imgmanifest.Parse([]byte(`{"v":2,"uuid":"` + uuidOf(n) + `","owner":"` + imgmanifest.ZeroUUID + `","name":"demo","version":"1.2.3",
		"type":"zone-dataset","os":"smartos"` + more + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func fileOf(text string) imgapi.Content {
	sum := sha1.Sum([]byte(text))
	return imgapi.Content{
		File: imgmanifest.File{SHA1: hex.EncodeToString(sum[:]), Size: int64(len(text)), Compression: "gzip"},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	s := startServer(t, sandbox.Options{})
	c := s.client(t, "staging", nil, true)
	ctx := t.Context()
	var told []string
	note := func(what string) func(*imgmanifest.Manifest) {
		return func(m *imgmanifest.Manifest) { told = append(told, what+" "+m.State()) }
	}
	p := imgapi.Publication{Manifest: manifestOf(t, 1, `,"state":"active","icon":false,"channels":["x"]`), File: fileOf("an image"),
		Imported: note("imported"), FileAdded: note("file"), Activated: note("activated")}
	m, err := c.Publish(ctx, p)
	if err != nil || m.State() != "active" || m.Files()[0] != p.File.File || !slices.Equal(m.Channels(), []string{"staging"}) {
		t.Fatalf("%v\n%s", err, m.Encode())
	}
	if want := []string{"imported unactivated", "file unactivated", "activated active"}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	// Once more: nothing to do; for another channel, it is added there.
	told = nil
	if _, err := c.Publish(ctx, p); err != nil || told != nil {
		t.Errorf("again: %v, told %q", err, told)
	}
	m, err = c.In("release").Publish(ctx, p)
	if err != nil || !slices.Equal(m.Channels(), []string{"staging", "release"}) {
		t.Errorf("other channel: %v", err)
	}
	// Another file, another image.
	p.File = fileOf("another image")
	if _, err := c.Publish(ctx, p); !errors.Is(err, imgapi.ErrOther) || fault.KindOf(err) != fault.Drift {
		t.Errorf("another file: %v", err)
	}
	p.Manifest = manifestOf(t, 1, `,"origin":"`+uuidOf(9)+`"`)
	if _, err := c.Publish(ctx, p); !errors.Is(err, imgapi.ErrOther) || !strings.Contains(err.Error(), "origin") {
		t.Errorf("another origin: %v", err)
	}
}

// A step that the server refuses leaves nothing.
func TestPublishRolledBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, sandbox.Options{})
	c := s.client(t, "dev", nil, true)
	p := imgapi.Publication{Manifest: manifestOf(t, 1, ""), File: fileOf("an image")}
	p.File.SHA1 = strings.Repeat("0", 40)
	_, err := c.Publish(t.Context(), p)
	var e *imgapi.Error
	if !errors.As(err, &e) || e.Code != "Download" {
		t.Errorf("wrong sha1: %v", err)
	}
	if _, err := c.In("*").Get(t.Context(), uuidOf(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a refusal: %v", err)
	}
	p.Manifest = manifestOf(t, 1, `,"origin":"`+uuidOf(9)+`"`)
	if _, err := c.Publish(t.Context(), p); !errors.As(err, &e) || e.Code != "OriginDoesNotExist" {
		t.Errorf("no origin: %v", err)
	}
	p.Manifest = manifestOf(t, 1, `,"public":true`)
	if _, err := c.Publish(t.Context(), p); !errors.As(err, &e) || e.Code != "ValidationFailed" {
		t.Errorf("public: %v", err)
	}
}

// The table fault × outcome: the connection breaks at each request of a
// publication. Where it is repeated, nothing is noticed; where the network is
// gone for good, no active image lacks its file, and the same call finishes.
func TestPublishCutAnywhere(t *testing.T) {
	t.Parallel()
	p := imgapi.Publication{Manifest: manifestOf(t, 1, ""), File: fileOf(strings.Repeat("image", 1000))}
	whole := &cut.Transport{}
	if _, err := startServer(t, sandbox.Options{}).client(t, "dev", whole, false).Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, sandbox.Options{})
	n := 0
	for at := range len(whole.Log()) {
		for _, mode := range []cut.Mode{cut.Before, cut.Middle, cut.After} {
			for _, times := range []int{1, 2, -1} {
				n++
				p.Manifest = manifestOf(t, n, "")
				name := fmt.Sprintf("cut %v request %d (%s), %d times", mode, at+1, whole.Log()[at], times)
				broken := &cut.Transport{At: at + 1, Mode: mode, Times: times}
				m, err := s.client(t, "dev", broken, times > 0).Publish(t.Context(), p)
				if times > 0 && (err != nil || m.State() != "active") {
					t.Errorf("%s: %v", name, err)
				}
				if times < 0 && err == nil {
					t.Errorf("%s: no error", name)
				}
				good := s.client(t, "dev", nil, true)
				if m, err := good.In("*").Get(t.Context(), p.Manifest.UUID()); err == nil && m.State() == "active" && len(m.Files()) != 1 {
					t.Errorf("%s: an active image without file", name)
				}
				m, err = good.Publish(t.Context(), p)
				if err != nil || m.State() != "active" || m.Files()[0] != p.File.File {
					t.Errorf("%s, again: %v", name, err)
				}
			}
		}
	}
}

// Each other change, with its outcome lost and with the request lost.
func TestChangesCut(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := startServer(t, sandbox.Options{})
	good := s.client(t, "dev", nil, true)
	fields, err := imgmanifest.Parse([]byte(`{"description":"new","homepage":null}`))
	if err != nil {
		t.Fatal(err)
	}
	account := "11111111-2222-4333-8444-555555555555"
	n := 0
	for _, mode := range []cut.Mode{cut.Before, cut.After} {
		for _, tt := range []struct {
			name string
			do   func(c *imgapi.Client, uuid string) error
			ok   func(m *imgmanifest.Manifest) bool // nil manifest: it is gone
		}{
			{"channel-add", func(c *imgapi.Client, u string) error { _, err := c.ChannelAdd(ctx, u, "release"); return err },
				func(m *imgmanifest.Manifest) bool { return slices.Equal(m.Channels(), []string{"dev", "release"}) }},
			{"disable", func(c *imgapi.Client, u string) error { _, err := c.Disable(ctx, u); return err },
				func(m *imgmanifest.Manifest) bool { return m.State() == "disabled" }},
			{"enable", func(c *imgapi.Client, u string) error { _, err := c.Enable(ctx, u); return err },
				func(m *imgmanifest.Manifest) bool { return m.State() == "active" }},
			{"update", func(c *imgapi.Client, u string) error { _, err := c.Update(ctx, u, fields); return err },
				func(m *imgmanifest.Manifest) bool { return m.Description() == "new" }},
			{"acl", func(c *imgapi.Client, u string) error { _, err := c.ACL(ctx, u, true, []string{account}); return err },
				func(m *imgmanifest.Manifest) bool { raw, _ := m.Get("acl"); return string(raw) == `["`+account+`"]` }},
			{"delete", func(c *imgapi.Client, u string) error { _, err := c.Delete(ctx, u, false); return err },
				func(m *imgmanifest.Manifest) bool { return m == nil }},
			{"delete everywhere", func(c *imgapi.Client, u string) error { _, err := c.Delete(ctx, u, true); return err },
				func(m *imgmanifest.Manifest) bool { return m == nil }},
		} {
			n++
			uuid := uuidOf(n)
			if _, err := good.Publish(ctx, imgapi.Publication{Manifest: manifestOf(t, n, `,"homepage":"http://h.test/"`), File: fileOf("x")}); err != nil {
				t.Fatal(err)
			}
			at := 1
			if strings.HasPrefix(tt.name, "delete") {
				at = 3 // it looks for dependents first
			}
			if err := tt.do(s.client(t, "dev", &cut.Transport{At: at, Mode: mode}, true), uuid); err != nil {
				t.Errorf("%s, cut %v: %v", tt.name, mode, err)
			}
			m, err := good.In("*").Get(ctx, uuid)
			if err != nil {
				m = nil
			}
			if (m == nil) != strings.HasPrefix(tt.name, "delete") || !tt.ok(m) {
				t.Errorf("%s, cut %v: not done: %v", tt.name, mode, err)
			}
			// For good: unknown, unless nothing can have reached the server.
			if m != nil {
				err := tt.do(s.client(t, "dev", &cut.Transport{At: 1, Mode: mode, Times: -1}, false), uuid)
				if !errors.Is(err, imgapi.ErrUnknown) || fault.KindOf(err) != fault.Network {
					t.Errorf("%s, cut for good: %v", tt.name, err)
				}
			}
		}
	}
}

func TestDeleteKeepsOrigins(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := startServer(t, sandbox.Options{})
	dev := s.client(t, "dev", nil, true)
	for n, more := range []string{"", `,"origin":"` + uuidOf(0) + `"`} {
		if _, err := dev.Publish(ctx, imgapi.Publication{Manifest: manifestOf(t, n, more), File: fileOf("x")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, uuid := range []string{uuidOf(0), uuidOf(1)} {
		if _, err := dev.ChannelAdd(ctx, uuid, "staging"); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(channel string, all bool) {
		t.Helper()
		if _, err := dev.In(channel).Delete(ctx, uuidOf(0), all); fault.KindOf(err) != fault.Policy {
			t.Errorf("%s: %v", channel, err)
		}
	}
	gone := func(channel, uuid string, want bool) {
		t.Helper()
		if gone, err := dev.In(channel).Delete(ctx, uuid, false); err != nil || gone != want {
			t.Errorf("%s: gone %v, %v", channel, gone, err)
		}
	}
	refused("dev", false)
	refused("staging", true)
	gone("dev", uuidOf(1), false)
	gone("", uuidOf(0), false) // dev is the default
	// The server itself would delete this one, whose child is in staging only.
	if _, err := dev.In("staging").ChannelAdd(ctx, uuidOf(0), "support"); err != nil {
		t.Fatal(err)
	}
	refused("staging", false)
	gone("support", uuidOf(0), false)
	refused("staging", false)
	gone("staging", uuidOf(1), true)
	gone("staging", uuidOf(0), true)
}

// Nothing that would stop the real server, or that it would not check, is sent.
func TestRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	sent := 0
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent++ }))
	defer srv.Close()
	c, err := imgapi.New(imgapi.Options{URL: srv.URL, Channel: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	fields := func(s string) *imgmanifest.Manifest {
		m, err := imgmanifest.Parse([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	url := func(u string) imgapi.Content {
		f := fileOf("x")
		f.Open, f.URL = nil, u
		return f
	}
	bad := fileOf("x")
	bad.Compression = "zip"
	nothing := fileOf("")
	big := fileOf("x")
	big.Size = imgapi.MaxFile + 1
	for name, do := range map[string]func() (*imgmanifest.Manifest, error){
		"every channel": func() (*imgmanifest.Manifest, error) { return c.In("*").Activate(ctx, uuidOf(1)) },
		"capital uuid": func() (*imgmanifest.Manifest, error) {
			return c.Activate(ctx, strings.ToUpper("abcdef00-0000-4000-8000-000000000000"))
		},
		"path as uuid":  func() (*imgmanifest.Manifest, error) { return c.Disable(ctx, "../state") },
		"no channel":    func() (*imgmanifest.Manifest, error) { return c.ChannelAdd(ctx, uuidOf(1), "") },
		"channel *":     func() (*imgmanifest.Manifest, error) { return c.ChannelAdd(ctx, uuidOf(1), "*") },
		"channels set":  func() (*imgmanifest.Manifest, error) { return c.Update(ctx, uuidOf(1), fields(`{"channels":["x"]}`)) },
		"nothing set":   func() (*imgmanifest.Manifest, error) { return c.Update(ctx, uuidOf(1), fields(`{}`)) },
		"acl of nobody": func() (*imgmanifest.Manifest, error) { return c.ACL(ctx, uuidOf(1), true, nil) },
		"acl, no uuid":  func() (*imgmanifest.Manifest, error) { return c.ACL(ctx, uuidOf(1), true, []string{"me"}) },
		"no name":       func() (*imgmanifest.Manifest, error) { return c.Import(ctx, fields(`{"v":2,"uuid":"`+uuidOf(1)+`"}`)) },
		"unknown field": func() (*imgmanifest.Manifest, error) { return c.Import(ctx, manifestOf(t, 1, `,"creator_uuid":"x"`)) },
		"compression":   func() (*imgmanifest.Manifest, error) { return c.AddFile(ctx, uuidOf(1), bad) },
		"empty":         func() (*imgmanifest.Manifest, error) { return c.AddFile(ctx, uuidOf(1), nothing) },
		"too big":       func() (*imgmanifest.Manifest, error) { return c.AddFile(ctx, uuidOf(1), big) },
		"plain http": func() (*imgmanifest.Manifest, error) {
			return c.AddFile(ctx, uuidOf(1), url("http://h.test/x?signature=secret"))
		},
		"neither": func() (*imgmanifest.Manifest, error) { return c.AddFile(ctx, uuidOf(1), url("")) },
	} {
		if _, err := do(); fault.KindOf(err) != fault.Usage || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if sent != 0 {
		t.Errorf("%d requests were sent", sent)
	}
}

func TestSandboxImageToRealServer(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ping" {
			t.Errorf("%s %s was sent", r.Method, r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"ping":"pong","version":"4.13.1","imgapi":true}`)
	}))
	defer srv.Close()
	c, err := imgapi.New(imgapi.Options{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	m := manifestOf(t, 1, `,"tags":{"sandbox":true}`)
	if _, err := c.Import(t.Context(), m); fault.KindOf(err) != fault.Policy {
		t.Errorf("import: %v", err)
	}
	if _, err := c.Publish(t.Context(), imgapi.Publication{Manifest: m, File: fileOf("x")}); fault.KindOf(err) != fault.Policy || fault.Hint(err) == "" {
		t.Errorf("publish: %v", err)
	}
}

// A file that the server fetches: whole, refused, and with the answer lost
// while the server goes on.
func TestFromURL(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const text = "an image from elsewhere"
	objects := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("signature") != "secret" {
			w.WriteHeader(403)
			return
		}
		io.WriteString(w, text)
	}))
	defer objects.Close()
	faults := new(sandbox.Faults)
	s := startServer(t, sandbox.Options{Remote: objects.Client().Transport, Faults: faults})
	c := s.client(t, "dev", nil, true)
	content := func(query string) imgapi.Content {
		f := fileOf(text)
		f.Open, f.URL = nil, objects.URL+"/x.zfs.gz"+query
		return f
	}
	_, err := c.Publish(ctx, imgapi.Publication{Manifest: manifestOf(t, 1, ""), File: content("?signature=other")})
	if err == nil || !strings.Contains(err.Error(), "HTTP 403 error attempting to download image") || strings.Contains(err.Error(), "signature") {
		t.Errorf("refused: %v", err)
	}
	if _, err := c.In("*").Get(ctx, uuidOf(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a refusal: %v", err)
	}
	for n, f := range map[int]*sandbox.Fault{
		2: nil,
		3: {Path: "/images/*/file/from-url", Status: 504, Body: "<html>time-out</html>", After: true, Times: 1},
		4: {Path: "/images/*/file/from-url", Reset: true, After: true, Times: 1},
		5: {Path: "/images/*/file/from-url", Reset: true, Times: 1},
	} {
		if f != nil {
			faults.Add(*f)
		}
		m, err := c.Publish(ctx, imgapi.Publication{Manifest: manifestOf(t, n, ""), File: content("?signature=secret")})
		if err != nil || m.State() != "active" || len(m.Files()) != 1 {
			t.Errorf("%d: %v", n, err)
		}
		faults.Clear()
	}
	// The answer does not come in time, though the server goes on.
	slow := &late{left: 1}
	m, err := s.client(t, "dev", slow, true).Publish(ctx, imgapi.Publication{Manifest: manifestOf(t, 7, ""), File: content("?signature=secret")})
	if err != nil || m.State() != "active" || slow.left != 0 {
		t.Errorf("late: %v", err)
	}
	// Each attempt has an address of its own.
	faults.Add(sandbox.Fault{Path: "/images/*/file/from-url", Reset: true, Times: 2})
	renewed := content("?signature=old")
	asked := 0
	renewed.Renew = func() (string, error) {
		if asked++; asked < 3 {
			return objects.URL + "/x.zfs.gz?signature=old", nil
		}
		return objects.URL + "/x.zfs.gz?signature=secret", nil
	}
	m, err = c.Publish(ctx, imgapi.Publication{Manifest: manifestOf(t, 9, ""), File: renewed})
	if err != nil || m.State() != "active" || asked != 3 {
		t.Errorf("renewed: %v, %d addresses", err, asked)
	}
	faults.Clear()
	renewed.Renew = func() (string, error) { return "http://h.test/x?signature=secret", nil }
	_, err = c.Publish(ctx, imgapi.Publication{Manifest: manifestOf(t, 10, ""), File: renewed})
	if fault.KindOf(err) != fault.Usage || strings.Contains(err.Error(), "secret") {
		t.Errorf("renewed to no https: address: %v", err)
	}
	if _, err := c.In("*").Get(ctx, uuidOf(10)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without an address: %v", err)
	}
	// A server that repeats the address.
	faults.Add(sandbox.Fault{Path: "/images/*/file/from-url", Status: 422, Body: `{"code":"InvalidParameter","message":"bad file_url: https://h.test/x?a=1&signature=secret",` +
		`"errors":[{"field":"file_url","code":"Invalid","message":"a=1\\u0026signature=secret"}]}`})
	_, err = c.Publish(ctx, imgapi.Publication{Manifest: manifestOf(t, 8, ""), File: content("?a=1&signature=secret")})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "bad file_url: https://h.test/x;") {
		t.Errorf("repeated: %v", err)
	}
	faults.Clear()
	// The server is gone for good: rolled back where that is possible, and nothing said of the signature.
	faults.Add(sandbox.Fault{Path: "/images/*/file/from-url", Status: 504, Body: "<html>time-out</html>"})
	_, err = c.Publish(ctx, imgapi.Publication{Manifest: manifestOf(t, 6, ""), File: content("?signature=secret")})
	if !errors.Is(err, imgapi.ErrUnknown) || strings.Contains(err.Error(), "secret") {
		t.Errorf("for good: %v", err)
	}
	if _, err := c.In("*").Get(ctx, uuidOf(6)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a rolled back publication: %v", err)
	}
}

// late loses answers to from-url as a time-out does.
type late struct{ left int }

func (l *late) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || l.left == 0 || !strings.HasSuffix(r.URL.Path, "/from-url") {
		return resp, err
	}
	l.left--
	resp.Body.Close()
	return nil, timeout{}
}

type timeout struct{}

func (timeout) Error() string { return "timeout awaiting response headers" }
func (timeout) Timeout() bool { return true }

// A server that stops reading ends an upload, and the image is removed again.
func TestStalledUpload(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			cancel() // asking afterwards gets no answer either
		}
		<-done
	}))
	defer srv.Close()
	defer close(done)
	c, err := imgapi.New(imgapi.Options{URL: srv.URL, Channel: "dev", Idle: 200 * time.Millisecond, Backoff: []time.Duration{}})
	if err != nil {
		t.Fatal(err)
	}
	f := fileOf("x")
	f.Size = 1 << 30
	f.Open = func() (io.ReadCloser, error) { return io.NopCloser(zeros{}), nil }
	if _, err := c.AddFile(ctx, uuidOf(1), f); !errors.Is(err, imgapi.ErrUnknown) || !strings.Contains(err.Error(), "stopped taking") {
		t.Errorf("%v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Several publications of one image at once: all succeed, there is one image.
func TestPublishAtOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t, sandbox.Options{})
	var g errgroup.Group
	for range 6 {
		c := s.client(t, "dev", nil, true)
		p := imgapi.Publication{Manifest: manifestOf(t, 1, ""), File: fileOf("an image")}
		g.Go(func() error { _, err := c.Publish(t.Context(), p); return err })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	m, err := s.client(t, "dev", nil, true).Get(t.Context(), uuidOf(1))
	if err != nil || m.State() != "active" || m.Files()[0] != fileOf("an image").File {
		t.Errorf("%v", err)
	}
}
