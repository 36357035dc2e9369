package bits

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCopySummed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func(name string, content []byte) *os.File {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	for _, size := range []int{0, 1, 256 << 10, 8 << 20, 17<<20 + 7} {
		want := bytes.Repeat([]byte("bits "), size/5+1)[:size]
		dst := open("dst", nil)
		h := NewHash(File{})
		n, err := copySummed(t.Context(), dst, open("src", want), h)
		sum, _ := h.Sum()
		got, _ := os.ReadFile(dst.Name())
		if err != nil || n != int64(size) || !bytes.Equal(got, want) || sum != md5.Sum(want) {
			t.Errorf("%d bytes: %d, %s, %v", size, n, sum, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := copySummed(ctx, open("dst", nil), open("src", []byte("x")), NewHash(File{})); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	closed := open("dst", nil)
	closed.Close()
	if _, err := copySummed(t.Context(), closed, open("src", []byte("x")), NewHash(File{})); !errors.Is(err, os.ErrClosed) {
		t.Errorf("cannot be written: %v", err)
	}
}
