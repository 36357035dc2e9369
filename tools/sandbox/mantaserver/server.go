package mantaserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Options set up a server. Dir is required.
type Options struct {
	// Dir holds the objects, and keys/ACCOUNT.keys or ACCOUNT.SUBUSER.keys:
	// public keys, one a line. An account exists if it has such a file.
	Dir       string
	Keys      string           // directory of the keys; "" is Dir/keys
	PlainHTTP bool             // accept signed requests without TLS
	MaxObject int64            // bytes; 0 is 20 GiB
	Now       func() time.Time // nil is time.Now

	// Wrap, if not nil, gets the server's handler and returns the one to
	// serve: the place for faults.
	Wrap func(http.Handler) http.Handler
}

type server struct {
	objects string
	opts    Options
}

// New returns the handler of a server.
func New(o Options) (http.Handler, error) {
	if o.Keys == "" {
		o.Keys = filepath.Join(o.Dir, "keys")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxObject == 0 {
		o.MaxObject = 20 << 30
	}
	s := &server{objects: filepath.Join(o.Dir, "objects"), opts: o}
	for _, dir := range []string{s.objects, o.Keys} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("object store: %w", err)
		}
	}
	var h http.Handler = s
	if o.Wrap != nil {
		h = o.Wrap(h)
	}
	return h, nil
}

// apiError is an answer with an error status (spec manta.md section 9).
type apiError struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

// refuse makes the error of a code; its status is that of the code.
func refuse(code, format string, args ...any) *apiError {
	return &apiError{statusOf(code), code, fmt.Sprintf(format, args...)}
}

func statusOf(code string) int {
	switch code {
	case "AuthorizationRequired", "InvalidAlgorithm":
		return 401
	case "InvalidSignature", "KeyDoesNotExist", "InvalidKeyId", "AccountDoesNotExist", "AccountBlocked", "UserDoesNotExist",
		"AuthorizationFailed", "AuthorizationSchemeNotAllowed", "NoMatchingRoleTag", "InvalidQueryStringAuthentication",
		"SecureTransportRequired", "SnaplinksDisabledError":
		return 403
	case "ResourceNotFound", "DirectoryDoesNotExist", "SourceObjectNotFound":
		return 404
	case "MethodNotAllowed":
		return 405
	case "ConcurrentRequest", "DirectoryLimitExceeded", "EntityAlreadyExists", "InvalidRole", "InvalidRoleTag":
		return 409
	case "ContentLengthRequired":
		return 411
	case "PreconditionFailed":
		return 412
	case "MaxContentLengthExceeded":
		return 413
	case "UploadTimeout":
		return 408
	case "UploadAbandoned":
		return 499
	case "NotEnoughSpace":
		return 507
	case "InternalError":
		return 500
	case "ServiceUnavailable", "ThrottledError":
		return 503
	}
	return 400
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	if id == "" {
		id = uuid.NewString()
	}
	w.Header().Set("X-Request-Id", id)
	w.Header().Set("Server", "sandbox object store")
	err := s.serve(w, r)
	if err == nil {
		return
	}
	var e *apiError
	if !errors.As(err, &e) {
		e = refuse("InternalError", "%v", err)
	}
	body, err := json.Marshal(e)
	if err != nil {
		panic(err) // two strings
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone
	}
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) error {
	n, err := parseName(r.URL)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
	default:
		w.Header().Set("Allow", "DELETE, GET, HEAD, PUT")
		return refuse("MethodNotAllowed", "%s is not allowed", r.Method)
	}
	if err := s.authorize(r, n); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodPut:
		return s.put(w, r, n)
	case http.MethodDelete:
		return s.delete(w, n)
	}
	return s.get(w, r, n)
}

// name is a path as its decoded segments: account, area, and so on.
type name []string

func parseName(u *url.URL) (name, error) {
	raw := u.EscapedPath()
	if !strings.HasPrefix(raw, "/") {
		return nil, refuse("InvalidResource", "%s is not a path", raw)
	}
	var n name
	for part := range strings.SplitSeq(strings.Trim(raw, "/"), "/") {
		p, err := url.PathUnescape(part)
		if err != nil || p == "" || p == "." || p == ".." || strings.ContainsAny(p, "/\x00") {
			return nil, refuse("InvalidResource", "%s is not a path of the store", raw)
		}
		n = append(n, p)
	}
	if len(n) > 1 && n[1] != "stor" && n[1] != "public" {
		return nil, refuse("ResourceNotFound", "%s does not exist", n)
	}
	return n, nil
}

func (n name) String() string { return "/" + strings.Join(n, "/") }

// root says whether n is an account or its stor or public, which always exist.
func (n name) root() bool { return len(n) <= 2 }

func (n name) parent() name { return n[:len(n)-1] }
