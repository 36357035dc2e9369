package compare

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/TritonDataCenter/engbld/tools/ui"
)

// maxListed is how many files a ticket is given; the rest is a number.
const maxListed = 100

// WriteMarkdown writes the comparison for a ticket, in GitHub's Markdown.
func (d *Diff) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("### %s → %s\n", md(d.A.Name), md(d.B.Name))
	p("| | before | after | |\n|---|---:|---:|---|")
	if d.A.UUID != "" || d.B.UUID != "" {
		p("| image | %s | %s | |", md(d.A.UUID), md(d.B.UUID))
	}
	p("| size | %s | %s | %s |", ui.Bytes(d.A.Bytes), ui.Bytes(d.B.Bytes), delta(d.B.Bytes-d.A.Bytes))
	if d.A.FileBytes > 0 && d.B.FileBytes > 0 {
		p("| image file | %s | %s | %s |", ui.Bytes(d.A.FileBytes), ui.Bytes(d.B.FileBytes), delta(d.B.FileBytes-d.A.FileBytes))
	}
	p("| packages | %d | %d | %s |", d.A.Packages, d.B.Packages, d.packageCounts())
	p("| files | %d | %d | %s |", d.A.Files, d.B.Files, counts(d.Files))
	if v := d.Vulnerabilities; v != nil {
		p("| vulnerabilities | %d | %d | %s |", len(v.Kept)+len(v.Removed), len(v.Kept)+len(v.Added), plusMinus(len(v.Added), len(v.Removed)))
	}
	if d.Same {
		p("\nNo differences.")
	}
	if len(d.Packages) > 0 {
		p("\n#### Packages\n\n| package | before | after | size |\n|---|---|---|---:|")
		for _, c := range d.Packages {
			p("| %s | %s | %s | %s |", md(c.Name), md(c.Old), md(c.New), delta(c.NewBytes-c.OldBytes))
		}
	}
	if v := d.Vulnerabilities; v != nil && len(v.Added)+len(v.Removed) > 0 {
		p("\n#### Vulnerabilities\n\n| | package | class | advisory |\n|---|---|---|---|")
		for _, f := range v.Added {
			p("| new | %s | %s | %s |", md(f.Package), md(f.Class), md(f.URL))
		}
		for _, f := range v.Removed {
			p("| gone | %s | %s | %s |", md(f.Package), md(f.Class), md(f.URL))
		}
	}
	if len(d.Manifest) > 0 {
		p("\n#### Manifest\n\n| field | before | after |\n|---|---|---|")
		for _, f := range d.Manifest {
			p("| %s | %s | %s |", md(f.Field), md(shown(f.Old)), md(shown(f.New)))
		}
	}
	if own, by := splitFiles(d.Files); len(d.Files) > 0 {
		p("\n#### Files\n")
		for i, f := range own {
			if i == maxListed {
				p("- and %d more", len(own)-i)
				break
			}
			what := ""
			if len(f.What) > 0 {
				what = " (" + strings.Join(f.What, ", ") + ")"
			}
			p("- %s %s%s", f.Change, md(f.Path), what)
		}
		for _, g := range by {
			p("- in %s: %s", md(g.name), counts(g.files))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// md writes text of an image so that Markdown shows it as it is. Plain words and
// web addresses stay as they are; anything else becomes code, where nothing has
// a meaning, nobody is mentioned and no address becomes a link.
func md(s string) string {
	s = plain(s)
	if s == "" || harmless(s) || survey.WebAddress(s) && harmless(strings.Replace(s, "://", "", 1)) {
		return s
	}
	return "`" + strings.NewReplacer("`", `\140`, "|", `\174`).Replace(s) + "`"
}

// harmless tells whether Markdown takes all of s for text.
func harmless(s string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" .,-+/=:;%?", r) && r != '_' {
			return false
		}
	}
	first := s[0]
	return !strings.Contains(s, "://") && !strings.Contains(strings.ToLower(s), "www.") &&
		first != '_' && s[len(s)-1] != '_' && !strings.Contains(s, " _") && !strings.Contains(s, "_ ") && first != ' ' && s[len(s)-1] != ' '
}
