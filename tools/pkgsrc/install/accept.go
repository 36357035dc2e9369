package install

import (
	"fmt"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// Accepted says which actions of which packages may be left undone.
type Accepted []acceptance

type acceptance struct {
	pattern string
	actions []Action
}

// acceptable are the actions that can be named, and what naming one does.
//
//	svccfg-import     the service is not imported: it is missing in the image
//	svccfg-site       its manifest is copied to /var/svc/manifest/site, which
//	                  illumos imports at the first boot
//	install-script    the commands of +INSTALL that are not known are not run
//	deinstall-script  the same for +DEINSTALL, when the package is replaced
//	exec, unexec      unknown @exec or @unexec commands are not run
var acceptable = []Action{ActionSMF, ActionSMFSite, ActionInstall, ActionDeinstall, ActionExec, ActionUnexec}

// ParseAccept reads acceptances. Each is a package and what is accepted of it:
//
//	PACKAGE ":" ACTION { "," ACTION }
//
// PACKAGE is a name without version, or a pattern as dependencies have it
// ("svcdemo>=1.0"); ACTION is one of svccfg-import, svccfg-site, install-script,
// deinstall-script, exec and unexec. One string may hold several, separated by
// blanks. Anything else is a fault.Usage.
func ParseAccept(texts []string) (Accepted, error) {
	var acc Accepted
	for _, text := range texts {
		for _, word := range strings.Fields(text) {
			i := strings.LastIndexByte(word, ':')
			if i <= 0 {
				return nil, fault.WithHint(fault.Usage.Errorf("accepted package action %q: not PACKAGE:ACTION", word),
					"such as svcdemo:%s", ActionSMF)
			}
			a := acceptance{pattern: word[:i]}
			if _, err := version.Match(a.pattern, a.pattern+"-1"); err != nil {
				return nil, fault.Usage.Errorf("accepted package action %q: %w", word, err)
			}
			for name := range strings.SplitSeq(word[i+1:], ",") {
				if !slices.Contains(acceptable, Action(name)) {
					return nil, fault.WithHint(fault.Usage.Errorf("accepted package action %q: unknown action %q", word, name),
						"one of %v", acceptable)
				}
				a.actions = append(a.actions, Action(name))
			}
			acc = append(acc, a)
		}
	}
	return acc, nil
}

// allows tells whether an action of a package was accepted.
func (acc Accepted) allows(pkg string, action Action) bool {
	return acc.names(pkg, action) || action == ActionSMF && acc.names(pkg, ActionSMFSite)
}

// names tells whether exactly this action of a package was named.
func (acc Accepted) names(pkg string, action Action) bool {
	for _, a := range acc {
		if ok, err := version.Match(a.pattern, pkg); err == nil && ok && slices.Contains(a.actions, action) {
			return true
		}
	}
	return false
}

// check refuses what was not accepted: the first finding by package and line,
// with a hint that names all there are.
func (acc Accepted) check(findings []Finding) error {
	var refused []Finding
	var words []string
	for _, f := range findings {
		if acc.allows(f.Package, f.Action) {
			continue
		}
		refused = append(refused, f)
		name, _ := version.Split(f.Package)
		if word := name + ":" + string(f.Action); !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	more := ""
	if n := len(refused) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more places)", n)
	}
	return fault.WithHint(fault.Policy.Errorf("%v: the portable engine does not run commands of packages%s", refused[0], more),
		"build with ENGBLD_ENGINE=native on illumos, or leave it undone: BUILDIMAGE_PKGSRC_ACCEPT=%q", strings.Join(words, " "))
}
