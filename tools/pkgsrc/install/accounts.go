package install

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

const (
	filePasswd = "/etc/passwd"
	fileGroup  = "/etc/group"
	fileShadow = "/etc/shadow"
	fileShells = "/etc/shells"

	maxAccounts = 16 << 20 // bytes of such a file

	maxNormalID = 60000 // ids from here on are the system's own (nobody, noaccess)
)

// accounts looks names up in the target's own files, never the host's, and
// adds users and groups as the platform's useradd and groupadd would.
type accounts struct {
	root   *fstree.Tree
	users  map[string]uint32
	groups map[string]uint32
}

// load reads the files when they are first needed. Files that are missing hold
// no names.
func (a *accounts) load() error {
	if a.users != nil {
		return nil
	}
	users, err := readIDs(a.root, filePasswd)
	if err != nil {
		return err
	}
	groups, err := readIDs(a.root, fileGroup)
	if err != nil {
		return err
	}
	a.users, a.groups = users, groups
	return nil
}

// readIDs maps the names of passwd or group to the ids in the third field. Of
// several lines with one name the first counts.
func readIDs(root *fstree.Tree, path string) (map[string]uint32, error) {
	b, err := readOptional(root, path, maxAccounts)
	if err != nil {
		return nil, err
	}
	ids := map[string]uint32{}
	for l := range strings.SplitSeq(string(b), "\n") {
		f := strings.Split(l, ":")
		if len(f) < 3 || f[0] == "" {
			continue
		}
		id, err := strconv.ParseUint(f[2], 10, 32)
		if _, twice := ids[f[0]]; err == nil && !twice {
			ids[f[0]] = uint32(id)
		}
	}
	return ids, nil
}

// owner gives the ids of a package's file: by name, else the numbers.
func (a *accounts) owner(user, group string, uid, gid uint32) (uint32, uint32, error) {
	if err := a.load(); err != nil {
		return 0, 0, err
	}
	if id, ok := a.users[user]; ok {
		uid = id
	}
	if id, ok := a.groups[group]; ok {
		gid = id
	}
	return uid, gid, nil
}

// id finds a name or takes a number, as chown does.
func id(names map[string]uint32, s string) (uint32, bool) {
	if n, ok := names[s]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// next is the id that useradd and groupadd choose: above the highest in use.
func next(ids map[string]uint32) string {
	highest := uint32(0)
	for _, n := range ids {
		if n < maxNormalID {
			highest = max(highest, n)
		}
	}
	return strconv.FormatUint(uint64(highest)+1, 10)
}

// wanted checks an id that a data line asks for.
func wanted(kind, name, want string, ids map[string]uint32) (uint32, error) {
	if want == "" {
		want = next(ids)
	}
	n, err := strconv.ParseUint(want, 10, 31)
	if err != nil {
		return 0, fault.Step.Errorf("%s %s: id %q is no number", kind, name, want)
	}
	for other, taken := range ids {
		if taken == uint32(n) {
			return 0, fault.Step.Errorf("%s %s: id %d belongs to %s", kind, name, n, other)
		}
	}
	return uint32(n), nil
}

// plain refuses fields that would break the file's lines.
func plain(fields ...string) error {
	for _, f := range fields {
		if strings.ContainsAny(f, ":\n") {
			return fmt.Errorf("field %q is not usable in an account file", f)
		}
	}
	return nil
}

// addGroup appends a group in the form of illumos: no password field.
func (a *accounts) addGroup(name, gid string) error {
	if err := plain(name); err != nil {
		return err
	}
	n, err := wanted("group", name, gid, a.groups)
	if err != nil {
		return err
	}
	if err := a.append(fileGroup, fmt.Sprintf("%s::%d:\n", name, n)); err != nil {
		return err
	}
	a.groups[name] = n
	return nil
}

// user is a "# USER:" line with its defaults filled in.
type user struct{ name, group, uid, comment, home, shell string }

// addUser appends a locked account.
func (a *accounts) addUser(u user) error {
	if err := plain(u.name, u.comment, u.home, u.shell); err != nil {
		return err
	}
	gid, ok := id(a.groups, u.group)
	if !ok {
		return fault.Step.Errorf("user %s: no group %q", u.name, u.group)
	}
	uid, err := wanted("user", u.name, u.uid, a.users)
	if err != nil {
		return err
	}
	if err := a.append(filePasswd, fmt.Sprintf("%s:x:%d:%d:%s:%s:%s\n", u.name, uid, gid, u.comment, u.home, u.shell)); err != nil {
		return err
	}
	if _, err := a.root.Stat(fileShadow); err == nil {
		if err := a.append(fileShadow, u.name+":*LK*:::::::\n"); err != nil {
			return err
		}
	}
	a.users[u.name] = uid
	return nil
}

func (a *accounts) append(path, line string) error {
	return appendFile(a.root, path, line)
}

// appendFile adds text to a file, in place.
func appendFile(root *fstree.Tree, path, text string) error {
	b, err := readOptional(root, path, maxAccounts)
	if err != nil {
		return err
	}
	if n := len(b); n > 0 && b[n-1] != '\n' && path != "" {
		b = append(b, '\n')
	}
	return root.WriteFile(path, append(b, text...), 0o644)
}
