// Package agent makes the archives of agents that components put into their
// images: cloned and built, or downloaded, kept in a cache directory, and
// unpacked. (spec engbld-interface.md section 4.4)
//
// The cache is shared by everything one user builds on a machine: CACHE/REPO is
// the one clone of an agent, CACHE/REPO.lock says that somebody works in it.
package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/owned"
	"github.com/TritonDataCenter/engbld/tools/process"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"github.com/TritonDataCenter/engbld/tools/untar"
)

// Options say which agent, and where its archive comes from.
type Options struct {
	Branch      string // tried after AgentBranch; then master, main
	AgentBranch string // "" is Branch
	Cache       string // directory that not everybody writes to, made when it is needed; in one like /tmp this user's alone
	Repo        string // name of the repository
	Pattern     string // grep's expression for the archive's path in the clone
	URL         string // of the repository, for Clone
	Targets     string // make's, separated by blanks, for Build
	Download    string // index page or directory that archives come from; "": they are built

	Users []int // whose directories Extract unpacks into where everybody can make names; nil: this process's user's

	LockTries int                                        // 0 is 600
	Sleep     func(context.Context, time.Duration) error // between two tries; nil waits for real
	Fetch     Fetcher                                    // for Download from a server
	Stderr    *os.File                                   // what git and make say; nil: nowhere
	Infof     func(format string, args ...any)           // the story; nil is silent
	Warnf     func(format string, args ...any)
}

// Fetcher gets things from a server.
type Fetcher interface {
	// Get returns what is at url, an index page, of at most limit bytes.
	Get(ctx context.Context, url string, limit int64) ([]byte, error)
	// GetFile puts what is at url into the file dst, which appears only
	// complete.
	GetFile(ctx context.Context, url, dst string) error
}

// Agent works on one agent's clone and archives.
type Agent struct {
	opts    Options
	pattern *regexp.Regexp // of the archive's base name
	literal string         // what every such name begins with
	dir     string         // where the archives are, once there is a clone
	grace   time.Duration  // between telling git or make to end and making them
}

// New checks opts and makes the cache directory; one that may not be used is Unfit.
func New(opts Options) (*Agent, error) {
	switch {
	case opts.Cache == "":
		return nil, usage("a cache directory", "-c")
	case opts.Repo == "":
		return nil, usage("the repository's name", "-r")
	case opts.Pattern == "":
		return nil, usage("the pattern of the archive's name", "-p")
	case opts.Repo != filepath.Base(opts.Repo) || strings.HasPrefix(opts.Repo, "."):
		return nil, fault.Usage.Errorf("agent-prebuilt: %q cannot be a repository's name", opts.Repo)
	}
	if opts.Branch == "" {
		opts.Branch = "master"
	}
	if opts.AgentBranch == "" {
		opts.AgentBranch = opts.Branch
	}
	if opts.LockTries == 0 {
		opts.LockTries = 600
	}
	if opts.Users == nil {
		opts.Users = owned.Users(func(string) string { return "" })
	}
	if opts.Sleep == nil {
		opts.Sleep = sleep
	}
	for _, f := range []*func(string, ...any){&opts.Infof, &opts.Warnf} {
		if *f == nil {
			*f = func(string, ...any) {}
		}
	}
	cache, err := filepath.Abs(opts.Cache)
	if err != nil {
		return nil, fault.Unfit.Errorf("finding the cache directory: %w", err)
	}
	if err := openCache(cache); err != nil {
		return nil, err
	}
	opts.Cache = cache

	a := &Agent{opts: opts, dir: cache, grace: 10 * time.Second}
	dir, base := filepath.Split(opts.Pattern)
	if opts.Download == "" {
		a.dir = filepath.Join(cache, opts.Repo, dir)
	}
	if a.pattern, err = regexp.Compile(goExpression(base)); err != nil {
		return nil, fault.Usage.Errorf("agent-prebuilt: the pattern %q: %w", opts.Pattern, err)
	}
	a.literal = base
	if i := strings.IndexAny(base, `.*[]^$\`); i >= 0 {
		a.literal = base[:i]
		if base[i] == '*' {
			a.literal = base[:max(i-1, 0)]
		}
	}
	return a, nil
}

// openCache makes the directory and sees that nobody we do not know writes to it: what
// is in it is run, and goes into images.
func openCache(dir string) error {
	if err := makeCache(dir); err != nil {
		return fault.WithHint(fault.Unfit.Errorf("agent-prebuilt: the cache directory: %w", err),
			"if it can go: rm -r %s; or name another one: make AGENT_PREBUILT_DIR=DIRECTORY ...", dir)
	}
	return nil
}

// makeCache makes it for us alone. Where everybody can make names it must be so, too,
// if it is there; elsewhere whoever named it knows whose it is, and who may use it: a
// volume of a container's host, say, a group's directory, a link to a larger disk.
func makeCache(dir string) error {
	above := filepath.Dir(dir)
	if err := os.MkdirAll(above, 0o755); err != nil {
		return err
	}
	shared, err := owned.Shared(above)
	if err != nil {
		return err
	}
	if shared {
		if err := owned.Tighten(dir, os.Geteuid()); err != nil {
			return err
		}
		return owned.Make(dir, os.Geteuid())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	everybody, err := owned.Shared(dir)
	if everybody {
		err = errors.New(dir + ": everybody can write to it")
	}
	return err
}

func usage(what, flag string) error {
	return fault.Usage.Errorf("agent-prebuilt: %s must be given with %s", what, flag)
}

// goExpression turns a basic regular expression, as far as patterns use them,
// into one of ours: what is special only there behind a backslash is taken for
// itself here.
func goExpression(basic string) string {
	var b strings.Builder
	for i := 0; i < len(basic); i++ {
		c := basic[i]
		switch {
		case c == '\\' && i+1 < len(basic):
			i++
			if n := basic[i]; strings.IndexByte("(){}|+?", n) >= 0 {
				b.WriteByte(n)
			} else {
				b.WriteString(regexp.QuoteMeta(string(n)))
			}
		case strings.IndexByte("(){}|+?", c) >= 0:
			b.WriteString(`\` + string(c))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// branches are those wanted, best first. master and main stand for each other.
func (a *Agent) branches() []string {
	var all []string
	seen := map[string]bool{}
	for _, b := range []string{a.opts.AgentBranch, a.opts.Branch, "master", "main"} {
		if !seen[b] {
			all = append(all, b)
			seen[b] = true
		}
	}
	return all
}

var stampAfter = regexp.MustCompile(`^-[0-9]{8}T[0-9]{6}Z`)
var stampAnywhere = regexp.MustCompile(`-[0-9]{8}T[0-9]{6}Z`)

// ofBranch tells whether an archive's name is of the branch: the branch stands
// between dashes and, in a name with a time stamp, right before that, so that
// TOOLS-1 is not TOOLS-10; between it and what the pattern begins with there is at
// most the "pkg-" of most archives' names, which not all patterns have. Names hold
// a branch up to its first slash.
func (a *Agent) ofBranch(name, branch string) bool {
	branch, _, _ = strings.Cut(branch, "/")
	rest, ok := strings.CutPrefix(name, a.literal)
	if !ok {
		return false
	}
	stamped := stampAnywhere.MatchString(name)
	for at := 0; ; {
		i := strings.Index(rest[at:], branch)
		if i < 0 {
			return false
		}
		at += i
		before := at == 0 || rest[at-1] == '-'
		after := rest[at+len(branch):]
		switch {
		case !before:
		case stamped && stampAfter.MatchString(after) && (at == 0 || rest[:at] == "pkg-" || a.literal == ""):
			return true
		case !stamped && (after == "" || strings.IndexByte("-.", after[0]) >= 0):
			return true
		}
		at++
	}
}

// newest returns the best of names: of the first branch that has one, the last.
func (a *Agent) newest(names []string) string {
	var match []string
	for _, n := range names {
		if a.pattern.MatchString(n) && !strings.HasPrefix(n, ".") {
			match = append(match, n)
		}
	}
	sort.Strings(match)
	for _, b := range a.branches() {
		for i := len(match) - 1; i >= 0; i-- {
			if a.ofBranch(match[i], b) {
				return match[i]
			}
		}
	}
	return ""
}

// Archive returns the path of the newest archive.
func (a *Agent) Archive() (string, error) {
	name, err := a.archive()
	if err == nil && name == "" {
		err = fault.WithHint(fault.Step.Errorf("no archive %q of %s in %s", a.opts.Pattern, strings.Join(a.branches(), ", "), a.dir),
			"agent-prebuilt.sh ... build")
	}
	if err != nil {
		return "", err
	}
	return filepath.Join(a.dir, name), nil
}

func (a *Agent) archive() (string, error) {
	names, err := dirNames(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fault.Step.Errorf("looking for the archive of %s: %w", a.opts.Repo, err)
	}
	return a.newest(names), nil
}

func dirNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// Clean removes the clone, with everything built in it.
func (a *Agent) Clean(ctx context.Context) error {
	return a.locked(ctx, func() error {
		if err := os.RemoveAll(a.clone()); err != nil {
			return fault.Step.Errorf("removing the clone of %s: %w", a.opts.Repo, err)
		}
		return nil
	})
}

func (a *Agent) clone() string { return filepath.Join(a.opts.Cache, a.opts.Repo) }

// make runs make in the clone with its output in the story. When ctx ends it does
// so with everything it has started, so that nobody works in a clone that is not
// locked; it has no terminal, at which it could wait for somebody it cannot reach.
func (a *Agent) make(ctx context.Context, env []string, program string, targets ...string) error {
	cmd := exec.Command(program, targets...)
	cmd.Dir, cmd.Env = a.clone(), env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a.opts.Stderr != nil {
		cmd.Stdout, cmd.Stderr = a.opts.Stderr, a.opts.Stderr
	}
	if err := process.Run(ctx, cmd, a.grace); err != nil {
		return fault.Step.Errorf("%s %s in %s: %w", filepath.Base(program), strings.Join(targets, " "), cmd.Dir, err)
	}
	return nil
}

// gitCommand is told to end when ctx does, so that git stops what it has started
// and takes its locks away. It stays with our terminal: it may ask for a password.
func (a *Agent) gitCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.WaitDelay = dir, a.grace
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd
}

// runGit runs git in dir with its output in the story.
func (a *Agent) runGit(ctx context.Context, dir string, args ...string) error {
	cmd := a.gitCommand(ctx, dir, args...)
	if a.opts.Stderr != nil {
		all := &said{to: a.opts.Stderr, public: a.public} // git repeats addresses
		defer all.end()
		cmd.Stdout, cmd.Stderr = all, all
	}
	// That somebody keeps its output open, as the connection that ssh shares with the
	// next one may, is no failure of git's.
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fault.Step.Errorf("git %s in %s: %w", a.public(strings.Join(args, " ")), dir, err)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// git runs git in the clone and returns what it prints, without the newline.
func (a *Agent) git(ctx context.Context, args ...string) (string, error) {
	cmd := a.gitCommand(ctx, a.clone(), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fault.Step.Errorf("git %s in %s: %w: %s", args[0], cmd.Dir, err, a.public(strings.TrimSpace(stderr.String())))
	}
	return strings.TrimRight(string(out), "\n"), nil
}

func (a *Agent) has(ctx context.Context, ref string) bool {
	_, err := a.git(ctx, "show-ref", "--verify", "--quiet", ref)
	return err == nil
}

// Clone makes the clone, or brings it up to date, and checks out the best
// branch it has.
func (a *Agent) Clone(ctx context.Context) error {
	if a.opts.URL == "" {
		return usage("the repository's address", "-u")
	}
	return a.locked(ctx, func() error {
		if _, err := os.Stat(filepath.Join(a.clone(), ".git")); err != nil {
			if err := a.cloneAnew(ctx); err != nil {
				return err
			}
			return a.checkout(ctx)
		}
		changed, err := a.git(ctx, "status", "--porcelain", "--untracked-files=no")
		if err != nil {
			return err
		}
		if changed != "" {
			return fault.WithHint(fault.Step.Errorf("the clone %s has changes:\n%s", a.clone(), changed),
				"commit them elsewhere, or remove it: agent-prebuilt.sh ... clean")
		}
		if err := a.runGit(ctx, a.clone(), "fetch", "--quiet", "--prune", "--tags", "origin"); err != nil {
			if ctx.Err() != nil {
				return err
			}
			a.opts.Warnf("%v; going on with what is there", err)
		}
		return a.checkout(ctx)
	})
}

// cloneAnew clones beside the clone's place, so that an interrupted clone is
// never taken for one.
func (a *Agent) cloneAnew(ctx context.Context) error {
	tmp := filepath.Join(a.opts.Cache, ".engbld-"+a.opts.Repo)
	for _, d := range []string{tmp, a.clone()} {
		if err := os.RemoveAll(d); err != nil {
			return fault.Step.Errorf("making room for the clone of %s: %w", a.opts.Repo, err)
		}
	}
	if err := a.runGit(ctx, a.opts.Cache, "clone", "--quiet", a.opts.URL, tmp); err != nil {
		os.RemoveAll(tmp)
		return fault.Network.Errorf("cloning %s: %w", redact.Repository(a.opts.URL), err)
	}
	if err := os.Rename(tmp, a.clone()); err != nil {
		return fault.Step.Errorf("cloning %s: %w", redact.Repository(a.opts.URL), err)
	}
	return nil
}

// checkout goes to the best branch there is, at the commit origin has, or at
// the local one where origin has no such branch.
func (a *Agent) checkout(ctx context.Context) error {
	for _, b := range a.branches() {
		remote := a.has(ctx, "refs/remotes/origin/"+b)
		if !remote && !a.has(ctx, "refs/heads/"+b) {
			continue
		}
		a.opts.Infof("%s: branch %s", a.opts.Repo, b)
		if _, err := a.git(ctx, "checkout", "--quiet", b, "--"); err != nil {
			return err
		}
		if remote {
			if _, err := a.git(ctx, "merge", "--quiet", "--ff-only", "refs/remotes/origin/"+b); err != nil {
				return err
			}
		}
		return nil
	}
	return fault.Step.Errorf("%s has none of the branches %s", redact.Repository(a.opts.URL), strings.Join(a.branches(), ", "))
}

// Build makes the archive, unless the newest one is of the commit checked out.
// Another component may have checked out another branch since Clone: then ours
// is checked out again.
func (a *Agent) Build(ctx context.Context, environ []string) error {
	if a.opts.Targets == "" {
		return usage("make's targets", "-t")
	}
	return a.locked(ctx, func() error {
		if err := a.ensureBranch(ctx); err != nil {
			return err
		}
		hash, err := a.git(ctx, "describe", "--all", "--long", "--dirty")
		if err != nil {
			return err
		}
		hash = hash[strings.LastIndex(hash, "-g")+1:]
		if done, err := a.upToDate(ctx, hash); done || err != nil {
			return err
		}
		gmake, err := exec.LookPath("gmake")
		if err != nil {
			if gmake, err = exec.LookPath("make"); err != nil {
				return fault.Unfit.Errorf("building %s: neither gmake nor make is on the PATH", a.opts.Repo)
			}
		}
		env := append(ownEnviron(environ), "ENGBLD_SKIP_VALIDATE_BUILDENV=true")
		if err := a.make(ctx, env, gmake, strings.Fields(a.opts.Targets)...); err != nil {
			// Not for the next run to find up to date.
			if name, aerr := a.archive(); aerr == nil && carries(name, hash) {
				os.Remove(filepath.Join(a.dir, name))
			}
			return err
		}
		_, err = a.Archive()
		return err
	})
}

// upToDate tells whether the newest archive is of the commit, and whole.
func (a *Agent) upToDate(ctx context.Context, hash string) (bool, error) {
	for {
		name, err := a.archive()
		if err != nil || name == "" || !carries(name, hash) {
			return false, err
		}
		whole, err := a.whole(ctx, name)
		if err != nil {
			return false, err
		}
		if whole {
			a.opts.Infof("%s: %s is up to date", a.opts.Repo, name)
			return true, nil
		}
	}
}

// whole tells whether an archive can be read to its end. One that cannot, since
// the disk got full or the power went off, say, is removed.
func (a *Agent) whole(ctx context.Context, name string) (bool, error) {
	file := filepath.Join(a.dir, name)
	err := untar.Check(ctx, file)
	if err == nil {
		return true, nil
	}
	var reading *fs.PathError
	if ctx.Err() != nil || errors.As(err, &reading) {
		return false, fault.Step.Errorf("reading the archive %s: %w", file, err)
	}
	a.opts.Warnf("%s: the archive %s is not whole, and is removed: %v", a.opts.Repo, file, err)
	if err := os.Remove(file); err != nil {
		return false, fault.Step.Errorf("removing the archive: %w", err)
	}
	return false, nil
}

// ownEnviron leaves out what a make hands on to makes below it: the agent's
// build is one of its own, for which what was set on the component's command
// line does not hold.
func ownEnviron(environ []string) []string {
	var env []string
	for _, e := range environ {
		switch name, _, _ := strings.Cut(e, "="); name {
		case "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "ENGBLD_TIMESTAMP", gitURL, downloadURL:
		default:
			env = append(env, e)
		}
	}
	return env
}

// carries tells whether the archive's name holds the commit, dirty or not as
// it is.
func carries(name, hash string) bool {
	i := strings.LastIndex(name, "-"+hash)
	if i < 0 {
		return false
	}
	after := name[i+1+len(hash):]
	return after == "" || after[0] == '.'
}

// ensureBranch checks out the branch wanted if another one is.
func (a *Agent) ensureBranch(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(a.clone(), ".git")); err != nil {
		return fault.WithHint(fault.Step.Errorf("building %s: there is no clone %s", a.opts.Repo, a.clone()), "agent-prebuilt.sh ... clone")
	}
	now, err := a.git(ctx, "rev-parse", "--abbrev-ref", "HEAD")
	if err != nil {
		return err
	}
	for _, b := range a.branches() {
		if b == now {
			return nil
		}
		if a.has(ctx, "refs/heads/"+b) || a.has(ctx, "refs/remotes/origin/"+b) {
			a.opts.Infof("%s: branch %s instead of %s", a.opts.Repo, b, now)
			_, err := a.git(ctx, "checkout", "--quiet", b, "--")
			return err
		}
	}
	return nil
}
