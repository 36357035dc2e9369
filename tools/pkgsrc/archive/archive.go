// Package archive reads binary packages: the plain form (a tar, compressed with
// gzip, bzip2, xz, zstd or not at all) and the signed form (an ar archive around
// it), spec pkgsrc.md section 3.
//
// A package is read once, front to back. Nothing of a signed package is looked
// at before the hash of the block it stands in was verified, and the signature
// over the hashes before that. File content goes to a spool; memory holds one
// block, the metadata and a header for each file.
package archive

import (
	"context"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
)

// Policy is VERIFIED_INSTALLATION: what is done with packages that have no
// signature (spec pkgsrc.md section 3.2). A signature that does not verify is
// refused under every policy.
//
//	policy       unsigned   signed and verified
//	Never        taken      taken
//	Always       refused    taken
//	Trusted      asked for  taken
//	Interactive  asked for  asked for
type Policy uint8

// The policies; Never is the built-in default of the genuine tools.
const (
	Never Policy = iota
	Always
	Trusted
	Interactive
)

// ParsePolicy reads a value of VERIFIED_INSTALLATION, upper or lower case; "" is Never.
func ParsePolicy(s string) (Policy, error) { panic("not yet") }

// String returns the value as it stands in pkg_install.conf.
func (p Policy) String() string { panic("not yet") }

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

	// Spool takes the file content; nil drops it (metadata only, still verified).
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
	Content  fstree.Content // regular files
}

// Package is a package that was read whole and found good.
type Package struct {
	Name     string // full name, from @name
	Meta     []Meta // in archive order, +CONTENTS first
	Plist    *plist.List
	Files    []File   // in the order of the packing list
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
	panic("not yet")
}

// ReadKeyring reads an OpenPGP keyring, binary or armored.
func ReadKeyring(raw []byte) (openpgp.EntityList, error) { panic("not yet") }
