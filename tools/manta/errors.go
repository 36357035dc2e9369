package manta

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/rest"
)

// Error is an answer of the server with an error status.
type Error = rest.Error

// localError is a failure of this machine: a file, a key.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

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
