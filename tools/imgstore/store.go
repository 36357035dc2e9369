package imgstore

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// Log takes the story of what the store does, for people.
type Log interface {
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
}

// Options say where images are looked for.
type Options struct {
	CacheDir string           // made if missing; one for sandbox images, another for real ones
	Sources  []Source         // asked in this order
	OwnDirs  []string         // bits directories: DIR/*.imgmanifest and DIR/*/*.imgmanifest with their files
	Sandbox  bool             // take only images with the sandbox's mark; otherwise only those without
	Offline  bool             // ask no source that needs the network
	Log      Log              // nil is silent
	Now      func() time.Time // nil is time.Now
}

// Source is a place that holds images besides own builds and cache.
type Source interface {
	// String names the source in messages.
	String() string
	// Remote says whether it needs the network.
	Remote() bool
	// Manifest returns the manifest of an active image; fs.ErrNotExist if the
	// source has none.
	Manifest(ctx context.Context, uuid string) (*imgmanifest.Manifest, error)
	// File puts the image's file at dst, or returns the path of a file that may
	// be read in place. The store checks what it gets.
	File(ctx context.Context, m *imgmanifest.Manifest, dst string) (path string, err error)
}

// Image is one image of a chain, ready to be read.
type Image struct {
	Manifest *imgmanifest.Manifest
	Path     string // the decompressed stream; only for reading
	Size     int64  // of the stream, bytes
	FileSize int64  // of the image file as published, bytes
	SHA1     string // of the image file as published, lower-case hex
	From     string // where it was found, for people: "cache", a directory, a server
}

// Open opens the image's stream for reading; os.File is an io.ReaderAt.
func (i Image) Open() (*os.File, error) { return os.Open(i.Path) }

// Store finds images. It is safe for concurrent use.
type Store struct {
	opts Options
}

// Open makes the cache directory and cleans up what builds that were killed
// left in it.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{opts: o}, nil
}

// Manifest returns an image's manifest, without its file.
func (s *Store) Manifest(ctx context.Context, uuid string) (*imgmanifest.Manifest, error) {
	return nil, errors.ErrUnsupported
}

// Chain returns the image and all its origins, the first one being the one
// without an origin, with verified streams in the cache.
func (s *Store) Chain(ctx context.Context, uuid string) ([]Image, error) {
	return nil, errors.ErrUnsupported
}

// Register records an own build, so that builds in other checkouts find it by
// its uuid. The file is linked, or copied where it cannot be.
func (s *Store) Register(ctx context.Context, manifestPath, filePath string) error {
	return errors.ErrUnsupported
}
