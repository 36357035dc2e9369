package imgstore

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imagefile"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

const (
	maxStream   = 256 << 30 // bytes; the largest images that are published have some GiB
	maxGrowth   = 200       // stream to file; text compresses 10 times, empty blocks some hundred
	freeGrowth  = 64 << 20  // bytes any stream may have
	maxSidecar  = 2 << 20   // a manifest and some fields
	tempPrefix  = ".engbld-"
	streamEnd   = ".stream"
	sidecarEnd  = ".json"
	indexEnd    = ".index"
	keepPartFor = 7 * 24 * time.Hour
)

// entry is a stream in the cache, as its sidecar file describes it. The
// sidecar is written last, so an entry that has one is complete.
type entry struct {
	Manifest   *imgmanifest.Manifest `json:"manifest"`
	StreamSize int64                 `json:"stream_size"`
	SHA256     string                `json:"stream_sha256"`
	Modified   time.Time             `json:"stream_modified"` // when it changes, the stream is read again

	stream, sidecar string // paths
}

func (e *entry) file() imgmanifest.File { return e.Manifest.Files()[0] }

func (e *entry) image(from string) Image {
	return Image{Manifest: e.Manifest, Path: e.stream, Size: e.StreamSize, FileSize: e.file().Size,
		SHA1: e.file().SHA1, SHA256: e.SHA256, From: from}
}

// findEntry returns the cache's entry for an image; an empty sha1 is any. It
// reads the sidecar only.
func (s *Store) findEntry(uuid, sha1 string) *entry {
	for _, e := range s.entries(uuid + "-" + cmp.Or(sha1, "*")) {
		if e.Manifest.UUID() == uuid {
			return e
		}
	}
	return nil
}

// entries returns the readable entries whose names fit a pattern, sorted.
func (s *Store) entries(pattern string) (list []*entry) {
	names, err := filepath.Glob(filepath.Join(globEscape(s.streams()), pattern+sidecarEnd))
	if err != nil {
		return nil
	}
	slices.Sort(names)
	for _, name := range names {
		if e := readEntry(name); e != nil {
			list = append(list, e)
		}
	}
	return list
}

// globEscape makes a directory's name safe inside a pattern.
func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// readEntry reads a sidecar; nil if it is unusable.
func readEntry(sidecar string) *entry {
	raw, err := bounded.ReadFile(sidecar, maxSidecar)
	if err != nil {
		return nil
	}
	e := &entry{sidecar: sidecar, stream: strings.TrimSuffix(sidecar, sidecarEnd) + streamEnd}
	if json.Unmarshal(raw, e) != nil || e.Manifest == nil {
		return nil
	}
	files := e.Manifest.Files()
	if len(files) != 1 || filepath.Base(sidecar) != e.Manifest.UUID()+"-"+files[0].SHA1+sidecarEnd {
		return nil
	}
	return e
}

// usable returns the entry of an image if its stream looks as it did when it
// was made: same size, same time of change, or else same digest.
func (s *Store) usable(uuid, sha1 string) *entry {
	e := s.findEntry(uuid, sha1)
	if e == nil {
		return nil
	}
	info, err := os.Stat(e.stream)
	if err != nil || info.Size() != e.StreamSize {
		return nil
	}
	if !info.ModTime().Equal(e.Modified) {
		if sum, err := fileSHA256(context.Background(), e.stream); err != nil || sum != e.SHA256 {
			return nil
		}
		e.Modified = info.ModTime()
		_ = e.write() // next time it is read again
	}
	s.touch(e)
	return e
}

// touch notes when an entry was last used, for Prune.
func (s *Store) touch(e *entry) {
	now := s.opts.Now()
	_ = os.Chtimes(e.sidecar, now, now)
}

func (e *entry) write() error {
	raw, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(e.sidecar, bytes.NewReader(append(raw, '\n')))
}

// obtain gets an image's file, checks it and puts its stream into the cache. The
// caller holds the image's lock.
func (s *Store) obtain(ctx context.Context, l *located) (*entry, error) {
	uuid := l.manifest.UUID()
	s.opts.Log.Infof("image %s (%s): getting %d bytes from %s", uuid, l.manifest.NameVersion(), l.file.Size, l.from)
	part := filepath.Join(s.parts(), tempPrefix+uuid+"-"+l.file.SHA1)
	path, err := l.get(ctx, part)
	if err != nil {
		err = fmt.Errorf("base image %s: %w", uuid, err)
		if fault.KindOf(err) == fault.Network {
			err = fault.WithHint(err, "%s", s.hint())
		}
		return nil, err
	}
	if path == part {
		defer os.Remove(part)
	}
	base := filepath.Join(s.streams(), uuid+"-"+l.file.SHA1)
	e := &entry{Manifest: l.manifest, stream: base + streamEnd, sidecar: base + sidecarEnd}
	if err := s.unpack(ctx, e, path, l.file); err != nil {
		return nil, fmt.Errorf("image %s from %s: %w", uuid, l.from, err)
	}
	s.touch(e)
	return e, nil
}

// unpack decompresses an image file to a temporary name, checks the file, and
// names stream and sidecar.
func (s *Store) unpack(ctx context.Context, e *entry, path string, want imgmanifest.File) error {
	in, err := os.Open(path)
	if err != nil {
		return fault.Step.Wrap(err)
	}
	defer in.Close()
	out, err := os.CreateTemp(s.streams(), tempPrefix+e.Manifest.UUID()+"-*")
	if err != nil {
		return fault.Step.Wrap(err)
	}
	defer os.Remove(out.Name()) // gone already if all went well
	defer out.Close()           // closed already if all went well

	// Decompressing is the slowest part; what is done with the stream is done
	// beside it, each byte once.
	hash := sha256.New()
	tasks := []task{func(r io.Reader) error { _, err := io.Copy(hash, r); return err }}
	tasks = append(tasks, func(r io.Reader) error { return store(out, r) })
	var index *dataset.Index
	if e.Manifest.Origin() == "" {
		tasks = append(tasks, func(r io.Reader) error {
			index, _ = dataset.Scan(ctx, r) // what is wrong with it, dataset.Read says
			return nil
		})
	}
	spread := newSpread(tasks...)
	size, err := expand(ctx, spread, in, want)
	if failed := (*taskError)(nil); errors.As(spread.Close(), &failed) && err == nil {
		err = failed.err
	}
	if err != nil {
		return err
	}
	e.StreamSize, e.SHA256 = size, hex.EncodeToString(hash.Sum(nil))
	if err := errors.Join(out.Chmod(0o444), out.Sync(), out.Close()); err != nil {
		return fault.Step.Wrap(err)
	}
	info, err := os.Stat(out.Name())
	if err != nil {
		return fault.Step.Wrap(err)
	}
	e.Modified = info.ModTime()
	// A sidecar of a damaged stream must not speak for the new one.
	if err := os.Remove(e.sidecar); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fault.Step.Wrap(err)
	}
	if err := os.Rename(out.Name(), e.stream); err != nil {
		return fault.Step.Wrap(err)
	}
	if index != nil {
		layer := dataset.Layer{Size: size, Digest: e.SHA256, Index: strings.TrimSuffix(e.stream, streamEnd) + indexEnd}
		_ = index.Save(layer) // it can be made at any time
	}
	return fault.Step.Wrap(e.write())
}

// expand decompresses in to out and checks size and SHA-1 of what it read. The
// file is read and summed beside decompression, too.
func expand(ctx context.Context, out io.Writer, in io.Reader, want imgmanifest.File) (int64, error) {
	hash := sha1.New()
	limit := min(int64(maxStream), freeGrowth+maxGrowth*min(want.Size, maxStream/maxGrowth))
	var n int64
	var bad error // of the file's content
	file := newSpread(
		func(r io.Reader) error { _, err := io.Copy(hash, r); return err },
		func(r io.Reader) error {
			var content io.Reader
			if content, bad = imagefile.NewReader(bufio.NewReaderSize(r, spreadSize), want.Compression); bad == nil {
				n, bad = io.Copy(out, io.LimitReader(content, limit+1))
			}
			if n > limit {
				return fault.Network.Errorf("the file of %d bytes expands to more than %d", want.Size, limit)
			}
			if failed := (*taskError)(nil); errors.As(bad, &failed) {
				return failed.err
			}
			return nil
		})
	size, err := file.ReadFrom(&stoppable{ctx, in})
	closeErr := file.Close()
	if ctx.Err() != nil {
		return n, context.Cause(ctx)
	}
	if failed := (*taskError)(nil); errors.As(closeErr, &failed) {
		return n, failed.err
	}
	// What is wrong with the file as such says more than the decompressor does.
	sum := hex.EncodeToString(hash.Sum(nil))
	switch {
	case err != nil:
		return n, fault.Step.Wrap(err)
	case size != want.Size:
		return n, fault.Network.Errorf("the file has %d bytes, its manifest says %d", size, want.Size)
	case sum != want.SHA1:
		return n, fault.Network.Errorf("the file has sha1 %s, its manifest says %s", sum, want.SHA1)
	case bad != nil:
		return n, fault.Network.Errorf("the file is as its manifest says, but cannot be read: %w", bad)
	}
	return n, nil
}

// stoppable ends reading when the context ends.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// store writes a stream to the cache.
func store(out *os.File, r io.Reader) error {
	if _, err := io.Copy(out, r); err != nil {
		return fault.Step.Errorf("writing the image cache: %w", err)
	}
	return nil
}

// writeFile gives a file its name when it is complete and on disk. Names begin
// with the image's uuid, whose lock the caller has: so do temporary ones, which
// tells the next one what may be cleaned.
func writeFile(name string, content io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), tempPrefix+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already if all went well
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func fileSHA256(ctx context.Context, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, &stoppable{ctx, f}); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
