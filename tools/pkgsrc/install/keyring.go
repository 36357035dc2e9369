package install

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/archive"
)

// maxKeyring bounds a target's keyring.
const maxKeyring = 16 << 20

// Keyring reads a keyring of the target. Why says that there is none, or that it
// is no keyring: then no signature can be verified. Err is about reading what is
// there: then nothing is known.
func Keyring(root *fstree.Tree, file string) (keys openpgp.EntityList, why, err error) {
	n, err := root.Stat(file)
	if err == nil && !n.IsRegular() {
		err = &fs.PathError{Op: "read", Path: file, Err: fs.ErrInvalid}
	}
	if err != nil {
		return nil, err, nil
	}
	raw, err := n.ReadAll(maxKeyring)
	if large := (*fstree.TooLargeError)(nil); errors.As(err, &large) {
		return nil, fmt.Errorf("%s: %w", file, err), nil
	}
	if err != nil {
		return nil, nil, fault.Step.Errorf("keyring %s: %w", file, err)
	}
	keys, why = archive.ReadKeyring(raw)
	return keys, why, nil
}
