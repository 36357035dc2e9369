package sandbox

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

const maxImageFile = 20 << 30 // spec imgapi.md section 6

var sha1Parameter = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)

func download(format string, args ...any) error {
	return problem(http.StatusBadRequest, "Download", format, args...)
}

// fileParameters checks the query of both ways to add a file.
func (c *call) fileParameters() (f imgmanifest.File, err error) {
	q := c.r.URL.Query()
	f = imgmanifest.File{Compression: q.Get("compression"), SHA1: strings.ToLower(q.Get("sha1")), DatasetGUID: q.Get("dataset_guid")}
	switch {
	case f.Compression == "":
		return f, missingParameter("compression")
	case !slices.Contains(imgmanifest.Compressions(), f.Compression):
		return f, invalidParameter("compression", "invalid compression %q", f.Compression)
	case q.Has("sha1") && !sha1Parameter.MatchString(f.SHA1):
		return f, invalidParameter("sha1", "invalid sha1 %q", f.SHA1)
	}
	if s := q.Get("storage"); s != "" && s != "local" && s != "manta" {
		return f, invalidParameter("storage", "invalid storage %q", s)
	}
	return f, nil
}

// fileTarget finds the image that a file is to be added to.
func (c *call) fileTarget(uuid string) error {
	r, err := c.find(uuid, false)
	if err == nil && r.Activated {
		err = immutable(uuid)
	}
	return err
}

func immutable(uuid string) error {
	return problem(http.StatusUnprocessableEntity, "ImageFilesImmutable", "cannot modify files on activated image \"%s\"", uuid)
}

func (c *call) addFile(uuid string) error {
	f, err := c.fileParameters()
	if err == nil {
		err = c.fileTarget(uuid)
	}
	if err != nil {
		return err
	}
	if c.r.ContentLength > maxImageFile {
		return download("image file size, %d, exceeds the maximum allowed file size, 20 GiB", c.r.ContentLength)
	}
	return c.store(uuid, f, &upload{c})
}

// upload is a request's body. A client that goes away in the middle gets no
// answer; what came is dropped.
type upload struct{ c *call }

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.c.r.Body.Read(p)
	if err != nil && err != io.EOF {
		return n, errCut
	}
	return n, err
}

var errCut = errors.New("upload was cut")

func (c *call) addFileFromURL(uuid string) error {
	f, err := c.fileParameters()
	if err != nil {
		return err
	}
	raw, err := c.body()
	if err != nil {
		return err
	}
	var body struct {
		FileURL string `json:"file_url"`
	}
	if json.Unmarshal(raw, &body) != nil || body.FileURL == "" {
		return missingParameter("file_url")
	}
	u, err := url.Parse(body.FileURL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return invalidParameter("file_url", "invalid file_url: only https is supported")
	}
	if err := c.fileTarget(uuid); err != nil {
		return err
	}
	// The download goes on when the client does not wait for its end.
	req, err := http.NewRequestWithContext(c.changing(), http.MethodGet, u.String(), nil)
	if err != nil {
		return invalidParameter("file_url", "invalid file_url")
	}
	req.Header.Set("User-Agent", "sandbox image server")
	client := &http.Client{
		Transport:     c.remote,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		var wrapped *url.Error // holds the address, which may hold a signature
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return download("Error getting image: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return download("HTTP %d error attempting to download image", resp.StatusCode)
	}
	return c.store(uuid, f, resp.Body)
}

// store writes a file, checks it and adds it to its image.
func (c *call) store(uuid string, f imgmanifest.File, content io.Reader) error {
	dir := filepath.Join(c.state.dir, uuid)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := newfile.Create(filepath.Join(dir, "file"), 0o600)
	if err != nil {
		return err
	}
	defer temp.Discard()
	hash, sum := sha1.New(), md5.New()
	f.Size, err = io.Copy(io.MultiWriter(temp, hash, sum), io.LimitReader(content, maxImageFile+1))
	digest := hex.EncodeToString(hash.Sum(nil))
	switch {
	case errors.Is(err, errCut):
		c.die()
	case err != nil:
		return download("Error getting image: %v", err)
	case f.Size == 0:
		return download("empty file")
	case f.Size > maxImageFile:
		return download("image file exceeds the maximum allowed file size, 20 GiB")
	case f.SHA1 != "" && f.SHA1 != digest:
		return download("\"sha1\" hash, %s, does not match the uploaded file sha1 hash, %s", f.SHA1, digest)
	}
	f.SHA1 = digest
	if err := temp.Sync(); err != nil {
		return err
	}
	return c.change(uuid, func(r *record) error {
		if r.Activated {
			return immutable(uuid)
		}
		if err := os.Rename(temp.Name(), filepath.Join(dir, "file-"+digest)); err != nil {
			return fmt.Errorf("storing the file: %w", err)
		}
		if r.File != nil && r.File.SHA1 != digest {
			_ = os.Remove(filepath.Join(dir, "file-"+r.File.SHA1)) // it is only room
		}
		r.File = &fileRecord{File: f, MD5: base64.StdEncoding.EncodeToString(sum.Sum(nil)), Modified: c.now().UTC()}
		return nil
	})
}
