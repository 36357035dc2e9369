package agent

import (
	"bytes"
	"io"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/redact"
)

// public is what git says, or is asked, without what is secret in addresses.
func (a *Agent) public(text string) string {
	if url := a.opts.URL; url != "" {
		text = strings.ReplaceAll(text, url, redact.Repository(url))
	}
	return redact.Text(text)
}

const maxLine = 64 << 10 // bytes; what is longer is shown in pieces

// said shows what a program says line by line, each as public makes it.
type said struct {
	to     io.Writer
	public func(string) string
	line   []byte
}

func (s *said) Write(p []byte) (int, error) {
	s.line = append(s.line, p...)
	for {
		i := bytes.IndexByte(s.line, '\n')
		if i < 0 {
			break
		}
		if err := s.show(i + 1); err != nil {
			return 0, err
		}
	}
	if len(s.line) > maxLine {
		return len(p), s.show(len(s.line))
	}
	return len(p), nil
}

func (s *said) show(n int) error {
	_, err := io.WriteString(s.to, s.public(string(s.line[:n])))
	s.line = s.line[n:]
	return err
}

// end shows a last line that nothing ended.
func (s *said) end() { _ = s.show(len(s.line)) }
