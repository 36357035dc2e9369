package dataset

import "bytes"

// The parts of ACL entries (spec zfs-stream.md section 11).
const (
	aceAllow, aceDeny               = 0, 1
	aceOwner, aceGroup, aceEveryone = 0x1000, 0x2040, 0x4000
	maskOwner, maskOthers           = 0x1e0198, 0x120088
	maxTrivial                      = 6 // entries
)

// trivialACL makes the entries that mean just the mode. In directories write
// permission includes that to delete, 0x40, but illumos left it out until its
// acl_common.c looked at the directory argument; dirBits says whether to set it.
func trivialACL(mode uint32, dirBits bool) []byte {
	var allow0, deny1, deny2 uint32
	owner, group, everyone := uint32(maskOwner), uint32(maskOthers), uint32(maskOthers)
	for i, bit := range [3]uint32{0x1, 0x6, 0x20} {
		if i == 1 && dirBits {
			bit |= 0x40
		}
		u, g, o := mode>>(8-i)&1 != 0, mode>>(5-i)&1 != 0, mode>>(2-i)&1 != 0
		if u && !g && o {
			allow0 |= bit
		}
		if !u && (g || o) {
			deny1 |= bit
		}
		if !g && o {
			deny2 |= bit
		}
		if u {
			owner |= bit
		}
		if g {
			group |= bit
		}
		if o {
			everyone |= bit
		}
	}
	b := make([]byte, 0, 8*maxTrivial)
	entry := func(typ, flags uint16, mask uint32) {
		b = le.AppendUint32(le.AppendUint16(le.AppendUint16(b, typ), flags), mask)
	}
	if allow0 != 0 {
		entry(aceAllow, aceOwner, allow0)
	}
	if deny1 != 0 {
		entry(aceDeny, aceOwner, deny1)
	}
	if deny2 != 0 {
		entry(aceDeny, aceGroup, deny2)
	}
	entry(aceAllow, aceOwner, owner)
	entry(aceAllow, aceGroup, group)
	entry(aceAllow, aceEveryone, everyone)
	return b
}

// isTrivialACL tells whether entries mean just the mode, in either form.
func isTrivialACL(mode uint32, aces []byte) bool {
	return bytes.Equal(aces, trivialACL(mode, false)) || bytes.Equal(aces, trivialACL(mode, true))
}

type ace struct {
	typ, flags uint16
	mask       uint32
	id         uint64
	hasID      bool
}

// parseACL splits entries; false means they do not fill aces exactly.
func parseACL(aces []byte) ([]ace, bool) {
	var out []ace
	for len(aces) >= 8 {
		e := ace{typ: le.Uint16(aces), flags: le.Uint16(aces[2:]), mask: le.Uint32(aces[4:])}
		size := 16
		switch {
		case e.flags&0x7040 == aceOwner || e.flags&0x7040 == aceGroup || e.flags&0x7040 == aceEveryone:
			size = 8
		case e.typ >= 5 && e.typ <= 8:
			size = 48
		}
		if size > len(aces) {
			return out, false
		}
		if size > 8 {
			e.id, e.hasID = le.Uint64(aces[8:]), true
		}
		out = append(out, e)
		aces = aces[size:]
	}
	return out, len(aces) == 0
}
