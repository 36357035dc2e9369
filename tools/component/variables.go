package component

import (
	_ "embed"
	"sort"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/finding"
	"github.com/TritonDataCenter/engbld/tools/makefile"
)

// variablesTxt lists every variable the makefiles read or set, and those that only
// scripts read. The test derives it from tools/mk and tells when it is stale.
//
//go:embed variables.txt
var variablesTxt string

// otherVariables are read by scripts, by older makefiles, or by make itself; a
// component may set them.
func otherVariables() []string {
	return strings.Fields(`
		ENGBLD_FORCE_LOCAL_BUILDIMAGE ENGBLD_REQUIRE ENGBLD_SKIP_VALIDATE_BUILD_PKGSRC
		ENGBLD_SKIP_VALIDATE_BUILD_PLATFORM ENGBLD_SKIP_VALIDATE_SUBMODULES ENGBLD_BITS_UPLOAD_ALLOW_DIRTY
		ENGBLD_LOG ENGBLD_LOGDIR ENGBLD_RELEASE ENGBLD_CUSTOM ENGBLD_DEBUG_SUFFIX ENGBLD_CONFIGURE_DEBUG_ARG
		MANTA_USER MANTA_URL MANTA_KEY_ID UPDATES_IMGADM_CHANNEL UPDATES_IMGADM_USER UPDATES_IMGADM_IDENTITY
		UPDATES_IMGADM_URL REPO_DEPS CARGO_UPDATE
		CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS LD AR AS YACC LEX SHELL MAKEFLAGS VPATH SUFFIXES`)
}

func knownVariables() map[string]bool {
	all := map[string]bool{}
	for _, v := range append(strings.Fields(variablesTxt), otherVariables()...) {
		all[v] = true
	}
	return all
}

// reserved are the beginnings of names that only these makefiles give a meaning.
func reserved() []string {
	return []string{"ENGBLD_", "BUILDIMAGE_", "NODE_PREBUILT_", "AGENT_PREBUILT_", "GO_PREBUILT_", "BASE_IMAGE"}
}

// variables finds variables that are set, that nobody reads, and that look like one
// of ours.
func (d *doctor) variables() {
	const id = "variables"
	all := knownVariables()
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	sort.Strings(names)
	refs := d.c.tree.References()
	seen := map[string]bool{}
	bad := 0
	for _, s := range d.c.tree.Stmts {
		if s.Kind != makefile.Assign || s.Target != "" || all[s.Name] || refs[s.Name] || seen[s.Name] || strings.Contains(s.Name, "$") {
			continue
		}
		seen[s.Name] = true
		if near := misspelt(s.Name, names); near != "" {
			bad++
			d.add(finding.Finding{Check: id, Verdict: finding.Fail, Where: d.where(s), What: s.Name + " is not the name of any variable",
				Why: "nothing reads it, so what it says has no effect", Mend: near + " is probably meant"})
			continue
		}
		for _, p := range reserved() {
			if strings.HasPrefix(s.Name, p) {
				bad++
				d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: d.where(s), What: "nothing reads " + s.Name,
					Why: "names that begin with " + p + " have a meaning in deps/eng only", Mend: "remove it, or export it if a script is to see it"})
				break
			}
		}
	}
	if bad == 0 {
		d.ok(id, "none is misspelt")
	}
}

// misspelt returns the name of list that s was most likely meant to be: the same
// but for underscores and letter case, or one or two letters away. "" if none is.
func misspelt(s string, list []string) string {
	plain := func(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "_", "")) }
	for _, x := range list {
		if plain(x) == plain(s) && len(plain(s)) > 3 {
			return x
		}
	}
	best, at := "", 2
	if len(s) >= 12 {
		at = 3
	}
	for _, x := range list {
		if len(s) < 8 || x == "" || x[0] != s[0] {
			continue
		}
		if d := distance(s, x); d < at {
			best, at = x, d
		}
	}
	return best
}

// distance is the number of single-byte changes that turn a into b.
func distance(a, b string) int {
	a, b = a[:min(len(a), 100)], b[:min(len(b), 100)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, diag+1, row[j]+1)
		}
	}
	return row[len(b)]
}
