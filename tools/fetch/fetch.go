// Package fetch gets files over HTTP from servers and networks that fail: with
// retries, resumption, time-outs for standing still rather than for being slow,
// and digests checked while the bytes come in.
//
// It knows nothing of what it fetches. All failures of the network or of what
// came are fault.Network and name the server; secrets in addresses are left out
// of messages. Limits: 10 redirects, none from https to http; 64 GiB a file;
// 64 KiB of an error's text.
package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"github.com/TritonDataCenter/engbld/tools/rest"
)

// ErrOffline is the cause of every failure of a Client that is Offline.
var ErrOffline = errors.New("working offline")

const (
	defaultRetries = 4
	defaultWait    = 60 * time.Second
	maxErrorBody   = 64 << 10
	maxRedirects   = 10
)

// Client gets files. The zero value works; fields are not changed once it is in
// use, then it is safe for concurrent use.
type Client struct {
	HTTP      *http.Client // nil: one with NewTransport
	UserAgent string       // "" is "engbld"
	Header    http.Header  // sent with every request
	Offline   bool         // every request fails at once

	// Retries after the first try; 0 is 4, negative none. A try that got on by
	// 32 KiB does not count, so a long download survives any number of cuts.
	Retries int
	// Backoff is the time to wait before the given retry, counted from 1; nil is
	// half a second, doubled each time. A server's Retry-After counts up to a minute.
	Backoff func(retry int) time.Duration
	Sleep   func(ctx context.Context, d time.Duration) error // nil waits for real

	HeaderTimeout time.Duration // from the request to the answer's header; 0 is 60 s
	IdleTimeout   time.Duration // without any byte of the body; 0 is 60 s

	// Progress is told after each piece; nil is silent. It may be called from
	// several goroutines at once.
	Progress func(Progress)

	once  sync.Once
	owned *http.Client
	swept sync.Map // directories that were swept
}

// Progress says how far a download is.
type Progress struct {
	URL   string // without secrets
	Done  int64  // bytes
	Total int64  // bytes, 0 while unknown
}

// NewTransport returns a transport with the environment's proxies (HTTP_PROXY,
// HTTPS_PROXY, NO_PROXY) and bounded times to connect; 0 is 15 s.
func NewTransport(connect time.Duration) *http.Transport {
	if connect == 0 {
		connect = 15 * time.Second
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    connect,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           32,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 1 << 20,
	}
}

// GetBytes fetches a small file into memory; more than limit bytes are an error.
// A missing file is fs.ErrNotExist.
func (c *Client) GetBytes(ctx context.Context, url string, limit int64) ([]byte, error) {
	var out []byte
	err := c.retry(ctx, func() (int64, error) {
		r, err := c.get(ctx, url, nil)
		if err != nil {
			return 0, err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return 0, statusError(r)
		}
		if r.ContentLength > limit {
			return 0, final(fmt.Errorf("has %d bytes, at most %d are read", r.ContentLength, limit))
		}
		var b bytes.Buffer
		n, err := io.Copy(&b, io.LimitReader(r.Body, limit+1))
		switch {
		case err != nil:
			return 0, err
		case n > limit:
			return 0, final(fmt.Errorf("has over %d bytes, which is all that is read", limit))
		}
		out = b.Bytes()
		return n, nil
	})
	if err != nil {
		return nil, failure(ctx, url, err)
	}
	return out, nil
}

// StatusError is a server's answer that is no success. It is fs.ErrNotExist for
// 404 and 410.
type StatusError struct {
	Code       int
	Host       string
	Body       []byte        // the first 64 KiB of the answer
	RetryAfter time.Duration // as the server asks; 0 where it does not
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("server %s answered %d %s", e.Host, e.Code, http.StatusText(e.Code))
	if e.Code/100 == 3 && e.Code != http.StatusNotModified {
		text += ", a redirect that is not followed"
	}
	return text
}

// Is makes 404 and 410 fs.ErrNotExist.
func (e *StatusError) Is(target error) bool {
	return target == fs.ErrNotExist && (e.Code == http.StatusNotFound || e.Code == http.StatusGone)
}

func statusError(r *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxErrorBody))
	return &StatusError{Code: r.StatusCode, Host: r.Request.URL.Host, Body: body, RetryAfter: retryAfter(r.Header)}
}

// failure is the error the caller sees.
func failure(ctx context.Context, address string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("fetching %s: %w", redact.Address(address), context.Cause(ctx))
	}
	var f finalError
	if errors.As(err, &f) {
		err = f.error
	}
	err = fault.Network.Wrap(fmt.Errorf("fetching %s: %w", redact.Address(address), err))
	var cert *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, ErrOffline):
		return fault.WithHint(err, "unset ENGBLD_OFFLINE, or run this once with the network to fill the cache")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fault.WithHint(err, "see whether this machine's clock is right: date -u")
	case errors.As(err, &cert):
		return fault.WithHint(err, "if that server or proxy has its own authority: SSL_CERT_FILE names a file with the certificates to trust")
	}
	return err
}

// get sends one request. The answer's body fails when it stands still.
func (c *Client) get(ctx context.Context, address string, header http.Header) (*http.Response, error) {
	if c.Offline {
		return nil, final(ErrOffline)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		cancel(nil)
		return nil, final(rest.Plain(err))
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Host == "" {
		cancel(nil)
		return nil, final(errors.New("not an http or https address"))
	}
	for _, h := range []http.Header{c.Header, header} {
		for k, v := range h {
			req.Header[k] = v
		}
	}
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	} else {
		req.Header.Set("User-Agent", "engbld")
	}
	// Bytes as they are stored: lengths and ranges then mean the file.
	req.Header.Set("Accept-Encoding", "identity")

	wait := orDefault(c.HeaderTimeout, defaultWait)
	timer := time.AfterFunc(wait, func() { cancel(fmt.Errorf("no answer for %s", wait)) })
	resp, err := c.client().Do(req)
	if !timer.Stop() && err == nil {
		resp.Body.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		err = cause(ctx, err)
		cancel(nil)
		return nil, err
	}
	resp.Body = newBody(ctx, cancel, resp.Body, orDefault(c.IdleTimeout, defaultWait))
	return resp, nil
}

func (c *Client) client() *http.Client {
	c.once.Do(func() {
		if c.HTTP != nil {
			own := *c.HTTP
			c.owned = &own
		} else {
			c.owned = &http.Client{Transport: NewTransport(0)}
		}
		if c.owned.CheckRedirect == nil {
			c.owned.CheckRedirect = func(r *http.Request, via []*http.Request) error {
				switch last := via[len(via)-1].URL; {
				case len(via) > maxRedirects:
					return final(fmt.Errorf("more than %d redirects", maxRedirects))
				case r.URL.Scheme != "http" && r.URL.Scheme != "https":
					return final(fmt.Errorf("server %s leads to an address that is neither http nor https", last.Host))
				case last.Scheme == "https" && r.URL.Scheme != "https":
					return final(fmt.Errorf("server %s leads from https to plain http, where anybody could answer", last.Host))
				}
				return nil
			}
		}
	})
	return c.owned
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// cause prefers our own reason for giving up to "context canceled", and drops
// the address that the http package puts in front.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return rest.Plain(err)
}

// body is an answer's body that ends the request when nothing comes for a while.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	idle   time.Duration
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, r io.ReadCloser, idle time.Duration) *body {
	b := &body{ReadCloser: r, ctx: ctx, cancel: cancel, idle: idle}
	b.timer = time.AfterFunc(idle, func() { cancel(fmt.Errorf("nothing came for %s", idle)) })
	b.timer.Stop() // it runs only while somebody reads
	return b
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.idle)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = cause(b.ctx, err)
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
