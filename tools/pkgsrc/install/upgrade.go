package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

const maxRounds = 8 // of upgrading until nothing is to do

// FullUpgrade does what "pkgin -y full-upgrade" does, run until nothing is to
// do (spec pkgsrc.md section 10.4): everything in one go, the package tools
// first; then +REQUIRED_BY is made anew from what packages need.
func (in *Installer) FullUpgrade(ctx context.Context) error {
	entries, err := in.opts.Repos.Summary(ctx)
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for range maxRounds {
		p := &upgradePlan{in: in, done: done, actions: map[string]*action{}, remove: map[string]bool{}}
		if err := p.make(entries); err != nil {
			return fmt.Errorf("upgrade: %w", err)
		}
		if len(p.actions)+len(p.remove) == 0 {
			break
		}
		if err := p.carryOut(ctx); err != nil {
			return err
		}
	}
	if len(done) == 0 {
		in.log.Infof("nothing to do")
		return nil
	}
	return in.rebuildTree()
}

// action is one package that an upgrade installs or replaces.
type action struct {
	entry *repository.Entry
	old   string // "" for a new one
	auto  bool
}

// upgradePlan is what one round is going to do.
type upgradePlan struct {
	in      *Installer
	done    map[string]bool // full names that earlier rounds acted on
	byBase  map[string][]*repository.Entry
	actions map[string]*action // by name without version
	remove  map[string]bool    // full names
	order   []*action
}

func base(pkg string) string {
	name, _ := version.Split(pkg)
	return name
}

// make decides what is to be done, as pkgin does (spec pkgsrc.md section 10.3,
// steps 3 to 8).
func (p *upgradePlan) make(entries []*repository.Entry) error {
	p.byBase = map[string][]*repository.Entry{}
	for _, e := range entries {
		b := base(e.PkgName)
		p.byBase[b] = append(p.byBase[b], e)
	}
	locals := p.in.Installed()
	for _, local := range locals {
		if err := p.compare(local); err != nil {
			return err
		}
	}
	if err := p.supersede(locals); err != nil {
		return err
	}
	if err := p.needs(); err != nil {
		return err
	}
	if err := p.conflicts(locals); err != nil {
		return err
	}
	for name, a := range p.actions {
		if p.done[a.entry.PkgName] {
			delete(p.actions, name) // what the archive says differs from the summary
		}
	}
	p.sort()
	return nil
}

// compare plans an upgrade or refresh of one installed package.
func (p *upgradePlan) compare(local string) error {
	r, err := p.in.db.Record(local)
	if err != nil {
		return err
	}
	path, date := first(r.BuildInfo["PKGPATH"]), first(r.BuildInfo["BUILD_DATE"])
	best := p.best(local, func(e *repository.Entry) bool { return e.PkgPath == path })
	if best == nil || best.PkgName == local && (best.BuildDate == "" || best.BuildDate == date) {
		return nil
	}
	p.actions[base(local)] = &action{best, local, r.Automatic}
	return nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// best is the highest candidate of a package's name; of equal versions pkgin
// takes the last.
func (p *upgradePlan) best(pkg string, ok func(*repository.Entry) bool) *repository.Entry {
	var best *repository.Entry
	for _, e := range p.byBase[base(pkg)] {
		if ok(e) && p.preferred(e) && (best == nil || version.Compare(e.Version(), best.Version()) >= 0) {
			best = e
		}
	}
	return best
}

// preferred applies the target's preferred.conf: lines "name<version",
// "name>=version", "name=glob".
func (p *upgradePlan) preferred(e *repository.Entry) bool {
	for _, l := range p.in.db.Config.Preferred {
		i := strings.IndexAny(l, "<>=")
		if i <= 0 || l[:i] != base(e.PkgName) {
			continue
		}
		pattern := l
		if l[i] == '=' {
			pattern = l[:i] + "-" + strings.TrimLeft(l[i:], "=")
		}
		if ok, err := version.Match(pattern, e.PkgName); err != nil || !ok {
			return false
		}
	}
	return true
}

// supersede plans removals of what a remote package says it takes the place of.
func (p *upgradePlan) supersede(locals []string) error {
	for _, b := range sortedKeys(p.byBase) {
		e := p.best(b+"-0", func(*repository.Entry) bool { return true })
		if e == nil || p.in.opts.KeepSuperseded {
			continue
		}
		for _, pattern := range e.Supersedes {
			for _, local := range locals {
				if base(local) == b || p.remove[local] {
					continue
				}
				ok, err := version.Match(pattern, local)
				if err != nil {
					return fmt.Errorf("%s supersedes %q: %w", e.PkgName, pattern, err)
				}
				if !ok {
					continue
				}
				r, err := p.in.db.Record(local)
				if err != nil {
					return err
				}
				p.remove[local] = true
				delete(p.actions, base(local))
				switch a := p.actions[b]; {
				case a != nil && a.old == "":
					a.auto = a.auto && r.Automatic
				case a == nil && p.in.installedBase(e.PkgName) == "":
					p.actions[b] = &action{e, "", r.Automatic}
				}
			}
		}
	}
	return nil
}

// needs adds what the planned packages depend on.
func (p *upgradePlan) needs() error {
	type item struct {
		e     *repository.Entry
		chain string
	}
	var queue []item
	for _, b := range sortedKeys(p.actions) {
		queue = append(queue, item{p.actions[b].entry, p.actions[b].entry.PkgName})
	}
	for len(queue) > 0 {
		it := queue[0]
		queue = queue[1:]
		for _, pattern := range it.e.Depends {
			ok, err := p.satisfied(pattern)
			if err != nil {
				return fmt.Errorf("%s: dependency %q: %w", it.e.PkgName, pattern, err)
			}
			if ok {
				continue
			}
			var best *repository.Entry
			for _, b := range sortedKeys(p.byBase) {
				for _, e := range p.byBase[b] {
					if ok, err := version.Match(pattern, e.PkgName); err == nil && ok && p.preferred(e) &&
						(best == nil || version.Better(e.PkgName, best.PkgName)) {
						best = e
					}
				}
			}
			if best == nil {
				return fault.Network.Errorf("no package found for %q: %s needs it", pattern, it.chain)
			}
			a := &action{entry: best, auto: true}
			if a.old = p.in.installedBase(best.PkgName); a.old != "" {
				r, err := p.in.db.Record(a.old)
				if err != nil {
					return err
				}
				a.auto = r.Automatic
			}
			if p.actions[base(best.PkgName)] != nil {
				continue // another version was planned; pkg_add will see
			}
			p.actions[base(best.PkgName)] = a
			queue = append(queue, item{best, it.chain + " needs " + best.PkgName})
		}
	}
	return nil
}

// satisfied tells whether a pattern matches what will be installed.
func (p *upgradePlan) satisfied(pattern string) (bool, error) {
	var names []string
	for _, a := range p.actions {
		names = append(names, a.entry.PkgName)
	}
	for _, local := range p.in.Installed() {
		if p.actions[base(local)] == nil && !p.remove[local] {
			names = append(names, local)
		}
	}
	_, ok, err := version.Best(pattern, names)
	return ok, err
}

// conflicts plans removal of installed packages that conflict with an incoming one.
func (p *upgradePlan) conflicts(locals []string) error {
	for _, local := range locals {
		if p.remove[local] {
			continue
		}
		r, err := p.in.db.Record(local)
		if err != nil {
			return err
		}
		patterns := r.Plist.Conflicts()
		if a := p.actions[base(local)]; a != nil {
			patterns = a.entry.Conflicts
		}
		for _, b := range sortedKeys(p.actions) {
			if b == base(local) {
				continue
			}
			for _, pattern := range patterns {
				if ok, err := version.Match(pattern, p.actions[b].entry.PkgName); err == nil && ok && !p.remove[local] {
					p.in.log.Warnf("%s conflicts with %s and is removed", local, p.actions[b].entry.PkgName)
					p.remove[local] = true
				}
			}
		}
		if p.remove[local] {
			delete(p.actions, base(local))
		}
	}
	return nil
}

// sort puts what is needed before what needs it, the package tools first, and
// what is in conflict with an older version behind that one's replacement.
func (p *upgradePlan) sort() {
	names := sortedKeys(p.actions)
	seen := map[string]bool{}
	var visit func(b string)
	visit = func(b string) {
		a := p.actions[b]
		if a == nil || seen[b] {
			return
		}
		seen[b] = true
		for _, other := range names {
			if o := p.actions[other]; other != b && (matches(a.entry.Depends, o.entry.PkgName) || p.inConflict(a, o)) {
				visit(other)
			}
		}
		p.order = append(p.order, a)
	}
	for _, b := range append([]string{"pkg_install", "pkgin"}, names...) {
		visit(b)
	}
}

func matches(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := version.Match(pattern, pkg)
		return err == nil && ok
	})
}

// inConflict tells whether the version that o replaces must be gone before a.
func (p *upgradePlan) inConflict(a, o *action) bool {
	if o.old == "" {
		return false
	}
	r, err := p.in.db.Record(o.old)
	return matches(a.entry.Conflicts, o.old) || err == nil && matches(r.Plist.Conflicts(), a.entry.PkgName)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// carryOut fetches all, reads and checks the scripts of all, removes, and then
// installs in order.
func (p *upgradePlan) carryOut(ctx context.Context) error {
	in := p.in
	jobs := make([]repository.Job, len(p.order))
	for i, a := range p.order {
		jobs[i] = repository.Job{Entry: a.entry, Repo: a.entry.Repo, Name: a.entry.PkgName}
	}
	if err := in.preload(ctx, jobs); err != nil {
		return err
	}
	var findings []Finding
	for _, a := range p.order {
		l, err := in.load(ctx, a.entry.PkgName, a.entry.Repo, a.entry)
		if err != nil {
			return err
		}
		findings = append(findings, l.findings...)
	}
	old := sortedKeys(p.remove)
	for _, a := range p.order {
		if a.old != "" {
			old = append(old, a.old)
		}
	}
	for _, name := range old {
		gone, err := in.planRemoval(name)
		if err != nil {
			return err
		}
		findings = append(findings, gone.findings...)
	}
	if err := in.accept.check(findings); err != nil {
		return err
	}
	for _, name := range sortedKeys(p.remove) {
		if err := in.drop(name); err != nil {
			return err
		}
		p.done[name] = true
	}
	for _, a := range p.order {
		h := how{auto: a.auto, force: true, entry: a.entry}
		if err := in.put(ctx, a.entry.PkgName, a.entry.Repo, h); err != nil {
			return err
		}
		p.done[a.entry.PkgName] = true
	}
	return nil
}

// rebuildTree makes all +REQUIRED_BY anew, as "pkg_admin rebuild-tree" does. A
// file that names the right packages, in whatever order, stays.
func (in *Installer) rebuildTree() error {
	by := map[string][]string{}
	names := in.Installed()
	for _, name := range names {
		r, err := in.db.Record(name)
		if err != nil {
			return err
		}
		for _, pattern := range r.Plist.Deps() {
			dep, ok, err := version.Best(pattern, names)
			if err != nil {
				return fmt.Errorf("installed package %s: dependency %q: %w", name, pattern, err)
			}
			if !ok {
				in.log.Warnf("%s needs %q, which is not installed", name, pattern)
			} else if !slices.Contains(by[dep], name) {
				by[dep] = append(by[dep], name)
			}
		}
	}
	for _, name := range names {
		r, err := in.db.Record(name)
		if err != nil {
			return err
		}
		have := slices.Sorted(slices.Values(r.RequiredBy))
		if slices.Equal(have, by[name]) || len(have)+len(by[name]) == 0 {
			continue
		}
		if err := in.writeRequired(name, by[name]); err != nil {
			return err
		}
	}
	return nil
}
