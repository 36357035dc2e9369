package install

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/archive"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// pkgDirMark leads the value of a shared directory in the database of files.
const pkgDirMark = "@pkgdir"

// metaMode is the mode of a metadata file in the record (spec pkgsrc.md section 6).
func metaMode(name string) uint32 {
	switch name {
	case "+CONTENTS", "+REQUIRED_BY", "+INSTALLED_INFO":
		return 0o644
	case "+INSTALL", "+DEINSTALL":
		return 0o555
	}
	return 0o444
}

// keptFiles go from a record to that of the package's next version.
var keptFiles = []string{"+REQUIRED_BY", "+PRESERVE", "+INSTALLED_INFO"}

// keep takes what a replaced package's record leaves to the new one: the files
// as they are, time included.
func (in *Installer) keep(old string) map[string]*fstree.Node {
	kept := map[string]*fstree.Node{}
	for _, name := range keptFiles {
		if n, err := in.root.Lstat(in.db.Dir(old) + "/" + name); err == nil && n.IsRegular() {
			kept[name] = &fstree.Node{Mode: n.Mode, UID: n.UID, GID: n.GID, ATime: n.ATime, MTime: n.MTime, Content: n.Content}
		}
	}
	return kept
}

// record writes a package's directory in the database.
func (in *Installer) record(l *loaded, kept map[string]*fstree.Node) error {
	dir := in.db.Dir(l.Name)
	if err := in.root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	in.db.Forget(l.Name)
	in.names = nil
	put := func(name string, b []byte, mode uint32) error {
		return in.root.Put(dir+"/"+name, &fstree.Node{Mode: fstree.TypeRegular | mode, Content: fstree.Bytes(b)})
	}
	for _, m := range l.Meta {
		if m.Name == "+MTREE_DIRS" {
			continue
		}
		if err := put(m.Name, m.Data, metaMode(m.Name)); err != nil {
			return err
		}
	}
	for _, name := range keptFiles {
		if n := kept[name]; n != nil {
			if err := in.root.Put(dir+"/"+name, n); err != nil {
				return err
			}
		}
	}
	if l.install == nil {
		return nil
	}
	for _, h := range l.install.helpers {
		if err := put(h.name, h.body, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// extract puts a package's files into the tree, in the order of the list, and
// does what stands between them.
func (in *Installer) extract(ctx context.Context, l *loaded) error {
	members := map[int]*archive.File{}
	for i := range l.Files {
		members[l.Files[i].Entry] = &l.Files[i]
	}
	for i, e := range l.Plist.Entries {
		if e.Ignored {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		switch e.Kind {
		case plist.File:
			if f := members[i]; f != nil {
				err = in.extractFile(l, f, &e)
			}
		case plist.PkgDir:
			dir := l.prefix + "/" + e.Arg
			if err = in.root.MkdirAll(dir, 0o755); err == nil {
				in.share(dir, l.Name)
			}
		case plist.Exec:
			in.exec(l.Name, e, l.execs[i])
		}
		if err != nil {
			return fmt.Errorf("+CONTENTS line %d: %w", e.Line, err)
		}
	}
	return nil
}

// exec does an @exec or @unexec. As in the genuine tool a failure only warns.
func (in *Installer) exec(pkg string, e plist.Entry, steps []step) {
	if steps == nil {
		in.log.Warnf("%s: not run, as was accepted: %s %s", pkg, e.Kind, e.Arg)
		return
	}
	if err := in.run(steps); err != nil && !errors.Is(err, errFalse) {
		in.log.Warnf("%s: %s %s: %v", pkg, e.Kind, e.Arg, err)
	}
}

func (in *Installer) extractFile(l *loaded, f *archive.File, e *plist.Entry) error {
	name := l.prefix + "/" + f.Name
	if err := in.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if f.Type == archive.Hardlink {
		if err := confined(f.Linkname); err != nil {
			return err
		}
		if n, err := in.root.Lstat(name); err == nil && !n.IsDir() {
			if err := in.root.Remove(name); err != nil {
				return err
			}
		}
		if err := in.root.Link(l.prefix+"/"+f.Linkname, name); err != nil {
			return err
		}
		in.own(name, l.Name)
		return nil
	}
	n := &fstree.Node{Mode: fstree.TypeRegular | f.Mode&fstree.PermMask, Content: f.Content, MTime: f.MTime}
	if f.Type == archive.Symlink {
		n.Mode, n.Target, n.Content = fstree.TypeSymlink|0o777, f.Linkname, nil
	}
	var err error
	if n.UID, n.GID, err = in.accounts.owner(f.Uname, f.Gname, f.UID, f.GID); err != nil {
		return err
	}
	if err := in.root.Put(name, n); err != nil {
		return err
	}
	if ok, err := recorded(n, e); err != nil {
		return err
	} else if !ok {
		in.log.Warnf("%s: %s differs from its record in the packing list", l.Name, f.Name)
	}
	in.own(name, l.Name)
	return nil
}

// own enters a file into the database of files, where nobody has it yet.
func (in *Installer) own(path, pkg string) {
	in.files.Put(path, pkg)
	in.filesChanged = true
}

func (in *Installer) share(dir, pkg string) {
	value, _ := in.files.Get(dir)
	value = or(value, pkgDirMark)
	if !slices.Contains(strings.Fields(value), pkg) {
		in.files.Delete(dir)
		in.files.Put(dir, value+" "+pkg)
		in.filesChanged = true
	}
}

func (in *Installer) unshare(dir, pkg string) {
	if in.shared(dir) {
		value, _ := in.files.Get(dir)
		left := slices.DeleteFunc(strings.Fields(value), func(s string) bool { return s == pkg })
		in.files.Delete(dir)
		if len(left) > 1 {
			in.files.Put(dir, strings.Join(left, " "))
		}
		in.filesChanged = true
	}
}

// shared tells whether packages share a directory.
func (in *Installer) shared(dir string) bool {
	value, _ := in.files.Get(dir)
	return strings.HasPrefix(value, pkgDirMark)
}

// recorded tells whether a file is what its record in the packing list says;
// without a record it is.
func recorded(n *fstree.Node, e *plist.Entry) (bool, error) {
	switch {
	case e.Symlink != "":
		return n.IsSymlink() && n.Target == e.Symlink, nil
	case e.MD5 != "" && n.IsRegular():
		h := md5.New()
		if n.Content != nil {
			if _, err := io.Copy(h, fstree.NewReader(n.Content)); err != nil {
				return false, err
			}
		}
		return hex.EncodeToString(h.Sum(nil)) == e.MD5, nil
	case e.MD5 != "":
		return false, nil
	}
	return true, nil
}

// removal is a package that will be removed, its scripts taken apart.
type removal struct {
	owner
	list     *plist.List
	unexecs  map[int][]step
	findings []Finding
}

// planRemoval reads an installed package. Its findings are not checked yet.
func (in *Installer) planRemoval(name string) (*removal, error) {
	r, err := in.db.Record(name)
	if err != nil {
		return nil, err
	}
	gone := &removal{owner: owner{pkg: name, record: r.Dir, prefix: r.Plist.Prefix()}, list: r.Plist}
	for _, file := range []string{"+INSTALL", "+DEINSTALL"} {
		raw, err := in.db.File(name, file)
		if err != nil {
			return nil, err
		}
		if raw == nil {
			continue
		}
		s := readScript(name, file, gone.prefix, raw)
		if file == "+INSTALL" {
			gone.script = s // for its data lines only
		} else {
			gone.findings = s.findings
		}
	}
	var bad []Finding
	gone.unexecs, bad = readExecs(name, plist.Unexec, r.Plist)
	gone.findings = append(gone.findings, bad...)
	return gone, nil
}

// remove deletes an installed package, in the order of pkg_delete (spec
// pkgsrc.md section 7).
func (in *Installer) remove(ctx context.Context, name string, gone *removal) error {
	if err := in.deinstall(&gone.owner); err != nil {
		return err
	}
	for _, e := range gone.list.Entries {
		if e.Kind == plist.PkgDir && !e.Ignored {
			in.unshare(gone.prefix+"/"+e.Arg, name)
		}
	}
	for i, e := range gone.list.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Ignored {
			continue
		}
		p := gone.prefix + "/" + e.Arg
		switch e.Kind {
		case plist.File:
			if err := confined(e.Arg); err != nil {
				return err
			}
			if err := in.removeFile(name, p, &e); err != nil {
				return err
			}
		case plist.Unexec:
			in.exec(name, e, gone.unexecs[i])
		case plist.PkgDir:
			if _, wanted := in.files.Get(p); !wanted && removeDir(in.root, p) {
				in.removeParents(p)
			}
		case plist.DirRm:
			removeDir(in.root, p)
		}
	}
	for _, pattern := range gone.list.Deps() {
		if err := in.unrequire(name, pattern); err != nil {
			return err
		}
	}
	if err := in.postDeinstall(&gone.owner); err != nil {
		return err
	}
	in.db.Forget(name)
	in.names = nil
	return in.root.RemoveAll(gone.record)
}

func (in *Installer) removeFile(pkg, p string, e *plist.Entry) error {
	if owner, _ := in.files.Get(p); owner == pkg {
		in.files.Delete(p)
		in.filesChanged = true
	}
	n, err := in.root.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fstree.ErrNotDir) {
		in.log.Warnf("%s: %s is gone already", pkg, p)
		return nil
	}
	if err != nil {
		return err
	}
	ok, err := recorded(n, e)
	switch {
	case err != nil:
		return err
	case n.IsDir():
		in.log.Warnf("%s: %s is a directory now, left alone", pkg, p)
		return nil
	case !ok:
		in.log.Warnf("%s: %s was changed, left alone", pkg, p)
		return nil
	}
	if err := in.root.Remove(p); err != nil {
		return err
	}
	in.removeParents(p)
	return nil
}

// removeParents removes directories above p that are empty, up to one that is
// not or that packages share.
func (in *Installer) removeParents(p string) {
	for dir := path.Dir(path.Clean(p)); dir != "/"; dir = path.Dir(dir) {
		if in.shared(dir) || !removeDir(in.root, dir) {
			return
		}
	}
}

// unrequire takes a package out of the +REQUIRED_BY of all that match a pattern.
func (in *Installer) unrequire(name, pattern string) error {
	for have := range in.index().Candidates(pattern) {
		if ok, err := version.Match(pattern, have); err != nil || !ok {
			continue
		}
		r, err := in.db.Record(have)
		if err != nil {
			return err
		}
		if i := slices.Index(r.RequiredBy, name); i >= 0 {
			if err := in.writeRequired(have, slices.Delete(slices.Clone(r.RequiredBy), i, i+1)); err != nil {
				return err
			}
		}
	}
	return nil
}

// smfSite is where illumos looks for manifests to import at boot.
const smfSite = "/var/svc/manifest/site"

// leaveUndone says what was accepted, and places manifests where that was asked for.
func (in *Installer) leaveUndone(l *loaded) error {
	for _, f := range l.findings {
		if f.Action != ActionSMF {
			if f.File != "+CONTENTS" { // those are reported at their place
				in.log.Warnf("%v: not run, as was accepted", f)
			}
			continue
		}
		if !in.accept.names(l.Name, ActionSMFSite) {
			in.log.Warnf("%v: not run, as was accepted: the service is not imported", f)
			continue
		}
		m := manifestPath.FindStringSubmatch(f.Text)
		if m == nil {
			return fmt.Errorf("%v: which manifest it is cannot be told", f)
		}
		from, _ := resolve(m[1], map[string]string{"PKG_PREFIX": l.prefix, "PREFIX": l.prefix, "LOCALBASE": l.prefix})
		if err := in.root.MkdirAll(smfSite, 0o755); err != nil {
			return err
		}
		if err := in.copy(from, smfSite+"/"+path.Base(from)); err != nil {
			return fmt.Errorf("%v: %w", f, err)
		}
		in.log.Warnf("%v: not run, as was accepted: the manifest is in %s for the first boot", f, smfSite)
	}
	return nil
}
