package mantaserver

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// meta is what is known of an object; it is the first line of its file, so
// that an object changes in one rename.
type meta struct {
	Type     string            `json:"type"`
	Size     int64             `json:"size"`
	MD5      string            `json:"md5"` // base64
	Etag     string            `json:"etag"`
	Modified time.Time         `json:"modified"`
	Copies   int               `json:"copies"`
	Custom   map[string]string `json:"custom,omitempty"` // m-* headers
}

// Entries are kept as d.NAME (directories) and o.NAME (objects), so a name
// can be anything and an upload in progress is no entry.
func (s *server) dirPath(n name) string {
	parts := []string{s.objects}
	for _, p := range n {
		parts = append(parts, "d."+url.PathEscape(p))
	}
	return filepath.Join(parts...)
}

func (s *server) objectPath(n name) string {
	return filepath.Join(s.dirPath(n.parent()), "o."+url.PathEscape(n[len(n)-1]))
}

func (s *server) isDir(n name) (bool, error) {
	if n.root() {
		return true, nil
	}
	info, err := os.Stat(s.dirPath(n))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.IsDir(), err
}

// open opens an object; fs.ErrNotExist if there is none.
func (s *server) open(n name) (*meta, io.ReadCloser, error) {
	f, err := os.Open(s.objectPath(n))
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReader(f)
	m := new(meta)
	line, err := r.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, m)
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("state of %s: %w", n, err)
	}
	return m, struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}

// parentCheck: the parent must be a directory.
func (s *server) parentCheck(n name) error {
	parent := n.parent()
	ok, err := s.isDir(parent)
	if err != nil || ok {
		return err
	}
	if _, err := os.Stat(s.objectPath(parent)); err == nil {
		return refuse("ParentNotDirectory", "%s is not a directory", parent)
	}
	return refuse("DirectoryDoesNotExist", "%s does not exist", parent)
}

func (s *server) mkdir(n name) error {
	if ok, err := s.isDir(n); err != nil || ok {
		return err
	}
	if n.parent().root() {
		if err := os.MkdirAll(s.dirPath(n.parent()), 0o755); err != nil {
			return err
		}
	}
	// As the real one seems to do, a directory takes an object's place.
	if err := os.Mkdir(s.dirPath(n), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Remove(s.objectPath(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// list returns the entries of a directory as one JSON line each, by name.
func (s *server) list(n name) (lines []string, err error) {
	entries, err := os.ReadDir(s.dirPath(n))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // an account's stor or public nobody wrote to
	}
	for _, e := range entries {
		kind, escaped, _ := strings.Cut(e.Name(), ".")
		base, uerr := url.PathUnescape(escaped)
		entry := map[string]any{"name": base, "type": "directory"}
		switch {
		case uerr != nil || kind != "d" && kind != "o":
			continue // an upload in progress
		case kind == "o":
			m, f, err := s.open(append(append(name{}, n...), base))
			if err != nil {
				return nil, err
			}
			f.Close()
			entry = map[string]any{"name": base, "type": "object", "etag": m.Etag, "size": m.Size, "mtime": m.Modified.UTC().Format("2006-01-02T15:04:05.000Z"),
				"contentType": m.Type, "contentMD5": m.MD5, "durability": m.Copies}
		}
		line, err := json.Marshal(entry)
		if err != nil {
			return nil, err
		}
		lines = append(lines, string(line)+"\n")
	}
	return lines, err
}
