package dataset

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// WriteIncrement writes the stream that turns base into tree. The tree should
// come from base.Tree: nodes with their Base are compared with its objects, and
// what did not change costs nothing; any other node is new.
//
// Attributes, names and places of an object change under its number. A file whose
// content changed gets a new number and GEN, the old one is freed; so does one
// that cannot be changed in place (spec zfs-stream.md section 15). Hidden
// extended attributes, and ACLs of files whose permissions stay, are kept; where
// permissions change the ACL becomes the mode's. An object that needs a record has
// Now as its change time, unless its node was given another.
func WriteIncrement(ctx context.Context, w io.Writer, base *Dataset, tree *fstree.Tree, opts Options) (Stats, error) {
	if opts.ToGUID == base.GUID() {
		return Stats{}, errors.New("writing the increment: it would have the guid of its base")
	}
	return write(ctx, w, base, tree, opts, false)
}

// WriteFull writes the stream of a new file system that holds tree. Where nodes
// come from does not matter.
func WriteFull(ctx context.Context, w io.Writer, tree *fstree.Tree, opts Options) (Stats, error) {
	return write(ctx, w, emptyDataset(), tree, opts, true)
}

func write(ctx context.Context, w io.Writer, base *Dataset, tree *fstree.Tree, opts Options, full bool) (Stats, error) {
	what := "increment"
	if full {
		what = "full stream"
	}
	wrap := func(err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fault.Step.Wrap(fmt.Errorf("writing the %s: %w", what, err))
	}
	p, err := newPlan(ctx, base, tree, opts, full)
	if err != nil {
		return Stats{}, wrap(err)
	}
	buf := bufio.NewWriterSize(w, 1<<18)
	e := emitter{plan: p, w: zstream.NewWriter(buf), zero: make([]byte, zstream.MaxBlock), buf: make([]byte, zstream.MaxBlock)}
	begin := zstream.Begin{CreationTime: opts.CreationTime, ToGUID: opts.ToGUID, ToName: opts.ToName}
	if !full {
		begin.FromGUID = base.GUID()
	}
	e.w.Begin(begin)
	if err := e.emit(); err != nil {
		return Stats{}, wrap(err)
	}
	if err := e.w.End(); err != nil {
		return Stats{}, wrap(err)
	}
	if err := buf.Flush(); err != nil {
		return Stats{}, wrap(err)
	}
	e.stats.Bytes, e.stats.Records = e.w.Bytes(), e.w.Records()
	return e.stats, nil
}

// emptyDataset is a file system without files: what WriteFull starts from.
func emptyDataset() *Dataset {
	ds := &Dataset{saAttrs: 2, queue: 3, regObj: 4, layObj: 5}
	for num, typ := range map[uint64]uint8{
		masterNode: zstream.TypeMasterNode, ds.saAttrs: zstream.TypeSAMasterNode, ds.queue: zstream.TypeUnlinkedSet,
		ds.regObj: zstream.TypeSARegistry, ds.layObj: zstream.TypeSALayouts,
	} {
		ds.objects.set(num, &object{num: num, typ: typ, slots: 1, blksz: 512})
		ds.numbers = append(ds.numbers, num)
	}
	slices.Sort(ds.numbers)
	ds.master = map[string]uint64{
		"VERSION": 5, "SA_ATTRS": ds.saAttrs, "DELETE_QUEUE": ds.queue,
		"utf8only": 0, "normalization": 0, "casesensitivity": 0,
	}
	registry := registryOf()
	ds.sa, _ = newSATables(registry, nil)
	return ds
}

// registryOf is the registry of a new file system: the attributes every ZFS
// knows, under the ids it gives them.
func registryOf() map[string]uint64 {
	m := make(map[string]uint64)
	for a := range attrDXattr {
		m[attrNames[a]] = uint64(a) | uint64(attrSwaps[a])<<16 | uint64(attrLengths[a])<<24
	}
	return m
}

// emitter writes a plan's records in one ascending pass over the numbers.
type emitter struct {
	plan  *plan
	w     *zstream.Writer
	zero  []byte
	buf   []byte
	names []zapEntry // of the directory at hand
	stats Stats
}

// item is an object with records: a file, a freed one (neither set), or a system
// object whose ZAP is written.
type item struct {
	num uint64
	f   *file
	zap func() ([]zapEntry, error)
}

func (e *emitter) emit() error {
	p := e.plan
	var items []item
	for _, f := range p.files {
		if f.record != nil {
			items = append(items, item{num: f.num, f: f})
		}
	}
	for _, num := range p.base.numbers {
		if kept, reached := p.reached.get(num); reached && !kept {
			items = append(items, item{num: num})
		}
	}
	items = append(items, e.system()...)
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.num, b.num) })
	for i := 0; i < len(items); i++ {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		it := &items[i]
		var err error
		switch {
		case it.zap != nil:
			err = e.systemZap(it)
		case it.f != nil:
			if err = e.file(it.f); err != nil {
				err = fmt.Errorf("%s: %w", it.f.path(), err)
			}
		default:
			// A run of numbers that are all in use, so that every receiver
			// frees the same (section 14).
			n := 1
			for i+n < len(items) && items[i+n].num == it.num+uint64(n) && items[i+n].f == nil && items[i+n].zap == nil {
				n++
			}
			e.w.FreeObjects(it.num, uint64(n))
			e.stats.Freed += n
			i += n - 1
		}
		if err == nil {
			err = e.w.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// system lists the system objects that change: all of a new file system, else
// the layouts if some were added, and the master node if the root has moved.
func (e *emitter) system() []item {
	p, ds := e.plan, e.plan.base
	ints := func(m map[string]uint64) func() ([]zapEntry, error) {
		return func() ([]zapEntry, error) {
			var out []zapEntry
			for name, v := range m {
				out = append(out, zapEntry{name: name, value: v})
			}
			slices.SortFunc(out, func(a, b zapEntry) int { return cmp.Compare(a.name, b.name) })
			return out, nil
		}
	}
	var items []item
	if p.full {
		items = append(items,
			item{num: ds.saAttrs, zap: ints(map[string]uint64{"REGISTRY": ds.regObj, "LAYOUTS": ds.layObj})},
			item{num: ds.queue, zap: ints(nil)},
			item{num: ds.regObj, zap: ints(registryOf())})
	}
	if p.full || p.root.num != ds.root {
		items = append(items, item{num: masterNode, zap: func() ([]zapEntry, error) {
			if p.full {
				m := maps.Clone(ds.master)
				m["ROOT"] = p.root.num
				return ints(m)()
			}
			z, err := ds.readZap(masterNode)
			if err != nil {
				return nil, err
			}
			for i := range z.entries {
				if z.entries[i].name == "ROOT" {
					z.entries[i].value = p.root.num
				}
			}
			return z.entries, nil
		}})
	}
	if p.layouts.added > 0 {
		items = append(items, item{num: ds.layObj, zap: func() ([]zapEntry, error) { return p.layouts.all, nil }})
	}
	return items
}

func (e *emitter) systemZap(it *item) error {
	ds := e.plan.base
	o := ds.objects.get(it.num)
	entries, err := it.zap()
	if err != nil {
		return err
	}
	salt, fatSize, fat := newSalt(it.num), fatBlock, o.typ == zstream.TypeSALayouts
	if !e.plan.full {
		z, err := ds.readZap(it.num)
		if err != nil {
			return err
		}
		salt, fat = z.salt, z.fat
		if z.fat {
			fatSize = int(o.blksz) // no receiver minds a kept block size
		}
		e.stats.Changed++
	} else {
		e.stats.Created++
	}
	z, err := buildZap(entries, salt, fat, fatSize)
	if err != nil {
		return fmt.Errorf("system object %d: %w", it.num, err)
	}
	if len(o.bonus) != 0 || o.slots > 1 {
		return fmt.Errorf("system object %d has a bonus buffer or a large dnode", it.num)
	}
	e.w.Object(it.num, uint32(o.typ), 0, uint32(z.size), nil)
	e.zapBlocks(uint32(o.typ), z)
	return nil
}

// newSalt is the salt of a new ZAP; any number but 0 will do.
func newSalt(num uint64) uint64 { return num*0x9E3779B97F4A7C15 | 1 }

func (e *emitter) zapBlocks(typ uint32, z zapBlocks) {
	e.w.FreeFrom(uint64(len(z.blocks)) * uint64(z.size))
	for i, b := range z.blocks {
		e.w.Write(typ, uint64(i)*uint64(z.size), b)
	}
}

// file writes an object that is new or changed.
func (e *emitter) file(f *file) error {
	if f.keep {
		e.stats.Changed++
	} else {
		e.stats.Created++
	}
	switch {
	case f.node.IsDir() && (f.entries || !f.keep):
		if err := e.directory(f); err != nil {
			return err
		}
	case f.keep:
		// The data stays. Freeing from its end on is what real senders do.
		o := f.base
		bs := uint64(o.blksz)
		end := max(o.blocks(), 1, (uint64(f.node.Size())+bs-1)/bs)
		e.w.Object(f.num, uint32(o.typ), zstream.TypeSA, o.blksz, f.record.bonus)
		if end < math.MaxUint64/bs {
			e.w.FreeFrom(end * bs)
		}
	default:
		if err := e.data(f); err != nil {
			return err
		}
	}
	if f.record.spill != nil {
		e.w.Spill(f.record.spill)
	}
	return nil
}

func (e *emitter) directory(f *file) error {
	names := f.node.List()
	e.names = e.names[:0]
	for i, kid := range f.few.kids {
		e.names = append(e.names, zapEntry{name: names[i], value: kid.num | uint64(kid.node.Type()>>12)<<entryType})
	}
	salt, fatSize := f.rarely().salt, fatBlock
	if salt == 0 {
		salt = newSalt(f.num)
	}
	if f.keep && f.fat {
		fatSize = int(f.base.blksz)
	}
	z, err := buildZap(e.names, salt, false, fatSize)
	if err != nil {
		return err
	}
	e.w.Object(f.num, zstream.TypeDirectory, zstream.TypeSA, uint32(z.size), f.record.bonus)
	e.zapBlocks(zstream.TypeDirectory, z)
	return nil
}

// data writes a new object that is no directory. Block sizes are those of the
// ZPL (section 13); blocks of zeros are left out.
func (e *emitter) data(f *file) error {
	var size int64
	if f.node.IsRegular() {
		size = f.node.Size()
	}
	bs := min(max((size+511)&^511, 512), zstream.MaxBlock)
	e.w.Object(f.num, zstream.TypePlainFile, zstream.TypeSA, uint32(bs), f.record.bonus)
	e.w.FreeFrom(uint64(max((size+bs-1)/bs, 1)) * uint64(bs))
	sparse, _ := f.node.Content.(interface{ nextData(int64) int64 })
	for off := int64(0); off < size; off += bs {
		if sparse != nil {
			if off = sparse.nextData(off) / bs * bs; off >= size {
				break
			}
		}
		if off/bs%64 == 0 && e.plan.ctx.Err() != nil {
			return e.plan.ctx.Err()
		}
		n := min(bs, size-off)
		got, err := f.node.Content.ReadAt(e.buf[:n], off)
		if int64(got) < n {
			return fmt.Errorf("reading %d bytes at %d: %w", n, off, eof(err))
		}
		clear(e.buf[n:bs])
		if bytes.Equal(e.buf[:bs], e.zero[:bs]) {
			continue
		}
		e.w.Write(zstream.TypePlainFile, uint64(off), e.buf[:bs])
		if e.w.Err() != nil {
			return e.w.Err()
		}
	}
	return nil
}
