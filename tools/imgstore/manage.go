package imgstore

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// Usage is one thing the cache holds.
type Usage struct {
	UUID        string
	NameVersion string
	Own         bool      // a registered own build, not a stream
	Path        string    // of the stream or the file
	Bytes       int64     // on disk, as far as names tell (links count fully)
	LastUsed    time.Time // of a stream; when an own build was registered
}

// Du lists what the cache holds, sorted by path.
func (s *Store) Du() ([]Usage, error) {
	var list []Usage
	for _, e := range s.entries("*") {
		u := Usage{UUID: e.Manifest.UUID(), NameVersion: e.Manifest.NameVersion(), Path: e.stream}
		if info, err := os.Stat(e.stream); err == nil {
			u.Bytes = info.Size()
		}
		if info, err := os.Stat(e.sidecar); err == nil {
			u.Bytes += info.Size()
			u.LastUsed = info.ModTime()
		}
		if info, err := os.Stat(strings.TrimSuffix(e.stream, streamEnd) + indexEnd); err == nil {
			u.Bytes += info.Size()
		}
		list = append(list, u)
	}
	names, err := filepath.Glob(filepath.Join(globEscape(s.own()), "*.imgmanifest"))
	if err != nil {
		return nil, fault.Step.Wrap(err)
	}
	for _, name := range names {
		raw, err := bounded.ReadFile(name, imgmanifest.MaxSize)
		if err != nil {
			continue
		}
		m, err := imgmanifest.Parse(raw)
		if err != nil {
			continue
		}
		u := Usage{UUID: m.UUID(), NameVersion: m.NameVersion(), Own: true, Path: strings.TrimSuffix(name, ".imgmanifest") + ".file"}
		if info, err := os.Stat(name); err == nil {
			u.LastUsed, u.Bytes = info.ModTime(), info.Size()
		}
		if info, err := os.Stat(u.Path); err == nil {
			u.Bytes += info.Size()
		}
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b Usage) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// PruneOptions say what to remove.
type PruneOptions struct {
	OlderThan time.Duration // last used longer ago; 0 is everything
	Keep      []string      // uuids that stay
	DryRun    bool          // remove nothing, only tell
}

// Prune removes what was not used lately, and returns it. What another build
// is making stays.
func (s *Store) Prune(ctx context.Context, o PruneOptions) ([]Usage, error) {
	all, err := s.Du()
	if err != nil {
		return nil, err
	}
	limit := s.opts.Now().Add(-o.OlderThan)
	var gone []Usage
	for _, u := range all {
		if ctx.Err() != nil {
			return gone, context.Cause(ctx)
		}
		if slices.Contains(o.Keep, u.UUID) || o.OlderThan > 0 && u.LastUsed.After(limit) {
			continue
		}
		if !o.DryRun {
			removed, err := s.drop(u)
			if err != nil {
				return gone, fault.Step.Errorf("image cache: %w", err)
			}
			if !removed {
				continue
			}
		}
		gone = append(gone, u)
	}
	if !o.DryRun {
		s.clean()
	}
	return gone, nil
}

// drop removes one thing, the file that makes it complete first.
func (s *Store) drop(u Usage) (bool, error) {
	unlock, ok, err := s.tryLock(u.UUID)
	if !ok || err != nil {
		return false, err
	}
	defer unlock()
	base := strings.TrimSuffix(u.Path, streamEnd)
	names := []string{base + sidecarEnd, base + indexEnd, u.Path}
	if u.Own {
		names = []string{strings.TrimSuffix(u.Path, ".file") + ".imgmanifest", u.Path}
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return true, nil
}

// Damage is something in the cache that is not what it should be.
type Damage struct {
	Usage
	Reason string
}

// Verify reads the whole cache again and compares digests. Damaged things are
// removed, so that the next build gets them anew, and returned.
func (s *Store) Verify(ctx context.Context) ([]Damage, error) {
	all, err := s.Du()
	if err != nil {
		return nil, err
	}
	var damaged []Damage
	for _, u := range all {
		why := s.inspect(ctx, u)
		if ctx.Err() != nil {
			return damaged, context.Cause(ctx)
		}
		if why == "" {
			continue
		}
		if _, err := s.drop(u); err != nil {
			return damaged, fault.Step.Errorf("image cache: %w", err)
		}
		damaged = append(damaged, Damage{u, why})
	}
	return damaged, nil
}

// inspect says what is wrong with one thing; "" is nothing.
func (s *Store) inspect(ctx context.Context, u Usage) string {
	if u.Own {
		p, err := findPair(s.own(), u.UUID, ".imgmanifest")
		if p == nil {
			return fmt.Sprintf("incomplete: %v", err)
		}
		sum, err := fileSHA1(ctx, p.file)
		if err != nil {
			return err.Error()
		}
		if want := p.manifest.Files()[0].SHA1; sum != want {
			return fmt.Sprintf("sha1 is %s, the manifest says %s", sum, want)
		}
		return ""
	}
	e := readEntry(strings.TrimSuffix(u.Path, streamEnd) + sidecarEnd)
	if e == nil {
		return "incomplete"
	}
	sum, err := fileSHA256(ctx, e.stream)
	if err != nil {
		return err.Error()
	}
	if sum != e.SHA256 {
		return fmt.Sprintf("sha256 is %s, was %s when it was made", sum, e.SHA256)
	}
	return ""
}

func fileSHA1(ctx context.Context, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha1.New()
	if _, err := io.Copy(hash, &stoppable{ctx, f}); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// clean removes what killed builds left: temporary files of images nobody is
// making now, and streams and indexes without a sidecar. Parts of downloads stay for a
// week, so that they can go on.
func (s *Store) clean() {
	for _, dir := range []string{s.streams(), s.own(), s.parts()} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			s.cleanOne(dir, e)
		}
	}
}

func (s *Store) cleanOne(dir string, e fs.DirEntry) {
	name := e.Name()
	rest, temporary := strings.CutPrefix(name, tempPrefix)
	if !temporary && !s.orphan(dir, name) {
		return
	}
	age := s.age(filepath.Join(dir, name))
	if dir == s.parts() {
		// What the downloader keeps can go on later; what it was writing when it
		// was killed cannot.
		if age > keepPartFor || strings.HasPrefix(rest, "get-") && age > time.Hour {
			_ = os.RemoveAll(filepath.Join(dir, name))
		}
		return
	}
	const uuidLen = 36
	if len(rest) < uuidLen || !imgmanifest.ValidUUID(rest[:uuidLen]) {
		// A sidecar under way: it takes no time to write.
		if age > time.Hour {
			_ = os.Remove(filepath.Join(dir, name))
		}
		return
	}
	unlock, ok, err := s.tryLock(rest[:uuidLen])
	if err != nil || !ok {
		return
	}
	defer unlock()
	// Whoever had the lock until now may have completed it.
	if temporary || s.orphan(dir, name) {
		_ = os.Remove(filepath.Join(dir, name)) // it is only room
	}
}

// orphan tells of a stream or an index without a sidecar.
func (s *Store) orphan(dir, name string) bool {
	if dir != s.streams() {
		return false
	}
	for _, end := range []string{streamEnd, indexEnd} {
		if base, ok := strings.CutSuffix(name, end); ok {
			_, err := os.Stat(filepath.Join(dir, base+sidecarEnd))
			return errors.Is(err, fs.ErrNotExist)
		}
	}
	return false
}

// age is the time since a file, or anything in a directory, was changed.
func (s *Store) age(path string) time.Duration {
	var last time.Time
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		if info, err := e.Info(); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
		return nil
	})
	return s.opts.Now().Sub(last)
}
