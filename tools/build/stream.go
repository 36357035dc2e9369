package build

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	gz "github.com/TritonDataCenter/engbld/tools/gunzip"
	"github.com/TritonDataCenter/engbld/tools/zstream"
	"github.com/klauspost/pgzip"
)

// Written is a finished image file.
type Written struct {
	Size   int64 // bytes
	SHA1   [sha1.Size]byte
	SHA256 [sha256.Size]byte
}

// WriteStream compresses what write writes into f, an empty file, and verifies
// it: what was compressed is read again while it is written and must be a stream
// of the right length with all its checksums; then the file's bytes are compared
// with what was written into it. The same stream gives the same file on any
// number of CPUs.
func WriteStream(f *os.File, write func(w io.Writer) (dataset.Stats, error)) (Written, dataset.Stats, error) {
	sum, sum256 := sha1.New(), sha256.New()
	reread, compressed := io.Pipe()
	type result struct {
		n   int64
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := readStream(reread)
		if err != nil {
			err = fmt.Errorf("reading back what was written: %w", err)
		}
		reread.CloseWithError(err) // ends the writer, too
		done <- result{n, err}
	}()
	z, err := pgzip.NewWriterLevel(io.MultiWriter(f, sum, sum256, compressed), pgzip.DefaultCompression)
	if err != nil {
		compressed.CloseWithError(err)
		return Written{}, dataset.Stats{}, err
	}
	stats, err := write(z)
	if e := z.Close(); err == nil {
		err = e
	}
	compressed.CloseWithError(err) // nil is the end
	again := <-done
	if err == nil {
		err = again.err
	}
	if err == nil && again.n != stats.Bytes {
		err = fmt.Errorf("reading back what was written: %d bytes instead of %d", again.n, stats.Bytes)
	}
	if err != nil {
		return Written{}, stats, err
	}
	if err := f.Sync(); err != nil {
		return Written{}, stats, err
	}
	w := Written{SHA1: [sha1.Size]byte(sum.Sum(nil)), SHA256: [sha256.Size]byte(sum256.Sum(nil))}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return w, stats, err
	}
	found := sha1.New()
	if w.Size, err = io.Copy(found, f); err != nil {
		return w, stats, fmt.Errorf("reading back what was written: %w", err)
	}
	if !bytes.Equal(found.Sum(nil), w.SHA1[:]) {
		return w, stats, errors.New("reading back what was written: the file holds something else")
	}
	return w, stats, nil
}

// readStream reads a compressed stream to its end, verifies its checksums, and
// returns its length.
func readStream(r io.Reader) (int64, error) {
	z, err := gz.NewReader(r)
	if err != nil {
		return 0, err
	}
	count := &counter{r: z}
	s, err := zstream.NewReader(bufio.NewReaderSize(count, 1<<18))
	if err != nil {
		return count.n, err
	}
	for {
		if _, err := s.Next(); err == io.EOF {
			break
		} else if err != nil {
			return count.n, err
		}
	}
	_, err = io.Copy(io.Discard, count)
	return count.n, err
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
