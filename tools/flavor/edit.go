package flavor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// AddReleased returns the text of a flavor file with one more released image at
// the end of its list. All else stays as it is, comments and line ends too. Where
// the list is not written as [[released]] tables, that is fault.Usage.
func AddReleased(text string, r Released) (string, error) {
	var f Flavor
	if err := toml.Unmarshal([]byte(text), &f); err != nil {
		return "", fault.Usage.Errorf("the flavor file cannot be read: %w", err)
	}
	tables, err := arrayTables(text, "released")
	if err != nil {
		return "", fault.Usage.Errorf("the flavor file cannot be read: %w", err)
	}
	at := lineCount(text)
	if n := len(tables); n > 0 {
		at = tables[n-1].last
	}
	edited := insertTable(text, at, fmt.Sprintf("[[released]]\nversion = %q\nuuid = %q\n", r.Version, r.UUID))
	// A list may be written in other ways, too.
	var after Flavor
	if toml.Unmarshal([]byte(edited), &after) != nil || !slices.Equal(after.Released, append(f.Released, r)) {
		return "", fault.WithHint(fault.Usage.Errorf("released images are not written as [[released]] tables"), "write them so, or add this one by hand")
	}
	return edited, nil
}

// AddRelease returns the text of buildenv.toml with one more pkgsrc release, at
// its place by age. It is returned as it is where it has the release.
func AddRelease(text, release string) (string, error) {
	var e BuildEnv
	if err := toml.Unmarshal([]byte(text), &e); err != nil {
		return "", fault.Usage.Errorf("images/buildenv.toml cannot be read: %w", err)
	}
	tables, err := arrayTables(text, "pkgsrc")
	if err != nil {
		return "", fault.Usage.Errorf("images/buildenv.toml cannot be read: %w", err)
	}
	if len(tables) == 0 || len(tables) != len(e.Pkgsrc) {
		return "", fault.WithHint(fault.Usage.Errorf("images/buildenv.toml: releases are not written as [[pkgsrc]] tables"),
			"add this by hand: [[pkgsrc]] release = %q", release)
	}
	at := 0
	for i, r := range e.Pkgsrc {
		switch {
		case r.Name == release:
			return text, nil
		case r.Name < release:
			at = tables[i].last
		}
	}
	table := fmt.Sprintf("[[pkgsrc]]\nrelease = %q\n", release)
	if at > 0 {
		return insertTable(text, at, table), nil
	}
	// The oldest one goes before the first, whose comment stays above all of them.
	first := tables[0].first
	head, tail := splitLines(text, first-1)
	return head + eol(text, table+"\n") + tail, nil
}

// span are the lines, counted from 1, of a table from its header to the last of
// its keys.
type span struct{ first, last int }

// arrayTables finds the [[name]] tables at the top of a file. Empty lines and
// comments before the next table belong to that one.
func arrayTables(text, name string) ([]span, error) {
	var p unstable.Parser
	p.Reset([]byte(text))
	var list []span
	lines := strings.Split(text, "\n")
	open := false
	end := func(next int) { // a table ends before line next
		if !open {
			return
		}
		last := &list[len(list)-1].last
		for *last = next - 1; ; *last-- {
			if l := strings.TrimSpace(lines[*last-1]); l != "" && l[0] != '#' {
				break
			}
		}
		open = false
	}
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.Table && e.Kind != unstable.ArrayTable {
			continue
		}
		key := e.Key()
		key.Next()
		line := p.Shape(key.Node().Raw).Start.Line
		switch {
		case string(key.Node().Data) != name:
			end(line)
		case e.Kind == unstable.ArrayTable && key.IsLast():
			end(line)
			list, open = append(list, span{first: line}), true
		}
	}
	end(len(lines) + 1)
	return list, p.Error()
}

// insertTable puts a table after a line, set off by empty lines.
func insertTable(text string, after int, table string) string {
	head, tail := splitLines(text, after)
	if head != "" && !strings.HasSuffix(head, "\n") {
		head += eol(text, "\n")
	}
	if s := strings.TrimRight(head, "\r\n"); s != "" {
		table = "\n" + table
		if after == lineCount(text) {
			head = s + eol(text, "\n")
		}
	}
	if next, _, _ := strings.Cut(tail, "\n"); strings.TrimSpace(next) != "" {
		table += "\n"
	}
	return head + eol(text, table) + tail
}

func lineCount(text string) int { return strings.Count(text, "\n") + 1 }

// splitLines cuts a text after n lines.
func splitLines(text string, n int) (head, tail string) {
	at := 0
	for range n {
		i := strings.IndexByte(text[at:], '\n')
		if i < 0 {
			return text, ""
		}
		at += i + 1
	}
	return text[:at], text[at:]
}

// eol gives s the line ends of a text.
func eol(text, s string) string {
	if strings.Contains(text, "\r\n") {
		return strings.ReplaceAll(s, "\n", "\r\n")
	}
	return s
}
