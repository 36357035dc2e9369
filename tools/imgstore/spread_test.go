package imgstore

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	want := make([]byte, 5*spreadSize+77)
	rand.NewChaCha8([32]byte{1}).Read(want)
	var a, b, c bytes.Buffer
	s := newSpread(
		func(r io.Reader) error { _, err := io.Copy(&a, r); return err },
		func(r io.Reader) error {
			_, err := io.Copy(&b, iotest.OneByteReader(io.LimitReader(r, 1000)))
			return err
		},
		func(r io.Reader) error { _, err := io.Copy(struct{ io.Writer }{&c}, iotest.HalfReader(r)); return err },
	)
	if n, err := s.Write(want[:100]); n != 100 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := io.Copy(s, iotest.HalfReader(bytes.NewReader(want[100:]))); n != int64(len(want)-100) || err != nil {
		t.Fatal(n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), want) || !bytes.Equal(b.Bytes(), want[:1000]) || !bytes.Equal(c.Bytes(), want) {
		t.Errorf("tasks got %d, %d, %d bytes of %d", a.Len(), b.Len(), c.Len(), len(want))
	}
	empty := newSpread(func(r io.Reader) error { _, err := io.Copy(&a, r); return err })
	if err := empty.Close(); err != nil {
		t.Error(err)
	}
}

func TestSpreadFailure(t *testing.T) {
	t.Parallel()
	bad := errors.New("bad")
	s := newSpread(
		func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
		func(r io.Reader) error { return bad },
	)
	_, err := io.Copy(s, neverEnding{})
	if !errors.Is(err, bad) || !errors.Is(s.Close(), bad) || !errors.As(err, new(*taskError)) {
		t.Error(err)
	}
}

type neverEnding struct{}

func (neverEnding) Read(b []byte) (int, error) { return len(b), nil }
