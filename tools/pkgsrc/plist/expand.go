package plist

import (
	"path"
	"strings"
)

// Expand puts prefix and file into the command of an @exec or @unexec, each
// value quoted for the shell: %D the prefix, %F the file as listed, %B the
// directory of prefix/file, %f its base name (spec pkgsrc.md section 4). "%%" and
// any other letter stay as they are. last is the last file entry before the
// command, "" where there is none.
func Expand(cmd, prefix, last string) string {
	var b strings.Builder
	for i := 0; i < len(cmd); i++ {
		if cmd[i] != '%' || i+1 == len(cmd) {
			b.WriteByte(cmd[i])
			continue
		}
		i++
		full := prefix + "/" + last
		switch cmd[i] {
		case 'D':
			b.WriteString(shellQuote(prefix))
		case 'F':
			b.WriteString(shellQuote(last))
		case 'B':
			b.WriteString(shellQuote(path.Dir(full)))
		case 'f':
			b.WriteString(shellQuote(path.Base(full)))
		default:
			b.WriteByte('%')
			b.WriteByte(cmd[i])
		}
	}
	return b.String()
}

func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
