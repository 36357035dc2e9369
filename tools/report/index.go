package report

import (
	"html/template"
	"io"
	"strconv"

	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/TritonDataCenter/engbld/tools/ui"
)

// Entry is one flavor of the index.
type Entry struct {
	Name  string
	File  string        // its report, relative to the index
	Image *survey.Image // nil: there is none; Why says the reason
	Why   string
}

type indexRow struct {
	Name, File, Why, Version, Published, Size, FileSize, Packages, Findings string
	Sandbox                                                                 bool
}

// WriteIndex writes the page that leads to the reports.
func WriteIndex(w io.Writer, entries []Entry) error {
	page := struct {
		CSS   template.CSS
		Built int
		Rows  []indexRow
	}{CSS: template.CSS(style)}
	for _, e := range entries {
		r := indexRow{Name: survey.Plain(e.Name), Why: survey.Plain(e.Why)}
		if im := e.Image; im != nil {
			page.Built++
			r.File, r.Size, r.Packages, r.Findings = e.File, ui.Bytes(im.Bytes), strconv.Itoa(len(im.Packages)), "–"
			if im.Audited {
				r.Findings = strconv.Itoa(len(im.Findings))
			}
			if m := im.Manifest; m != nil {
				r.Version, r.Published, r.Sandbox = survey.Plain(m.Version()), day(m.PublishedAt()), m.Sandbox()
				for _, f := range m.Files() {
					r.FileSize = ui.Bytes(f.Size)
				}
			}
		}
		page.Rows = append(page.Rows, r)
	}
	return execute(w, indexText, page.CSS, page)
}
