package install

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/archive"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// loaded is an archive that was read and found good, with its scripts taken apart.
type loaded struct {
	*archive.Package
	repo     *repository.Repo
	prefix   string
	build    map[string][]string // +BUILD_INFO
	install  *script             // nil without
	execs    map[int][]step      // by index of the entry; nil steps are not run
	findings []Finding
	told     bool // its warnings were
}

// load returns a package that was read, now or before; the content of its files
// lies in the spool.
func (in *Installer) load(ctx context.Context, name string, repo *repository.Repo, e *repository.Entry) (*loaded, error) {
	l := in.loaded[name]
	if l == nil {
		file, err := repository.Job{Repo: repo, Name: name, Entry: e}.Fetch(ctx)
		if err != nil {
			return nil, err
		}
		if l, err = in.read(ctx, file, name, repo); err != nil {
			return nil, err
		}
		in.loaded[name] = l
	}
	if !l.told {
		l.told = true
		for _, w := range l.Warnings {
			in.log.Warnf("%s: %s", name, w)
		}
	}
	return l, nil
}

// read reads a package file. Several may be read at once.
func (in *Installer) read(ctx context.Context, file, name string, repo *repository.Repo) (*loaded, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := archive.Open(ctx, name, f, in.archive)
	if err != nil {
		return nil, err
	}
	if p.Name != name {
		return nil, fault.Step.Errorf("package %s: its packing list says that it is %s", name, p.Name)
	}
	l := &loaded{Package: p, repo: repo, prefix: p.Plist.Prefix(), execs: map[int][]step{}}
	info, _ := p.Lookup("+BUILD_INFO")
	l.build = pkgdb.ParseVars(string(info))
	if raw, ok := p.Lookup("+INSTALL"); ok {
		l.install = readScript(name, "+INSTALL", l.prefix, raw)
		l.findings = append(l.findings, l.install.findings...)
	}
	var bad []Finding
	l.execs, bad = readExecs(name, plist.Exec, p.Plist)
	l.findings = append(l.findings, bad...)
	return l, nil
}

// readAhead is how many packages are fetched and read at the same time.
const readAhead = 4

// preload fetches and reads packages that will be wanted, several at once: one
// is verified and unpacked while others are under way. What cannot be fetched is
// an error; what is wrong with a package is found again when it is its turn.
func (in *Installer) preload(ctx context.Context, jobs []repository.Job) error {
	list := make([]*loaded, len(jobs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readAhead)
	for i, j := range jobs {
		if in.loaded[j.Name] != nil {
			continue
		}
		group.Go(func() error {
			file, err := j.Fetch(ctx)
			if err == nil {
				list[i], _ = in.read(ctx, file, j.Name, j.Repo)
			}
			return err
		})
	}
	err := group.Wait()
	for i, l := range list {
		if l != nil {
			in.loaded[jobs[i].Name] = l
		}
	}
	return err
}

// maxExpanded bounds all commands of a packing list with prefix and file names
// put in, in bytes, roughly; what comes behind is not run.
const maxExpanded = 16 << 20

// readExecs reads the commands of one kind in a packing list.
func readExecs(pkg string, kind plist.Kind, list *plist.List) (map[int][]step, []Finding) {
	execs := map[int][]step{}
	var findings []Finding
	last, prefix, size := "", list.Prefix(), 0
	for i, e := range list.Entries {
		if e.Ignored {
			continue
		}
		if e.Kind == plist.File {
			last = e.Arg
		}
		if e.Kind != kind {
			continue
		}
		var steps []step
		ok := false
		if size += len(e.Arg) + strings.Count(e.Arg, "%")*len(prefix+last); size <= maxExpanded {
			steps, ok = readSteps(plist.Expand(e.Arg, prefix, last))
		}
		if !ok {
			action := ActionExec
			if kind == plist.Unexec {
				action = ActionUnexec
			}
			findings = append(findings, Finding{pkg, "+CONTENTS", e.Line, kind.String() + " " + e.Arg, action})
			continue
		}
		execs[i] = steps
	}
	return execs, findings
}

// how says in which way a package is added.
type how struct {
	auto  bool     // it comes as a dependency
	force bool     // as with -D: a dependency that is not satisfied any more only warns
	chain []string // what is being added and waits for this one
	entry *repository.Entry
}

// put installs a package, or replaces the installed one of its name. The order
// of everything is that of pkg_add (spec pkgsrc.md section 5).
func (in *Installer) put(ctx context.Context, name string, repo *repository.Repo, h how) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if slices.Contains(h.chain, name) {
		return fault.Step.Errorf("packages need each other in a circle: %s", strings.Join(append(h.chain, name), " needs "))
	}
	h.chain = append(slices.Clone(h.chain), name)
	l, err := in.load(ctx, name, repo, h.entry)
	if err != nil {
		return err
	}
	old := in.installedBase(name)
	gone, err := in.check(l, old, h)
	if err != nil {
		return err
	}
	var kept map[string]*fstree.Node
	if old == "" {
		if err := in.dependencies(ctx, l, h); err != nil {
			return err
		}
		in.log.Infof("installing %s", name)
	} else {
		in.log.Infof("%s", replacing(old, name))
		kept = in.keep(old)
		if err := in.remove(ctx, old, gone); err != nil {
			return fmt.Errorf("replacing %s: %w", old, err)
		}
		if _, own := l.Lookup("+INSTALLED_INFO"); own {
			delete(kept, "+INSTALLED_INFO")
		}
	}
	if err := in.record(l, kept); err != nil {
		return fmt.Errorf("record of %s: %w", name, err)
	}
	if old != "" {
		if err := in.dependencies(ctx, l, h); err != nil {
			return err
		}
	}
	o := &owner{name, in.db.Dir(name), l.prefix, l.install}
	if err := in.preInstall(o); err != nil {
		return fault.Step.Wrap(fmt.Errorf("package %s: %w", name, err))
	}
	in.say(l, "PRE-INSTALL")
	if err := in.extract(ctx, l); err != nil {
		return fault.Step.Wrap(fmt.Errorf("package %s: %w", name, err))
	}
	if err := in.postInstall(o); err != nil {
		return fault.Step.Wrap(fmt.Errorf("package %s: %w", name, err))
	}
	in.say(l, "POST-INSTALL")
	if err := in.leaveUndone(l); err != nil {
		return fault.Step.Wrap(fmt.Errorf("package %s: %w", name, err))
	}
	if h.auto {
		if err := in.markAutomatic(name); err != nil {
			return err
		}
	}
	in.db.Forget(name)
	if err := in.require(name, l.Plist.Deps()); err != nil {
		return err
	}
	if text, ok := l.Lookup("+DISPLAY"); ok {
		for line := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n") {
			in.log.Infof("%s", line)
		}
	}
	in.changes = append(in.changes, Change{Name: name, Old: old, SHA256: hex.EncodeToString(l.SHA256[:]), Size: l.Size,
		Signed: l.Signed, Repo: repo.URL, Auto: h.auto})
	return nil
}

// markAutomatic notes that a package came as a dependency, anew also where that
// is known already.
func (in *Installer) markAutomatic(name string) error {
	have, err := in.db.File(name, "+INSTALLED_INFO")
	if err != nil {
		return err
	}
	if !strings.Contains("\n"+string(have), "\n"+pkgdb.Automatic) {
		have = append(have, pkgdb.Automatic...)
	}
	return in.root.WriteFile(in.db.Dir(name)+"/+INSTALLED_INFO", have, 0o644)
}

func replacing(old, name string) string {
	if old == name {
		return "refreshing " + name
	}
	return "upgrading " + old + " to " + name
}

// installedBase is the installed package of the same name in whatever version,
// "" where there is none.
func (in *Installer) installedBase(name string) string {
	base, _ := version.Split(name)
	best := ""
	for _, have := range in.Installed() {
		if b, _ := version.Split(have); b == base && (best == "" || version.Better(have, best)) {
			best = have
		}
	}
	return best
}

// satisfied finds the best installed package that matches a pattern.
func (in *Installer) satisfied(pattern string) (string, bool, error) {
	return in.index().Best(pattern, version.NewBudget(maxSteps))
}

// dependencies installs what a package needs and what is not there. What is
// installed and matches is never touched.
func (in *Installer) dependencies(ctx context.Context, l *loaded, h how) error {
	for _, pattern := range l.Plist.Deps() {
		if _, ok, err := in.satisfied(pattern); ok || err != nil {
			if err != nil {
				return fmt.Errorf("package %s: dependency %q: %w", l.Name, pattern, err)
			}
			continue
		}
		name, repo, ok, err := in.opts.Repos.Find(ctx, pattern)
		if err != nil {
			return err
		}
		if !ok {
			return fault.Network.Errorf("no package found for %q: %s needs it", pattern, strings.Join(h.chain, " needs "))
		}
		if err := in.put(ctx, name, repo, how{auto: true, force: h.force, chain: h.chain}); err != nil {
			return err
		}
	}
	return nil
}

// require enters a package into the +REQUIRED_BY of what it needs.
func (in *Installer) require(name string, deps []string) error {
	for _, pattern := range deps {
		dep, ok, err := in.satisfied(pattern)
		if err != nil || !ok {
			continue // reported when it was to be installed
		}
		r, err := in.db.Record(dep)
		if err != nil {
			return err
		}
		if slices.Contains(r.RequiredBy, name) {
			continue
		}
		if err := in.writeRequired(dep, append(slices.Clone(r.RequiredBy), name)); err != nil {
			return err
		}
	}
	return nil
}

func (in *Installer) writeRequired(name string, by []string) error {
	defer in.db.Forget(name)
	file := in.db.Dir(name) + "/+REQUIRED_BY"
	if len(by) == 0 {
		if _, err := in.root.Lstat(file); err != nil {
			return nil
		}
		return in.root.Remove(file)
	}
	return in.root.WriteFile(file, []byte(strings.Join(by, "\n")+"\n"), 0o644)
}

// say prints what the script prints in a stage.
func (in *Installer) say(l *loaded, stage string) {
	if l.install == nil {
		return
	}
	for _, m := range l.install.messages {
		if strings.Contains(m.stage, stage) && (stage != "INSTALL" || m.stage == stage) {
			in.log.Infof("%s", m.text)
		}
	}
}
