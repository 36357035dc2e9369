// Package unxz reads xz data (the .xz file format 1.1.0) in bounded memory and
// time: the library behind it takes the size of each block's window from the
// data, up to 4 GiB, and clears it.
package unxz

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// MaxWindow bounds a window in bytes: xz -9 needs 64 MiB, other formats' tools at
// most 128 MiB.
const MaxWindow = 256 << 20

// The windows of all blocks together may have spareWindows bytes, and windowShare
// for each byte that comes out: blocks of 1 MiB written with xz -9 need 64.
const (
	spareWindows = 16 << 30
	windowShare  = 128
)

// NewReader reads the content of r, of which single bytes are read, so it wants a
// buffer. Parts that follow each other are read as one. How many bytes come out
// is for the caller to bound. The end of r within a header is
// io.ErrUnexpectedEOF, or io.EOF where r is empty.
func NewReader(r io.Reader) (io.Reader, error) {
	g := &guard{r: r}
	g.want(4, g.streamHeader)
	return xz.ReaderConfig{DictCap: lzma.MinDictCap}.NewReader(g)
}

// guard follows the structure of what passes by: each block's header is looked at
// before the library sees the last of it.
type guard struct {
	r io.Reader

	skip int64  // bytes that mean nothing here
	need int    // bytes of head before next is called; 0: the rest means nothing
	head []byte // read so far
	next func() error
	err  error

	check   int64 // size of a block's
	packed  int64 // bytes of the block's data, so far
	index   int64 // bytes of the index, so far
	numbers uint64
	first   bool // the index's next number is the count of its records
	windows uint64
	out     uint64 // bytes
}

func (g *guard) want(n int, next func() error) { g.need, g.head, g.next = n, g.head[:0], next }

// Read passes on what r has; a block that wants too much ends it.
func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.r.Read(p)
	if g.skip >= int64(n) { // as it is for nearly every byte
		g.skip -= int64(n)
		return n, err
	}
	for b := p[:n]; len(b) > 0 && (g.skip > 0 || g.need > 0); {
		if g.skip > 0 {
			k := min(g.skip, int64(len(b)))
			g.skip, b = g.skip-k, b[k:]
			continue
		}
		k := min(g.need-len(g.head), len(b))
		g.head, b = append(g.head, b[:k]...), b[k:]
		if len(g.head) == g.need {
			if g.err = g.next(); g.err != nil {
				return 0, g.err
			}
		}
	}
	return n, err
}

// lost stops following: the library refuses what it cannot be.
func (g *guard) lost() error {
	g.need = 0
	return nil
}

// streamHeader is at a header's first 4 bytes, or padding (section 2.1.1).
func (g *guard) streamHeader() error {
	if binary.LittleEndian.Uint32(g.head) == 0 {
		g.want(4, g.streamHeader)
		return nil
	}
	g.want(8, func() error {
		g.check = [16]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[g.head[3]&15]
		g.want(1, g.block)
		return nil
	})
	return nil
}

// block is at a block's first byte, or the index's (sections 3.1 and 4).
func (g *guard) block() error {
	if g.head[0] == 0 {
		g.index, g.first = 1, true
		g.want(1, g.number)
		return nil
	}
	g.want((int(g.head[0])+1)*4-1, func() error {
		w := window(g.head)
		if w > MaxWindow {
			return fmt.Errorf("needs a window of %d bytes, at most %d are used", w, MaxWindow)
		}
		if g.windows += w; g.windows > spareWindows+windowShare*g.out {
			return fmt.Errorf("needs windows of %d bytes for %d bytes of data", g.windows, g.out)
		}
		g.packed = 0
		g.want(1, g.chunk)
		return nil
	})
	return nil
}

// window is the dictionary size in a block's header behind its first byte, 0
// where it cannot be told (section 5.3.1).
func window(header []byte) uint64 {
	flags, rest := header[0], header[1:]
	for _, present := range []byte{0x40, 0x80} { // compressed, uncompressed size
		if flags&present != 0 {
			_, n := binary.Uvarint(rest)
			if n <= 0 {
				return 0
			}
			rest = rest[n:]
		}
	}
	for range int(flags&3) + 1 {
		id, n := binary.Uvarint(rest)
		if n <= 0 {
			return 0
		}
		size, m := binary.Uvarint(rest[n:])
		if m <= 0 || size > uint64(len(rest)-n-m) {
			return 0
		}
		props := rest[n+m:]
		if id == 0x21 && size == 1 {
			bits := props[0] & 0x3f
			return uint64(2|bits&1) << (bits/2 + 11)
		}
		rest = props[size:]
	}
	return 0
}

// chunk is at the first byte of a chunk of LZMA2 data.
func (g *guard) chunk() error {
	control := g.head[0]
	g.packed++
	switch {
	case control == 0: // the end: padding and check
		g.skip = -g.packed&3 + g.check
		g.want(1, g.block)
	case control <= 2: // not compressed
		g.want(2, func() error {
			return g.data(int64(binary.BigEndian.Uint16(g.head))+1, 2, uint64(binary.BigEndian.Uint16(g.head))+1)
		})
	case control < 0x80:
		return g.lost()
	default:
		g.want(4, func() error {
			size := int64(binary.BigEndian.Uint16(g.head[2:])) + 1
			if control >= 0xc0 {
				size++ // properties
			}
			return g.data(size, 4, uint64(control&0x1f)<<16+uint64(binary.BigEndian.Uint16(g.head))+1)
		})
	}
	return nil
}

// data passes over a chunk's data behind its head.
func (g *guard) data(size, head int64, out uint64) error {
	g.packed += head + size
	g.out += out
	g.skip = size
	g.want(1, g.chunk)
	return nil
}

// number is at a byte of one of the index's numbers: the count of records, then
// two for each.
func (g *guard) number() error {
	g.index++
	if b := g.head[len(g.head)-1]; b&0x80 != 0 {
		if len(g.head) == 9 {
			return g.lost()
		}
		g.need++
		return nil
	}
	v, _ := binary.Uvarint(g.head)
	switch {
	case g.first && v > 1<<62:
		return g.lost()
	case g.first:
		g.first, g.numbers = false, 2*v
	default:
		g.numbers--
	}
	if g.numbers > 0 {
		g.want(1, g.number)
		return nil
	}
	g.skip = -g.index&3 + 4 + 12 // padding, checksum, footer
	g.want(4, g.streamHeader)
	return nil
}
