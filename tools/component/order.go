package component

import (
	"fmt"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/finding"
	"github.com/TritonDataCenter/engbld/tools/makefile"
)

// An orderRule says that a variable must be set before, or after, a makefile is
// included. They follow spec engbld-interface.md sections 2 and 3: what is
// tested or expanded when the file is read.
type orderRule struct {
	names  string
	file   string
	after  bool // must be set after it
	effect string
}

func orderRules() []orderRule {
	return []orderRule{
		{names: "ENGBLD_USE_BUILDIMAGE", file: "Makefile.defs", effect: "bits-upload builds no image, and says nothing"},
		{names: "BITS_DIR ENGBLD_BITS_UPLOAD_LOCAL ENGBLD_BITS_UPLOAD_IMGAPI", file: "Makefile.defs", effect: "it has no effect"},
		{names: "BUILD_PLATFORM", file: "Makefile.defs", after: true, effect: "Makefile.defs sets it anew, so this value is lost"},
		{names: "NODE_PREBUILT_VERSION NODE_PREBUILT_TAG NODE_PREBUILT_IMAGE NODE_PREBUILT_BRANCH NODE_PREBUILT_DIR NODE_PREBUILT_MANTA_DIR",
			file: "Makefile.node_prebuilt.defs", effect: "another node than this one is taken"},
		{names: "BUILD_PLATFORM", file: "Makefile.node_prebuilt.defs", effect: "node is looked for in the builds of the old platform"},
		{names: "GO_PREBUILT_VERSION", file: "Makefile.go_prebuilt.defs", effect: "reading Makefile.go_prebuilt.defs is an error"},
		{names: "MAN_SECTION MAN_INROOT MAN_OUTROOT", file: "Makefile.manpages.defs", effect: "reading Makefile.manpages.defs is an error"},
		{names: "RUST_TOOLCHAIN RUST_USE_BOOTSTRAP", file: "Makefile.rust.defs", effect: "another toolchain than this one is taken"},
		{names: "AGENTS", file: "Makefile.targ", effect: "the agents are not put into the image"},
		{names: "BUILDIMAGE_PKGSRC", file: "Makefile.targ", effect: "the packages are not put into the image"},
		{names: "BUILDIMAGE_DO_PKGSRC_UPGRADE BUILDIMAGE_SKIP_MOTD BUILDIMAGE_PKG ENGBLD_BITS_UPLOAD_OVERRIDE ENGBLD_CHECK_COPYRIGHT_DISABLE", file: "Makefile.targ", effect: "it has no effect"},
		{names: "RELEASE_TARBALL", file: "Makefile.targ", effect: "reading Makefile.targ is an error in a component that makes an image"},
		{names: "BASH_FILES JSON_FILES DOC_FILES ESLINT_FILES JSSTYLE_FILES JSL_FILES_NODE JSL_FILES_WEB JSL_CONF_NODE JSL_CONF_WEB", file: "Makefile.targ", effect: "make check or docs leaves these files out"},
		{names: "SMF_MANIFESTS", file: "Makefile.smf.targ", effect: "make check does not look at these manifests"},
	}
}

// order finds variables set where they are too late or too early, files that lack
// their other half, and rules that do not go together with ours.
func (d *doctor) order() {
	const id = "order"
	before := len(d.report.Findings)
	t := d.c.tree
	for _, r := range orderRules() {
		at := t.Index(r.file)
		if at < 0 {
			continue
		}
		for _, name := range strings.Fields(r.names) {
			d.orderOf(id, r, name, at)
		}
	}
	for _, name := range strings.Fields("CACHE_DIR MAKE_STAMPS_DIR ENGBLD_DEST_OUT_PATH ENGBLD_BITS_DIR BUILDIMAGE_VERSION BUILDIMAGE_MF CURL") {
		at := t.Index("Makefile.defs")
		i := slices.IndexFunc(t.Stmts, func(s makefile.Stmt) bool {
			return s.Kind == makefile.Assign && s.Name == name && s.Target == ""
		})
		if at >= 0 && i > at && t.Stmts[i].Op == "?=" {
			s := t.Stmts[i]
			d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: d.where(s), What: name + " ?= after Makefile.defs",
				Why: "Makefile.defs has set it already, so this value has no effect", Mend: "move the line above the include of Makefile.defs, or use ="})
		}
	}
	d.halves(id)
	d.colons()
	if len(d.report.Findings) == before {
		d.ok(id, "%d includes, each with its variables on the right side", d.engIncludes())
	}
}

func (d *doctor) orderOf(id string, r orderRule, name string, at int) {
	var right, wrong []makefile.Stmt
	for i, s := range d.c.tree.Stmts {
		if s.Kind != makefile.Assign || s.Name != name || s.Target != "" || s.Value == "" && s.Op != "+=" {
			continue
		}
		if (i > at) == r.after {
			right = append(right, s)
		} else {
			wrong = append(wrong, s)
		}
	}
	if len(wrong) == 0 || len(right) > 0 {
		return
	}
	side := "before"
	if r.after {
		side = "after"
	}
	inc := d.c.tree.Stmts[at]
	d.add(finding.Finding{Check: id, Verdict: finding.Fail, Where: d.where(wrong[0]),
		What: fmt.Sprintf("%s must be set %s %s is included (%s)", name, side, r.file, d.where(inc)),
		Why:  r.effect, Mend: fmt.Sprintf("move the line to a place %s %s", side, d.where(inc))})
}

func (d *doctor) engIncludes() int {
	n := 0
	for _, s := range d.c.tree.Stmts {
		if s.Kind == makefile.Include && s.Eng != "" {
			n++
		}
	}
	return n
}

// halves finds .targ files without their .defs, and the other way round where that
// matters.
func (d *doctor) halves(id string) {
	t := d.c.tree
	for _, m := range []string{"go_prebuilt", "manpages", "rust", "agent_prebuilt", "node_prebuilt", "ctf"} {
		defs, targ := "Makefile."+m+".defs", "Makefile."+m+".targ"
		if s, ok := t.Includes(targ); ok && t.Index(defs) < 0 {
			d.add(finding.Finding{Check: id, Verdict: finding.Fail, Where: d.where(s), What: targ + " is included, " + defs + " is not",
				Why: "its rules are made of variables that are not set", Mend: "include " + sibling(s, defs) + " above"})
		}
	}
	agents, _ := t.Value("AGENTS")
	if s, ok := t.Includes("Makefile.agent_prebuilt.defs"); ok && agents != "" && t.Index("Makefile.agent_prebuilt.targ") < 0 {
		d.add(finding.Finding{Check: id, Verdict: finding.Fail, Where: d.where(s), What: "Makefile.agent_prebuilt.defs is included, Makefile.agent_prebuilt.targ is not",
			Why: "make buildimage has no rule for the agents: " + agents, Mend: "include " + sibling(s, "Makefile.agent_prebuilt.targ") + " before Makefile.targ"})
	}
	if s, ok := t.Includes("Makefile.defs"); ok && t.Index("Makefile.targ") < 0 {
		d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: d.where(s), What: "Makefile.targ is not included",
			Why: "there are no targets check, clean, buildimage, bits-upload", Mend: "include " + sibling(s, "Makefile.targ") + " at the end"})
	}
}

// sibling is how a sibling of the file that s includes is written.
func sibling(s makefile.Stmt, file string) string {
	p := s.Paths[0]
	return p[:strings.LastIndexByte(p, '/')+1] + file
}

// colons finds single-colon rules for targets that have several.
func (d *doctor) colons() {
	if d.c.tree.Index("Makefile.targ") < 0 {
		return
	}
	for _, s := range d.c.tree.Stmts {
		if s.Kind != makefile.Rule || s.Double {
			continue
		}
		for _, name := range []string{"check", "clean", "distclean", "docs"} {
			if slices.Contains(s.Targets, name) {
				d.add(finding.Finding{Check: "targets", Verdict: finding.Fail, Where: d.where(s), What: name + " has a rule with one colon",
					Why: "Makefile.targ has one with two; make stops where both kinds meet", Mend: name + ":: " + strings.Join(s.Prereqs, " ")})
			}
		}
	}
}
