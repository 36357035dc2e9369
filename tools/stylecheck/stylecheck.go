// Package stylecheck holds the two checks of source text that components call
// by name: the copyright lines of changed files (check-copyright) and the
// style of bash scripts (bashstyle). (spec engbld-interface.md sections 4.5, 4.6)
//
// Lines are looked at up to 64 KiB; what a longer one holds beyond is not seen.
package stylecheck

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

const maxLine = 64 << 10

// eachLine calls f for each line of r, without its end, until f returns false.
func eachLine(r io.Reader, f func(line string) bool) error {
	br := bufio.NewReaderSize(r, maxLine)
	for {
		b, err := br.ReadSlice('\n')
		line, cut := string(b), errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = br.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !cut {
			line = strings.TrimSuffix(line, "\n")
		}
		if len(b) > 0 && !f(line) || err != nil {
			return nil
		}
	}
}
