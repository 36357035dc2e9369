package build

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"golang.org/x/sync/errgroup"
)

const maxArchive = 16 << 30 // bytes of a package

// wanted is a file that a lock names.
type wanted struct {
	what      string
	addresses []string // where it was; tried in order
	size      int64
	sha256    string
}

// obtain returns a file of the lock and where it was found: in the inputs, among
// the downloads, or where it came from, if it is still the same there.
func (p *portable) obtain(ctx context.Context, w wanted) (file, from string, err error) {
	return obtain(ctx, &p.opts, p.req.Name, w)
}

func obtain(ctx context.Context, o *Options, name string, w wanted) (file, from string, err error) {
	if o.Inputs != nil {
		file, err := o.Inputs.Get(ctx, w.sha256, w.size)
		switch {
		case err == nil:
			return file, o.Inputs.String(), nil
		case ctx.Err() != nil:
			return "", "", context.Cause(ctx)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fetch.ErrOffline):
			o.Story.Warnf("%s: %v", w.what, err)
		}
	}
	cached := filepath.Join(o.PackageCache, "content", w.sha256)
	if fetch.Check(cached, fetch.Expect{SHA256: w.sha256, Size: w.size}) == nil {
		return cached, "cache", nil
	}
	var failure error
	changed := false
	for _, address := range slices.Compact(slices.DeleteFunc(w.addresses, func(a string) bool { return a == "" })) {
		file, sum, err := get(ctx, o, address)
		if err == nil && sum == w.sha256 {
			return file, redact.Address(address), nil
		}
		if err == nil {
			changed = true
			err = fault.Drift.Errorf("%s is another file now: sha256 %s, locked is %s", redact.Address(address), sum, w.sha256)
		}
		if failure != nil {
			err = fmt.Errorf("%w; %w", failure, err)
		}
		failure = err
	}
	switch {
	case failure == nil:
		failure = fault.Network.Errorf("its place is not known")
	case changed:
		failure = fault.Drift.Errorf("%w", failure)
	}
	return "", "", fault.WithHint(fmt.Errorf("%s: %w", w.what, failure),
		"engbld lock %s takes what there is now; ENGBLD_INPUTS names a place that keeps what was", name)
}

// get fetches a file, or finds a local one, and computes its digest.
func get(ctx context.Context, o *Options, address string) (file, sum string, err error) {
	local, ok := strings.CutPrefix(address, "file://")
	if ok || !strings.Contains(address, "://") {
		sum, err = fileSHA256(local)
		if err != nil {
			return "", "", fault.Network.Wrap(err)
		}
		return local, sum, nil
	}
	cache := fetch.Cache{Client: o.Client, Dir: o.PackageCache, Offline: o.Offline}
	file, info, err := cache.Get(ctx, address, fetch.Expect{MaxSize: maxArchive})
	return file, info.SHA256, err
}

// pin is a package as it stands in for the repositories.
type pin struct {
	lock.Index        // PkgName is set
	path       string // of the archive
	size       int64
	repository string
}

// repositories opens what the packages come from: the addresses, or with a lock a
// directory that holds what it names and nothing else, so that the resolver has
// nothing to choose.
func (p *portable) repositories(ctx context.Context, addresses []string) (repository.Set, error) {
	o := repository.Options{Client: p.opts.Client, CacheDir: p.opts.PackageCache, Offline: p.opts.Offline, Warnf: p.opts.Story.Warnf}
	if p.opts.Lock == nil {
		return repository.OpenSet(addresses, o)
	}
	if p.pkgs.pinned == nil {
		var live repository.Set
		if len(p.opts.Renew) > 0 {
			var err error
			if live, err = repository.OpenSet(addresses, o); err != nil {
				return nil, err
			}
		}
		if err := p.pin(ctx, live, addresses); err != nil {
			return nil, err
		}
	}
	return repository.OpenSet([]string{p.pkgs.pinned.Name}, o)
}

// pin fills the directory: the locked packages but those to renew, and of these
// what the live repositories have.
func (p *portable) pin(ctx context.Context, live repository.Set, addresses []string) (err error) {
	l := p.opts.Lock
	var list []pin
	for _, lp := range l.Packages {
		if !slices.Contains(p.opts.Renew, lp.Name) {
			one := pin{Index: lp.Index, size: lp.Size, repository: lp.Repository}
			one.PkgName = lp.FullName()
			list = append(list, one)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	next := 0
	for _, lp := range l.Packages {
		if slices.Contains(p.opts.Renew, lp.Name) {
			continue
		}
		one := &list[next]
		next++
		g.Go(func() (err error) {
			file := lp.FullName() + ".tgz"
			places := []string{strings.TrimRight(withSecrets(lp.Repository, addresses), "/") + "/" + file}
			if p.opts.PackageSource != "" {
				places = append(places, strings.TrimRight(p.expand(p.opts.PackageSource), "/")+"/"+file)
			}
			one.path, _, err = p.obtain(gctx, wanted{"package " + lp.FullName(), places, lp.Size, lp.SHA256})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if live != nil {
		fresh, err := p.renewed(ctx, live, list)
		if err != nil {
			return err
		}
		list = append(list, fresh...)
	}
	if p.pkgs.pinned, err = newfile.MakeDir(p.opts.TempDir, "pinned"); err != nil {
		return err
	}
	p.pkgs.pins = map[string]pin{}
	for _, one := range list {
		p.pkgs.pins[one.PkgName] = one
		path, err := filepath.Abs(one.path)
		if err != nil {
			return err
		}
		if err := os.Symlink(path, filepath.Join(p.pkgs.pinned.Name, one.PkgName+".tgz")); err != nil {
			return err
		}
	}
	return p.writeSummary(list)
}

// withSecrets returns the address among those in use that a lock names without
// its secrets, else what the lock names.
func withSecrets(locked string, addresses []string) string {
	for _, list := range addresses {
		for _, a := range repository.SplitPath(list) {
			if a = strings.TrimRight(a, "/"); redact.Address(a) == locked {
				return a
			}
		}
	}
	return locked
}

// writeSummary writes the directory's pkg_summary, unless none was there when the
// lock was made.
func (p *portable) writeSummary(list []pin) error {
	var text strings.Builder
	put := func(i lock.Index, size int64) {
		fmt.Fprintf(&text, "PKGNAME=%s\n", i.PkgName)
		for _, f := range []struct {
			key    string
			values []string
		}{{"DEPENDS", i.Depends}, {"CONFLICTS", i.Conflicts}, {"BUILD_DATE", []string{i.BuildDate}}, {"PKGPATH", []string{i.PkgPath}}, {"SUPERSEDES", i.Supersedes}} {
			for _, v := range f.values {
				fmt.Fprintf(&text, "%s=%s\n", f.key, v)
			}
		}
		if size > 0 {
			fmt.Fprintf(&text, "FILE_SIZE=%d\n", size)
		}
		text.WriteString("\n")
	}
	for _, one := range list {
		if one.PkgPath != "" || one.BuildDate != "" {
			put(one.Index, one.size)
		}
	}
	for _, k := range p.opts.Lock.Known {
		put(k, 0)
	}
	if text.Len() == 0 {
		// Nothing is to be changed: a record of no installed package says so.
		put(lock.Index{PkgName: "engbld-nothing-0"}, 0)
	}
	f, err := os.Create(filepath.Join(p.pkgs.pinned.Name, "pkg_summary.gz"))
	if err != nil {
		return err
	}
	z := gzip.NewWriter(f)
	_, err = z.Write([]byte(text.String()))
	return errors.Join(err, z.Close(), f.Close())
}

// renewed finds what the live repositories have of the packages to renew, and of
// what those need and nothing pinned or installed satisfies.
func (p *portable) renewed(ctx context.Context, live repository.Set, pinned []pin) ([]pin, error) {
	entries, err := live.Summary(ctx)
	if err != nil {
		return nil, err
	}
	held := map[string]string{} // base name: full name
	for _, one := range pinned {
		name, _ := version.Split(one.PkgName)
		held[name] = one.PkgName
	}
	var have []string
	for _, full := range p.pkgs.initial {
		if name, _ := version.Split(full); held[name] == "" && !slices.Contains(p.opts.Renew, name) {
			have = append(have, full)
		}
	}
	for _, full := range held {
		have = append(have, full)
	}
	byName := map[string]*repository.Entry{}
	var names []string
	for _, e := range entries {
		byName[e.PkgName] = e
		names = append(names, e.PkgName)
	}
	kept, all, budget := version.NewIndex(have), version.NewIndex(names), version.NewBudget(maxSteps)
	var queue []*repository.Entry
	queued := map[string]bool{}
	add := func(e *repository.Entry) {
		if !queued[e.PkgName] {
			queued[e.PkgName] = true
			queue = append(queue, e)
		}
	}
	for _, name := range p.opts.Renew {
		found := name == VulnerabilitiesName
		for _, e := range entries {
			if e.Name() == name {
				found = true
				add(e)
			}
		}
		if !found {
			var where []string
			for _, r := range live {
				where = append(where, r.URL)
			}
			return nil, fault.Usage.Errorf("no package %q in %s", name, strings.Join(where, ", "))
		}
	}
	var fresh []pin
	for i := 0; i < len(queue); i++ {
		e := queue[i]
		path, err := e.Fetch(ctx)
		if err != nil {
			return nil, err
		}
		index := indexOf(e)
		index.PkgName = e.PkgName
		fresh = append(fresh, pin{Index: index, path: path, size: e.FileSize, repository: e.Repo.URL})
		for _, pattern := range e.Depends {
			needed, name, err := missing(pattern, kept, all, queued, budget)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if over := budget.Spend(0); over != nil {
				return nil, fault.Network.Errorf("dependencies of %s: %w", e.PkgName, over)
			}
			if err != nil || !needed {
				continue // a pattern that cannot be read is the installer's to report
			}
			if name == "" {
				return nil, fault.Network.Errorf("no package found for %q: %s needs it", pattern, e.PkgName)
			}
			best := byName[name]
			if held[best.Name()] != "" {
				return nil, fault.WithHint(fault.Step.Errorf("%s needs %q, the lock has %s", e.PkgName, pattern, held[best.Name()]),
					"engbld lock %s --update %s --update %s", p.req.Name, strings.Join(p.opts.Renew, " --update "), best.Name())
			}
			add(best)
		}
	}
	return fresh, nil
}

// maxSteps bounds the matching of patterns that come from outside, see
// version.Budget.
const maxSteps = 1 << 28

// missing tells whether neither what is kept nor what is queued of all matches a
// pattern, and then which of all is the best that does, "" if none.
func missing(pattern string, kept, all *version.Index, queued map[string]bool, b *version.Budget) (needed bool, best string, err error) {
	if _, ok, err := kept.Best(pattern, b); ok || err != nil {
		return false, "", err
	}
	for name := range all.Candidates(pattern) {
		ok, err := b.Match(pattern, name)
		if err != nil || ok && queued[name] {
			return false, "", err
		}
		if ok && (best == "" || version.Better(name, best)) {
			best = name
		}
	}
	return true, best, nil
}

func indexOf(e *repository.Entry) lock.Index {
	return lock.Index{PkgPath: e.PkgPath, BuildDate: e.BuildDate, Depends: e.Depends, Conflicts: e.Conflicts, Supersedes: e.Supersedes}
}

// stale is the error of a lock that does not fit any more.
func (p *portable) stale(why string) error {
	return fault.WithHint(fault.Drift.Errorf("%s is stale: %s", cmp.Or(p.opts.LockFile, lock.FileName), why),
		"engbld lock %s renews it; ENGBLD_LOCK=false builds without it", p.req.Name)
}

// Stale lists in what ways a request differs from what a lock was made for; none:
// the lock holds.
func Stale(r Request, l *lock.Lock) []string { return l.Stale(r.wants()) }

// wants is what the request asks for, as locks note it.
func (r *Request) wants() lock.Wants {
	w := lock.Wants{Base: r.Base, Upgrade: r.Upgrade, Audit: r.Audit, Packages: r.Packages, Accept: r.Accept}
	if w.Packages == nil {
		w.Packages = []string{}
	}
	if w.Accept == nil {
		w.Accept = []string{}
	}
	return w
}

func (p *portable) checkLock(context.Context) error {
	if why := p.opts.Lock.Stale(p.req.wants()); len(why) > 0 {
		return p.stale(strings.Join(why, "; "))
	}
	p.opts.Story.Step("lock", "%s pins %d packages", cmp.Or(p.opts.LockFile, lock.FileName), len(p.opts.Lock.Packages))
	for _, name := range p.opts.Renew {
		if name != VulnerabilitiesName && !packageName.MatchString(name) {
			return fault.Usage.Errorf("package %q: only letters, digits and -_.+ may be in its name", name)
		}
	}
	return nil
}

// checkChain compares the base images with the lock.
func (p *portable) checkChain() error {
	l := p.opts.Lock
	if l == nil {
		return nil
	}
	if len(l.Images) != len(p.chain) {
		return p.stale(fmt.Sprintf("the base has %d images below each other, locked are %d", len(p.chain), len(l.Images)))
	}
	for i, img := range p.chain {
		want := l.Images[i]
		switch {
		case img.Manifest.UUID() != want.UUID:
			return p.stale(fmt.Sprintf("image %s of the base's chain is %s, locked is %s", img.Manifest.NameVersion(), img.Manifest.UUID(), want.UUID))
		case img.SHA1 != want.SHA1 || img.FileSize != want.Size || img.SHA256 != want.Stream:
			return p.stale(fmt.Sprintf("image %s (%s) is another file now: sha1 %s, locked is %s", img.Manifest.NameVersion(), want.UUID, img.SHA1, want.SHA1))
		}
	}
	return nil
}

// checkComponent compares the component tree that was just read with the lock,
// which is a record then: a flavor's lock names none.
func (p *portable) checkComponent(digest string) error {
	l := p.opts.Lock
	if l == nil || len(l.Components) == 0 {
		return nil
	}
	i := len(p.components) - 1
	if i < len(l.Components) && l.Components[i].Digest == digest {
		return nil
	}
	return fault.Drift.Errorf("component %s is not what the image was made of: its tree has sha256 %s", p.components[i].Path, digest)
}

// checkPackages compares what was installed with the lock.
func (p *portable) checkPackages() error {
	l := p.opts.Lock
	if l == nil || len(p.opts.Renew) > 0 {
		return nil
	}
	var have, want []string
	for _, c := range p.pkgs.changes {
		if c.Removed {
			have = append(have, "remove "+c.Name)
		} else {
			have = append(have, "install "+c.Name+" "+c.SHA256)
		}
	}
	for _, c := range l.Packages {
		want = append(want, "install "+c.FullName()+" "+c.SHA256)
	}
	for _, r := range l.Removed {
		want = append(want, "remove "+r.Name)
	}
	for _, s := range have {
		if !slices.Contains(want, s) {
			return p.stale("packages: the lock knows nothing of: " + s)
		}
	}
	for _, s := range want {
		if !slices.Contains(have, s) {
			return p.stale("packages: nothing asks any more to " + s)
		}
	}
	return nil
}

// beforePackages notes what the base has, before the first package changes.
func (p *portable) beforePackages() error {
	if p.pkgs.initial != nil {
		return nil
	}
	db, err := pkgdb.Open(p.root, p.conf)
	if err != nil {
		return err
	}
	p.pkgs.initial = append([]string{}, db.Names()...)
	return p.readKeyring()
}
