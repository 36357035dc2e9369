package fstree

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
)

const (
	maxSymlinks = 40   // as many as Linux follows before ELOOP
	maxName     = 255  // bytes in one name, the ZPL's limit (spec zfs-stream.md section 12)
	maxPath     = 4096 // bytes in one path
)

// Errors besides fs.ErrNotExist, fs.ErrExist and fs.ErrInvalid.
var (
	ErrNotDir   = errors.New("not a directory")
	ErrIsDir    = errors.New("is a directory")
	ErrNotEmpty = errors.New("directory not empty")
	ErrLoop     = errors.New("too many levels of symbolic links")
	ErrSteps    = errors.New("too many names on the ways to files")
	ErrRoom     = errors.New("too many directories")
)

// TooLargeError tells that a file is larger than its reader wants to hold.
type TooLargeError struct{ Size, Limit int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("file has %d bytes, more than the %d that are read", e.Size, e.Limit)
}

// Tree is a root directory and the clock for what changes below it.
//
// Paths are slash separated; a leading slash means nothing, as every path
// starts at the root. ".." never leads above the root. Intermediate symbolic
// links are followed inside the tree. Errors are *fs.PathError.
type Tree struct {
	Root *Node
	Now  Time // stamped on new nodes and on directories whose entries change
	Room *int // how many directories MkdirAll may still make; nil: any number
}

// New returns a tree with an empty root directory, 0755 root:root.
func New(now Time) *Tree {
	return &Tree{Root: &Node{Mode: TypeDir | 0o755, ATime: now, MTime: now, links: 1}, Now: now}
}

// Sub returns the tree below a directory, like chroot(2); it shares all nodes.
func (t *Tree) Sub(path string) (*Tree, error) {
	n, err := t.Stat(path)
	if err != nil {
		return nil, err
	}
	if !n.IsDir() {
		return nil, pathError("chroot", path, ErrNotDir)
	}
	return &Tree{Root: n, Now: t.Now, Room: t.Room}, nil
}

// Clone returns a tree of its own nodes, which share their content with t's.
func (t *Tree) Clone() *Tree {
	seen := map[*Node]*Node{}
	var clone func(n *Node) *Node
	clone = func(n *Node) *Node {
		c := seen[n]
		if c == nil {
			dup := *n
			c = &dup
			c.children, c.links = nil, 0
			for _, name := range n.List() {
				c.Add(name, clone(n.children[name]))
			}
			if n.links > 1 {
				seen[n] = c
			}
		}
		return c
	}
	root := clone(t.Root)
	root.links = t.Root.links
	return &Tree{Root: root, Now: t.Now}
}

func pathError(op, path string, err error) error {
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// Lstat returns the node at path without following a final symbolic link.
func (t *Tree) Lstat(path string) (*Node, error) {
	n, err := t.resolve(path, false)
	if err != nil {
		return nil, pathError("lstat", path, err)
	}
	return n, nil
}

// LstatWithin is Lstat that takes a step for each name on the way, those in targets
// of links too, from steps. ErrSteps is that there are no more.
func (t *Tree) LstatWithin(path string, steps *int) (*Node, error) {
	dir, name, err := t.locateWithin(path, false, steps)
	if err == nil {
		dir, err = entry(dir, name)
	}
	if err != nil {
		return nil, pathError("lstat", path, err)
	}
	return dir, nil
}

// Stat returns the node at path, following symbolic links.
func (t *Tree) Stat(path string) (*Node, error) {
	n, err := t.resolve(path, true)
	if err != nil {
		return nil, pathError("stat", path, err)
	}
	return n, nil
}

func (t *Tree) resolve(path string, follow bool) (*Node, error) {
	dir, name, err := t.locate(path, follow)
	if err != nil {
		return nil, err
	}
	return entry(dir, name)
}

// entry is what locate has found.
func entry(dir *Node, name string) (*Node, error) {
	if name == "" {
		return dir, nil
	}
	if n := dir.children[name]; n != nil {
		return n, nil
	}
	return nil, fs.ErrNotExist
}

// locate walks path and returns the directory that holds, or would hold, its
// last name. The name is "" when path means a directory on the way (the root,
// or one reached by ".."). With follow a final symbolic link is followed too.
func (t *Tree) locate(path string, follow bool) (*Node, string, error) {
	steps := math.MaxInt
	return t.locateWithin(path, follow, &steps)
}

func (t *Tree) locateWithin(path string, follow bool, steps *int) (*Node, string, error) {
	if len(path) > maxPath || strings.IndexByte(path, 0) >= 0 {
		return nil, "", fs.ErrInvalid
	}
	w := walker{at: []*Node{t.Root}}
	name, err := w.along(split(path), follow, steps)
	if err != nil {
		return nil, "", err
	}
	return w.dir(), name, nil
}

// walker is where one is in a tree.
type walker struct {
	at    []*Node // the root, and the directories from there
	links int     // followed
}

func (w *walker) dir() *Node { return w.at[len(w.at)-1] }

// along goes to the directory that holds, or would hold, the last of the names, and
// returns that; see locate.
func (w *walker) along(todo []string, follow bool, steps *int) (string, error) {
	if *steps -= len(todo); *steps < 0 {
		return "", ErrSteps
	}
	for i := 0; i < len(todo); i++ {
		dir := w.dir()
		name := todo[i]
		if name == ".." {
			if len(w.at) > 1 {
				w.at = w.at[:len(w.at)-1]
			}
			continue
		}
		if len(name) > maxName {
			return "", fs.ErrInvalid
		}
		last := i == len(todo)-1
		n := dir.children[name]
		switch {
		case n != nil && n.IsSymlink() && (!last || follow):
			if w.links++; w.links > maxSymlinks || len(n.Target) > maxPath {
				return "", ErrLoop
			}
			if strings.HasPrefix(n.Target, "/") {
				w.at = w.at[:1]
			}
			todo = append(split(n.Target), todo[i+1:]...)
			i = -1
			if *steps -= len(todo); *steps < 0 {
				return "", ErrSteps
			}
		case last:
			return name, nil
		case n == nil:
			return "", fs.ErrNotExist
		case !n.IsDir():
			return "", ErrNotDir
		default:
			w.at = append(w.at, n)
		}
	}
	return "", nil
}

func split(path string) []string {
	parts := strings.Split(path, "/")
	out := parts[:0]
	for _, p := range parts {
		if p != "" && p != "." {
			out = append(out, p)
		}
	}
	return out
}

// enter puts n at path, where nothing may be yet.
func (t *Tree) enter(op, path string, n *Node) error {
	dir, name, err := t.locate(path, false)
	switch {
	case err != nil:
		return pathError(op, path, err)
	case name == "" || dir.children[name] != nil:
		return pathError(op, path, fs.ErrExist)
	}
	dir.Add(name, n)
	dir.MTime = t.Now
	return nil
}

// Put enters a new node at path and gives it the tree's time where it has none.
// What was there is unlinked first; a directory there is an error.
func (t *Tree) Put(path string, n *Node) error {
	dir, name, err := t.locate(path, false)
	if err != nil {
		return pathError("create", path, err)
	}
	if name == "" || (dir.children[name] != nil && dir.children[name].IsDir()) {
		return pathError("create", path, ErrIsDir)
	}
	if n.MTime == (Time{}) {
		n.MTime = t.Now
	}
	if n.ATime == (Time{}) {
		n.ATime = n.MTime
	}
	dir.Add(name, n)
	dir.MTime = t.Now
	return nil
}

// Mkdir makes one directory with the given permissions and owner.
func (t *Tree) Mkdir(path string, perm, uid, gid uint32) (*Node, error) {
	n := &Node{Mode: TypeDir | perm&PermMask, UID: uid, GID: gid, ATime: t.Now, MTime: t.Now}
	if err := t.enter("mkdir", path, n); err != nil {
		return nil, err
	}
	return n, nil
}

// MkdirAll makes path and the parents it lacks, all with these permissions,
// owned by root. Directories that exist (also behind links) stay as they are.
// Each one made takes of the tree's Room; ErrRoom is that there is none left.
func (t *Tree) MkdirAll(path string, perm uint32) error {
	if len(path) > maxPath || strings.IndexByte(path, 0) >= 0 {
		return pathError("mkdir", path, fs.ErrInvalid)
	}
	w := walker{at: []*Node{t.Root}}
	steps := math.MaxInt
	parts := split(path)
	for i, part := range parts {
		fail := func(err error) error { return pathError("mkdir", strings.Join(parts[:i+1], "/"), err) }
		here := w.dir()
		name, err := w.along(parts[i:i+1], true, &steps)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fail(fs.ErrExist) // a link to nothing
		case err != nil:
			return fail(err)
		case name == "":
			continue // "..", or a link to a directory above
		}
		n := w.dir().children[name]
		switch {
		case n == nil && here.children[part] != nil:
			return fail(fs.ErrExist) // a link to nothing
		case n == nil:
			if t.Room != nil {
				if *t.Room--; *t.Room < 0 {
					return fail(ErrRoom)
				}
			}
			n = &Node{Mode: TypeDir | perm&PermMask, ATime: t.Now, MTime: t.Now}
			w.dir().Add(name, n)
			w.dir().MTime = t.Now
		case !n.IsDir():
			return fail(ErrNotDir)
		}
		w.at = append(w.at, n)
	}
	return nil
}

// Link gives the node at oldPath a second name. Directories cannot have one.
func (t *Tree) Link(oldPath, newPath string) error {
	n, err := t.Lstat(oldPath)
	if err != nil {
		return err
	}
	if n.IsDir() {
		return pathError("link", oldPath, ErrIsDir)
	}
	return t.enter("link", newPath, n)
}

// Remove unlinks a file, a link or an empty directory; links are not followed.
func (t *Tree) Remove(path string) error {
	dir, name, err := t.locate(path, false)
	if err != nil {
		return pathError("remove", path, err)
	}
	n := dir.children[name]
	switch {
	case name == "":
		return pathError("remove", path, fs.ErrInvalid)
	case n == nil:
		return pathError("remove", path, fs.ErrNotExist)
	case n.IsDir() && len(n.children) > 0:
		return pathError("remove", path, ErrNotEmpty)
	}
	dir.drop(name)
	dir.MTime = t.Now
	return nil
}

// RemoveAll unlinks path and everything below it. A missing path is no error.
func (t *Tree) RemoveAll(path string) error {
	dir, name, err := t.locate(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return pathError("remove", path, err)
	}
	if name == "" {
		return pathError("remove", path, fs.ErrInvalid)
	}
	if dir.children[name] == nil {
		return nil
	}
	unlinkBelow(dir.children[name])
	dir.drop(name)
	dir.MTime = t.Now
	return nil
}

func unlinkBelow(n *Node) {
	for name, c := range n.children {
		unlinkBelow(c)
		n.drop(name)
	}
}

// Rename moves oldPath to newPath. A file or link there is replaced, a
// directory there is an error, and so is moving a directory below itself.
func (t *Tree) Rename(oldPath, newPath string) error {
	from, oldName, err := t.locate(oldPath, false)
	if err != nil {
		return pathError("rename", oldPath, err)
	}
	n := from.children[oldName]
	if oldName == "" || n == nil {
		return pathError("rename", oldPath, fs.ErrNotExist)
	}
	to, newName, err := t.locate(newPath, false)
	if err != nil {
		return pathError("rename", newPath, err)
	}
	if newName == "" || (to.children[newName] != nil && to.children[newName].IsDir()) {
		return pathError("rename", newPath, fs.ErrExist)
	}
	if n.IsDir() && holds(n, to) {
		return pathError("rename", newPath, fs.ErrInvalid)
	}
	if to.children[newName] == n {
		if from != to || oldName != newName {
			from.drop(oldName)
			from.MTime = t.Now
		}
		return nil
	}
	to.Add(newName, n)
	from.drop(oldName)
	from.MTime, to.MTime = t.Now, t.Now
	return nil
}

func holds(n, dir *Node) bool {
	if n == dir {
		return true
	}
	for _, c := range n.children {
		if c.IsDir() && holds(c, dir) {
			return true
		}
	}
	return false
}

// Walk calls f for every name below the root in depth-first byte order of
// paths, directories before their entries; the root comes first, as ".". A node
// with several names is seen once a name. An error of f ends the walk.
func (t *Tree) Walk(f func(path string, n *Node) error) error {
	if err := f(".", t.Root); err != nil {
		return err
	}
	return walk("", t.Root, f)
}

func walk(prefix string, dir *Node, f func(string, *Node) error) error {
	for _, name := range dir.List() {
		n := dir.children[name]
		if err := f(prefix+name, n); err != nil {
			return err
		}
		if n.IsDir() {
			if err := walk(prefix+name+"/", n, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReadFile returns the content of the regular file at path, links followed.
func (t *Tree) ReadFile(path string, limit int64) ([]byte, error) {
	n, err := t.Stat(path)
	if err != nil {
		return nil, err
	}
	if !n.IsRegular() {
		return nil, pathError("read", path, fs.ErrInvalid)
	}
	b, err := n.ReadAll(limit)
	if err != nil {
		return nil, pathError("read", path, err)
	}
	return b, nil
}

// WriteFile gives path the content b: a regular file there (links followed) is
// rewritten in place, keeping mode and owner; else one is made with perm, root:root.
func (t *Tree) WriteFile(path string, b []byte, perm uint32) error {
	n, err := t.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t.Put(path, &Node{Mode: TypeRegular | perm&PermMask, Content: Bytes(b)})
	case err != nil:
		return err
	case !n.IsRegular():
		return pathError("write", path, fs.ErrInvalid)
	}
	n.Content, n.MTime = Bytes(b), t.Now
	return nil
}
