// Package finding is how "engbld doctor" and "engbld component doctor" say what
// they found: each finding with what is wrong, why it matters, and the command or
// edit that mends it.
//
// A report is complete: a check that could not be made is in it as skipped, with
// the reason. The order is the order of the checks, never that of a map.
package finding

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Verdict is the outcome of one check.
type Verdict string

const (
	OK   Verdict = "ok"
	Skip Verdict = "skip" // not looked at; What says why
	Warn Verdict = "warn" // goes on, but somebody should know
	Fail Verdict = "fail"
)

// Finding is the outcome of one check, or one of several of the same check.
type Finding struct {
	Check   string  `json:"check"` // short and stable, for scripts: pkgsrc-release
	Verdict Verdict `json:"verdict"`
	Where   string  `json:"where,omitempty"` // file:line
	What    string  `json:"what"`
	Why     string  `json:"why,omitempty"`
	Mend    string  `json:"mend,omitempty"` // something to type, or an edit
}

// Report is all findings about one subject.
type Report struct {
	Subject  string    `json:"subject"`
	Findings []Finding `json:"findings"`
}

// Add appends a finding.
func (r *Report) Add(f Finding) { r.Findings = append(r.Findings, f) }

// Count returns how many findings have verdict v.
func (r *Report) Count(v Verdict) int {
	n := 0
	for _, f := range r.Findings {
		if f.Verdict == v {
			n++
		}
	}
	return n
}

// Good tells whether nothing failed.
func (r *Report) Good() bool { return r.Count(Fail) == 0 }

// WriteText writes the report for people: one line a finding, and below those
// that warn or fail, why it matters and what mends it. With brief, only those.
func (r *Report) WriteText(w io.Writer, brief bool) error {
	var b strings.Builder
	if !brief {
		fmt.Fprintf(&b, "%s\n", r.Subject)
	}
	width := 0
	for _, f := range r.Findings {
		width = max(width, len(f.Check))
	}
	for _, f := range r.Findings {
		bad := f.Verdict == Warn || f.Verdict == Fail
		if brief && !bad {
			continue
		}
		what := f.What
		if f.Where != "" {
			what = f.Where + ": " + what
		}
		pad := strings.Repeat(" ", 6+width+2)
		fmt.Fprintf(&b, "%-4s  %-*s  %s\n", f.Verdict, width, f.Check, indent(what, pad))
		if bad {
			if f.Why != "" {
				fmt.Fprintf(&b, "%swhy:  %s\n", pad, indent(f.Why, pad+"      "))
			}
			if f.Mend != "" {
				fmt.Fprintf(&b, "%smend: %s\n", pad, indent(f.Mend, pad+"      "))
			}
		}
	}
	if !brief {
		fmt.Fprintf(&b, "%s\n", r.Sum())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Sum is the report in one line.
func (r *Report) Sum() string {
	return fmt.Sprintf("%d ok, %d skipped, %d warned, %d failed", r.Count(OK), r.Count(Skip), r.Count(Warn), r.Count(Fail))
}

// WriteJSON writes one report, or a list of them, as indented JSON.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// indent keeps the lines after the first below it, and takes control characters
// out: much of the text comes from programs and makefiles.
func indent(s, pad string) string {
	s = strings.TrimRight(s, "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == '\n':
			return r
		case r < 0x20, r >= 0x7f && r < 0xa0:
			return '?'
		}
		return r
	}, s)
	return strings.ReplaceAll(s, "\n", "\n"+pad)
}
