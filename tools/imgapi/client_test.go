package imgapi

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
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
	t.Cleanup(func() { _ = sb.Close() })
	return sb, faults
}

func client(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Backoff == nil {
		o.Backoff = []time.Duration{}
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReads(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	ctx := t.Context()
	c := client(t, Options{URL: sb.ImageURL() + "/?channel=*"})
	ping, err := c.Ping(ctx)
	if err != nil || !ping.Sandbox || ping.Ping != "pong" || ping.User != "" {
		t.Errorf("Ping: %+v, %v", ping, err)
	}
	channels, err := c.Channels(ctx)
	if err != nil || len(channels) != 5 || channels[1].Name != "dev" || !channels[1].Default {
		t.Errorf("Channels: %+v, %v", channels, err)
	}
	m, err := c.Get(ctx, base)
	if err != nil || m.UUID() != base || len(m.Channels()) != 5 {
		t.Errorf("Get: %+v, %v", m, err)
	}
	list, err := c.List(ctx, url.Values{"name": {"~minimal-"}})
	if err != nil || len(list) != 6 {
		t.Errorf("List: %d, %v", len(list), err)
	}
	f, err := c.File(ctx, base)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	sum := md5.Sum(content)
	if err != nil || f.Size != int64(len(content)) || f.MD5 != hex.EncodeToString(sum[:]) || f.ETag != m.Files()[0].SHA1 {
		t.Errorf("File: %+v, %v", f, err)
	}
}

// seen records what a server is asked, and answers with a list or an image.
func seen(t *testing.T, got *[]*http.Request, answer func(*http.Request) string) *Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*got = append(*got, r)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer(r))
	}))
	t.Cleanup(srv.Close)
	return client(t, Options{URL: srv.URL + "/base/?channel=staging&other=1"})
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	var got []*http.Request
	c := seen(t, &got, func(*http.Request) string { return `{"uuid":"` + base + `"}` })
	if _, err := c.Get(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	r := got[0]
	if r.URL.RequestURI() != "/base/images/"+base+"?channel=staging" {
		t.Errorf("asked for %s", r.URL.RequestURI())
	}
	for name, want := range map[string]string{"Accept": "application/json", "Accept-Version": "~2", "User-Agent": "engbld", "Authorization": ""} {
		if r.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, r.Header.Get(name), want)
		}
	}
	if s := c.Server(); strings.Contains(s, "?") {
		t.Errorf("server %s", s)
	}
}

func TestChannelBeatsTheAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ address, option, want string }{
		{"http://h", "", ""}, {"http://h?channel=a", "", "a"}, {"http://h?channel=a", "b", "b"}, {"http://h/", "*", "*"},
	} {
		if got := client(t, Options{URL: tt.address, Channel: tt.option}).Channel(); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestBadAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "host", "ftp://host", "http://", "http://user:secret@ho st", "http://user:secret/secret@host", "http://secret%zz@host", "://"} {
		_, err := New(Options{URL: address})
		if fault.KindOf(err) != fault.Usage || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	// 2500 images; a page begins with the marker's, as the server does it.
	page := func(r *http.Request) string {
		first := 0
		if m := r.URL.Query().Get("marker"); m != "" {
			if _, err := fmt.Sscanf(m, "00000000-0000-0000-0000-%d", &first); err != nil {
				t.Error(err)
			}
		}
		var list []map[string]string
		for i := first; i < min(first+1000, 2500); i++ {
			list = append(list, map[string]string{"uuid": fmt.Sprintf("00000000-0000-0000-0000-%012d", i)})
		}
		raw, _ := json.Marshal(list)
		return string(raw)
	}
	var got []*http.Request
	c := seen(t, &got, page)
	list, err := c.List(t.Context(), url.Values{"name": {"x"}})
	if err != nil || len(list) != 2500 || len(got) != 3 {
		t.Errorf("%d images in %d requests, %v", len(list), len(got), err)
	}
	if q := got[0].URL.Query(); q.Has("limit") || q.Has("marker") || q.Get("name") != "x" || q.Get("channel") != "staging" {
		t.Errorf("first page: %v", q)
	}
	if q := got[1].URL.Query(); q.Get("limit") != "1000" || !strings.HasSuffix(q.Get("marker"), "000999") {
		t.Errorf("second page: %v", q)
	}
	got = nil
	if list, err := c.List(t.Context(), url.Values{"limit": {"1000"}}); err != nil || len(list) != 1000 || len(got) != 1 {
		t.Errorf("with a limit: %d images in %d requests, %v", len(list), len(got), err)
	}
}

// A server that makes up images does not fill the memory.
func TestListIsBounded(t *testing.T) {
	t.Parallel()
	n := 0
	page := func(*http.Request) string {
		var b strings.Builder
		for i := range pageSize {
			fmt.Fprintf(&b, `,{"uuid":"00000000-0000-0000-0000-%012d"}`, n*pageSize+i)
		}
		n++
		return "[" + b.String()[1:] + "]"
	}
	var got []*http.Request
	c := seen(t, &got, page)
	_, err := c.List(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "list images: list of more than 200000 images") || fault.KindOf(err) != fault.Network {
		t.Errorf("without end: %v", err)
	}
	if len(got) != maxImages/pageSize+1 {
		t.Errorf("%d requests", len(got))
	}
	for want, room := range map[string]listRoom{
		"": {1000, 100_000}, "list of more than 200000 images": {999, 100_000}, "list of more than 268435456 bytes": {1000, 10_000},
	} {
		if _, err := c.page(t.Context(), nil, &room); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestListForms(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"[]": "", " null": "", "{}": "answer is not a list of images: {}", `["x"]`: "answer is not a list of images", "[null]": "entry 0 of the answer is null",
	} {
		var got []*http.Request
		c := seen(t, &got, func(*http.Request) string { return answer })
		list, err := c.List(t.Context(), nil)
		if want == "" && (err != nil || list == nil || len(list) > 0) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %v", answer, list, err)
		}
	}
}

func TestListRefusesWhatStopsTheServer(t *testing.T) {
	t.Parallel()
	sb, faults := start(t)
	c := client(t, Options{URL: sb.ImageURL()})
	for _, filter := range []url.Values{{"public": {"yes"}}, {"public": {""}}, {"billing_tag": {"x"}}} {
		if _, err := c.List(t.Context(), filter); fault.KindOf(err) != fault.Usage {
			t.Errorf("%v: %v", filter, err)
		}
	}
	for _, uuid := range []string{"", "x", strings.ToUpper(base), base + "/jobs"} {
		if _, err := c.Get(t.Context(), uuid); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", uuid, err)
		}
	}
	if n := len(faults.Requests()); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
}

// TestErrorTable has every code of spec imgapi.md section 12, from the server's
// own samples.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	sb, _ := start(t)
	c := client(t, Options{URL: sb.ImageURL()})
	codes := map[string]int{
		"ValidationFailed": 422, "InvalidParameter": 422, "ImageFilesImmutable": 422, "ImageAlreadyActivated": 422,
		"NoActivationNoFile": 422, "OriginDoesNotExist": 422, "OriginIsNotActive": 422, "ImageHasDependentImages": 422,
		"OwnerDoesNotExist": 422, "AccountDoesNotExist": 422, "NotImageOwner": 422, "ImageNotShared": 422,
		"NotMantaPathOwner": 422, "InsufficientServerVersion": 422, "ImageUuidAlreadyExists": 409, "OperatorOnly": 403,
		"UnauthorizedError": 401, "ResourceNotFound": 404, "MethodNotAllowedError": 405, "Upload": 400, "Download": 400,
		"ImageFileTooBig": 400, "BadDigest": 400, "InvalidContent": 400, "InvalidVersion": 400, "InternalError": 500,
		"NotAvailable": 501, "NotImplemented": 400, "StorageIsDown": 503, "StorageUnsupported": 503,
		"RemoteSourceError": 503, "ServiceUnavailableError": 503,
	}
	for code, status := range codes {
		r := request{method: "GET", path: "/ping", query: url.Values{"error": {code}}, what: "sample"}
		_, err := c.getJSON(t.Context(), r, maxError)
		var e *Error
		if !errors.As(err, &e) || e.Code != code || e.Status != status || e.RequestID == "" || e.Message == "" {
			t.Errorf("%s: %v", code, err)
			continue
		}
		if fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), sb.ImageURL()) || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: kind %d, %v", code, fault.KindOf(err), err)
		}
		if errors.Is(err, fs.ErrNotExist) != (status == 404) || errors.Is(err, fs.ErrPermission) != (status == 401 || status == 403) {
			t.Errorf("%s is not told apart", code)
		}
		if withItems := code == "ValidationFailed" || code == "InvalidParameter"; withItems != (len(e.Items) == 1) {
			t.Errorf("%s: items %v", code, e.Items)
		}
	}
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault sandbox.Fault
		want  string
	}{
		{"no code", sandbox.Fault{Status: 500, Body: `{"message":"boom"}`}, "HTTP 500 Internal Server Error: boom"},
		{"HTML", sandbox.Fault{Status: 504, Body: "<html>\n<title>Gateway\x1b[31m time-out</title>"}, "HTTP 504 Gateway Timeout: <html> <title>Gateway[31m time-out</title>"},
		{"nothing", sandbox.Fault{Status: 502}, "HTTP 502 Bad Gateway"},
		{"HTML with success", sandbox.Fault{Status: 200, Body: "<html>log in here"}, "answer is text/html, not JSON: <html>log in here"},
		{"half JSON", sandbox.Fault{Status: 200, Body: `{"ping":`}, "not JSON"},
		{"of another server", sandbox.Fault{Status: 200, Body: `{"ping":"pong"}`}, "not an image server's"},
		{"reset", sandbox.Fault{Reset: true}, "server closed the connection"},
		{"cut", sandbox.Fault{Cut: 5}, "server closed the connection"},
		{"redirect", sandbox.Fault{Redirect: "https://u:secret@login.example.test/x?token=secret"}, "redirects are not followed: https://login.example.test/x"},
		{"endless", sandbox.Fault{Status: 200, Body: `"` + strings.Repeat("x", maxError) + `"`}, "more than 65536 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sb, faults := start(t)
			faults.Add(tt.fault)
			_, err := client(t, Options{URL: sb.ImageURL()}).Ping(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || fault.KindOf(err) != fault.Network || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if n := len(faults.Requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestOnlyUnmadeConnectionsAreRepeated(t *testing.T) {
	t.Parallel()
	var slept []time.Duration
	c := client(t, Options{URL: "http://127.0.0.1:1", Backoff: []time.Duration{1, 2, 4, 8},
		Sleep: func(_ context.Context, d time.Duration) error { slept = append(slept, d); return nil }})
	_, err := c.Ping(t.Context())
	if fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), "image server http://127.0.0.1:1: ping:") {
		t.Errorf("error %v", err)
	}
	if fmt.Sprint(slept) != "[1ns 2ns 4ns 8ns]" {
		t.Errorf("slept %v", slept)
	}
}

func TestReadsAreRepeated(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]sandbox.Fault{
		"reset": {Reset: true}, "cut": {Cut: 10}, "proxy": {Status: 502, Body: "<html>"}, "busy": {Status: 503}, "broken": {Status: 500}, "too many": {Status: 429},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sb, faults := start(t)
			one.Times = 2
			faults.Add(one)
			c := client(t, Options{URL: sb.ImageURL(), Backoff: []time.Duration{1, 1}})
			if _, err := c.Get(t.Context(), base); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFileThatStandsStill(t *testing.T) {
	t.Parallel()
	sb, faults := start(t)
	faults.Add(sandbox.Fault{Pause: 5 * time.Second})
	f, err := client(t, Options{URL: sb.ImageURL(), Idle: 100 * time.Millisecond}).File(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(io.Discard, f); err == nil || !strings.Contains(err.Error(), "server stopped sending for 100ms") || fault.KindOf(err) != fault.Network {
		t.Errorf("error %v", err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	sb, faults := start(t)
	faults.Add(sandbox.Fault{Delay: 10 * time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client(t, Options{URL: sb.ImageURL()}).Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	c := client(t, Options{URL: "http://secret@127.0.0.1:1/?token=secret"})
	if _, err := c.Ping(t.Context()); err == nil || strings.Contains(err.Error(), "secret") || c.Server() != "http://127.0.0.1:1" {
		t.Errorf("error %v, server %s", err, c.Server())
	}
}
