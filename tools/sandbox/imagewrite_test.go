package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// tester talks to a sandbox as a user with a key.
type tester struct {
	*testing.T
	sb  *Sandbox
	key *rsa.PrivateKey
}

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func signedIn(t *testing.T, o Options) *tester {
	t.Helper()
	x := &tester{t, start(t, o), testKey()}
	public, err := ssh.NewPublicKey(&x.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.sb.AddUser("jdoe", public); err != nil {
		t.Fatal(err)
	}
	return x
}

// sign returns headers as a client sends them.
func sign(t *testing.T, key *rsa.PrivateKey, user, algorithm, header string, date time.Time) []string {
	t.Helper()
	value := date.UTC().Format(http.TimeFormat)
	text := []byte(header + ": " + value)
	var digest []byte
	var hash crypto.Hash
	switch strings.ToLower(algorithm) {
	case "rsa-sha1":
		sum := sha1.Sum(text)
		digest, hash = sum[:], crypto.SHA1
	case "rsa-sha512":
		sum := sha512.Sum512(text)
		digest, hash = sum[:], crypto.SHA512
	default:
		sum := sha256.Sum256(text)
		digest, hash = sum[:], crypto.SHA256
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, hash, digest)
	if err != nil {
		t.Fatal(err)
	}
	list := ""
	if header != "date" {
		list = fmt.Sprintf(`,headers=%q`, header)
	}
	return []string{header + ": " + value, fmt.Sprintf(`Authorization: Signature keyId=%q,algorithm=%q%s,signature="%s"`,
		user, algorithm, list, base64.StdEncoding.EncodeToString(signature))}
}

func (x *tester) ask(method, path, body string, header ...string) (*http.Response, string) {
	x.Helper()
	resp, text, err := x.try(method, path, body, header...)
	if err != nil {
		x.Fatal(err)
	}
	return resp, text
}

func (x *tester) try(method, path, body string, header ...string) (*http.Response, string, error) {
	x.Helper()
	header = append(sign(x.T, x.key, "jdoe", "rsa-sha256", "date", time.Now()), header...)
	if method == "POST" && len(body) > 0 && !strings.Contains(strings.Join(header, "\n"), "Content-Type") {
		header = append(header, "Content-Type: application/json")
	}
	return try(x.T, method, x.sb.ImageURL()+path, body, append(header, "Accept-Version: ~2")...)
}

// want asks and checks status and a part of the answer.
func (x *tester) want(status int, part, method, path, body string, header ...string) string {
	x.Helper()
	resp, text := x.ask(method, path, body, header...)
	if resp.StatusCode != status || !strings.Contains(text, part) {
		x.Errorf("%s %s: %d %s\nwant %d, %q", method, path, resp.StatusCode, text, status, part)
	}
	return text
}

func testUUID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func manifest(n int, more string) string {
	return fmt.Sprintf(`{"v":2,"uuid":%q,"name":"demo","version":"1.%d","type":"zone-dataset","os":"smartos"%s}`, testUUID(n), n, more)
}

const hello = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" // SHA-1 of "hello"

// publish imports, adds a file and activates.
func (x *tester) publish(n int, channel, more string) string {
	x.Helper()
	u := "/images/" + testUUID(n)
	x.want(200, `"state": "unactivated"`, "POST", u+"?action=import&channel="+channel, manifest(n, more))
	x.want(200, hello, "PUT", u+"/file?compression=none&sha1="+hello+"&channel="+channel, "hello")
	x.want(200, `"state": "active"`, "POST", u+"?action=activate&channel="+channel, "{}")
	return u
}

func TestPublishAndKeep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	x := signedIn(t, Options{Dir: dir, Now: func() time.Time { return time.Now() }})
	u := x.publish(1, "experimental", `,"origin":"`+base+`","owner":"11111111-2222-3333-4444-555555555555","files":[{"sha1":"x"}],"state":"active","channels":["release"]`)
	got := x.want(200, `"name": "demo"`, "GET", u+"?channel=experimental", "")
	m, err := imgmanifest.Parse([]byte(got))
	if err != nil {
		t.Fatal(err)
	}
	if m.Owner() != imgmanifest.ZeroUUID || m.PublishedAt() == "" || fmt.Sprint(m.Channels()) != "[experimental]" || m.Files()[0].Size != 5 {
		t.Errorf("image: %s", got)
	}
	x.want(404, `"image not found"`, "GET", u, "")
	x.want(404, `"image not found"`, "POST", u+"?action=channel-add", `{"channel":"staging"}`)
	x.want(200, `"staging"`, "POST", u+"?action=channel-add&channel=experimental", `{"channel":"staging"}`)
	x.want(200, `"staging"`, "POST", u+"?action=channel-add&channel=experimental", `{"channel":"staging"}`) // again is no change

	// Another sandbox with the same state sees it, file and all.
	other := start(t, Options{Dir: dir})
	resp, content := ask(t, "GET", other.ImageURL()+u+"/file?channel=staging", "")
	if content != "hello" || resp.Header.Get("Content-Md5") != "XUFAKrxLKna5cZ2REBfFkg==" || resp.Header.Get("Etag") != hello {
		t.Errorf("file: %q, %v", content, resp.Header)
	}
	x.want(200, `"1.1"`, "GET", "/images?channel=staging&name=demo", "")

	// Gone with its last channel.
	x.want(204, "", "DELETE", u+"?channel=experimental", "")
	x.want(200, "demo", "GET", u+"?channel=staging", "")
	x.want(204, "", "DELETE", u+"?channel=staging", "")
	x.want(404, "image "+testUUID(1)+" not found", "GET", u+"?channel=*", "")
	if left, err := filepath.Glob(filepath.Join(dir, "images", testUUID(1), "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

func TestEmbeddedImagesCanBeChangedAndDeleted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	x := signedIn(t, Options{Dir: dir})
	u := "/images/" + base
	x.want(204, "", "DELETE", u+"?channel=dev", "")
	x.want(404, "image not found", "GET", u, "")
	x.want(200, base, "GET", u+"?channel=release", "")
	if _, content := x.ask("GET", u+"/file?channel=release", ""); len(content) != 148193 {
		t.Errorf("file has %d bytes", len(content))
	}
	x.want(204, "", "DELETE", u+"?channel=release&force_all_channels=true", "")
	x.want(404, "not found", "GET", u+"?channel=*", "")
	x.want(404, "not found", "GET", u+"?channel=*", "")
	_, list := x.ask("GET", "/images?channel=*", "")
	if n := strings.Count(list, `"uuid"`); n != 5 {
		t.Errorf("%d images left", n)
	}
}

func TestRefusedChanges(t *testing.T) {
	t.Parallel()
	x := signedIn(t, Options{})
	active, fresh, u9 := x.publish(1, "dev", ""), "/images/"+testUUID(2), "/images/"+testUUID(9)
	x.want(200, "unactivated", "POST", fresh+"?action=import", manifest(2, `,"origin":"`+testUUID(1)+`"`))
	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"import: other uuid", "POST", u9 + "?action=import", manifest(8, ""), 422, `"field": "uuid"`},
		{"import: exists", "POST", fresh + "?action=import", manifest(2, ""), 409, "ImageUuidAlreadyExists"},
		{"import: exists in another channel", "POST", fresh + "?action=import&channel=support", manifest(2, ""), 409, "already exists"},
		{"import: no origin", "POST", u9 + "?action=import", manifest(9, `,"origin":"`+testUUID(7)+`"`), 422, "OriginDoesNotExist"},
		{"import: public", "POST", u9 + "?action=import", manifest(9, `,"public":true`), 422, "public images are not allowed"},
		{"import: icon", "POST", u9 + "?action=import", manifest(9, `,"icon":true`), 422, "icon missing contentMD5"},
		{"import: v1", "POST", u9 + "?action=import", manifest(9, `,"creator_uuid":"x"`), 422, `"invalid extra parameters: creator_uuid"`},
		{"import: two problems", "POST", u9 + "?action=import", `{"v":2,"uuid":"` + testUUID(9) + `","name":"n","type":"zone-dataset","os":"plan9"}`, 422, `"invalid image data: version, os"`},
		{"import: no JSON", "POST", u9 + "?action=import", `{`, 400, "InvalidContent"},
		{"import: channel *", "POST", u9 + "?action=import&channel=*", manifest(9, ""), 422, `"unknown channel: *"`},
		{"import: account", "POST", u9 + "?action=import&account=" + testUUID(1), manifest(9, ""), 403, "OperatorOnly"},
		{"import: source", "POST", u9 + "?action=import&source=https://x", "", 503, "RemoteSourceError"},
		{"import-remote", "POST", u9 + "?action=import-remote&source=https://x", "", 503, "ServiceUnavailableError"},
		{"file: no compression", "PUT", fresh + "/file", "x", 422, `"field": "compression"`},
		{"file: unknown compression", "PUT", fresh + "/file?compression=zip", "x", 422, "InvalidParameter"},
		{"file: storage", "PUT", fresh + "/file?compression=none&storage=x", "x", 422, "InvalidParameter"},
		{"file: bad sha1", "PUT", fresh + "/file?compression=none&sha1=x", "x", 422, "InvalidParameter"},
		{"file: other sha1", "PUT", fresh + "/file?compression=none&sha1=" + hello, "x", 400, `does not match the uploaded file sha1 hash`},
		{"file: empty", "PUT", fresh + "/file?compression=none", "", 400, `"Download"`},
		{"file: active", "PUT", active + "/file?compression=none", "x", 422, "ImageFilesImmutable"},
		{"file: unknown image", "PUT", u9 + "/file?compression=none", "x", 404, "image " + testUUID(9) + " not found"},
		{"file: other channel", "PUT", fresh + "/file?compression=none&channel=release", "x", 404, `"image not found"`},
		{"url: http", "POST", fresh + "/file/from-url?compression=none", `{"file_url":"http://127.0.0.1/"}`, 422, `"field": "file_url"`},
		{"url: none", "POST", fresh + "/file/from-url?compression=none", `{}`, 422, "file_url"},
		{"url: no network", "POST", fresh + "/file/from-url?compression=none", `{"file_url":"https://example.test/x?signature=secret"}`, 400, "Error getting image: the sandbox has no network"},
		{"activate: no file", "POST", fresh + "?action=activate", "{}", 422, "NoActivationNoFile"},
		{"activate: twice", "POST", active + "?action=activate", "{}", 422, "ImageAlreadyActivated"},
		{"channel-add: unknown", "POST", active + "?action=channel-add", `{"channel":"x"}`, 422, `"unknown channel: x"`},
		{"channel-add: *", "POST", active + "?action=channel-add", `{"channel":"*"}`, 422, `"unknown channel: *"`},
		{"channel-add: none", "POST", active + "?action=channel-add", `{}`, 422, "MissingParameter"},
		{"update: not allowed", "POST", active + "?action=update", `{"type":"zvol"}`, 422, "NotAllowed"},
		{"update: nothing", "POST", active + "?action=update", `{}`, 422, "ValidationFailed"},
		{"update: invalid", "POST", active + "?action=update", `{"os":"plan9"}`, 422, `"field": "os"`},
		{"update: origin of an active image", "POST", active + "?action=update", `{"origin":"` + base + `"}`, 422, "NotAllowed"},
		{"acl", "POST", active + "/acl?action=add", `["x"]`, 422, "InvalidParameter"},
		{"delete: dependents", "DELETE", active, "", 422, `has 1 dependent incremental image(s): ` + testUUID(2)},
		{"delete: unknown", "DELETE", u9, "", 404, "ResourceNotFound"},
		{"no action", "POST", active, "{}", 422, `"field": "action"`},
		{"unknown action", "POST", active + "?action=x", "{}", 422, `"field": "action"`},
		{"change-stor", "POST", active + "?action=change-stor&stor=manta", "", 503, "StorageUnsupported"},
		{"export", "POST", active + "?action=export&manta_path=/x", "", 503, "StorageUnsupported"},
		{"create: state", "POST", "/images", `{"owner":"` + testUUID(1) + `","state":"active"}`, 422, `"field": "state"`},
		{"create: uuid", "POST", "/images", `{"owner":"` + testUUID(1) + `","uuid":"` + testUUID(1) + `"}`, 422, "invalid extra parameters: uuid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			y := *x
			y.T = t
			got := y.want(tt.status, tt.want, tt.method, tt.path, tt.body)
			if strings.Contains(got, "secret") {
				t.Errorf("the answer tells a secret: %s", got)
			}
		})
	}
}

func TestBadDigestAndHazards(t *testing.T) {
	t.Parallel()
	x := signedIn(t, Options{})
	u := "/images/" + testUUID(1)
	x.want(400, "BadDigest", "POST", u+"?action=import", manifest(1, ""), "Content-Md5: XUFAKrxLKna5cZ2REBfFkg==")
	for name, body := range map[string]string{"no body": "", "no type": manifest(1, "")} {
		for _, path := range []string{u + "?action=import", "/images/" + base + "?action=channel-add"} {
			if _, _, err := x.try("POST", path, body, "Content-Type: "); !errors.Is(err, io.EOF) {
				t.Errorf("%s %s: %v", path, name, err)
			}
		}
	}
	if _, _, err := x.try("POST", "/images", `{"name":"x"}`); !errors.Is(err, io.EOF) {
		t.Errorf("create without an owner: %v", err)
	}
}

func TestOtherChanges(t *testing.T) {
	t.Parallel()
	x := signedIn(t, Options{})
	u := x.publish(1, "dev", `,"description":"old"`)
	x.want(200, `"state": "disabled"`, "POST", u+"?action=disable", "{}")
	x.want(200, `"size": 5`, "GET", u, "") // still readable
	x.want(200, `"state": "active"`, "POST", u+"?action=enable", "")
	x.want(200, `"description": "new"`, "POST", u+"?action=update", `{"description":"new","homepage":"https://example.test/"}`)
	if got := x.want(200, "homepage", "POST", u+"?action=update", `{"description":null}`); strings.Contains(got, "description") {
		t.Errorf("null does not delete: %s", got)
	}
	x.want(200, testUUID(5), "POST", u+"/acl?action=add", `["`+testUUID(5)+`"]`)
	if got := x.want(200, "demo", "POST", u+"/acl?action=remove", `["`+testUUID(5)+`"]`); strings.Contains(got, "acl") {
		t.Errorf("an empty acl is shown: %s", got)
	}
	x.want(200, "demo", "POST", u+"?action=change-stor&stor=local", "")
	x.want(200, `"stor": "local"`, "GET", u+"?inclAdminFields=true", "")
	x.want(200, `"state": "unactivated"`, "POST", "/images", `{"owner":"`+testUUID(5)+`","name":"made","version":"1","type":"other","os":"other"}`)
	x.want(200, "made", "GET", "/images?state=unactivated", "")
	x.want(200, "{}", "POST", "/authkeys/reload", "")
	x.want(200, "sandbox", "GET", "/state", "")
	x.want(200, `"user": "jdoe"`, "GET", "/ping", "")
}

func TestUploadReplacedAndCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	x := signedIn(t, Options{Dir: dir})
	u := "/images/" + testUUID(1)
	x.want(200, "unactivated", "POST", u+"?action=import", manifest(1, ""))
	x.want(200, `"size": 1`, "PUT", u+"/file?compression=none", "x")

	// A client that goes away in the middle changes nothing.
	server, err := url.Parse(x.sb.ImageURL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", server.Host)
	if err != nil {
		t.Fatal(err)
	}
	head := append(sign(t, x.key, "jdoe", "rsa-sha256", "date", time.Now()), "Host: x", "Content-Length: 100")
	if _, err := fmt.Fprintf(conn, "PUT %s/file?compression=none HTTP/1.1\r\n%s\r\n\r\nhalf", u, strings.Join(head, "\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || len(answer) > 0 {
		t.Errorf("answer to a cut upload: %q, %v", answer, err)
	}
	conn.Close()
	x.want(200, `"size": 1`, "GET", u, "")
	x.want(200, `"size": 5`, "PUT", u+"/file?compression=none&dataset_guid=7", "hello")
	x.want(200, `"dataset_guid": "7"`, "POST", u+"?action=activate", "")
	names, err := os.ReadDir(filepath.Join(dir, "images", testUUID(1)))
	if err != nil || len(names) != 2 {
		t.Errorf("state holds %v, %v", names, err)
	}
}

// What a killed server left goes; what another one is receiving stays.
func TestLeftoversAreCleaned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, Options{Dir: dir})
	image := filepath.Join(dir, "images", testUUID(1))
	if err := os.MkdirAll(image, 0o755); err != nil {
		t.Fatal(err)
	}
	left, err := newfile.Create(filepath.Join(image, "file"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	left.Close() // as its process does when it ends
	coming, err := newfile.Create(filepath.Join(image, "file"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer coming.Discard()
	start(t, Options{Dir: dir})
	if _, err := os.Stat(left.Name()); err == nil {
		t.Error("the old one is still there")
	}
	if _, err := os.Stat(coming.Name()); err != nil {
		t.Error(err)
	}
}

func TestFileFromURL(t *testing.T) {
	t.Parallel()
	far := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			_, _ = io.WriteString(w, "hello")
		case "/moved":
			http.Redirect(w, r, "/ok", http.StatusFound)
		default:
			http.Error(w, "no", http.StatusForbidden)
		}
	}))
	t.Cleanup(far.Close)
	x := signedIn(t, Options{Remote: far.Client().Transport})
	u := "/images/" + testUUID(1)
	x.want(200, "unactivated", "POST", u+"?action=import", manifest(1, ""))
	file := u + "/file/from-url?compression=none&sha1=" + hello
	x.want(400, "HTTP 302 error attempting to download image", "POST", file, `{"file_url":"`+far.URL+`/moved"}`)
	x.want(400, "HTTP 403 error attempting to download image", "POST", file, `{"file_url":"`+far.URL+`/x"}`)
	x.want(200, hello, "POST", file, `{"file_url":"`+far.URL+`/ok"}`)
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	x := signedIn(t, Options{})
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tests := []struct {
		name   string
		header []string
		status int
		want   string
	}{
		{"sha256", sign(t, x.key, "jdoe", "rsa-sha256", "date", now), 200, "jdoe"},
		{"sha256 in capitals", sign(t, x.key, "jdoe", "RSA-SHA256", "date", now), 200, "jdoe"},
		{"sha1", sign(t, x.key, "jdoe", "rsa-sha1", "date", now), 200, "jdoe"},
		{"x-date", sign(t, x.key, "jdoe", "rsa-sha256", "x-date", now), 200, "jdoe"},
		{"a little late", sign(t, x.key, "jdoe", "rsa-sha256", "date", now.Add(-290*time.Second)), 200, "jdoe"},
		{"sha512", sign(t, x.key, "jdoe", "rsa-sha512", "date", now), 401, "UnauthorizedError"},
		{"hs2019", sign(t, x.key, "jdoe", "hs2019", "date", now), 401, "UnauthorizedError"},
		{"unknown user", sign(t, x.key, "nobody", "rsa-sha256", "date", now), 401, "UnauthorizedError"},
		{"key id of another form", sign(t, x.key, "/jdoe/keys/aa:bb", "rsa-sha256", "date", now), 401, "UnauthorizedError"},
		{"key id with a path", sign(t, x.key, "../authkeys/jdoe", "rsa-sha256", "date", now), 401, "UnauthorizedError"},
		{"other key", sign(t, stranger, "jdoe", "rsa-sha256", "date", now), 401, "UnauthorizedError"},
		{"too late", sign(t, x.key, "jdoe", "rsa-sha256", "date", now.Add(-400*time.Second)), 401, "was greater than 300s"},
		{"too early", sign(t, x.key, "jdoe", "rsa-sha256", "date", now.Add(400*time.Second)), 401, "was greater than 300s"},
		{"request target", sign(t, x.key, "jdoe", "rsa-sha256", "(request-target)", now)[1:], 401, "UnauthorizedError"},
		{"no date", sign(t, x.key, "jdoe", "rsa-sha256", "date", now)[1:], 401, "UnauthorizedError"},
		{"basic", []string{"Authorization: Basic eA=="}, 401, "UnauthorizedError"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp, body := ask(t, "GET", x.sb.ImageURL()+"/ping", "", tt.header...)
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
}

func TestKeysOfOtherKindsNeverWork(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddUser("jdoe", public); err != nil {
		t.Fatal(err)
	}
	date := time.Now().UTC().Format(http.TimeFormat)
	sum := sha256.Sum256([]byte("date: " + date))
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []string{"ecdsa-sha256", "rsa-sha256"} {
		resp, _ := ask(t, "GET", s.ImageURL()+"/ping", "", "Date: "+date, fmt.Sprintf(
			`Authorization: Signature keyId="jdoe",algorithm=%q,signature=%q`, algorithm, base64.StdEncoding.EncodeToString(signature)))
		if resp.StatusCode != 401 {
			t.Errorf("%s: %d", algorithm, resp.StatusCode)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	user, file, err := s.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	signer, err := ssh.ParseRawPrivateKey(first)
	if err != nil {
		t.Fatal(err)
	}
	resp, body := ask(t, "GET", s.ImageURL()+"/ping", "", sign(t, signer.(*rsa.PrivateKey), user, "rsa-sha256", "date", time.Now())...)
	if resp.StatusCode != 200 || !strings.Contains(body, user) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	_, file2, err := start(t, Options{Dir: dir}).Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(file2); err != nil || string(second) != string(first) {
		t.Errorf("another key the second time: %v", err)
	}
}

func TestChangesAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	x := signedIn(t, Options{Dir: dir})
	other := start(t, Options{Dir: dir})
	x.publish(1, "dev", "")
	var wg sync.WaitGroup
	for i, channel := range []string{"experimental", "staging", "release", "support"} {
		server := []*Sandbox{x.sb, other}[i%2]
		wg.Go(func() {
			header := append(sign(t, x.key, "jdoe", "rsa-sha256", "date", time.Now()), "Content-Type: application/json")
			resp, body := ask(t, "POST", server.ImageURL()+"/images/"+testUUID(1)+"?action=channel-add", `{"channel":"`+channel+`"}`, header...)
			if resp.StatusCode != 200 {
				t.Errorf("%s: %d %s", channel, resp.StatusCode, body)
			}
		})
	}
	wg.Wait()
	m, err := imgmanifest.Parse([]byte(x.want(200, "", "GET", "/images/"+testUUID(1), "")))
	if err != nil || len(m.Channels()) != 5 {
		t.Errorf("channels %v, %v", m.Channels(), err)
	}
}

func TestHiddenOutcome(t *testing.T) {
	t.Parallel()
	faults := new(Faults)
	x := signedIn(t, Options{Faults: faults})
	u := "/images/" + testUUID(1)
	faults.Add(Fault{Method: "POST", After: true, Reset: true, Times: 1})
	if _, _, err := x.try("POST", u+"?action=import", manifest(1, "")); err == nil {
		t.Error("answered")
	}
	x.want(409, "ImageUuidAlreadyExists", "POST", u+"?action=import", manifest(1, ""))
	sum := sha1.Sum([]byte("hello"))
	if hex.EncodeToString(sum[:]) != hello {
		t.Error("the constant is wrong")
	}
}
