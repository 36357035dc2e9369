package imgstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imagefile"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

const maxPairs = 20000 // manifests looked at in one directory; a bits directory holds some hundred

// pair is a manifest file and the image file that belongs to it.
type pair struct {
	manifest *imgmanifest.Manifest
	path     string // of the manifest
	file     string // of the image file
}

// findPair looks for an image in dir and the directories in it, never deeper.
// nil if it is not there.
func findPair(dir, uuid string, ends ...string) (*pair, error) {
	var names []string
	for _, pattern := range []string{"*", filepath.Join("*", "*")} {
		for _, end := range ends {
			found, err := filepath.Glob(filepath.Join(globEscape(dir), pattern+end))
			if err != nil {
				return nil, err
			}
			names = append(names, found...)
		}
	}
	if len(names) > maxPairs {
		return nil, fmt.Errorf("%s: more than %d manifests", dir, maxPairs)
	}
	slices.Sort(names)
	var failure error
	for _, name := range names {
		if strings.HasPrefix(filepath.Base(name), tempPrefix) {
			continue
		}
		raw, err := bounded.ReadFile(name, imgmanifest.MaxSize)
		if err != nil || !bytes.Contains(raw, []byte(uuid)) {
			continue // not ours to judge
		}
		m, err := imgmanifest.Parse(raw)
		if err != nil || m.UUID() != uuid {
			continue
		}
		file, err := fileBeside(name, m)
		if err != nil {
			failure = cmp.Or(failure, err)
			continue
		}
		return &pair{m, name, file}, nil
	}
	return nil, failure
}

// fileBeside finds a manifest's image file by the names in use: PREFIX.zfs.gz
// for PREFIX.imgmanifest, file.zfs.gz for manifest.json, UUID-file.gz as the
// command line of the image server names it; the end goes with the compression.
func fileBeside(name string, m *imgmanifest.Manifest) (string, error) {
	files := m.Files()
	if len(files) != 1 {
		return "", fmt.Errorf("%s: %d files, not 1", name, len(files))
	}
	end := imagefile.Suffix(files[0].Compression)
	dir, base := filepath.Split(name)
	prefix := strings.TrimSuffix(base, filepath.Ext(base))
	var wrong string
	for _, candidate := range []string{
		prefix + ".zfs" + end, prefix + end, prefix + ".file", "file.zfs" + end, "file" + end, m.UUID() + "-file" + end,
	} {
		path := filepath.Join(dir, candidate)
		info, err := os.Stat(path)
		switch {
		case candidate == base || err != nil || !info.Mode().IsRegular():
		case info.Size() == files[0].Size:
			return path, nil
		default:
			wrong = fmt.Sprintf("%s has %d bytes, the manifest says %d", path, info.Size(), files[0].Size)
		}
	}
	if wrong != "" {
		return "", fmt.Errorf("%s: %s", name, wrong)
	}
	return "", fmt.Errorf("%s: no file %s.zfs%s beside it", name, prefix, end)
}

// findOwn looks for an own build: in the bits directories, then among the
// registered ones. Both results are nil if there is none.
func (s *Store) findOwn(ctx context.Context, uuid string) (*located, error) {
	for _, dir := range append(slices.Clone(s.opts.OwnDirs), s.own()) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		p, err := findPair(dir, uuid, ".imgmanifest")
		if err != nil {
			s.opts.Log.Warnf("own builds: %v", err)
		}
		if p == nil {
			continue
		}
		if s.opts.Sandbox && !p.manifest.Sandbox() {
			s.opts.Log.Warnf("own build %s is not of the sandbox: left aside", p.path)
			continue
		}
		l := &located{manifest: p.manifest, from: filepath.Dir(p.path)}
		l.get = func(context.Context, string) (string, error) { return p.file, nil }
		if err := s.check(l, uuid); err != nil {
			return nil, fault.Step.Errorf("own build %s: %w", p.path, err)
		}
		return l, s.admit(l)
	}
	return nil, nil
}

// Register records an own build, so that builds in other checkouts find it by
// its uuid. The file is linked, or copied where it cannot be; whoever uses it
// checks it against its manifest.
func (s *Store) Register(ctx context.Context, manifestPath, filePath string) error {
	raw, err := bounded.ReadFile(manifestPath, imgmanifest.MaxSize)
	if err != nil {
		return fault.Step.Errorf("registering an image: %w", err)
	}
	m, err := imgmanifest.Parse(raw)
	if err != nil {
		return fault.Step.Errorf("registering %s: %w", manifestPath, err)
	}
	l := &located{manifest: m, from: manifestPath}
	if err := s.check(l, m.UUID()); err != nil || !imgmanifest.ValidUUID(m.UUID()) {
		return fault.Step.Errorf("registering %s: %w", manifestPath, cmp.Or(err, errors.New("the manifest has no uuid")))
	}
	if s.opts.Sandbox != m.Sandbox() && !s.opts.Marked {
		return fault.Policy.Errorf("registering %s: images of the sandbox and real ones are kept apart", manifestPath)
	}
	unlock, err := s.lock(ctx, m.UUID())
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.keep(ctx, m, raw, filePath); err != nil {
		return fault.Step.Errorf("registering %s: %w", manifestPath, err)
	}
	return nil
}

func (s *Store) keep(ctx context.Context, m *imgmanifest.Manifest, raw []byte, filePath string) error {
	info, err := os.Stat(filePath)
	if err != nil {
		return err
	}
	if want := m.Files()[0].Size; info.Size() != want {
		return fmt.Errorf("%s has %d bytes, the manifest says %d", filePath, info.Size(), want)
	}
	base := filepath.Join(s.own(), m.UUID())
	temp := filepath.Join(s.own(), tempPrefix+m.UUID())
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer os.Remove(temp) // gone already if all went well
	if os.Link(filePath, temp) != nil {
		err = copyFile(ctx, temp, filePath)
	}
	if err == nil {
		err = os.Rename(temp, base+".file")
	}
	if err == nil {
		err = writeFile(base+".imgmanifest", bytes.NewReader(raw))
	}
	return err
}

func copyFile(ctx context.Context, dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, &stoppable{ctx, in})
	return errors.Join(err, out.Sync(), out.Close())
}
