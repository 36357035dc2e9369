package finding_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/finding"
)

func TestText(t *testing.T) {
	t.Parallel()
	r := &finding.Report{Subject: "this machine"}
	r.Add(finding.Finding{Check: "a", Verdict: finding.OK, What: "fine", Why: "not shown"})
	r.Add(finding.Finding{Check: "long", Verdict: finding.Fail, Where: "Makefile:3", What: "one\ntwo\x1b[31m", Why: "so", Mend: "make it\nso"})
	var full, brief strings.Builder
	if err := r.WriteText(&full, false); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteText(&brief, true); err != nil {
		t.Fatal(err)
	}
	want := `this machine
ok    a     fine
fail  long  Makefile:3: one
            two?[31m
            why:  so
            mend: make it
                  so
1 ok, 0 skipped, 0 warned, 1 failed
`
	if d := cmp.Diff(want, full.String()); d != "" {
		t.Error(d)
	}
	if strings.Contains(brief.String(), "fine") || !strings.HasPrefix(brief.String(), "fail") || r.Good() {
		t.Error(brief.String())
	}
	var js strings.Builder
	if err := finding.WriteJSON(&js, r); err != nil || !strings.Contains(js.String(), `"verdict": "fail"`) {
		t.Error(js.String(), err)
	}
}
