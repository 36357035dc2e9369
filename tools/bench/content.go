package main

import (
	"encoding/binary"
	"io"
	"math/bits"
	"math/rand/v2"
)

// mixed makes content as an image has it: programs with their tables, text,
// data that is compressed already, and zeros. The same seed gives the same
// bytes. It is made so that compressors find in it about what they find in the
// files of a system: pigz leaves two fifths of it, as of programs, libraries and
// documents together, with matches of all lengths and distances.
type mixed struct {
	r       *rand.Rand
	words   [4096]string
	next    [4096][8]uint16 // words that often follow
	phrases [512]string     // licences, boilerplate, headings
	idioms  [2048]idiom
	targets [64]uint32 // addresses that code calls often
}

// idiom is a sequence of instructions that a compiler makes again and again.
type idiom struct {
	code     []byte
	operands uint32 // bit i: an operand stands behind byte i
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
		for j := range m.next[i] {
			m.next[i][j] = uint16(m.rank(len(m.words)))
		}
	}
	word := 0
	for i := range m.phrases {
		for range 4 + m.r.IntN(16) {
			word = m.follow(word)
			m.phrases[i] += m.words[word] + " "
		}
	}
	// An instruction set: few beginnings, then registers and the like.
	var set [384][]byte
	for i := range set {
		set[i] = make([]byte, 1+m.r.IntN(4))
		for j := range set[i] {
			set[i][j] = byte(m.rank(64) * 37)
		}
	}
	for i := range m.idioms {
		d := &m.idioms[i]
		for range 1 + m.r.IntN(7) {
			d.code = append(d.code, set[m.rank(len(set))]...)
			if m.r.IntN(5) < 2 {
				d.operands |= 1 << len(d.code)
			}
		}
	}
	for i := range m.targets {
		m.targets[i] = m.r.Uint32() >> 10
	}
	return m
}

// file fills p with the content of one file. The shares follow what a zone's
// /opt/local and /usr hold: more than half of the bytes programs, a third text.
func (m *mixed) file(p []byte) {
	switch n := m.r.IntN(40); {
	case n < 24:
		m.program(p)
		m.repeat(p)
	case n < 36:
		m.text(p)
		m.repeat(p)
	case n < 39:
		m.noise(p)
	default:
		clear(p)
	}
}

// repeat says some things again, a little or long after they were said first.
func (m *mixed) repeat(p []byte) {
	for at := 0; ; {
		at += 1 + m.rank(2400)
		n, back := 8+m.rank(400), 1+m.rank(24<<10)
		if at+n > len(p) {
			return
		}
		if back <= at {
			copy(p[at:at+n], p[at-back:at])
		}
		at += n
	}
}

// program fills p with the sections of a program.
func (m *mixed) program(p []byte) {
	cut := len(p) / 16
	m.symbols(p[:2*cut])
	m.code(p[2*cut : 12*cut])
	m.strings(p[12*cut : 14*cut])
	clear(p[14*cut : len(p)-cut])
	m.relocations(p[len(p)-cut:])
}

// rank draws from a Zipf-like distribution over n things.
func (m *mixed) rank(n int) int {
	x := m.r.Float64()
	return int(float64(n) * x * x * x)
}

// follow draws the word behind another one.
func (m *mixed) follow(word int) int {
	if m.r.IntN(4) == 0 {
		return m.rank(len(m.words))
	}
	return int(m.next[word][m.rank(len(m.next[word]))])
}

func (m *mixed) text(p []byte) {
	column, word := 0, 0
	for len(p) > 0 {
		var k int
		switch m.r.IntN(24) {
		case 0: // numbers, as tables and sources have them
			var b [8]byte
			for i := range b {
				b[i] = '0' + byte(m.r.IntN(10))
			}
			k = copy(p, b[:1+m.r.IntN(6)])
		case 1:
			k = copy(p, m.phrases[m.rank(len(m.phrases))])
		default:
			word = m.follow(word)
			k = copy(p, m.words[word])
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

// code looks like machine code to a compressor: idioms with operands that are
// mostly small, or one of few addresses.
func (m *mixed) code(p []byte) {
	for len(p) > 0 {
		d := &m.idioms[m.rank(len(m.idioms))]
		from := 0
		for ops := d.operands; ops != 0; ops &= ops - 1 {
			at := bits.TrailingZeros32(ops)
			p = p[copy(p, d.code[from:at]):]
			from = at
			var operand [4]byte
			n := 1
			switch v := m.r.Uint32(); v & 7 {
			case 0:
				binary.LittleEndian.PutUint32(operand[:], v>>14)
				n = 4
			case 1, 2:
				binary.LittleEndian.PutUint32(operand[:], m.targets[m.rank(len(m.targets))])
				n = 4
			default:
				operand[0] = byte(v>>8&15) * 8
			}
			p = p[copy(p, operand[:n]):]
		}
		p = p[copy(p, d.code[from:]):]
	}
}

// symbols are records of 24 bytes, as symbol tables have them: names and
// addresses rise, the rest is alike.
func (m *mixed) symbols(p []byte) {
	name, address := uint32(1), uint64(0x401000)
	for len(p) > 0 {
		var rec [24]byte
		size := 16 * uint64(1+m.rank(256))
		binary.LittleEndian.PutUint32(rec[0:], name)
		rec[4], rec[6] = 0x12, byte(12+m.rank(4))
		binary.LittleEndian.PutUint64(rec[8:], address)
		binary.LittleEndian.PutUint64(rec[16:], size-uint64(m.r.IntN(16)))
		name += uint32(6 + m.rank(24))
		address += size
		p = p[copy(p, rec[:]):]
	}
}

// strings are names with common beginnings.
func (m *mixed) strings(p []byte) {
	for len(p) > 0 {
		word := m.rank(len(m.words))
		prefix := m.words[word]
		for range 1 + m.rank(16) {
			p = p[copy(p, prefix):]
			p = p[copy(p, "_"):]
			word = m.follow(word)
			p = p[copy(p, m.words[word]):]
			p = p[copy(p, "\x00"):]
		}
	}
}

// relocations are pairs of addresses that rise by little.
func (m *mixed) relocations(p []byte) {
	at := uint64(0x600000)
	for len(p) > 0 {
		var rec [24]byte
		binary.LittleEndian.PutUint64(rec[0:], at)
		rec[8] = 8
		binary.LittleEndian.PutUint64(rec[16:], 0x401000+16*uint64(m.r.IntN(1<<14)))
		at += 8 * uint64(1+m.rank(4))
		p = p[copy(p, rec[:]):]
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
