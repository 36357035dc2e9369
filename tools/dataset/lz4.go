package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// Compression numbers of blocks in a stream.
const (
	compressOff = 2
	compressLZ4 = 15
)

var errLZ4 = errors.New("damaged LZ4 data")

// decompress fills dst from src.
func decompress(dst, src []byte, how uint8) error {
	if how != compressLZ4 {
		return unsupportedCompression(how)
	}
	// ZFS puts the compressed length in front, big-endian.
	if len(src) < 4 || uint64(binary.BigEndian.Uint32(src)) > uint64(len(src)-4) {
		return errLZ4
	}
	n, err := unLZ4(dst, src[4:4+binary.BigEndian.Uint32(src)])
	if err != nil {
		return err
	}
	if n != len(dst) {
		return fmt.Errorf("%w: %d bytes instead of %d", errLZ4, n, len(dst))
	}
	return nil
}

func unsupportedCompression(how uint8) error {
	return fault.WithHint(fmt.Errorf("compression %d is not supported", how), "send the snapshot without -c and -e")
}

// unLZ4 decodes one LZ4 block: sequences of a token, literals, and a match of
// at least 4 bytes at a distance back in the output.
func unLZ4(dst, src []byte) (int, error) {
	length := func(n int) (int, bool) {
		for n >= 15 {
			if len(src) == 0 {
				return 0, false
			}
			b := src[0]
			src = src[1:]
			n += int(b)
			if b != 255 || n > len(dst) {
				break
			}
		}
		return n, true
	}
	d := 0
	for len(src) > 0 {
		token := src[0]
		src = src[1:]
		n, ok := length(int(token >> 4))
		if !ok || n > len(src) || n > len(dst)-d {
			return 0, errLZ4
		}
		d += copy(dst[d:], src[:n])
		src = src[n:]
		if len(src) == 0 {
			return d, nil // the last sequence has no match
		}
		if len(src) < 2 {
			return 0, errLZ4
		}
		back := int(le.Uint16(src))
		src = src[2:]
		n, ok = length(int(token & 15))
		n += 4
		if !ok || back == 0 || back > d || n > len(dst)-d {
			return 0, errLZ4
		}
		for ; n > 0; n-- { // matches may overlap what they make
			dst[d] = dst[d-back]
			d++
		}
	}
	return d, nil
}
