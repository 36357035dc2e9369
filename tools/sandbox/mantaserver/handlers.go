package mantaserver

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/TritonDataCenter/engbld/tools/newfile"
)

const directoryType = "application/x-json-stream; type=directory"

// chunkedLimit is the limit of an upload without length, unless the request
// names another (spec manta.md section 5).
const chunkedLimit = 5 << 30

func (s *server) put(w http.ResponseWriter, r *http.Request, n name) error {
	if n.root() {
		return refuse("OperationNotAllowedOnRootDirectory", "operation is not allowed on %s", n)
	}
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case kind == "application/json" && params["type"] == "link":
		return refuse("SnaplinksDisabledError", "Manta v2 does not support SnapLinks.")
	case kind == "application/json" && params["type"] == "directory":
		if err := s.parentCheck(n); err != nil {
			return err
		}
		if err := s.mkdir(n); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s.putObject(w, r, n)
}

func (s *server) putObject(w http.ResponseWriter, r *http.Request, n name) error {
	m, limit, err := s.putHeaders(r)
	if err != nil {
		return err
	}
	if err := s.parentCheck(n); err != nil {
		return err
	}
	if ok, err := s.isDir(n); err != nil || ok {
		return cmpErr(err, refuse("OperationNotAllowedOnDirectory", "%s is a directory", n))
	}
	if err := s.precondition(r, n); err != nil {
		return err
	}
	if n.parent().root() {
		if err := os.MkdirAll(s.dirPath(n.parent()), 0o755); err != nil {
			return err
		}
	}
	// The content comes first in a file of its own, since the line before it
	// needs the sum.
	tmp, err := newfile.Create(s.objectPath(n), 0o600)
	if err != nil {
		return err
	}
	defer tmp.Discard()
	h := md5.New()
	if m.Size, err = io.Copy(io.MultiWriter(tmp, h), io.LimitReader(r.Body, limit+1)); err != nil {
		return refuse("UploadAbandoned", "request was aborted")
	}
	if m.Size > limit {
		return refuse("MaxContentLengthExceeded", "request has exceeded %d bytes", limit)
	}
	m.MD5 = base64.StdEncoding.EncodeToString(h.Sum(nil))
	if want := r.Header.Get("Content-Md5"); want != "" && want != m.MD5 {
		return refuse("ContentMD5Mismatch", "Content-MD5 expected to be %s, but was %s", want, m.MD5)
	}
	if err := s.store(n, m, tmp); err != nil {
		return err
	}
	w.Header().Set("Etag", m.Etag)
	w.Header().Set("Last-Modified", m.Modified.Format(http.TimeFormat))
	w.Header().Set("Computed-MD5", m.MD5)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// putHeaders reads what an upload's headers say.
func (s *server) putHeaders(r *http.Request) (*meta, int64, error) {
	m := &meta{Type: r.Header.Get("Content-Type"), Copies: 2, Etag: uuid.NewString(), Modified: s.opts.Now().UTC(), Custom: map[string]string{}}
	if m.Type == "" {
		m.Type = "application/octet-stream"
	}
	limit := s.opts.MaxObject
	switch {
	case r.ContentLength > limit:
		return nil, 0, refuse("MaxContentLengthExceeded", "request has exceeded %d bytes", limit)
	case len(r.TransferEncoding) == 0 && r.Header.Get("Content-Length") == "":
		return nil, 0, refuse("ContentLengthRequired", "Content-Length must be >= 0")
	case r.ContentLength < 0:
		limit = min(limit, chunkedLimit)
		if v := r.Header.Get("Max-Content-Length"); v != "" {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 {
				return nil, 0, refuse("InvalidMaxContentLength", "max-content-length is invalid: %s", v)
			}
			limit = min(n, s.opts.MaxObject)
		}
	}
	if v := r.Header.Get("Content-Md5"); v != "" {
		if sum, err := base64.StdEncoding.DecodeString(v); err != nil || len(sum) != md5.Size {
			return nil, 0, refuse("BadRequest", "Content-MD5 is invalid: %s", v)
		}
	}
	for _, h := range []string{"Durability-Level", "X-Durability-Level"} {
		if v := r.Header.Get(h); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 || n > 9 {
				return nil, 0, refuse("InvalidDurabilityLevel", "durability-level must be between 1 and 9")
			}
			m.Copies = n
		}
	}
	for k, v := range r.Header {
		if strings.HasPrefix(k, "M-") {
			m.Custom[k] = v[0]
		}
	}
	return m, limit, nil
}

// precondition checks If-Match and If-None-Match.
func (s *server) precondition(r *http.Request, n name) error {
	want, not := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	if want == "" && not == "" {
		return nil
	}
	etag := ""
	m, f, err := s.open(n)
	if err == nil {
		f.Close()
		etag = m.Etag
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if want != "" && (etag == "" || want != "*" && strings.Trim(want, `"`) != etag) {
		return refuse("PreconditionFailed", "if-match '%s' and etag '%s'", want, etag)
	}
	if not != "" && etag != "" && (not == "*" || strings.Trim(not, `"`) == etag) {
		return refuse("PreconditionFailed", "if-none-match '%s' and etag '%s'", not, etag)
	}
	return nil
}

// store gives an object its name when it is complete.
func (s *server) store(n name, m *meta, content io.ReadSeeker) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	dst := s.objectPath(n)
	f, err := newfile.Create(dst, 0o600)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err = f.Write(append(line, '\n')); err == nil {
		_, err = io.Copy(f, content)
	}
	if err != nil {
		return err
	}
	return f.CommitLazily()
}

func (s *server) get(w http.ResponseWriter, r *http.Request, n name) error {
	dir, err := s.isDir(n)
	if err != nil {
		return err
	}
	h := w.Header()
	if dir {
		lines, err := s.list(n)
		if err != nil {
			return err
		}
		h.Set("Content-Type", directoryType)
		h.Set("Result-Set-Size", strconv.Itoa(len(lines)))
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, strings.Join(lines, ""))
		}
		return nil
	}
	m, f, err := s.open(n)
	if errors.Is(err, fs.ErrNotExist) {
		return refuse("ResourceNotFound", "%s does not exist", n)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	h.Set("Content-Type", m.Type)
	h.Set("Content-Length", strconv.FormatInt(m.Size, 10))
	h.Set("Content-Md5", m.MD5)
	h.Set("Etag", m.Etag)
	h.Set("Last-Modified", m.Modified.Format(http.TimeFormat))
	h.Set("Durability-Level", strconv.Itoa(m.Copies))
	for k, v := range m.Custom {
		h.Set(k, v)
	}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, f) // the client may be gone
	}
	return nil
}

func (s *server) delete(w http.ResponseWriter, n name) error {
	if n.root() {
		return refuse("OperationNotAllowedOnRootDirectory", "operation is not allowed on %s", n)
	}
	dir, err := s.isDir(n)
	switch {
	case err != nil:
		return err
	case dir:
		if err := os.Remove(s.dirPath(n)); err != nil {
			return refuse("DirectoryNotEmpty", "%s is not empty", n)
		}
	default:
		err := os.Remove(s.objectPath(n))
		if errors.Is(err, fs.ErrNotExist) {
			return refuse("ResourceNotFound", "%s does not exist", n)
		}
		if err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// cmpErr is err, or else otherwise.
func cmpErr(err error, otherwise *apiError) error {
	if err != nil {
		return err
	}
	return otherwise
}
