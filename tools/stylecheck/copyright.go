package stylecheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// CopyrightOptions say which files are looked at, and how strictly.
type CopyrightOptions struct {
	Dir      string          // a directory of the work tree
	Branch   string          // what changes are compared with, at origin; "": master, or main where there is no master
	WarnForm bool            // a wrong form is no error
	Exclude  map[string]bool // paths from the top that are left out
	Now      time.Time       // its year is that of changes not committed
}

// Level says how bad a Remark is.
type Level int

const (
	Info Level = iota
	Warning
	Error
)

func (l Level) String() string { return [...]string{"info", "warning", "error"}[l] }

// Remark is what was found in one file.
type Remark struct {
	Level Level
	File  string // from the top of the work tree
	Text  string
}

func (r Remark) String() string { return fmt.Sprintf("%v: %s: %s", r.Level, r.File, r.Text) }

// Copyright checks the copyright lines of the files that changed: in commits
// that the branch at origin does not have, in the index and in the work tree.
// In files git does not know yet it finds no errors, only warnings. There is a
// remark for each file, in the order of their names.
func Copyright(ctx context.Context, opts CopyrightOptions) ([]Remark, error) {
	g := git{ctx, opts.Dir}
	top, err := g.line("rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	g.dir = top

	var committed []string
	if base := g.base(opts.Branch); base != "" {
		if committed, err = g.names("diff", "--name-only", "-z", base+"..."); err != nil {
			return nil, err
		}
	}
	staged, err := g.names("diff", "--name-only", "-z", "--staged")
	if err != nil {
		return nil, err
	}
	unstaged, err := g.names("diff", "--name-only", "-z")
	if err != nil {
		return nil, err
	}
	untracked, err := g.names("ls-files", "-z", "--others", "--exclude-standard")
	if err != nil {
		return nil, err
	}

	year := fmt.Sprint(opts.Now.Year())
	if len(committed) > 0 && len(staged) == 0 && len(unstaged) == 0 {
		// So that a change keeps its year when it is looked at in the next.
		if year, err = g.line("log", "-1", "--date=format:%Y", "--format=%ad"); err != nil {
			return nil, err
		}
	}

	tracked := map[string]bool{} // of the names to look at
	for _, n := range untracked {
		tracked[n] = false
	}
	for _, names := range [][]string{committed, staged, unstaged} {
		for _, n := range names {
			tracked[n] = true
		}
	}
	names := make([]string, 0, len(tracked))
	for n := range tracked {
		names = append(names, n)
	}
	sort.Strings(names)

	var remarks []Remark
	for _, n := range names {
		r := Remark{Info, n, "excluded with -x"}
		if !opts.Exclude[n] {
			if r, err = check(filepath.Join(top, n), n, year, opts.WarnForm); err != nil {
				return nil, err
			}
		}
		if !tracked[n] && r.Level == Error {
			r.Level, r.Text = Warning, r.Text+" (an error once git knows the file)"
		}
		remarks = append(remarks, r)
	}
	return remarks, nil
}

var (
	edgecastLine = regexp.MustCompile(`(?i)copyright.*edgecast`)
	mnxLine      = regexp.MustCompile(`(?i)copyright.*mnx`)
	years        = regexp.MustCompile(`[0-9]+`)
	goodForm     = regexp.MustCompile(`Copyright [0-9]{4} Edgecast Cloud LLC\.$`)
	mnxForm      = regexp.MustCompile(`Copyright [0-9]{4} MNX Cloud, Inc\.$`)
	// what ends a comment that holds one line
	closing = regexp.MustCompile(`\s*(\*+/|--+>|--%>|-\}|\*\)|%>|#)?\s*$`)
)

// check looks at the file path, called name.
func check(path, name, year string, warnForm bool) (Remark, error) {
	r := func(l Level, format string, args ...any) (Remark, error) {
		return Remark{l, name, fmt.Sprintf(format, args...)}, nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return r(Info, "not a file")
	}
	f, err := os.Open(path)
	if err != nil {
		return Remark{}, fault.Step.Errorf("looking for a copyright line: %w", err)
	}
	defer f.Close()
	var line, second string
	err = eachLine(f, func(l string) bool {
		if edgecastLine.MatchString(l) {
			line = l
		} else if second == "" && mnxLine.MatchString(l) {
			second = l
		}
		return line == ""
	})
	if err != nil {
		return Remark{}, fault.Step.Errorf("looking for a copyright line in %s: %w", name, err)
	}
	if line == "" {
		line = second
	}
	if line == "" {
		return r(Info, "no copyright line of Edgecast or MNX")
	}

	form := Error
	if warnForm {
		form = Warning
	}
	claim := line[mnxOrEdgecast(line):]
	if !contains(years.FindAllString(claim, -1), year) {
		return r(Error, "the copyright year is not %s: %q", year, line)
	}
	claim = closing.ReplaceAllString(claim, "")
	if mnxForm.MatchString(claim) {
		return r(form, "MNX's copyright, but not Edgecast's: %q", line)
	}
	if !goodForm.MatchString(claim) {
		return r(form, "the copyright line does not end in %q: %q", "Copyright "+year+" Edgecast Cloud LLC.", line)
	}
	return r(Info, "good")
}

// mnxOrEdgecast returns where the claim begins in line.
func mnxOrEdgecast(line string) int {
	for _, re := range []*regexp.Regexp{edgecastLine, mnxLine} {
		if at := re.FindStringIndex(line); at != nil {
			return at[0]
		}
	}
	return 0
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

type git struct {
	ctx context.Context
	dir string
}

func (g git) run(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(g.ctx, "git", args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = g.dir, &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return nil, fault.Step.Errorf("git %s: %s", args[0], strings.TrimSpace(stderr.String()))
	case err != nil:
		return nil, fault.Unfit.Errorf("running git: %w", err)
	}
	return out, nil
}

func (g git) line(args ...string) (string, error) {
	out, err := g.run(args...)
	return strings.TrimSpace(string(out)), err
}

func (g git) names(args ...string) ([]string, error) {
	out, err := g.run(args...)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), nil
}

// base is the branch at origin to compare with, "" if there is none.
func (g git) base(branch string) string {
	try := []string{branch}
	if branch == "" || branch == "master" {
		try = []string{"master", "main"}
	}
	for _, b := range try {
		ref := "refs/remotes/origin/" + b
		if _, err := g.run("show-ref", "--verify", "--quiet", ref); err == nil {
			return ref
		}
	}
	return ""
}
