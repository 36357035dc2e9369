package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// imageServer stands for the updates server: private, with channels, signed
// changes, files kept locally (spec imgapi.md section 1).
type imageServer struct {
	state  *state
	keys   string // directory of USER.keys
	now    func() time.Time
	remote http.RoundTripper // for files from a URL
}

const anyChannel = "*"

type channel struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Default     bool   `json:"default,omitempty"`
}

// channels are the central server's, in its order.
func channels() []channel {
	return []channel{
		{Name: "experimental", Description: "feature-branch builds"},
		{Name: "dev", Description: "main development branch builds", Default: true},
		{Name: "staging", Description: "staging for release branch builds before a full release"},
		{Name: "release", Description: "release bits"},
		{Name: "support", Description: "supported release bits"},
	}
}

// apiError is an answer with an error status.
type apiError struct {
	Status  int                `json:"-"`
	Code    string             `json:"code,omitempty"`
	Message string             `json:"message"`
	Errors  []imgmanifest.Item `json:"errors,omitempty"`
	Allow   string             `json:"-"`
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func problem(status int, code, format string, args ...any) *apiError {
	return &apiError{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *apiError {
	return problem(http.StatusNotFound, "ResourceNotFound", format, args...)
}

func invalidParameter(field, format string, args ...any) *apiError {
	e := problem(http.StatusUnprocessableEntity, "InvalidParameter", format, args...)
	e.Errors = []imgmanifest.Item{{Field: field, Code: "Invalid"}}
	return e
}

// call is one request on its way through the server.
type call struct {
	*imageServer
	w    http.ResponseWriter
	r    *http.Request
	v2   bool   // the client knows version 2
	user string // verified, "" without authorization
}

func (s *imageServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", uuid.NewString())
	w.Header().Set("Server", "sandbox image server")
	c := &call{imageServer: s, w: w, r: r}
	if err := c.route(); err != nil {
		c.fail(err)
	}
}

var imagePath = regexp.MustCompile(`^/images/([^/]*)(/[^/]*)?(/from-url)?$`)

func (c *call) route() error {
	var err error
	if c.v2, err = acceptVersion(c.r.Header.Get("Accept-Version")); err != nil {
		return err
	}
	p := c.r.URL.Path
	fileOrIcon := c.r.Method == http.MethodGet && (strings.HasSuffix(p, "/file") || strings.HasSuffix(p, "/icon"))
	if !fileOrIcon { // these two never look at it
		if err := c.authenticate(); err != nil {
			return err
		}
	}
	switch p {
	case "/ping":
		return c.only(http.MethodGet, c.ping)
	case "/channels":
		return c.only(http.MethodGet, func() error { return c.json(channels()) })
	case "/state":
		return c.only(http.MethodGet, func() error { return c.signed(c.dumpState) })
	case "/authkeys/reload":
		return c.only(http.MethodPost, func() error { return c.signed(c.reloadKeys) })
	case "/images":
		switch c.r.Method {
		case http.MethodGet:
			return c.list()
		case http.MethodPost:
			return c.signed(c.create)
		}
		return c.notAllowed("GET, POST")
	}
	m := imagePath.FindStringSubmatch(p)
	if m == nil {
		return notFound("%s does not exist", p)
	}
	if !imgmanifest.ValidUUID(m[1]) {
		return notFound("%s does not exist", p)
	}
	return c.image(m[1], m[2]+m[3])
}

func (c *call) image(uuid, rest string) error {
	switch method := c.r.Method; rest {
	case "":
		switch method {
		case http.MethodGet:
			return c.get(uuid)
		case http.MethodPost:
			return c.signed(func() error { return c.action(uuid) })
		case http.MethodDelete:
			return c.signed(func() error { return c.delete(uuid) })
		}
		return c.notAllowed("GET, POST, DELETE")
	case "/file":
		switch method {
		case http.MethodGet:
			return c.getFile(uuid)
		case http.MethodPut:
			return c.signed(func() error { return c.addFile(uuid) })
		}
		return c.notAllowed("GET, PUT")
	case "/file/from-url":
		if method == http.MethodPost {
			return c.signed(func() error { return c.addFileFromURL(uuid) })
		}
		return c.notAllowed("POST")
	case "/icon":
		if method == http.MethodGet {
			return notFound("image \"%s\" has no icon", uuid)
		}
		return c.notAllowed("GET")
	case "/acl":
		if method == http.MethodPost {
			return c.signed(func() error { return c.acl(uuid) })
		}
		return c.notAllowed("POST")
	case "/jobs":
		c.die()
	}
	return notFound("%s does not exist", c.r.URL.Path)
}

// die is what the real server does on some requests (spec imgapi.md section
// 16): the process exits, the client sees an empty reply.
func (c *call) die() { panic(http.ErrAbortHandler) }

func (c *call) only(method string, f func() error) error {
	if c.r.Method != method {
		return c.notAllowed(method)
	}
	return f()
}

func (c *call) notAllowed(allow string) error {
	e := problem(http.StatusMethodNotAllowed, "MethodNotAllowedError", "%s is not allowed", c.r.Method)
	e.Allow = allow
	return e
}

func (c *call) fail(err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = problem(http.StatusInternalServerError, "InternalError", "%v", err)
	}
	if e.Allow != "" {
		c.w.Header().Set("Allow", e.Allow)
	}
	c.send(e.Status, e)
}

func (c *call) json(v any) error { c.send(http.StatusOK, v); return nil }

func (c *call) send(status int, v any) {
	var body []byte
	if m, ok := v.(*imgmanifest.Manifest); ok {
		body = m.Encode()
	} else {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			panic(err) // our own types
		}
		body = b.Bytes()
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the client may be gone
}

// acceptVersion says whether a range of versions admits 2.0.0, and refuses one
// that admits neither 1.0.0 nor 2.0.0.
func acceptVersion(header string) (v2 bool, err error) {
	switch strings.TrimPrefix(strings.TrimPrefix(header, "~"), "^") {
	case "*", "2", "2.0", "2.0.0", ">=1", ">=1.0.0", ">=2", ">=2.0.0":
		return true, nil
	case "", "1", "1.0", "1.0.0":
		return false, nil
	}
	return false, problem(http.StatusBadRequest, "InvalidVersion", "%s is not supported by %s", header, "GET")
}

// channel returns the channel a request works in.
func (c *call) channel(any bool) (string, error) {
	name := c.r.URL.Query().Get("channel")
	if name == "" {
		i := slices.IndexFunc(channels(), func(ch channel) bool { return ch.Default })
		return channels()[i].Name, nil
	}
	if name == anyChannel && any || knownChannel(name) {
		return name, nil
	}
	e := problem(http.StatusUnprocessableEntity, "ValidationFailed", "unknown channel: %s", name)
	e.Errors = []imgmanifest.Item{{Field: "channel", Code: "Invalid"}}
	return "", e
}

func knownChannel(name string) bool {
	return slices.ContainsFunc(channels(), func(ch channel) bool { return ch.Name == name })
}

// find returns an image of the request's channel.
func (c *call) find(uuid string, any bool) (*record, error) {
	name, err := c.channel(any)
	if err != nil {
		return nil, err
	}
	r, err := c.state.get(uuid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound("image %s not found", uuid)
	}
	if err != nil {
		return nil, err
	}
	if !r.in(name) {
		return nil, notFound("image not found")
	}
	return r, nil
}

// admin says whether inclAdminFields is asked for; that needs authorization.
func (c *call) admin() (bool, error) {
	if c.r.URL.Query().Get("inclAdminFields") != "true" {
		return false, nil
	}
	if c.user == "" {
		return false, problem(http.StatusUnauthorized, "UnauthorizedError",
			"Unauthorized (auth required to use \"inclAdminFields\" parameter)")
	}
	return true, nil
}

func (c *call) ping() error {
	if code := c.r.URL.Query().Get("error"); code != "" {
		return sample(code)
	}
	answer := struct {
		Ping    string `json:"ping"`
		PID     int    `json:"pid,omitempty"`
		Version string `json:"version"`
		IMGAPI  bool   `json:"imgapi"`
		User    string `json:"user,omitempty"`
		Sandbox bool   `json:"sandbox"`
	}{Ping: "pong", Version: "4.13.1", IMGAPI: true, User: c.user, Sandbox: true}
	if c.user != "" {
		answer.PID = os.Getpid()
	}
	return c.json(answer)
}

func (c *call) get(uuid string) error {
	if err := c.account(); err != nil {
		return err
	}
	admin, err := c.admin()
	if err != nil {
		return err
	}
	r, err := c.find(uuid, true)
	if err != nil {
		return err
	}
	m := r.manifest(c.v2, admin)
	if c.unchanged(m) {
		return nil
	}
	c.send(http.StatusOK, m)
	return nil
}

// unchanged sets the manifest's ETag and answers a request that has it.
func (c *call) unchanged(m *imgmanifest.Manifest) bool {
	tag := etag(m.Encode())
	c.w.Header().Set("Etag", tag)
	if c.r.Header.Get("If-None-Match") != tag {
		return false
	}
	c.w.WriteHeader(http.StatusNotModified)
	return true
}

func (c *call) getFile(uuid string) error {
	r, err := c.find(uuid, true)
	if err != nil {
		return err
	}
	if index := c.r.URL.Query().Get("index"); r.File == nil || index != "" && index != "0" {
		return notFound("image \"%s\" has no file", uuid)
	}
	// The real server compares with the manifest's tag, also here.
	if c.unchanged(r.manifest(c.v2, false)) {
		return nil
	}
	h := c.w.Header()
	h.Set("Etag", r.File.SHA1)
	h.Set("Last-Modified", r.File.Modified.UTC().Format(http.TimeFormat))
	if since, err := http.ParseTime(c.r.Header.Get("If-Modified-Since")); err == nil && !r.File.Modified.Truncate(time.Second).After(since) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	f, err := c.state.openFile(r)
	if err != nil {
		return err
	}
	defer f.Close()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Md5", r.File.MD5)
	h.Set("Content-Length", fmt.Sprint(r.File.Size))
	c.w.WriteHeader(http.StatusOK)
	_, _ = io.Copy(c.w, f) // the client may be gone
	return nil
}

// account checks the parameter of that name, which standalone servers have
// no use for.
func (c *call) account() error {
	if a := c.r.URL.Query().Get("account"); a != "" && !imgmanifest.ValidUUID(a) {
		return invalidParameter("account", "invalid account: not a UUID: %q", a)
	}
	return nil
}
