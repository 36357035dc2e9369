package mantaserver_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver"
)

// Two servers share a directory; a user is added while they run.
func TestStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	var urls []string
	for range 2 {
		s, err := mantaserver.Start(ctx, mantaserver.Options{Dir: dir, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		urls = append(urls, s.URL())
	}
	for range 2 {
		if err := mantaserver.AddUser(dir, "acct", key().Public()); err != nil {
			t.Fatal(err)
		}
	}
	if err := mantaserver.AddUser(dir, "../acct", key().Public()); err == nil {
		t.Error("a path as account")
	}
	sign := signer(t, "acct", "", now()).Sign
	send(t, urls[0], step{"put", "PUT", "/acct/stor/o", "hello", nil, 204, ""}, sign)
	if _, body := send(t, urls[1], step{"get", "GET", "/acct/stor/o", "", nil, 200, ""}, sign); body != "hello" {
		t.Errorf("%q", body)
	}
	cancel()
}

// Whatever is asked, the server answers as one: no crash, no status of its own defects.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/acct/stor/a%20b?algorithm=RSA-SHA256&expires=1704168245&keyId=%2Facct%2Fkeys%2F00&signature=eA==", "", "")
	f.Add("PUT", "/acct/public/%2e%2e/x", `Signature keyId="/acct/keys/38:3b:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:47",algorithm="rsa-sha256",signature="eA=="`, "application/json; type=directory")
	f.Add("DELETE", "/", "Signature", "")
	h, err := mantaserver.New(mantaserver.Options{Dir: f.TempDir(), PlainHTTP: true, Now: now})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, target, authorization, kind string) {
		r, err := http.NewRequest(method, "http://h.test"+target, nil)
		if err != nil {
			return
		}
		r.Header.Set("Authorization", authorization)
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Date", now().Format(http.TimeFormat))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 || w.Code/100 == 2 && method != "GET" && method != "HEAD" {
			t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
	})
}
