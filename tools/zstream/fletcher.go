package zstream

// sum4 is a running fletcher-4: four sums over little-endian 32-bit words
// (section 4).
type sum4 [4]uint64

// add sums b, whose length is a multiple of 4.
func (s *sum4) add(b []byte) {
	a0, a1, a2, a3 := s[0], s[1], s[2], s[3]
	for len(b) >= 16 {
		// One bounds check for four words; the sums are a chain of
		// additions, so there is nothing to gain from doing more at once.
		w := b[:16:16]
		a0 += uint64(le.Uint32(w[0:]))
		a1 += a0
		a2 += a1
		a3 += a2
		a0 += uint64(le.Uint32(w[4:]))
		a1 += a0
		a2 += a1
		a3 += a2
		a0 += uint64(le.Uint32(w[8:]))
		a1 += a0
		a2 += a1
		a3 += a2
		a0 += uint64(le.Uint32(w[12:]))
		a1 += a0
		a2 += a1
		a3 += a2
		b = b[16:]
	}
	for len(b) >= 4 {
		a0 += uint64(le.Uint32(b))
		a1 += a0
		a2 += a1
		a3 += a2
		b = b[4:]
	}
	s[0], s[1], s[2], s[3] = a0, a1, a2, a3
}

func (s *sum4) put(b []byte) {
	for i, v := range s {
		le.PutUint64(b[8*i:], v)
	}
}
