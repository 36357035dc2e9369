package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/TritonDataCenter/engbld/tools/rest"
)

const (
	firstBackoff  = 500 * time.Millisecond
	maxBackoff    = 15 * time.Second
	maxRetryAfter = time.Minute
	enoughGain    = 32 << 10 // bytes of progress that make up for a failure
)

// finalError is an error that another try does not mend.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func final(err error) error { return finalError{err} }

// retry calls try until it succeeds, fails for good, or has failed too often.
// try tells how far it is in all; getting on makes up for failures.
func (c *Client) retry(ctx context.Context, try func() (reached int64, err error)) error {
	retries := c.Retries
	if retries == 0 {
		retries = defaultRetries
	}
	var mark int64
	for failed := 0; ; {
		reached, err := try()
		if err == nil || ctx.Err() != nil || !worthRetrying(err) {
			return err
		}
		if reached >= mark+enoughGain {
			mark, failed = reached, 0
		}
		if failed++; failed > retries {
			return err
		}
		if err := c.sleep(ctx, c.backoff(failed, err)); err != nil {
			return err
		}
	}
}

func (c *Client) backoff(retry int, err error) time.Duration {
	d := min(firstBackoff<<min(retry-1, 10), maxBackoff)
	if c.Backoff != nil {
		d = c.Backoff(retry)
	}
	var s *StatusError
	if errors.As(err, &s) {
		d = max(d, s.RetryAfter)
	}
	return d
}

func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	return rest.Sleep(ctx, d)
}

// worthRetrying tells passing failures from those that stay: of the server's
// answers 5xx and the "not now" ones, and all of the network but an unknown name,
// a bad certificate, a server without TLS and redirects that lead nowhere.
func worthRetrying(err error) bool {
	var (
		f    finalError
		s    *StatusError
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &f), errors.As(err, &cert), errors.Is(err, http.ErrSchemeMismatch):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	case errors.As(err, &s):
		switch s.Code {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return true
		case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
			return false
		}
		return s.Code >= 500
	}
	return true
}

// retryAfter reads the header of that name where it is a number of seconds.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxRetryAfter)
}
