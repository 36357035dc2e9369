package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/redact"
)

// NewTransport returns a transport with proxies from the environment, connect as
// the time to connect in, and, with insecure, no verification of the server's
// certificate.
func NewTransport(connect time.Duration, insecure bool) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute, // after the body is sent; Manta gives up after 45 s without data
		ExpectContinueTimeout: 5 * time.Second,
		IdleConnTimeout:       50 * time.Second, // below the proxies' 55 s (spec imgapi.md section 1)
		MaxIdleConnsPerHost:   8,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure},
	}
}

// NewClient returns a client that follows no redirects. A nil transport is
// NewTransport's.
func NewClient(transport http.RoundTripper, connect time.Duration, insecure bool) *http.Client {
	if transport == nil {
		transport = NewTransport(connect, insecure)
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Sleep waits for d, or until ctx ends, and returns ctx.Err() then.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Plain takes the address out of a transport's error: it may hold secrets, and
// messages name the server already.
func Plain(err error) error {
	var u *url.Error
	if !errors.As(err, &u) {
		return err
	}
	err = u.Err
	if u.Op == "parse" {
		return errors.New("not an address") // the parser repeats what it stumbled over
	}
	// The server's, or a proxy's.
	text, _, _ := strings.Cut(err.Error(), `: parse "`)
	if text = redact.Text(text); text != err.Error() {
		return &plain{text, err}
	}
	return err
}

// plain is an error with another text.
type plain struct {
	text string
	err  error
}

func (p *plain) Error() string { return p.text }
func (p *plain) Unwrap() error { return p.err }

// Readable is Plain; an empty reply is explained.
func Readable(err error) error {
	err = Plain(err)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("server closed the connection: %w", err)
	}
	return err
}
