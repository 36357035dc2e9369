package plan

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTextAndJSON(t *testing.T) {
	t.Parallel()
	p := &Plan{Name: "x", Version: "1", Digest: "ab", Steps: []Step{
		{Name: "base", State: Run, Why: "every image has one", Inputs: []Input{
			{Kind: "image", Name: "b@1", Digest: "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", Place: Cached},
			{Kind: "image", Name: "longer@1", Place: Open}}},
		{Name: "component", State: Skip, Why: "no files of its own"},
	}}
	var text, raw bytes.Buffer
	if err := p.Text(&text); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"x 1",
		"plan sha256:ab",
		" 1 base       run   every image has one",
		"                    image b@1       cached    sha1:da39a3ee5e6b4b0d",
		"                    image longer@1  open",
		" 2 component  skip  no files of its own",
		""}, "\n")
	if d := cmp.Diff(want, text.String()); d != "" {
		t.Error(d)
	}
	if err := p.JSON(&raw); err != nil {
		t.Fatal(err)
	}
	var back Plan
	if err := json.Unmarshal(raw.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p, &back); d != "" {
		t.Error(d)
	}
}
