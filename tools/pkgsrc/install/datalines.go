package install

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// This file does what the helper scripts do with their data lines (spec
// pkgsrc.md section 8.2): each line once, in the order of the bytes, backwards
// when removing.

// owner is the package whose lines are worked on.
type owner struct {
	pkg    string // full name
	record string // its directory in the database
	prefix string
	script *script
}

// lines returns the lines of a tag the way "sort -u" and "sort -ru" give them.
func (o *owner) lines(tag string, backwards bool) []string {
	if o.script == nil {
		return nil
	}
	l := slices.Clone(o.script.data[tag])
	slices.Sort(l)
	l = slices.Compact(l)
	if backwards {
		slices.Reverse(l)
	}
	return l
}

func (o *owner) abs(p string) string {
	if strings.HasPrefix(p, "/") {
		return p
	}
	return o.prefix + "/" + p
}

// fields splits at blanks; the last of n takes the rest, missing ones are "".
func fields(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		s = strings.Trim(s, " \t")
		if i == n-1 {
			out[i] = s
			break
		}
		end := strings.IndexAny(s, " \t")
		if end < 0 {
			end = len(s)
		}
		out[i], s = s[:end], s[end:]
	}
	return out
}

// preInstall does accounts, then directories.
func (in *Installer) preInstall(o *owner) error {
	if err := in.addAccounts(o); err != nil {
		return err
	}
	for _, l := range o.lines("DIR", false) {
		f := fields(l, 5)
		dir, flags, mode, own, grp := o.abs(f[0]), f[1], f[2], f[3], f[4]
		if f[0] == "" || !strings.Contains(flags, "m") {
			continue
		}
		n, err := in.root.Stat(dir)
		if err := in.counters.count("dirs", dir, o.pkg, o.record, err == nil && n.IsDir()); err != nil {
			return err
		}
		if err := in.counters.permissions("dirs", dir, emptyOr(mode+own+grp, own, grp, mode)...); err != nil {
			return err
		}
		if err := in.root.MkdirAll(dir, 0o755); err != nil {
			in.log.Warnf("%s: directory %s: %v", o.pkg, dir, err)
			continue
		}
		if err := in.setPerms(dir, mode, own, grp); err != nil {
			in.log.Warnf("%s: directory %v", o.pkg, err)
		}
	}
	return nil
}

// emptyOr gives nothing where nothing was asked for.
func emptyOr(asked string, values ...string) []string {
	if asked == "" {
		return nil
	}
	return values
}

func (in *Installer) addAccounts(o *owner) error {
	groups, users := o.lines("GROUP", false), o.lines("USER", false)
	if len(groups)+len(users) == 0 {
		return nil
	}
	if err := in.accounts.load(); err != nil {
		return err
	}
	// Ids that differ from what the line says are taken as they are: SmartOS
	// builds its packages so.
	exists := func(kind, name, want string, ids map[string]uint32) bool {
		have, ok := ids[name]
		if ok && want != "" && want != fmt.Sprint(have) {
			in.log.Warnf("%s: %s %s has id %d, not %s", o.pkg, kind, name, have, want)
		}
		return ok
	}
	for _, l := range groups {
		f := splitColons(l, 2)
		if f[0] == "" {
			continue
		}
		_, have := in.accounts.groups[f[0]]
		if err := in.counters.count("groups", f[0], o.pkg, o.record, have); err != nil {
			return err
		}
		if !exists("group", f[0], f[1], in.accounts.groups) {
			if err := in.accounts.addGroup(f[0], f[1]); err != nil {
				return err
			}
		}
	}
	base, _ := version.Split(o.pkg)
	for _, l := range users {
		f := splitColons(l, 6)
		u := user{f[0], f[1], f[2], f[3], f[4], f[5]}
		if u.name == "" || u.group == "" {
			continue
		}
		if u.comment == "" {
			if u.comment = base + " " + u.name + " user"; u.name == base {
				u.comment = u.name + " user"
			}
		}
		u.home, u.shell = or(u.home, "/nonexistent"), or(u.shell, "/usr/bin/false")
		_, have := in.accounts.users[u.name]
		if err := in.counters.count("users", u.name, o.pkg, o.record, have); err != nil {
			return err
		}
		if !exists("user", u.name, u.uid, in.accounts.users) {
			if err := in.accounts.addUser(u); err != nil {
				return err
			}
		}
	}
	return nil
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func splitColons(s string, n int) []string {
	f := strings.SplitN(s, ":", n)
	return append(f, make([]string, n-len(f))...)
}

// wantCopy tells whether a "# FILE:" line's flags ask for the copy: scripts for
// an init system that illumos has not are counted only.
func wantCopy(flags string) bool {
	return strings.Contains(flags, "f") || !strings.Contains(flags, "r")
}

// postInstall does configuration files, permissions, shells and info files.
func (in *Installer) postInstall(o *owner) error {
	for _, l := range o.lines("FILE", false) {
		f := fields(l, 6)
		to, flags, from, mode, own, grp := o.abs(f[0]), f[1], o.abs(f[2]), f[3], f[4], f[5]
		if f[2] == "" || !strings.Contains(flags, "c") {
			continue
		}
		if err := in.counters.count("files", to, o.pkg, o.record, in.regular(to)); err != nil {
			return err
		}
		if err := in.counters.permissions("files", to, emptyOr(mode+own+grp, mode, own, grp)...); err != nil {
			return err
		}
		if !wantCopy(flags) || in.regular(to) || !in.regular(from) && from != devNull {
			continue
		}
		if err := in.copyExample(from, to); err != nil {
			in.log.Warnf("%s: configuration file %s: %v", o.pkg, to, err)
			continue
		}
		if err := in.setPerms(to, mode, own, grp); err != nil {
			in.log.Warnf("%s: configuration file %v", o.pkg, err)
		}
	}
	for _, l := range o.lines("PERMS", false) {
		f := fields(l, 4)
		if p := o.abs(f[0]); in.regular(p) {
			if err := in.setPerms(p, f[1], f[2], f[3]); err != nil {
				in.log.Warnf("%s: permissions: %v", o.pkg, err)
			}
		}
	}
	for _, tag := range []string{"FONTS", "ICON_THEME", "SHLIBS"} {
		if n := len(o.lines(tag, false)); n > 0 {
			in.log.Infof("%s: %d %s lines: an index that the system makes is not made", o.pkg, n, tag)
		}
	}
	if err := in.addShells(o); err != nil {
		return err
	}
	return in.infoFiles(o, false)
}

// devNull is the example of configuration files that begin empty. It belongs to
// the platform and is not in an image.
const devNull = "/dev/null"

func (in *Installer) copyExample(from, to string) error {
	if from == devNull {
		return in.root.Put(to, &fstree.Node{Mode: fstree.TypeRegular | 0o644})
	}
	return in.copy(from, to)
}

func (in *Installer) regular(p string) bool {
	n, err := in.root.Stat(p)
	return err == nil && n.IsRegular()
}

func (in *Installer) addShells(o *owner) error {
	for _, l := range o.lines("SHELL", false) {
		sh := o.prefix + "/" + l
		if strings.HasPrefix(l, "/") || !in.regular(sh) || !in.regular(fileShells) {
			continue
		}
		have, err := in.root.ReadFile(fileShells, maxSmall)
		if err != nil {
			return err
		}
		if strings.Contains("\n"+string(have), "\n"+sh) {
			continue
		}
		if err := appendFile(in.root, fileShells, sh+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// deinstall does what comes before the files of a package are removed.
func (in *Installer) deinstall(o *owner) error {
	if err := in.infoFiles(o, true); err != nil {
		return err
	}
	for _, l := range o.lines("SHELL", false) {
		if err := in.dropShell(o.prefix+"/"+l, strings.HasPrefix(l, "/")); err != nil {
			return err
		}
	}
	for _, l := range o.lines("FILE", true) {
		f := fields(l, 4)
		to, flags, from := o.abs(f[0]), f[1], o.abs(f[2])
		if !in.counters.counted("files", to, o.pkg) {
			continue
		}
		if !in.counters.preexisting("files", to) && wantCopy(flags) {
			same, err := in.same(to, from)
			if err != nil {
				return err
			}
			if same {
				if err := in.root.Remove(to); err != nil {
					return err
				}
			}
		}
		if err := in.counters.drop("files", to, o.pkg); err != nil {
			return err
		}
	}
	return nil
}

func (in *Installer) dropShell(sh string, absolute bool) error {
	if absolute || !in.regular(sh) || !in.regular(fileShells) {
		return nil
	}
	have, err := in.root.ReadFile(fileShells, maxSmall)
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(strings.SplitAfter(string(have), "\n"), func(l string) bool { return strings.HasPrefix(l, sh) })
	if text := strings.Join(kept, ""); text != string(have) {
		return in.root.WriteFile(fileShells, []byte(text), 0o644)
	}
	return nil
}

// same compares two regular files, as cmp does.
func (in *Installer) same(a, b string) (bool, error) {
	if b == devNull {
		n, err := in.root.Stat(a)
		return err == nil && n.IsRegular() && n.Size() == 0, nil
	}
	x, err := in.root.Stat(a)
	if err != nil || !x.IsRegular() {
		return false, nil
	}
	y, err := in.root.Stat(b)
	if err != nil || !y.IsRegular() {
		return false, nil
	}
	return fstree.SameContent(x.Content, y.Content)
}

// postDeinstall does what comes behind: directories and accounts, which stay.
func (in *Installer) postDeinstall(o *owner) error {
	for _, l := range o.lines("DIR", true) {
		f := fields(l, 3)
		dir := path.Clean(o.abs(f[0]))
		if !in.counters.counted("dirs", dir, o.pkg) {
			continue
		}
		if !in.counters.preexisting("dirs", dir) {
			removeEmpty(in.root, dir)
		}
		if err := in.counters.drop("dirs", dir, o.pkg); err != nil {
			return err
		}
	}
	for _, tag := range []string{"USER", "GROUP"} {
		kind := map[string]string{"USER": "users", "GROUP": "groups"}[tag]
		for _, l := range o.lines(tag, false) {
			name, _, _ := strings.Cut(l, ":")
			if in.counters.counted(kind, name, o.pkg) {
				if err := in.counters.drop(kind, name, o.pkg); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
