package dataset

import (
	"slices"

	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// reseal gives an edited stream right checksums, so that tests get at what lies
// behind them.
func reseal(b []byte) []byte {
	b = slices.Clone(b)
	var s [4]uint64
	add := func(p []byte) {
		for ; len(p) >= 4; p = p[4:] {
			s[0] += uint64(le.Uint32(p))
			s[1] += s[0]
			s[2] += s[1]
			s[3] += s[2]
		}
	}
	put := func(p []byte) {
		for i, v := range s {
			le.PutUint64(p[8*i:], v)
		}
	}
	for at := 0; at+zstream.RecordSize <= len(b); {
		rec := b[at : at+zstream.RecordSize]
		kind := zstream.Kind(le.Uint32(rec))
		if kind == zstream.KindEnd {
			put(rec[8:])
		}
		n := uint64(0)
		switch kind {
		case zstream.KindBegin:
			add(rec)
		case zstream.KindObject:
			n = (uint64(le.Uint32(rec[28:])) + 7) &^ 7
		case zstream.KindWrite:
			n = le.Uint64(rec[32:])
			if rec[50] != 0 {
				n = le.Uint64(rec[96:])
			}
		case zstream.KindSpill:
			n = le.Uint64(rec[16:])
		case zstream.KindWriteEmbedded:
			n = (uint64(le.Uint32(rec[52:])) + 7) &^ 7
		}
		if kind != zstream.KindBegin {
			add(rec[:280])
			put(rec[280:])
			add(rec[280:])
		}
		at += zstream.RecordSize
		n = min(n, uint64(len(b)-at))
		add(b[at:][:n])
		at += int(n)
	}
	return b
}
