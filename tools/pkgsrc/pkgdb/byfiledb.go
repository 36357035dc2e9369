package pkgdb

import (
	"slices"
	"strings"
)

// ByFileDB is a database of files that can be changed, key by key, as the
// Berkeley DB 1.85 in the genuine tools does: pages are split where they are
// full, are given back when they are empty, and are never merged. So a file that
// was changed here has the pages, and the size, that it would have there; where
// on a page an entry stands is not kept.
//
// Paths or values that the genuine tools do not store (spec pkgsrc.md section
// 6.1), because they have over 1023 bytes, are left out here as well; so is what
// has over 2024 bytes together, which would go to pages of its own there.
type ByFileDB struct {
	root  *btreeNode
	pages uint32   // in the file, header and free ones included
	free  []uint32 // the last one is taken first
}

// btreeNode is a page.
type btreeNode struct {
	no      uint32
	leaf    bool
	entries []btreeEntry
}

// btreeEntry is a path and its value, with their final NULs, or a page and what
// is known of the keys on it: all are at least key, which need not be whole. The
// first key on the first page of a level means nothing.
type btreeEntry struct {
	key, value string
	below      *btreeNode
}

// size is what an entry takes on its page.
func (e *btreeEntry) size() int { return (entryHead + len(e.key) + len(e.value) + 3) &^ 3 }

// used is what a page's head and entries take.
func (n *btreeNode) used() int {
	u := btreeHead
	for i := range n.entries {
		u += 2 + n.entries[i].size()
	}
	return u
}

// btreeStep is a page on the way down, and the index of the entry that was followed.
type btreeStep struct {
	page *btreeNode
	at   int
}

// NewByFileDB makes an empty database.
func NewByFileDB() *ByFileDB {
	return &ByFileDB{root: &btreeNode{no: btreeRoot, leaf: true}, pages: 2}
}

// Get returns the value of a path.
func (db *ByFileDB) Get(path string) (string, bool) {
	_, n, at, ok := db.search(path + "\x00")
	if !ok {
		return "", false
	}
	return strings.TrimSuffix(n.entries[at].value, "\x00"), true
}

// Pairs lists all in the order of their paths.
func (db *ByFileDB) Pairs() []Pair {
	var all []Pair
	var walk func(n *btreeNode)
	walk = func(n *btreeNode) {
		for _, e := range n.entries {
			if n.leaf {
				all = append(all, Pair{strings.TrimSuffix(e.key, "\x00"), strings.TrimSuffix(e.value, "\x00")})
			} else {
				walk(e.below)
			}
		}
	}
	walk(db.root)
	return all
}

// search goes down to the leaf that has the key or should have it; at is its
// place there.
func (db *ByFileDB) search(key string) (path []btreeStep, n *btreeNode, at int, found bool) {
	first := true // on its level
	for n = db.root; ; {
		// The first entry that is not less than the key.
		from := 0
		if !n.leaf && first {
			from = 1
		}
		at, found = slices.BinarySearchFunc(n.entries[min(from, len(n.entries)):], key, func(e btreeEntry, key string) int { return strings.Compare(e.key, key) })
		at += from
		if n.leaf {
			return path, n, at, found
		}
		if !found {
			at = max(at-1, 0)
		}
		path = append(path, btreeStep{n, at})
		first = first && at == 0
		n = n.entries[at].below
	}
}

// Put enters a path, unless it is there already.
func (db *ByFileDB) Put(path, value string) {
	if len(path) >= maxByFileItem || len(value) >= maxByFileItem || len(path)+len(value)+2 > maxByFilePair {
		return
	}
	steps, n, at, found := db.search(path + "\x00")
	if !found {
		db.insert(steps, n, at, btreeEntry{key: path + "\x00", value: value + "\x00"})
	}
}

// insert puts an entry at its place on a page, and splits that where it is full.
// The right half then wants an entry on the page above, behind that of the left
// half, which stays as it is.
func (db *ByFileDB) insert(steps []btreeStep, n *btreeNode, at int, e btreeEntry) {
	if n.used()+2+e.size() <= btreePage {
		n.entries = slices.Insert(n.entries, at, e)
		return
	}
	entries := slices.Insert(slices.Clone(n.entries), at, e)
	if n == db.root {
		kept := keeps(n.entries, at, &e)
		left := &btreeNode{no: db.alloc(), leaf: n.leaf, entries: slices.Clone(entries[:kept])}
		right := &btreeNode{no: db.alloc(), leaf: n.leaf, entries: slices.Clone(entries[kept:])}
		n.leaf = false
		n.entries = []btreeEntry{{below: left}, {key: right.entries[0].key, below: right}}
		return
	}
	right := &btreeNode{no: db.alloc(), leaf: n.leaf}
	kept := len(n.entries)
	if at < kept || !isLast(steps) {
		kept = keeps(n.entries, at, &e)
	} // else keys seem to come in order, and the full page is left alone
	n.entries, right.entries = slices.Clone(entries[:kept]), slices.Clone(entries[kept:])

	up := steps[len(steps)-1]
	steps = steps[:len(steps)-1]
	e = btreeEntry{key: right.entries[0].key, below: right}
	if right.leaf && (up.at+1 > 1 || !isFirst(steps)) {
		cut := btreeEntry{key: shortest(n.entries[kept-1].key, e.key), below: right}
		if cut.size() < e.size() {
			e = cut
		}
	}
	db.insert(steps, up.page, up.at+1, e)
}

// isFirst and isLast tell whether the way leads to the first or last page of a level.
func isFirst(steps []btreeStep) bool {
	return !slices.ContainsFunc(steps, func(s btreeStep) bool { return s.at > 0 })
}

func isLast(steps []btreeStep) bool {
	return !slices.ContainsFunc(steps, func(s btreeStep) bool { return s.at < len(s.page.entries)-1 })
}

// keeps is how many entries stay on a page that is split when a new one comes to
// place at: so many, the new one counted, as make it half full.
func keeps(entries []btreeEntry, at int, e *btreeEntry) int {
	const full = btreePage - btreeHead
	used, skip, off, next := 0, at, 0, 0
	for ; next < len(entries); off++ {
		size := e.size()
		if off != skip {
			size = entries[next].size()
		}
		// The new one must find room on the page where it belongs, and the last
		// one always goes.
		if skip <= off && used+size+2 >= full || next == len(entries)-1 {
			off--
			break
		}
		if off != skip {
			next++
		}
		if used += size + 2; used >= full/2 {
			break
		}
	}
	return off + 1
}

// shortest cuts the key of a page behind the first byte that tells it from the
// key before it.
func shortest(before, key string) string {
	for i := range min(len(before), len(key)) {
		if before[i] != key[i] {
			return key[:i+1]
		}
	}
	return key[:min(len(key), len(before)+1)]
}

// alloc finds a page: a free one, or one more at the file's end.
func (db *ByFileDB) alloc() uint32 {
	if n := len(db.free); n > 0 {
		no := db.free[n-1]
		db.free = db.free[:n-1]
		return no
	}
	db.pages++
	return db.pages - 1
}

// Delete takes a path out; false where it is not there. A page that becomes
// empty is given back, and so are those above that held nothing else.
func (db *ByFileDB) Delete(path string) bool {
	steps, n, at, found := db.search(path + "\x00")
	if !found {
		return false
	}
	n.entries = slices.Delete(n.entries, at, at+1)
	if len(n.entries) > 0 || n == db.root {
		return true
	}
	for _, s := range slices.Backward(steps) {
		if len(s.page.entries) > 1 {
			s.page.entries = slices.Delete(s.page.entries, s.at, s.at+1)
			break
		}
		if s.page == db.root {
			s.page.entries, s.page.leaf = nil, true
			break
		}
		db.free = append(db.free, s.page.no)
	}
	db.free = append(db.free, n.no)
	return true
}
