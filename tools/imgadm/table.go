package imgadm

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"
)

// writeTable writes columns padded to their widest cell, two blanks apart; the
// last one is not padded. A header that is not shown counts for the width, too.
// Without rows there is the header, or an empty line.
func writeTable(w io.Writer, header []string, hide bool, rows [][]string) error {
	all := append([][]string{header}, rows...)
	lines := all
	if hide {
		lines = rows
	}
	var widths []int
	for _, line := range all {
		for i, cell := range line {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		for i, cell := range line {
			b.WriteString(cell)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	if len(lines) == 0 {
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// table writes rows below the columns' names, which -H hides.
func (a *app) table(columns []string, rows [][]string) error {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = strings.ToUpper(c)
	}
	return writeTable(a.Stdout, names, a.flags.has("no-header"), rows)
}

// cell writes a JSON value as text: strings as they are, objects compact,
// nothing as "-".
func cell(raw json.RawMessage) string {
	var s string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "-"
	case json.Unmarshal(raw, &s) == nil:
	default:
		s = string(raw)
	}
	// A value must not break the table or move a terminal's cursor.
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// writeJSON writes compact JSON with two blanks of indentation.
func (a *app) writeJSON(raw []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := a.Stdout.Write(b.Bytes())
	return err
}
