package app

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/inspect"
	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/google/uuid"
)

// subjectHelp explains what the verbs about whole images take for one.
const subjectHelp = `

IMAGE is a flavor (its newest build in bits/), a directory (the newest build in
it), a manifest with its file beside it, a stream file (plain or compressed), or
the uuid of an image in bits/, in the cache or on the image server.`

// errNoBuild tells that a flavor was not built yet.
var errNoBuild = errors.New("no build of it")

// subject is an image that a command names, with what stands beside it.
type subject struct {
	o      *opener
	layers []dataset.Layer
	images []imgstore.Image // as layers; none for bare streams
	name   string           // of a bare stream

	manifest string // path of the manifest; "" where there is none on disk
	offline  bool   // the image server is not asked
}

// subject finds an image. Its files stay open until the opener is closed.
func (o *opener) subject(ctx context.Context, name string) (*subject, error) {
	return o.find(ctx, &subject{o: o, name: filepath.Base(name)}, name)
}

// atHand finds an image without asking the image server.
func (o *opener) atHand(ctx context.Context, name string) (*subject, error) {
	return o.find(ctx, &subject{o: o, name: filepath.Base(name), offline: true}, name)
}

func (o *opener) find(ctx context.Context, s *subject, name string) (*subject, error) {
	sandboxed := o.a.on("ENGBLD_SANDBOX")
	id, err := uuid.Parse(name)
	switch {
	case len(o.bases) > 0:
	case err == nil:
		s.manifest, _ = newest(o.a.ownManifests(), func(m *imgmanifest.Manifest) bool { return m.UUID() == id.String() && m.Sandbox() == sandboxed })
		return s, s.chain(ctx, id.String(), sandboxed)
	default:
		path := o.a.abs(name)
		fi, err := os.Stat(path)
		switch {
		case err == nil && fi.IsDir():
			dir, m := newest(manifestsIn(path, "*.imgmanifest"), func(*imgmanifest.Manifest) bool { return true })
			if s.manifest = dir; m != nil {
				return s, s.chain(ctx, m.UUID(), m.Sandbox())
			}
			// In a directory with a flavor's files, such as images.
			if set, err := o.a.flavors(); err != nil {
				return s, err
			} else if _, err := set.Lookup(filepath.Base(path)); err != nil {
				return s, fault.WithHint(fault.Usage.Errorf("%s holds no image's manifest", name), "name a manifest, an image file, a uuid, or a flavor")
			}
			return s, s.flavor(ctx, filepath.Base(path), sandboxed)
		case errors.Is(err, fs.ErrNotExist) && !strings.ContainsRune(name, filepath.Separator):
			return s, s.flavor(ctx, name, sandboxed)
		}
		if m := manifestBeside(path); m != nil {
			s.manifest = manifestPath(path)
			return s, s.chain(ctx, m.UUID(), m.Sandbox())
		}
	}
	s.layers, err = o.layers(ctx, name)
	return s, err
}

// flavor opens the newest build of a flavor.
func (s *subject) flavor(ctx context.Context, name string, sandboxed bool) error {
	path, m, err := s.o.a.newestBuild(name, sandboxed)
	if err != nil {
		return err
	}
	s.manifest = path
	return s.chain(ctx, m.UUID(), m.Sandbox())
}

// newestBuild finds the manifest of the newest build of a flavor.
func (a *app) newestBuild(name string, sandboxed bool) (string, *imgmanifest.Manifest, error) {
	set, err := a.flavors()
	if err != nil {
		return "", nil, err
	}
	f, err := set.Lookup(name)
	if err != nil {
		return "", nil, fault.WithHint(fault.Usage.Errorf("no such file, and %v", err), "name a manifest, an image file, a uuid, or one that is listed by: engbld flavor list")
	}
	path, m := newest(a.ownManifests(), manifestOf(f.Name, sandboxed))
	if m == nil {
		return "", nil, fault.WithHint(fault.Usage.Errorf("%s: %w in %s", f.Name, errNoBuild, a.bitsDir(a.top(), "")), "%s", a.buildHint(f.Name, sandboxed))
	}
	return path, m, nil
}

// buildHint tells how to come by a build of a flavor where there is none: maybe
// there is one, on the other side of the sandbox's border.
func (a *app) buildHint(flavor string, sandboxed bool) string {
	_, other := newest(a.ownManifests(), manifestOf(flavor, !sandboxed))
	switch {
	case other == nil:
		return "engbld image build " + flavor
	case sandboxed:
		return "those that are there are not of the sandbox: unset ENGBLD_SANDBOX"
	}
	return "those that are there are of the sandbox: set ENGBLD_SANDBOX=true"
}

// chain opens the image and all it is based on: own builds and the cache first,
// then the image server.
func (s *subject) chain(ctx context.Context, id string, sandboxed bool) error {
	a := s.o.a
	dirs := []string{a.bitsDir(a.top(), "")}
	if s.manifest != "" {
		dirs = append([]string{filepath.Dir(s.manifest)}, dirs...)
	}
	cache, err := a.imageCache(sandboxed)
	if err != nil {
		return err
	}
	store, err := imgstore.Open(imgstore.Options{CacheDir: cache, OwnDirs: dirs, Sandbox: sandboxed, Offline: true, Log: quietLog{a}, Now: a.env.Now})
	if err != nil {
		return err
	}
	images, err := store.Chain(ctx, id)
	if err != nil && !s.offline && sandboxed == a.on("ENGBLD_SANDBOX") {
		w, openErr := a.open(ctx, a.ui(), dirs...)
		if openErr != nil {
			return openErr
		}
		defer w.close()
		images, err = w.images.Chain(ctx, id)
	}
	if err != nil {
		return fault.WithHint(err, "build it, or on it, once, so that it is in bits/ or the cache")
	}
	for _, img := range images {
		f, err := img.Open()
		if err != nil {
			return err
		}
		s.o.files = append(s.o.files, f)
		s.layers = append(s.layers, dataset.Layer{R: f, Size: img.Size, Name: img.Manifest.NameVersion()})
	}
	s.images = images
	return nil
}

// survey reads the image.
func (s *subject) survey(ctx context.Context) (*survey.Image, error) {
	o := survey.Options{Name: s.name}
	if n := len(s.images); n > 0 {
		o.Name, o.Manifest = "", s.images[n-1].Manifest
	}
	if path := beside(s.manifest, ".pkgaudit"); path != "" {
		raw, err := bounded.ReadFile(path, maxBeside)
		if err != nil {
			return nil, fault.Step.Wrap(err)
		}
		o.Audit = raw
	}
	return s.read(ctx, s.layers, o)
}

// origin reads the image that this one is based on, nil where there is none.
func (s *subject) origin(ctx context.Context) (*survey.Image, error) {
	n := len(s.layers) - 1
	if n < 1 {
		return nil, nil
	}
	o := survey.Options{Name: s.layers[n-1].Name}
	if len(s.images) > 0 {
		o.Name, o.Manifest = "", s.images[n-1].Manifest
	}
	return s.read(ctx, s.layers[:n], o)
}

func (s *subject) read(ctx context.Context, layers []dataset.Layer, o survey.Options) (*survey.Image, error) {
	im, err := inspect.Open(ctx, layers, dataset.ReadOptions{Warn: s.o.a.ui()})
	if err != nil {
		return nil, err
	}
	if !s.o.whole {
		name := o.Name
		if o.Manifest != nil {
			name = o.Manifest.NameVersion()
		}
		if im, err = zone(im, name); err != nil {
			return nil, err
		}
	}
	sv, err := survey.Read(ctx, im.Tree, o)
	return sv, fault.Step.Wrap(err)
}

// maxBeside bounds what is read whole of files beside an image (bytes).
const maxBeside = 16 << 20

// beside is the path of the file with a manifest's name and another suffix, ""
// where there is none.
func beside(manifest string, suffixes ...string) string {
	stem := stemOf(manifest)
	if stem == "" {
		return ""
	}
	for _, suffix := range suffixes {
		if fi, err := os.Stat(stem + suffix); err == nil && fi.Mode().IsRegular() {
			return stem + suffix
		}
	}
	return ""
}

func stemOf(manifest string) string {
	for _, suffix := range []string{".imgmanifest", ".manifest"} {
		if stem, ok := strings.CutSuffix(manifest, suffix); ok {
			return stem
		}
	}
	return ""
}

// manifestPath is the manifest of an image file, or name where it is one.
func manifestPath(name string) string {
	for _, suffix := range imageSuffixes() {
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			for _, m := range []string{".imgmanifest", ".manifest"} {
				if _, err := os.Stat(stem + m); err == nil {
					return stem + m
				}
			}
		}
	}
	return name
}

func imageSuffixes() []string { return []string{".zfs.gz", ".zfs.bz2", ".zfs.xz", ".zfs"} }

// ownManifests lists the manifests of own builds.
func (a *app) ownManifests() []string {
	return manifestsIn(a.bitsDir(a.top(), ""), "*.imgmanifest", "*/*.imgmanifest")
}

func manifestsIn(dir string, patterns ...string) (list []string) {
	for _, pattern := range patterns {
		names, _ := fs.Glob(os.DirFS(dir), pattern) // the patterns are good
		for _, n := range names {
			list = append(list, filepath.Join(dir, n))
		}
	}
	return list
}

// newest is the last published of the manifests that want accepts.
func newest(paths []string, want func(*imgmanifest.Manifest) bool) (string, *imgmanifest.Manifest) {
	type found struct {
		path string
		m    *imgmanifest.Manifest
		time int64
	}
	var list []found
	for _, p := range paths {
		if m := manifestBeside(p); m != nil && want(m) {
			fi, err := os.Stat(p)
			if err == nil {
				list = append(list, found{p, m, fi.ModTime().UnixNano()})
			}
		}
	}
	if len(list) == 0 {
		return "", nil
	}
	last := slices.MaxFunc(list, func(a, b found) int {
		return cmp.Or(strings.Compare(a.m.PublishedAt(), b.m.PublishedAt()), cmp.Compare(a.time, b.time), strings.Compare(a.path, b.path))
	})
	return last.path, last.m
}

// quietLog tells of warnings only: where an image came from is no news to one
// who looks into it.
type quietLog struct{ a *app }

func (l quietLog) Infof(format string, args ...any) { l.a.ui().Detailf(format, args...) }
func (l quietLog) Warnf(format string, args ...any) { l.a.ui().Warnf(format, args...) }
