package build

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/audit"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// AnyClass in Policy.FailOn stands for every class of vulnerabilities.
const AnyClass = "any"

// Policy says which findings of the audit an image may have. The zero value, as
// nil, lets everything stand.
type Policy struct {
	FailOn []string     // classes, such as remote-code-execution, or AnyClass
	Accept []Acceptance // what may stand all the same
}

// Acceptance lets findings stand for a time.
type Acceptance struct {
	Package string // name without version
	Class   string // "" is every class
	URL     string // "" is every entry of the list
	Reason  string
	Expires string // YYYY-MM-DD, the last day it counts
}

// String names the acceptance.
func (a Acceptance) String() string {
	return strings.TrimSpace(strings.Join([]string{a.Package, a.Class, a.URL}, " "))
}

func (a Acceptance) covers(f audit.Finding) bool {
	name, _ := version.Split(f.Package)
	return a.Package == name && (a.Class == "" || a.Class == f.Class) && (a.URL == "" || a.URL == f.URL)
}

// What becomes of a finding.
const (
	Reported = "reported" // of a class the policy does not mind
	Accepted = "accepted"
	Refused  = "refused"
)

// Verdict is a finding and what the policy says of it.
type Verdict struct {
	Package string `json:"package"` // full name
	Class   string `json:"class"`
	URL     string `json:"url"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`  // of an acceptance
	Expires string `json:"expires,omitempty"` // of an acceptance
	Upgrade string `json:"upgrade,omitempty"` // package in the repository that the finding does not name

	pattern string
}

// Judge sorts the findings into those that may stand and those that may not, and
// lists the acceptances that are past their date on the day now.
func (p *Policy) Judge(findings []audit.Finding, now time.Time) (verdicts []Verdict, expired []Acceptance) {
	if p == nil {
		p = &Policy{}
	}
	today := now.UTC().Format(time.DateOnly)
	for _, a := range p.Accept {
		if a.Expires < today {
			expired = append(expired, a)
		}
	}
	for _, f := range findings {
		v := Verdict{Package: f.Package, Class: f.Class, URL: f.Page, State: Reported, pattern: f.Pattern}
		if slices.Contains(p.FailOn, f.Class) || slices.Contains(p.FailOn, AnyClass) {
			v.State = Refused
			for _, a := range p.Accept {
				if a.covers(f) && a.Expires >= today {
					v.State, v.Reason, v.Expires = Accepted, a.Reason, a.Expires
					break
				}
			}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, expired
}

// Conclude makes an error of kind policy of what may not stand.
func Conclude(verdicts []Verdict, expired []Acceptance) error {
	var bad []string
	for _, a := range expired {
		bad = append(bad, fmt.Sprintf("the acceptance of %s expired on %s", a, a.Expires))
	}
	for _, v := range verdicts {
		if v.State == Refused {
			line := fmt.Sprintf("%s: %s, %s", v.Package, v.Class, v.URL)
			if v.Upgrade != "" {
				line += " (upgrade: " + v.Upgrade + ")"
			}
			bad = append(bad, line)
		}
	}
	switch {
	case len(bad) == 0:
		return nil
	case len(expired) > 0:
		return fault.WithHint(fault.Policy.Errorf("audit policy: %s", strings.Join(bad, "; ")),
			"in flavor.toml remove the [[audit.accept]], or look at it again and give it a new date")
	}
	return fault.WithHint(fault.Policy.Errorf("audit policy: %s", strings.Join(bad, "; ")),
		"upgrade the package, or accept the finding in flavor.toml: [[audit.accept]] with package, class, url, reason, expires")
}

// check is what a build does with its findings; entries are the packages that the
// repositories have, as far as they are known.
func (p *Policy) check(findings []audit.Finding, entries []*repository.Entry, now time.Time, story Story) error {
	if p == nil {
		return nil
	}
	verdicts, expired := p.Judge(findings, now)
	upgrades(verdicts, entries)
	for _, v := range verdicts {
		if v.State == Accepted {
			story.Infof("accepted until %s: %s, %s: %s", v.Expires, v.Package, v.Class, v.Reason)
		}
	}
	return Conclude(verdicts, expired)
}

// upgrades notes for each finding the best package of the same name in the
// repositories that is newer and that the entry of the list does not name.
func upgrades(verdicts []Verdict, entries []*repository.Entry) {
	byName := map[string][]*repository.Entry{}
	for _, e := range entries {
		byName[e.Name()] = append(byName[e.Name()], e)
	}
	budget := version.NewBudget(maxSteps)
	for i := range verdicts {
		v := &verdicts[i]
		name, have := version.Split(v.Package)
		for _, e := range byName[name] {
			if budget.Spend(0) != nil {
				return // the rest is not known
			}
			if version.Compare(e.Version(), have) <= 0 {
				continue
			}
			if hit, err := budget.Match(v.pattern, e.PkgName); err != nil || hit {
				continue
			}
			if v.Upgrade == "" || version.Better(e.PkgName, v.Upgrade) {
				v.Upgrade = e.PkgName
			}
		}
	}
}
