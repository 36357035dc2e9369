package install

import (
	"fmt"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// check is all that can stand against a package, before its first change: build
// information, commands that cannot be run, what needs the replaced version,
// and conflicts. It returns how the replaced package is to be removed.
func (in *Installer) check(l *loaded, old string, h how) (*removal, error) {
	if err := in.checkPlatform(l); err != nil {
		return nil, err
	}
	for _, e := range l.Plist.Files() {
		if err := confined(e.Arg); err != nil {
			return nil, fault.Step.Errorf("package %s: +CONTENTS line %d: %w", l.Name, e.Line, err)
		}
	}
	findings := l.findings
	var gone *removal
	if old != "" {
		var err error
		if gone, err = in.planRemoval(old); err != nil {
			return nil, err
		}
		findings = append(slices.Clone(findings), gone.findings...)
	}
	if err := in.accept.check(findings); err != nil {
		return nil, err
	}
	if old != "" {
		if err := in.checkDependents(l, old, h); err != nil {
			return nil, err
		}
	}
	if err := in.checkConflicts(l, old); err != nil {
		return nil, err
	}
	return gone, nil
}

// confined refuses names that lead out of the prefix.
func confined(name string) error {
	if name == "" || strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") {
		return fmt.Errorf("%q leads out of the prefix", name)
	}
	return nil
}

func (in *Installer) checkPlatform(l *loaded) error {
	get := func(name string) string {
		if v := l.build[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	for _, name := range []string{"OPSYS", "OS_VERSION", "MACHINE_ARCH"} {
		if get(name) == "" {
			return fault.Step.Errorf("package %s: +BUILD_INFO does not say %s", l.Name, name)
		}
	}
	if v := get("PKGTOOLS_VERSION"); len(v) != 8 || strings.Trim(v, "0123456789") != "" {
		return fault.Step.Errorf("package %s: PKGTOOLS_VERSION %q is no date", l.Name, v)
	}
	fits := func(name string) bool {
		return len(in.platform[name]) == 0 || slices.Contains(in.platform[name], get(name))
	}
	for _, name := range []string{"OPSYS", "MACHINE_ARCH"} {
		if !fits(name) {
			return fault.Step.Errorf("package %s is for %s, the target is %s", l.Name, get(name), strings.Join(in.platform[name], " and "))
		}
	}
	if !fits("OS_VERSION") && in.db.Config.CheckOSVersion {
		in.log.Warnf("%s was built for version %s, the target is %s", l.Name, get("OS_VERSION"), strings.Join(in.platform["OS_VERSION"], " and "))
	}
	return nil
}

// targetPlatform collects what the installed packages are for, by variable of
// +BUILD_INFO. Where nothing is installed nothing can be compared.
func (in *Installer) targetPlatform() (map[string][]string, error) {
	p := map[string][]string{}
	for _, name := range in.Installed() {
		r, err := in.db.Record(name)
		if err != nil {
			return nil, err
		}
		for _, v := range []string{"OPSYS", "OS_VERSION", "MACHINE_ARCH"} {
			if have := first(r.BuildInfo[v]); have != "" && !slices.Contains(p[v], have) {
				p[v] = append(p[v], have)
			}
		}
	}
	if m := in.opts.MachineArch; m != "" {
		p["MACHINE_ARCH"] = []string{m}
	}
	return p, nil
}

// checkDependents sees that what needs the old version is content with the new one.
func (in *Installer) checkDependents(l *loaded, old string, h how) error {
	r, err := in.db.Record(old)
	if err != nil {
		return err
	}
	for _, by := range r.RequiredBy {
		if !in.db.Has(by) {
			continue
		}
		dep, err := in.db.Record(by)
		if err != nil {
			return err
		}
		for _, pattern := range dep.Plist.Deps() {
			before, err := version.Match(pattern, old)
			if err != nil {
				return err
			}
			now, err := version.Match(pattern, l.Name)
			if err != nil {
				return err
			}
			if before && !now {
				text := fmt.Sprintf("dependency %q of %s is fulfilled by %s, but not by %s", pattern, by, old, l.Name)
				if !h.force {
					return fault.Step.Errorf("%s", text)
				}
				in.log.Warnf("%s", text)
			}
		}
	}
	return nil
}

func (in *Installer) checkConflicts(l *loaded, old string) error {
	against := map[string]error{} // what the package has against an installed one
	budget := version.NewBudget(maxSteps)
	for _, pattern := range l.Plist.Conflicts() {
		for have := range in.index().Candidates(pattern) {
			ok, err := budget.Match(pattern, have)
			switch {
			case against[have] != nil:
			case err != nil:
				against[have] = fault.Step.Errorf("package %s: conflict %q: %w", l.Name, pattern, err)
			case ok:
				against[have] = fault.Step.Errorf("package %s conflicts with %q, and %s is installed", l.Name, pattern, have)
			}
		}
	}
	for _, have := range in.Installed() {
		if have == old {
			continue
		}
		if err := against[have]; err != nil {
			return err
		}
		r, err := in.db.Record(have)
		if err != nil {
			return err
		}
		for _, pattern := range r.Plist.Conflicts() {
			if ok, err := version.Match(pattern, l.Name); err == nil && ok {
				return fault.Step.Errorf("installed package %s conflicts with %q, which %s is", have, pattern, l.Name)
			}
		}
	}
	// Only the database is asked, not the tree; without one nothing is found. So
	// does pkg_add.
	for _, e := range l.Plist.Entries {
		if e.Kind != plist.File || e.Ignored {
			continue
		}
		other, ok := in.files.Get(l.prefix + "/" + e.Arg)
		if ok && other != old && other != l.Name && !strings.HasPrefix(other, pkgDirMark) {
			return fault.Step.Errorf("package %s conflicts with %s: both have %s", l.Name, other, e.Arg)
		}
	}
	return nil
}
