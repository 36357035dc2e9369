package manta

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// Error is an answer of the server with an error status (spec manta.md
// section 9).
type Error struct {
	Status    int    // HTTP status
	Code      string // the server's; "" where there is none, as in an answer to HEAD
	Message   string
	RequestID string
}

// Error gives code, status, message and request id.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Code != "" {
		fmt.Fprintf(&b, "%s (HTTP %d)", e.Code, e.Status)
	} else {
		fmt.Fprintf(&b, "HTTP %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// Is makes a missing object or directory fs.ErrNotExist, and a refused login
// fs.ErrPermission.
func (e *Error) Is(target error) bool {
	switch e.Status {
	case http.StatusNotFound:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == fs.ErrPermission
	}
	return false
}

const maxError = 64 << 10

func readError(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, RequestID: clean(resp.Header.Get("X-Request-Id"))}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxError)) // what came of it is enough
	var parsed struct{ Code, Message string }
	switch {
	case resp.StatusCode/100 == 3:
		e.Message = "redirects are not followed"
	case json.Unmarshal(body, &parsed) == nil && (parsed.Code != "" || parsed.Message != ""):
		e.Code, e.Message = clean(parsed.Code), clean(parsed.Message)
	default:
		e.Message = strings.Join(strings.Fields(clean(string(body[:min(len(body), 200)]))), " ")
	}
	return e
}

// clean drops what could move a terminal's cursor, and bounds the rest.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return s[:min(len(s), 1000)]
}

// localError is a failure of this machine: a file, a key.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// readable takes the address out of a transport's error (it may hold a
// signature, and messages name the server already) and explains an empty reply.
func readable(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("server closed the connection: %w", err)
	}
	return err
}

// passing says whether the same request may succeed a little later (spec
// manta.md section 10).
func passing(err error) bool {
	var local *localError
	var cert *tls.CertificateVerificationError
	var changed *changedError
	if errors.As(err, &local) || errors.As(err, &cert) || errors.As(err, &changed) || errors.Is(err, context.Canceled) {
		return false
	}
	var e *Error
	if !errors.As(err, &e) {
		return true // a broken connection, a time-out, an unverified answer
	}
	switch e.Status {
	case http.StatusRequestTimeout, 499, http.StatusTooManyRequests:
		return true
	case http.StatusConflict:
		return e.Code == "ConcurrentRequest"
	case http.StatusInsufficientStorage:
		return false
	}
	return e.Status >= 500
}

// hint says what can be done about a refusal.
func hint(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case slices.Contains([]string{"KeyDoesNotExist", "InvalidSignature", "InvalidKeyId"}, e.Code):
		return fault.WithHint(err, "MANTA_KEY_ID names the key, MANTA_USER the account that must have its public half")
	case slices.Contains([]string{"AccountDoesNotExist", "UserDoesNotExist", "AuthorizationFailed"}, e.Code):
		return fault.WithHint(err, "check MANTA_USER and MANTA_SUBUSER")
	case e.Code == "InvalidHeader" && strings.Contains(e.Message, "skew"):
		return fault.WithHint(err, "set this machine's clock")
	case e.Code == "" && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden): // an answer to HEAD gives no reason
		return fault.WithHint(err, "MANTA_KEY_ID names the key, MANTA_USER the account that must have its public half")
	case e.Code == "SecureTransportRequired":
		return fault.WithHint(err, "MANTA_URL=https://…")
	}
	return err
}
