package fetch

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
)

const defaultMaxSize = 64 << 30

// Expect is what a file must be; zero fields are not checked. Digests are hex.
type Expect struct {
	Size                      int64
	MD5, SHA1, SHA256, SHA512 string
	MaxSize                   int64 // refuse more bytes than this; 0 is 64 GiB
}

func (e *Expect) limit() int64 {
	switch {
	case e.Size > 0:
		return e.Size
	case e.MaxSize > 0:
		return e.MaxSize
	}
	return defaultMaxSize
}

// digested tells whether a digest is expected, so that mixed up content is found.
func (e *Expect) digested() bool { return e.MD5+e.SHA1+e.SHA256+e.SHA512 != "" }

// checker computes the digests of a file as it is written, SHA-256 always.
type checker struct {
	want   *Expect
	size   int64
	sha256 hash.Hash
	others []digest
	w      io.Writer
}

type digest struct {
	name, want string
	hash.Hash
}

func newChecker(want *Expect) *checker {
	c := &checker{want: want, sha256: sha256.New()}
	writers := []io.Writer{c.sha256}
	for _, d := range []digest{{"MD5", want.MD5, nil}, {"SHA-1", want.SHA1, nil}, {"SHA-512", want.SHA512, nil}} {
		if d.want == "" {
			continue
		}
		switch d.name {
		case "MD5":
			d.Hash = md5.New()
		case "SHA-1":
			d.Hash = sha1.New()
		default:
			d.Hash = sha512.New()
		}
		c.others = append(c.others, d)
		writers = append(writers, d.Hash)
	}
	c.w = io.MultiWriter(writers...)
	return c
}

func (c *checker) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	return c.w.Write(p)
}

func (c *checker) sum() string { return hex.EncodeToString(c.sha256.Sum(nil)) }

// check compares with what is expected.
func (c *checker) check() error {
	if c.want.Size > 0 && c.size != c.want.Size {
		return fmt.Errorf("has %d bytes, expected are %d", c.size, c.want.Size)
	}
	if c.want.SHA256 != "" && !strings.EqualFold(c.sum(), c.want.SHA256) {
		return fmt.Errorf("has SHA-256 %s, expected is %s", c.sum(), c.want.SHA256)
	}
	for _, d := range c.others {
		if got := hex.EncodeToString(d.Sum(nil)); !strings.EqualFold(got, d.want) {
			return fmt.Errorf("has %s %s, expected is %s", d.name, got, d.want)
		}
	}
	return nil
}
