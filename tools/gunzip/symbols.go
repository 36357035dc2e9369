package gunzip

// symbols decodes a block's data until the block ends or the output is full.
func (z *Reader) symbols() error {
	for {
		if z.w > outSize-maxStep {
			return nil
		}
		z.more(16)
		if z.end-z.pos >= 16 {
			if ended, err := z.fast(); ended || err != nil {
				return err
			}
			continue
		}
		// The end of the input: step by step.
		e, err := z.slow(z.lit[:], litBits)
		if err != nil {
			return err
		}
		switch e & kindMask {
		case kindLiteral:
			z.out[z.w] = byte(e >> 12)
			z.w++
			continue
		case kindEnd:
			z.state = stateBlock
			return nil
		}
		length, err := z.base(e)
		if err != nil {
			return err
		}
		if e, err = z.slow(z.dist[:], distBits); err != nil {
			return err
		}
		distance, err := z.base(e)
		if err != nil {
			return err
		}
		if distance > z.w {
			return ErrData
		}
		for range length {
			z.out[z.w] = z.out[z.w-distance]
			z.w++
		}
	}
}

// base adds the further bits to an entry's base.
func (z *Reader) base(e entry) (int, error) {
	extra := uint(e >> 5 & 15)
	if err := z.need(extra); err != nil {
		return 0, err
	}
	return int(e>>12) + int(z.take(extra)), nil
}

// fast is symbols as long as there is plenty of input and room. One filling of
// the bits, 56 at least, lasts for a length and a distance: 15+5+15+13.
func (z *Reader) fast() (ended bool, err error) {
	in := z.in[:z.end]
	pos, w := z.pos, z.w
	bits, nbits := z.bits&(1<<z.nbits-1), z.nbits
	lit, dist, out := &z.lit, &z.dist, &z.out
loop:
	for pos+8 <= len(in) && w <= outSize-maxStep {
		bits |= le.Uint64(in[pos:]) << (nbits & 63)
		pos += int((63 - nbits) >> 3)
		nbits |= 56
		e := lit[bits&(1<<litBits-1)]
		if e&kindMask == kindLiteral {
			// Up to three without filling: 11 bits each at most.
			bits >>= e & 31
			nbits -= uint(e & 31)
			out[w] = byte(e >> 12)
			w++
			e = lit[bits&(1<<litBits-1)]
			if e&kindMask == kindLiteral {
				bits >>= e & 31
				nbits -= uint(e & 31)
				out[w] = byte(e >> 12)
				w++
				e = lit[bits&(1<<litBits-1)]
				if e&kindMask == kindLiteral {
					bits >>= e & 31
					nbits -= uint(e & 31)
					out[w] = byte(e >> 12)
					w++
					continue
				}
			}
			if pos+8 > len(in) {
				continue // e is found again, by whoever goes on
			}
			bits |= le.Uint64(in[pos:]) << (nbits & 63)
			pos += int((63 - nbits) >> 3)
			nbits |= 56
		}
		if e&kindMask == kindLink {
			e = lit[(uint64(e>>12)+bits>>litBits&(1<<(e>>5&15)-1))%litSize]
			bits >>= litBits
			nbits -= litBits
		}
		bits >>= e & 31
		nbits -= uint(e & 31)
		switch e & kindMask {
		case kindLiteral:
			out[w] = byte(e >> 12)
			w++
			continue
		case kindBase:
		case kindEnd:
			ended = true
			z.state = stateBlock
			break loop
		default:
			err = ErrData
			break loop
		}
		extra := e >> 5 & 15
		length := int(e>>12) + int(bits&(1<<extra-1))
		bits >>= extra
		nbits -= uint(extra)
		e = dist[bits&(1<<distBits-1)]
		if e&kindMask == kindLink {
			e = dist[(uint64(e>>12)+bits>>distBits&(1<<(e>>5&15)-1))%distSize]
			bits >>= distBits
			nbits -= distBits
		}
		bits >>= e & 31
		nbits -= uint(e & 31)
		if e&kindMask != kindBase {
			err = ErrData
			break loop
		}
		extra = e >> 5 & 15
		distance := int(e>>12) + int(bits&(1<<extra-1))
		bits >>= extra
		nbits -= uint(extra)
		from := w - distance
		if from < 0 {
			err = ErrData
			break loop
		}
		if distance >= 8 {
			// Eight at a time, the first two at once; what is written too much is
			// written over.
			src, dst := out[from:from+length+16], out[w:w+length+16]
			le.PutUint64(dst, le.Uint64(src))
			le.PutUint64(dst[8:], le.Uint64(src[8:]))
			for i := 16; i < length; i += 8 {
				le.PutUint64(dst[i:], le.Uint64(src[i:]))
			}
		} else {
			dst := out[from : w+length]
			for i := distance; i < len(dst); i++ {
				dst[i] = dst[i-distance]
			}
		}
		w += length
	}
	// Bytes that were filled in and not used go back.
	z.pos = pos - int(nbits>>3)
	z.bits, z.nbits = bits&(1<<(nbits&7)-1), nbits&7
	z.w = w
	return ended, err
}
