package imgapi

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// MaxFile is the size of the largest file an image server takes.
const MaxFile = 20 << 30

// Content is the file of an image. Either Open or URL says where it is.
type Content struct {
	imgmanifest.File // sha1 and size may be unknown ("", 0) for a URL

	Storage string // local or manta, a wish; "" leaves it to the server

	Open func() (io.ReadCloser, error) // from the beginning, once for each attempt
	URL  string                        // https:, fetched by the server; may hold a signature, is in no message

	// Renew returns an address in URL's place for one attempt, where addresses are
	// good for a while only; nil: URL is good for all.
	Renew func() (string, error)

	// Wait is how long to wait for a file whose transfer from the URL may be
	// under way, though the answer got lost; 0 is an hour, the server's limit.
	Wait time.Duration

	Progress func(done, total int64) // nil is silent
}

func (f *Content) check(uuid string) error {
	bad := func(format string, args ...any) error {
		return fault.Usage.Errorf("file of image %s: %w", uuid, fmt.Errorf(format, args...))
	}
	switch {
	case !slices.Contains(imgmanifest.Compressions(), f.Compression):
		return bad("compression %q is none of %s", f.Compression, strings.Join(imgmanifest.Compressions(), ", "))
	case f.SHA1 != "" && !imgmanifest.ValidSHA1(f.SHA1):
		return bad("%q is no SHA-1", f.SHA1)
	case f.Storage != "" && f.Storage != "local" && f.Storage != "manta":
		return bad("storage %q is neither local nor manta", f.Storage)
	case (f.Open == nil) == (f.URL == ""):
		return bad("either a file or an address is needed")
	case f.Open != nil && (f.SHA1 == "" || f.Size <= 0):
		return bad("it is empty")
	case f.Size > MaxFile:
		return bad("%d bytes, the server takes %d", f.Size, int64(MaxFile))
	}
	if f.URL != "" {
		if err := checkAddress(f.URL); err != nil {
			return bad("%w", err)
		}
	}
	return nil
}

func checkAddress(s string) error {
	if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" {
		return errors.New("the server fetches https: addresses only")
	}
	return nil
}

// address is where the server is told to fetch the file from, this time.
func (f *Content) address() (string, error) {
	if f.Renew == nil {
		return f.URL, nil
	}
	s, err := f.Renew()
	if err != nil {
		return "", err
	}
	return s, checkAddress(s)
}

// is says whether the image has the file already.
func (f *Content) is(m *imgmanifest.Manifest) bool {
	files := m.Files()
	return len(files) == 1 && f.SHA1 != "" && files[0].SHA1 == f.SHA1 && files[0].Compression == f.Compression &&
		(f.Size == 0 || files[0].Size == f.Size)
}

// AddFile gives an unactivated image its file, or another one. Afterwards the
// server's SHA-1 and size are the file's.
func (c *Client) AddFile(ctx context.Context, uuid string, f Content) (*imgmanifest.Manifest, error) {
	if err := c.changing(uuid); err != nil {
		return nil, err
	}
	if err := f.check(uuid); err != nil {
		return nil, err
	}
	q := c.channelQuery()
	q.Set("compression", f.Compression)
	if f.SHA1 != "" {
		q.Set("sha1", f.SHA1)
	}
	if f.DatasetGUID != "" {
		q.Set("dataset_guid", f.DatasetGUID)
	}
	if f.Storage != "" {
		q.Set("storage", f.Storage)
	}
	r := request{path: "/images/" + uuid + "/file", query: q, what: "add file to image " + uuid}
	var m *imgmanifest.Manifest
	var err error
	if f.Open != nil {
		r.method = http.MethodPut
		ch := change{request: r, kind: "application/octet-stream", size: f.Size, body: func() (io.ReadCloser, error) {
			body, err := f.Open()
			if err != nil || f.Progress == nil {
				return body, err
			}
			return &counted{ReadCloser: body, total: f.Size, tell: f.Progress}, nil
		}}
		m, err = c.settle(ctx, ch, uuid, func(m *imgmanifest.Manifest) bool { return m != nil && f.is(m) })
	} else {
		r.method, r.path = http.MethodPost, r.path+"/from-url"
		m, err = c.fromURL(ctx, uuid, r, f)
	}
	if err != nil {
		return nil, err
	}
	if f.SHA1 != "" && !f.is(m) {
		return nil, fault.Network.Errorf("image server %s: %s: the server stored another file: %+v", c.Server(), r.what, m.Files())
	}
	return m, nil
}

// fromURL lets the server fetch the file. The answer comes after the whole
// transfer, and a proxy may give up before (spec imgapi.md section 6): then the
// image is looked at until the file is there. Where the connection broke, the
// server may never have begun, so after a while the request is made again.
func (c *Client) fromURL(ctx context.Context, uuid string, r request, f Content) (*imgmanifest.Manifest, error) {
	left := f.Wait
	if left == 0 {
		left = time.Hour
	}
	for attempt := 0; ; attempt++ {
		address, err := f.address()
		if err != nil {
			return nil, fault.Usage.Wrap(fmt.Errorf("file of image %s: %w", uuid, err))
		}
		ch, err := jsonChange(r, map[string]string{"file_url": address})
		if err != nil {
			return nil, c.wrap(r, err)
		}
		ch.secret = address
		m, err := c.manifest(ctx, ch, uuid)
		if err == nil || !errors.Is(err, ErrUnknown) || f.SHA1 == "" {
			return m, err
		}
		wait := left
		var e *Error
		var slow interface{ Timeout() bool }
		if !errors.As(err, &e) && !(errors.As(err, &slow) && slow.Timeout()) {
			wait = min(wait, 30*time.Second)
		}
		left -= wait
		m, there := c.awaitFile(ctx, uuid, f, wait)
		if there {
			return m, nil
		}
		if left <= 0 || attempt >= 2 || ctx.Err() != nil {
			return nil, err
		}
	}
}

// hideAddress takes a signed address out of an answer that repeats it.
func hideAddress(err error, address string) {
	var e *Error
	if !errors.As(err, &e) {
		return
	}
	var secrets []string
	_, query, _ := strings.Cut(address, "?")
	if query != "" {
		secrets = append(secrets, query)
	}
	if u, err := url.Parse(address); err == nil && u.User != nil {
		secrets = append(secrets, u.User.String()+"@")
	}
	hide := func(s string) string {
		for _, secret := range secrets {
			for _, secret := range []string{secret, strings.ReplaceAll(secret, "&", `\u0026`), url.QueryEscape(secret), html.EscapeString(secret)} {
				s = strings.ReplaceAll(s, secret, "…")
			}
		}
		if i := strings.Index(s, "signature"); i >= 0 && strings.Contains(query, "signature=") {
			s = s[:i] + "…" // written in yet another way
		}
		return s
	}
	e.Message = hide(e.Message)
	for i := range e.Items {
		e.Items[i].Message = hide(e.Items[i].Message)
	}
}

// awaitFile asks for the image until it has its file.
func (c *Client) awaitFile(ctx context.Context, uuid string, f Content, wait time.Duration) (*imgmanifest.Manifest, bool) {
	pause := time.Second
	for {
		m, err := c.In(AllChannels).Get(ctx, uuid)
		if err == nil && f.is(m) {
			return m, true
		}
		if errors.Is(err, fs.ErrNotExist) || wait <= 0 || c.opts.Sleep(ctx, pause) != nil {
			return nil, false
		}
		wait -= pause
		pause = min(2*pause, 30*time.Second)
	}
}

type counted struct {
	io.ReadCloser
	done, total int64
	tell        func(done, total int64)
}

func (r *counted) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.done += int64(n)
	r.tell(r.done, r.total)
	return n, err
}
