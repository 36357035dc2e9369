package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/filelock"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/owned"
	"github.com/google/uuid"
)

// Kinds of what a build makes and takes away again.
const (
	kindDir     = "directory" // removed where it is empty
	kindMount   = "mount"     // of a directory of the platform
	kindDataset = "dataset"   // with the build's mark
	kindPartial = "partial"   // dataset that is being received; its name holds the build's id
)

// entry is one thing that was made, or was about to be.
type entry struct {
	Kind   string `json:"kind"`
	Target string `json:"target"` // path or name
}

// state is what a build has made, in order, as its file tells. The file is
// written before the thing is made.
type state struct {
	ID      string  `json:"id"`      // random; datasets carry it
	Dataset string  `json:"dataset"` // the delegated one
	PID     int     `json:"pid"`
	Entries []entry `json:"entries"`

	dir  string
	lock *filelock.Lock
}

const (
	stateSuffix = ".json"
	lockSuffix  = ".lock"
	buildPrefix = "build-"
	imagePrefix = "image-"
	maxState    = 1 << 20 // bytes; one entry has some hundred
)

func (s *state) path() string { return filepath.Join(s.dir, buildPrefix+s.ID+stateSuffix) }

// mountpoint is where the build's clone is mounted.
func (s *state) mountpoint() string { return filepath.Join(s.dir, "mnt-"+s.ID) }

func (s *state) write() error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := newfile.Write(s.path(), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the state file: %w", err)
	}
	return nil
}

func (s *state) push(kind, target string) error {
	s.Entries = append(s.Entries, entry{kind, target})
	return s.write()
}

// drop forgets an entry that is gone or is to stay.
func (s *state) drop(e entry) error {
	for i, have := range slices.Backward(s.Entries) {
		if have == e {
			s.Entries = slices.Delete(s.Entries, i, i+1)
			return s.write()
		}
	}
	return nil
}

// remove takes the file away: nothing is left of the build.
func (s *state) remove() error {
	err := os.Remove(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	halfWritten, _ := filepath.Glob(filepath.Join(s.dir, "."+buildPrefix+s.ID+stateSuffix+"*"))
	for _, name := range halfWritten {
		os.Remove(name)
	}
	s.lock.Remove()
	return err
}

// newState begins a build's state.
func newState(dir, dataset, id string) (*state, error) {
	s := &state{ID: id, Dataset: dataset, PID: os.Getpid(), dir: dir}
	var err error
	if s.lock, err = filelock.Try(s.lockPath()); err == nil && s.lock == nil {
		err = fmt.Errorf("build %s is at work already", id)
	}
	if err != nil {
		return nil, err
	}
	if err := s.write(); err != nil {
		s.lock.Remove()
		return nil, err
	}
	return s, nil
}

func (s *state) lockPath() string { return filepath.Join(s.dir, buildPrefix+s.ID+lockSuffix) }

// left returns the states of builds that are no more, locked.
func left(dir string) (list []*state, err error) {
	names, err := filepath.Glob(filepath.Join(dir, buildPrefix+"*"))
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, name := range names {
		id := strings.TrimPrefix(filepath.Base(name), buildPrefix)
		id = strings.TrimSuffix(strings.TrimSuffix(id, stateSuffix), lockSuffix)
		if _, err := uuid.Parse(id); err != nil || ids[id] {
			continue
		}
		ids[id] = true
		s, e := readState(dir, id)
		err = errors.Join(err, e)
		if s != nil {
			list = append(list, s)
		}
	}
	return list, err
}

// removeLocks takes away the locks of imports that nobody holds: a process that
// was killed leaves the file.
func removeLocks(dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, imagePrefix+"*"+lockSuffix))
	for _, name := range names {
		if l, err := filelock.Try(name); err == nil && l != nil {
			l.Remove()
		}
	}
}

// readState reads the state of a build that is no more; nil where it is at work.
func readState(dir, id string) (*state, error) {
	s := &state{ID: id, dir: dir}
	lock, err := filelock.Try(s.lockPath())
	if err != nil || lock == nil {
		return nil, err
	}
	s.lock = lock
	raw, err := readBounded(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil // nothing had been made yet, or all is gone
	}
	if err == nil {
		err = s.parse(raw)
	}
	if err != nil {
		lock.Release()
		return nil, fault.WithHint(fault.Unfit.Errorf("state of an earlier build, %s: %w", s.path(), err),
			"see what it names with zfs list and mount, clean up by hand, and remove the file")
	}
	return s, nil
}

// parse reads what a build wrote of itself, and accepts nothing that is not its own.
func (s *state) parse(raw []byte) error {
	id := s.ID
	if err := json.Unmarshal(raw, s); err != nil {
		return err
	}
	if s.ID != id {
		return fmt.Errorf("it is of build %q", s.ID)
	}
	for _, e := range s.Entries {
		if !s.ours(e) {
			return fmt.Errorf("it names %s %q", e.Kind, e.Target)
		}
	}
	return nil
}

// ours tells whether a state may name an entry: paths below the mount point of
// that build, datasets right below the delegated one.
func (s *state) ours(e entry) bool {
	m := s.mountpoint()
	parent, name, ok := cutLast(e.Target)
	for part := range strings.SplitSeq(s.Dataset, "/") {
		ok = ok && validName(part)
	}
	switch e.Kind {
	case kindDir:
		return e.Target == m
	case kindMount:
		return strings.HasPrefix(e.Target, m+"/") && filepath.Clean(e.Target) == e.Target
	case kindDataset:
		return ok && parent == s.Dataset && validName(name)
	case kindPartial:
		return ok && parent == s.Dataset && validName(name) && strings.HasSuffix(name, "-partial-"+s.ID)
	}
	return false
}

// cutLast splits a dataset's name at its last slash.
func cutLast(name string) (parent, last string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return "", name, false
	}
	return name[:i], name[i+1:], true
}

func validName(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err == nil && len(raw) > maxState {
		err = fmt.Errorf("more than %d bytes", maxState)
	}
	return raw, err
}

// openStateDir makes the directory and sees that it is ours alone: what the files
// in it name is destroyed.
func openStateDir(dir string, uid int) error {
	if !filepath.IsAbs(dir) {
		return fault.Usage.Errorf("state directory %q is no absolute path", dir)
	}
	if err := owned.Make(dir, uid); err != nil {
		return fault.WithHint(fault.Unfit.Errorf("state directory: %w", err),
			"remove it, or name another one with ENGBLD_NATIVE_STATE")
	}
	return nil
}
