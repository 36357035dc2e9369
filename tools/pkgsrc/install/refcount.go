package install

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// maxSmall bounds the files of the refcount tree and the like.
const maxSmall = 1 << 20

// counters is the refcount tree (spec pkgsrc.md section 8.4): which packages
// want an account, a directory or a configuration file, and whether it was
// there before the first of them.
type counters struct {
	root *fstree.Tree
	dir  string
}

// at is the directory of an object: an absolute path, or an account's name.
func (c counters) at(kind, object string) string {
	return path.Join(c.dir, kind, path.Clean("/"+object))
}

// count adds a package to an object. Only where the object has no directory
// yet, exists says whether +PREEXISTING is written.
func (c counters) count(kind, object, pkg, record string, exists bool) error {
	ref := c.at(kind, object)
	if n, err := c.root.Stat(ref); err != nil || !n.IsDir() {
		if err := c.root.MkdirAll(ref, 0o755); err != nil {
			return err
		}
		if exists {
			if err := c.root.WriteFile(ref+"/+PREEXISTING", []byte(pkg+"\n"), 0o644); err != nil {
				return err
			}
		}
	}
	have, err := readOptional(c.root, ref+"/"+pkg, maxSmall)
	if err != nil || strings.Contains("\n"+string(have), "\n"+record+"\n") {
		return err
	}
	return c.root.WriteFile(ref+"/"+pkg, append(have, record+"\n"...), 0o644)
}

// permissions notes what was asked for.
func (c counters) permissions(kind, object string, fields ...string) error {
	if strings.Join(fields, "") == "" {
		return nil
	}
	return c.root.WriteFile(c.at(kind, object)+"/+PERMISSIONS", []byte(strings.Join(fields, " ")+"\n"), 0o644)
}

// counted tells whether a package counts for an object.
func (c counters) counted(kind, object, pkg string) bool {
	n, err := c.root.Stat(c.at(kind, object) + "/" + pkg)
	return err == nil && n.IsRegular()
}

// preexisting tells whether the object was there before its packages.
func (c counters) preexisting(kind, object string) bool {
	_, err := c.root.Stat(c.at(kind, object) + "/+PREEXISTING")
	return err == nil
}

// drop takes a package from an object, with all notes, and directories that are
// empty then.
func (c counters) drop(kind, object, pkg string) error {
	ref := c.at(kind, object)
	for _, f := range []string{pkg, "+PREEXISTING", "+PERMISSIONS"} {
		if kind != "dirs" && kind != "files" && f == "+PERMISSIONS" {
			continue // accounts have none
		}
		if err := c.root.Remove(ref + "/" + f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	removeEmpty(c.root, ref)
	return nil
}

// removeEmpty removes a directory and its parents while they are empty, as
// "rmdir -p" does.
func removeEmpty(root *fstree.Tree, dir string) {
	for dir = path.Clean("/" + dir); dir != "/"; dir = path.Dir(dir) {
		if !removeDir(root, dir) {
			return
		}
	}
}

// removeDir removes one directory if it is empty; a link to one stays.
func removeDir(root *fstree.Tree, dir string) bool {
	n, err := root.Lstat(dir)
	return err == nil && n.IsDir() && n.Len() == 0 && root.Remove(dir) == nil
}

// readOptional reads a file that need not be there.
func readOptional(root *fstree.Tree, path string, limit int64) ([]byte, error) {
	b, err := root.ReadFile(path, limit)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fstree.ErrNotDir) {
		return nil, nil
	}
	return b, err
}
