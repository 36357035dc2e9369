package zstream

import (
	"errors"
	"fmt"
	"io"
)

// Writer writes a stream that every receiver takes (section 15). The first
// error sticks: later calls do nothing, and End returns it. Calls out of order
// are errors too.
type Writer struct {
	w         io.Writer
	sum       sum4
	toGUID    uint64
	incr      bool
	err       error
	begun     bool
	bytes     int64
	records   int64
	nextObj   uint64 // lowest number OBJECT and FREEOBJECTS may have
	current   uint64 // object last announced
	blockSize uint64 // of it
	nextOff   uint64 // lowest offset WRITE may have
}

// NewWriter makes a writer; w sees many small writes and wants a buffer.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Err returns the first error.
func (w *Writer) Err() error { return w.err }

// Bytes and Records count what was written.
func (w *Writer) Bytes() int64   { return w.bytes }
func (w *Writer) Records() int64 { return w.records }

func (w *Writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *Writer) write(b []byte) {
	if w.err == nil {
		var n int
		n, w.err = w.w.Write(b)
		w.bytes += int64(n)
	}
}

// emit writes a record with its checksum, and its payload padded to 8 bytes.
func (w *Writer) emit(rec *raw, kind Kind, payload []byte) {
	if !w.begun {
		w.fail("%v before BEGIN", kind)
	}
	if w.err != nil {
		return
	}
	rec.put32(0, uint32(kind))
	w.sum.add(rec[:sumOffset])
	rec.putSum(sumOffset, &w.sum)
	w.sum.add(rec[sumOffset:])
	w.write(rec[:])
	if pad := -len(payload) & 7; pad != 0 {
		payload = append(payload[:len(payload):len(payload)], make([]byte, pad)...)
	}
	w.sum.add(payload)
	w.write(payload)
	w.records++
}

// Begin opens the stream. Features and Flags of b are not used: an increment
// (FromGUID not 0) is always one that becomes a clone of its origin, since that
// is the only kind `zfs receive` takes under a new name (section 3).
func (w *Writer) Begin(b Begin) {
	switch {
	case w.begun:
		w.fail("a second BEGIN")
	case b.ToGUID == 0 || b.ToGUID == b.FromGUID:
		w.fail("snapshot guid %#x (based on %#x)", b.ToGUID, b.FromGUID)
	case len(b.ToName) > 255:
		w.fail("snapshot name of %d bytes, more than 255", len(b.ToName))
	}
	if w.err != nil {
		return
	}
	w.begun, w.toGUID, w.incr = true, b.ToGUID, b.FromGUID != 0
	var rec raw
	rec.put64(8, magic)
	rec.put64(16, conservativeBegin)
	rec.put64(24, uint64(b.CreationTime))
	rec.put32(32, ObjsetZFS)
	flags := uint32(FlagFreeRecords)
	if w.incr {
		flags |= FlagClone
	}
	rec.put32(36, flags)
	rec.put64(40, b.ToGUID)
	rec.put64(48, b.FromGUID)
	copy(rec[56:], b.ToName)
	w.sum.add(rec[:])
	w.write(rec[:])
	w.records++
}

// Object allocates or changes an object. Numbers ascend.
func (w *Writer) Object(number uint64, typ, bonusType, blockSize uint32, bonus []byte) {
	switch {
	case number < w.nextObj || number == 0:
		w.fail("object %d after object %d", number, w.nextObj-1)
	case blockSize == 0 || blockSize > MaxBlock || blockSize%512 != 0:
		w.fail("object %d: block size %d", number, blockSize)
	case len(bonus) > MaxBonus:
		w.fail("object %d: bonus buffer of %d bytes", number, len(bonus))
	}
	var rec raw
	rec.put64(8, number)
	rec.put32(16, typ)
	rec.put32(20, bonusType)
	rec.put32(24, blockSize)
	rec.put32(28, uint32(len(bonus)))
	rec[34] = 1 // dn_slots: 0 is wrong for some receivers (section 14)
	rec.put64(40, w.toGUID)
	w.emit(&rec, KindObject, bonus)
	w.current, w.blockSize, w.nextOff = number, uint64(blockSize), 0
	w.nextObj = number + 1
}

// FreeObjects frees count objects from first on. The first one must be in use,
// or some receivers skip the next (section 14).
func (w *Writer) FreeObjects(first, count uint64) {
	if first < w.nextObj || first == 0 || count == 0 {
		w.fail("freeing %d objects from %d on after object %d", count, first, w.nextObj-1)
	}
	var rec raw
	rec.put64(8, first)
	rec.put64(16, count)
	rec.put64(24, w.toGUID)
	w.emit(&rec, KindFreeObjects, nil)
	w.nextObj = first + count
	w.current = 0
}

// Write sets one block of the object last announced; offsets ascend.
func (w *Writer) Write(typ uint32, offset uint64, block []byte) {
	switch {
	case w.current == 0:
		w.fail("data without an object")
	case uint64(len(block)) != w.blockSize || offset%w.blockSize != 0 || offset < w.nextOff:
		w.fail("object %d: %d bytes at %d, block size %d, after offset %d", w.current, len(block), offset, w.blockSize, w.nextOff)
	}
	var rec raw
	rec.put64(8, w.current)
	rec.put32(16, typ)
	rec.put64(24, offset)
	rec.put64(32, uint64(len(block)))
	rec.put64(40, w.toGUID)
	w.emit(&rec, KindWrite, block)
	w.nextOff = offset + uint64(len(block))
}

// FreeFrom makes everything of the current object from offset on a hole.
func (w *Writer) FreeFrom(offset uint64) { w.free(offset, toEnd) }

func (w *Writer) free(offset, length uint64) {
	if w.current == 0 || offset%w.blockSize != 0 {
		w.fail("object %d: hole at %d, block size %d", w.current, offset, w.blockSize)
	}
	var rec raw
	rec.put64(8, w.current)
	rec.put64(16, offset)
	rec.put64(24, length)
	rec.put64(32, w.toGUID)
	w.emit(&rec, KindFree, nil)
}

// Spill sets the current object's spill block.
func (w *Writer) Spill(block []byte) {
	if w.current == 0 || len(block) < 512 || len(block) > MaxSpill || len(block)%512 != 0 {
		w.fail("object %d: spill block of %d bytes", w.current, len(block))
	}
	var rec raw
	rec.put64(8, w.current)
	rec.put64(16, uint64(len(block)))
	rec.put64(24, w.toGUID)
	w.emit(&rec, KindSpill, block)
}

// End closes the stream and returns the first error of all calls.
func (w *Writer) End() error {
	var rec raw
	rec.putSum(8, &w.sum)
	rec.put64(40, w.toGUID)
	w.emit(&rec, KindEnd, nil)
	err := w.err
	w.fail("%w", errors.New("the stream has ended"))
	return err
}
