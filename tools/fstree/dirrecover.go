package fstree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

const maxJournal = 256 << 20 // bytes

// writeJournal notes what is going to be moved: a line for each change with its
// name, where the new file stands, and where the old one is going to.
func writeJournal(root *os.Root, changes []dirChange) error {
	if len(changes) == 0 {
		return nil
	}
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "%q %q %q\n", c.name, c.temp, c.back)
	}
	if err := root.WriteFile(journal+".part", []byte(b.String()), 0o600); err != nil {
		return err
	}
	return root.Rename(journal+".part", journal)
}

// RecoverDir undoes what an UpdateDir began that was killed while it moved files
// into place; false where there is nothing to undo. Modes and times that were
// changed in place stay changed.
func RecoverDir(root *os.Root) (bool, error) {
	if err := root.Remove(journal + ".part"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	fi, err := root.Lstat(journal)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil && (!fi.Mode().IsRegular() || fi.Size() > maxJournal) {
		err = pathError("read", journal, fs.ErrInvalid)
	}
	if err != nil {
		return false, err
	}
	raw, err := root.ReadFile(journal)
	if err != nil {
		return false, err
	}
	lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		c, err := parseJournal(lines[i])
		if err == nil {
			err = recoverChange(root, c)
		}
		if err != nil {
			return false, fmt.Errorf("undoing what was left half done: %s line %d: %w", journal, i+1, err)
		}
	}
	return true, root.Remove(journal)
}

func parseJournal(line string) (c dirChange, err error) {
	for i, to := range []*string{&c.name, &c.temp, &c.back} {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return c, err
		}
		if *to, err = strconv.Unquote(quoted); err != nil {
			return c, err
		}
		line = strings.TrimPrefix(line[len(quoted):], " ")
		if i == 2 && line != "" {
			return c, errors.New("text behind its end")
		}
	}
	for p, prefix := range map[string]string{c.temp: tempNew, c.back: tempOld} {
		if p != "" && (path.Dir(p) != path.Dir(c.name) || !strings.HasPrefix(path.Base(p), prefix)) {
			return c, fmt.Errorf("%q is no temporary name of %q", p, c.name)
		}
	}
	return c, nil
}

// recoverChange undoes one change, however far it got; once more does no harm.
func recoverChange(root *os.Root, c dirChange) error {
	there := func(p string) bool {
		if p == "" {
			return false
		}
		_, err := root.Lstat(p)
		return err == nil
	}
	hadTemp, aside := there(c.temp), there(c.back)
	if c.temp != "" && !hadTemp && (c.back == "" || aside) {
		if err := root.RemoveAll(c.name); err != nil { // it is the new one
			return err
		}
	}
	if aside {
		if err := root.Rename(c.back, c.name); err != nil {
			return err
		}
		// Where both names are the same file rename has done nothing.
		if err := root.Remove(c.back); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if hadTemp {
		return root.RemoveAll(c.temp)
	}
	return nil
}
