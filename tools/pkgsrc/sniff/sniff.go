// Package sniff opens data that may be compressed, by its first bytes: package
// archives, summaries and vulnerability lists carry suffixes that say little
// (spec pkgsrc.md sections 2 and 11.1).
//
// It reads gzip, bzip2, xz, zstd, and anything else as it is. How many bytes
// come out is for the caller to bound; memory is bounded here: a window of at
// most 256 MiB.
package sniff

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/TritonDataCenter/engbld/tools/gunzip"
	"github.com/TritonDataCenter/engbld/tools/unxz"
	"github.com/klauspost/compress/zstd"
)

const maxWindow = unxz.MaxWindow // zstd --ultra -22 needs 128 MiB

// Form is how data is compressed.
type Form uint8

// The forms; None is everything that is no other.
const (
	None Form = iota
	Gzip
	Bzip2
	XZ
	Zstd
)

func (f Form) String() string {
	return [...]string{"none", "gzip", "bzip2", "xz", "zstd"}[f]
}

var magics = [...]struct {
	form  Form
	magic string
}{
	{Gzip, "\x1f\x8b"}, {Bzip2, "BZh"}, {XZ, "\xfd7zXZ\x00"}, {Zstd, "\x28\xb5\x2f\xfd"},
}

// Detect tells the form of data that begins with head, of which 6 bytes suffice.
func Detect(head []byte) Form {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.form
		}
	}
	return None
}

// Open returns what r holds, uncompressed, and how it was compressed. Close
// frees memory; r is the caller's. Nothing is read ahead in the background.
func Open(r io.Reader) (io.ReadCloser, Form, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(6)
	if err != nil && err != io.EOF {
		return nil, None, err
	}
	form := Detect(head)
	var out io.ReadCloser
	switch form {
	case Gzip:
		out, err = gunzip.NewReader(b)
	case Bzip2:
		out, err = io.NopCloser(bzip2.NewReader(b)), nil
	case XZ:
		out, err = openXZ(b)
	case Zstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			out = d.IOReadCloser()
		}
	default:
		return io.NopCloser(b), None, nil
	}
	if err != nil {
		return nil, form, fmt.Errorf("%s: %w", form, noEOF(err))
	}
	return &reader{out, form}, form, nil
}

// All is Open and reading to the end, at most limit bytes.
func All(r io.Reader, limit int64) ([]byte, error) {
	c, _, err := Open(r)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b, err := io.ReadAll(io.LimitReader(c, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	return b, nil
}

// reader names the form in errors.
type reader struct {
	io.ReadCloser
	form Form
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", r.form, err)
	}
	return n, err
}

// noEOF makes an end in the middle of a header what it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func openXZ(b *bufio.Reader) (io.ReadCloser, error) {
	r, err := unxz.NewReader(b)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(r), nil
}
