package install

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// This file does the commands that packing lists usually have (@exec, @unexec):
// mkdir, rmdir, ln, rm, cp, chmod, chown, touch, test and echo into a file, joined
// by "&&", "||" and ";". Their arguments must be plain: no variables, no patterns.

// step is one simple command, ready to be done.
type step struct {
	name   string
	args   []string
	to     string // echo's file
	append bool
	next   string // "&&", "||" or ""
}

// readSteps takes a command apart; false where it has anything unusual.
func readSteps(cmd string) ([]step, bool) {
	commands, funcs, err := parse(cmd)
	if err != nil || len(funcs) > 0 || len(commands) == 0 {
		return nil, false
	}
	var steps []step
	joined := false
	for _, c := range commands {
		if c.stage != "" || c.fn != "" || len(c.words) == 0 || c.cond && !joined {
			return nil, false
		}
		s := step{next: c.next}
		for i, w := range c.words {
			v, ok := resolve(w.text, nil)
			if !ok || len(w.subs) > 0 {
				return nil, false
			}
			if i == 0 {
				if s.name = v; path.IsAbs(v) {
					s.name = path.Base(v)
				}
				continue
			}
			s.args = append(s.args, v)
		}
		for _, r := range c.redirs {
			v, ok := resolve(r.target.text, nil)
			switch {
			case !ok || len(r.target.subs) > 0:
				return nil, false
			case (r.op == ">" || r.op == ">>") && v == "/dev/null", r.op == ">&":
			case (r.op == ">" || r.op == ">>") && s.name == "echo" && s.to == "":
				s.to, s.append = v, r.op == ">>"
			default:
				return nil, false
			}
		}
		switch c.next {
		case "&&", "||":
		case "\n", ";":
			s.next = ""
		default:
			return nil, false
		}
		joined = s.next != ""
		if !s.usual() {
			return nil, false
		}
		steps = append(steps, s)
	}
	return steps, !joined
}

// usual tells whether run knows the command with these arguments.
func (s step) usual() bool {
	flags, rest := splitFlags(s.args)
	only := func(allowed string) bool { return strings.Trim(flags, allowed) == "" }
	switch s.name {
	case "mkdir":
		return only("p") && len(rest) > 0
	case "rmdir":
		return only("p") && len(rest) > 0
	case "rm":
		return only("f") && len(rest) > 0
	case "ln":
		return only("sf") && len(rest) == 2
	case "cp":
		return only("pf") && len(rest) == 2
	case "touch":
		return flags == "" && len(rest) > 0
	case "chmod":
		if len(s.args) < 2 {
			return false
		}
		_, err := strconv.ParseUint(s.args[0], 8, 12)
		return err == nil
	case "chown", "chgrp":
		return flags == "" && len(rest) > 1
	case "echo":
		return flags == "" && !strings.Contains(strings.Join(s.args, ""), `\`)
	case "true", ":", "false":
		return true
	case "[", "test":
		_, _, ok := s.condition()
		return ok
	}
	return false
}

// condition reads "test", or "[", with one question about one path.
func (s step) condition() (negated bool, question []string, ok bool) {
	args := s.args
	if s.name == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			return false, nil, false
		}
		args = args[:len(args)-1]
	}
	if len(args) > 0 && args[0] == "!" {
		negated, args = true, args[1:]
	}
	return negated, args, len(args) == 2 && strings.Contains(" -e -f -d -h -L -s -x ", " "+args[0]+" ")
}

// test answers it.
func (in *Installer) test(s step) error {
	negated, q, _ := s.condition()
	n, err := in.root.Stat(q[1])
	if q[0] == "-h" || q[0] == "-L" {
		n, err = in.root.Lstat(q[1])
	}
	is := err == nil
	if is {
		switch q[0] {
		case "-f":
			is = n.IsRegular()
		case "-d":
			is = n.IsDir()
		case "-h", "-L":
			is = n.IsSymlink()
		case "-s":
			is = n.Size() > 0
		case "-x":
			is = n.Perm()&0o111 != 0
		}
	}
	if is == negated {
		return errFalse
	}
	return nil
}

// errFalse is the answer no, which nobody is told.
var errFalse = errors.New("false")

func splitFlags(args []string) (flags string, rest []string) {
	for i, a := range args {
		if a == "--" {
			return flags, args[i+1:]
		}
		if len(a) < 2 || a[0] != '-' {
			return flags, args[i:]
		}
		flags += a[1:]
	}
	return flags, nil
}

// run does the steps; the error is that of the last one done, as in a shell.
func (in *Installer) run(steps []step) (err error) {
	skip := ""
	for _, s := range steps {
		if skip == "" || skip == "&&" && err == nil || skip == "||" && err != nil {
			if err = in.do(s); err != nil {
				err = fmt.Errorf("%s: %w", s.name, err)
			}
		}
		skip = s.next
	}
	return err
}

func (in *Installer) do(s step) error {
	flags, rest := splitFlags(s.args)
	has := func(f string) bool { return strings.Contains(flags, f) }
	each := func(f func(string) error) error {
		var first error
		for _, p := range rest {
			if err := f(p); err != nil && first == nil {
				first = err
			}
		}
		return first
	}
	root := in.root
	switch s.name {
	case "mkdir":
		return each(func(p string) error {
			if has("p") {
				return root.MkdirAll(p, 0o755)
			}
			_, err := root.Mkdir(p, 0o755, 0, 0)
			return err
		})
	case "rmdir":
		return each(func(p string) error {
			if !removeDir(root, p) {
				return fmt.Errorf("%s: %w", p, fstree.ErrNotEmpty)
			}
			if has("p") {
				removeEmpty(root, path.Dir(path.Clean("/"+p)))
			}
			return nil
		})
	case "rm":
		return each(func(p string) error {
			if n, err := root.Lstat(p); err == nil && n.IsDir() {
				return fmt.Errorf("%s: %w", p, fstree.ErrIsDir)
			}
			err := root.Remove(p)
			if has("f") && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
	case "ln":
		return in.link(rest[0], rest[1], has("s"), has("f"))
	case "cp":
		return in.copy(rest[0], rest[1])
	case "touch":
		return each(func(p string) error {
			n, err := root.Stat(p)
			if errors.Is(err, fs.ErrNotExist) {
				return root.WriteFile(p, nil, 0o644)
			}
			if err == nil {
				n.MTime, n.ATime = root.Now, root.Now
			}
			return err
		})
	case "chmod":
		rest = s.args[1:]
		return each(func(p string) error { return in.setPerms(p, s.args[0], "", "") })
	case "chown", "chgrp":
		owner, group, _ := strings.Cut(rest[0], ":")
		if s.name == "chgrp" {
			owner, group = "", owner
		}
		rest = rest[1:]
		return each(func(p string) error { return in.setPerms(p, "", owner, group) })
	case "echo":
		line := strings.Join(s.args, " ") + "\n"
		if s.to == "" {
			in.log.Infof("%s", strings.TrimSuffix(line, "\n"))
			return nil
		}
		var have []byte
		if s.append {
			var err error
			if have, err = readOptional(root, s.to, maxSmall); err != nil {
				return err
			}
		}
		return root.WriteFile(s.to, append(have, line...), 0o644)
	case "false":
		return errFalse
	case "[", "test":
		return in.test(s)
	}
	return nil
}

func (in *Installer) link(target, name string, symbolic, force bool) error {
	root := in.root
	if n, err := root.Stat(name); err == nil && n.IsDir() {
		name = path.Join(name, path.Base(target))
	}
	if _, err := root.Lstat(name); err == nil && force {
		if err := root.Remove(name); err != nil {
			return err
		}
	}
	if _, err := root.Lstat(name); err == nil {
		return fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	if symbolic {
		return root.Put(name, &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: target})
	}
	return root.Link(target, name)
}

// copy is cp: the mode of the source without set-id, the time now.
func (in *Installer) copy(from, to string) error {
	src, err := in.root.Stat(from)
	if err != nil {
		return err
	}
	if !src.IsRegular() {
		return fmt.Errorf("%s: %w", from, fs.ErrInvalid)
	}
	dst, err := in.root.Stat(to)
	switch {
	case err == nil && dst.IsDir():
		return in.copy(from, path.Join(to, path.Base(from)))
	case err == nil && dst.IsRegular():
		dst.Content, dst.MTime = src.Content, in.root.Now
		return nil
	case err == nil:
		return fmt.Errorf("%s: %w", to, fs.ErrInvalid)
	}
	return in.root.Put(to, &fstree.Node{Mode: fstree.TypeRegular | src.Perm()&0o755, Content: src.Content})
}

// setPerms is chown, chgrp, chmod, in this order: changing the owner takes
// set-id bits away. Empty fields are left alone; the first failure is returned
// and the rest done nevertheless.
func (in *Installer) setPerms(p, mode, owner, group string) error {
	n, err := in.root.Stat(p)
	if err != nil {
		return err
	}
	if err := in.accounts.load(); err != nil {
		return err
	}
	var first error
	fail := func(what, value string) {
		if first == nil {
			first = fmt.Errorf("%s: unknown %s %q", p, what, value)
		}
	}
	if owner != "" || group != "" {
		uid, ok := id(in.accounts.users, owner)
		if owner != "" && !ok {
			fail("user", owner)
		} else if owner != "" {
			n.UID = uid
		}
		gid, ok := id(in.accounts.groups, group)
		if group != "" && !ok {
			fail("group", group)
		} else if group != "" {
			n.GID = gid
		}
		if n.IsRegular() {
			n.SetPerm(n.Perm() &^ 0o6000)
		}
	}
	if mode != "" {
		m, err := strconv.ParseUint(mode, 8, 12)
		if err != nil {
			fail("mode", mode)
		} else {
			n.SetPerm(uint32(m))
		}
	}
	return first
}
