// Package audit reads the list of known vulnerabilities and tells which
// installed packages it names, as "pkg_admin audit" does (spec pkgsrc.md
// section 11).
//
// The list is fetched elsewhere; it is stored as it came, compressed or not.
// Limits: 64 MiB of text, 1048576 entries, lines of 4096 bytes,
// 131072 findings, and 33554432 steps (version.Budget) for all patterns, which is
// a hundred times what the published list takes.
package audit

import (
	"context"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

const classEOL = "eol"

const (
	maxSteps    = 1 << 25 // of all patterns when they are read, and for each package
	maxFindings = 1 << 17
	checkEvery  = 1024 // entries between two looks at the context
)

// Vulnerability is one entry of the list.
type Vulnerability struct {
	Pattern string // of package names
	Class   string // such as "buffer-overflow"; "eol" is the end of maintenance
	URL     string
}

// List is a list that was read and whose checksums fit.
type List struct {
	Entries  []Vulnerability // in the file's order
	Verified bool            // its signature was checked
	Warnings []string        // the first hundred, and how many more there are
}

// Options limit and shape an audit. The zero value is what pkg_admin does when
// nothing is configured, except for EOLPage, which every caller should set.
type Options struct {
	IgnoreURLs []string // IGNORE_URL: entries with one of these are passed over
	SkipEOL    bool     // CHECK_END_OF_LIFE=no
	Class      string   // only this class; "" is all
	EOLPage    string   // address that stands in findings of class eol
	Patterns   []string // only packages that match one of these; none is all
}

// Finding is one installed package that one entry names.
type Finding struct {
	Package string // full name
	Vulnerability
	Page string // where to read on: the URL, for class eol the page of all such
}

// String is the line that pkg_admin prints.
func (f Finding) String() string {
	if f.Class == classEOL {
		return "Package " + f.Package + " has reached end-of-life (eol), see " + f.Page
	}
	return "Package " + f.Package + " has a " + f.Class + " vulnerability, see " + f.Page
}

// Audit returns a finding for each installed package (in the order given) and
// each entry (in the file's order) that names it. A pattern of the list that cannot
// be read, patterns that take too long and too many findings are a fault.Network, as
// of Parse; a pattern of the options that cannot be read is a fault.Usage.
func (l *List) Audit(ctx context.Context, installed []string, opts Options) ([]Finding, error) {
	var found []Finding
	entries := l.entries(&opts)
	for _, pkg := range installed {
		ok, err := selected(pkg, opts.Patterns)
		if err != nil {
			return nil, fault.Usage.Wrap(err)
		}
		if !ok {
			continue
		}
		budget := version.NewBudget(maxSteps)
		for i, v := range entries {
			if i%checkEvery == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			ok, err := budget.Match(v.Pattern, pkg)
			if err != nil {
				return nil, fault.Network.Wrap(err)
			}
			if !ok {
				continue
			}
			f := Finding{Package: pkg, Vulnerability: v, Page: v.URL}
			if v.Class == classEOL {
				f.Page = opts.EOLPage
			}
			if found = append(found, f); len(found) > maxFindings {
				return nil, fault.Network.Errorf("over %d findings", maxFindings)
			}
		}
	}
	return found, nil
}

// entries are those that the options leave.
func (l *List) entries(opts *Options) []Vulnerability {
	ignored := map[string]bool{}
	for _, url := range opts.IgnoreURLs {
		ignored[url] = true
	}
	left := make([]Vulnerability, 0, len(l.Entries))
	for _, v := range l.Entries {
		if !ignored[v.URL] && (opts.Class == "" || v.Class == opts.Class) && (v.Class != classEOL || !opts.SkipEOL) {
			left = append(left, v)
		}
	}
	return left
}

func selected(pkg string, patterns []string) (bool, error) {
	if len(patterns) == 0 {
		return true, nil
	}
	for _, p := range patterns {
		if ok, err := version.Match(p, pkg); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
