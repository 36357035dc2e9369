package zstream

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// sample writes one of each record.
func sample(t testing.TB, from uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	w.Begin(Begin{CreationTime: 1700000000, ToGUID: 0x1122334455667788, FromGUID: from, ToName: "zones/a@final"})
	w.Object(1, TypeMasterNode, 0, 512, nil)
	w.FreeFrom(512)
	w.Write(TypeMasterNode, 0, bytes.Repeat([]byte{7}, 512))
	w.FreeObjects(3, 2)
	w.Object(9, TypePlainFile, TypeSA, 1024, []byte("bonus of 17 bytes"))
	w.FreeFrom(4096)
	w.Write(TypePlainFile, 0, bytes.Repeat([]byte{1}, 1024))
	w.free(1024, 1024)
	w.Write(TypePlainFile, 2048, bytes.Repeat([]byte{2}, 1024))
	w.Spill(bytes.Repeat([]byte{3}, 512))
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	if w.Bytes() != int64(b.Len()) || w.Records() != 12 {
		t.Errorf("%d bytes, %d records; really %d", w.Bytes(), w.Records(), b.Len())
	}
	return b.Bytes()
}

func readAll(b []byte) ([]string, *Reader, error) {
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	var out []string
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return out, r, nil
		}
		if err != nil {
			return out, r, err
		}
		s := fmt.Sprintf("%v %+v", KindOf(rec), rec)
		if _, end := rec.(End); end {
			s = "END"
		}
		if p := r.Payload(); len(p) > 0 {
			s += fmt.Sprintf(" payload %d at %d", len(p), r.PayloadOffset())
			if !bytes.Equal(b[r.PayloadOffset():][:len(p)], p) {
				return out, r, errors.New("payload is not where it is said to be")
			}
		}
		out = append(out, s)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := sample(t, 5)
	got, r, err := readAll(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Begin{Features: FeatureSASpill, CreationTime: 1700000000, ObjsetType: ObjsetZFS, Flags: FlagClone | FlagFreeRecords,
		ToGUID: 0x1122334455667788, FromGUID: 5, ToName: "zones/a@final"}); r.Begin() != want {
		t.Errorf("%+v", r.Begin())
	}
	want := []string{
		"OBJECT {Number:1 Type:21 BonusType:0 BlockSize:512 BonusLen:0 Slots:1 Flags:0}",
		"FREE {Number:1 Offset:512 Length:18446744073709551103}",
		"WRITE {Number:1 Type:21 Offset:0 Length:512 Compression:0} payload 512 at 1248",
		"FREEOBJECTS {First:3 Count:2}",
		"OBJECT {Number:9 Type:19 BonusType:44 BlockSize:1024 BonusLen:17 Slots:1 Flags:0} payload 24 at 2384",
		"FREE {Number:9 Offset:4096 Length:18446744073709547519}",
		"WRITE {Number:9 Type:19 Offset:0 Length:1024 Compression:0} payload 1024 at 3032",
		"FREE {Number:9 Offset:1024 Length:1024}",
		"WRITE {Number:9 Type:19 Offset:2048 Length:1024 Compression:0} payload 1024 at 4680",
		"SPILL {Number:9 Length:512 Flags:0} payload 512 at 6016",
		"END",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if r.Offset() != int64(len(b)) || r.Unsummed() {
		t.Errorf("offset %d, unsummed %v", r.Offset(), r.Unsummed())
	}
	// The versioninfo and flags are those every receiver takes.
	if le.Uint64(b[16:]) != 0x11 || le.Uint32(b[36:]) != 5 || le.Uint32(sample(t, 0)[36:]) != 4 {
		t.Error("BEGIN is not the conservative one")
	}
	if again := sample(t, 5); !bytes.Equal(b, again) {
		t.Error("the same records give other bytes")
	}
}

// resum gives an edited stream right checksums; none leaves those of records out.
func resum(b []byte, none bool) []byte {
	b = slices.Clone(b)
	var s sum4
	for at := 0; at+RecordSize <= len(b); {
		rec := (*raw)(b[at : at+RecordSize])
		kind := Kind(rec.u32(0))
		if kind == KindEnd {
			rec.putSum(8, &s)
		}
		if kind == KindBegin {
			s.add(rec[:])
		} else {
			s.add(rec[:sumOffset])
			rec.putSum(sumOffset, &s)
			if none {
				clear(rec[sumOffset:])
			}
			s.add(rec[sumOffset:])
		}
		at += RecordSize
		n := uint64(0)
		switch kind {
		case KindObject:
			n = roundUp8(uint64(rec.u32(28)))
		case KindWrite:
			n = rec.u64(32)
		case KindSpill:
			n = rec.u64(16)
		}
		n = min(n, uint64(len(b)-at))
		s.add(b[at:][:n&^3])
		at += int(n)
	}
	return b
}

func TestWithoutRecordChecksums(t *testing.T) {
	t.Parallel()
	b := resum(sample(t, 0), true)
	_, r, err := readAll(b)
	if err != nil || !r.Unsummed() {
		t.Errorf("%v", err)
	}
	b[700] ^= 1
	if _, _, err := readAll(b); !errors.Is(err, ErrChecksum) {
		t.Errorf("altered: %v", err)
	}
}

// Every altered byte and every cut is noticed.
func TestDamage(t *testing.T) {
	t.Parallel()
	b := sample(t, 5)
	for i := range b {
		b[i] ^= 0x10
		if _, _, err := readAll(b); err == nil {
			t.Errorf("byte %d altered: no error", i)
		}
		b[i] ^= 0x10
	}
	for i := range b {
		if _, _, err := readAll(b[:i]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, r, err := readAll(append(slices.Clone(b), "more"...)); err != nil || r.Offset() != int64(len(b)) {
		t.Errorf("bytes behind the end: %v", err)
	}
}

// Records with right checksums and wrong fields.
func TestRefused(t *testing.T) {
	t.Parallel()
	const object1, free1, write1, object9, spill9 = 312, 624, 936, 2072, 5704
	for _, tt := range []struct {
		name string
		edit func(b []byte)
		want string
	}{
		{"not a stream", func(b []byte) { b[8] = 0 }, "not a ZFS send stream"},
		{"big-endian", func(b []byte) { slices.Reverse(b[8:16]) }, "big-endian"},
		{"package", func(b []byte) { b[16] = 0x12 }, "a package"},
		{"header type", func(b []byte) { b[16] = 0x13 }, "header type 3"},
		{"dedup", func(b []byte) { le.PutUint64(b[16:], 1|uint64(FeatureDedup)<<2) }, "deduplicated"},
		{"raw", func(b []byte) { le.PutUint64(b[16:], 1|uint64(FeatureRaw)<<2) }, "raw (encrypted)"},
		{"redacted", func(b []byte) { le.PutUint64(b[16:], 1|uint64(FeatureRedacted)<<2) }, "redacted"},
		{"resumed", func(b []byte) { le.PutUint64(b[16:], 1|uint64(FeatureResuming)<<2) }, "interrupted"},
		{"zstd", func(b []byte) { le.PutUint64(b[16:], 1|uint64(FeatureZstd)<<2) }, "zstd"},
		{"unknown feature", func(b []byte) { b[16] |= 0x40 }, "unknown features 0x10"},
		{"unknown flags", func(b []byte) { b[36] |= 0x80 }, "unknown flags 0x80"},
		{"properties", func(b []byte) { b[4] = 8 }, "properties"},
		{"unknown record", func(b []byte) { b[object1] = 99 }, "type 99 (unknown)"},
		{"dedup record", func(b []byte) { b[free1] = byte(KindWriteByref) }, "WRITE_BYREF"},
		{"redact record", func(b []byte) { b[free1] = byte(KindRedact) }, "REDACT"},
		{"embedded", func(b []byte) { b[free1] = byte(KindWriteEmbedded) }, "embedded write"},
		{"payload length", func(b []byte) { b[free1+4] = 8 }, "payload length of its own"},
		{"object 0", func(b []byte) { b[object1+8] = 0 }, "object number 0"},
		{"object number", func(b []byte) { b[object1+14] = 1 }, "object number 281474976710657"},
		{"raw fields", func(b []byte) { b[object1+48] = 1 }, "fields of a raw stream"},
		{"object flags", func(b []byte) { b[object1+35] = 4 }, "flags 0x4"},
		{"compression", func(b []byte) { b[object1+33] = 40 }, "compression 40"},
		{"hole too long", func(b []byte) { b[free1+24] = 0xfe }, "hole of 18446744073709551614 bytes"},
		{"too many objects", func(b []byte) { le.PutUint64(b[free1+624+16+512:], ^uint64(0)) }, "freeing 18446744073709551615 objects"},
		{"type of data", func(b []byte) { b[write1+18] = 2 }, "data of type 131093"},
		{"type 0", func(b []byte) { b[object1+16] = 0 }, "has type 0"},
		{"block size", func(b []byte) { le.PutUint32(b[object1+24:], 1000) }, "block size of 1000"},
		{"large block", func(b []byte) { le.PutUint32(b[object1+24:], 1<<18) }, "block size of 262144"},
		{"bonus", func(b []byte) { le.PutUint32(b[object9+28:], 328) }, "bonus buffer of 328 bytes"},
		{"large dnode", func(b []byte) { b[object9+34] = 2 }, "dnode of 2 slots"},
		{"raw bonus", func(b []byte) { b[object9+36] = 2 }, "raw bonus buffer"},
		{"write too long", func(b []byte) { le.PutUint64(b[write1+32:], MaxBlock+512) }, "write of 131584 bytes"},
		{"write of nothing", func(b []byte) { le.PutUint64(b[write1+32:], 0) }, "write of 0 bytes"},
		{"odd write", func(b []byte) { le.PutUint64(b[write1+32:], 511) }, "write of 511 bytes"},
		{"compressed", func(b []byte) { b[write1+50] = 15 }, "compressed data without the feature"},
		{"spill", func(b []byte) { le.PutUint64(b[spill9+16:], 1<<30) }, "spill block of 1073741824 bytes"},
		{"large spill", func(b []byte) {
			le.PutUint64(b[16:], 1|uint64(FeatureLargeBlocks)<<2)
			le.PutUint64(b[spill9+16:], MaxSpill+512)
		}, "spill block of 131584 bytes"},
		{"raw spill", func(b []byte) { b[spill9+33] = 2 }, "raw spill block"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := sample(t, 0)
			tt.edit(b)
			_, _, err := readAll(resum(b, false))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// The writer takes only what all receivers do, and keeps its first error.
func TestWriterRefuses(t *testing.T) {
	t.Parallel()
	begin := func(w *Writer) { w.Begin(Begin{ToGUID: 1, ToName: "a@b"}) }
	file := func(w *Writer) { begin(w); w.Object(5, TypePlainFile, TypeSA, 1024, nil) }
	for _, tt := range []struct {
		name string
		do   func(*Writer)
		want string
	}{
		{"no begin", func(w *Writer) { w.FreeObjects(1, 1) }, "before BEGIN"},
		{"begin twice", func(w *Writer) { begin(w); begin(w) }, "a second BEGIN"},
		{"no guid", func(w *Writer) { w.Begin(Begin{}) }, "guid 0x0"},
		{"same guid", func(w *Writer) { w.Begin(Begin{ToGUID: 3, FromGUID: 3}) }, "guid 0x3"},
		{"long name", func(w *Writer) { w.Begin(Begin{ToGUID: 3, ToName: strings.Repeat("n", 256)}) }, "256 bytes"},
		{"order", func(w *Writer) { file(w); w.Object(5, 19, 44, 512, nil) }, "object 5 after object 5"},
		{"order of freed", func(w *Writer) { file(w); w.FreeObjects(4, 1) }, "from 4 on after object 5"},
		{"freed, then used", func(w *Writer) { begin(w); w.FreeObjects(4, 2); w.Object(5, 19, 44, 512, nil) }, "object 5 after object 5"},
		{"large block", func(w *Writer) { begin(w); w.Object(5, 19, 44, 1<<18, nil) }, "block size 262144"},
		{"large bonus", func(w *Writer) { begin(w); w.Object(5, 19, 44, 512, make([]byte, 321)) }, "321 bytes"},
		{"data of nothing", func(w *Writer) { begin(w); w.Write(19, 0, make([]byte, 512)) }, "without an object"},
		{"short block", func(w *Writer) { file(w); w.Write(19, 0, make([]byte, 512)) }, "512 bytes at 0, block size 1024"},
		{"odd offset", func(w *Writer) { file(w); w.Write(19, 512, make([]byte, 1024)) }, "1024 bytes at 512"},
		{"backwards", func(w *Writer) { file(w); w.Write(19, 1024, make([]byte, 1024)); w.Write(19, 0, make([]byte, 1024)) }, "after offset 2048"},
		{"odd spill", func(w *Writer) { file(w); w.Spill(make([]byte, 100)) }, "spill block of 100 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := NewWriter(io.Discard)
			tt.do(w)
			if err := w.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			first := w.Err()
			w.FreeObjects(0, 0)
			if err := w.End(); err != first {
				t.Errorf("End returns %v, not the first error", err)
			}
		})
	}
}

type brokenWriter struct{ left int }

var errBroken = errors.New("disk full")

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errBroken
	}
	return len(b), nil
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	w := NewWriter(&brokenWriter{700})
	w.Begin(Begin{ToGUID: 1})
	w.FreeObjects(1, 1)
	w.FreeObjects(2, 1)
	if err := w.End(); err != errBroken {
		t.Errorf("error %v", err)
	}
}

// The fast sum is the plain one.
func TestFletcher(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 100 {
		b := make([]byte, 4*n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		got := sum4{1, 2, 3, 1 << 63}
		want := got
		got.add(b)
		for ; len(b) > 0; b = b[4:] {
			want[0] += uint64(le.Uint32(b))
			want[1] += want[0]
			want[2] += want[1]
			want[3] += want[2]
		}
		if got != want {
			t.Fatalf("%d words: %x, want %x", n, got, want)
		}
	}
}

func BenchmarkFletcher(b *testing.B) {
	data := make([]byte, 128<<10)
	b.SetBytes(int64(len(data)))
	var s sum4
	for b.Loop() {
		s.add(data)
	}
}

// Reading anything never panics and never takes more than its payload's memory;
// what can be read and consists of plain records can be written again.
func FuzzReader(f *testing.F) {
	f.Add(sample(f, 0))
	f.Add(sample(f, 5))
	b, _ := hex.DecodeString("00000000000000ac")
	f.Add(b)
	large := sample(f, 0)
	le.PutUint64(large[16:], 1|uint64(FeatureLargeBlocks|FeatureEmbedData)<<2)
	le.PutUint64(large[5704+16:], MaxSpill+512) // its spill block
	f.Add(large)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		// Right checksums let the fuzzer get at the records.
		for _, s := range [][]byte{b, resum(b, false)} {
			r, err := NewReader(bytes.NewReader(s))
			if err != nil {
				continue
			}
			for err == nil {
				_, err = r.Next()
				if len(r.Payload()) > MaxPayload {
					t.Errorf("payload of %d bytes", len(r.Payload()))
				}
			}
		}
	})
}
