package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/redact"
)

// Cache keeps files that were fetched. A file is trusted only when its server
// says that it is current, or when its digest is asked for; content damaged on
// disk is noticed and fetched again.
//
// A Dir that may only be read does while nothing new comes: what is fetched to see
// whether it changed is in the default directory for temporary files then.
//
// Below Dir: content/SHA256 are the files, address/HASH.json what is known of
// each address. Several processes can use one directory; it can be deleted at
// any time when none runs.
type Cache struct {
	Client  *Client // nil: a default one
	Dir     string
	Offline bool // as if the client were

	swept sync.Once // of leftovers
}

// record is what is known of an address.
type record struct {
	Address string `json:"address"` // without secrets
	Info
}

// Get returns the path of the current content of url, fetched or found. Offline
// it returns what is there, unchecked for currency. want is checked always.
func (c *Cache) Get(ctx context.Context, url string, want Expect) (path string, info Info, err error) {
	content, address := filepath.Join(c.Dir, "content"), filepath.Join(c.Dir, "address")
	for _, dir := range []string{content, address} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", Info{}, fault.Step.Errorf("making the download cache: %w", err)
		}
	}
	c.swept.Do(func() { newfile.Sweep(address) })
	recordPath := filepath.Join(address, fmt.Sprintf("%x.json", sha256.Sum256([]byte(url))))
	client := c.Client
	if client == nil {
		client = &Client{}
	}
	offline := c.Offline || client.Offline
	old, ok := c.load(recordPath, want)
	oldPath := filepath.Join(content, old.SHA256)
	if ok && (offline || want.digested()) {
		return oldPath, old.Info, nil
	}
	if offline {
		return "", Info{}, failure(ctx, url, fmt.Errorf("not in the cache: %w", ErrOffline))
	}
	var cond http.Header
	if ok && old.ETag+old.LastModified != "" {
		cond = http.Header{}
		if old.ETag != "" {
			cond.Set("If-None-Match", old.ETag)
		}
		if old.LastModified != "" {
			cond.Set("If-Modified-Since", old.LastModified)
		}
	}
	spare := ""
	if ok {
		spare = os.TempDir()
	}
	d, err := client.download(ctx, url, content, spare, want, cond)
	if err != nil {
		return "", Info{}, err
	}
	defer d.drop()
	if d.same {
		return oldPath, old.Info, nil
	}
	if d.spared != nil {
		if d.info.SHA256 == old.SHA256 {
			return oldPath, d.info, nil
		}
		return "", Info{}, failure(ctx, url, fault.Step.Errorf("it has changed, but the download cache cannot be written: %w", d.spared))
	}
	path = filepath.Join(content, d.info.SHA256)
	if err := os.Rename(d.path(), path); err != nil {
		return "", Info{}, fault.Step.Errorf("fetching %s: %w", redact.Address(url), err)
	}
	if err := c.store(recordPath, record{redact.Address(url), d.info}); err != nil {
		return "", Info{}, fault.Step.Errorf("fetching %s: %w", redact.Address(url), err)
	}
	return path, d.info, nil
}

// load returns what is known of an address if its content is there, undamaged
// and what want says.
func (c *Cache) load(recordPath string, want Expect) (record, bool) {
	var r record
	raw, err := os.ReadFile(recordPath)
	if err != nil || json.Unmarshal(raw, &r) != nil || len(r.SHA256) != 2*sha256.Size || filepath.Base(r.SHA256) != r.SHA256 {
		return record{}, false
	}
	if want.SHA256 == "" {
		want.SHA256 = r.SHA256
	}
	if err := Check(filepath.Join(c.Dir, "content", r.SHA256), want); err != nil {
		return record{}, false
	}
	return r, true
}

// Check compares a file on disk with what it must be.
func Check(path string, want Expect) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := newChecker(&want)
	if _, err := io.Copy(sum, io.LimitReader(f, want.limit()+1)); err != nil {
		return err
	}
	if sum.size > want.limit() {
		return fmt.Errorf("%s has over %d bytes", path, want.limit())
	}
	if err := sum.check(); err != nil {
		return fmt.Errorf("%s %w", path, err)
	}
	return nil
}

// Usage returns how many files are kept, and their size in bytes.
func (c *Cache) Usage() (files int, bytes int64, err error) {
	err = c.kept(func(_ string, fi fs.FileInfo) error {
		files++
		bytes += fi.Size()
		return nil
	})
	return files, bytes, err
}

// Verify reads all that is kept and removes what was damaged on disk; it returns
// the paths of that.
func (c *Cache) Verify(ctx context.Context) (damaged []string, err error) {
	err = c.kept(func(path string, _ fs.FileInfo) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := Check(path, Expect{SHA256: filepath.Base(path)})
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		damaged = append(damaged, path)
		return os.Remove(path)
	})
	return damaged, err
}

// kept calls f for the files that are complete.
func (c *Cache) kept(f func(path string, fi fs.FileInfo) error) error {
	dir := filepath.Join(c.Dir, "content")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Step.Errorf("download cache: %w", err)
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || !fi.Mode().IsRegular() || len(e.Name()) != 2*sha256.Size {
			continue
		}
		if err := f(filepath.Join(dir, e.Name()), fi); err != nil {
			return fault.Step.Errorf("download cache: %w", err)
		}
	}
	return nil
}

// store writes a record.
func (c *Cache) store(path string, r record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := newfile.CreateSwept(path, 0o666)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(raw); err != nil {
		return err
	}
	return f.CommitLazily()
}
