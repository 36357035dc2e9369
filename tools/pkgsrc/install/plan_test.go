package install

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// plan is an empty plan for a target that has top-1.
func plan(t *testing.T) *upgradePlan {
	t.Helper()
	r := newRig(t)
	top := made{name: "top-1"}
	in := r.made(top)
	r.add(in, "top")
	return newPlan(in, map[string]bool{})
}

// chain is n packages that each need the next one, and top-2, which needs the first.
func chain(n int, last string, more ...string) []*repository.Entry {
	entries := []*repository.Entry{{PkgName: "top-2", PkgPath: "made/top", Depends: []string{"p0-[0-9]*"}}}
	for i := range n {
		depends := more
		if i < n-1 {
			depends = append([]string{fmt.Sprintf("p%d>=1", i+1)}, more...)
		} else if last != "" {
			depends = append([]string{last}, more...)
		}
		entries = append(entries, &repository.Entry{PkgName: fmt.Sprintf("p%d-1", i), Depends: depends})
	}
	return entries
}

// TestLongChain counts what a plan of as many packages as there may be looks at.
func TestLongChain(t *testing.T) {
	t.Parallel()
	const n = maxActions - 1
	entries := chain(n, "")
	p := plan(t)
	p.budget = version.NewBudget(100 * n)
	if err := p.make(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	if len(p.order) != n+1 || p.order[0].entry != entries[n] || p.order[n].entry != entries[0] {
		t.Errorf("%d packages are put in order", len(p.order))
	}
}

func TestPlanBounds(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name    string
		entries []*repository.Entry
		steps   int
		ctx     context.Context
		want    string
	}{
		{"interrupted", chain(3, ""), maxSteps, canceled, context.Canceled.Error()},
		{"too many packages", chain(maxActions, ""), maxSteps, t.Context(), fmt.Sprintf("takes over %d packages", maxActions)},
		{"too many matches", chain(300, "", "*1", "*-1"), 100000, t.Context(), "over 100000 steps"},
		{"too many to put in order", chain(1100, "", "p*"), maxSteps, t.Context(), fmt.Sprintf("over %d dependencies", maxOrder)},
		{"missing at the end", chain(4, "q>1"), maxSteps, t.Context(), `no package found for "q>1": top-2 needs p0-1 needs p1-1 needs p2-1 needs p3-1 needs it`},
		{"missing far away", chain(1000, "q>1"), maxSteps, t.Context(), `no package found for "q>1": … needs p950-1 needs p951-1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := plan(t)
			p.budget = version.NewBudget(tt.steps)
			err := p.make(tt.ctx, tt.entries)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%.300v, want %s", err, tt.want)
			}
			if tt.ctx == canceled && !errors.Is(err, context.Canceled) || tt.ctx != canceled && fault.KindOf(err) != fault.Network {
				t.Errorf("kind %v of %.300v", fault.KindOf(err), err)
			}
		})
	}
}
