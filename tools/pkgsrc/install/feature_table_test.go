package install

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/pkgsrc/archive"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
)

// Handling says what becomes of a feature of packages here.
type Handling string

// The ways.
const (
	Native  Handling = "native"                  // done, with the result of the genuine tools
	Noted   Handling = "noted"                   // harmless; nothing is done, or only said
	Refused Handling = "refused unless accepted" // cannot be done without running the package's code
)

// feature is a row of the table of features.
type feature struct {
	name     string
	handling Handling
	how      string
	has      func(*archive.Package, *examined) bool
}

// examined is a package with its scripts and commands taken apart.
type examined struct {
	install, deinstall *script
	execs, unexecs     map[int][]step
	findings           []Finding
}

func examine(p *archive.Package) *examined {
	x := &examined{install: &script{}, deinstall: &script{}}
	var bad []Finding
	if raw, ok := p.Lookup("+INSTALL"); ok {
		x.install = readScript(p.Name, "+INSTALL", p.Plist.Prefix(), raw)
	}
	if raw, ok := p.Lookup("+DEINSTALL"); ok {
		x.deinstall = readScript(p.Name, "+DEINSTALL", p.Plist.Prefix(), raw)
	}
	x.findings = append(slices.Clone(x.install.findings), x.deinstall.findings...)
	x.execs, bad = readExecs(p.Name, plist.Exec, p.Plist)
	x.findings = append(x.findings, bad...)
	x.unexecs, bad = readExecs(p.Name, plist.Unexec, p.Plist)
	x.findings = append(x.findings, bad...)
	return x
}

// Findings lists what of a package cannot be done without running its code, in
// the order of its scripts and packing list.
func Findings(p *archive.Package) []Finding { return examine(p).findings }

// features is the whole table.
func features() []feature {
	file := func(f func(archive.File) bool) func(*archive.Package, *examined) bool {
		return func(p *archive.Package, _ *examined) bool { return slices.ContainsFunc(p.Files, f) }
	}
	meta := func(name string) func(*archive.Package, *examined) bool {
		return func(p *archive.Package, _ *examined) bool { _, ok := p.Lookup(name); return ok }
	}
	entry := func(kinds ...plist.Kind) func(*archive.Package, *examined) bool {
		return func(p *archive.Package, _ *examined) bool {
			return slices.ContainsFunc(p.Plist.Entries, func(e plist.Entry) bool { return slices.Contains(kinds, e.Kind) })
		}
	}
	data := func(tag string, f func(fields []string) bool) func(*archive.Package, *examined) bool {
		return func(_ *archive.Package, x *examined) bool {
			return slices.ContainsFunc(x.install.data[tag], func(l string) bool { return f == nil || f(strings.Fields(l)) })
		}
	}
	flag := func(c string) func([]string) bool {
		return func(f []string) bool { return len(f) > 1 && strings.Contains(f[1], c) }
	}
	action := func(a Action) func(*archive.Package, *examined) bool {
		return func(_ *archive.Package, x *examined) bool {
			return slices.ContainsFunc(x.findings, func(f Finding) bool { return f.Action == a })
		}
	}
	return []feature{
		{"signature and block hashes", Native, "verified before anything of the package is looked at", func(p *archive.Package, _ *examined) bool { return p.Signed }},
		{"regular files", Native, "mode, time, owner by the target's names", file(func(f archive.File) bool { return f.Type == archive.Regular })},
		{"symbolic links", Native, "", file(func(f archive.File) bool { return f.Type == archive.Symlink })},
		{"hard links", Native, "", file(func(f archive.File) bool { return f.Type == archive.Hardlink })},
		{"owner other than root", Native, "from the archive's header", file(func(f archive.File) bool { return f.Uname != "root" || f.Gname != "root" })},
		{"`@pkgdep`", Native, "installed and matching stays untouched", entry(plist.PkgDep)},
		{"`@pkgcfl`", Native, "checked both ways", entry(plist.PkgCfl)},
		{"`@pkgdir`", Native, "", entry(plist.PkgDir)},
		{"`@dirrm`", Native, "", entry(plist.DirRm)},
		{"`@mode`, `@owner`, `@group`", Noted, "no effect, as in the genuine tools", entry(plist.Mode, plist.Owner, plist.Group)},
		{"`@exec` of a usual form", Native, "mkdir, rmdir, ln, rm, cp, chmod, chown, touch, test, echo", func(_ *archive.Package, x *examined) bool { return len(x.execs) > 0 }},
		{"`@exec`, others", Refused, "`PACKAGE:exec` leaves it undone", action(ActionExec)},
		{"`@unexec` of a usual form", Native, "as for `@exec`, when the package is replaced", func(_ *archive.Package, x *examined) bool { return len(x.unexecs) > 0 }},
		{"`@unexec`, others", Refused, "when it is replaced; `PACKAGE:unexec` leaves it undone", action(ActionUnexec)},
		{"`@option`", Noted, "", entry(plist.Option)},
		{"`+DISPLAY`", Native, "said in the story", meta("+DISPLAY")},
		{"`+PRESERVE`", Native, "goes to the next version's record", meta("+PRESERVE")},
		{"helper scripts in the record", Native, "byte for byte", func(_ *archive.Package, x *examined) bool { return len(x.install.helpers) > 0 }},
		{"`# GROUP:`", Native, "in the form of illumos", data("GROUP", nil)},
		{"`# USER:`", Native, "in the form of illumos, locked", data("USER", nil)},
		{"`# DIR:` m", Native, "", data("DIR", flag("m"))},
		{"`# DIR:` with owner and mode", Native, "", data("DIR", func(f []string) bool { return len(f) > 2 })},
		{"`# FILE:` c", Native, "an existing file stays", data("FILE", flag("c"))},
		{"`# FILE:` with mode or owner", Native, "", data("FILE", func(f []string) bool { return len(f) > 3 })},
		{"`# FILE:` r (rc.d script)", Native, "counted, not copied", data("FILE", flag("r"))},
		{"`# PERMS:`", Native, "set-id after the owner", data("PERMS", nil)},
		{"`# SHELL:`", Native, "", data("SHELL", nil)},
		{"`# INFO:`", Native, "where the target has pkg_install-info, else nothing, as in the genuine scripts", data("INFO", nil)},
		{"`# FONTS:`", Noted, "the index is not made", data("FONTS", nil)},
		{"`# ICON_THEME:`", Noted, "the index is not made", data("ICON_THEME", nil)},
		{"`# SHLIBS:`", Noted, "illumos has no such index", data("SHLIBS", nil)},
		{"script prints a message", Native, "said in the story", func(_ *archive.Package, x *examined) bool { return len(x.install.messages) > 0 }},
		{"script imports an SMF manifest", Refused, "`PACKAGE:svccfg-import` leaves it undone, `PACKAGE:svccfg-site` copies the manifest for the first boot", action(ActionSMF)},
		{"other commands in `+INSTALL`", Refused, "`PACKAGE:install-script` leaves them undone", action(ActionInstall)},
		{"other commands in `+DEINSTALL`", Refused, "when it is replaced; `PACKAGE:deinstall-script` leaves them undone", action(ActionDeinstall)},
	}
}

// FeatureTable says in Markdown what features of packages are handled how, and
// in how many of the given packages each occurs, with a few of their names.
func FeatureTable(packages []*archive.Package) string {
	packages = slices.Clone(packages)
	slices.SortFunc(packages, func(a, b *archive.Package) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), bytes.Compare(a.SHA256[:], b.SHA256[:]))
	})
	packages = slices.CompactFunc(packages, func(a, b *archive.Package) bool { return a.Name == b.Name && a.SHA256 == b.SHA256 })
	seen := make([]*examined, len(packages))
	for i, p := range packages {
		seen[i] = examine(p)
	}
	var b strings.Builder
	b.WriteString("| feature | handled | how | packages | such as |\n| --- | --- | --- | ---: | --- |\n")
	for _, f := range features() {
		var names []string
		n := 0
		for i, p := range packages {
			if f.has(p, seen[i]) {
				if n++; !slices.Contains(names, p.Name) {
					names = append(names, p.Name)
				}
			}
		}
		if len(names) > 3 {
			names = append(names[:3], "…")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %s |\n", f.name, f.handling, f.how, n, strings.Join(names, ", "))
	}
	return b.String()
}
