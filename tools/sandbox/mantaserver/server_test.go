package mantaserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver"
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

func now() time.Time { return time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC) }

func start(t *testing.T, o mantaserver.Options) string {
	t.Helper()
	o.Dir, o.Now = t.TempDir(), now
	keys := filepath.Join(o.Dir, "keys")
	if err := os.Mkdir(keys, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acct.keys", "acct.sub.keys", "other.keys"} {
		text := "# keys\n\n" + string(ssh.MarshalAuthorizedKey(key().Public()))
		if err := os.WriteFile(filepath.Join(keys, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, err := mantaserver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func signer(t *testing.T, account, sub string, at time.Time) *sshsign.Manta {
	t.Helper()
	m, err := sshsign.NewManta(account, sub, key(), func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// step is one request of a test; the answer must have the status and, if it is
// a refusal, the code.
type step struct {
	name, method, path string
	body               string
	header             map[string]string // "" takes a header away
	status             int
	code               string
}

func send(t *testing.T, base string, s step, sign func(*http.Request) error) (http.Header, string) {
	t.Helper()
	var body io.Reader
	if s.method == http.MethodPut {
		body = strings.NewReader(s.body)
	}
	if s.header["Transfer-Encoding"] != "" {
		body = struct{ io.Reader }{body}
	}
	r, err := http.NewRequest(s.method, base+s.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if sign != nil {
		if err := sign(r); err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range s.header {
		if r.Header.Set(k, v); v == "" {
			r.Header.Del(k)
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var e struct{ Code string }
	_ = json.Unmarshal(text, &e)
	if resp.StatusCode != s.status || resp.StatusCode >= 400 && s.method != http.MethodHead && e.Code != s.code {
		t.Errorf("%s: %d %s, want %d %s", s.name, resp.StatusCode, text, s.status, s.code)
	}
	return resp.Header, string(text)
}

const dirType = "application/json; type=directory"

func sum(s string) string {
	h := md5.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(h[:])
}

// The rows are those of spec manta.md sections 4 to 7 and 9.
func TestRules(t *testing.T) {
	t.Parallel()
	base := start(t, mantaserver.Options{PlainHTTP: true, MaxObject: 100})
	dir := map[string]string{"Content-Type": dirType}
	steps := []step{
		{"dir under stor", "PUT", "/acct/stor/a", "", dir, 204, ""},
		{"dir again", "PUT", "/acct/stor/a", "", dir, 204, ""},
		{"dir without parent", "PUT", "/acct/stor/x/y", "", dir, 404, "DirectoryDoesNotExist"},
		{"root", "PUT", "/acct/stor", "", dir, 400, "OperationNotAllowedOnRootDirectory"},
		{"object", "PUT", "/acct/stor/a/o", "hello", nil, 204, ""},
		{"object, MD5 right", "PUT", "/acct/stor/a/o", "hello", map[string]string{"Content-MD5": sum("hello")}, 204, ""},
		{"object, MD5 wrong", "PUT", "/acct/stor/a/o", "HELLO", map[string]string{"Content-MD5": sum("hello")}, 400, "ContentMD5Mismatch"},
		{"object, MD5 malformed", "PUT", "/acct/stor/a/o", "HELLO", map[string]string{"Content-MD5": "xx"}, 400, "BadRequest"},
		{"the old one is there", "GET", "/acct/stor/a/o", "", nil, 200, ""},
		{"empty object", "PUT", "/acct/stor/a/empty", "", nil, 204, ""},
		{"chunked", "PUT", "/acct/stor/a/chunked", "x", map[string]string{"Transfer-Encoding": "chunked"}, 204, ""},
		{"chunked, over its limit", "PUT", "/acct/stor/a/chunked", "xyz", map[string]string{"Transfer-Encoding": "chunked", "Max-Content-Length": "2"}, 413, "MaxContentLengthExceeded"},
		{"bad limit", "PUT", "/acct/stor/a/chunked", "xyz", map[string]string{"Transfer-Encoding": "chunked", "Max-Content-Length": "two"}, 400, "InvalidMaxContentLength"},
		{"too big", "PUT", "/acct/stor/a/big", strings.Repeat("x", 101), nil, 413, "MaxContentLengthExceeded"},
		{"no parent", "PUT", "/acct/stor/none/o", "x", nil, 404, "DirectoryDoesNotExist"},
		{"parent is an object", "PUT", "/acct/stor/a/o/p", "x", nil, 400, "ParentNotDirectory"},
		{"onto a directory", "PUT", "/acct/stor/a", "x", nil, 400, "OperationNotAllowedOnDirectory"},
		{"link", "PUT", "/acct/stor/a/l", "", map[string]string{"Content-Type": "application/json; type=link", "Location": "/acct/stor/a/o"}, 403, "SnaplinksDisabledError"},
		{"copies 0", "PUT", "/acct/stor/a/o", "x", map[string]string{"X-Durability-Level": "0"}, 400, "InvalidDurabilityLevel"},
		{"copies 10", "PUT", "/acct/stor/a/o", "x", map[string]string{"Durability-Level": "10"}, 400, "InvalidDurabilityLevel"},
		{"if none, is there", "PUT", "/acct/stor/a/o", "x", map[string]string{"If-None-Match": "*"}, 412, "PreconditionFailed"},
		{"if match, other", "PUT", "/acct/stor/a/o", "x", map[string]string{"If-Match": "other"}, 412, "PreconditionFailed"},
		{"if none, new", "PUT", "/acct/stor/a/new", "x", map[string]string{"If-None-Match": "*"}, 204, ""},
		{"nothing there", "GET", "/acct/stor/a/none", "", nil, 404, "ResourceNotFound"},
		{"nothing there, head", "HEAD", "/acct/stor/a/none", "", nil, 404, ""},
		{"no such area", "GET", "/acct/else", "", nil, 404, "ResourceNotFound"},
		{"dots", "GET", "/acct/stor/%2e%2e/x", "", nil, 400, "InvalidResource"},
		{"not empty", "DELETE", "/acct/stor/a", "", nil, 400, "DirectoryNotEmpty"},
		{"delete", "DELETE", "/acct/stor/a/o", "", nil, 204, ""},
		{"delete again", "DELETE", "/acct/stor/a/o", "", nil, 404, "ResourceNotFound"},
		{"post", "POST", "/acct/stor/a", "", nil, 405, "MethodNotAllowed"},
		{"another account", "GET", "/other/stor/a", "", nil, 403, "AuthorizationFailed"},
	}
	for _, s := range steps {
		_, body := send(t, base, s, signer(t, "acct", "", now()).Sign)
		if s.name == "the old one is there" && body != "hello" {
			t.Errorf("%s: %q", s.name, body)
		}
	}
}

func TestNoLength(t *testing.T) {
	t.Parallel()
	o := mantaserver.Options{Dir: t.TempDir(), PlainHTTP: true, Now: now}
	h, err := mantaserver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "keys", "acct.keys"), ssh.MarshalAuthorizedKey(key().Public()), 0o644); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("PUT", "/acct/stor/o", nil)
	if err := signer(t, "acct", "", now()).Sign(r); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 411 || !strings.Contains(w.Body.String(), "ContentLengthRequired") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	base := start(t, mantaserver.Options{PlainHTTP: true})
	sign := signer(t, "acct", "sub", now()).Sign
	h, _ := send(t, base, step{"put", "PUT", "/acct/public/a%20b", "hello", map[string]string{"Content-Type": "text/plain", "M-Who": "me"}, 204, ""}, sign)
	if h.Get("Computed-Md5") != sum("hello") || h.Get("Etag") == "" || h.Get("Last-Modified") == "" || h.Get("X-Request-Id") == "" {
		t.Errorf("%v", h)
	}
	// What is public is read by anybody.
	h, body := send(t, base, step{"get", "GET", "/acct/public/a%20b", "", nil, 200, ""}, nil)
	if body != "hello" || h.Get("Content-Md5") != sum("hello") || h.Get("Content-Type") != "text/plain" || h.Get("M-Who") != "me" || h.Get("Durability-Level") != "2" {
		t.Errorf("%q, %v", body, h)
	}
	h, body = send(t, base, step{"list", "GET", "/acct/public", "", nil, 200, ""}, sign)
	if h.Get("Content-Type") != "application/x-json-stream; type=directory" || h.Get("Result-Set-Size") != "1" || !strings.Contains(body, `"name":"a b"`) {
		t.Errorf("%q, %v", body, h)
	}
}

// The rows are those of spec manta.md sections 3 and 9.
func TestAuthorization(t *testing.T) {
	t.Parallel()
	tests := []struct {
		step
		sign func(*http.Request) error
	}{
		{step{"unsigned", "GET", "/acct/stor/o", "", nil, 401, "AuthorizationRequired"}, nil},
		{step{"unsigned write to public", "PUT", "/acct/public/o", "", nil, 401, "AuthorizationRequired"}, nil},
		{step{"299 s off", "GET", "/acct/stor", "", nil, 200, ""}, signer(t, "acct", "", now().Add(299*time.Second)).Sign},
		{step{"301 s off", "GET", "/acct/stor", "", nil, 400, "InvalidHeader"}, signer(t, "acct", "", now().Add(-301*time.Second)).Sign},
		{step{"no date", "GET", "/acct/stor", "", map[string]string{"Date": ""}, 400, "InvalidHeader"}, signer(t, "acct", "", now()).Sign},
		{step{"another date", "GET", "/acct/stor", "", map[string]string{"Date": "Tue, 02 Jan 2024 03:04:06 GMT"}, 403, "InvalidSignature"}, signer(t, "acct", "", now()).Sign},
		{step{"scheme", "GET", "/acct/stor", "", map[string]string{"Authorization": "Basic eDp5"}, 403, "AuthorizationSchemeNotAllowed"}, nil},
		{step{"malformed", "GET", "/acct/stor", "", map[string]string{"Authorization": "Signature x"}, 400, "InvalidHeader"}, nil},
		{step{"no such account", "GET", "/none/stor", "", nil, 403, "AccountDoesNotExist"}, signer(t, "none", "", now()).Sign},
		{step{"no such user", "GET", "/acct/stor", "", nil, 403, "UserDoesNotExist"}, signer(t, "acct", "none", now()).Sign},
	}
	base := start(t, mantaserver.Options{PlainHTTP: true})
	for _, tt := range tests {
		send(t, base, tt.step, tt.sign)
	}
	forge := func(old, new string) func(*http.Request) error {
		return func(r *http.Request) error {
			err := signer(t, "acct", "", now()).Sign(r)
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
			return err
		}
	}
	send(t, base, step{"algorithm", "GET", "/acct/stor", "", nil, 401, "InvalidAlgorithm"}, forge("ecdsa-sha256", "hs2019"))
	send(t, base, step{"other algorithm", "GET", "/acct/stor", "", nil, 403, "InvalidSignature"}, forge("ecdsa-sha256", "rsa-sha256"))
	send(t, base, step{"bare user", "GET", "/acct/stor", "", nil, 403, "InvalidKeyId"}, forge("/acct/keys/"+key().MD5(), "acct"))
	send(t, base, step{"unknown key", "GET", "/acct/stor", "", nil, 403, "KeyDoesNotExist"}, forge(key().MD5(), strings.Repeat("00:", 15)+"00"))
	send(t, start(t, mantaserver.Options{}), step{"no TLS", "GET", "/acct/stor", "", nil, 403, "SecureTransportRequired"}, signer(t, "acct", "", now()).Sign)
}

// The rows are those of spec manta.md section 8.
func TestPresigned(t *testing.T) {
	t.Parallel()
	base := start(t, mantaserver.Options{PlainHTTP: true})
	m := signer(t, "acct", "", now())
	send(t, base, step{"put", "PUT", "/acct/stor/a%20b", "hello", nil, 204, ""}, m.Sign)
	presign := func(method string, expires time.Time) string {
		u, err := url.Parse(base + "/acct/stor/a%20b")
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.Presign(method, u, expires)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(s, base)
	}
	good := presign("GET", now().Add(time.Hour))
	const invalid = "InvalidQueryStringAuthentication"
	for _, s := range []step{
		{"good", "GET", good, "", nil, 200, ""},
		{"other method", "HEAD", good, "", nil, 403, ""},
		{"other method", "PUT", good, "", nil, 403, invalid},
		{"expired", "GET", presign("GET", now().Add(-time.Second)), "", nil, 403, invalid},
		{"changed", "GET", strings.Replace(good, "expires=1", "expires=2", 1), "", nil, 403, "InvalidSignature"},
		{"other object", "GET", strings.Replace(good, "a%20b", "a%20c", 1), "", nil, 403, "InvalidSignature"},
		{"not signed", "GET", good[:strings.Index(good, "&signature")], "", nil, 403, invalid},
		{"algorithm", "GET", strings.Replace(good, "ECDSA-SHA256", "HS2019", 1), "", nil, 403, invalid},
		{"a header counts more", "GET", good, "", map[string]string{"Authorization": "Basic x"}, 403, "AuthorizationSchemeNotAllowed"},
	} {
		send(t, base, s, nil)
	}
}
