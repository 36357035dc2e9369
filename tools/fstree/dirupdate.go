package fstree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// Names that UpdateDir uses while it works. Only a killed process leaves any.
const (
	journal = ".engbld-journal"
	tempNew = ".engbld-new-"
	tempOld = ".engbld-old-"
)

// IsTemp tells whether an entry is what a killed UpdateDir left.
func IsTemp(name string) bool {
	return strings.HasPrefix(name, tempNew) || strings.HasPrefix(name, tempOld)
}

// UpdateDir makes what is below root, which was read as from, into to. Only
// differences are written: what is new or has other content gets a temporary name
// beside its place first, so all that can fail for lack of space or rights does
// so before anything is changed. Then everything is moved into place; should
// that fail half-way it is moved back. So after an error root is as it was, but
// for what the error says could not be restored. A process that is killed while
// it moves leaves a journal by which RecoverDir moves back.
//
// A file that is replaced is a new one: other links to it keep what they had. A
// change of mode, owner or time alone is done in place.
func UpdateDir(ctx context.Context, root *os.Root, from, to *Tree, o WriteOptions) (WriteStats, error) {
	u := &dirUpdate{
		dirWriter: newDirWriter(ctx, root, o),
		ofOld:     make(map[*Node]*Node), ofNew: make(map[*Node]*Node), times: make(map[string]dirPair),
	}
	u.directory(".", from.Root, to.Root)
	if len(u.changes) > 0 {
		u.times["."] = dirPair{from.Root, to.Root} // the journal stands there
	}
	err := u.stage()
	if err == nil {
		err = writeJournal(root, u.changes)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = u.commit()
	}
	if err != nil {
		return WriteStats{}, errors.Join(err, u.rollBack())
	}
	if err := u.root.Remove(journal); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return WriteStats{}, errors.Join(err, u.rollBack())
	}
	u.discard()
	return u.stats, nil
}

// dirUpdate is a change of a directory on disk.
type dirUpdate struct {
	*dirWriter
	ofOld, ofNew map[*Node]*Node // files that stay, both ways
	changes      []dirChange
	attrs        []dirChange        // those whose attributes change in place
	times        map[string]dirPair // directories whose entries change
	temps        int
	undo         []func() error
}

type dirPair struct{ old, new *Node }

// dirChange is a name whose file comes, goes or is replaced by another one.
type dirChange struct {
	name     string
	old, new *Node  // nil: none
	temp     string // where the new one stands until it gets its name
	back     string // where the old one stands from then on
	aside    bool   // it does
}

// directory finds what is different in a directory that stays one.
func (u *dirUpdate) directory(name string, old, new *Node) {
	if u.differ(old, new) {
		u.attrs = append(u.attrs, dirChange{name: name, old: old, new: new})
	}
	names := slices.Concat(old.List(), new.List())
	slices.Sort(names)
	for _, entry := range slices.Compact(names) {
		p := path.Join(name, entry)
		o, n := old.children[entry], new.children[entry]
		switch {
		case o != nil && n != nil && o.IsDir() && n.IsDir():
			u.directory(p, o, n)
		case o != nil && n != nil && u.stays(o, n):
			if _, seen := u.first[n]; !seen && u.differ(o, n) {
				u.attrs = append(u.attrs, dirChange{name: p, old: o, new: n})
			}
			u.first[n] = p
		default:
			u.changes = append(u.changes, dirChange{name: p, old: o, new: n})
			u.times[name] = dirPair{old, new}
		}
	}
}

// stays tells whether a file on disk can be the one that is wanted. Files with
// several names must be the same file under all of them.
func (u *dirUpdate) stays(o, n *Node) bool {
	if o.Type() != n.Type() || n.IsDir() || o.Target != n.Target || o.Content != n.Content || o.Rdev != n.Rdev {
		return false
	}
	if n2, taken := u.ofOld[o]; taken && n2 != n {
		return false
	}
	if o2, taken := u.ofNew[n]; taken && o2 != o {
		return false
	}
	u.ofOld[o], u.ofNew[n] = n, o
	return true
}

// differ tells whether attributes must be set.
func (u *dirUpdate) differ(o, n *Node) bool {
	return u.Owners && (o.UID != n.UID || o.GID != n.GID) || !n.IsSymlink() && (o.Perm() != n.Perm() || o.MTime != n.MTime)
}

// temp makes up a name in the directory of p that the disk has not.
func (u *dirUpdate) temp(p, prefix string) string {
	dir := path.Dir(p)
	for {
		u.temps++
		name := fmt.Sprintf("%s%d", prefix, u.temps)
		if u.times[dir].old.children[name] == nil {
			return path.Join(dir, name)
		}
	}
}

// stage writes all new files, and sees that the directories can be changed.
func (u *dirUpdate) stage() error {
	tried := map[string]bool{}
	for i := range u.changes {
		c := &u.changes[i]
		if err := u.ctx.Err(); err != nil {
			return context.Cause(u.ctx)
		}
		temp := u.temp(c.name, tempNew)
		if c.old != nil {
			c.back = u.temp(c.name, tempOld)
		}
		switch {
		case c.new != nil:
			c.temp = temp
			if err := u.put(temp, c.name, c.new); err != nil {
				return fmt.Errorf("writing %s: %w", c.name, err)
			}
			if !writes(c.new) {
				c.temp = ""
			}
		case !tried[path.Dir(c.name)]:
			f, err := u.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err == nil {
				f.Close()
				err = u.root.Remove(temp)
			}
			if err != nil {
				return fmt.Errorf("removing %s: %w", c.name, err)
			}
		}
		tried[path.Dir(c.name)] = true
	}
	return nil
}

// commit moves everything into place.
func (u *dirUpdate) commit() error {
	for i := range u.changes {
		c := &u.changes[i]
		if c.old != nil {
			if err := u.setAside(c); err != nil {
				return fmt.Errorf("replacing %s: %w", c.name, err)
			}
		}
		if c.temp != "" {
			if err := u.root.Rename(c.temp, c.name); err != nil {
				return fmt.Errorf("writing %s: %w", c.name, err)
			}
			u.undo = append(u.undo, func() error {
				if c.aside && !c.old.IsDir() && !c.new.IsDir() {
					return nil // setting the old one back replaces it
				}
				return u.root.Rename(c.name, c.temp)
			})
		} else {
			u.stats.Removed++
		}
	}
	for _, c := range u.attrs {
		if err := u.finish(c.name, c.new); err != nil {
			return err
		}
		u.undo = append(u.undo, func() error { return u.finish(c.name, c.old) })
		u.stats.Changed++
	}
	for _, name := range slices.Sorted(maps.Keys(u.times)) {
		n := u.times[name].new
		if err := u.root.Chtimes(name, n.ATime.Time(), n.MTime.Time()); err != nil {
			return err
		}
	}
	return nil
}

// setAside keeps the old file under another name: a file that will be replaced
// at one go as a second one, all else as its only one.
func (u *dirUpdate) setAside(c *dirChange) error {
	if c.temp == "" || c.old.IsDir() || c.new.IsDir() || u.root.Link(c.name, c.back) != nil {
		if err := u.root.Rename(c.name, c.back); err != nil {
			return err
		}
	}
	c.aside = true
	u.undo = append(u.undo, func() error {
		if err := u.root.Rename(c.back, c.name); err != nil {
			return err
		}
		// Where both names are still the same file rename has done nothing.
		if err := u.root.Remove(c.back); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	return nil
}

// rollBack undoes what commit did and removes what stage wrote.
func (u *dirUpdate) rollBack() error {
	var errs []error
	for _, f := range slices.Backward(u.undo) {
		errs = append(errs, f())
	}
	for _, c := range u.changes {
		if c.temp != "" {
			errs = append(errs, u.root.RemoveAll(c.temp))
		}
	}
	if err := u.root.Remove(journal); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for name, d := range u.times {
		_ = u.root.Chtimes(name, d.old.ATime.Time(), d.old.MTime.Time())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("restoring what was there: %w", err)
	}
	return nil
}

// discard removes what was set aside. Only what was read as from is removed; of
// a directory that got something else meanwhile that is left, with a warning.
func (u *dirUpdate) discard() {
	for _, c := range u.changes {
		if !c.aside {
			continue
		}
		if err := u.removeKnown(c.back, c.old); err != nil && u.Warn != nil {
			u.Warn.Warnf("%s was to be removed, but is not empty: what is left is in %s (%v)", c.name, c.back, err)
		}
	}
	for name, d := range u.times {
		_ = u.root.Chtimes(name, d.new.ATime.Time(), d.new.MTime.Time())
	}
}

func (u *dirUpdate) removeKnown(name string, n *Node) error {
	if n.IsDir() {
		_ = u.root.Chmod(name, 0o700)
		for _, entry := range n.List() {
			if err := u.removeKnown(path.Join(name, entry), n.children[entry]); err != nil {
				return err
			}
		}
	}
	if err := u.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
