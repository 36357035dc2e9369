package fstree

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// Spool keeps file content outside of memory, in one temporary file without a name.
// It is safe for concurrent use; content stays readable until Close.
type Spool struct {
	mu  sync.Mutex
	f   *os.File
	end int64
}

// NewSpool makes a spool in dir ("" is the default directory for temporary files).
func NewSpool(dir string) (*Spool, error) {
	f, err := newfile.Unnamed(dir, "spool")
	if err != nil {
		return nil, fmt.Errorf("making a file for unpacked content: %w", err)
	}
	return &Spool{f: f}, nil
}

// Close gives the space back. Content of the spool cannot be read any more.
func (s *Spool) Close() error { return s.f.Close() }

// Add stores exactly size bytes of r. Fewer bytes give io.ErrUnexpectedEOF; the
// place is reserved first, so several Adds can run at once.
func (s *Spool) Add(r io.Reader, size int64) (Content, error) {
	s.mu.Lock()
	start := s.end
	s.end += size
	s.mu.Unlock()
	n, err := io.Copy(io.NewOffsetWriter(s.f, start), io.LimitReader(r, size))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return section{s.f, start, size}, nil
}

// section is a part of a file; comparable, unlike *io.SectionReader's bytes.
type section struct {
	r     io.ReaderAt
	start int64
	size  int64
}

func (s section) Size() int64 { return s.size }

func (s section) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= s.size {
		return 0, io.EOF
	}
	if max := s.size - off; int64(len(p)) > max {
		n, err := s.r.ReadAt(p[:max], s.start+off)
		if err == nil {
			err = io.EOF
		}
		return n, err
	}
	return s.r.ReadAt(p, s.start+off)
}
