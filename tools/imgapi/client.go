package imgapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"github.com/TritonDataCenter/engbld/tools/rest"
)

// DefaultURL is the central updates server (spec engbld-interface.md section 5.1).
const DefaultURL = "https://updates.tritondatacenter.com"

// AllChannels as a channel means: look in all of them. Only reads take it.
const AllChannels = "*"

const (
	connectTime = 10 * time.Second

	maxError    = 64 << 10
	maxManifest = imgmanifest.MaxSize
	maxList     = 256 << 20 // of all pages: about 100,000 images; the real servers hold some thousand
	maxImages   = 200_000   // of all pages, those that come again counted again
)

// Options say which server to talk to and how. URL is required.
type Options struct {
	URL       string            // https://HOST[/BASE][?channel=C]
	Channel   string            // beats the one in URL; "" with none there: the server's default channel
	Transport http.RoundTripper // nil: one of our own, with proxies from the environment
	Insecure  bool              // with Transport nil: do not verify the server's certificate
	UserAgent string            // "" is "engbld"

	// Backoff are the pauses before a request is repeated whose connection
	// could not be made, or a read that was cut or answered with "not now" or 5xx;
	// nil is 1, 2, 4, 8 s (spec imgapi.md section 13), empty is no repetition.
	Backoff []time.Duration
	Sleep   func(ctx context.Context, d time.Duration) error // nil waits for real
	// Waiting is told why a request is repeated, before the pause; nil is silent.
	Waiting func(why error, pause time.Duration)

	Idle time.Duration // of an answer of which nothing comes; 0 is 60 s

	// Sign, if not nil, adds authorization to a request just before it is sent,
	// each time anew, since the signature holds the date.
	Sign func(*http.Request) error
}

// Client talks to one image server. It is safe for concurrent use.
type Client struct {
	base    url.URL // without query
	channel string
	http    *http.Client
	opts    Options
}

// New checks the options; nothing is sent. A wrong URL is fault.Usage.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, fault.Usage.Errorf("image server address %q is not a URL", redact.Address(o.URL))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fault.Usage.Errorf("image server address %q: http:// or https:// and a host expected", redact.Address(o.URL))
	}
	c := &Client{base: url.URL{Scheme: u.Scheme, Host: u.Host, User: u.User, Path: strings.TrimRight(u.Path, "/")}, opts: o}
	c.channel = o.Channel
	if c.channel == "" {
		c.channel = u.Query().Get("channel")
	}
	if o.UserAgent == "" {
		c.opts.UserAgent = "engbld"
	}
	if o.Backoff == nil {
		c.opts.Backoff = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}
	}
	if o.Idle == 0 {
		c.opts.Idle = time.Minute
	}
	if o.Sleep == nil {
		c.opts.Sleep = rest.Sleep
	}
	c.http = rest.NewClient(o.Transport, connectTime, o.Insecure)
	return c, nil
}

// Server returns the server's address without query and secrets, for messages.
func (c *Client) Server() string { return redact.Address(c.base.String()) }

// Channel returns the channel requests are made in, "" for the server's
// default one.
func (c *Client) Channel() string { return c.channel }

// request is one call; the path is relative to the base, segments escaped.
type request struct {
	method string
	path   string
	query  url.Values
	what   string // for messages: "get image UUID"
}

func (c *Client) endpoint(r request) string {
	u := c.base
	u.Path += r.path
	u.RawQuery = r.query.Encode()
	return u.String()
}

// channelQuery returns a query with the client's channel.
func (c *Client) channelQuery() url.Values {
	q := make(url.Values)
	if c.channel != "" {
		q.Set("channel", c.channel)
	}
	return q
}

// do sends a request and hands an answer with status 2xx to use, which need not
// close it. What fails in passing is repeated. Errors are complete: kind,
// server, what.
func (c *Client) do(ctx context.Context, r request, use func(*http.Response) error) error {
	for attempt := 0; ; attempt++ {
		resp, err := c.try(ctx, r)
		if err == nil {
			err = use(resp)
		}
		if err == nil {
			return nil
		}
		if attempt >= len(c.opts.Backoff) || !r.passing(err) || ctx.Err() != nil {
			return refusal(c.wrap(r, err))
		}
		if sleepErr := c.pause(ctx, c.wrap(r, err), c.opts.Backoff[attempt]); sleepErr != nil {
			return c.wrap(r, sleepErr)
		}
	}
}

// pause waits before a request is repeated.
func (c *Client) pause(ctx context.Context, why error, d time.Duration) error {
	if c.opts.Waiting != nil {
		c.opts.Waiting(why, d)
	}
	return c.opts.Sleep(ctx, d)
}

// passing says whether a failure may be gone at the next try. What may have
// reached the server is repeated for reads only.
func (r request) passing(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	if r.method != http.MethodGet {
		return false
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Status == http.StatusTooManyRequests || e.Status >= 500 && e.Status != http.StatusNotImplemented
	}
	// The real server exits on some requests, of others too, and is back within seconds.
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, rest.ErrIdle)
}

func (c *Client) wrap(r request, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("image server %s: %s: %w", c.Server(), r.what, err)
	}
	return fault.Network.Errorf("image server %s: %s: %w", c.Server(), r.what, err)
}

func (c *Client) try(ctx context.Context, r request) (*http.Response, error) {
	return c.exchange(ctx, change{request: r})
}

// exchange sends a request once. The answer's status is 2xx; the caller closes
// its body.
func (c *Client) exchange(ctx context.Context, ch change) (resp *http.Response, err error) {
	ctx, watch := rest.NewWatch(ctx, c.opts.Idle)
	defer func() {
		if err != nil {
			err = watch.End(err)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, ch.method, c.endpoint(ch.request), nil)
	if err != nil {
		return nil, &localError{err}
	}
	if ch.body != nil {
		body, err := ch.body()
		if err != nil {
			return nil, &localError{err}
		}
		req.Body, req.ContentLength = watch.Sent(body), ch.size
		req.Header.Set("Content-Type", ch.kind)
		if ch.md5 != "" {
			req.Header.Set("Content-Md5", ch.md5)
		}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Version", "~2")
	req.Header.Set("User-Agent", c.opts.UserAgent)
	if c.opts.Sign != nil {
		if err := c.opts.Sign(req); err != nil {
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

// getJSON reads a bounded JSON answer as bytes.
func (c *Client) getJSON(ctx context.Context, r request, limit int64) (body []byte, err error) {
	err = c.do(ctx, r, func(resp *http.Response) error {
		defer resp.Body.Close()
		body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
		switch {
		case err != nil:
			return rest.Readable(err)
		case int64(len(body)) > limit:
			return fmt.Errorf("answer of more than %d bytes", limit)
		}
		if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "" && kind != "application/json" {
			return fmt.Errorf("answer is %s, not JSON: %s", kind, rest.Excerpt(body))
		}
		if !json.Valid(bytes.TrimSpace(body)) {
			return fmt.Errorf("answer is not JSON: %s", rest.Excerpt(body))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return body, nil
}
