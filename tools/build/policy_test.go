package build

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/audit"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
)

func finding(pkg, pattern, class, url string) audit.Finding {
	return audit.Finding{Package: pkg, Vulnerability: audit.Vulnerability{Pattern: pattern, Class: class, URL: url}, Page: url}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 31, 23, 59, 0, 0, time.UTC)
	findings := []audit.Finding{
		finding("curl-8.9.0", "curl<8.11", "remote-code-execution", "https://x/1"),
		finding("curl-8.9.0", "curl<9", "cookie-injection", "https://x/2"),
		finding("sudo-1.9", "sudo<2", "privilege-escalation", "https://x/3"),
	}
	accept := func(pkg, class, url, day string) Acceptance {
		return Acceptance{Package: pkg, Class: class, URL: url, Reason: "because", Expires: day}
	}
	for _, c := range []struct {
		name   string
		policy *Policy
		states string // of the findings, first letters
		want   string // part of the error, "" for none
	}{
		{"none", nil, "rrr", ""},
		{"no classes", &Policy{}, "rrr", ""},
		{"one class", &Policy{FailOn: []string{"remote-code-execution"}}, "Rrr", "curl-8.9.0: remote-code-execution, https://x/1"},
		{"any class", &Policy{FailOn: []string{AnyClass}}, "RRR", "sudo-1.9"},
		{"accepted by package", &Policy{FailOn: []string{AnyClass}, Accept: []Acceptance{accept("curl", "", "", "2026-03-31")}}, "aaR", "sudo-1.9"},
		{"accepted by class", &Policy{FailOn: []string{AnyClass}, Accept: []Acceptance{accept("curl", "cookie-injection", "", "2026-12-31"),
			accept("sudo", "", "https://x/3", "2026-12-31")}}, "Raa", "remote-code-execution"},
		{"another url", &Policy{FailOn: []string{"cookie-injection"}, Accept: []Acceptance{accept("curl", "", "https://x/1", "2026-12-31")}}, "rRr", "https://x/2"},
		{"another package of like name", &Policy{FailOn: []string{"cookie-injection"}, Accept: []Acceptance{accept("cur", "", "", "2026-12-31")}}, "rRr", "https://x/2"},
		{"expired", &Policy{FailOn: []string{"cookie-injection"}, Accept: []Acceptance{accept("curl", "", "", "2026-03-30")}}, "rRr", "the acceptance of curl expired on 2026-03-30"},
		{"expired, of nothing", &Policy{Accept: []Acceptance{accept("vim", "", "", "2020-01-01")}}, "rrr", "the acceptance of vim expired on 2020-01-01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			verdicts, expired := c.policy.Judge(findings, now)
			states := ""
			for _, v := range verdicts {
				states += map[string]string{Reported: "r", Accepted: "a", Refused: "R"}[v.State]
			}
			if states != c.states {
				t.Errorf("states %s, want %s", states, c.states)
			}
			err := c.policy.check(findings, nil, now, &told{})
			if (err == nil) != (c.want == "") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if err != nil && (fault.KindOf(err) != fault.Policy || fault.Hint(err) == "" || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v (kind %d, hint %q), want %q", err, fault.KindOf(err), fault.Hint(err), c.want)
			}
			_ = expired
		})
	}
}

func TestUpgradesForFindings(t *testing.T) {
	t.Parallel()
	text := "PKGNAME=curl-8.10.0\n\nPKGNAME=curl-8.11.1\n\nPKGNAME=curl-8.8.0\n\nPKGNAME=curly-9.0\n\n"
	entries, err := repository.ParseSummary(text)
	if err != nil {
		t.Fatal(err)
	}
	verdicts, _ := (*Policy)(nil).Judge([]audit.Finding{
		finding("curl-8.9.0", "curl<8.10", "a", "u"),
		finding("curl-8.9.0", "curl<8.11", "b", "u"),
		finding("curl-8.9.0", "curl-[0-9]*", "c", "u"),
		finding("sudo-1.9", "sudo<2", "d", "u"),
	}, time.Now())
	upgrades(verdicts, entries)
	for i, want := range []string{"curl-8.11.1", "curl-8.11.1", "", ""} {
		if verdicts[i].Upgrade != want {
			t.Errorf("%s: upgrade %q, want %q", verdicts[i].Class, verdicts[i].Upgrade, want)
		}
	}
}

// TestUpgradesForManyFindings: a list of vulnerabilities and a repository may be
// as large as they are read.
func TestUpgradesForManyFindings(t *testing.T) {
	t.Parallel()
	entries := make([]*repository.Entry, 1<<18)
	for i := range entries {
		entries[i] = &repository.Entry{PkgName: fmt.Sprintf("p%d-2", i)}
	}
	findings := make([]audit.Finding, 1<<17)
	for i := range findings {
		findings[i] = finding(fmt.Sprintf("p%d-1", i), fmt.Sprintf("p%d<2", i), "a", "u")
	}
	verdicts, _ := (*Policy)(nil).Judge(findings, time.Now())
	upgrades(verdicts, entries)
	for i, v := range verdicts {
		if want := fmt.Sprintf("p%d-2", i); v.Upgrade != want {
			t.Fatalf("%s: upgrade %q, want %q", v.Package, v.Upgrade, want)
		}
	}
}
