package zstream

import (
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// ErrChecksum is wrapped by errors about streams that were altered.
var ErrChecksum = errors.New("checksum differs")

// Reader reads a stream's records in order.
type Reader struct {
	r       io.Reader
	sum     sum4
	begin   Begin
	offset  int64 // of what is read next
	start   int64 // of the record last returned
	number  int64 // records returned
	payload []byte
	unsaid  bool // a record without checksum was seen
	err     error
}

// NewReader reads BEGIN. A stream of a kind that cannot be read is refused with
// the name of what it holds.
func NewReader(r io.Reader) (*Reader, error) {
	zr := &Reader{r: r}
	var rec raw
	if err := zr.read(rec[:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading the stream's BEGIN record: %w", err)
	}
	zr.number = 1
	if Kind(rec.u32(0)) != KindBegin || rec.u64(8) != magic {
		if rec.u64(8) == magicSwap || bits.ReverseBytes64(rec.u64(8)) == magic {
			return nil, refuse("big-endian", "send it from an x86 machine")
		}
		return nil, errors.New("not a ZFS send stream")
	}
	begin, payload := rec.decodeBegin()
	switch header := rec.u64(16) & 3; header {
	case headerSubstream:
	case headerPackage:
		return nil, refuse("a package, as `zfs send -p` or `-R` makes it", "send the snapshot without -p, -R and -b")
	default:
		return nil, fmt.Errorf("stream header type %d is unknown", header)
	}
	if err := supported(begin.Features); err != nil {
		return nil, err
	}
	if rec.u64(16)>>32 != 0 {
		return nil, fmt.Errorf("stream has unknown versioninfo %#x", rec.u64(16))
	}
	if unknown := begin.Flags &^ (FlagClone | FlagCaseFold | FlagFreeRecords | FlagSpillBlock); unknown != 0 {
		return nil, fmt.Errorf("stream has unknown flags %#x", unknown)
	}
	if payload != 0 {
		return nil, refuse("one with properties in its BEGIN record", "send it plain: without -w, -s, -t or --redact")
	}
	zr.begin = begin
	zr.sum.add(rec[:])
	return zr, nil
}

func refuse(what, hint string) error {
	return fault.WithHint(fmt.Errorf("the stream is %s, which is not supported", what), "%s", hint)
}

func supported(f Feature) error {
	bad := f &^ readable
	if bad == 0 {
		return nil
	}
	for _, x := range []struct {
		feature    Feature
		name, hint string
	}{
		{FeatureDedup, "deduplicated", "send the snapshot without -D"},
		{FeatureDedupProps, "deduplicated", "send the snapshot without -D"},
		{FeatureRaw, "raw (encrypted)", "send the snapshot without -w"},
		{FeatureRedacted, "redacted", "send the snapshot without --redact"},
		{FeatureResuming, "the rest of an interrupted one", "send the snapshot as a whole, without -t"},
		{FeatureZstd, "compressed with zstd", "send the snapshot without -c"},
		{FeatureHolds, "one with holds", "send the snapshot without -h"},
		{FeatureSwitchToLarge, "one that switches to large blocks", "send the snapshot without -L"},
	} {
		if bad&x.feature != 0 {
			return refuse(x.name, x.hint)
		}
	}
	return fmt.Errorf("the stream has unknown features %#x", uint64(bad))
}

// Begin returns the stream's first record.
func (r *Reader) Begin() Begin { return r.begin }

// Payload is the payload of the record last returned by Next, until the next
// call.
func (r *Reader) Payload() []byte { return r.payload }

// PayloadOffset is the payload's place in the stream.
func (r *Reader) PayloadOffset() int64 { return r.start + RecordSize }

// Offset is the number of bytes read.
func (r *Reader) Offset() int64 { return r.offset }

// Unsummed tells whether records without a checksum of their own were seen, as
// old senders make them. END's checksum covers them.
func (r *Reader) Unsummed() bool { return r.unsaid }

func (r *Reader) read(b []byte) error {
	n, err := io.ReadFull(r.r, b)
	r.offset += int64(n)
	return err
}

// Next returns the next record, END included, then io.EOF. Nothing behind END is
// read. Its payload has been read, and its header verified; whether the payload
// is right shows at the following record.
func (r *Reader) Next() (Record, error) {
	if r.err != nil {
		return nil, r.err
	}
	rec, err := r.next()
	if err != nil {
		r.err = err
		return nil, err
	}
	if rec.kind() == KindEnd {
		r.err = io.EOF
	}
	return rec, nil
}

func (r *Reader) next() (Record, error) {
	r.start = r.offset
	r.payload = r.payload[:0]
	var rec raw
	if err := r.read(rec[:]); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, fmt.Errorf("the stream ends after record %d (%d bytes) without END: %w", r.number-1, r.start, io.ErrUnexpectedEOF)
		}
		return nil, err
	}
	before := r.sum
	r.sum.add(rec[:sumOffset])
	switch rec.sumAt(sumOffset) {
	case [4]uint64(r.sum):
	case [4]uint64{}:
		r.unsaid = true
	default:
		return nil, r.errorf("%w: it or the record before it was altered", ErrChecksum)
	}
	r.sum.add(rec[sumOffset:])
	out, size, err := r.decode(&rec)
	if err != nil {
		return nil, err
	}
	if end, ok := out.(End); ok && end.Sum != [4]uint64(before) {
		return nil, r.errorf("%w: END does not match the stream", ErrChecksum)
	}
	if size > 0 {
		if uint64(cap(r.payload)) < size {
			r.payload = make([]byte, size)
		}
		r.payload = r.payload[:size]
		if err := r.read(r.payload); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return nil, r.errorf("the stream ends in its payload: %w", io.ErrUnexpectedEOF)
			}
			return nil, err
		}
		r.sum.add(r.payload)
	}
	r.number++
	return out, nil
}

func (r *Reader) errorf(format string, args ...any) error {
	return fmt.Errorf("record %d at byte %d: %w", r.number, r.start, fmt.Errorf(format, args...))
}

// maxBlock bounds blocks of this stream.
func (r *Reader) maxBlock() uint64 {
	if r.begin.Features&FeatureLargeBlocks != 0 {
		return MaxPayload
	}
	return MaxBlock
}

// decode gives the record its type and tells the length of its payload.
func (r *Reader) decode(rec *raw) (Record, uint64, error) {
	kind := Kind(rec.u32(0))
	if kind != KindBegin && rec.u32(4) != 0 {
		return nil, 0, r.errorf("%v has a payload length of its own", kind)
	}
	switch kind {
	case KindObject:
		o := Object{
			Number: rec.u64(8), Type: rec.u32(16), BonusType: rec.u32(20), BlockSize: rec.u32(24),
			BonusLen: rec.u32(28), Slots: rec[34], Flags: rec[35],
		}
		switch {
		case rec.u32(36) != 0:
			return nil, 0, r.errorf("object %d has a raw bonus buffer", o.Number)
		case rec[48] != 0 || rec[49] != 0 || rec[50] != 0:
			return nil, 0, r.errorf("object %d has fields of a raw stream", o.Number)
		case rec[32] > maxChecksum || rec[33] > maxCompress:
			return nil, 0, r.errorf("object %d has checksum %d, compression %d", o.Number, rec[32], rec[33])
		case o.Flags&^FlagHasSpill != 0 || o.Flags != 0 && r.begin.Flags&FlagSpillBlock == 0:
			return nil, 0, r.errorf("object %d has flags %#x", o.Number, o.Flags)
		case o.Number == 0 || o.Number >= 1<<48:
			return nil, 0, r.errorf("object number %d", o.Number)
		case !knownType(o.Type) || o.BonusType != 0 && !knownType(o.BonusType):
			return nil, 0, r.errorf("object %d has type %d, bonus type %d", o.Number, o.Type, o.BonusType)
		case o.BlockSize == 0 || o.BlockSize%512 != 0 || uint64(o.BlockSize) > r.maxBlock():
			return nil, 0, r.errorf("object %d has a block size of %d", o.Number, o.BlockSize)
		case o.BonusLen > MaxBonus && (r.begin.Features&FeatureLargeDnode == 0 || o.BonusLen > maxAnyBonus):
			return nil, 0, r.errorf("object %d has a bonus buffer of %d bytes", o.Number, o.BonusLen)
		case o.Slots > 32 || (o.Slots > 1 && r.begin.Features&FeatureLargeDnode == 0):
			return nil, 0, r.errorf("object %d has a dnode of %d slots", o.Number, o.Slots)
		}
		return o, roundUp8(uint64(o.BonusLen)), nil
	case KindFreeObjects:
		o := FreeObjects{First: rec.u64(8), Count: rec.u64(16)}
		if o.First+o.Count < o.First {
			return nil, 0, r.errorf("freeing %d objects from %d on", o.Count, o.First)
		}
		return o, 0, nil
	case KindWrite:
		w := Write{Number: rec.u64(8), Type: rec.u32(16), Offset: rec.u64(24), Length: rec.u64(32), Compression: rec[50]}
		size := w.Length
		if w.Compression != 0 {
			size = rec.u64(96)
			if r.begin.Features&FeatureCompressed == 0 {
				return nil, 0, r.errorf("object %d: compressed data without the feature", w.Number)
			}
		}
		if !knownType(w.Type) {
			return nil, 0, r.errorf("object %d: data of type %d", w.Number, w.Type)
		}
		if w.Length == 0 || w.Length > r.maxBlock() || size == 0 || size > w.Length || w.Length%512 != 0 || size%8 != 0 || w.Offset > 1<<63 {
			return nil, 0, r.errorf("object %d: write of %d bytes (%d in the stream) at %d", w.Number, w.Length, size, w.Offset)
		}
		return w, size, nil
	case KindFree:
		f := Free{Number: rec.u64(8), Offset: rec.u64(16), Length: rec.u64(24)}
		if f.Length == toEnd {
			f.Length -= f.Offset
		} else if f.Offset+f.Length < f.Offset {
			return nil, 0, r.errorf("object %d: hole of %d bytes at %d", f.Number, f.Length, f.Offset)
		}
		return f, 0, nil
	case KindSpill:
		s := Spill{Number: rec.u64(8), Length: rec.u64(16), Flags: rec[32]}
		if rec.u64(40) != 0 || rec[33] != 0 {
			return nil, 0, r.errorf("object %d has a raw spill block", s.Number)
		}
		if s.Length < 512 || s.Length > MaxSpill || s.Length%512 != 0 {
			return nil, 0, r.errorf("object %d: spill block of %d bytes", s.Number, s.Length)
		}
		return s, s.Length, nil
	case KindWriteEmbedded:
		e := Embedded{
			Number: rec.u64(8), Offset: rec.u64(16), Length: rec.u64(24), Compression: rec[40],
			EType: rec[41], LSize: rec.u32(48), PSize: rec.u32(52),
		}
		// A block pointer holds at most 112 bytes of data.
		if r.begin.Features&FeatureEmbedData == 0 || e.EType != 0 || e.PSize == 0 || e.PSize > 112 ||
			e.LSize == 0 || e.LSize > MaxPayload || e.Offset > 1<<63 || e.Length > MaxPayload {
			return nil, 0, r.errorf("object %d: embedded write of %d bytes (%d in the stream), kind %d", e.Number, e.LSize, e.PSize, e.EType)
		}
		return e, roundUp8(uint64(e.PSize)), nil
	case KindEnd:
		return End{Sum: rec.sumAt(8)}, 0, nil
	}
	return nil, 0, r.errorf("type %d (%v) does not belong into such a stream", uint32(kind), kind)
}
