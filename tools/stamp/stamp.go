// Package stamp tells the stamp of a work tree, BRANCH-TIMESTAMP-gCOMMIT, which
// versions images and names uploads. It is the twin of tools/mk/facts.sh and
// Makefile.defs; a test compares the two in every state a work tree can be in.
//
// It runs git. Where there is no git, no repository or no commit the parts are
// empty, as make has them.
package stamp

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"
)

// Layout is the form of a timestamp, for package time; always UTC.
const Layout = "20060102T150405Z"

// Stamp is the parts of a stamp.
type Stamp struct {
	Branch    string // up to its first slash; a dash for what may mean something to a shell
	Timestamp string // of form Layout, or what the user gave
	Describe  string // g and the short commit hash, with -dirty; g without a commit
	Commit    string // full commit hash, or empty
}

// String returns BRANCH-TIMESTAMP-gCOMMIT.
func (s Stamp) String() string { return s.Branch + "-" + s.Timestamp + "-" + s.Describe }

// Read tells the stamp of the work tree that holds dir. An empty timestamp means
// now. getenv gives BRANCH_NAME, which counts on a detached HEAD. The only error is
// that ctx has ended.
func Read(ctx context.Context, dir, timestamp string, now time.Time, getenv func(string) string) (Stamp, error) {
	if timestamp == "" {
		timestamp = now.UTC().Format(Layout)
	}
	s := Stamp{Timestamp: timestamp, Describe: "g"}
	commit := git(ctx, dir, "describe", "--all", "--long", "--dirty", "--always")
	commit = commit[strings.LastIndex("-g"+commit, "-g"):]
	s.Describe += commit
	s.Commit = git(ctx, dir, "rev-parse", "-q", "--verify", "HEAD")

	ref := git(ctx, dir, "symbolic-ref", "-q", "HEAD")
	switch p := strings.SplitN(ref, "/", 4); {
	case len(p) >= 3:
		s.Branch = plain(p[2])
	case commit != "":
		s.Branch = plain(detached(ctx, dir, getenv("BRANCH_NAME")))
	}
	return s, ctx.Err()
}

// Remote returns the address of dir's remote "origin", empty where there is none.
func Remote(ctx context.Context, dir string) string {
	return git(ctx, dir, "remote", "get-url", "origin")
}

// detached names the branch when HEAD is on none: the name that CI gives, else the
// only branch at HEAD, else "detached".
func detached(ctx context.Context, dir, name string) string {
	name, _, _ = strings.Cut(name, "/")
	if name != "" {
		return name
	}
	for ref := range strings.FieldsSeq(git(ctx, dir, "for-each-ref", "--points-at", "HEAD", "--format=%(refname)", "refs/heads", "refs/remotes")) {
		branch, local := strings.CutPrefix(ref, "refs/heads/")
		if !local {
			_, branch, _ = strings.Cut(strings.TrimPrefix(ref, "refs/remotes/"), "/")
			if branch == "HEAD" {
				continue
			}
		}
		if name != "" && name != branch {
			return "detached"
		}
		name = branch
	}
	if name == "" {
		return "detached"
	}
	name, _, _ = strings.Cut(name, "/")
	return name
}

// plain replaces every byte that has no place in a stamp by a dash.
func plain(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '+':
		default:
			b[i] = '-'
		}
	}
	return string(b)
}

// git returns what git says, without the last newline; nothing if it fails.
func git(ctx context.Context, dir string, args ...string) string {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout = &limited{&out, 1 << 20}
	if err := cmd.Run(); err != nil {
		return ""
	}
	return strings.TrimRight(out.String(), "\n")
}

// limited fails when more than left bytes are written.
type limited struct {
	buf  *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errors.New("too long an answer")
	}
	return l.buf.Write(p)
}
