package dataset

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// file is one object of the file system to be written: a node of the tree, or a
// member of a hidden attribute directory.
type file struct {
	node   *fstree.Node
	base   *object // what it comes from; nil: made since
	num    uint64
	parent *file    // where it was found first
	record *buffers // nil: no record needed
	few    *rare    // see rare
	names  int32

	keep    bool // has base's number, GEN and data
	hidden  bool // an attribute directory or what is in it
	entries bool // a directory whose entries must be written
	fat     bool // its ZAP in the base is a fat one
}

const filesAtOnce = 146 // of 56 bytes: 8 KiB, and no byte between them

// buffers are the attributes of an object that has a record.
type buffers struct{ bonus, spill []byte }

// rare is what few files have: there may be a million of them.
type rare struct {
	kids   []*file // of a directory, in the order of its names
	others []*file // directories of its names but the first
	xattr  *file   // hidden attribute directory of a file that is not kept
	salt   uint64  // of a directory's ZAP in the base
}

// rare may be changed; what a file without one has is all zero.
func (f *file) rare() *rare {
	if f.few == nil {
		f.few = &rare{}
	}
	return f.few
}

func (f *file) rarely() rare {
	if f.few == nil {
		return rare{}
	}
	return *f.few
}

// reachedSet remembers which of a dataset's objects have names, or belong to one
// that has, and whether they are kept. Numbers mostly lie close together.
type reachedSet struct {
	dense []uint8 // by number: 0 not reached, 1 reached, 2 kept
	other map[uint64]uint8
}

func newReachedSet(numbers []uint64) reachedSet {
	n := uint64(len(numbers))
	if n > 0 && numbers[n-1] < 8*n+4096 {
		return reachedSet{dense: make([]uint8, numbers[n-1]+1)}
	}
	return reachedSet{other: make(map[uint64]uint8)}
}

func (r *reachedSet) set(num uint64, kept bool) {
	v := uint8(1)
	if kept {
		v = 2
	}
	if num < uint64(len(r.dense)) {
		r.dense[num] = v
		return
	}
	if r.other == nil {
		r.other = make(map[uint64]uint8)
	}
	r.other[num] = v
}

func (r *reachedSet) get(num uint64) (kept, reached bool) {
	var v uint8
	if num < uint64(len(r.dense)) {
		v = r.dense[num]
	} else {
		v = r.other[num]
	}
	return v == 2, v > 0
}

// plan decides which objects a stream holds.
type plan struct {
	ctx      context.Context
	base     *Dataset
	full     bool
	opts     Options
	files    []*file                // in walk order, hidden ones behind their owners
	named    map[*fstree.Node]*file // directories, and files with several names
	reached  reachedSet
	gen      uint64 // of new objects
	projects bool   // new files get a project id, since base's root has one
	made     []file // not used yet
	root     *file
	layouts  layoutTable
	room     struct{ vals, want []value } // of the file at hand
}

func newPlan(ctx context.Context, base *Dataset, tree *fstree.Tree, opts Options, full bool) (*plan, error) {
	p := &plan{
		ctx: ctx, base: base, full: full, opts: opts,
		named: make(map[*fstree.Node]*file), reached: newReachedSet(base.numbers),
	}
	if opts.Now.Nsec < 0 || opts.Now.Nsec >= 1e9 {
		return nil, fmt.Errorf("the time has %d nanoseconds", opts.Now.Nsec)
	}
	if !full {
		if err := p.reach(base.root, 0); err != nil {
			return nil, fmt.Errorf("the base: %w", err)
		}
	}
	for _, num := range base.numbers {
		// GEN lies at one place in all layouts (section 9).
		if o := base.objects.get(num); o.isFile() {
			in, err := base.stat(o)
			if err != nil {
				return nil, fmt.Errorf("the base: %w", err)
			}
			p.gen = max(p.gen, in.gen)
		}
	}
	if o := base.objects.get(base.root); o != nil {
		in, err := base.stat(o)
		if err != nil {
			return nil, fmt.Errorf("the base: %w", err)
		}
		p.projects = in.holds(attrProjID)
	}
	if p.gen++; p.gen == 0 {
		return nil, errors.New("the base has files of the last possible generation")
	}
	if err := p.walk(tree.Root, nil, 0, 0); err != nil {
		return nil, err
	}
	p.root = p.files[0]
	if err := p.settle(); err != nil {
		return nil, err
	}
	if err := p.number(); err != nil {
		return nil, err
	}
	p.layouts = newLayoutTable(&base.sa)
	for i, f := range p.files {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := p.attributes(f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.path(), err)
		}
	}
	return p, p.layouts.err
}

// reach marks everything that can be found from directory num on.
func (p *plan) reach(num uint64, depth int) error {
	if _, again := p.reached.get(num); again {
		return fmt.Errorf("directory %d is found twice", num)
	}
	p.reached.set(num, false)
	if depth > maxDepth {
		return fmt.Errorf("more than %d directories below each other", maxDepth)
	}
	z, err := p.base.readZap(num)
	if err != nil {
		return err
	}
	for i := range z.entries {
		child := z.entries[i].value & entryObject
		o := p.base.objects.get(child)
		switch {
		case o == nil:
			return fmt.Errorf("directory %d: %q is object %d, which does not exist", num, z.entries[i].name, child)
		case o.typ == zstream.TypeDirectory:
			if err := p.reach(child, depth+1); err != nil {
				return err
			}
			err = p.reachXattr(o)
		default:
			if _, again := p.reached.get(child); !again {
				p.reached.set(child, false)
				err = p.reachXattr(o)
			}
		}
		if err != nil {
			return err
		}
	}
	if depth == 0 {
		return p.reachXattr(p.base.objects.get(num))
	}
	return nil
}

// reachXattr marks an object's hidden attribute directory and its members.
func (p *plan) reachXattr(o *object) error {
	if in, err := p.base.stat(o); err != nil || in.xattr == 0 {
		return err
	} else if _, again := p.reached.get(in.xattr); again {
		return fmt.Errorf("object %d: its attribute directory %d is also another's, or has a name", o.num, in.xattr)
	}
	members, dir, err := p.base.hidden(o)
	if err != nil {
		return err
	}
	p.reached.set(dir, false)
	for i := range members {
		p.reached.set(members[i].value&entryObject, false)
	}
	return nil
}

// hidden returns the number of o's hidden attribute directory, 0 where there is
// none, and its entries.
func (ds *Dataset) hidden(o *object) ([]zapEntry, uint64, error) {
	in, err := ds.stat(o)
	if err != nil || in.xattr == 0 {
		return nil, 0, err
	}
	dir := ds.objects.get(in.xattr)
	if dir == nil || dir.typ != zstream.TypeDirectory {
		return nil, 0, fmt.Errorf("object %d: its attribute directory %d does not exist", o.num, in.xattr)
	}
	z, err := ds.readZap(in.xattr)
	if err != nil {
		return nil, 0, err
	}
	for i := range z.entries {
		if m := ds.objects.get(z.entries[i].value & entryObject); m == nil || m.typ != zstream.TypePlainFile {
			return nil, 0, fmt.Errorf("object %d: its attribute %q is no file", o.num, z.entries[i].name)
		}
	}
	return z.entries, in.xattr, nil
}

// walk enters a node and what is below it; path is the length of its path.
func (p *plan) walk(n *fstree.Node, parent *file, depth, path int) error {
	if same := p.named[n]; same != nil && !n.IsDir() {
		same.names++
		same.rare().others = append(same.rare().others, parent)
		parent.few.kids = append(parent.few.kids, same)
		return nil
	}
	f := p.newFile()
	*f = file{node: n, parent: parent, names: 1}
	if parent == nil {
		f.parent = f
	} else {
		parent.few.kids = append(parent.few.kids, f)
	}
	if n.Names() > 1 || n.IsDir() { // a directory has one, but for circles
		if same := p.named[n]; same != nil {
			return fmt.Errorf("%s: the directory is also %s", f.path(), same.path())
		}
		p.named[n] = f
	}
	if len(p.files)%1024 == 0 && p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d directories below each other", f.path(), maxDepth)
	}
	if n.IsDir() && path > maxPath {
		return fmt.Errorf("%.200s…: a path of more than %d bytes", f.path(), maxPath)
	}
	if err := checkNode(n); err != nil {
		return fmt.Errorf("%s: %w", f.path(), err)
	}
	p.files = append(p.files, f)
	if err := p.origin(f); err != nil {
		return fmt.Errorf("%s: %w", f.path(), err)
	}
	if !n.IsDir() {
		return nil
	}
	f.rare().kids = make([]*file, 0, n.Len())
	for _, name := range n.List() {
		if !validName(name) {
			return fmt.Errorf("%s: file name %q cannot be stored", f.path(), name)
		}
		if err := p.walk(n.Child(name), f, depth+1, path+1+len(name)); err != nil {
			return err
		}
	}
	return nil
}

// newFile makes files some at a time: there may be a million of them.
func (p *plan) newFile() *file {
	if len(p.made) == 0 {
		p.made = make([]file, filesAtOnce)
	}
	f := &p.made[0]
	p.made = p.made[1:]
	return f
}

// path is one of the file's names, for errors. It is put together only there:
// paths would be a large part of what is in memory.
func (f *file) path() string {
	var parts []string
	end := ""
	for ; f.hidden; f = f.parent {
		if end == "" && f.parent.hidden {
			end = " (attribute " + f.name() + ")"
		} else if end == "" {
			end = " (attributes)"
		}
	}
	for ; f.parent != f; f = f.parent {
		parts = append(parts, f.name())
	}
	parts = append(parts, ".")
	slices.Reverse(parts)
	return strings.Join(parts, "/") + end
}

// name is the file's in its parent.
func (f *file) name() string {
	dir := f.parent
	return dir.node.List()[slices.Index(dir.few.kids, f)]
}

func checkNode(n *fstree.Node) error {
	for _, t := range []fstree.Time{n.ATime, n.MTime, n.CTime, n.BTime} {
		if t.Nsec < 0 || t.Nsec >= 1e9 {
			return fmt.Errorf("a time with %d nanoseconds", t.Nsec)
		}
	}
	switch n.Type() {
	case fstree.TypeDir, fstree.TypeFifo, fstree.TypeSocket, fstree.TypeChar, fstree.TypeBlock:
	case fstree.TypeRegular:
		if s := n.Size(); s < 0 || s > maxSize {
			return fmt.Errorf("a size of %d bytes", s)
		}
	case fstree.TypeSymlink:
		if len(n.Target) == 0 || len(n.Target) >= maxTarget || slices.Contains([]byte(n.Target), 0) {
			return fmt.Errorf("a symbolic link to %d bytes, or to a name with NUL", len(n.Target))
		}
	default:
		return fmt.Errorf("mode %#o has no file type", n.Mode)
	}
	if n.Mode > 0o177777 {
		return fmt.Errorf("mode %#o", n.Mode)
	}
	return nil
}

// origin finds the object a node comes from, and whether its data is still that.
func (p *plan) origin(f *file) error {
	n := f.node
	if p.full || n.Base == 0 {
		return nil
	}
	kept, named := p.reached.get(n.Base)
	o := p.base.objects.get(n.Base)
	if !named || kept || !o.isFile() {
		return nil // not of this base, or another copy of the node came first
	}
	in, err := p.base.stat(o)
	if err != nil {
		return err
	}
	if uint32(in.mode)&fstree.TypeMask != n.Type() {
		return nil
	}
	f.base, f.keep = o, true
	switch n.Type() {
	case fstree.TypeRegular:
		f.keep = n.Size() == int64(in.size) && (in.size == 0 || n.Content == fstree.Content(content{p.base, o, int64(in.size)}))
	case fstree.TypeSymlink:
		f.keep = n.Target == string(in.target)
	case fstree.TypeChar, fstree.TypeBlock:
		f.keep = n.Rdev == in.rdev
	}
	if f.keep {
		p.reached.set(o.num, true)
	}
	return nil
}

// settle finds the directories whose entries differ, and gives up the numbers
// of objects that cannot be changed in place but must be (section 15: those with
// spill blocks, large dnodes, large blocks; and those without room for more ACL
// entries). One such object changes its
// directory, and that may be one of them again.
func (p *plan) settle() error {
	var look []*file
	for _, f := range p.files {
		if f.keep && f.node.IsDir() {
			z, err := p.base.readZap(f.base.num)
			if err != nil {
				return fmt.Errorf("%s: %w", f.path(), err)
			}
			f.fat, f.rare().salt = z.fat, z.salt
			f.entries = p.entriesDiffer(f, z)
		}
		if f.awkward() {
			look = append(look, f)
		}
	}
	for len(look) > 0 {
		f := look[len(look)-1]
		look = look[:len(look)-1]
		if !f.keep {
			continue
		}
		differs, err := p.differs(f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.path(), err)
		}
		if differs {
			if look, err = p.giveUp(f, look); err != nil {
				return err
			}
		}
	}
	// Hidden attributes stay with their files.
	behind := make(map[*file][]*file)
	more := 0
	for _, f := range p.files {
		if f.base == nil {
			continue
		}
		hidden, err := p.settleHidden(f)
		if err != nil {
			return fmt.Errorf("%s: attributes: %w", f.path(), err)
		}
		if len(hidden) > 0 {
			behind[f] = hidden
			more += len(hidden)
		}
	}
	if more > 0 {
		files := make([]*file, 0, len(p.files)+more)
		for _, f := range p.files {
			files = append(append(files, f), behind[f]...)
		}
		p.files = files
	}
	return nil
}

// settleHidden keeps f's hidden attribute directory. If f has another number
// now, the directory's PARENT changes: it and its members are returned, to be
// written behind f.
func (p *plan) settleHidden(f *file) ([]*file, error) {
	members, dirNum, err := p.base.hidden(f.base)
	if err != nil || dirNum == 0 {
		return nil, err
	}
	if f.keep {
		p.reached.set(dirNum, true)
		for i := range members {
			p.reached.set(members[i].value&entryObject, true)
		}
		return nil, nil
	}
	var hidden []*file
	enter := func(num uint64, parent *file) (*file, error) {
		n, err := p.base.fsNode(num)
		if err != nil {
			return nil, err
		}
		h := p.newFile()
		*h = file{node: n, base: p.base.objects.get(num), parent: parent, hidden: true, names: 1}
		hidden = append(hidden, h)
		return h, nil
	}
	dir, err := enter(dirNum, f)
	if err != nil {
		return nil, err
	}
	f.rare().xattr = dir
	z, err := p.base.readZap(dirNum)
	if err != nil {
		return nil, err
	}
	dir.fat, dir.rare().salt = z.fat, z.salt
	dir.keep = dir.base.standsAlone()
	p.reached.set(dirNum, dir.keep)
	for i := range members {
		num := members[i].value & entryObject
		m, err := enter(num, dir)
		if err != nil {
			return nil, err
		}
		m.keep = dir.keep || m.base.standsAlone()
		p.reached.set(num, m.keep)
		dir.entries = dir.entries || !m.keep
		dir.node.Add(members[i].name, m.node)
		dir.few.kids = append(dir.few.kids, m)
	}
	dir.entries = dir.entries || !dir.keep
	return hidden, nil
}

// entriesDiffer compares a directory with what it was. Children count by the
// object they keep.
func (p *plan) entriesDiffer(f *file, z *zapTable) bool {
	if len(f.few.kids) != len(z.entries) {
		return true
	}
	for i, name := range f.node.List() { // in the order of the entries
		e, kid := &z.entries[i], f.few.kids[i]
		if e.name != name || !kid.keep || e.value != kid.base.num|uint64(kid.node.Type()>>12)<<entryType {
			return true
		}
	}
	return false
}

// awkward tells of a kept object whether it cannot be changed in place.
func (f *file) awkward() bool {
	return f.keep && (!f.base.standsAlone() || len(f.base.bonus) > bonusRoom-8*maxTrivial)
}

// giveUp takes f's number from it, and appends to look what may differ by that:
// directories it has names in, and what says that it is in f.
func (p *plan) giveUp(f *file, look []*file) ([]*file, error) {
	f.keep = false
	p.reached.set(f.base.num, false)
	for i := -1; i < len(f.rarely().others); i++ {
		d := f.parent
		if i >= 0 {
			d = f.few.others[i]
		}
		if d.keep && !d.entries {
			if d.entries = true; d.awkward() {
				look = append(look, d)
			}
		}
	}
	for _, kid := range f.rarely().kids {
		if !kid.awkward() {
			continue
		}
		in, err := p.base.stat(kid.base)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kid.path(), err)
		}
		if in.parent == f.base.num {
			look = append(look, kid)
		}
	}
	return look, nil
}

// differs tells whether a kept object needs a record.
func (p *plan) differs(f *file) (bool, error) {
	if f.entries {
		return true, nil
	}
	in, vals, err := p.base.inode(f.base, p.room.vals[:0])
	if err != nil {
		return false, err
	}
	for i, v := range p.wanted(f, &in, vals, func(f *file) uint64 {
		if f.keep {
			return f.base.num
		}
		return math.MaxUint64
	}) {
		if i >= len(vals) || v.id != vals[i].id || string(v.data) != string(vals[i].data) {
			return true, nil
		}
	}
	return false, nil
}

// number gives new objects the numbers above the base's, in walk order.
func (p *plan) number() error {
	next := uint64(1)
	for _, num := range p.base.numbers {
		next = max(next, num+uint64(p.base.objects.get(num).slots))
	}
	for _, f := range p.files {
		if f.keep {
			f.num = f.base.num
			continue
		}
		f.num = next
		next++
	}
	if next > entryObject {
		return errors.New("the base leaves no object numbers for new files")
	}
	return nil
}

// attributes decides whether an object needs a record, and makes its bonus
// buffer if so.
func (p *plan) attributes(f *file) error {
	var in inode
	var vals []value
	var err error
	if f.base != nil {
		if in, vals, err = p.base.inode(f.base, p.room.vals[:0]); err != nil {
			return err
		}
	}
	want := p.wanted(f, &in, vals, func(f *file) uint64 { return f.num })
	if f.keep && !f.entries && slices.EqualFunc(want, vals, func(a, b value) bool {
		return a.id == b.id && string(a.data) == string(b.data)
	}) {
		return nil
	}
	f.record = &buffers{}
	f.record.bonus, f.record.spill, err = p.base.sa.build(want, p.layouts.number)
	if err == nil && f.keep && f.record.spill != nil {
		err = errors.New("its attributes have outgrown its object")
	}
	return err
}
