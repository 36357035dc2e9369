package sandbox

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

const base = "41bd4100-eb86-409a-85b0-e649aadf6f62"

func start(t *testing.T, o Options) *Sandbox {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends a request; header is "Name: value" each.
func ask(t *testing.T, method, address, body string, header ...string) (*http.Response, string) {
	t.Helper()
	resp, text, err := try(t, method, address, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return resp, text
}

func try(t *testing.T, method, address, body string, header ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

func TestEmbeddedDataIsSmallAndWhole(t *testing.T) {
	t.Parallel()
	var size int64
	err := fs.WalkDir(Data(), ".", func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			info, err := e.Info()
			if err != nil {
				return err
			}
			size += info.Size()
		}
		return err
	})
	if err != nil || size > 5<<20 || size < 2<<20 {
		t.Errorf("%d bytes, %v", size, err)
	}
	images, err := fs.Glob(Data(), "images/*/manifest.json")
	if err != nil || len(images) != 6 {
		t.Errorf("images: %q, %v", images, err)
	}
	for _, name := range images {
		raw, err := fs.ReadFile(Data(), name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := imgmanifest.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Validate(); err != nil || !m.Sandbox() {
			t.Errorf("%s: %v, sandbox %t", name, err, m.Sandbox())
		}
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	const v2 = "Accept-Version: ~2"
	tests := []struct {
		name, method, path string
		header             []string
		status             int
		want               string // in the body
	}{
		{"ping", "GET", "/ping", nil, 200, `"sandbox": true`},
		{"ping sample", "GET", "/ping?error=StorageIsDown", nil, 503, `"code": "StorageIsDown"`},
		{"ping unknown sample", "GET", "/ping?error=Nonsense", nil, 422, "InvalidParameter"},
		{"channels", "GET", "/channels", nil, 200, `"name": "experimental"`},
		{"image", "GET", "/images/" + base, nil, 200, `"state": "active"`},
		{"image in all channels", "GET", "/images/" + base + "?channel=*", nil, 200, base},
		{"unknown channel", "GET", "/images/" + base + "?channel=nope", nil, 422, `"message": "unknown channel: nope"`},
		{"unknown channel in list", "GET", "/images?channel=nope", nil, 422, `"field": "channel"`},
		{"unknown image", "GET", "/images/00000000-0000-0000-0000-000000000001", nil, 404, "image 00000000-0000-0000-0000-000000000001 not found"},
		{"upper-case uuid", "GET", "/images/" + strings.ToUpper(base), nil, 404, "does not exist"},
		{"unknown path", "GET", "/nothing", nil, 404, `"/nothing does not exist"`},
		{"HEAD", "HEAD", "/images/" + base, nil, 405, ""},
		{"method", "PUT", "/images", nil, 405, "MethodNotAllowedError"},
		{"version 3", "GET", "/images", []string{"Accept-Version: ~3"}, 400, "InvalidVersion"},
		{"bad authorization", "GET", "/ping", []string{"Authorization: Signature x"}, 401, `"code": "UnauthorizedError"`},
		{"admin fields without authorization", "GET", "/images?inclAdminFields=true", nil, 401, "auth required"},
		{"account", "GET", "/images?account=x", nil, 422, "account"},
		{"bad state", "GET", "/images?state=x", nil, 422, `"field": "state"`},
		{"bad limit", "GET", "/images?limit=x", nil, 422, `"field": "state"`},
		{"bad sort", "GET", "/images?sort=name", nil, 422, "InvalidParameter"},
		{"bad marker", "GET", "/images?marker=x", nil, 422, "InvalidParameter"},
		{"unknown marker", "GET", "/images?marker=00000000-0000-0000-0000-000000000001", nil, 404, "ResourceNotFound"},
		{"state without authorization", "GET", "/images?state=disabled", nil, 200, "[]"},
		{"change without authorization", "POST", "/images/" + base + "?action=activate", nil, 401, "UnauthorizedError"},
		{"delete without authorization", "DELETE", "/images/" + base, nil, 401, "UnauthorizedError"},
		{"state dump without authorization", "GET", "/state", nil, 401, "UnauthorizedError"},
		{"channels shown to version 2", "GET", "/images/" + base, []string{v2}, 200, `"channels"`},
		{"file index", "GET", "/images/" + base + "/file?index=1", nil, 404, "ResourceNotFound"},
		{"icon", "GET", "/images/" + base + "/icon", nil, 404, "ResourceNotFound"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp, body := ask(t, tt.method, s.ImageURL()+tt.path, "", tt.header...)
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("%d %s; want %d, %q", resp.StatusCode, body, tt.status, tt.want)
			}
			if resp.Header.Get("X-Request-Id") == "" {
				t.Error("no request id")
			}
			if (resp.StatusCode == 405) != (resp.Header.Get("Allow") != "") {
				t.Errorf("Allow: %q", resp.Header.Get("Allow"))
			}
		})
	}
}

func TestHazardsDropTheConnection(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, path := range []string{"/images?public=x", "/images?public=", "/images?billing_tag=x", "/images/" + base + "/jobs"} {
		if resp, _, err := try(t, "GET", s.ImageURL()+path, ""); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, %v", path, resp, err)
		}
	}
}

func TestFileHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	address := s.ImageURL() + "/images/" + base + "/file"
	manifest, body := ask(t, "GET", strings.TrimSuffix(address, "/file"), "")
	m, err := imgmanifest.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Channels()) != 0 {
		t.Error("channels are shown to a client of version 1")
	}
	resp, content := ask(t, "GET", address, "", "Range: bytes=10-20")
	sum := md5.Sum([]byte(content))
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "Content-Length": "148193",
		"Etag": m.Files()[0].SHA1, "Content-Md5": base64.StdEncoding.EncodeToString(sum[:]),
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if resp.StatusCode != 200 || len(content) != 148193 {
		t.Errorf("Range is not ignored: %d, %d bytes", resp.StatusCode, len(content))
	}
	conditions := []struct {
		header string
		status int
	}{
		{"If-None-Match: " + manifest.Header.Get("Etag"), 304},
		{"If-None-Match: " + m.Files()[0].SHA1, 200},
		{"If-Modified-Since: " + resp.Header.Get("Last-Modified"), 304},
		{"Authorization: nonsense", 200}, // never looked at
	}
	for _, c := range conditions {
		if got, _ := ask(t, "GET", address, "", c.header); got.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", c.header, got.StatusCode, c.status)
		}
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	tests := []struct {
		query string
		count int
	}{
		{"", 6}, {"foo=bar", 6}, {"name=minimal-64-lts", 5}, {"name=minimal", 0}, {"name=~inimal-64", 5}, {"name=~MINIMAL", 0},
		{"name=~", 6}, {"name=", 0}, {"name=minimal-64-lts&name=minimal-64-lts", 0}, {"version=24.4.1", 1}, {"version=~.4", 6},
		{"os=smartos", 6}, {"os=linux", 0}, {"type=zone-dataset", 6}, {"type=!zone-dataset", 0}, {"public=true", 0}, {"public=false", 6},
		{"tag.role=os", 6}, {"tag.sandbox=true", 6}, {"tag.sandbox=false", 0}, {"tag.nothing=", 0}, {"state=all", 6}, {"state=active", 6},
		{"limit=2", 2}, {"limit=0", 6}, {"owner=" + imgmanifest.ZeroUUID, 6}, {"channel=release", 6}, {"channel=*", 6},
		{"name=minimal-64-lts&version=24.4.1", 1},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			t.Parallel()
			_, body := ask(t, "GET", s.ImageURL()+"/images?"+tt.query, "")
			var list []*imgmanifest.Manifest
			if err := json.Unmarshal([]byte(body), &list); err != nil {
				t.Fatal(err)
			}
			if len(list) != tt.count {
				t.Errorf("%d images, want %d", len(list), tt.count)
			}
			if !slices.IsSortedFunc(list, func(a, b *imgmanifest.Manifest) int { return strings.Compare(a.PublishedAt(), b.PublishedAt()) }) {
				t.Error("not sorted")
			}
		})
	}
	_, body := ask(t, "GET", s.ImageURL()+"/images?marker="+base, "")
	if strings.Count(body, `"uuid"`) != 1 {
		t.Errorf("marker is not included alone: %s", body)
	}
}

func TestPackageServer(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	const dir = "/packages/SmartOS/2024Q4/x86_64/All"
	resp, _ := ask(t, "GET", s.PackageURL()+dir, "")
	if resp.StatusCode != 301 || resp.Header.Get("Location") != dir+"/" {
		t.Errorf("directory without slash: %d %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	_, index := ask(t, "GET", s.PackageURL()+dir+"/", "")
	if !strings.Contains(index, `<a href="curl-8.11.1.tgz">`) || !strings.Contains(index, `<a href="pkg_summary.xz">`) {
		t.Errorf("index: %s", index)
	}
	resp, whole := ask(t, "GET", s.PackageURL()+dir+"/curl-8.11.1.tgz", "")
	if resp.StatusCode != 200 || len(whole) == 0 || resp.Header.Get("Last-Modified") == "" {
		t.Fatalf("package: %d, %d bytes", resp.StatusCode, len(whole))
	}
	tag := resp.Header.Get("Etag")
	resp, part := ask(t, "GET", s.PackageURL()+dir+"/curl-8.11.1.tgz", "", "Range: bytes=100-", "If-Range: "+tag)
	if resp.StatusCode != 206 || part != whole[100:] {
		t.Errorf("range: %d, %d bytes", resp.StatusCode, len(part))
	}
	for header, status := range map[string]int{"If-None-Match: " + tag: 304, "If-Modified-Since: " + resp.Header.Get("Last-Modified"): 304} {
		if resp, _ := ask(t, "GET", s.PackageURL()+dir+"/curl-8.11.1.tgz", "", header); resp.StatusCode != status {
			t.Errorf("%s: %d", header, resp.StatusCode)
		}
	}
	for path, status := range map[string]int{
		"/vulns/pkg-vulnerabilities.gz": 200, "/": 404, "/keys/sandbox.gpg": 404, dir + "/none.tgz": 404, dir + "/curl-8.11.1.tgz/": 404,
		"/packages/../keys/sandbox.gpg": 404,
	} {
		if resp, _ := ask(t, "GET", s.PackageURL()+path, ""); resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, status)
		}
	}
	if resp, _ := ask(t, "POST", s.PackageURL()+dir+"/", ""); resp.StatusCode != 405 {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

func TestTransportMapsAndRefuses(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	client := &http.Client{Transport: s.Transport(nil)}
	for _, scheme := range []string{"http", "https"} {
		// Without the slash, so that a redirect is followed as well.
		resp, err := client.Get(scheme + "://" + PackageHost + "/packages/SmartOS/2015Q4/multiarch/All")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), "pkg_summary.gz") {
			t.Errorf("%s: %d %s %v", scheme, resp.StatusCode, body, err)
		}
		if host := resp.Request.URL.Host; host != PackageHost {
			t.Errorf("after redirects at %s", host)
		}
	}
	resp, err := client.Get(s.ImageURL() + "/ping")
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("image server: %v", err)
	} else {
		resp.Body.Close()
	}
	for _, host := range []string{"updates.tritondatacenter.com", "10.0.0.1", "pkgsrc.example.invalid.example.test"} {
		_, err := client.Get("https://" + host + "/")
		if err == nil || fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), "the sandbox has no network") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	faults := new(Faults)
	s := start(t, Options{Faults: faults})
	file := s.PackageURL() + "/vulns/pkg-vulnerabilities.gz"
	_, whole := ask(t, "GET", file, "")
	size := len(whole)
	tests := []struct {
		name   string
		fault  Fault
		status int    // 0: no answer
		body   string // "" is not compared
		fails  bool   // reading the body
	}{
		{"status", Fault{Status: 503, Body: "<html>"}, 503, "<html>", false},
		{"reset", Fault{Reset: true}, 0, "", true},
		{"redirect", Fault{Redirect: "https://example.test/"}, 302, "", false},
		{"cut", Fault{Cut: 100}, 200, whole[:100], true},
		{"corrupt", Fault{Corrupt: 1}, 200, "\x3f" + whole[1:], false},
		{"longer", Fault{Lie: 10}, 200, whole, true},
		{"shorter", Fault{Lie: -10}, 200, whole[:size-10], false},
		{"other path", Fault{Path: "/other", Reset: true}, 200, whole, false},
		{"other method", Fault{Method: "PUT", Reset: true}, 200, whole, false},
		{"no length", Fault{NoLength: true}, 200, whole, false},
		{"any path below", Fault{Path: "/vulns/**", Status: 500}, 500, "", false},
	}
	for _, tt := range tests { // one after the other: they share the server's faults
		faults.Clear()
		faults.Add(tt.fault)
		resp, body, err := try(t, "GET", file, "")
		if (err != nil) != tt.fails {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if got := status(resp); got != tt.status {
			t.Errorf("%s: status %d, want %d", tt.name, got, tt.status)
		}
		if tt.body != "" && body != tt.body {
			t.Errorf("%s: body %.20q", tt.name, body)
		}
	}
	faults.Clear()
	faults.Add(Fault{Skip: 1, Times: 2, Status: 500})
	var got []int
	for range 5 {
		resp, _ := ask(t, "GET", file, "")
		got = append(got, resp.StatusCode)
	}
	if fmt.Sprint(got) != "[200 500 500 200 200]" || faults.Count("GET", "/vulns/*") != 5 {
		t.Errorf("counted: %v", got)
	}
	faults.Clear()
	faults.Add(Fault{NoRange: true})
	if resp, body := ask(t, "GET", file, "", "Range: bytes=5-"); resp.StatusCode != 200 || len(body) != size {
		t.Errorf("without ranges: %d, %d bytes", resp.StatusCode, len(body))
	}
}

func status(resp *http.Response) int {
	if resp == nil {
		return 0
	}
	return resp.StatusCode
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if u, err := url.Parse(s.ImageURL()); err != nil || u.Hostname() != "127.0.0.1" {
		t.Errorf("address %s", s.ImageURL())
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if _, _, err := try(t, "GET", s.ImageURL()+"/ping", ""); err == nil {
		t.Error("still answering")
	}
}
