package unxz

import (
	"bytes"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ulikunitz/xz"
)

// pack makes one xz stream of data, with blocks of at most block bytes.
func pack(t testing.TB, data []byte, block int64, check byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 16, BlockSize: block, CheckSum: check, NoCheckSum: check == xz.None}.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// text is n bytes that can be compressed, with some that cannot.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.IntN(1 + i/100000%2*255))
	}
	return b
}

// printf hello | xz -c (xz 5.4.1)
const hello = "fd377a585a000004e6d6b4460200210116000000742fe5a301000468656c6c6f00000000b137b9dbe5da1e9b00011d05b82d80af1fb6f37d010000000004595a"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// property is where the window's size stands in the header of a stream's first
// block.
const property = 16

func TestReader(t *testing.T) {
	t.Parallel()
	data := text(300_000)
	one, padding := unhex(t, hello), make([]byte, 8)
	for _, tt := range []struct {
		name     string
		in, want []byte
	}{
		{"one block", one, []byte("hello")},
		{"two streams, padding", slices.Concat(one, padding, one, padding), []byte("hellohello")},
		{"many blocks", pack(t, data, 7001, xz.CRC64), data},
		{"CRC32", pack(t, data, 70_001, xz.CRC32), data},
		{"SHA-256", pack(t, data, 70_002, xz.SHA256), data},
		{"no check", pack(t, data, 70_003, xz.None), data},
		{"nothing in it", pack(t, nil, 1<<20, xz.CRC64), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{bytes.NewReader(tt.in), iotest.OneByteReader(bytes.NewReader(tt.in))} {
				z, err := NewReader(r)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, tt.want) {
					t.Errorf("%d bytes instead of %d, %v", len(got), len(tt.want), err)
				}
			}
		})
	}
	if _, err := NewReader(bytes.NewReader(nil)); err != io.EOF && err != io.ErrUnexpectedEOF {
		t.Errorf("empty: %v", err)
	}
}

// Huge windows are refused in every block, before the library makes them.
func TestHugeWindowIsRefused(t *testing.T) {
	t.Parallel()
	data := text(50_000)
	good := pack(t, data, 20_000, xz.CRC64)
	huge := pack(t, data, 1<<20, xz.CRC64)
	huge[property] = 40 // 4 GiB - 1
	second := slices.Clone(good)
	at := bytes.Index(second[property:], second[12:24]) // the next block's header
	if at < 0 {
		t.Fatal("the blocks have different headers")
	}
	second[property+at+property-12] = 38 // 2 GiB
	all := map[string][]byte{"first block": huge, "second block": second}
	for name, check := range map[string]byte{"none": xz.None, "CRC32": xz.CRC32, "CRC64": xz.CRC64, "SHA-256": xz.SHA256} {
		all["second stream behind check "+name] = slices.Concat(pack(t, data, 7001, check), make([]byte, 4), huge)
	}
	for name, in := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, err := NewReader(bytes.NewReader(in))
			if err == nil {
				_, err = io.Copy(io.Discard, g)
			}
			if err == nil || !strings.Contains(err.Error(), "needs a window of") {
				t.Error(err)
			}
		})
	}
}

// Many small blocks with large windows would take as long as one of all of them.
func TestManyWindowsAreRefused(t *testing.T) {
	t.Parallel()
	header := []byte{2, 0, 0x21, 1, 32, 0, 0, 0, 0, 0, 0, 0} // 256 MiB
	in := append(unhex(t, hello)[:12:12], bytes.Repeat(slices.Concat(header, make([]byte, 12)), 100)...)
	g := &guard{r: bytes.NewReader(in)}
	g.want(4, g.streamHeader)
	n, err := io.Copy(io.Discard, struct{ io.Reader }{iotest.OneByteReader(g)})
	if want := int64(12 + 64*24 + 11); n != want || err == nil || !strings.Contains(err.Error(), "needs windows of 17448304640 bytes for 0 bytes") {
		t.Errorf("%d bytes instead of %d, %v", n, want, err)
	}
	// Blocks as `xz -9 --block-size=1MiB` makes them pass.
	g = &guard{windows: spareWindows}
	for range 100_000 {
		g.out += 1 << 20
		g.head = []byte{2}
		if err := g.block(); err != nil {
			t.Fatal(err)
		}
		g.head = append(g.head, 0, 0x21, 1, 28, 0, 0, 0, 0, 0, 0, 0) // 64 MiB
		if err := g.next(); err != nil {
			t.Fatal(err)
		}
	}
}

// The guard does not panic, nor change what comes out.
func FuzzReader(f *testing.F) {
	f.Add(unhex(f, hello))
	f.Add(pack(f, text(3000), 1000, xz.CRC32))
	f.Add(slices.Concat(pack(f, text(300), 100, xz.None), make([]byte, 4), unhex(f, hello)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<14 {
			return
		}
		read := func(z io.Reader, err error) ([]byte, error) {
			if err != nil {
				return nil, err
			}
			return io.ReadAll(io.LimitReader(z, 1<<22))
		}
		got, err := read(NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		want, err := read(xz.NewReader(bytes.NewReader(b)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, without the guard %d, %v", len(got), len(want), err)
		}
	})
}
