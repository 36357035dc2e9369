package imgstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// Log takes the story of what the store does, for people.
type Log interface {
	Infof(format string, args ...any)
	Warnf(format string, args ...any)
}

// Options say where images are looked for.
type Options struct {
	CacheDir string   // made if missing; one for sandbox builds, another for real ones
	Sources  []Source // asked in this order
	OwnDirs  []string // bits directories: DIR/*.imgmanifest and DIR/*/*.imgmanifest with their files
	Sandbox  bool     // the build runs in the sandbox: of own builds, only those with its mark are seen; otherwise images with the mark are refused
	Offline  bool     // ask no source that needs the network

	// Marked takes images with the sandbox's mark also in a real build: the
	// user named a source that has them. Give such a store a cache of its own.
	Marked bool

	Log Log              // nil is silent
	Now func() time.Time // nil is time.Now
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
	SHA256   string // of the stream, lower-case hex
	From     string // where it was found, for people: "cache", a directory, a server
}

// Open opens the image's stream for reading; os.File is an io.ReaderAt.
func (i Image) Open() (*os.File, error) { return os.Open(i.Path) }

// Layer is the opened image as a layer of a dataset; what is found out about
// the chain is kept in the cache, beside the stream.
func (i Image) Layer(f *os.File) dataset.Layer {
	l := dataset.Layer{R: f, Size: i.Size, Name: i.Manifest.NameVersion(), Digest: i.SHA256}
	if base, ok := strings.CutSuffix(i.Path, streamEnd); ok {
		l.Index = base + indexEnd
	}
	return l
}

// Store finds images. It is safe for concurrent use.
type Store struct {
	opts Options
}

const maxChain = 100 // spec imgapi.md section 8

// Open makes the cache directory and cleans up what builds that were killed
// left in it.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = silent{}
	}
	if o.CacheDir == "" {
		return nil, fault.Defect.Errorf("image store: no cache directory given")
	}
	s := &Store{opts: o}
	for _, dir := range []string{s.streams(), s.own(), s.parts(), s.locks()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fault.Step.Errorf("image cache: %w", err)
		}
	}
	s.clean()
	return s, nil
}

func (s *Store) streams() string { return filepath.Join(s.opts.CacheDir, "streams") }
func (s *Store) own() string     { return filepath.Join(s.opts.CacheDir, "own") }
func (s *Store) parts() string   { return filepath.Join(s.opts.CacheDir, "parts") }
func (s *Store) locks() string   { return filepath.Join(s.opts.CacheDir, "locks") }

type silent struct{}

func (silent) Infof(string, ...any) {}
func (silent) Warnf(string, ...any) {}

// located is an image that was found, and how to get its file.
type located struct {
	manifest *imgmanifest.Manifest
	file     imgmanifest.File
	from     string
	entry    *entry                                                // in the cache already, else nil
	get      func(ctx context.Context, dst string) (string, error) // the file, elsewhere
}

// Manifest returns an image's manifest, without its file.
func (s *Store) Manifest(ctx context.Context, uuid string) (*imgmanifest.Manifest, error) {
	l, err := s.locate(ctx, uuid, true)
	if err != nil {
		return nil, err
	}
	return l.manifest, nil
}

// Chain returns the image and all its origins, the first one being the one
// without an origin, with verified streams in the cache.
func (s *Store) Chain(ctx context.Context, uuid string) ([]Image, error) {
	var chain []*located
	for next := uuid; next != ""; {
		if slices.ContainsFunc(chain, func(l *located) bool { return l.manifest.UUID() == next }) {
			return nil, fault.Network.Errorf("base image %s: its origins lead back to %s", uuid, next)
		}
		if len(chain) == maxChain {
			return nil, fault.Network.Errorf("base image %s: more than %d origins", uuid, maxChain)
		}
		l, err := s.locate(ctx, next, true)
		if err != nil {
			if next != uuid {
				err = fmt.Errorf("origin of %s: %w", chain[len(chain)-1].manifest.UUID(), err)
			}
			return nil, err
		}
		chain = append(chain, l)
		next = l.manifest.Origin()
	}
	slices.Reverse(chain)
	images := make([]Image, len(chain))
	for i, l := range chain {
		var err error
		if images[i], err = s.provide(ctx, l); err != nil {
			return nil, err
		}
	}
	return images, nil
}

// locate finds an image: own builds, cache (if wanted), sources.
func (s *Store) locate(ctx context.Context, uuid string, cached bool) (*located, error) {
	if !imgmanifest.ValidUUID(uuid) {
		return nil, fault.Usage.Errorf("base image %q: not a uuid (lower-case hex, 8-4-4-4-12)", uuid)
	}
	if l, err := s.findOwn(ctx, uuid); l != nil || err != nil {
		return l, err
	}
	if cached {
		if e := s.findEntry(uuid, ""); e != nil {
			l := &located{manifest: e.Manifest, file: e.file(), from: "cache", entry: e}
			return l, s.admit(l)
		}
	}
	return s.ask(ctx, uuid)
}

// ask asks the sources.
func (s *Store) ask(ctx context.Context, uuid string) (*located, error) {
	var failure error
	var asked []string
	for _, src := range s.opts.Sources {
		if src.Remote() && s.opts.Offline {
			failure = errors.Join(failure, fault.Network.Errorf("%s was not asked: ENGBLD_OFFLINE is set", src))
			continue
		}
		m, err := src.Manifest(ctx, uuid)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist):
			asked = append(asked, src.String())
			continue
		case err != nil:
			if failure == nil {
				failure = err
			}
			continue
		}
		l := &located{manifest: m, from: src.String()}
		l.get = func(ctx context.Context, dst string) (string, error) { return src.File(ctx, m, dst) }
		if err := s.check(l, uuid); err != nil {
			return nil, fault.Network.Errorf("base image %s from %s: %w", uuid, src, err)
		}
		return l, s.admit(l)
	}
	if failure == nil {
		where := "no source is set"
		if len(asked) > 0 {
			where = "not in " + strings.Join(asked, ", ")
		}
		failure = fault.Network.Errorf("base image %s: %s", uuid, where)
	} else {
		failure = fault.Network.Errorf("base image %s: %w", uuid, failure)
	}
	return nil, fault.WithHint(failure, "%s", s.hint())
}

func (s *Store) hint() string {
	remote := slices.ContainsFunc(s.opts.Sources, Source.Remote)
	if s.opts.Marked && !remote {
		return "look into that source, or unset ENGBLD_IMAGE_SOURCE for the usual one"
	}
	if s.opts.Offline && remote {
		return "unset ENGBLD_OFFLINE, or run this once with the network to fill the cache"
	}
	if s.opts.Sandbox && !s.opts.Marked {
		return "the sandbox holds no released images, only what flavors build on: make FLAVOR-buildimage (in a component: make -C deps/eng FLAVOR-buildimage) makes one there, and make BASE_IMAGE_UUID=UUID builds on it"
	}
	return "without that server: ENGBLD_SANDBOX=true builds from made-up stand-ins, ENGBLD_IMAGE_SOURCE=DIR takes manifest and file from a directory"
}

// check looks at a manifest from outside: the right image, usable, with
// exactly one file.
func (s *Store) check(l *located, uuid string) error {
	m := l.manifest
	if m.UUID() != uuid {
		return fmt.Errorf("the manifest is of image %q", m.UUID())
	}
	if state := m.State(); state != "" && state != "active" {
		return fmt.Errorf("the image is %s, not active", state)
	}
	if o := m.Origin(); o != "" && !imgmanifest.ValidUUID(o) {
		return fmt.Errorf("the manifest's origin %q is no uuid", o)
	}
	files := m.Files()
	if len(files) != 1 {
		return fmt.Errorf("the manifest has %d files, not 1", len(files))
	}
	l.file = files[0]
	switch {
	case !imgmanifest.ValidSHA1(l.file.SHA1):
		return fmt.Errorf("the manifest's sha1 %q is none", l.file.SHA1)
	case l.file.Size <= 0 || l.file.Size > maxStream:
		return fmt.Errorf("the manifest's file size %d is out of range", l.file.Size)
	case !slices.Contains(imgmanifest.Compressions(), l.file.Compression):
		return fmt.Errorf("the manifest's compression %q is unknown", l.file.Compression)
	}
	return nil
}

// admit keeps images of the sandbox out of real builds.
func (s *Store) admit(l *located) error {
	if s.opts.Sandbox || s.opts.Marked || !l.manifest.Sandbox() {
		return nil
	}
	return fault.WithHint(fault.Policy.Errorf("base image %s (%s, from %s) was made in the sandbox: its contents are made up",
		l.manifest.UUID(), l.manifest.NameVersion(), l.from),
		"set ENGBLD_SANDBOX=true to build on it, or use another base image")
}

// provide returns an image's stream, made and verified if it is not there.
func (s *Store) provide(ctx context.Context, l *located) (Image, error) {
	uuid := l.manifest.UUID()
	if e := s.usable(uuid, l.file.SHA1); e != nil {
		return e.image(l.from), nil
	}
	unlock, err := s.lock(ctx, uuid)
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	// Another build may have made it while this one waited.
	if e := s.usable(uuid, l.file.SHA1); e != nil {
		return e.image(l.from), nil
	}
	if l.get == nil { // it was in the cache, but is damaged or gone
		s.opts.Log.Warnf("image %s: damaged in the cache, getting it again", uuid)
		sha1 := l.file.SHA1
		if l, err = s.locate(ctx, uuid, false); err != nil {
			return Image{}, fmt.Errorf("image %s is damaged in the cache: %w", uuid, err)
		}
		if l.file.SHA1 != sha1 {
			return Image{}, fault.Network.Errorf("base image %s: %s has another file (sha1 %s) than the one used before (%s)",
				uuid, l.from, l.file.SHA1, sha1)
		}
	}
	e, err := s.obtain(ctx, l)
	if err != nil {
		return Image{}, err
	}
	return e.image(l.from), nil
}
