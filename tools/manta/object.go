package manta

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/rest"
)

// Info is what the server tells of an object or a directory.
type Info struct {
	Dir      bool
	Type     string // Content-Type
	Size     int64
	MD5      *[md5.Size]byte // nil where the server does not say
	Etag     string
	Modified time.Time // zero where the server does not say
}

// Info asks about p.
func (c *Client) Info(ctx context.Context, p string) (Info, error) {
	r := request{method: http.MethodHead, path: p, what: "asking about"}
	resp, err := c.do(ctx, r)
	if err != nil {
		return Info{}, err
	}
	resp.Body.Close()
	info, err := c.info(resp)
	if err != nil {
		return info, c.wrap(r, err)
	}
	return info, nil
}

func (c *Client) info(resp *http.Response) (Info, error) {
	h := resp.Header
	i := Info{Type: rest.Clean(h.Get("Content-Type")), Size: resp.ContentLength, Etag: rest.Clean(h.Get("Etag"))}
	if kind, params, err := mime.ParseMediaType(i.Type); err == nil && kind == "application/x-json-stream" && params["type"] == "directory" {
		i.Dir = true
	}
	if t, err := http.ParseTime(h.Get("Last-Modified")); err == nil {
		i.Modified = t
	}
	if s := h.Get("Content-Md5"); s != "" {
		sum, err := decodeSum(s)
		if err != nil {
			return i, fmt.Errorf("header Content-MD5: %w", err)
		}
		i.MD5 = &sum
	}
	return i, nil
}

func decodeSum(s string) (sum [md5.Size]byte, err error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(raw) != md5.Size {
		return sum, fmt.Errorf("%q is no MD5", rest.Clean(s))
	}
	copy(sum[:], raw)
	return sum, nil
}

func encodeSum(sum [md5.Size]byte) string { return base64.StdEncoding.EncodeToString(sum[:]) }

// Get opens an object; the caller closes it. Its end is io.EOF only if the
// length and the MD5 are what the server announced.
func (c *Client) Get(ctx context.Context, p string) (io.ReadCloser, Info, error) {
	r := request{method: http.MethodGet, path: p, what: "reading"}
	resp, err := c.do(ctx, r)
	if err != nil {
		return nil, Info{}, err
	}
	info, err := c.info(resp)
	if err == nil && info.Dir {
		err = errors.New("it is a directory")
	}
	if err != nil {
		resp.Body.Close()
		return nil, info, c.wrap(r, err)
	}
	return &reader{body: resp.Body, c: c, r: r, want: info.MD5, hash: md5.New()}, info, nil
}

// GetBytes reads a small object; more than limit bytes are an error.
func (c *Client) GetBytes(ctx context.Context, p string, limit int64) ([]byte, error) {
	body, _, err := c.Get(ctx, p)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fault.Network.Errorf("object store %s: %s holds more than %d bytes", c.Server(), p, limit)
	}
	return b, err
}

type reader struct {
	body io.ReadCloser
	c    *Client
	r    request
	want *[md5.Size]byte
	hash hash.Hash
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.hash.Write(p[:n])
	switch {
	case err == io.EOF && r.want != nil && string(r.hash.Sum(nil)) != string(r.want[:]):
		err = r.c.wrap(r.r, fmt.Errorf("what came has the MD5 %x, not %x as announced", r.hash.Sum(nil), *r.want))
	case err != nil && err != io.EOF:
		err = r.c.wrap(r.r, rest.Readable(err))
	}
	return n, err
}

func (r *reader) Close() error { return r.body.Close() }

// Content is what to store.
type Content struct {
	Open func() (io.ReadCloser, error) // from the beginning, once for each attempt
	Size int64
	MD5  [md5.Size]byte
	Type string // "": by the object's name
}

// changedError is a body that is not what was announced.
type changedError struct{ why string }

func (e *changedError) Error() string { return "the file changed while it was sent: " + e.why }

// Put stores an object at p, replacing an older one in one step, and makes the
// directories above it if they are missing.
func (c *Client) Put(ctx context.Context, p string, content Content) error {
	r := request{method: http.MethodPut, path: p, what: "storing", size: content.Size, header: http.Header{}}
	kind := content.Type
	if kind == "" {
		kind = c.typeOf(p)
	}
	r.header.Set("Content-Type", kind)
	r.header.Set("Content-Md5", encodeSum(content.MD5))
	r.header.Set("X-Durability-Level", "2")
	r.body = func() (io.ReadCloser, error) {
		f, err := content.Open()
		if err != nil {
			return nil, err
		}
		return &exact{ReadCloser: f, left: content.Size, want: content.MD5, hash: md5.New(), sent: func(left int64) {
			if c.opts.Progress != nil {
				c.opts.Progress(p, content.Size-left, content.Size)
			}
		}}, nil
	}
	err := c.put(ctx, r, content.MD5)
	var e *Error
	if errors.As(err, &e) && e.Code == "DirectoryDoesNotExist" {
		c.forget(path.Dir(p))
		if err := c.Mkdir(ctx, path.Dir(p)); err != nil {
			return err
		}
		err = c.put(ctx, r, content.MD5)
	}
	return err
}

// put compares what the server computed; a difference is like a broken
// connection, and the object is sent again.
func (c *Client) put(ctx context.Context, r request, sum [md5.Size]byte) error {
	for attempt := 0; ; attempt++ {
		resp, err := c.do(ctx, r)
		if err != nil {
			return err
		}
		resp.Body.Close()
		got := resp.Header.Get("Computed-Md5")
		if got == encodeSum(sum) {
			return nil
		}
		err = c.wrap(r, fmt.Errorf("the server stored something else: its MD5 is %q, ours %q", rest.Clean(got), encodeSum(sum)))
		if attempt >= len(c.opts.Backoff) {
			return err
		}
		if serr := c.opts.Sleep(ctx, c.opts.Backoff[attempt]); serr != nil {
			return err
		}
	}
}

// exact fails unless exactly the announced bytes are read.
type exact struct {
	io.ReadCloser
	left int64
	want [md5.Size]byte
	hash hash.Hash
	sent func(left int64)
}

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	e.hash.Write(p[:n])
	e.left -= int64(n)
	switch {
	case e.left < 0:
		return 0, &changedError{"it grew"}
	case err == io.EOF && e.left > 0:
		return n, &changedError{fmt.Sprintf("%d bytes are missing", e.left)}
	case e.left == 0 && n > 0 && string(e.hash.Sum(nil)) != string(e.want[:]):
		// The last bytes are held back, so that the server has no complete body.
		return 0, &changedError{"its MD5 is another one"}
	}
	e.sent(e.left)
	return n, err
}

// typeOf guesses a content type from a name, for what builds make; a browser
// then shows what is text.
func (c *Client) typeOf(p string) string {
	switch strings.ToLower(path.Ext(p)) {
	case ".gz", ".tgz":
		return "application/gzip"
	case ".bz2":
		return "application/x-bzip2"
	case ".xz":
		return "application/x-xz"
	case ".tar":
		return "application/x-tar"
	case ".json", ".imgmanifest", ".manifest":
		return "application/json"
	case ".txt", ".log", ".md", ".pkgaudit":
		return "text/plain"
	case ".html":
		return "text/html"
	case ".sh":
		return "application/x-sh"
	case ".iso":
		return "application/x-iso9660-image"
	}
	return c.opts.Type
}

// Delete removes an object or an empty directory. What is not there is no error.
func (c *Client) Delete(ctx context.Context, p string) error {
	resp, err := c.do(ctx, request{method: http.MethodDelete, path: p, what: "removing"})
	c.forget(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

const directoryType = "application/json; type=directory"

// Mkdir makes the directory p and those above it, from the third segment on;
// ones that were seen before cost nothing. An object in the way is an error.
func (c *Client) Mkdir(ctx context.Context, p string) error {
	if c.known(p) {
		return nil
	}
	if strings.Count(p, "/") <= 2 { // /ACCOUNT/stor is always there
		return nil
	}
	if err := c.Mkdir(ctx, path.Dir(p)); err != nil {
		return err
	}
	r := request{method: http.MethodPut, path: p, what: "making the directory", header: http.Header{"Content-Type": {directoryType}}}
	// The server would put the directory in an object's place.
	info, err := c.Info(ctx, p)
	switch {
	case err == nil && !info.Dir:
		return c.wrap(r, errors.New("an object of that name is there"))
	case err == nil:
		c.remember(p)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	r.body = func() (io.ReadCloser, error) { return http.NoBody, nil }
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	c.remember(p)
	return resp.Body.Close()
}

func (c *Client) known(p string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made[p]
}

func (c *Client) remember(p string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made[p] = true
}

// forget: somebody removed p, or what is above it.
func (c *Client) forget(p string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; len(p) > 1; p = path.Dir(p) {
		delete(c.made, p)
	}
}
