package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/compare"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/sbom"
	"github.com/TritonDataCenter/engbld/tools/survey"
)

// Data is what a report tells.
type Data struct {
	Image      *survey.Image
	Origin     *imgmanifest.Manifest // of the image it is based on; nil: none, or not known
	Since      *compare.Diff         // from an earlier image to this one; nil: no changes are told
	SinceWhat  string                // what the earlier one is: "the last released image"
	Provenance *sbom.Statement       // nil: not told
	FileName   string                // of the image file; "" where it is not at hand
	Timings    []lock.Timing         // of the build's steps; none: not told
	Index      string                // address of the index page, relative; "" has none
}

//go:embed style.css
var style string

//go:embed page.html
var pageText string

//go:embed index.html
var indexText string

// Write writes the report of one image.
func Write(w io.Writer, d Data) error {
	p := newPage(d)
	return execute(w, pageText, p.CSS, p)
}

// policy allows the style sheet with this text and nothing else.
func policy(css template.CSS) string {
	sum := sha256.Sum256([]byte(css))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

func execute(w io.Writer, text string, css template.CSS, data any) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"policy": func() string { return policy(css) },
		"web":    survey.WebAddress,
	}).Parse(text)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	_, err = io.WriteString(w, b.String())
	return err
}
