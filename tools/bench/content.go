package main

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
)

// mixed makes content as an image has it: text, machine code, data that is
// compressed already, and zeros. The same seed gives the same bytes.
type mixed struct {
	r     *rand.Rand
	words [4096]string
	codes [1024][8]byte
}

func newMixed(seed uint64) *mixed {
	m := &mixed{r: rand.New(rand.NewPCG(seed, 0x656e67626c64))}
	const letters = "etaoinshrdlucmfwypvbgkjqxz"
	for i := range m.words {
		w := make([]byte, 2+m.r.IntN(9))
		for j := range w {
			// The first letters are the frequent ones.
			w[j] = letters[m.r.IntN(1+m.r.IntN(len(letters)))]
		}
		m.words[i] = string(w)
	}
	for i := range m.codes {
		binary.LittleEndian.PutUint64(m.codes[i][:], m.r.Uint64())
	}
	return m
}

// file fills p with the content of one file. The shares follow what a zone's
// /opt/local and /usr hold: half of the bytes programs, a third text.
func (m *mixed) file(p []byte) {
	switch n := m.r.IntN(20); {
	case n < 9:
		m.code(p)
	case n < 16:
		m.text(p)
	case n < 19:
		m.noise(p)
	default:
		clear(p)
	}
}

// rank draws from a Zipf-like distribution over n things.
func (m *mixed) rank(n int) int {
	x := m.r.Float64()
	return int(float64(n) * x * x * x)
}

func (m *mixed) text(p []byte) {
	column := 0
	for len(p) > 0 {
		var k int
		switch m.r.IntN(12) {
		case 0: // numbers, as tables and sources have them
			var b [8]byte
			for i := range b {
				b[i] = '0' + byte(m.r.IntN(10))
			}
			k = copy(p, b[:1+m.r.IntN(6)])
		default:
			k = copy(p, m.words[m.rank(len(m.words))])
		}
		p = p[k:]
		column += k + 1
		if len(p) > 0 {
			p[0] = ' '
			if column > 60 {
				p[0], column = '\n', 0
			}
			p = p[1:]
		}
	}
}

// code looks like machine code to a compressor: instructions from a limited
// set with operands that are mostly small.
func (m *mixed) code(p []byte) {
	for len(p) > 0 {
		c := m.codes[m.rank(len(m.codes))]
		n := 2 + int(c[0]&3)
		k := copy(p, c[1:1+n])
		p = p[k:]
		var operand [4]byte
		if v := m.r.Uint32(); v&3 != 0 {
			operand[0] = byte(v >> 8)
		} else {
			binary.LittleEndian.PutUint32(operand[:], v>>12)
		}
		k = copy(p, operand[:2+c[7]&2])
		p = p[k:]
	}
}

func (m *mixed) noise(p []byte) {
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, m.r.Uint64())
		p = p[8:]
	}
	for i := range p {
		p[i] = byte(m.r.Uint32())
	}
}

// sizes splits total bytes into n files as unevenly as real trees are: most are
// small, a few hold most of the bytes.
func (m *mixed) sizes(n int, total int64) []int64 {
	weights := make([]float64, n)
	sum := 0.0
	for i := range weights {
		x := m.r.Float64()
		weights[i] = 1 / (0.002 + x*x)
		sum += weights[i]
	}
	sizes := make([]int64, n)
	for i, w := range weights {
		sizes[i] = int64(float64(total) * w / sum)
	}
	return sizes
}

// write writes the content of files of these sizes, one behind the other.
func (m *mixed) write(w io.Writer, sizes []int64) error {
	buf := make([]byte, 1<<20)
	for _, size := range sizes {
		for size > 0 {
			n := min(size, int64(len(buf)))
			m.file(buf[:n])
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			size -= n
		}
	}
	return nil
}
