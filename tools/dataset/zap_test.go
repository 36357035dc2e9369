package dataset

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// parseBlocks reads what buildZap made.
func parseBlocks(t *testing.T, z zapBlocks) *zapTable {
	t.Helper()
	ds, o := zapObject(bytes.Join(z.blocks, nil), z.size)
	table, err := ds.parseZap(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range table.faults {
		t.Error(f)
	}
	return table
}

// Names with the same hash are told apart by their cd, in both forms; the kernel
// panics at two entries that have both in common.
func TestZapCollisions(t *testing.T) {
	t.Parallel()
	const salt = 0x1234567
	seen := make(map[uint64]string)
	var same []zapEntry
	for i := 0; len(same) < 6; i++ {
		name := fmt.Sprintf("%x", uint64(i)*0x9E3779B97F4A7C15) // CRCs of like names hardly collide
		h := zapHash(salt, name)
		if old, ok := seen[h]; ok {
			same = append(same, zapEntry{name: old, value: uint64(i)}, zapEntry{name: name, value: uint64(i + 1)})
		}
		seen[h] = name
	}
	slices.SortFunc(same, func(a, b zapEntry) int { return strings.Compare(a.name, b.name) })
	for _, fat := range []bool{false, true} {
		z, err := buildZap(slices.Clone(same), salt, fat, fatBlock)
		if err != nil {
			t.Fatal(err)
		}
		got := parseBlocks(t, z)
		if got.fat != fat || len(got.entries) != len(same) {
			t.Errorf("fat %v, %d entries", got.fat, len(got.entries))
		}
		ones := 0
		for i, e := range got.entries {
			if e.name != same[i].name || e.value != same[i].value {
				t.Errorf("%+v, want %+v", e, same[i])
			}
			ones += int(e.cd)
		}
		if ones != len(same)/2 {
			t.Errorf("%d entries with cd 1, want %d", ones, len(same)/2)
		}
	}
}

// The borders between micro and fat, and between an embedded pointer table and
// one of its own (spec zfs-stream.md section 12).
func TestZapForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		count, nameLen int
		fat, external  bool
		size           int
	}{
		{0, 0, false, false, 512},
		{7, 10, false, false, 512},
		{8, 10, false, false, 1024},
		{2047, 49, false, false, 131072},
		{2048, 10, true, false, fatBlock},
		{1, 49, false, false, 512},
		{1, 50, true, false, fatBlock},
		{3, 255, true, false, fatBlock},
		{100_000, 120, true, true, fatBlock},
	} {
		var entries []zapEntry
		for i := range tt.count {
			entries = append(entries, zapEntry{name: fmt.Sprintf("%0*d", tt.nameLen, i), value: uint64(i)})
		}
		z, err := buildZap(entries, 77, false, fatBlock)
		if err != nil {
			t.Fatal(err)
		}
		if z.size != tt.size {
			t.Errorf("%d names of %d bytes: blocks of %d, want %d", tt.count, tt.nameLen, z.size, tt.size)
		}
		if ext := tt.fat && le.Uint64(z.blocks[0][24:]) != 0; ext != tt.external {
			t.Errorf("%d names of %d bytes: a table of its own: %v", tt.count, tt.nameLen, ext)
		}
		got := parseBlocks(t, z)
		if got.fat != tt.fat || len(got.entries) != tt.count {
			t.Errorf("%d names of %d bytes: fat %v, %d entries", tt.count, tt.nameLen, got.fat, len(got.entries))
		}
	}
	if _, err := buildZap([]zapEntry{{name: strings.Repeat("x", 256)}}, 1, false, fatBlock); err == nil {
		t.Error("a name of 256 bytes was taken")
	}
	if _, err := buildZap(nil, 0, false, fatBlock); err == nil {
		t.Error("salt 0 was taken")
	}
}

// A new layout has the number entries + 2; where that is taken none can be added.
func TestLayoutNumbers(t *testing.T) {
	t.Parallel()
	sa := open(t, "tiny-full").sa
	table := newLayoutTable(&sa)
	for num, ids := range sa.layouts {
		got := table.number(ids)
		if !slices.Equal(sa.layouts[got], ids) || got > num {
			t.Errorf("layout %d is found as %d", num, got)
		}
	}
	want := uint16(len(sa.layouts) + 2)
	if got := table.number([]uint16{5, 6, 17}); got != want || table.added != 1 {
		t.Errorf("number %d, want %d", got, want)
	}
	if got := table.number([]uint16{5, 6, 17}); got != want || table.added != 1 || table.err != nil {
		t.Errorf("again: number %d, want %d", got, want)
	}
	gap := saTables{layouts: map[uint16][]uint16{2: {5}, 4: {6}}}
	table = newLayoutTable(&gap)
	if table.number([]uint16{7}); table.err == nil {
		t.Error("a layout was added where the numbers have a gap")
	}
}

// Where attributes go when they do not fit (section 9).
func TestSpillBorder(t *testing.T) {
	t.Parallel()
	sa := open(t, "tiny-full").sa
	for _, tt := range []struct{ target, bonus, spill int }{
		{1, 177, 0}, {101, 277, 0}, {144, 320, 0}, {145, 192, 512}, {150, 192, 512}, {504, 192, 512}, {505, 192, 1024},
	} {
		l := attrList{sa: &sa}
		for _, a := range []attr{attrMode, attrSize, attrGen, attrUID, attrGID, attrParent, attrFlags, attrATime, attrMTime, attrCTime, attrCRTime, attrLinks, attrACLCount} {
			l.set(a, make([]byte, attrLengths[a]))
		}
		l.set(attrACEs, make([]byte, 24))
		l.set(attrSymlink, make([]byte, tt.target))
		table := newLayoutTable(&sa)
		bonus, spill, err := sa.build(l.vals, table.number)
		if err != nil || l.err != nil || len(bonus) != tt.bonus || len(spill) != tt.spill {
			t.Errorf("target of %d bytes: bonus %d, spill %d (%v, %v)", tt.target, len(bonus), len(spill), err, l.err)
		}
	}
}

func TestTrivialACL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode uint32
		dir  bool
		want string
	}{
		{0o644, false, "0:1000:1e019f,0:2040:120089,0:4000:120089"},
		{0o755, true, "0:1000:1e01ff,0:2040:1200a9,0:4000:1200a9"},
		{0o4604, false, "0:1000:1,1:2040:1,0:1000:1e019f,0:2040:120088,0:4000:120089"},
		{0o077, false, "1:1000:27,0:1000:1e0198,0:2040:1200af,0:4000:1200af"},
		{0o705, false, "0:1000:21,1:2040:21,0:1000:1e01bf,0:2040:120088,0:4000:1200a9"},
	} {
		acl := trivialACL(tt.mode, tt.dir)
		if got := aclString(acl); got != tt.want {
			t.Errorf("%o: %s, want %s", tt.mode, got, tt.want)
		}
		if !isTrivialACL(tt.mode, acl) || isTrivialACL(tt.mode^0o001, acl) {
			t.Errorf("%o: not told from others", tt.mode)
		}
	}
}
