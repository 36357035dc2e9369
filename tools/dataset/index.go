package dataset

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// An index file holds what reading the streams of a chain finds out: begin of
// the last stream and all objects, without file content. All numbers are
// little-endian. It belongs to a cache: one that is missing, damaged or of other
// streams is made anew.
//
//	magic, key        8 + 32 bytes; the key is over the digests of all streams
//	checksum          CRC-32C of everything that follows
//	begin             48 bytes and the name, padded to 264
//	counts            of objects, of runs, bytes of bonus and spill buffers
//	objects, runs     32 and 48 bytes each
//	buffers           bonus, then spill, of each object
const (
	indexMagic   = "engbldI1"
	indexHead    = 8 + 32 + 4
	indexBegin   = 48 + 264
	indexCounts  = 3 * 8
	indexObject  = 32
	indexRun     = 48
	maxIndexFile = 4 << 30 // bytes; a dataset of a million files has some 300 MiB
)

// Index is what a full stream holds, before it is known under which name the
// stream is kept.
type Index struct {
	ds   *Dataset
	read int64
	mute counted
}

// counted counts warnings.
type counted int

func (c *counted) Warnf(string, ...any) { *c++ }

// Scan reads a full stream as it passes by, up to its END, as Read does. What it
// returns can be saved once digest and size are known.
func Scan(ctx context.Context, r io.Reader) (*Index, error) {
	x := &Index{ds: &Dataset{layers: []Layer{{Name: "passing by"}}}}
	in := bufio.NewReaderSize(r, 1<<18)
	var err error
	x.read, err = x.ds.apply(ctx, 0, in, ReadOptions{Warn: &x.mute})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Save writes the index file of a layer with this digest and size, for Read to
// find. A stream about which there is something to warn gets none.
func (x *Index) Save(layer Layer) error {
	if x.mute > 0 || x.read != layer.Size {
		return nil
	}
	return x.ds.save([]Layer{layer})
}

// indexKey tells chains apart; ok is false where a digest is missing.
func indexKey(layers []Layer) (key [sha256.Size]byte, ok bool) {
	h := sha256.New()
	for _, l := range layers {
		if l.Digest == "" {
			return key, false
		}
		fmt.Fprintf(h, "%s %d\n", l.Digest, l.Size)
	}
	h.Sum(key[:0])
	return key, true
}

// save writes the index of a chain beside its last stream.
func (ds *Dataset) save(layers []Layer) error {
	last := layers[len(layers)-1]
	key, ok := indexKey(layers)
	if !ok || last.Index == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(last.Index), ".engbld-"+filepath.Base(last.Index)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already if all went well
	defer f.Close()
	if _, err := f.Write(make([]byte, indexHead)); err != nil {
		return err
	}
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<18)
	ds.encode(w)
	if err := w.Flush(); err != nil {
		return err
	}
	head := append([]byte(indexMagic), key[:]...)
	if _, err := f.WriteAt(le.AppendUint32(head, sum.Sum32()), 0); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o444), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), last.Index)
}

// encode writes what follows the checksum; errors stay in w.
func (ds *Dataset) encode(w *bufio.Writer) {
	numbers := ds.sorted()
	runs, buffers := 0, 0
	for _, o := range ds.objects.all() {
		runs += len(o.runs)
		buffers += len(o.bonus) + len(o.spilled())
	}
	var scratch [indexBegin + indexCounts]byte
	b := scratch[:0]
	b = le.AppendUint64(b, uint64(ds.begin.Features))
	b = le.AppendUint64(b, uint64(ds.begin.CreationTime))
	b = le.AppendUint32(b, ds.begin.ObjsetType)
	b = le.AppendUint32(b, ds.begin.Flags)
	b = le.AppendUint64(b, ds.begin.ToGUID)
	b = le.AppendUint64(b, ds.begin.FromGUID)
	b = le.AppendUint64(b, uint64(len(ds.begin.ToName)))
	copy(scratch[len(b):indexBegin], ds.begin.ToName)
	b = scratch[:indexBegin]
	for _, n := range []int{len(numbers), runs, buffers} {
		b = le.AppendUint64(b, uint64(n))
	}
	w.Write(b)
	for _, num := range numbers {
		o := ds.objects.get(num)
		b = le.AppendUint64(scratch[:0], num)
		b = le.AppendUint32(b, o.blksz)
		b = append(b, o.typ, o.bonusType, o.slots, 0)
		b = le.AppendUint32(b, uint32(len(o.bonus)))
		b = le.AppendUint32(b, uint32(len(o.spilled())))
		b = le.AppendUint64(b, uint64(len(o.runs)))
		w.Write(b)
	}
	for _, num := range numbers {
		for _, r := range ds.objects.get(num).runs {
			b = le.AppendUint64(scratch[:0], r.first)
			stride, psize := r.size, uint32(0)
			if r.comp != 0 {
				stride, psize = 0, r.size
			}
			b = le.AppendUint64(b, uint64(r.n))
			b = le.AppendUint64(b, uint64(r.off))
			b = le.AppendUint64(b, uint64(stride))
			b = le.AppendUint32(b, uint32(r.layer))
			b = le.AppendUint32(b, psize)
			b = le.AppendUint64(b, uint64(r.comp))
			w.Write(b)
		}
	}
	for _, num := range numbers {
		w.Write(ds.objects.get(num).bonus)
		w.Write(ds.objects.get(num).spilled())
	}
}

// load reads the index of as many of the layers as there is one for, and returns
// their number.
func (ds *Dataset) load(layers []Layer) int {
	for n := len(layers); n > 0; n-- {
		if key, ok := indexKey(layers[:n]); ok && layers[n-1].Index != "" && ds.loadFile(layers[n-1].Index, key, n) == nil {
			return n
		}
	}
	return 0
}

var errIndex = errors.New("index: not usable")

func (ds *Dataset) loadFile(name string, key [sha256.Size]byte, layers int) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < indexHead+indexBegin+indexCounts || info.Size() > maxIndexFile {
		return errIndex
	}
	raw := make([]byte, info.Size())
	if _, err := io.ReadFull(f, raw); err != nil {
		return err
	}
	if string(raw[:8]) != indexMagic || [sha256.Size]byte(raw[8:40]) != key ||
		crc32.Checksum(raw[indexHead:], crc32.MakeTable(crc32.Castagnoli)) != le.Uint32(raw[40:]) {
		return errIndex
	}
	return ds.decode(raw[indexHead:], layers)
}

func (ds *Dataset) decode(b []byte, layers int) error {
	begin := zstream.Begin{
		Features: zstream.Feature(le.Uint64(b)), CreationTime: int64(le.Uint64(b[8:])), ObjsetType: le.Uint32(b[16:]),
		Flags: le.Uint32(b[20:]), ToGUID: le.Uint64(b[24:]), FromGUID: le.Uint64(b[32:]),
	}
	length := le.Uint64(b[40:])
	if length > indexBegin-48 {
		return errIndex
	}
	begin.ToName = string(b[48 : 48+length])
	counts := b[indexBegin:]
	b = b[indexBegin+indexCounts:]
	objects, runs, buffers := le.Uint64(counts), le.Uint64(counts[8:]), le.Uint64(counts[16:])
	size := uint64(len(b))
	if objects > size/indexObject || runs > size/indexRun || buffers > size ||
		objects*indexObject+runs*indexRun+buffers != size {
		return errIndex
	}
	rows := b[objects*indexObject:][:runs*indexRun]
	data := b[size-buffers:]
	// Two allocations instead of two for each file.
	all, allRuns := make([]object, objects), make([]run, runs)
	for i := range allRuns {
		r := rows[i*indexRun:][:indexRun]
		n, size, layer, comp := le.Uint64(r[8:]), le.Uint64(r[24:]), le.Uint32(r[32:]), uint8(le.Uint64(r[40:]))
		if comp != 0 {
			size = uint64(le.Uint32(r[36:]))
		}
		if n > math.MaxUint32 || size > math.MaxUint32 || uint64(layer) >= uint64(layers) || comp != 0 && n != 1 {
			return errIndex
		}
		allRuns[i] = run{first: le.Uint64(r), off: int64(le.Uint64(r[16:])), n: uint32(n), size: uint32(size), layer: uint16(layer), comp: comp}
	}
	ds.objects, ds.numbers = table[object]{}, make([]uint64, objects)
	for i := range all {
		row := b[i*indexObject:][:indexObject]
		bonus, spill, n := uint64(le.Uint32(row[16:])), uint64(le.Uint32(row[20:])), le.Uint64(row[24:])
		num := le.Uint64(row)
		if bonus+spill > uint64(len(data)) || n > uint64(len(allRuns)) || i > 0 && num <= ds.numbers[i-1] {
			return errIndex
		}
		o := &all[i]
		*o = object{num: num, blksz: le.Uint32(row[8:]), typ: row[12], bonusType: row[13], slots: row[14], runs: allRuns[:n:n]}
		o.bonus = data[:bonus:bonus]
		if spill > 0 {
			block := data[bonus:][:spill:spill]
			o.spill = &block
		}
		if o.blksz == 0 {
			return errIndex
		}
		if n == 0 {
			o.runs = nil
		}
		data, allRuns = data[bonus+spill:], allRuns[n:]
		ds.objects.set(num, o)
		ds.numbers[i] = num
	}
	ds.begin = begin
	return nil
}

func (ds *Dataset) sorted() []uint64 {
	numbers := make([]uint64, 0, ds.objects.len())
	for num := range ds.objects.all() {
		numbers = append(numbers, num)
	}
	slices.Sort(numbers)
	return numbers
}

// readLayers applies all layers, beginning behind those that have an index.
func (ds *Dataset) readLayers(ctx context.Context, opts ReadOptions) error {
	layers := ds.layers
	done := ds.load(layers)
	if done == len(layers) {
		return nil
	}
	ds.numbers = nil
	var warned counted
	opts.Warn = both{opts.Warn, &warned}
	for i := done; i < len(layers); i++ {
		in := bufio.NewReaderSize(io.NewSectionReader(layers[i].R, 0, layers[i].Size), 1<<18)
		if _, err := ds.apply(ctx, i, in, opts); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fault.Step.Wrap(fmt.Errorf("reading stream %s: %w", layers[i].Name, err))
		}
	}
	ds.numbers = ds.sorted()
	if warned == 0 {
		_ = ds.save(layers) // a cache that cannot be written is no matter
	}
	return nil
}

// both counts warnings and passes them on.
type both struct {
	to    Warner
	count *counted
}

func (b both) Warnf(format string, args ...any) {
	*b.count++
	if b.to != nil {
		b.to.Warnf(format, args...)
	}
}
