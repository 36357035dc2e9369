package rest

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/redact"
)

const (
	maxError = 64 << 10
	maxText  = 4 << 10 // of one text; the servers' own have some hundred bytes
)

// Error is an answer with an error status (spec imgapi.md section 12, manta.md
// section 9).
type Error struct {
	Status    int         // HTTP status
	Code      string      // the server's; "" where there is none, as in a proxy's answer or one to HEAD
	Message   string      // the server's; for an answer that is no JSON, its beginning
	Items     []ErrorItem // of a failed validation
	RequestID string      // x-request-id, "" where a proxy answered
}

// ErrorItem is one field of a failed validation.
type ErrorItem struct {
	Field   string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error gives the code, or the status where there is none, the message, the
// items and the request id.
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
	for _, item := range e.Items {
		fmt.Fprintf(&b, "; %s: %s", item.Field, item.Code)
		if item.Message != "" {
			fmt.Fprintf(&b, ": %s", item.Message)
		}
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// Is makes what is missing fs.ErrNotExist, and a refused login fs.ErrPermission.
func (e *Error) Is(target error) bool {
	switch e.Status {
	case http.StatusNotFound:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == fs.ErrPermission
	}
	return false
}

// ReadError makes an *Error of an answer, whatever it is: the server's JSON,
// JSON without a code, a proxy's HTML, nothing. It does not close the body.
func ReadError(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, RequestID: Clean(resp.Header.Get("X-Request-Id"))}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxError)) // what came of it is enough
	var parsed struct {
		Code    string      `json:"code"`
		Message string      `json:"message"`
		Errors  []ErrorItem `json:"errors"`
	}
	if json.Unmarshal(body, &parsed) == nil && (parsed.Code != "" || parsed.Message != "") {
		e.Code, e.Message = Clean(parsed.Code), Clean(redact.Text(parsed.Message))
		for _, item := range parsed.Errors {
			e.Items = append(e.Items, ErrorItem{Clean(item.Field), Clean(item.Code), Clean(redact.Text(item.Message))})
		}
	} else {
		e.Message = Excerpt(body)
	}
	if resp.StatusCode/100 == 3 {
		to, _, _ := strings.Cut(resp.Header.Get("Location"), "?") // it may be a path only
		e.Message = "redirects are not followed: " + Clean(redact.Address(to))
	}
	return e
}

// Excerpt is the beginning of an answer on one line, without control characters
// and secrets of addresses.
func Excerpt(body []byte) string {
	s := strings.Join(strings.Fields(redact.Text(Clean(string(body[:min(len(body), 400)])))), " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

// Clean makes valid UTF-8 of a server's text, on one line and of 4 KiB at most,
// and drops what could move a terminal's cursor.
func Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
