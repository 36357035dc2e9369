package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/archive"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/install"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// RecordSuffix ends the name of a record beside an image.
const RecordSuffix = ".lock"

// readKeyring notes the keys that packages are verified with. That there are none
// is the installer's to report.
func (p *portable) readKeyring() error {
	if p.conf.KeyringVerify == "" {
		return nil
	}
	keys, why, err := install.Keyring(p.root, p.conf.KeyringVerify)
	if err != nil || why != nil {
		return err
	}
	p.pkgs.keyring = keys
	p.pkgs.keys = &lock.Keyring{Path: p.conf.KeyringVerify}
	for _, k := range keys {
		p.pkgs.keys.Keys = append(p.pkgs.keys.Keys, archive.Fingerprint(k))
	}
	slices.Sort(p.pkgs.keys.Keys)
	return nil
}

// noteEntries remembers what the summaries say of packages that were changed: a
// lock needs it.
func (p *portable) noteEntries(ctx context.Context, changes []install.Change) error {
	if p.pkgs.entries == nil {
		p.pkgs.entries = map[string]*repository.Entry{}
	}
	if len(changes) == 0 {
		return nil
	}
	all, err := p.pkgs.repos.Summary(ctx)
	if err != nil {
		if p.req.Upgrade || ctx.Err() != nil {
			return err
		}
		return nil // pkg_add needs no summary, and a lock of its packages none either
	}
	byName := map[string]*repository.Entry{}
	for _, e := range all {
		byName[e.PkgName] = e
	}
	came := map[string]bool{}
	var gone []string
	for _, c := range changes {
		if c.Removed {
			gone = append(gone, c.Name)
			continue
		}
		came[c.Name] = true
		if e := byName[c.Name]; e != nil {
			p.pkgs.entries[c.Name] = e
		}
	}
	superseders, err := supersede(ctx, all, came, gone)
	if err != nil {
		return err
	}
	p.pkgs.known = append(p.pkgs.known, superseders...)
	return nil
}

// supersede finds for each package that is gone what takes its place, in the
// order of all, but for what came.
func supersede(ctx context.Context, all []*repository.Entry, came map[string]bool, gone []string) (known []lock.Index, err error) {
	names, budget := version.NewIndex(gone), version.NewBudget(maxSteps)
	by := map[string][]*repository.Entry{}
	for _, e := range all {
		if came[e.PkgName] {
			continue
		}
		for _, pattern := range e.Supersedes {
			for name := range names.Candidates(pattern) {
				ok, err := budget.Match(pattern, name)
				if over := budget.Spend(0); over != nil {
					return nil, fault.Network.Errorf("what %s supersedes: %w", e.PkgName, over)
				}
				if n := len(by[name]); err == nil && ok && (n == 0 || by[name][n-1] != e) {
					by[name] = append(by[name], e)
				}
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	for _, name := range gone {
		for _, e := range by[name] {
			index := indexOf(e)
			index.PkgName = e.PkgName
			known = append(known, index)
		}
	}
	return known, nil
}

// lock makes the lock of what the build took in.
func (p *portable) lock() (*lock.Lock, error) {
	l := &lock.Lock{Format: 1, Name: p.req.Name, Wants: p.req.wants(), Components: p.components, Keyring: p.pkgs.keys,
		Vulnerabilities: p.vuln, Known: p.pkgs.known}
	for _, img := range p.chain {
		l.Images = append(l.Images, lock.Image{UUID: img.Manifest.UUID(), Name: img.Manifest.Name(), Version: img.Manifest.Version(),
			SHA1: img.SHA1, Size: img.FileSize, Stream: img.SHA256})
	}
	at := map[string]int{} // in l.Packages, by full name
	for i, c := range p.pkgs.changes {
		if c.Removed {
			l.Removed = append(l.Removed, lock.Removed{Name: c.Name})
			continue
		}
		pkg, err := p.lockPackage(c)
		if err != nil {
			return nil, fmt.Errorf("%s: lock: package %s: %w", p.req.Name, c.Name, err)
		}
		if pkg.Step = "packages"; i < p.pkgs.upgraded {
			pkg.Step = "upgrade"
		}
		if i, ok := at[c.Name]; ok {
			if l.Packages[i].SHA256 != c.SHA256 {
				return nil, fault.Step.Errorf("%s: lock: two repositories have different packages %s", p.req.Name, c.Name)
			}
			continue // refreshed by the one and the other
		}
		at[c.Name] = len(l.Packages)
		l.Packages = append(l.Packages, pkg)
	}
	return l, nil
}

func (p *portable) lockPackage(c install.Change) (lock.Package, error) {
	name, v := version.Split(c.Name)
	pkg := lock.Package{Name: name, Version: v, Replaces: c.Old, Automatic: c.Auto, Size: c.Size, SHA256: c.SHA256, Repository: c.Repo}
	path := filepath.Join(p.opts.PackageCache, "content", c.SHA256)
	if one, ok := p.pkgs.pins[c.Name]; ok {
		pkg.Repository, pkg.Index, path = one.repository, one.Index, one.path
		pkg.PkgName = ""
	} else {
		if !strings.Contains(c.Repo, "://") {
			path = filepath.Join(c.Repo, c.Name+".tgz")
		}
		if e := p.pkgs.entries[c.Name]; e != nil {
			pkg.Index = indexOf(e)
		}
	}
	if !c.Signed {
		return pkg, nil
	}
	f, err := os.Open(path)
	if err != nil {
		p.opts.Story.Warnf("lock: who signed %s is not known: %v", c.Name, err)
		return pkg, nil
	}
	defer f.Close()
	pkg.SignedBy, err = archive.Signer(p.pkgs.keyring, f)
	return pkg, err
}

// record makes the record of a build whose outputs are complete.
func (p *portable) record() (*lock.Record, error) {
	l, err := p.lock()
	if err != nil {
		return nil, err
	}
	request, err := p.req.Encode()
	if err != nil {
		return nil, err
	}
	digest, err := p.digest(l)
	if err != nil {
		return nil, err
	}
	r := &lock.Record{Lock: *l, Build: lock.Build{Image: p.result.Manifest.UUID(), Writer: writerVersion, Plan: digest,
		Request: string(request), EOLPage: p.opts.EOLPage, Sandbox: p.opts.Sandbox}}
	for _, suffix := range []string{".zfs.gz", ".pkgaudit", ".imgmanifest"} {
		if o, ok := p.sums[suffix]; ok {
			r.Build.Outputs = append(r.Build.Outputs, o)
		}
	}
	return r, nil
}

// digest is the digest of everything that decides a build's outputs, once all
// inputs are known.
func (p *portable) digest(l *lock.Lock) (string, error) {
	r := p.req
	r.Component = Component{} // its content is in the lock, its place does not matter
	request, err := r.Encode()
	if err != nil {
		return "", err
	}
	pure := *l
	pure.Components = slices.Clone(l.Components)
	for i := range pure.Components {
		pure.Components[i].Path = ""
	}
	pure.Packages = slices.Clone(l.Packages)
	for i := range pure.Packages {
		pure.Packages[i].Repository, pure.Packages[i].Automatic = "", false
	}
	if l.Vulnerabilities != nil {
		v := *l.Vulnerabilities
		v.URL = ""
		pure.Vulnerabilities = &v
	}
	policy := ""
	if p.opts.Policy != nil {
		policy = fmt.Sprintf("%+v", *p.opts.Policy)
	}
	h := sha256.New()
	for _, s := range []string{writerVersion, string(request), string(pure.Encode()), p.opts.EOLPage, fmt.Sprint(p.opts.Sandbox), policy} {
		fmt.Fprintf(h, "%d %s\n", len(s), s)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// reuse returns the finished image if the lock shows that a build would make the
// very files that are there. They are read again for that. nil where there is
// anything to do.
func (p *portable) reuse(ctx context.Context) *Result {
	o := &p.opts
	if o.Lock == nil || o.Records == "" || o.Again || len(o.Renew) > 0 || p.req.Component != (Component{}) ||
		len(o.Lock.Stale(p.req.wants())) > 0 || ctx.Err() != nil {
		return nil
	}
	res := &Result{Reused: true,
		FilePath:     filepath.Join(o.Out, p.name(".zfs.gz")),
		ManifestPath: filepath.Join(o.Out, p.name(".imgmanifest"))}
	if p.req.Audit {
		res.AuditPath = filepath.Join(o.Out, p.name(".pkgaudit"))
	}
	var err error
	if res.Manifest, err = readManifest(res.ManifestPath); err != nil {
		return nil
	}
	if res.Record, err = o.Records.Get(res.Manifest.UUID()); err != nil {
		return nil
	}
	digest, err := p.digest(o.Lock)
	if err != nil || digest != res.Record.Build.Plan || checkOutputs(res.Record, o.Out) != nil {
		return nil
	}
	if o.WriteLock {
		if _, err := os.Stat(filepath.Join(o.Out, p.name(RecordSuffix))); err != nil {
			return nil
		}
	}
	return res
}

// checkOutputs reads the files of a record.
func checkOutputs(r *lock.Record, dir string) error {
	for _, o := range r.Build.Outputs {
		name := filepath.Join(dir, o.Name)
		sum, err := fileSHA256(name)
		if err != nil {
			return err
		}
		if sum != o.SHA256 {
			return fault.Drift.Errorf("%s has sha256 %s, built was %s", name, sum, o.SHA256)
		}
	}
	return nil
}

func fileSHA256(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)), errors.Join(err)
}
