package archive

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

const (
	maxHashFile  = 32 << 20 // +PKG_HASH of a package of 16 GiB
	minBlockSize = 1024
	maxBlockSize = 16 << 20 // one block is held in memory; pkg_admin makes 64 KiB
)

// blockHashes is the content of +PKG_HASH (spec pkgsrc.md section 3.2).
type blockHashes struct {
	pkgName   string
	blockSize int64
	fileSize  int64
	sums      [][sha512.Size]byte
}

// parseHashes reads +PKG_HASH. There is one way to write it, so anything else
// is an error.
func parseHashes(raw []byte) (*blockHashes, error) {
	h := &blockHashes{}
	s := hashLines{rest: raw}
	s.want("pkgsrc signature")
	s.want("")
	s.want("version: 1")
	h.pkgName = s.field("pkgname")
	s.want("algorithm: SHA512")
	h.blockSize = s.number("block size")
	h.fileSize = s.number("file size")
	s.want("")
	switch {
	case s.err != nil:
		return nil, s.err
	case !goodName(h.pkgName):
		return nil, fmt.Errorf("pkgname %.80q", h.pkgName)
	case h.blockSize < minBlockSize || h.blockSize > maxBlockSize:
		return nil, fmt.Errorf("block size %d", h.blockSize)
	case h.fileSize < 1 || h.fileSize > maxPackage:
		return nil, fmt.Errorf("file size %d", h.fileSize)
	}
	blocks := (h.fileSize + h.blockSize - 1) / h.blockSize
	if blocks > int64(len(raw)/(2*sha512.Size)) {
		return nil, fmt.Errorf("too few hashes for %d blocks", blocks)
	}
	h.sums = make([][sha512.Size]byte, blocks)
	for i := range h.sums {
		s.sum(h.sums[i][:])
	}
	s.want("end pkgsrc signature")
	if s.err == nil && len(s.rest) > 0 {
		s.err = fmt.Errorf("%d bytes behind its end", len(s.rest))
	}
	return h, s.err
}

// hashLines takes lines off a text; the first error stays.
type hashLines struct {
	rest []byte
	line int
	err  error
}

func (s *hashLines) next() string {
	if s.err != nil {
		return ""
	}
	s.line++
	line, rest, ok := bytes.Cut(s.rest, []byte("\n"))
	if !ok {
		s.err = errors.New("ends early")
		return ""
	}
	s.rest = rest
	return string(line)
}

func (s *hashLines) fail(line string) {
	if s.err == nil {
		s.err = fmt.Errorf("line %d: %.80q", s.line, line)
	}
}

func (s *hashLines) want(text string) {
	if line := s.next(); line != text {
		s.fail(line)
	}
}

func (s *hashLines) field(name string) string {
	line := s.next()
	value, ok := strings.CutPrefix(line, name+": ")
	if !ok {
		s.fail(line)
	}
	return value
}

func (s *hashLines) number(name string) int64 {
	text := s.field(name)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		s.fail(text)
	}
	return n
}

func (s *hashLines) sum(into []byte) {
	line := s.next()
	if len(line) != hex.EncodedLen(len(into)) || strings.ToLower(line) != line {
		s.fail(line)
		return
	}
	if _, err := hex.Decode(into, []byte(line)); err != nil {
		s.fail(line)
	}
}

// blockReader gives out the inner file block by block, each only after its hash
// was found right.
type blockReader struct {
	r      io.Reader
	hashes *blockHashes
	next   int    // block to read next
	buf    []byte // of the current block
	unread []byte
	err    error
}

func newBlockReader(r io.Reader, h *blockHashes) *blockReader {
	return &blockReader{r: r, hashes: h, buf: make([]byte, min(h.blockSize, h.fileSize))}
}

func (b *blockReader) Read(p []byte) (int, error) {
	if len(b.unread) == 0 && b.err == nil {
		b.err = b.fill()
	}
	if b.err != nil {
		return 0, b.err
	}
	n := copy(p, b.unread)
	b.unread = b.unread[n:]
	return n, nil
}

func (b *blockReader) fill() error {
	if b.next == len(b.hashes.sums) {
		return io.EOF
	}
	size := min(b.hashes.blockSize, b.hashes.fileSize-int64(b.next)*b.hashes.blockSize)
	block := b.buf[:size]
	if _, err := io.ReadFull(b.r, block); err != nil {
		return noEOF(err)
	}
	if sha512.Sum512(block) != b.hashes.sums[b.next] {
		return fault.Policy.Errorf("invalid signature of block %d: it was changed after signing", b.next)
	}
	b.next++
	b.unread = block
	return nil
}
