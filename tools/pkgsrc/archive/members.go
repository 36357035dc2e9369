package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/sniff"
)

const (
	maxContents = 16 << 20 // +CONTENTS; the largest known have some 2 MiB
	maxMeta     = 1 << 20  // any other metadata member
	maxName     = 4096     // a member's name or link target
	maxAccount  = 255      // a user's or group's name
	maxContent  = 32 << 30 // all files of a package
	maxPadding  = 16 << 20 // zero bytes behind the archive's end
)

// metaOrder is the one order of metadata members (spec pkgsrc.md section 3.1).
// The first member with another name ends them.
var metaOrder = [...]string{
	"+CONTENTS", "+COMMENT", "+DESC", "+INSTALL", "+DEINSTALL", "+DISPLAY", "+MTREE_DIRS",
	"+BUILD_VERSION", "+BUILD_INFO", "+SIZE_PKG", "+SIZE_ALL", "+PRESERVE", "+REQUIRED_BY", "+INSTALLED_INFO",
}

const (
	requiredMeta = 3 // the first so many must be there
	ignoredMeta  = "+MTREE_DIRS"
)

// unpacker reads the inner, plain package into p.
type unpacker struct {
	p      *Package
	opts   *Options
	tar    *tar.Reader
	header *tar.Header // the current member; nil at the end
	total  int64       // bytes of all members
	names  map[string]bool
}

// unpack reads the plain package from r to its end. named is called once the
// package's name is known, before any file is looked at.
func (p *Package) unpack(ctx context.Context, r io.Reader, opts *Options, named func() error) error {
	z, _, err := sniff.Open(r)
	if err != nil {
		return err
	}
	defer z.Close()
	u := &unpacker{p: p, opts: opts, tar: tar.NewReader(z), names: map[string]bool{}}
	if err := u.metadata(ctx); err != nil {
		return err
	}
	if err := named(); err != nil {
		return err
	}
	if err := u.files(ctx); err != nil {
		return err
	}
	return padding(z)
}

// padding reads what follows the archive's end, which is zeros only.
func padding(r io.Reader) error {
	buf := make([]byte, 32<<10)
	for total := 0; ; {
		n, err := r.Read(buf)
		if total += n; total > maxPadding || len(bytes.Trim(buf[:n], "\x00")) > 0 {
			return errors.New("something follows the end of the archive")
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// next goes to the next member; u.header is nil at the end.
func (u *unpacker) next(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := u.tar.Next()
	if err == io.EOF {
		u.header = nil
		return nil
	}
	if err != nil {
		return err
	}
	if !goodPath(h.Name) {
		return fmt.Errorf("member name %.200q leads out of the package", h.Name)
	}
	if h.Size < 0 || h.Size > maxContent-u.total {
		return fmt.Errorf("members have over %d bytes", int64(maxContent))
	}
	u.total += h.Size
	u.header = h
	return nil
}

// goodPath tells whether a member's name stays below the prefix and is written
// in the one way there is.
func goodPath(name string) bool {
	if name == "" || len(name) > maxName || strings.IndexByte(name, 0) >= 0 {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// goodName tells whether a package may be called so: it becomes a directory.
func goodName(name string) bool {
	if name == "" || len(name) > 255 || name[0] == '.' || name[0] == '+' {
		return false
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] > '~' || name[i] == '/' {
			return false
		}
	}
	return true
}

func (u *unpacker) metadata(ctx context.Context) error {
	last := -1
	for {
		if err := u.next(ctx); err != nil {
			return err
		}
		if u.header == nil {
			break
		}
		name := u.header.Name
		i := slices.Index(metaOrder[:], name)
		if i < 0 {
			break
		}
		switch {
		case i == last:
			return fmt.Errorf("duplicate entry %s, package corrupt", name)
		case i < last:
			return fmt.Errorf("misordered package: %s after %s", name, metaOrder[last])
		case i > last+1 && last+1 < requiredMeta:
			return fmt.Errorf("%s where %s belongs", name, metaOrder[last+1])
		case u.header.Typeflag != tar.TypeReg:
			return fmt.Errorf("%s is no regular file", name)
		}
		last = i
		limit := int64(maxMeta)
		if i == 0 {
			limit = maxContents
		}
		if u.header.Size > limit {
			return fmt.Errorf("%s has %d bytes, at most %d are read", name, u.header.Size, limit)
		}
		data, err := io.ReadAll(u.tar)
		switch {
		case err != nil:
			return err
		case bytes.IndexByte(data, 0) >= 0:
			return fmt.Errorf("%s has a NUL byte", name)
		case name == ignoredMeta:
			u.p.Warnings = append(u.p.Warnings, name+" is ignored")
		default:
			u.p.Meta = append(u.p.Meta, Meta{name, data})
		}
	}
	if last+1 < requiredMeta {
		return fmt.Errorf("no %s", metaOrder[last+1])
	}
	var err error
	if u.p.Plist, err = plist.Parse(u.p.Meta[0].Data); err != nil {
		return err
	}
	u.p.Warnings = append(u.p.Warnings, u.p.Plist.Warnings...)
	u.p.Name = u.p.Plist.Name()
	if !goodName(u.p.Name) {
		return fmt.Errorf("package is called %.80q", u.p.Name)
	}
	return nil
}

// files takes the members that follow, each the next file of the packing list.
func (u *unpacker) files(ctx context.Context) error {
	for i, e := range u.p.Plist.Entries {
		if e.Kind != plist.File || e.Ignored {
			continue
		}
		if u.header == nil {
			return fmt.Errorf("packing list has %q, the archive ends before it", e.Arg)
		}
		if u.header.Name != e.Arg {
			return fmt.Errorf("packing list and archive do not match (%.200q and %.200q)", e.Arg, u.header.Name)
		}
		f, err := u.file(i)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Arg, err)
		}
		u.p.Files = append(u.p.Files, f)
		if err := u.next(ctx); err != nil {
			return err
		}
	}
	if u.header != nil {
		return fmt.Errorf("archive holds %.200q, which is not in the packing list", u.header.Name)
	}
	return nil
}

// file takes the current member, which is that entry's. Strings of a tar header may
// be parts of a larger one, of up to a MiB, so they are copied.
func (u *unpacker) file(entry int) (File, error) {
	h := u.header
	if h.Uid < 0 || h.Uid > 0xffffffff || h.Gid < 0 || h.Gid > 0xffffffff {
		return File{}, fmt.Errorf("owner %d:%d", h.Uid, h.Gid)
	}
	f := File{
		Name: u.p.Plist.Entries[entry].Arg, Entry: entry, Mode: uint32(h.Mode) & fstree.PermMask,
		UID: uint32(h.Uid), GID: uint32(h.Gid), Uname: strings.Clone(h.Uname), Gname: strings.Clone(h.Gname),
		MTime: fstree.TimeOf(h.ModTime),
	}
	if len(f.Uname) > maxAccount || len(f.Gname) > maxAccount {
		return File{}, fmt.Errorf("owner %.80q:%.80q", f.Uname, f.Gname)
	}
	if u.names[f.Name] {
		return f, errors.New("a second member of this name")
	}
	switch h.Typeflag {
	case tar.TypeReg:
		f.Type = Regular
		if err := u.content(&f); err != nil {
			return f, err
		}
	case tar.TypeSymlink:
		f.Type, f.Linkname = Symlink, strings.Clone(h.Linkname)
		if f.Linkname == "" || len(f.Linkname) > maxName || strings.IndexByte(f.Linkname, 0) >= 0 {
			return f, fmt.Errorf("link target %.200q", f.Linkname)
		}
	case tar.TypeLink:
		f.Type, f.Linkname = Hardlink, strings.Clone(h.Linkname)
		if !u.names[f.Linkname] {
			return f, fmt.Errorf("hard link to %.200q, which is no earlier member", f.Linkname)
		}
	default:
		return f, fmt.Errorf("member of type %q; packages hold files and links", h.Typeflag)
	}
	u.names[f.Name] = true
	return f, nil
}

func (u *unpacker) content(f *File) error {
	size := u.header.Size
	switch {
	case u.opts.Spool == nil:
		_, err := io.Copy(io.Discard, u.tar)
		return err
	case size == 0:
		f.Content = fstree.Bytes(nil)
		return nil
	}
	var err error
	if f.Content, err = u.opts.Spool.Add(u.tar, size); err != nil {
		return fault.Step.Wrap(noEOF(err))
	}
	return nil
}
