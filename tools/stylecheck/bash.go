package stylecheck

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	exemptNext  = regexp.MustCompile(`# BASHSTYLED`)
	exemptBegin = regexp.MustCompile(`# BEGIN BASHSTYLED`)
	exemptEnd   = regexp.MustCompile(`# END BASHSTYLED`)
	localSub    = regexp.MustCompile(`^\s*local\s+(\w+)\s*=.*\$\(`)
	singleTest  = regexp.MustCompile(`(^|[^\[])\[\s.+\s\]([^\]]|$)`)
)

const maxColumns = 80

// Bash returns what is wrong with a bash script, one line each, beginning with
// "name: LINE: ". A line after "# BASHSTYLED" is exempt from everything, lines
// between "# BEGIN BASHSTYLED" and "# END BASHSTYLED" from all but the rules
// for the file's end.
func Bash(name string, text []byte) []string {
	var found []string
	say := func(line int, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %d: ", name, line)+fmt.Sprintf(format, args...))
	}

	lines := strings.Split(string(text), "\n")
	begun := 0 // the line of a BEGIN, 0 outside
	for i, raw := range lines {
		n, line := i+1, expandTabs(raw)
		if i > 0 && exemptNext.MatchString(lines[i-1]) {
			continue
		}
		if exemptBegin.MatchString(line) {
			begun = n
		}
		if exemptEnd.MatchString(line) {
			if begun == 0 {
				say(n, "END BASHSTYLED without a BEGIN before it")
			}
			begun = 0
		}
		if begun > 0 {
			continue
		}
		if m := localSub.FindStringSubmatch(line); m != nil {
			say(n, "\"local %s=$(...)\" hides the command's status: declare, then assign", m[1])
		}
		if singleTest.MatchString(line) {
			say(n, "prefer [[ to [ for tests")
		}
		if utf8.RuneCountInString(line) > maxColumns {
			say(n, "line exceeds %d columns", maxColumns)
		}
		if strings.TrimRight(line, " \r\f\v") != line {
			say(n, "line ends in white space")
		}
	}
	if begun > 0 {
		say(begun, "BEGIN BASHSTYLED without an END after it")
	}

	switch {
	case len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")):
		say(len(lines), "file does not end with a newline")
	case len(lines) > 1 && lines[len(lines)-2] == "":
		say(len(lines)-1, "file ends with a blank line")
	}
	return found
}

// expandTabs replaces each tab by blanks up to the next column that is a
// multiple of eight.
func expandTabs(line string) string {
	var b strings.Builder
	col := 0
	for _, r := range line {
		if r != '\t' {
			b.WriteRune(r)
			col++
			continue
		}
		n := 8 - col%8
		b.WriteString(strings.Repeat(" ", n))
		col += n
	}
	return b.String()
}
