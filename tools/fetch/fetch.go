// Package fetch gets files over HTTP from servers and networks that fail: with
// retries, resumption, time-outs for standing still rather than for being slow,
// and digests checked while the bytes come in.
//
// It knows nothing of what it fetches. All failures are fault.Network and name
// the server; secrets in addresses are left out of messages.
package fetch

import (
	"context"
	"net/http"
	"time"
)

// Client gets files. The zero value works; fields are not changed once it is in
// use, then it is safe for concurrent use.
type Client struct {
	HTTP      *http.Client // nil: NewTransport's, with its proxies from the environment
	UserAgent string       // "" is "engbld"
	Header    http.Header  // sent with every request
	Offline   bool         // every request fails at once

	Retries int                                              // after the first try; 0 is 4, negative none
	Backoff func(attempt int) time.Duration                  // before try attempt+1; nil: 0.5 s doubled each time, at most 15 s
	Sleep   func(ctx context.Context, d time.Duration) error // nil waits for real

	HeaderTimeout time.Duration // from the request to the answer's header; 0 is 60 s
	IdleTimeout   time.Duration // without any byte of the body; 0 is 60 s

	// Progress is told after each piece; nil is silent. It may be called from
	// several goroutines at once.
	Progress func(Progress)
}

// Progress says how far a download is.
type Progress struct {
	URL   string // without secrets
	Done  int64  // bytes
	Total int64  // bytes, 0 while unknown
}

// Expect is what a file must be; zero fields are not checked. Digests are hex.
type Expect struct {
	Size                      int64
	MD5, SHA1, SHA256, SHA512 string
	MaxSize                   int64 // refuse more bytes than this; 0 is 64 GiB
}

// Info tells what came.
type Info struct {
	URL          string // after redirects, without secrets
	Size         int64
	SHA256       string // hex
	ETag         string
	LastModified string
}

// GetFile fetches url into the file dst, which appears only when it is complete
// and is what want says. A download that was cut continues where it stopped, in
// this call and in the next one for the same dst. A missing file is
// fs.ErrNotExist.
func (c *Client) GetFile(ctx context.Context, url, dst string, want Expect) (Info, error) {
	panic("not yet")
}

// GetBytes fetches a small file into memory; more than limit bytes are an error.
func (c *Client) GetBytes(ctx context.Context, url string, limit int64) ([]byte, error) {
	panic("not yet")
}

// StatusError is a server's answer that is no success. It is fs.ErrNotExist for
// 404 and 410.
type StatusError struct {
	Code int
	URL  string // without secrets
	Body []byte // the first 64 KiB of the answer
}

func (e *StatusError) Error() string { panic("not yet") }
