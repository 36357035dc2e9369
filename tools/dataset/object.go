package dataset

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"

	"github.com/TritonDataCenter/engbld/tools/zstream"
)

var le = binary.LittleEndian

// object is one dnode: what the streams say of it.
type object struct {
	num       uint64
	typ       uint8
	bonusType uint8
	slots     uint8
	blksz     uint32
	bonus     []byte
	runs      []run   // ascending, not overlapping
	spill     *[]byte // few have one
}

// spilled is the spill block, nil where there is none.
func (o *object) spilled() []byte {
	if o.spill == nil {
		return nil
	}
	return *o.spill
}

// run is a row of blocks that lie in one layer at equal distances: for plain
// writes in a row that is block size plus record header. Compressed data is a run
// of one block. Most files have one run, so it is kept small.
type run struct {
	first uint64 // block number
	off   int64  // of the first block's data in the layer
	n     uint32
	size  uint32 // from one block to the next; of compressed data its length
	layer uint16
	comp  uint8 // compression; 0 is none
}

func (r run) end() uint64 { return r.first + uint64(r.n) }

// at is where block's data lies.
func (r *run) at(block uint64) int64 { return r.off + int64(block-r.first)*int64(r.size) }

// sub is the part of r from block first to before block end.
func (r *run) sub(first, end uint64) run {
	s := *r
	s.off = r.at(first)
	s.first, s.n = first, uint32(end-first)
	return s
}

// punch makes a hole from block first to before block end.
func (o *object) punch(first, end uint64) {
	i := sort.Search(len(o.runs), func(i int) bool { return o.runs[i].end() > first })
	if i == len(o.runs) || o.runs[i].first >= end {
		return
	}
	var mid []run
	j := i
	for ; j < len(o.runs) && o.runs[j].first < end; j++ {
		r := &o.runs[j]
		if r.first < first {
			mid = append(mid, r.sub(r.first, first))
		}
		if r.end() > end {
			mid = append(mid, r.sub(end, r.end()))
		}
	}
	o.runs = append(o.runs[:i:i], append(mid, o.runs[j:]...)...)
}

// cut makes a hole of everything from block first on.
func (o *object) cut(first uint64) {
	i := sort.Search(len(o.runs), func(i int) bool { return o.runs[i].end() > first })
	if i < len(o.runs) && o.runs[i].first < first {
		o.runs[i] = o.runs[i].sub(o.runs[i].first, first)
		i++
	}
	o.runs = o.runs[:i]
}

// extend makes nw, the block behind r, a part of r, if it lies where that has
// its next one.
func (r *run) extend(nw run) bool {
	gap := nw.off - r.at(r.end()-1)
	if nw.comp != 0 || r.comp != 0 || r.layer != nw.layer || r.n == math.MaxUint32 ||
		r.n > 1 && gap != int64(r.size) || gap <= 0 || gap > math.MaxUint32 {
		return false
	}
	r.size = uint32(gap)
	r.n++
	return true
}

// put sets one block, and tells whether a run was made for it.
func (o *object) put(nw run) bool {
	if k := len(o.runs); k == 0 || o.runs[k-1].end() < nw.first {
		o.runs = append(o.runs, nw)
		return true
	} else if last := &o.runs[k-1]; last.end() == nw.first {
		if last.extend(nw) {
			return false
		}
		o.runs = append(o.runs, nw)
		return true
	}
	o.punch(nw.first, nw.first+1)
	i := sort.Search(len(o.runs), func(i int) bool { return o.runs[i].first > nw.first })
	o.runs = slices.Insert(o.runs, i, nw)
	return true
}

// blocks is one more than the highest block number with data.
func (o *object) blocks() uint64 {
	if len(o.runs) == 0 {
		return 0
	}
	return o.runs[len(o.runs)-1].end()
}

// find returns the run that holds block, or nil and the first block behind the
// hole (^0: none).
func (o *object) find(block uint64) (*run, uint64) {
	i := sort.Search(len(o.runs), func(i int) bool { return o.runs[i].end() > block })
	if i == len(o.runs) {
		return nil, ^uint64(0)
	}
	if o.runs[i].first > block {
		return nil, o.runs[i].first
	}
	return &o.runs[i], 0
}

// readAt fills p with the object's data from off on; holes are zeros.
func (ds *Dataset) readAt(o *object, p []byte, off int64) error {
	bs := int64(o.blksz)
	for len(p) > 0 {
		block, in := uint64(off/bs), off%bs
		r, next := o.find(block)
		if r == nil {
			n := int64(len(p))
			if next < uint64(1)<<62/uint64(bs) {
				n = min(n, int64(next)*bs-off)
			}
			clear(p[:n])
			p, off = p[n:], off+n
			continue
		}
		n := min(int64(len(p)), bs-in)
		at := r.at(block)
		layer := &ds.layers[r.layer]
		if r.comp == 0 {
			if k, err := layer.R.ReadAt(p[:n], at+in); int64(k) < n {
				return fmt.Errorf("reading %s at %d: %w", layer.Name, at+in, eof(err))
			}
		} else {
			dst, err := ds.decompressed(o, r)
			if err != nil {
				return fmt.Errorf("object %d, block %d: %w", o.num, block, err)
			}
			copy(p[:n], dst[in:])
		}
		p, off = p[n:], off+n
	}
	return nil
}

// unpacked is a compressed block's data.
type unpacked struct {
	layer uint16
	off   int64
	data  []byte // is not changed
}

// decompressed returns the data of a compressed block, as kept from the last
// call where that was for the same: blocks have up to 16 MiB, and are mostly read
// in small parts.
func (ds *Dataset) decompressed(o *object, r *run) ([]byte, error) {
	if u := ds.unpacked.Load(); u != nil && u.layer == r.layer && u.off == r.off && len(u.data) == int(o.blksz) {
		return u.data, nil
	}
	layer := &ds.layers[r.layer]
	src := make([]byte, r.size)
	if k, err := layer.R.ReadAt(src, r.off); k < len(src) {
		return nil, fmt.Errorf("reading %s at %d: %w", layer.Name, r.off, eof(err))
	}
	u := &unpacked{r.layer, r.off, make([]byte, o.blksz)}
	if err := decompress(u.data, src, r.comp); err != nil {
		return nil, err
	}
	ds.unpacked.Store(u)
	return u.data, nil
}

func eof(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// block returns one whole block; nil is a hole.
func (ds *Dataset) block(o *object, n uint64) ([]byte, error) {
	if r, _ := o.find(n); r == nil {
		return nil, nil
	}
	b := make([]byte, o.blksz)
	return b, ds.readAt(o, b, int64(n)*int64(o.blksz))
}

// content is a regular file's data; two of one object are equal.
type content struct {
	ds   *Dataset
	o    *object
	size int64
}

func (c content) Size() int64 { return c.size }

func (c content) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading at %d", off)
	}
	if off >= c.size {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > c.size-off {
		p, end = p[:c.size-off], io.EOF
	}
	if err := c.ds.readAt(c.o, p, off); err != nil {
		return 0, err
	}
	return len(p), end
}

// nextData returns where data may start at or behind off; what lies between is
// zeros. It lets writers pass over the holes of sparse files.
func (c content) nextData(off int64) int64 {
	bs := int64(c.o.blksz)
	r, next := c.o.find(uint64(off / bs))
	if r != nil {
		return off
	}
	if next >= uint64(c.size/bs)+1 {
		return c.size
	}
	return min(int64(next)*bs, c.size)
}

// standsAlone tells whether a record for o can be written: nothing about it
// needs a feature, or is lost when the bonus changes (section 15).
func (o *object) standsAlone() bool {
	return o.slots <= 1 && o.blksz <= zstream.MaxBlock && o.spill == nil && len(o.bonus) <= zstream.MaxBonus
}
