package compare

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/TritonDataCenter/engbld/tools/ui"
)

// WriteJSON writes v as indented JSON, as all of this package's values can be.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// maxShown is how many files of no package are told without allFiles.
const maxShown = 200

// WriteText writes the comparison for a terminal. Of files in packages only the
// numbers are told, and of others the first ones, unless allFiles.
func (d *Diff) WriteText(w io.Writer, allFiles bool) error {
	t := &text{}
	t.row("A", plain(d.A.Name), d.A.UUID)
	t.row("B", plain(d.B.Name), d.B.UUID)
	t.flush("")
	t.line("")
	t.row("size", ui.Bytes(d.A.Bytes)+" -> "+ui.Bytes(d.B.Bytes), delta(d.B.Bytes-d.A.Bytes))
	if d.A.FileBytes > 0 && d.B.FileBytes > 0 {
		t.row("image file", ui.Bytes(d.A.FileBytes)+" -> "+ui.Bytes(d.B.FileBytes), delta(d.B.FileBytes-d.A.FileBytes))
	}
	t.row("packages", fmt.Sprintf("%d -> %d", d.A.Packages, d.B.Packages), d.packageCounts())
	t.row("files", fmt.Sprintf("%d -> %d", d.A.Files, d.B.Files), counts(d.Files))
	if v := d.Vulnerabilities; v != nil {
		t.row("findings", fmt.Sprintf("%d -> %d", len(v.Kept)+len(v.Removed), len(v.Kept)+len(v.Added)), plusMinus(len(v.Added), len(v.Removed)))
	} else {
		t.row("findings", "not compared: no audit of both")
	}
	t.flush("")
	if d.Same {
		t.line("\nno differences")
		_, err := io.WriteString(w, t.b.String())
		return err
	}
	t.head("Packages", len(d.Packages))
	for _, p := range d.Packages {
		t.row(sign(p.Change), plain(p.Name), plain(p.versions("->")), delta(p.NewBytes-p.OldBytes), p.note())
	}
	t.flush("  ")
	t.head("Manifest", len(d.Manifest))
	for _, f := range d.Manifest {
		t.row(sign(f.change()), plain(f.Field), f.values("->", plain))
	}
	t.flush("  ")
	if v := d.Vulnerabilities; v != nil {
		t.head("Vulnerabilities", len(v.Added)+len(v.Removed))
		for _, f := range v.Added {
			t.row("+", plain(f.Package), plain(f.Class), plain(f.URL))
		}
		for _, f := range v.Removed {
			t.row("-", plain(f.Package), plain(f.Class), plain(f.URL))
		}
		t.flush("  ")
	}
	own, by := splitFiles(d.Files)
	if allFiles {
		own, by = d.Files, nil
	}
	t.head("Files", len(own)+len(by))
	for i, f := range own {
		if i == maxShown && !allFiles {
			t.row("", fmt.Sprintf("and %d more (--files)", len(own)-i))
			break
		}
		t.row(sign(f.Change), f.Path, delta(f.NewBytes-f.OldBytes), strings.Join(f.What, ","), plain(f.Package))
	}
	t.flush("  ")
	if len(by) > 0 {
		t.line("  in packages (--files lists them):")
		for _, g := range by {
			t.row(plain(g.name), counts(g.files))
		}
		t.flush("    ")
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

// maxCell is how much of one text of an image is shown (bytes).
const maxCell = 400

// plain is survey.Plain, cut to a length that fits where it stands.
func plain(s string) string {
	s = survey.Plain(s)
	if len(s) > maxCell {
		s = strings.ToValidUTF8(s[:maxCell], "") + "..."
	}
	return s
}

func sign(c Change) string {
	switch c {
	case Added:
		return "+"
	case Removed:
		return "-"
	}
	return "~"
}

func (p PackageChange) versions(arrow string) string {
	switch {
	case p.Change == Added:
		return p.New
	case p.Change == Removed:
		return p.Old
	case p.Old == p.New:
		return p.New
	}
	return p.Old + " " + arrow + " " + p.New
}

// note says what the versions do not.
func (p PackageChange) note() string {
	switch p.Change {
	case Downgraded, Rebuilt, Resized:
		return string(p.Change)
	}
	return ""
}

func (f FieldChange) change() Change {
	switch {
	case f.Old == "":
		return Added
	case f.New == "":
		return Removed
	}
	return Changed
}

func (f FieldChange) values(arrow string, write func(string) string) string {
	switch f.change() {
	case Added:
		return write(shown(f.New))
	case Removed:
		return write(shown(f.Old))
	}
	return write(shown(f.Old)) + " " + arrow + " " + write(shown(f.New))
}

// shown is a value without the quotes of JSON, unless it is empty.
func shown(value string) string {
	var s string
	if json.Unmarshal([]byte(value), &s) == nil && s != "" {
		return s
	}
	return value
}

func (d *Diff) packageCounts() string {
	n := map[Change]int{}
	for _, p := range d.Packages {
		n[p.Change]++
	}
	return list(n)
}

func counts(files []FileChange) string {
	n := map[Change]int{}
	for _, f := range files {
		n[f.Change]++
	}
	return list(n)
}

func list(n map[Change]int) string {
	var parts []string
	for _, c := range []Change{Added, Removed, Upgraded, Downgraded, Rebuilt, Resized, Changed} {
		if n[c] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[c], c))
		}
	}
	return strings.Join(parts, ", ")
}

func plusMinus(added, removed int) string {
	switch {
	case added+removed == 0:
		return ""
	case removed == 0:
		return fmt.Sprintf("%d new", added)
	case added == 0:
		return fmt.Sprintf("%d gone", removed)
	}
	return fmt.Sprintf("%d new, %d gone", added, removed)
}

// number writes "1 file", "2 files".
func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// delta writes a difference of sizes with its sign, nothing where there is none.
func delta(n int64) string {
	switch {
	case n == 0:
		return ""
	case n < 0:
		return "-" + ui.Bytes(-n)
	}
	return "+" + ui.Bytes(n)
}

type fileGroup struct {
	name  string
	files []FileChange
}

// splitFiles parts files of no package from those of packages, by package.
func splitFiles(all []FileChange) (own []FileChange, by []fileGroup) {
	m := map[string][]FileChange{}
	for _, f := range all {
		if f.Package == "" {
			own = append(own, f)
		} else {
			m[f.Package] = append(m[f.Package], f)
		}
	}
	for name, files := range m {
		by = append(by, fileGroup{name, files})
	}
	slices.SortFunc(by, func(a, b fileGroup) int { return strings.Compare(a.name, b.name) })
	return own, by
}

// text collects lines and aligns rows.
type text struct {
	b    strings.Builder
	rows [][]string
}

func (t *text) line(s string) { t.b.WriteString(s + "\n") }

// head begins a section, unless it is empty.
func (t *text) head(name string, n int) {
	if n > 0 {
		t.line("\n" + name)
	}
}

func (t *text) row(cells ...string) { t.rows = append(t.rows, cells) }

// maxColumn is the width from which on a cell does not widen its column.
const maxColumn = 60

func (t *text) flush(indent string) {
	var width []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			if n := utf8.RuneCountInString(c); n <= maxColumn {
				width[i] = max(width[i], n)
			}
		}
	}
	for _, r := range t.rows {
		var b strings.Builder
		b.WriteString(indent)
		for i, c := range r {
			if width[i] == 0 && c == "" {
				continue
			}
			b.WriteString(c)
			b.WriteString(strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(c))+2))
		}
		t.line(strings.TrimRight(b.String(), " "))
	}
	t.rows = nil
}
