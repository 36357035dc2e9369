package lock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/redact"
)

// Inputs keeps files by their digest: sha256/HEX below a directory, or below an
// address that serves a copy of one. Images are found by image/UUID-SHA1.json,
// which names the digests of manifest and file. Only a directory can be added to.
// Nothing in it is trusted: everything that is taken is checked.
type Inputs struct {
	dir   string
	url   string
	cache *fetch.Cache // for url
	swept sync.Once    // of what killed runs left
}

// InputsOptions say how inputs on a web server are reached.
type InputsOptions struct {
	Client   *fetch.Client
	CacheDir string // downloads
	Offline  bool
}

// OpenInputs names a directory, which is made when something is put there, or an
// http or https address.
func OpenInputs(address string, o InputsOptions) (*Inputs, error) {
	if address == "" {
		return nil, fault.Usage.Errorf("inputs: empty address")
	}
	scheme, rest, ok := strings.Cut(address, "://")
	switch {
	case !ok:
		return &Inputs{dir: address}, nil
	case scheme == "file":
		return &Inputs{dir: rest}, nil
	case scheme == "http" || scheme == "https":
		return &Inputs{url: strings.TrimRight(address, "/"), cache: &fetch.Cache{Client: o.Client, Dir: o.CacheDir, Offline: o.Offline}}, nil
	}
	return nil, fault.WithHint(fault.Usage.Errorf("inputs %s: %s:// is not supported", redact.Address(address), scheme),
		"ENGBLD_INPUTS is a directory, or an http or https address")
}

// String is the place, without secrets.
func (in *Inputs) String() string {
	if in.dir != "" {
		return in.dir
	}
	return redact.Address(in.url)
}

// Remote tells whether the network is needed.
func (in *Inputs) Remote() bool { return in.dir == "" }

// Writable tells whether files can be put there.
func (in *Inputs) Writable() bool { return in.dir != "" }

func (in *Inputs) path(sum string) string { return filepath.Join(in.dir, "sha256", sum) }

// Get returns the path of the file with this digest, checked; fs.ErrNotExist where
// it is not there. One that is damaged is fault.Drift.
func (in *Inputs) Get(ctx context.Context, sum string, maxSize int64) (string, error) {
	if !sha256RE.MatchString(sum) {
		return "", fmt.Errorf("inputs: %q is no sha256", sum)
	}
	if in.dir == "" {
		path, _, err := in.cache.Get(ctx, in.url+"/sha256/"+sum, fetch.Expect{SHA256: sum, MaxSize: maxSize})
		return path, err
	}
	path := in.path(sum)
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	if err := fetch.Check(path, fetch.Expect{SHA256: sum, MaxSize: maxSize}); err != nil {
		return "", fault.WithHint(fault.Drift.Errorf("inputs: %w", err), "remove the file, and fill the place again: engbld lock --store FLAVOR")
	}
	return path, nil
}

// Has tells whether a file with this digest seems to be there, without the network
// and unread.
func (in *Inputs) Has(sum string) bool {
	if in.dir == "" || !sha256RE.MatchString(sum) {
		return false
	}
	_, err := os.Stat(in.path(sum))
	return err == nil
}

// Put stores a file whose digest is known, unless it is there.
func (in *Inputs) Put(ctx context.Context, path, sum string) error {
	if !in.Writable() {
		return fault.WithHint(fault.Usage.Errorf("inputs at %s can only be read", in), "set ENGBLD_INPUTS to the directory that is served there")
	}
	if _, err := in.Get(ctx, sum, 0); err == nil {
		return nil
	}
	src, err := os.Open(path)
	if err != nil {
		return fault.Step.Errorf("inputs: %w", err)
	}
	defer src.Close()
	if err := in.write(src, sum); err != nil {
		return fault.Step.Errorf("inputs: storing %s: %w", path, err)
	}
	return nil
}

// PutBytes stores a small file and returns its digest.
func (in *Inputs) PutBytes(ctx context.Context, b []byte) (string, error) {
	sum := sha256.Sum256(b)
	name := hex.EncodeToString(sum[:])
	if !in.Writable() {
		return "", fault.Usage.Errorf("inputs at %s can only be read", in)
	}
	if err := in.write(strings.NewReader(string(b)), name); err != nil {
		return "", fault.Step.Errorf("inputs: %w", err)
	}
	return name, nil
}

func (in *Inputs) write(src io.Reader, sum string) error {
	if err := os.MkdirAll(filepath.Join(in.dir, "sha256"), 0o777); err != nil {
		return err
	}
	in.swept.Do(func() { newfile.Sweep(filepath.Join(in.dir, "sha256")) })
	f, err := newfile.CreateSwept(in.path(sum), 0o644)
	if err != nil {
		return err
	}
	defer f.Discard()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), src); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("it has sha256 %s, not %s", got, sum)
	}
	return f.Commit()
}

// imageFiles are the digests of an image's two files.
type imageFiles struct {
	Manifest string `json:"manifest"`
	File     string `json:"file"`
}

func (in *Inputs) imageName(uuid, sha1 string) string { return "image/" + uuid + "-" + sha1 + ".json" }

// HasImage tells whether the image is there, its file unread.
func (in *Inputs) HasImage(ctx context.Context, uuid, sha1 string) bool {
	files, err := in.imageFiles(ctx, uuid, sha1)
	if err != nil {
		return false
	}
	if in.dir == "" {
		return true
	}
	_, err = os.Stat(in.path(files.File))
	return err == nil
}

func (in *Inputs) imageFiles(ctx context.Context, uuid, sha1 string) (*imageFiles, error) {
	name := in.imageName(uuid, sha1)
	path := filepath.Join(in.dir, filepath.FromSlash(name))
	if in.dir == "" {
		var err error
		if path, _, err = in.cache.Get(ctx, in.url+"/"+name, fetch.Expect{MaxSize: 4096}); err != nil {
			return nil, err
		}
	}
	raw, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	var files imageFiles
	if err := json.Unmarshal(raw, &files); err != nil {
		return nil, fault.Drift.Errorf("inputs: %s: %w", name, err)
	}
	return &files, nil
}

// PutImage stores an image's manifest and file.
func (in *Inputs) PutImage(ctx context.Context, m *imgmanifest.Manifest, file string) error {
	sum, err := sum256(file)
	if err != nil {
		return fault.Step.Errorf("inputs: %w", err)
	}
	if err := in.Put(ctx, file, sum); err != nil {
		return err
	}
	manifest, err := in.PutBytes(ctx, m.Encode())
	if err != nil {
		return err
	}
	raw, err := json.Marshal(imageFiles{manifest, sum})
	if err != nil {
		return err
	}
	path := filepath.Join(in.dir, filepath.FromSlash(in.imageName(m.UUID(), m.Files()[0].SHA1)))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fault.Step.Errorf("inputs: %w", err)
	}
	if err := newfile.Write(path, append(raw, '\n'), 0o644); err != nil {
		return fault.Step.Errorf("inputs: %w", err)
	}
	return nil
}

func sum256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ImageSource makes the images of a lock that the inputs hold a source for an
// image store (imgstore.Source).
func (in *Inputs) ImageSource(images []Image) *ImageSource {
	return &ImageSource{in, images}
}

// ImageSource finds images in inputs.
type ImageSource struct {
	in     *Inputs
	images []Image
}

// String names the source in messages.
func (s *ImageSource) String() string { return s.in.String() }

// Remote tells whether the network is needed.
func (s *ImageSource) Remote() bool { return s.in.Remote() }

const maxImage = 64 << 30 // bytes of an image's file

// Manifest returns the manifest of an image of the lock; fs.ErrNotExist if the
// inputs have none, or the image is not of the lock.
func (s *ImageSource) Manifest(ctx context.Context, uuid string) (*imgmanifest.Manifest, error) {
	files, err := s.files(ctx, uuid)
	if err != nil {
		return nil, err
	}
	path, err := s.in.Get(ctx, files.Manifest, imgmanifest.MaxSize)
	if err != nil {
		return nil, err
	}
	raw, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	return imgmanifest.Parse(raw)
}

// File returns the path of an image's file.
func (s *ImageSource) File(ctx context.Context, m *imgmanifest.Manifest, _ string) (string, error) {
	files, err := s.files(ctx, m.UUID())
	if err != nil {
		return "", err
	}
	return s.in.Get(ctx, files.File, maxImage)
}

func (s *ImageSource) files(ctx context.Context, uuid string) (*imageFiles, error) {
	for _, i := range s.images {
		if i.UUID == uuid {
			files, err := s.in.imageFiles(ctx, uuid, i.SHA1)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("image %s: %w", uuid, err)
			}
			return files, err
		}
	}
	return nil, fmt.Errorf("image %s is not of the lock: %w", uuid, fs.ErrNotExist)
}
