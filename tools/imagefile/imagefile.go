// Package imagefile reads image files in the compressions an image server
// knows: gzip, bzip2, xz, none (spec imgapi.md section 6).
//
// Concatenated gzip, bzip2 and xz parts are read as one; anything else after
// the end is an error. Whoever reads bounds the output; memory is bounded here,
// by gzip's and bzip2's forms and package unxz.
package imagefile

import (
	"bufio"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/TritonDataCenter/engbld/tools/gunzip"
	"github.com/TritonDataCenter/engbld/tools/unxz"
)

// NewReader reads the content of an image file. Unknown compressions are an
// error; "" is none.
func NewReader(r io.Reader, compression string) (io.Reader, error) {
	switch compression {
	case "gzip":
		z, err := gunzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", unexpected(err))
		}
		return named{z, "gzip"}, nil
	case "bzip2":
		return named{bzip2.NewReader(bufio.NewReaderSize(r, 1<<20)), "bzip2"}, nil
	case "xz":
		z, err := unxz.NewReader(bufio.NewReaderSize(r, 1<<20))
		if err != nil {
			return nil, fmt.Errorf("xz: %w", unexpected(err))
		}
		return named{z, "xz"}, nil
	case "none", "":
		return r, nil
	}
	return nil, fmt.Errorf("unknown compression %q", compression)
}

// named says in errors which decompressor they come from.
type named struct {
	r    io.Reader
	name string
}

func (n named) Read(p []byte) (int, error) {
	k, err := n.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", n.name, err)
	}
	return k, err
}

// unexpected turns the end of an empty file into an error that says so.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Suffix returns the end of a file name that goes with a compression: ".gz",
// ".bz2", ".xz" or "".
func Suffix(compression string) string {
	switch compression {
	case "gzip":
		return ".gz"
	case "bzip2":
		return ".bz2"
	case "xz":
		return ".xz"
	}
	return ""
}
