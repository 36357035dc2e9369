package gen

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/flavor"
)

const header = "# Code generated from the flavor files by \"make gen\"; DO NOT EDIT.\n"

// imageMakefile writes images/<flavor>/Makefile: the image as a component that has
// no files of its own. Includes are relative, so that a checkout in a directory
// with a space in its name works.
func imageMakefile(set *flavor.Set, f *flavor.Flavor) ([]byte, error) {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s\n", header)
	p("NAME =\t\t\t%s\n", f.Name)
	p("TOP :=\t\t\t$(shell cd ../.. && pwd)\n")
	p("MAKE_STAMPS_DIR :=\tmake_stamps\n\n")
	p("# Nothing is compiled, and there are no files but the packages'.\n")
	p("export ENGBLD_SKIP_VALIDATE_BUILDENV := true\n")
	p("ENGBLD_CHECK_COPYRIGHT_DISABLE := true\n")
	p("ENGBLD_USE_BUILDIMAGE :=\ttrue\n")
	p("BUILDIMAGE_PKG =\n\n")
	p("# The bits of other images, beside this one's, are not uploaded with it.\n")
	p("_ENGBLD_BITS_SUBDIR =\t$(NAME)\n\n")
	p("# %s, pkgsrc %s %s\n", f.Base, f.Pkgsrc.Release, f.Pkgsrc.Arch)
	p("BASE_IMAGE_UUID =\t%s\n", f.Base.UUID)
	p("BUILDIMAGE_NAME =\t$(NAME)\n")
	p("BUILDIMAGE_DESC =\t%s\n", f.Description)
	p("BUILDIMAGE_PKGSRC =\t%s\n", strings.Join(f.Pkgsrc.Packages, " "))
	if f.Pkgsrc.Upgrade {
		p("BUILDIMAGE_DO_PKGSRC_UPGRADE := true\n")
	}
	if len(f.Accept) > 0 {
		p("BUILDIMAGE_PKGSRC_ACCEPT =")
		for _, a := range f.Accept {
			p(" %s:%s", a.Package, a.Action)
		}
		p("\n")
	}
	p("\ninclude ../../deps/eng/tools/mk/Makefile.defs\n\n")
	p("GITHASH :=\t\t$(shell git rev-parse -q --verify HEAD 2>/dev/null)\n\n")
	p("BUILDIMAGE_MF =\t\t{\"name\": $(call _ENGBLD_JSON,$(BUILDIMAGE_NAME)), \\\n")
	p("    \"description\": $(call _ENGBLD_JSON,$(BUILDIMAGE_DESC)), \\\n")
	p("    \"version\": $(call _ENGBLD_JSON,$(BUILDIMAGE_VERSION)), \\\n")
	p("    \"homepage\": \"%s\", \\\n", set.BuildEnv.Homepage)
	if f.MinPlatform != "" {
		p("    \"requirements\": {\"min_platform\": {\"7.0\": \"%s\"}}, \\\n", f.MinPlatform)
	}
	p("    \"tags\": {\"branch\": $(call _ENGBLD_JSON,$(BRANCH)), \\\n")
	p("    \"git\": \"$(GITHASH)\", \"timestamp\": \"$(TIMESTAMP)\"}}\n\n")
	p("include ../../deps/eng/tools/mk/Makefile.targ\n")
	return b.Bytes(), nil
}

// wrappers writes images/flavors.mk. A stem may hold several goals, as in
// "triton-origin-x86_64-24.4.1-buildimage bits-upload"; each part of a loop over
// all flavors is quoted, so that it stays one goal.
func wrappers(set *flavor.Set) ([]byte, error) {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s\n", header)
	p("ENGBLD_FLAVORS =")
	for _, n := range set.Names() {
		p(" \\\n    %s", n)
	}
	p("\n\n")
	p("# What follows the name of a flavor is a goal, or several, of its Makefile. All\n")
	p("# images of one make have its time, commit and branch, and so its STAMP.\n")
	p("# ($(MAKE) stands in the recipes themselves, or make -n would not look into them.)\n")
	p("_ENGBLD_IMAGE_STAMP =\tTIMESTAMP=$(call _ENGBLD_Q,$(TIMESTAMP)) ENGBLD_FACTS=$(call _ENGBLD_Q,$(_ENGBLD_FACTS)) \\\n")
	p("    ENGBLD_FACTS_OF=$(call _ENGBLD_Q,$(TOP))\n\n")
	p(".PHONY: .engbld-always\n.engbld-always:\n")
	for _, n := range set.Names() {
		p("\n%s-%%: .engbld-always\n", n)
		p("\t@export $(_ENGBLD_IMAGE_STAMP); exec $(MAKE) --no-print-directory -C images/%s $*\n", n)
	}
	p("\n# These are no goals of the image's Makefile, but verbs of engbld.\n")
	for i, goal := range []struct{ name, verb string }{
		{"plan", "plan $*"}, {"lock", "lock $*"}, {"verify", "verify $*"}, {"audit", "audit $*"},
		{"diff", "image diff $*"}, {"sbom", "image sbom --beside $*"}, {"provenance", "image provenance --beside $*"},
		{"report", "report -o $(call _ENGBLD_Q,$(ENGBLD_BITS_DIR)/$*/$*-report.html) $*"},
	} {
		if i > 0 {
			p("\n")
		}
		p("$(ENGBLD_FLAVORS:%%=%%-%[1]s): %%-%[1]s: .engbld-always\n", goal.name)
		p("\t@export $(_ENGBLD_IMAGE_STAMP); exec $(_ENGBLD) %s\n", goal.verb)
	}
	p("\n# What make all does. Any other goal of all flavors takes one more make, which is\n")
	p("# given the name of each: a rule here would split a goal that is several.\n")
	p(".PHONY: all-buildimage\nall-buildimage: $(ENGBLD_FLAVORS:%%=%%-buildimage)\n")
	p("\nall-%%: .engbld-always\n")
	p("\t@export $(_ENGBLD_IMAGE_STAMP); exec $(MAKE) --no-print-directory $(foreach flavor,$(ENGBLD_FLAVORS),'$(flavor)-$*')\n")
	p("\ntriton-origin-%%: .engbld-always\n")
	p("\t@printf '%%s\\n' $(call _ENGBLD_Q,error: \"$@\" is not a flavor and a goal) \\\n")
	p("\t    'hint:  say FLAVOR-GOAL; the flavors are: $(strip $(ENGBLD_FLAVORS))' >&2\n")
	p("\t@exit 2\n")
	return b.Bytes(), nil
}
