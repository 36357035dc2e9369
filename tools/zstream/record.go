package zstream

import "encoding/binary"

const (
	RecordSize = 312 // bytes of a record without payload
	sumOffset  = 280 // of the running checksum in all records but BEGIN

	// MaxPayload bounds one record's payload: the largest block ZFS knows.
	MaxPayload = 16 << 20
	// MaxBlock is the largest block written, and the largest one a pool
	// without the large_blocks feature holds.
	MaxBlock = 128 << 10
	// MaxSpill is the largest spill block, in pools with large blocks too
	// (section 6).
	MaxSpill = 128 << 10
	// MaxBonus is the bonus space of a dnode of one slot with one block
	// pointer (section 7); maxAnyBonus that of a dnode of 32 slots.
	MaxBonus    = 320
	maxAnyBonus = 32*512 - 64 - 128

	magic     = 0x2F5bacbac
	magicSwap = 0xACCBBAF502000000
	toEnd     = ^uint64(0) // FREE's length for "to the end"
)

// knownType tells whether ZFS knows a type number: the old ones are counted, the
// newer ones say what they are in their bits.
func knownType(t uint32) bool { return t > 0 && t < 54 || t&^0x7f == 0x80 }

// Numbers above these are unknown to every receiver.
const (
	maxChecksum = 15
	maxCompress = 16
)

var le = binary.LittleEndian

// Kind is a record's type, as in its first four bytes (section 2).
type Kind uint32

const (
	KindBegin Kind = iota
	KindObject
	KindFreeObjects
	KindWrite
	KindFree
	KindEnd
	KindWriteByref
	KindSpill
	KindWriteEmbedded
	KindObjectRange
	KindRedact
	kinds
)

var kindNames = [kinds]string{
	"BEGIN", "OBJECT", "FREEOBJECTS", "WRITE", "FREE", "END", "WRITE_BYREF",
	"SPILL", "WRITE_EMBEDDED", "OBJECT_RANGE", "REDACT",
}

func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "unknown"
}

// Feature is a set of stream features (versioninfo without its low two bits).
type Feature uint64

const (
	FeatureDedup         Feature = 0x1
	FeatureDedupProps    Feature = 0x2
	FeatureSASpill       Feature = 0x4
	FeatureEmbedData     Feature = 0x10000
	FeatureLZ4           Feature = 0x20000
	FeatureLargeBlocks   Feature = 0x80000
	FeatureResuming      Feature = 0x100000
	FeatureRedacted      Feature = 0x200000
	FeatureCompressed    Feature = 0x400000
	FeatureLargeDnode    Feature = 0x800000
	FeatureRaw           Feature = 0x1000000
	FeatureZstd          Feature = 0x2000000
	FeatureHolds         Feature = 0x4000000
	FeatureSwitchToLarge Feature = 0x8000000

	readable = FeatureSASpill | FeatureEmbedData | FeatureLZ4 | FeatureLargeBlocks |
		FeatureCompressed | FeatureLargeDnode
)

// Flags of BEGIN (section 3).
const (
	FlagClone       = 0x1 // the target is a clone of the snapshot with FromGUID
	FlagCaseFold    = 0x2
	FlagFreeRecords = 0x4 // a full stream holds FREE and FREEOBJECTS
	FlagSpillBlock  = 0x8 // OBJECT says whether there is a spill block

	// FlagHasSpill in Object.Flags and FlagUnmodified in Spill.Flags mean
	// something only in streams with FlagSpillBlock.
	FlagHasSpill   = 0x4
	FlagUnmodified = 0x4
)

// Types of objects and of bonus buffers (section 7).
const (
	TypePlainFile     = 19
	TypeDirectory     = 20
	TypeMasterNode    = 21
	TypeUnlinkedSet   = 22
	TypeZnode         = 17 // bonus of ZPL versions before 5
	TypeSA            = 44 // bonus
	TypeSAMasterNode  = 45
	TypeSARegistry    = 46
	TypeSALayouts     = 47
	ObjsetZFS         = 2 // Begin.ObjsetType of a file system
	ObjsetVolume      = 3
	headerSubstream   = 1
	headerPackage     = 2
	conservativeBegin = headerSubstream | uint64(FeatureSASpill)<<2
)

// Record is one of Begin, Object, FreeObjects, Write, Free, Spill, Embedded and
// End.
type Record interface{ kind() Kind }

// Begin opens a stream.
type Begin struct {
	Features     Feature
	CreationTime int64 // seconds
	ObjsetType   uint32
	Flags        uint32
	ToGUID       uint64
	FromGUID     uint64 // 0: a full stream
	ToName       string
}

// Object sets a dnode; the payload is its bonus buffer.
type Object struct {
	Number    uint64
	Type      uint32
	BonusType uint32
	BlockSize uint32
	BonusLen  uint32
	Slots     uint8 // dnode size in 512 bytes; 0 in old streams means 1
	Flags     uint8
}

// FreeObjects frees a range of object numbers.
type FreeObjects struct{ First, Count uint64 }

// Write sets one block; the payload is its data, compressed if Compression is
// not 0.
type Write struct {
	Number      uint64
	Type        uint32
	Offset      uint64
	Length      uint64 // of the data, decompressed
	Compression uint8
}

// Free makes holes. Offset+Length does not overflow; it is 2^64-1 for "to the
// end".
type Free struct{ Number, Offset, Length uint64 }

// Spill sets an object's spill block; the payload is its data.
type Spill struct {
	Number uint64
	Length uint64
	Flags  uint8
}

// Embedded is a small block; the payload is its data, compressed if Compression
// says so, of which PSize bytes count.
type Embedded struct {
	Number      uint64
	Offset      uint64
	Length      uint64
	Compression uint8
	EType       uint8
	LSize       uint32
	PSize       uint32
}

// End closes a stream.
type End struct{ Sum [4]uint64 }

func (Begin) kind() Kind       { return KindBegin }
func (Object) kind() Kind      { return KindObject }
func (FreeObjects) kind() Kind { return KindFreeObjects }
func (Write) kind() Kind       { return KindWrite }
func (Free) kind() Kind        { return KindFree }
func (Spill) kind() Kind       { return KindSpill }
func (Embedded) kind() Kind    { return KindWriteEmbedded }
func (End) kind() Kind         { return KindEnd }

// KindOf tells a record's type.
func KindOf(r Record) Kind { return r.kind() }

// raw is a record in wire order; accessors take offsets of section 2.
type raw [RecordSize]byte

func (r *raw) u32(at int) uint32      { return le.Uint32(r[at:]) }
func (r *raw) u64(at int) uint64      { return le.Uint64(r[at:]) }
func (r *raw) put32(at int, v uint32) { le.PutUint32(r[at:], v) }
func (r *raw) put64(at int, v uint64) { le.PutUint64(r[at:], v) }
func (r *raw) putSum(at int, s *sum4) { s.put(r[at : at+32]) }
func (r *raw) sumAt(at int) [4]uint64 {
	return [4]uint64{r.u64(at), r.u64(at + 8), r.u64(at + 16), r.u64(at + 24)}
}
func roundUp8(n uint64) uint64 { return (n + 7) &^ 7 }

func (r *raw) decodeBegin() (Begin, uint32) {
	name := r[56:]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	return Begin{
		Features:     Feature(r.u64(16) >> 2 & 0x3fffffff),
		CreationTime: int64(r.u64(24)),
		ObjsetType:   r.u32(32),
		Flags:        r.u32(36),
		ToGUID:       r.u64(40),
		FromGUID:     r.u64(48),
		ToName:       string(name),
	}, r.u32(4)
}
