package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/zstream"
	"github.com/klauspost/compress/gzip"
)

// Verify builds an image again from the record of its inputs, in a temporary
// place, and compares the files in dir with what comes out, byte by byte. A
// difference is fault.Drift and names the first one: a path, a stream record, a
// field of the manifest, a line of the audit.
func Verify(ctx context.Context, rec *lock.Record, dir string, opts Options) error {
	var r Request
	d := json.NewDecoder(strings.NewReader(rec.Build.Request))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return fault.Drift.Errorf("record of image %s: request: %w", rec.Build.Image, err)
	}
	temp, err := newfile.MakeDir(opts.TempDir, "verify")
	if err != nil {
		return fault.Step.Errorf("%s: %w", r.Name, err)
	}
	defer temp.Remove()
	opts.Out = filepath.Join(temp.Name, "out")
	opts.Images = unregistered{opts.Images}
	story := opts.Story
	opts.Story = brief{story}
	opts.Lock, opts.LockFile = &rec.Lock, "the record of image "+rec.Build.Image
	opts.EOLPage, opts.Sandbox = rec.Build.EOLPage, rec.Build.Sandbox
	opts.Records, opts.Policy, opts.Renew, opts.WriteLock, opts.Keep = "", nil, nil, false, false
	res, err := Run(ctx, r, opts)
	if err != nil {
		return err
	}
	for _, o := range rec.Build.Outputs {
		if !strings.HasPrefix(o.Name, r.Prefix+"-"+r.Version+".") {
			return fault.Drift.Errorf("record of image %s: %q is no output of it", rec.Build.Image, o.Name)
		}
		v := verifier{ctx: ctx, opts: opts, temp: temp.Name, name: filepath.Join(dir, o.Name), again: filepath.Join(opts.Out, o.Name)}
		what, err := v.difference(r.Base)
		if err != nil {
			return fmt.Errorf("verify %s: %w", v.name, fault.Step.Wrap(err))
		}
		if what == "" {
			continue
		}
		err = fault.Drift.Errorf("%s is not what its inputs give: %s", v.name, what)
		if rec.Build.Writer != writerVersion {
			return fault.WithHint(err, "it was written by %q, this is %q: build it with the engbld of that time", rec.Build.Writer, writerVersion)
		}
		return fault.WithHint(err, "build it again: engbld image build --again %s", r.Name)
	}
	story.Step("verify", "image %s: %d files, the same bytes", res.Manifest.UUID(), len(rec.Build.Outputs))
	return nil
}

// unregistered finds images and registers none.
type unregistered struct{ Images }

func (unregistered) Register(context.Context, string, string) error { return nil }

// brief tells the steps of a build that is thrown away; the rest are details.
type brief struct{ Story }

func (b brief) Infof(format string, args ...any) { b.Detailf(format, args...) }

func readManifest(name string) (*imgmanifest.Manifest, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if fi.Size() > imgmanifest.MaxSize {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", name, fi.Size(), imgmanifest.MaxSize)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return imgmanifest.Parse(raw)
}

// verifier compares one file with the same one built again.
type verifier struct {
	ctx         context.Context
	opts        Options
	temp        string
	name, again string
	files       []*os.File
}

// difference describes the first difference, "" where there is none.
func (v *verifier) difference(base string) (string, error) {
	defer func() {
		for _, f := range v.files {
			f.Close()
		}
	}()
	at, err := v.firstByte()
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "it is missing", nil
	case err != nil || at < 0:
		return "", err
	case strings.HasSuffix(v.name, ".zfs.gz"):
		return v.stream(base, at)
	case strings.HasSuffix(v.name, ".imgmanifest"):
		return v.manifest(at)
	}
	return v.line(at)
}

// firstByte is the offset of the first byte that differs, -1 for none.
func (v *verifier) firstByte() (int64, error) {
	a, err := os.Open(v.name)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	b, err := os.Open(v.again)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	x, y := make([]byte, 1<<16), make([]byte, 1<<16)
	for at := int64(0); ; {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return 0, err
			}
		}
		for i := range min(n, m) {
			if x[i] != y[i] {
				return at + int64(i), nil
			}
		}
		if n != m {
			return at + int64(min(n, m)), nil
		}
		if errA != nil {
			return -1, nil
		}
		at += int64(n)
	}
}

func (v *verifier) manifest(at int64) (string, error) {
	have, err := readManifest(v.name)
	if err != nil {
		return fmt.Sprintf("byte %d: %v", at, err), nil
	}
	want, err := readManifest(v.again)
	if err != nil {
		return "", err
	}
	for _, key := range append(have.Keys(), want.Keys()...) {
		a, _ := have.Get(key)
		b, _ := want.Get(key)
		if !bytes.Equal(a, b) {
			return fmt.Sprintf("%s is %s, not %s", key, orMissing(a), orMissing(b)), nil
		}
	}
	return fmt.Sprintf("byte %d: the fields are the same, written otherwise", at), nil
}

func orMissing(raw []byte) string {
	if raw == nil {
		return "missing"
	}
	return string(raw)
}

func (v *verifier) line(at int64) (string, error) {
	have, err := os.ReadFile(v.name)
	if err != nil {
		return "", err
	}
	want, err := os.ReadFile(v.again)
	if err != nil {
		return "", err
	}
	a, b := strings.Split(string(have), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is %q, not %q", i+1, a[i], b[i]), nil
		}
	}
	return fmt.Sprintf("byte %d: %d lines instead of %d", at, len(a), len(b)), nil
}

// stream names the first path and the first record that differ.
func (v *verifier) stream(base string, at int64) (string, error) {
	want, err := v.unpack(v.again)
	if err != nil {
		return "", err
	}
	have, broken := v.unpack(v.name)
	if have == nil {
		return fmt.Sprintf("byte %d; it cannot be unpacked: %v", at, broken), nil
	}
	record, err := firstRecord(have, want) // as far as it was unpacked
	switch {
	case err != nil:
		return "", err
	case broken != nil:
		return fmt.Sprintf("byte %d; it cannot be unpacked whole (%v); %s", at, broken, record), nil
	case record == "":
		return fmt.Sprintf("byte %d: the stream is the same, compressed otherwise", at), nil
	}
	chain, err := v.opts.Images.Chain(v.ctx, base)
	if err != nil {
		return "", err
	}
	listed := make([][]string, 2)
	for i, f := range []*os.File{have, want} {
		if listed[i], err = v.list(chain, f); err != nil {
			return fmt.Sprintf("%s; the stream cannot be read: %v", record, err), nil
		}
	}
	if path := firstPath(listed[0], listed[1]); path != "" {
		return path + "; " + record, nil
	}
	return record + "; all paths are the same", nil
}

// unpack returns what could be unpacked, also beside an error; nil if nothing.
func (v *verifier) unpack(name string) (*os.File, error) {
	src, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	z, err := gzip.NewReader(src)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(v.temp, "stream-*")
	if err != nil {
		return nil, err
	}
	v.files = append(v.files, f)
	const most = 256 << 30
	if n, err := io.Copy(f, io.LimitReader(z, most)); err != nil {
		return f, err
	} else if n == most {
		return f, fmt.Errorf("unpacks to %d bytes or more", int64(most))
	}
	return f, nil
}

func (v *verifier) list(chain []imgstore.Image, top *os.File) ([]string, error) {
	var layers []dataset.Layer
	for _, img := range chain {
		f, err := img.Open()
		if err != nil {
			return nil, err
		}
		v.files = append(v.files, f)
		layers = append(layers, dataset.Layer{R: f, Size: img.Size, Name: img.Manifest.NameVersion()})
	}
	fi, err := top.Stat()
	if err != nil {
		return nil, err
	}
	ds, err := dataset.Read(v.ctx, append(layers, dataset.Layer{R: top, Size: fi.Size(), Name: filepath.Base(v.name)}), dataset.ReadOptions{})
	if err != nil {
		return nil, err
	}
	return ds.Listing(v.ctx, dataset.ListOptions{})
}

// firstRecord describes the first record of two streams that differs.
func firstRecord(have, want *os.File) (string, error) {
	readers := make([]*zstream.Reader, 2)
	for i, f := range []*os.File{have, want} {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		r, err := zstream.NewReader(f)
		if err != nil {
			return fmt.Sprintf("record 0: %v", err), nil
		}
		readers[i] = r
	}
	a, b := readers[0].Begin(), readers[1].Begin()
	if a != b {
		return fmt.Sprintf("record 0: BEGIN is of snapshot %016x, not %016x: other inputs", a.ToGUID, b.ToGUID), nil
	}
	for n := 1; ; n++ {
		start := readers[0].Offset()
		x, errA := readers[0].Next()
		y, errB := readers[1].Next()
		switch {
		case errB != nil && errB != io.EOF:
			return "", errB
		case errA != nil && errA != io.EOF:
			return errA.Error(), nil // it names the record
		case errA == io.EOF && errB == io.EOF:
			return "", nil
		case errA == io.EOF:
			return fmt.Sprintf("record %d: the stream ends, %s was to come", n, describeRecord(y)), nil
		case errB == io.EOF:
			return fmt.Sprintf("record %d: %s, the stream was to end", n, describeRecord(x)), nil
		case !reflect.DeepEqual(x, y) || !bytes.Equal(readers[0].Payload(), readers[1].Payload()):
			have, want := describeRecord(x), describeRecord(y)
			if have == want {
				return fmt.Sprintf("record %d (at %d): %s, with other content", n, start, have), nil
			}
			return fmt.Sprintf("record %d (at %d): %s, not %s", n, start, have, want), nil
		}
	}
}

func describeRecord(r zstream.Record) string {
	text := fmt.Sprintf("%v", zstream.KindOf(r))
	if number := reflect.ValueOf(r).FieldByName("Number"); number.IsValid() {
		text += fmt.Sprintf(" of object %v", number)
	}
	return text
}

// firstPath names the first path of two listings that differs.
func firstPath(have, want []string) string {
	path := func(line string) string {
		if i := strings.Index(line, " ./"); i >= 0 {
			return line[i+1:]
		}
		return line
	}
	for i := range max(len(have), len(want)) {
		switch {
		case i >= len(have):
			return path(want[i]) + " is missing"
		case i >= len(want):
			return path(have[i]) + " is too much"
		case have[i] == want[i]:
			continue
		case path(have[i]) == path(want[i]):
			return fmt.Sprintf("%s (%s, not %s)", path(have[i]), fields(have[i], want[i]), fields(want[i], have[i]))
		case slices.ContainsFunc(want[i:], func(l string) bool { return path(l) == path(have[i]) }):
			return path(want[i]) + " is missing"
		}
		return path(have[i]) + " is too much"
	}
	return ""
}

// fields are the words of one line of a listing that another one has not.
func fields(line, other string) string {
	var own []string
	theirs := strings.Fields(other)
	for _, f := range strings.Fields(line) {
		if !slices.Contains(theirs, f) {
			own = append(own, f)
		}
	}
	return strings.Join(own, " ")
}
