package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const maxXattr = 1 << 20 // bytes of one value that is read

var errNvlist = errors.New("damaged attribute list")

// Xattrs returns the extended attributes of an object, hidden files and those of
// Linux's DXATTR attribute alike.
func (ds *Dataset) Xattrs(num uint64) (map[string][]byte, error) {
	o := ds.objects.get(num)
	if o == nil {
		return nil, fmt.Errorf("object %d does not exist", num)
	}
	in, err := ds.stat(o)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte)
	if in.holds(attrDXattr) {
		if err := parseNvlist(in.dxattr, out); err != nil {
			return nil, fmt.Errorf("object %d: %w", num, err)
		}
	}
	members, _, err := ds.hidden(o)
	if err != nil {
		return nil, err
	}
	for i := range members {
		n, err := ds.fsNode(members[i].value & entryObject)
		if err != nil {
			return nil, err
		}
		if out[members[i].name], err = n.ReadAll(maxXattr); err != nil {
			return nil, fmt.Errorf("object %d: attribute %q: %w", num, members[i].name, err)
		}
	}
	return out, nil
}

// parseNvlist reads a packed nvlist of byte arrays: 4 bytes of encoding, version
// and flags, then pairs in XDR, each with its own length, ended by two zeros.
func parseNvlist(b []byte, out map[string][]byte) error {
	const xdr, byteArray = 1, 10
	if len(b) < 12 || b[0] != xdr {
		return errNvlist
	}
	be := binary.BigEndian
	for b = b[12:]; ; {
		if len(b) < 8 {
			return errNvlist
		}
		size := be.Uint32(b)
		if size == 0 {
			return nil
		}
		if size < 20 || uint64(size) > uint64(len(b)) {
			return errNvlist
		}
		pair := b[8:size]
		b = b[size:]
		n := uint64(be.Uint32(pair))
		if n > maxZapName || 4+(n+3)&^3+8 > uint64(len(pair)) {
			return errNvlist
		}
		name := string(pair[4 : 4+n])
		pair = pair[4+(n+3)&^3:]
		if be.Uint32(pair) != byteArray {
			return fmt.Errorf("%w: %q has type %d", errNvlist, name, be.Uint32(pair))
		}
		// The element count comes twice: of the pair, and of the opaque data.
		pair = pair[4:]
		count := uint64(be.Uint32(pair))
		pair = pair[4:]
		if uint64(len(pair)) >= 4+count && uint64(be.Uint32(pair)) == count {
			pair = pair[4:]
		}
		if count > uint64(len(pair)) {
			return errNvlist
		}
		out[name] = pair[:count:count]
	}
}
