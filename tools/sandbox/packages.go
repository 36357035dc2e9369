package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// packageServer serves the repositories below /packages and the
// vulnerabilities below /vulns, as a plain file server does: index pages,
// ranges, ETag, Last-Modified.
type packageServer struct {
	data fs.FS
}

// served maps the first path element to a folder of the data.
var served = map[string]string{"packages": "pkgsrc", "vulns": "vulns"}

// published is Last-Modified of everything; embedded files have no times.
var published = time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC)

func (s *packageServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	clean := path.Clean(r.URL.Path)
	top, rest, _ := strings.Cut(strings.TrimPrefix(clean, "/"), "/")
	folder, ok := served[top]
	if !ok {
		http.NotFound(w, r)
		return
	}
	name := path.Join(folder, rest)
	info, err := fs.Stat(s.data, name)
	switch {
	case err != nil:
		http.NotFound(w, r)
	case info.IsDir() && !strings.HasSuffix(r.URL.Path, "/"):
		http.Redirect(w, r, (&url.URL{Path: path.Base(clean) + "/"}).String(), http.StatusMovedPermanently)
	case info.IsDir():
		s.index(w, r, name)
	case strings.HasSuffix(r.URL.Path, "/"):
		http.NotFound(w, r)
	default:
		s.file(w, r, name)
	}
}

func (s *packageServer) index(w http.ResponseWriter, r *http.Request, name string) {
	entries, err := fs.ReadDir(s.data, name)
	if err != nil {
		http.Error(w, "unreadable", http.StatusInternalServerError)
		return
	}
	var page bytes.Buffer
	title := html.EscapeString(r.URL.Path)
	fmt.Fprintf(&page, "<html>\n<head><title>Index of %s</title></head>\n<body>\n<h1>Index of %[1]s</h1><hr><pre><a href=\"../\">../</a>\n", title)
	for _, e := range entries {
		label, size := e.Name(), "-"
		if e.IsDir() {
			label += "/"
		} else if info, err := e.Info(); err == nil {
			size = fmt.Sprint(info.Size())
		}
		link := (&url.URL{Path: label}).String()
		fmt.Fprintf(&page, "<a href=%q>%s</a> %s %s\n", link, html.EscapeString(label), published.Format("02-Jan-2006 15:04"), size)
	}
	page.WriteString("</pre><hr></body>\n</html>\n")
	w.Header().Set("Content-Type", "text/html")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page.Bytes()))
}

func (s *packageServer) file(w http.ResponseWriter, r *http.Request, name string) {
	content, err := fs.ReadFile(s.data, name)
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, fs.ErrNotExist) {
			status = http.StatusNotFound
		}
		http.Error(w, "unreadable", status)
		return
	}
	sum := sha256.Sum256(content)
	w.Header().Set("Etag", `"`+hex.EncodeToString(sum[:16])+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", published, bytes.NewReader(content))
}
