package manta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/rest"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
)

// Options say which server to talk to and as whom. URL and Account are
// required.
type Options struct {
	URL      string       // https://HOST, without scheme https
	Account  string       // login
	SubUser  string       // user under the account, may be ""
	Key      *sshsign.Key // nil: unsigned, only what is public can be read
	Insecure bool         // do not verify the server's certificate
	Role     string       // header role, a list with commas; may be ""
	Type     string       // content type of objects whose name tells none; "" is application/octet-stream

	Idle time.Duration // of a transfer that stands still; 0 is 60 s
	// Progress is told while objects are sent; nil is silent. It may be called
	// from several goroutines at once.
	Progress func(path string, done, total int64)

	Transport http.RoundTripper // nil: one of our own, with proxies from the environment
	UserAgent string            // "" is "engbld"
	Now       func() time.Time  // nil is time.Now

	// Backoff are the pauses before a request is repeated; nil is 0.5, 1, 2,
	// 4 s, empty is no repetition.
	Backoff []time.Duration
	Sleep   func(ctx context.Context, d time.Duration) error // nil waits for real
}

// Client talks to one server. It is safe for concurrent use.
type Client struct {
	base   url.URL
	http   *http.Client
	signer *sshsign.Manta
	opts   Options

	mu   sync.Mutex
	made map[string]bool // directories known to be there
}

// New checks the options; nothing is sent. Wrong ones are fault.Usage, a key
// that cannot sign is fault.Unfit.
func New(o Options) (*Client, error) {
	raw := o.URL
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, fault.WithHint(fault.Usage.Errorf("object store: its address must be https://HOST"), "MANTA_URL=https://HOST")
	}
	if o.Account == "" {
		return nil, fault.WithHint(fault.Usage.Errorf("object store %s: no account is named", u.Host), "MANTA_USER=ACCOUNT")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.UserAgent == "" {
		o.UserAgent = "engbld"
	}
	if o.Type == "" {
		o.Type = "application/octet-stream"
	}
	if o.Backoff == nil {
		o.Backoff = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}
	}
	if o.Sleep == nil {
		o.Sleep = rest.Sleep
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	c := &Client{base: *u, opts: o, made: make(map[string]bool)}
	if o.Key != nil {
		if c.signer, err = sshsign.NewManta(o.Account, o.SubUser, o.Key, o.Now); err != nil {
			return nil, err
		}
	}
	c.http = rest.NewClient(o.Transport, 4*time.Second, o.Insecure)
	return c, nil
}

// Server returns the server's address.
func (c *Client) Server() string { return c.base.String() }

// Account returns the login requests are made as.
func (c *Client) Account() string { return c.opts.Account }

// Path makes a full path of what users write: ~~/ is the account's, a double
// slash is one. It is an error if it does not lead into an account.
func (c *Client) Path(p string) (string, error) {
	if rest, ok := strings.CutPrefix(p, "~~/"); ok {
		p = "/" + c.opts.Account + "/" + rest
	}
	var parts []string
	for part := range strings.SplitSeq(p, "/") {
		switch part {
		case "":
		case ".", "..":
			return "", fault.Usage.Errorf("object store: %q must not hold . or ..", p)
		default:
			parts = append(parts, part)
		}
	}
	if !strings.HasPrefix(p, "/") || len(parts) < 2 {
		return "", fault.Usage.Errorf("object store: %q is not of the form /ACCOUNT/stor/… or /ACCOUNT/public/…", p)
	}
	return "/" + strings.Join(parts, "/"), nil
}

// URL returns the address of a path, unsigned.
func (c *Client) URL(p string) string { return c.endpoint(p).String() }

func (c *Client) endpoint(p string) *url.URL {
	u := c.base
	u.Path = c.base.Path + p
	u.RawPath = c.base.EscapedPath() + escape(p)
	return &u
}

// escape encodes each segment as the genuine client does (spec manta.md
// section 1): what stays is A-Z a-z 0-9 - _ . ! ~ * ' ( ).
func escape(p string) string {
	var b strings.Builder
	for _, c := range []byte(p) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("/-_.!~*'()", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Presign returns an address with which anybody may GET the object at p until
// expires. It is a secret.
func (c *Client) Presign(p string, expires time.Time) (string, error) {
	if c.signer == nil {
		return "", fault.WithHint(fault.Usage.Errorf("object store %s: signing an address needs a key", c.Server()), "MANTA_KEY_ID=MD5:…")
	}
	return c.signer.Presign(http.MethodGet, c.endpoint(p), expires)
}

// request is one call.
type request struct {
	method string
	path   string
	header http.Header
	body   func() (io.ReadCloser, error) // opened for each attempt; nil is none
	size   int64                         // of the body
	what   string                        // for messages: "storing"
}

// do sends a request, again where that helps, and returns the answer if its
// status is 2xx; the caller closes the body.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		resp, err := c.try(ctx, r)
		if err == nil {
			return resp, nil
		}
		if attempt >= len(c.opts.Backoff) || !passing(err) || ctx.Err() != nil {
			return nil, c.wrap(r, err)
		}
		if err := c.opts.Sleep(ctx, c.opts.Backoff[attempt]); err != nil {
			return nil, c.wrap(r, err)
		}
	}
}

func (c *Client) wrap(r request, err error) error {
	err = fmt.Errorf("object store %s: %s %s: %w", c.Server(), r.what, r.path, err)
	if errors.Is(err, context.Canceled) {
		return err
	}
	return hint(fault.Network.Wrap(err))
}

func (c *Client) try(ctx context.Context, r request) (resp *http.Response, err error) {
	ctx, watch := rest.NewWatch(ctx, c.opts.Idle)
	defer func() {
		if err != nil {
			err = watch.End(err)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, r.method, c.endpoint(r.path).String(), nil)
	if err != nil {
		return nil, err
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	if r.body != nil {
		body, err := r.body()
		if err != nil {
			return nil, &localError{err}
		}
		req.Body, req.ContentLength = watch.Sent(body), r.size
		if r.size > 0 {
			req.Header.Set("Expect", "100-continue")
		} else {
			body.Close()
			req.Body = http.NoBody
		}
	}
	req.Header.Set("Accept", "application/json")
	if r.method == http.MethodHead {
		req.Header.Set("Accept", "application/json, */*")
	}
	req.Header.Set("Accept-Version", "~1.0")
	req.Header.Set("X-Request-Id", uuid.NewString())
	req.Header.Set("User-Agent", c.opts.UserAgent)
	if c.opts.Role != "" {
		req.Header.Set("Role", c.opts.Role)
	}
	if c.signer != nil {
		if err := c.signer.Sign(req); err != nil {
			return nil, &localError{err}
		}
	}
	if resp, err = c.http.Do(req); err != nil {
		return nil, rest.Readable(err)
	}
	resp.Body = watch.Received(resp.Body)
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, rest.ReadError(resp)
}
