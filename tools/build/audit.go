package build

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/audit"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/redact"
)

// AuditReport is what is known of the vulnerabilities in an image.
type AuditReport struct {
	List     string       `json:"list"` // address of the list
	Packages int          `json:"packages"`
	Verdicts []Verdict    `json:"findings"`
	Expired  []Acceptance `json:"-"`
}

// AuditRequest audits what a build of r would install, with the newest list.
func AuditRequest(ctx context.Context, r Request, opts Options, now time.Time) (*AuditReport, error) {
	r.Audit = false
	var report *AuditReport
	if opts.Lock != nil {
		l := *opts.Lock
		l.Wants.Audit = false
		opts.Lock = &l
	}
	err := resolve(ctx, r, opts, func(p *portable) (err error) {
		report, err = AuditTree(ctx, p.root, opts, now)
		return err
	})
	return report, err
}

// AuditTree audits the packages installed below root with the newest list, by the
// policy of opts, and looks for upgrades in the repositories that root names.
func AuditTree(ctx context.Context, root *fstree.Tree, opts Options, now time.Time) (*AuditReport, error) {
	conf, err := pkgdb.ReadConfig(root)
	if err != nil {
		return nil, err
	}
	url := opts.vulnURL(conf.VulnURL)
	report := &AuditReport{List: redact.Address(url), Verdicts: []Verdict{}}
	raw, err := fetchVulnerabilities(ctx, opts, url)
	if err != nil {
		return nil, err
	}
	list, err := audit.Parse(ctx, raw, audit.ParseOptions{})
	if err != nil {
		return nil, fmt.Errorf("vulnerability list %s: %w", report.List, err)
	}
	db, err := pkgdb.Open(root, conf)
	if err != nil {
		return nil, err
	}
	names := db.Names()
	report.Packages = len(names)
	findings, err := list.Audit(ctx, names, audit.Options{IgnoreURLs: conf.IgnoreURLs, SkipEOL: !conf.CheckEndOfLife, EOLPage: opts.EOLPage})
	if err != nil {
		return nil, fmt.Errorf("vulnerability list %s: %w", report.List, err)
	}
	slices.SortStableFunc(findings, func(a, b audit.Finding) int {
		switch {
		case a.String() < b.String():
			return -1
		case a.String() > b.String():
			return 1
		}
		return 0
	})
	var verdicts []Verdict
	verdicts, report.Expired = opts.Policy.Judge(findings, now)
	if len(verdicts) == 0 {
		return report, nil
	}
	report.Verdicts = verdicts
	addresses := conf.PkgPath
	if len(addresses) == 0 {
		addresses = conf.Repositories
	}
	if opts.PackageSource != "" {
		p := &portable{conf: conf}
		addresses = []string{p.expand(opts.PackageSource)}
	}
	repos, err := repository.OpenSet(addresses, repository.Options{
		Client: opts.Client, CacheDir: opts.PackageCache, Offline: opts.Offline, Warnf: opts.Story.Warnf,
	})
	var entries []*repository.Entry
	if err == nil {
		entries, err = repos.Summary(ctx)
	}
	if err != nil {
		opts.Story.Warnf("which findings have an upgrade is not known: %v", err)
	}
	upgrades(report.Verdicts, entries)
	return report, ctx.Err()
}
