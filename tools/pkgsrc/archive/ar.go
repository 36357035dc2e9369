package archive

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	arMagic      = "!<arch>\n"
	arHeaderSize = 60
	arEnd        = "`\n"
	maxArName    = 1024
)

// arHeader is the header of one member, all fields text padded with blanks:
// name 16, mtime 12, uid 6, gid 6, mode 8, size 10, end 2 (spec pkgsrc.md
// section 3.2).
type arHeader [arHeaderSize]byte

func (h *arHeader) name() string { return strings.TrimRight(string(h[0:16]), " ") }
func (h *arHeader) size() string { return strings.TrimRight(string(h[48:58]), " ") }
func (h *arHeader) end() string  { return string(h[58:60]) }

// arReader reads the members of an ar archive of the BSD flavor in order.
type arReader struct {
	r    io.Reader
	left int64 // bytes of the current member that were not read
	odd  bool  // a padding byte follows it
}

// newArReader reads the archive's first line.
func newArReader(r io.Reader) (*arReader, error) {
	var magic [len(arMagic)]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return nil, noEOF(err)
	}
	if string(magic[:]) != arMagic {
		return nil, fmt.Errorf("ar: begins with %q", magic)
	}
	return &arReader{r: r}, nil
}

// next goes to the next member that is no name table; io.EOF at the end.
func (a *arReader) next() (name string, size int64, err error) {
	for {
		if err := a.skip(); err != nil {
			return "", 0, err
		}
		name, err := a.header()
		if err != nil {
			return "", 0, err
		}
		if name != "//" {
			return name, a.left, nil
		}
	}
}

func (a *arReader) header() (string, error) {
	var h arHeader
	if _, err := io.ReadFull(a.r, h[:]); err != nil {
		return "", err // io.EOF where nothing follows
	}
	size, err := strconv.ParseUint(h.size(), 10, 40)
	if err != nil || h.end() != arEnd {
		return "", fmt.Errorf("ar: bad member header %q", h[:])
	}
	a.left, a.odd = int64(size), size%2 == 1
	name := h.name()
	if length, ok := strings.CutPrefix(name, "#1/"); ok {
		// The name leads the body and counts there.
		n, err := strconv.ParseUint(length, 10, 31)
		if err != nil || n > maxArName || n > size {
			return "", fmt.Errorf("ar: bad member name %q", name)
		}
		long := make([]byte, n)
		if _, err := io.ReadFull(a, long); err != nil {
			return "", noEOF(err)
		}
		return string(bytes.TrimRight(long, "\x00")), nil
	}
	if name != "//" {
		name = strings.TrimSuffix(name, "/") // GNU ends short names so
	}
	return name, nil
}

// Read reads the current member.
func (a *arReader) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > a.left {
		p = p[:a.left]
	}
	n, err := a.r.Read(p)
	a.left -= int64(n)
	if err == io.EOF && a.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// skip passes the rest of the current member and its padding.
func (a *arReader) skip() error {
	if _, err := io.Copy(io.Discard, a); err != nil {
		return err
	}
	if a.odd {
		a.odd = false
		// The last member's padding may be missing.
		if _, err := io.CopyN(io.Discard, a.r, 1); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// bytes reads the current member whole.
func (a *arReader) bytes(limit int64) ([]byte, error) {
	if a.left > limit {
		return nil, fmt.Errorf("has %d bytes, at most %d are read", a.left, limit)
	}
	b := make([]byte, a.left)
	_, err := io.ReadFull(a, b)
	return b, noEOF(err)
}

// noEOF makes an end in the middle of something what it is.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
