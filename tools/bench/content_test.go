package main

import (
	"bytes"
	"compress/flate"
	"testing"
)

// TestMixed: the rows that compress mean something only if the content is as
// hard to compress as files of a system, and the same in every run.
func TestMixed(t *testing.T) {
	t.Parallel()
	const total = 6 << 20
	content := func(seed uint64) []byte {
		var b bytes.Buffer
		m := newMixed(seed)
		if err := m.write(&b, m.sizes(200, total)); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	b := content(1)
	if !bytes.Equal(b, content(1)) {
		t.Error("the same seed gives other bytes")
	}
	if bytes.Equal(b, content(2)) {
		t.Error("another seed gives the same bytes")
	}
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, 6)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(b)
	z.Close()
	if ratio := float64(out.Len()) / float64(len(b)); ratio < 0.38 || ratio > 0.45 {
		t.Errorf("compresses to %.3f", ratio)
	}
	// The smallest files are as good as any.
	for n := range 64 {
		p := make([]byte, n)
		newMixed(uint64(n)).file(p)
		newMixed(uint64(n)).program(p)
	}
}
