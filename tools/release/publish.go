package release

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// Image is one image to be published.
type Image struct {
	Manifest *imgmanifest.Manifest
	File     imgapi.Content
}

// Log is told what happens; nil functions are silent.
type Log struct {
	Infof, Warnf func(format string, args ...any)
}

func (l Log) infof(format string, args ...any) {
	if l.Infof != nil {
		l.Infof(format, args...)
	}
}

func (l Log) warnf(format string, args ...any) {
	if l.Warnf != nil {
		l.Warnf(format, args...)
	}
}

// waiting is what imgapi.Options.Waiting wants.
func (l Log) waiting(why error, pause time.Duration) {
	l.warnf("%v; once more in %v", why, pause)
}

// Publish brings images into the client's channel. Before anything is sent,
// all is looked at: the server must be one for them, and each origin must be
// there or among the images. Origins that are in other channels only are added
// to this one first.
func Publish(ctx context.Context, c *imgapi.Client, images []Image, log Log) error {
	images, err := originsFirst(images)
	if err != nil {
		return err
	}
	ours := make(map[string]bool)
	var origins []string
	for _, img := range images {
		if err := img.Manifest.Validate(); err != nil {
			return fault.Usage.Wrap(err)
		}
		if err := c.CheckSandbox(ctx, img.Manifest); err != nil {
			return err
		}
		ours[img.Manifest.UUID()] = true
		if o := img.Manifest.Origin(); o != "" && !ours[o] && !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
	}
	steps, err := originSteps(ctx, c, origins)
	if err != nil {
		return err
	}
	if err := Add(ctx, c, steps, func(s Step) {
		if !s.Done {
			log.infof("origin %s", s)
		}
	}); err != nil {
		return err
	}
	for _, img := range images {
		name := img.Manifest.UUID() + " (" + img.Manifest.NameVersion() + ")"
		done := true
		m, err := c.Publish(ctx, imgapi.Publication{
			Manifest: img.Manifest, File: img.File,
			Imported:  func(*imgmanifest.Manifest) { done = false; log.infof("imported image %s", name) },
			FileAdded: func(*imgmanifest.Manifest) { done = false; log.infof("added the file of image %s", name) },
			Activated: func(*imgmanifest.Manifest) { done = false },
			Warnf:     log.warnf,
		})
		if err != nil {
			return fmt.Errorf("publishing %s: %w", img.Manifest.NameVersion(), err)
		}
		if done {
			log.infof("image %s is on %s already, in %s", name, c.Server(), strings.Join(m.Channels(), ", "))
		} else {
			log.infof("published image %s on %s, in %s", name, c.Server(), strings.Join(m.Channels(), ", "))
		}
	}
	return nil
}

// originSteps plans the completion of chains. A server without channels needs none,
// but the origins must be there.
func originSteps(ctx context.Context, c *imgapi.Client, origins []string) ([]Step, error) {
	if len(origins) == 0 {
		return nil, nil
	}
	channel := c.Channel()
	if channel == "" {
		list, err := c.Channels(ctx)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		i := slices.IndexFunc(list, func(ch imgapi.Channel) bool { return ch.Default })
		if i < 0 {
			for _, o := range origins {
				if _, err := Chain(ctx, c, o); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}
		channel = list[i].Name
	}
	steps, err := PlanAdd(ctx, c, origins, "", []string{channel})
	return steps, originMissing(err, origins[0])
}

// originMissing says of an error that tells of a missing image that it is needed.
func originMissing(err error, origin string) error {
	var e *imgapi.Error
	if errors.As(err, &e) && errors.Is(err, fs.ErrNotExist) {
		return fault.WithHint(fmt.Errorf("the origin of what is to be published must be there first: %w", err), "engbld release prereq %s", origin)
	}
	return err
}

// originsFirst sorts images so that origins come before what needs them.
func originsFirst(images []Image) ([]Image, error) {
	byUUID := make(map[string]*Image)
	for i := range images {
		byUUID[images[i].Manifest.UUID()] = &images[i]
	}
	var out []Image
	state := make(map[string]int) // 1: on the way, 2: in out
	var visit func(img *Image) error
	visit = func(img *Image) error {
		uuid := img.Manifest.UUID()
		switch state[uuid] {
		case 1:
			return fault.Usage.Errorf("image %s is among its own origins", uuid)
		case 2:
			return nil
		}
		state[uuid] = 1
		if o := byUUID[img.Manifest.Origin()]; o != nil {
			if err := visit(o); err != nil {
				return err
			}
		}
		state[uuid] = 2
		out = append(out, *img)
		return nil
	}
	for i := range images {
		if err := visit(&images[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// signer is a store whose files can be fetched with a signed address.
type signer interface {
	Presign(name string, lifetime time.Duration) (string, error)
}

// lifetime of a signed address, made for one attempt to transfer one file: the
// server may take an hour for it.
const lifetime = 2 * time.Hour

var suffixes = []struct{ suffix, compression string }{
	{".zfs.gz", "gzip"}, {".sh", "none"}, {".tgz", "gzip"}, {".tar.gz", "gzip"},
}

// fileOf is the index in suffixes of the file that belongs to a manifest, -1 where
// there is none.
func fileOf(prefix string, have func(name string) bool) int {
	return slices.IndexFunc(suffixes, func(s struct{ suffix, compression string }) bool { return have(prefix + s.suffix) })
}

// Promises says of the image files of an upload what the manifests beside them
// say, and of those manifests that they stay as they are: another build may
// replace all of them meanwhile. For bits.Request. What is no manifest is passed over.
func Promises(files []bits.File) map[string]bits.Promise {
	have := make(map[string]bool)
	for _, f := range files {
		have[f.Name] = true
	}
	promises := make(map[string]bits.Promise)
	for _, f := range files {
		prefix, ok := cutManifest(f.Name)
		i := fileOf(prefix, func(name string) bool { return have[name] })
		if !ok || i < 0 {
			continue
		}
		m, raw, err := readManifest(f.Path)
		if err != nil || len(m.Files()) != 1 {
			continue
		}
		promises[f.Name] = bits.Promise{SHA1: fmt.Sprintf("%x", sha1.Sum(raw)), Size: int64(len(raw))}
		promises[prefix+suffixes[i].suffix] = bits.Promise{SHA1: m.Files()[0].SHA1, Size: m.Files()[0].Size, By: f.Path}
	}
	return promises
}

// FromUpload finds the images of an upload: each file whose name ends in
// manifest, and beside it a file of the same prefix (spec engbld-interface.md
// section 4.1). One without file or uuid is skipped with a warning. Files in a
// store with https: addresses are fetched from there by the server, others are
// sent from this machine.
func FromUpload(store bits.Store, res *bits.Result, log Log) ([]Image, error) {
	files := make(map[string]bits.Uploaded)
	for _, f := range res.Files {
		files[f.Name] = f
	}
	var images []Image
	for _, f := range res.Files {
		prefix, ok := cutManifest(f.Name)
		if !ok {
			continue
		}
		m, _, err := readManifest(f.Path)
		if err != nil {
			return nil, err
		}
		if m.UUID() == "" {
			log.warnf("%s has no uuid, nothing is published for it", f.Name)
			continue
		}
		i := fileOf(prefix, func(name string) bool { _, ok := files[name]; return ok })
		if i < 0 {
			log.warnf("there is no image file for %s, nothing is published for it", f.Name)
			continue
		}
		image := files[prefix+suffixes[i].suffix]
		content, err := LocalContent(m, image.Path, suffixes[i].compression)
		if err != nil {
			return nil, err
		}
		if s, ok := store.(signer); ok {
			presign := func() (string, error) { return s.Presign(image.As, lifetime) }
			u, err := presign()
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(u, "https:") {
				content.Open, content.URL, content.Renew = nil, u, presign
			}
		}
		images = append(images, Image{m, content})
	}
	return images, nil
}

func cutManifest(name string) (prefix string, ok bool) {
	for _, s := range []string{".imgmanifest", ".manifest", "-imgmanifest", "-manifest", "manifest"} {
		if prefix, ok := strings.CutSuffix(name, s); ok {
			return prefix, true
		}
	}
	return "", false
}

// readManifest reads an image manifest from a file; raw is as it stands there.
func readManifest(name string) (m *imgmanifest.Manifest, raw []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fault.Usage.Errorf("reading a manifest: %w", err)
	}
	defer f.Close()
	raw, err = io.ReadAll(io.LimitReader(f, imgmanifest.MaxSize+1))
	if err != nil {
		return nil, nil, fault.Step.Errorf("reading a manifest: %w", err)
	}
	m, err = imgmanifest.Parse(raw)
	if err != nil {
		return nil, nil, fault.Usage.Errorf("%s: %w", name, err)
	}
	return m, raw, nil
}

// LocalContent describes a file of this machine, for imgapi.Publication. The
// manifest's size and digest must be the file's, where it has them
// (fault.Drift); its compression then beats the given one.
func LocalContent(m *imgmanifest.Manifest, name, compression string) (c imgapi.Content, err error) {
	f, err := os.Open(name)
	if err != nil {
		return c, fault.Usage.Errorf("file of image %s: %w", m.UUID(), err)
	}
	defer f.Close()
	h := sha1.New()
	if c.Size, err = io.Copy(h, f); err != nil {
		return c, fault.Step.Errorf("reading %s: %w", name, err)
	}
	c.SHA1, c.Compression = hex.EncodeToString(h.Sum(nil)), compression
	if files := m.Files(); len(files) == 1 {
		if f := files[0]; f.SHA1 != "" && f.SHA1 != c.SHA1 || f.Size != 0 && f.Size != c.Size {
			return c, fault.WithHint(fault.Drift.Errorf("%s is not the file that the manifest of image %s describes", name, m.UUID()), "build the image again")
		}
		c.Compression, c.DatasetGUID = cmp.Or(files[0].Compression, compression), files[0].DatasetGUID
	}
	c.Open = func() (io.ReadCloser, error) { return os.Open(name) }
	return c, nil
}
