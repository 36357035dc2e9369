// Package cut is a transport whose connections break, for tests: the request
// of a given number is lost before it is sent, in the middle of its body, or
// after the server has carried it out.
package cut

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Mode says what breaks.
type Mode int

const (
	Before Mode = iota // the request never reaches the server
	Middle             // half of the body reaches the server; a request without body is lost before
	After              // the server carries it out, and the answer is lost
)

func (m Mode) String() string { return [...]string{"before", "middle", "after"}[m] }

// Transport breaks the requests from number At (counted from 1) on, Times of
// them (0 is 1, negative all), and passes the others on to Base. With At 0
// nothing breaks. It is safe for concurrent use.
type Transport struct {
	Base  http.RoundTripper // nil is http.DefaultTransport
	At    int
	Times int
	Mode  Mode

	mu  sync.Mutex
	log []string
}

// Log returns METHOD PATH?QUERY of the requests so far.
func (t *Transport) Log() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.log...)
}

func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	t.log = append(t.log, r.Method+" "+r.URL.RequestURI())
	n := len(t.log)
	t.mu.Unlock()
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	times := max(t.Times, 1)
	if t.At == 0 || n < t.At || t.Times >= 0 && n >= t.At+times {
		return base.RoundTrip(r)
	}
	broken := fmt.Errorf("connection reset: %w", io.EOF)
	switch {
	case t.Mode == After:
		resp, err := base.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	case t.Mode == Middle && r.Body != nil && r.ContentLength > 1:
		half := r.Clone(r.Context())
		half.Body = &stops{r.Body, r.ContentLength / 2}
		resp, err := base.RoundTrip(half)
		if err == nil {
			resp.Body.Close()
		}
	case r.Body != nil:
		r.Body.Close()
	}
	return nil, broken
}

// stops fails after n bytes.
type stops struct {
	io.ReadCloser
	n int64
}

func (s *stops) Read(p []byte) (int, error) {
	if s.n <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.ReadCloser.Read(p[:min(int64(len(p)), s.n)])
	s.n -= int64(n)
	return n, err
}
