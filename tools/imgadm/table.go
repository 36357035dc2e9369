package imgadm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"
)

// writeTable writes columns padded to their widest cell, two blanks apart; the
// last one is not padded. A header that is not shown counts for the width, too.
// Without rows there is the header, or an empty line. Cells above maxWidth do not
// widen their column: one long text would make all lines as long.
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
			widths[i] = max(widths[i], min(utf8.RuneCountInString(cell), maxWidth))
		}
	}
	b := bufio.NewWriter(w)
	for _, line := range lines {
		for i, cell := range line {
			b.WriteString(cell)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell))+2))
			}
		}
		b.WriteByte('\n')
	}
	if len(lines) == 0 {
		b.WriteByte('\n')
	}
	return b.Flush()
}

// maxWidth of a column is what the longest valid name takes.
const maxWidth = 1024

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
	return plain(s)
}

// plain is a text from a server that must not break its line or move a terminal's
// cursor.
func plain(s string) string {
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
