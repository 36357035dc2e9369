package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestReadError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		status   int
		header   http.Header
		body     string
		want     string
		is, isnt error
	}{
		{"code", 404, http.Header{"X-Request-Id": {"r1"}}, `{"code":"ResourceNotFound","message":"gone\u001b[2J"}`,
			"ResourceNotFound (HTTP 404): gone[2J (request r1)", fs.ErrNotExist, fs.ErrPermission},
		{"items", 422, nil, `{"code":"ValidationFailed","message":"invalid","errors":[{"field":"os","code":"Missing"},{"field":"v","code":"Invalid","message":"no\nnumber"}]}`,
			"ValidationFailed (HTTP 422): invalid; os: Missing; v: Invalid: no number", nil, fs.ErrNotExist},
		{"no JSON", 502, nil, "<html>\n bad\x00 gateway </html>", "HTTP 502 Bad Gateway: <html> bad gateway </html>", nil, fs.ErrNotExist},
		{"nothing", 403, nil, "", "HTTP 403 Forbidden", fs.ErrPermission, fs.ErrNotExist},
		{"redirect", 302, http.Header{"Location": {"https://u:p@h/x?signature=s#f"}}, "{}", "HTTP 302 Found: redirects are not followed: https://h/x", nil, fs.ErrNotExist},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := ReadError(&http.Response{StatusCode: tt.status, Header: tt.header, Body: io.NopCloser(strings.NewReader(tt.body))})
			if err.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) || errors.Is(err, tt.isnt) {
				t.Errorf("%v: is %v, must not be %v", err, tt.is, tt.isnt)
			}
		})
	}
}

func TestTextsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 1<<20)
	for name, got := range map[string]string{"Clean": Clean("x" + long), "Excerpt": Excerpt([]byte("x" + long))} {
		if len(got) > maxText+len("…") || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
			t.Errorf("%s: %d bytes, valid %v", name, len(got), utf8.ValidString(got))
		}
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	const wait = 50 * time.Millisecond
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			<-done // takes nothing
		}
		_, _ = io.WriteString(w, "begin")
		w.(http.Flusher).Flush()
		if r.URL.Path == "/stops" {
			<-done
		}
	}))
	defer srv.Close()
	defer close(done)
	client := NewClient(nil, time.Second, false)
	get := func(path string) (io.ReadCloser, error) {
		ctx, watch := NewWatch(context.Background(), wait)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+path, nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, watch.End(err)
		}
		return watch.Received(resp.Body), nil
	}

	body, err := get("/stops")
	if err != nil {
		t.Fatal(err)
	}
	// On a machine that is busy the wait may be over before the beginning came.
	if raw, err := io.ReadAll(body); !strings.HasPrefix("begin", string(raw)) || !errors.Is(err, ErrIdle) || err.Error() != "server stopped sending for 50ms" {
		t.Errorf("an answer that stops: %q, %v", raw, err)
	}
	body.Close()

	ctx, watch := NewWatch(context.Background(), wait)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, srv.URL, watch.Sent(io.NopCloser(endless{})))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Do(req)
	if err = watch.End(Readable(err)); !errors.Is(err, ErrStalled) || err.Error() != "server stopped taking what is sent for 50ms" {
		t.Errorf("a server that takes nothing: %v", err)
	}
	if err := watch.End(&Error{Status: 403}); err.Error() != "HTTP 403 Forbidden" {
		t.Errorf("an answer after the watch's end: %v", err)
	}
}

// What we do between two reads takes as long as it takes, and so does an answer
// that goes on.
func TestWatchCountsReadsOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const wait = time.Second
		ctx, watch := NewWatch(t.Context(), wait)
		from, to := io.Pipe()
		defer context.AfterFunc(ctx, func() { from.CloseWithError(context.Cause(ctx)) })() // as the transport does
		body := watch.Received(from)
		go func() {
			for range 3 {
				time.Sleep(wait - 1)
				_, _ = io.WriteString(to, "x")
			}
		}()
		p := make([]byte, 1)
		for i := range 3 {
			if _, err := io.ReadFull(body, p); err != nil {
				t.Fatalf("byte %d: %v", i, err)
			}
			time.Sleep(2 * wait)
		}
		begin := time.Now()
		if _, err := body.Read(p); !errors.Is(err, ErrIdle) || time.Since(begin) != wait {
			t.Errorf("an answer that stops: %v after %v", err, time.Since(begin))
		}
		body.Close()
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestReadable(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer srv.Close()
	_, err := NewClient(nil, time.Second, false).Get(srv.URL + "/?signature=secret")
	if got := Readable(err); !errors.Is(got, io.EOF) || strings.Contains(got.Error(), "secret") || !strings.HasPrefix(got.Error(), "server closed the connection") {
		t.Errorf("got %v", got)
	}
}

// Servers and proxies repeat addresses, and so do the parsers of these.
func TestSecretsOfAddresses(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://ci:s3cret/s3cret@h.invalid/x?s3cret")
		w.WriteHeader(http.StatusFound)
	}))
	defer srv.Close()
	for name, address := range map[string]string{
		"no address": "https://ci:s3cret/s3cret@h.invalid", "no user": "https://ci:s3 cret%zzs3cret@h.invalid",
		"refused": "http://ci:s3cret@127.0.0.1:1/x?s3cret", "odd redirect": srv.URL + "/?s3cret",
	} {
		resp, err := NewClient(nil, time.Second, false).Get(address)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		if !strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: there is nothing to hide in %v", name, err)
		}
		if got := Plain(err).Error(); strings.Contains(got, "s3cret") || got == "" {
			t.Errorf("%s: %s", name, got)
		}
	}
	err := Plain(&url.Error{Op: "Get", Err: fmt.Errorf("proxy http://ci:s3cret@h.invalid: %w", io.ErrUnexpectedEOF)})
	if err.Error() != "proxy http://h.invalid: unexpected EOF" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	for _, body := range []string{`{"code":"Bad","message":"at https://ci:s3cret@h.invalid/x?s3cret","errors":[{"field":"f","code":"C","message":"https://s3cret@h.invalid"}]}`,
		"<p>https://ci:s3cret@h.invalid/x</p>"} {
		err := ReadError(&http.Response{StatusCode: 422, Body: io.NopCloser(strings.NewReader(body))})
		if strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "https://h.invalid") {
			t.Error(err)
		}
	}
}
