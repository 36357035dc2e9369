package imgapi

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
)

// Error is an answer of the server with an error status (spec imgapi.md
// section 12).
type Error struct {
	Status    int         // HTTP status
	Code      string      // the server's code; "" where the answer has none
	Message   string      // the server's message; for an answer that is no JSON, its beginning
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

// Is makes a missing image fs.ErrNotExist, and a refused login fs.ErrPermission.
func (e *Error) Is(target error) bool {
	switch e.Status {
	case http.StatusNotFound:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == fs.ErrPermission
	}
	return false
}

// readError makes an *Error of an answer, whatever it is: the server's JSON,
// JSON without a code, a proxy's HTML, nothing.
func readError(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode, RequestID: clean(resp.Header.Get("X-Request-Id"))}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxError)) // what came of it is enough
	var parsed struct {
		Code    string      `json:"code"`
		Message string      `json:"message"`
		Errors  []ErrorItem `json:"errors"`
	}
	if json.Unmarshal(body, &parsed) == nil && (parsed.Code != "" || parsed.Message != "") {
		e.Code, e.Message = clean(parsed.Code), clean(parsed.Message)
		for _, item := range parsed.Errors {
			e.Items = append(e.Items, ErrorItem{clean(item.Field), clean(item.Code), clean(item.Message)})
		}
	} else {
		e.Message = excerpt(body)
	}
	if resp.StatusCode/100 == 3 {
		e.Message = "redirects are not followed: " + redact(resp.Header.Get("Location"))
	}
	return e
}

// excerpt is the beginning of an answer on one line, without control characters.
func excerpt(body []byte) string {
	s := strings.Join(strings.Fields(clean(string(body[:min(len(body), 400)]))), " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

// clean drops what could move a terminal's cursor.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// redact leaves of an address scheme, host and path.
func redact(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(unreadable)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return clean(u.String())
}
