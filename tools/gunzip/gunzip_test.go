package gunzip

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// contents are of the kinds that make compressors do different things.
func contents() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 700_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	var text bytes.Buffer
	for text.Len() < 1_500_000 {
		fmt.Fprintf(&text, "%d %x the quick brown fox %d\n", r.IntN(100), r.IntN(1<<r.IntN(30)), text.Len())
	}
	skew := make([]byte, 900_000) // long words, hence second tables
	for i := range skew {
		for skew[i] = 0; skew[i] < 255 && r.IntN(3) > 0; skew[i]++ {
		}
	}
	return map[string][]byte{
		"empty": nil, "one byte": {7}, "zeros": make([]byte, 3_000_000), "noise": noise, "text": text.Bytes(), "skew": skew,
		"mixed": bytes.Join([][]byte{text.Bytes(), noise[:100_000], make([]byte, 70_000), skew, []byte(strings.Repeat("abc", 9999))}, nil),
	}
}

func compress(t testing.TB, b []byte, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(b)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReader(t *testing.T) {
	t.Parallel()
	for name, want := range contents() {
		for _, level := range []int{gzip.HuffmanOnly, 0, 1, 6, 9} {
			raw := compress(t, want, level)
			for how, in := range map[string]io.Reader{
				"whole": bytes.NewReader(raw), "in halves": iotest.HalfReader(bytes.NewReader(raw)),
				"with the end": iotest.DataErrReader(bytes.NewReader(raw)),
			} {
				z, err := NewReader(in)
				if err != nil {
					t.Fatal(err)
				}
				var got []byte
				if how == "whole" {
					var b bytes.Buffer
					_, err = z.WriteTo(&b)
					got = b.Bytes()
				} else {
					got, err = io.ReadAll(z)
				}
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, level %d, %s: %d bytes of %d, %v", name, level, how, len(got), len(want), err)
				}
			}
		}
	}
}

func TestSmallReads(t *testing.T) {
	t.Parallel()
	want := contents()["text"][:50_000]
	z, err := NewReader(iotest.OneByteReader(bytes.NewReader(compress(t, want, 6))))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(iotest.OneByteReader(z))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestMembersAndHeaders(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	for i, text := range []string{"first ", "", "second"} {
		z := gzip.NewWriter(&b)
		if i != 1 {
			z.Name, z.Comment, z.Extra = "name", "comment", bytes.Repeat([]byte{3}, 300)
		}
		io.WriteString(z, text)
		z.Close()
	}
	z, err := NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); string(got) != "first second" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	// With a checksum of the header.
	plain := compress(t, []byte("text"), 6)
	head := append([]byte{}, plain[:10]...)
	head[3] |= 2
	sum := crc32.ChecksumIEEE(head)
	for _, wrong := range []byte{0, 1} {
		raw := append(append(bytes.Clone(head), byte(sum)^wrong, byte(sum>>8)), plain[10:]...)
		if _, err := NewReader(bytes.NewReader(raw)); errors.Is(err, ErrHeader) != (wrong == 1) {
			t.Errorf("header checksum, off by %d: %v", wrong, err)
		}
	}
}

func TestSpoiled(t *testing.T) {
	t.Parallel()
	plain := compress(t, contents()["text"][:100_000], 6)
	spoil := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(plain)) }
	for name, tt := range map[string]struct {
		raw  []byte
		want error
	}{
		"nothing":     {nil, io.ErrUnexpectedEOF},
		"magic":       {[]byte("PK0123456789"), ErrHeader},
		"method":      {spoil(func(b []byte) []byte { b[2] = 7; return b }), ErrHeader},
		"flags":       {spoil(func(b []byte) []byte { b[3] = 0x20; return b }), ErrHeader},
		"half header": {plain[:7], io.ErrUnexpectedEOF},
		"half":        {plain[:len(plain)/2], io.ErrUnexpectedEOF},
		"no trailer":  {plain[:len(plain)-8], io.ErrUnexpectedEOF},
		"checksum":    {spoil(func(b []byte) []byte { b[len(b)-8] ^= 1; return b }), ErrChecksum},
		"length":      {spoil(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), ErrChecksum},
		"garbage":     {append(bytes.Clone(plain), "garbage behind"...), ErrHeader},
		"short tail":  {append(bytes.Clone(plain), 0x1f), io.ErrUnexpectedEOF},
		"block type":  {append(bytes.Clone(plain[:10]), 7), ErrData},
		"far back":    {append(bytes.Clone(plain[:10]), 0x03, 0x02, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), ErrData},
		"stored":      {append(bytes.Clone(plain[:10]), 1, 1, 0, 1, 0, 'x'), ErrData},
	} {
		z, err := NewReader(bytes.NewReader(tt.raw))
		if err == nil {
			_, err = io.ReadAll(z)
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	failing := errors.New("failing")
	z, err := NewReader(io.MultiReader(bytes.NewReader(plain[:5000]), iotest.ErrReader(failing)))
	if err == nil {
		_, err = io.ReadAll(z)
	}
	if !errors.Is(err, failing) {
		t.Errorf("an error below: %v", err)
	}
}

// FuzzReader compares with the standard library on any deflate data.
func FuzzReader(f *testing.F) {
	for _, b := range contents() {
		for _, level := range []int{0, 1, 6, 9, gzip.HuffmanOnly} {
			var out bytes.Buffer
			w, _ := flate.NewWriter(&out, level)
			w.Write(b[:min(len(b), 5000)])
			w.Close()
			f.Add(out.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, deflate []byte) {
		const limit = 1 << 20
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(deflate)), limit))
		raw := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, deflate...)
		if wantErr == nil {
			raw = le.AppendUint32(raw[:10+len(deflate)], 0) // a wrong checksum ends it
			raw = le.AppendUint32(raw, 0)
		}
		z, err := NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.LimitReader(z, limit))
		if !bytes.Equal(got, want) && !(len(got) > len(want) && bytes.HasPrefix(got, want) && wantErr != nil) &&
			!(wantErr != nil && bytes.HasPrefix(want, got)) {
			t.Fatalf("%d bytes and %v; the standard library: %d bytes and %v", len(got), err, len(want), wantErr)
		}
		if len(want) < limit && wantErr != nil && err == nil {
			t.Fatalf("no error; the standard library: %v", wantErr)
		}
		if len(want) < limit && wantErr == nil && errors.Is(err, ErrData) {
			t.Fatalf("%v; the standard library has no objection", err)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	raw := compress(b, contents()["mixed"], 6)
	for b.Loop() {
		z, err := NewReader(bytes.NewReader(raw))
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, z)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}
