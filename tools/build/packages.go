package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/audit"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/install"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/redact"
)

const maxVulnerabilities = 64 << 20 // bytes of a vulnerability list; real ones have 2 MiB

// packages is the state of the package steps.
type packages struct {
	in       *install.Installer
	sources  []string // addresses in is working with
	repos    repository.Set
	changes  []install.Change
	upgraded int // of them, so many by the step upgrade
	keys     *lock.Keyring
	keyring  openpgp.EntityList

	entries map[string]*repository.Entry // what the summaries in use say of the changes
	known   []lock.Index                 // packages that supersede what was removed
	initial []string                     // full names installed in the base
	pinned  *newfile.Dir                 // directory that stands for the repositories, with a lock
	pins    map[string]pin               // what is in it, by full name
}

func (p *portable) upgrade(ctx context.Context) error {
	in, err := p.installer(ctx, p.conf.Repositories, p.conf.PkgPath)
	if err != nil {
		return err
	}
	p.opts.Story.Step("upgrade", "all packages, from %s", p.from())
	err = in.FullUpgrade(ctx)
	p.pkgs.upgraded = len(in.Changes())
	return err
}

func (p *portable) addPackages(ctx context.Context) error {
	in, err := p.installer(ctx, p.conf.PkgPath, p.conf.Repositories)
	if err != nil {
		return err
	}
	p.opts.Story.Step("packages", "%s", strings.Join(p.req.Packages, " "))
	return in.Add(ctx, p.req.Packages)
}

// from says where packages come from.
func (p *portable) from() string {
	if p.opts.Lock != nil {
		return fmt.Sprintf("the lock (%d packages)", len(p.opts.Lock.Packages))
	}
	shown := make([]string, len(p.pkgs.sources))
	for i, s := range p.pkgs.sources {
		shown[i] = redact.Address(s)
	}
	return strings.Join(shown, " ")
}

// installer works with the first of the lists of addresses that is not empty,
// or with the source that was given instead. pkgin and pkg_add each have a
// setting of their own; usually they agree and one installer does both.
func (p *portable) installer(ctx context.Context, lists ...[]string) (*install.Installer, error) {
	var addresses []string
	if p.opts.PackageSource != "" {
		addresses = []string{p.expand(p.opts.PackageSource)}
	}
	for _, l := range lists {
		if len(addresses) == 0 {
			addresses = l
		}
	}
	if len(addresses) == 0 && (p.opts.Lock == nil || len(p.opts.Renew) > 0) {
		return nil, fault.WithHint(fault.Step.Errorf("%s names no package repository", p.origin().NameVersion()),
			"set ENGBLD_PKGSRC_SOURCE to the address of the repository's All directory")
	}
	if p.pkgs.in != nil {
		if slices.Equal(p.pkgs.sources, addresses) {
			return p.pkgs.in, nil
		}
		if err := p.closeInstaller(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.beforePackages(); err != nil {
		return nil, err
	}
	repos, err := p.repositories(ctx, addresses)
	if err != nil {
		return nil, err
	}
	p.pkgs.repos = repos
	p.pkgs.in, err = install.New(ctx, install.Options{
		Root: p.root, Repos: repos, Spool: p.spool, Accept: p.req.Accept, Log: p.opts.Story,
	})
	p.pkgs.sources = addresses
	return p.pkgs.in, err
}

func (p *portable) expand(address string) string {
	return strings.NewReplacer("$release", p.conf.Release, "$arch", p.conf.Arch).Replace(address)
}

// closeInstaller writes what the installer holds and remembers what it used.
func (p *portable) closeInstaller(ctx context.Context) error {
	if err := p.pkgs.in.Finish(ctx); err != nil {
		return err
	}
	changes := p.pkgs.in.Changes()
	for _, c := range changes {
		p.inputs = append(p.inputs, "package "+c.Name+" "+c.SHA256)
	}
	p.pkgs.changes = append(p.pkgs.changes, changes...)
	p.pkgs.in = nil
	return p.noteEntries(ctx, changes)
}

func (p *portable) finishPackages(ctx context.Context) error {
	if err := p.closeInstaller(ctx); err != nil {
		return err
	}
	if err := p.checkPackages(); err != nil {
		return err
	}
	db, err := pkgdb.Open(p.root, p.conf)
	if err != nil {
		return err
	}
	info, err := db.Info()
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(info, "\n"), "\n")
	p.opts.Story.Step("pkgdb", "%d packages installed", len(lines))
	for _, l := range lines {
		p.opts.Story.Infof("%s", l)
	}
	return nil
}

// audit fetches the vulnerability list into the image and compares it with the
// installed packages (spec pkgsrc.md section 11).
func (k *packages) audit(ctx context.Context, p *portable) (raw []byte, findings []audit.Finding, err error) {
	url := p.opts.vulnURL(p.conf.VulnURL)
	if raw, err = p.fetchVulnerabilities(ctx, url); err != nil {
		return nil, nil, err
	}
	p.vuln = &lock.File{URL: redact.Address(url), Size: int64(len(raw)), SHA256: fmt.Sprintf("%x", sha256.Sum256(raw))}
	list, err := audit.Parse(ctx, raw, audit.ParseOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("vulnerability list %s: %w", redact.Address(url), err)
	}
	if err := p.root.MkdirAll(p.conf.VulnDir, 0o755); err != nil {
		return nil, nil, err
	}
	err = p.root.Put(path.Join(p.conf.VulnDir, "pkg-vulnerabilities"),
		&fstree.Node{Mode: fstree.TypeRegular | 0o644, Content: fstree.Bytes(raw)})
	if err != nil {
		return nil, nil, err
	}
	db, err := pkgdb.Open(p.root, p.conf)
	if err != nil {
		return nil, nil, err
	}
	findings, err = list.Audit(ctx, db.Names(), audit.Options{
		IgnoreURLs: p.conf.IgnoreURLs, SkipEOL: !p.conf.CheckEndOfLife, EOLPage: p.opts.EOLPage,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("vulnerability list %s: %w", redact.Address(url), err)
	}
	return raw, findings, nil
}

func (p *portable) fetchVulnerabilities(ctx context.Context, url string) ([]byte, error) {
	if l := p.opts.Lock; l != nil && l.Vulnerabilities != nil && !slices.Contains(p.opts.Renew, VulnerabilitiesName) {
		v := l.Vulnerabilities
		name, _, err := p.obtain(ctx, wanted{VulnerabilitiesName, []string{withSecrets(v.URL, []string{url}), url}, v.Size, v.SHA256})
		if err != nil {
			return nil, err
		}
		return os.ReadFile(name)
	}
	return fetchVulnerabilities(ctx, p.opts, url)
}

func fetchVulnerabilities(ctx context.Context, o Options, url string) ([]byte, error) {
	if dir, ok := strings.CutPrefix(url, "file://"); ok {
		raw, err := os.ReadFile(dir)
		if err != nil {
			return nil, fault.Network.Errorf("vulnerability list: %w", err)
		}
		return raw, nil
	}
	cache := fetch.Cache{Client: o.Client, Dir: o.PackageCache, Offline: o.Offline}
	name, _, err := cache.Get(ctx, url, fetch.Expect{MaxSize: maxVulnerabilities})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.WithHint(fmt.Errorf("vulnerability list: %w", err),
			"PKGVULNURL in the base's /opt/local/etc/pkg_install.conf names the list")
	}
	if err != nil {
		return nil, fmt.Errorf("vulnerability list: %w", err)
	}
	return os.ReadFile(name)
}
