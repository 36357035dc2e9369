package bits

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"hash"
	"io"
	"os"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// Hash sums what is written to it for a file: its MD5 and, where something is
// promised of the file, its SHA-1 at the same time.
type Hash struct {
	file      File
	md5, sha1 hash.Hash // sha1 is nil where nothing is promised
}

// NewHash returns the hash that a Store sums f's content with.
func NewHash(f File) *Hash {
	h := &Hash{file: f, md5: md5.New()}
	if f.Promise != nil && f.Promise.SHA1 != "" {
		h.sha1 = sha1.New()
	}
	return h
}

func (h *Hash) Write(p []byte) (int, error) {
	if h.sha1 == nil {
		return h.md5.Write(p)
	}
	done := make(chan struct{})
	go func() {
		h.sha1.Write(p)
		close(done)
	}()
	h.md5.Write(p)
	<-done
	return len(p), nil
}

// Sum is the MD5; an error (fault.Drift) says that the content is not what was
// promised.
func (h *Hash) Sum() (sum Sum, err error) {
	h.md5.Sum(sum[:0])
	if h.sha1 != nil && hex.EncodeToString(h.sha1.Sum(nil)) != h.file.Promise.SHA1 {
		return sum, h.file.broken()
	}
	return sum, nil
}

// Promise is what another file says of a file: an image manifest of the image.
type Promise struct {
	SHA1 string // hex; "" is any
	Size int64  // 0 is any
	By   string // the file that says so; "" is the file itself, read before
}

func (f *File) broken() error {
	if f.Promise.By == "" {
		return fault.WithHint(fault.Step.Errorf("%s was changed while it was uploaded", f.Path), "run the same command again when nothing writes there")
	}
	return fault.WithHint(fault.Drift.Errorf("%s is not the file that %s describes", f.Path, f.Promise.By), "build the image again")
}

// fileSum reads a file for its sum.
func fileSum(ctx context.Context, file File) (sum Sum, err error) {
	f, err := os.Open(file.Path)
	if err != nil {
		return sum, fault.Step.Errorf("reading for its sum: %w", err)
	}
	defer f.Close()
	h := NewHash(file)
	if _, err := io.Copy(h, reader{ctx, f}); err != nil {
		return sum, fault.Step.Errorf("reading %s for its sum: %w", file.Path, err)
	}
	return h.Sum()
}

// reader ends when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
