// Package archive reads binary packages: the plain form (a tar, compressed with
// gzip, bzip2, xz, zstd or not at all) and the signed form (an ar archive around
// it), spec pkgsrc.md section 3.
//
// A package is read once, front to back. Nothing of a signed package is looked
// at before the hash of the block it stands in was verified, and the signature
// over the hashes before that. File content goes to a spool; memory holds one
// block, the metadata and a header for each file.
//
// Limits: 16 GiB a package, 32 GiB unpacked, 16 MiB of +CONTENTS, 1 MiB any other
// metadata, names of 4096 bytes, of owners 255. The X.509 kind of signature is not
// supported.
package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
)

const (
	maxPackage   = 16 << 30 // bytes of the file
	maxSignature = 64 << 10

	hashMember = "+PKG_HASH"
	pgpMember  = "+PKG_GPG_SIGNATURE"
	x509Member = "+PKG_SIGNATURE"
)

// Options say how packages are read. The zero value reads unsigned packages only.
type Options struct {
	// Keyring verifies signatures. Where it could not be read KeyringErr says
	// why; that fails signed packages only.
	Keyring    openpgp.EntityList
	KeyringErr error

	Policy Policy

	// Confirm is asked where the policy says so; nil answers no, as the genuine
	// tool does without a terminal.
	Confirm func(pkg string, signed bool) bool

	// Spool takes the file content; nil drops it (everything is still verified).
	Spool *fstree.Spool
}

// Meta is one metadata member, such as +COMMENT.
type Meta struct {
	Name string
	Data []byte
}

// FileType is the type of an archive member.
type FileType uint8

// The types of members that packages hold.
const (
	Regular FileType = iota
	Symlink
	Hardlink // a second name of an earlier member
)

// File is one member behind the metadata.
type File struct {
	Name     string // relative to the prefix, as in the packing list
	Entry    int    // index of its entry in Plist.Entries
	Type     FileType
	Mode     uint32 // permission bits, set-id and sticky included
	UID, GID uint32
	Uname    string // wins over UID where the target knows it
	Gname    string
	MTime    fstree.Time
	Linkname string         // symlink's target; hard link's earlier member, relative to the prefix
	Content  fstree.Content // regular files; nil without a spool
}

// Package is a package that was read whole and found good.
type Package struct {
	Name     string // full name, from @name
	Meta     []Meta // in archive order, +CONTENTS first
	Plist    *plist.List
	Files    []File   // in the order of the packing list, whose files they all are
	Signed   bool     // signature and all block hashes verified
	SHA256   [32]byte // of the whole file
	Size     int64    // bytes of the whole file
	Warnings []string // such as unknown commands, ignored members
}

// Lookup returns a metadata member's bytes.
func (p *Package) Lookup(name string) ([]byte, bool) {
	for _, m := range p.Meta {
		if m.Name == name {
			return m.Data, true
		}
	}
	return nil, false
}

// Open reads the package from r to its end. name is for messages only. A
// signature that does not verify, or is missing where the policy wants one, is
// a fault.Policy; a broken archive is a fault.Step.
func Open(ctx context.Context, name string, r io.Reader, opts Options) (*Package, error) {
	p := &Package{}
	sum := sha256.New()
	src := &source{ctx: ctx, r: r}
	if err := p.read(ctx, bufio.NewReaderSize(io.TeeReader(src, sum), 64<<10), &opts); err != nil {
		if src.err != nil { // the cause, whatever became of it on its way through decompressors
			err = src.err
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("package is cut short after %d bytes: %w", src.n, err)
		}
		return nil, fault.Step.Wrap(fmt.Errorf("package %s: %w", name, err))
	}
	p.Size = src.n
	sum.Sum(p.SHA256[:0])
	return p, nil
}

// source counts and bounds the package's bytes and keeps the first error.
type source struct {
	ctx context.Context
	r   io.Reader
	n   int64
	err error
}

func (s *source) Read(b []byte) (int, error) {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(b)
	if s.n += int64(n); s.n > maxPackage {
		err = fmt.Errorf("over %d bytes", int64(maxPackage))
	}
	if err != io.EOF {
		s.err = err
	}
	return n, err
}

func (p *Package) read(ctx context.Context, r *bufio.Reader, opts *Options) error {
	magic, err := r.Peek(len(arMagic))
	if err != nil && err != io.EOF {
		return err
	}
	if string(magic) == arMagic {
		return p.readSigned(ctx, r, opts)
	}
	if opts.Policy == Always {
		return opts.admit("", false) // before anything of it is looked at
	}
	if err := p.unpack(ctx, r, opts, func() error { return opts.admit(p.Name, false) }); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r) // what the decompressor left
	return err
}

func (p *Package) readSigned(ctx context.Context, r io.Reader, opts *Options) error {
	a, err := newArReader(r)
	if err != nil {
		return err
	}
	hashFile, err := a.want(hashMember, maxHashFile)
	if err != nil {
		return err
	}
	signature, err := a.want(pgpMember, maxSignature)
	if err != nil {
		return err
	}
	switch {
	case opts.KeyringErr != nil:
		return fault.Policy.Errorf("cannot verify its signature: %w", opts.KeyringErr)
	case len(opts.Keyring) == 0:
		return fault.WithHint(fault.Policy.Errorf("cannot verify its signature: no keyring"),
			"set GPG_KEYRING_VERIFY in the image's pkg_install.conf")
	}
	if err := VerifyArmored(opts.Keyring, hashFile, signature); err != nil {
		return err
	}
	hashes, err := parseHashes(hashFile)
	if err != nil {
		return fmt.Errorf("%s: %w", hashMember, err)
	}
	_, size, err := a.next()
	switch {
	case err != nil:
		return noEOF(err)
	case size != hashes.fileSize:
		return fault.Policy.Errorf("package has %d bytes, its signature is for %d", size, hashes.fileSize)
	}
	blocks := newBlockReader(a, hashes)
	err = p.unpack(ctx, blocks, opts, func() error {
		if p.Name != hashes.pkgName {
			return fault.Policy.Errorf("signature is for %s, the packing list for %s", hashes.pkgName, p.Name)
		}
		return opts.admit(p.Name, true)
	})
	if err == nil {
		_, err = io.Copy(io.Discard, blocks) // what the decompressor left
	}
	if blocks.err != nil && blocks.err != io.EOF {
		err = blocks.err
	}
	if err != nil {
		return err
	}
	switch extra, _, err := a.next(); {
	case err == nil:
		return fmt.Errorf("ar: member %.80q behind the package", extra)
	case err != io.EOF:
		return err
	}
	p.Signed = true
	return nil
}

// want reads the next member, which must have this name.
func (a *arReader) want(name string, limit int64) ([]byte, error) {
	got, _, err := a.next()
	switch {
	case err != nil:
		return nil, noEOF(err)
	case got == x509Member && name == pgpMember:
		return nil, fault.Policy.Errorf("signed in the X.509 way (%s), which is not supported", got)
	case got != name:
		return nil, fmt.Errorf("ar: member %.80q where %s belongs", got, name)
	}
	b, err := a.bytes(limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}
