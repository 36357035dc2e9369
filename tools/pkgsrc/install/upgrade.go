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
		p := newPlan(in, done)
		if err := p.make(ctx, entries); err != nil {
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
	return in.rebuildTree(ctx)
}

// Bounds of one round, for a summary is not signed. The whole of a repository
// has some 30000 packages.
const (
	maxActions = 1 << 16
	maxOrder   = 1 << 20   // dependencies and conflicts between packages that are put in order
	maxSteps   = 1<<31 - 1 // of all patterns, see version.Budget; a large upgrade takes some millions
)

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
	budget  *version.Budget
	byBase  map[string][]*repository.Entry
	byName  map[string][]*repository.Entry // by full name; in several repositories it can be twice
	entries *version.Index                 // of the full names
	locals  *version.Index                 // of the installed packages
	local   map[string]string              // installed package by name without version
	actions map[string]*action             // by name without version
	remove  map[string]bool                // full names
	order   []*action
}

func newPlan(in *Installer, done map[string]bool) *upgradePlan {
	return &upgradePlan{in: in, done: done, budget: version.NewBudget(maxSteps),
		byBase: map[string][]*repository.Entry{}, byName: map[string][]*repository.Entry{},
		local: map[string]string{}, actions: map[string]*action{}, remove: map[string]bool{}}
}

// goOn tells what stands against going on with the plan: it was interrupted, or
// takes too long. Where an error about a pattern is passed over this one is asked for.
func (p *upgradePlan) goOn(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.budget.Spend(0); err != nil {
		return fault.Network.Errorf("summaries of the repositories: %w", err)
	}
	return nil
}

func base(pkg string) string {
	name, _ := version.Split(pkg)
	return name
}

// make decides what is to be done, as pkgin does (spec pkgsrc.md section 10.3,
// steps 3 to 8).
func (p *upgradePlan) make(ctx context.Context, entries []*repository.Entry) error {
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		b := base(e.PkgName)
		p.byBase[b] = append(p.byBase[b], e)
		p.byName[e.PkgName] = append(p.byName[e.PkgName], e)
		names = append(names, e.PkgName)
	}
	p.entries = version.NewIndex(names)
	locals := p.in.Installed()
	p.locals = p.in.index()
	for _, local := range locals {
		if b := base(local); p.local[b] == "" || version.Better(local, p.local[b]) {
			p.local[b] = local
		}
	}
	for _, local := range locals {
		if err := p.goOn(ctx); err != nil {
			return err
		}
		if err := p.compare(local); err != nil {
			return err
		}
	}
	if err := p.supersede(ctx); err != nil {
		return err
	}
	if err := p.needs(ctx); err != nil {
		return err
	}
	if err := p.conflicts(ctx, locals); err != nil {
		return err
	}
	for name, a := range p.actions {
		if p.done[a.entry.PkgName] {
			delete(p.actions, name) // what the archive says differs from the summary
		}
	}
	return p.sort(ctx)
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
func (p *upgradePlan) supersede(ctx context.Context) error {
	for _, b := range sortedKeys(p.byBase) {
		if err := p.goOn(ctx); err != nil {
			return err
		}
		e := p.best(b+"-0", func(*repository.Entry) bool { return true })
		if e == nil || p.in.opts.KeepSuperseded {
			continue
		}
		for _, pattern := range e.Supersedes {
			for local := range p.locals.Candidates(pattern) {
				if base(local) == b || p.remove[local] {
					continue
				}
				ok, err := p.budget.Match(pattern, local)
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
				case a == nil && p.local[b] == "":
					p.actions[b] = &action{e, "", r.Automatic}
				}
			}
		}
	}
	return nil
}

// need is a planned package whose dependencies are to be looked at.
type need struct {
	e  *repository.Entry
	by *need // what it came for, nil for an upgrade
}

// maxChain is how many packages of a chain an error names.
const maxChain = 50

func (n *need) String() string {
	var names []string
	for ; n != nil && len(names) < maxChain; n = n.by {
		names = append(names, n.e.PkgName)
	}
	if n != nil {
		names = append(names, "…")
	}
	slices.Reverse(names)
	return strings.Join(names, " needs ")
}

// needs adds what the planned packages depend on.
func (p *upgradePlan) needs(ctx context.Context) error {
	var queue []*need
	for _, b := range sortedKeys(p.actions) {
		queue = append(queue, &need{e: p.actions[b].entry})
	}
	for len(queue) > 0 {
		it := queue[0]
		queue = queue[1:]
		for _, pattern := range it.e.Depends {
			ok, err := p.satisfied(pattern)
			if err := p.goOn(ctx); err != nil {
				return err
			}
			if err != nil {
				return fmt.Errorf("%s: dependency %q: %w", it.e.PkgName, pattern, err)
			}
			if ok {
				continue
			}
			best := p.find(pattern)
			if err := p.goOn(ctx); err != nil {
				return err
			}
			if best == nil {
				return fault.Network.Errorf("no package found for %q: %s needs it", pattern, it)
			}
			b := base(best.PkgName)
			a := &action{entry: best, auto: true}
			if a.old = p.local[b]; a.old != "" {
				r, err := p.in.db.Record(a.old)
				if err != nil {
					return err
				}
				a.auto = r.Automatic
			}
			if p.actions[b] != nil {
				continue // another version was planned; pkg_add will see
			}
			if p.actions[b] = a; len(p.actions) > maxActions {
				return fault.Network.Errorf("summaries of the repositories: %s takes over %d packages", it, maxActions)
			}
			queue = append(queue, &need{best, it})
		}
	}
	return nil
}

// find is the best candidate for a dependency, nil where there is none; of the
// same package in several repositories the first.
func (p *upgradePlan) find(pattern string) (best *repository.Entry) {
	for name := range p.entries.Candidates(pattern) {
		for _, e := range p.byName[name] {
			if ok, err := p.budget.Match(pattern, name); err == nil && ok && p.preferred(e) &&
				(best == nil || version.Better(name, best.PkgName)) {
				best = e
			}
		}
	}
	return best
}

// satisfied tells whether a pattern matches what will be installed.
func (p *upgradePlan) satisfied(pattern string) (found bool, err error) {
	match := func(name string) error {
		ok, err := p.budget.Match(pattern, name)
		found = found || ok
		return err
	}
	for name := range p.entries.Candidates(pattern) {
		if err := p.budget.Spend(1); err != nil {
			return false, err
		}
		if a := p.actions[base(name)]; a != nil && a.entry.PkgName == name {
			if err := match(name); err != nil {
				return false, err
			}
		}
	}
	for local := range p.locals.Candidates(pattern) {
		if p.actions[base(local)] == nil && !p.remove[local] {
			if err := match(local); err != nil {
				return false, err
			}
		}
	}
	return found, nil
}

// actionIndex is of the full names that are planned.
func (p *upgradePlan) actionIndex() *version.Index {
	names := make([]string, 0, len(p.actions))
	for _, a := range p.actions {
		names = append(names, a.entry.PkgName)
	}
	return version.NewIndex(names)
}

// conflicts plans removal of installed packages that conflict with an incoming one.
func (p *upgradePlan) conflicts(ctx context.Context, locals []string) error {
	planned := p.actionIndex()
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
		with := "" // the first by name without version
		for _, pattern := range patterns {
			if err := p.goOn(ctx); err != nil {
				return err
			}
			for name := range planned.Candidates(pattern) {
				b := base(name)
				if b == base(local) || p.actions[b] == nil || with != "" && b >= with {
					continue
				}
				if ok, err := p.budget.Match(pattern, name); err == nil && ok {
					with = b
				}
			}
		}
		if err := p.goOn(ctx); err != nil {
			return err
		}
		if with != "" {
			p.in.log.Warnf("%s conflicts with %s and is removed", local, p.actions[with].entry.PkgName)
			p.remove[local] = true
			delete(p.actions, base(local))
		}
	}
	return nil
}

// sort puts what is needed before what needs it, the package tools first, and
// what is in conflict with an older version behind that one's replacement.
func (p *upgradePlan) sort(ctx context.Context) error {
	first, err := p.before(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	var visit func(b string)
	visit = func(b string) {
		if p.actions[b] == nil || seen[b] {
			return
		}
		seen[b] = true
		for _, other := range first[b] {
			visit(other)
		}
		p.order = append(p.order, p.actions[b])
	}
	for _, b := range append([]string{"pkg_install", "pkgin"}, sortedKeys(p.actions)...) {
		visit(b)
	}
	return nil
}

// before finds what has to be done before each package, by names without
// version, sorted.
func (p *upgradePlan) before(ctx context.Context) (map[string][]string, error) {
	var old []string
	for _, a := range p.actions {
		if a.old != "" {
			old = append(old, a.old)
		}
	}
	planned, replaced := p.actionIndex(), version.NewIndex(old)
	first := map[string][]string{}
	total := 0
	each := func(patterns []string, x *version.Index, add func(b string)) error {
		for _, pattern := range patterns {
			for name := range x.Candidates(pattern) {
				if ok, err := p.budget.Match(pattern, name); err == nil && ok {
					add(base(name))
					total++
				}
			}
			if err := p.goOn(ctx); err != nil {
				return err
			}
			if total > maxOrder {
				return fault.Network.Errorf("summaries of the repositories: over %d dependencies and conflicts between packages", maxOrder)
			}
		}
		return nil
	}
	for b, a := range p.actions {
		add := func(other string) { first[b] = append(first[b], other) }
		if err := each(a.entry.Depends, planned, add); err != nil {
			return nil, err
		}
		if err := each(a.entry.Conflicts, replaced, add); err != nil {
			return nil, err
		}
		if a.old == "" {
			continue
		}
		r, err := p.in.db.Record(a.old)
		if err != nil {
			continue // said when it is replaced
		}
		if err := each(r.Plist.Conflicts(), planned, func(other string) { first[other] = append(first[other], b) }); err != nil {
			return nil, err
		}
	}
	for _, others := range first {
		slices.Sort(others)
	}
	return first, nil
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
		if err := in.drop(ctx, name); err != nil {
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
func (in *Installer) rebuildTree(ctx context.Context) error {
	by := map[string][]string{}
	names := in.Installed()
	index, budget := in.index(), version.NewBudget(maxSteps)
	for _, name := range names {
		r, err := in.db.Record(name)
		if err != nil {
			return err
		}
		for _, pattern := range r.Plist.Deps() {
			if err := ctx.Err(); err != nil {
				return err
			}
			dep, ok, err := index.Best(pattern, budget)
			if err != nil {
				return fmt.Errorf("installed package %s: dependency %q: %w", name, pattern, err)
			}
			if !ok {
				in.log.Warnf("%s needs %q, which is not installed", name, pattern)
			} else if n := len(by[dep]); n == 0 || by[dep][n-1] != name {
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
