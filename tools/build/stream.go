package build

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/TritonDataCenter/engbld/tools/cores"
	"github.com/TritonDataCenter/engbld/tools/dataset"
	gz "github.com/TritonDataCenter/engbld/tools/gunzip"
	"github.com/TritonDataCenter/engbld/tools/zstream"
	"github.com/klauspost/pgzip"
)

// How streams are compressed. Level and block size decide the bytes; on real
// files they come within a few hundredths of gzip's own level 6, several times
// as fast.
const (
	level     = 6
	blockSize = 2 << 20 // bytes compressed on their own, with those before as dictionary
	maxBlocks = 16      // at once, each with two blocks of memory
)

// Written is a finished image file.
type Written struct {
	Size   int64 // bytes
	SHA1   [sha1.Size]byte
	SHA256 [sha256.Size]byte
}

// WriteStream compresses what write writes into f, an empty file, and verifies
// it: the file is read again while it is written and must hold a stream of the
// right length with all its checksums. The same stream gives the same file on
// any number of CPUs.
func WriteStream(f *os.File, write func(w io.Writer) (dataset.Stats, error)) (Written, dataset.Stats, error) {
	sum, sum256 := sha1.New(), sha256.New()
	follow := newFollower(f)
	type result struct {
		n   int64
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := readStream(follow)
		if err != nil {
			err = fmt.Errorf("reading back what was written: %w", err)
		}
		follow.stop(err) // ends the writer, too
		done <- result{n, err}
	}()
	z, err := pgzip.NewWriterLevel(io.MultiWriter(f, sum, sum256, follow), level)
	if err == nil {
		err = z.SetConcurrency(blockSize, min(cores.All()+1, maxBlocks))
	}
	if err != nil {
		follow.end(err)
		return Written{}, dataset.Stats{}, err
	}
	stats, err := write(z)
	if e := z.Close(); err == nil {
		err = e
	}
	follow.end(err)
	again := <-done
	if err == nil {
		err = again.err
	}
	if err == nil && again.n != stats.Bytes {
		err = fmt.Errorf("reading back what was written: %d bytes instead of %d", again.n, stats.Bytes)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return Written{}, stats, err
	}
	return Written{Size: follow.written, SHA1: [sha1.Size]byte(sum.Sum(nil)), SHA256: [sha256.Size]byte(sum256.Sum(nil))}, stats, nil
}

// follower reads a file while it is written. Whoever writes says so with Write,
// which stores nothing.
type follower struct {
	f *os.File

	mu      sync.Mutex
	changed sync.Cond
	written int64
	over    error // why no more will be written: io.EOF, or an error
	stopped error // the reader has failed

	off int64 // of what is read next
}

func newFollower(f *os.File) *follower {
	fw := &follower{f: f}
	fw.changed.L = &fw.mu
	return fw
}

// Write takes note of bytes that were written to the file.
func (fw *follower) Write(p []byte) (int, error) {
	fw.mu.Lock()
	defer fw.mu.Unlock()
	if fw.stopped != nil {
		return 0, fw.stopped
	}
	fw.written += int64(len(p))
	fw.changed.Signal()
	return len(p), nil
}

// end says that no more will be written; err is why, nil that all is.
func (fw *follower) end(err error) {
	fw.mu.Lock()
	defer fw.mu.Unlock()
	if fw.over = err; err == nil {
		fw.over = io.EOF
	}
	fw.changed.Signal()
}

// stop says that nothing will be read any more.
func (fw *follower) stop(err error) {
	fw.mu.Lock()
	defer fw.mu.Unlock()
	fw.stopped = err
}

// Read waits until there is something to read.
func (fw *follower) Read(p []byte) (int, error) {
	fw.mu.Lock()
	for fw.off == fw.written && fw.over == nil {
		fw.changed.Wait()
	}
	n, end := min(int64(len(p)), fw.written-fw.off), fw.over
	fw.mu.Unlock()
	if n == 0 {
		return 0, end
	}
	k, err := fw.f.ReadAt(p[:n], fw.off)
	fw.off += int64(k)
	if err == io.EOF && k > 0 {
		err = nil
	} else if err == io.EOF {
		err = io.ErrUnexpectedEOF // the file has become shorter
	}
	return k, err
}

// readStream reads a compressed stream to its end, verifies its checksums, and
// returns its length.
func readStream(r io.Reader) (int64, error) {
	z, err := gz.NewReader(r)
	if err != nil {
		return 0, err
	}
	count := &counter{r: z}
	// No buffer between them: z has decoded a few blocks ahead, so that small
	// reads cost nothing and payloads are copied once.
	s, err := zstream.NewReader(count)
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
