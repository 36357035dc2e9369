package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/TritonDataCenter/engbld/tools/filelock"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// state is what the image server knows: the embedded images, and above them
// what changed, on disk. It is read anew for each request, since several
// sandboxes may share the directory; changes are made under one lock, each by
// a rename.
type state struct {
	data fs.FS  // images/UUID/...
	dir  string // UUID/record.json, UUID/file-SHA1, lock
}

// record is one image as the server holds it.
type record struct {
	Manifest  *imgmanifest.Manifest `json:"manifest"` // without what the fields below say
	Activated bool                  `json:"activated"`
	Disabled  bool                  `json:"disabled"`
	Channels  []string              `json:"channels"`
	File      *fileRecord           `json:"file,omitempty"`
	Deleted   bool                  `json:"deleted,omitempty"` // hides an embedded image
	Number    int                   `json:"number"`            // storage order; embedded images have 0
}

type fileRecord struct {
	imgmanifest.File
	MD5      string    `json:"md5"` // base64
	Modified time.Time `json:"modified"`
}

const recordName = "record.json"

func openState(data fs.FS, dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := &state{data: data, dir: dir}
	s.clean()
	return s, nil
}

// clean removes what servers that were killed left.
func (s *state) clean() {
	newfile.Sweep(s.dir)
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		if e.IsDir() {
			newfile.Sweep(filepath.Join(s.dir, e.Name()))
		}
	}
}

// lock keeps other changes out, also those of other processes.
func (s *state) lock(ctx context.Context) (unlock func(), err error) {
	l, err := filelock.Get(ctx, filepath.Join(s.dir, "lock"), nil)
	if err != nil {
		return nil, err
	}
	return l.Release, nil
}

// get returns an image; fs.ErrNotExist if there is none.
func (s *state) get(uuid string) (*record, error) {
	raw, err := os.ReadFile(filepath.Join(s.dir, uuid, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return s.embedded(uuid)
	}
	if err != nil {
		return nil, err
	}
	r := new(record)
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("state of image %s: %w", uuid, err)
	}
	if r.Deleted {
		return nil, fs.ErrNotExist
	}
	return r, nil
}

func (s *state) embedded(uuid string) (*record, error) {
	raw, err := fs.ReadFile(s.data, "images/"+uuid+"/manifest.json")
	if err != nil {
		return nil, err
	}
	m, err := imgmanifest.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", uuid, err)
	}
	r := &record{Manifest: m, Activated: m.State() == "active" || m.State() == "disabled",
		Disabled: m.State() == "disabled", Channels: m.Channels()}
	if files := m.Files(); len(files) == 1 {
		content, err := fs.ReadFile(s.data, "images/"+uuid+"/file.zfs.gz")
		if err != nil {
			return nil, err
		}
		r.File = &fileRecord{File: files[0], MD5: md5base64(content), Modified: published}
	}
	r.Manifest.Delete("state", "disabled", "channels", "files")
	return r, nil
}

func md5base64(content []byte) string {
	sum := md5.Sum(content)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// all returns every image, in the order they were added.
func (s *state) all() ([]*record, error) {
	names := make(map[string]bool)
	for _, list := range []func() ([]fs.DirEntry, error){
		func() ([]fs.DirEntry, error) { return fs.ReadDir(s.data, "images") },
		func() ([]fs.DirEntry, error) { return os.ReadDir(s.dir) },
	} {
		entries, err := list()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() && imgmanifest.ValidUUID(e.Name()) {
				names[e.Name()] = true
			}
		}
	}
	var all []*record
	for uuid := range names {
		r, err := s.get(uuid)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *record) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Manifest.UUID(), b.Manifest.UUID()))
	})
	return all, nil
}

// openFile opens an image's file.
func (s *state) openFile(r *record) (io.ReadCloser, error) {
	uuid := r.Manifest.UUID()
	f, err := os.Open(filepath.Join(s.dir, uuid, "file-"+r.File.SHA1))
	if errors.Is(err, fs.ErrNotExist) {
		return s.data.Open("images/" + uuid + "/file.zfs.gz")
	}
	return f, err
}

// put stores a record; the caller holds the lock.
func (s *state) put(r *record) error {
	if r.Number == 0 && !r.Deleted {
		if _, err := fs.Stat(s.data, "images/"+r.Manifest.UUID()+"/manifest.json"); err != nil {
			all, err := s.all()
			if err != nil {
				return err
			}
			r.Number = 1
			if len(all) > 0 {
				r.Number = all[len(all)-1].Number + 1
			}
		}
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, r.Manifest.UUID())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, recordName), bytes.NewReader(raw))
}

// remove deletes an image for good; the caller holds the lock.
func (s *state) remove(r *record) error {
	uuid := r.Manifest.UUID()
	if _, err := fs.Stat(s.data, "images/"+uuid+"/manifest.json"); err == nil {
		r.Deleted = true
		return s.put(r)
	}
	// The record goes first: without it the image is gone.
	if err := os.Remove(filepath.Join(s.dir, uuid, recordName)); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(s.dir, uuid))
}

// writeFile gives a file its name when it is complete.
func writeFile(name string, content io.Reader) error {
	return newfile.Fill(name, 0o600, func(f *os.File) error {
		_, err := io.Copy(f, content)
		return err
	})
}

// state returns the computed state (spec imgapi.md section 11).
func (r *record) state() string {
	switch {
	case !r.Activated:
		return "unactivated"
	case r.Disabled:
		return "disabled"
	}
	return "active"
}

// in says whether the image is in a channel; "*" is any.
func (r *record) in(channel string) bool {
	return channel == anyChannel || slices.Contains(r.Channels, channel)
}

// manifest returns what the server answers with. Channels are shown only to
// clients that know version 2 of the interface.
func (r *record) manifest(channels, admin bool) *imgmanifest.Manifest {
	m := r.Manifest.Clone()
	set := func(name string, v any) {
		if err := m.Set(name, v); err != nil {
			panic(err) // plain values only
		}
	}
	set("state", r.state())
	set("disabled", r.Disabled)
	if _, ok := m.Get("public"); !ok {
		set("public", false)
	}
	type storedFile struct {
		imgmanifest.File
		Stor string `json:"stor,omitempty"`
	}
	files := []storedFile{}
	if r.File != nil {
		f := storedFile{File: r.File.File}
		if admin {
			f.Stor = "local"
		}
		files = append(files, f)
	}
	set("files", files)
	if channels {
		set("channels", r.Channels)
	}
	if string(mustGet(m, "acl")) == "[]" {
		m.Delete("acl")
	}
	return m
}

func mustGet(m *imgmanifest.Manifest, name string) []byte {
	raw, _ := m.Get(name)
	return raw
}

// etag is the SHA-1 of a manifest as it is answered.
func etag(body []byte) string {
	sum := sha1.Sum(body)
	return hex.EncodeToString(sum[:])
}
