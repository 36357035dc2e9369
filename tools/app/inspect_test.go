package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// respoil copies a stream, with other attributes for the objects that spoil wants,
// and with the right checksums.
func respoil(t *testing.T, in io.Reader, spoil func(o zstream.Object, bonus []byte)) []byte {
	t.Helper()
	r, err := zstream.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zstream.NewWriter(&out)
	w.Begin(r.Begin())
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch rec := rec.(type) {
		case zstream.Object:
			bonus := bytes.Clone(r.Payload()[:rec.BonusLen])
			spoil(rec, bonus)
			w.Object(rec.Number, rec.Type, rec.BonusType, rec.BlockSize, bonus)
		case zstream.Write:
			w.Write(rec.Type, rec.Offset, r.Payload())
		}
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestLook: what is given for an image is looked at before it is read whole, and a
// file system that cannot be listed can still be checked.
func TestLook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, raw []byte) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	testdata, err := filepath.Abs(filepath.Join("..", "dataset", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	zone, increment := filepath.Join(testdata, "minimal-base.zfs.gz"), filepath.Join(testdata, "minimal-incr.zfs.gz")
	f, err := os.Open(filepath.Join(testdata, "tiny-full.zfs.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := respoil(t, bytes.NewReader(plain), func(o zstream.Object, bonus []byte) {
		if o.Type == zstream.TypePlainFile && o.Number == 128 {
			bonus[0] ^= 1 // the magic number of attributes
		}
	})
	large := write("large", nil) // unpacking it takes minutes, and the disk
	if err := os.Truncate(filepath.Join(dir, large), 1<<37); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"ls", write("plain.zfs", plain)}, 0, "etc\nlink\none-byte\ntmp\n", ""},
		{[]string{"check", "plain.zfs"}, 0, "", ""},
		{[]string{"ls", "plain.zfs", "none"}, 2, "", "none: file does not exist"},
		{[]string{"ls", "--exact", "plain.zfs", "one-byte"}, 2, "", "listing one-byte exactly: not a directory"},
		{[]string{"stat", "plain.zfs", "none"}, 2, "", "none: file does not exist"},
		{[]string{"cat", "plain.zfs", "none"}, 2, "", "none: file does not exist"},
		{[]string{"cat", "plain.zfs", "etc"}, 2, "", "printing etc: it is no regular file"},
		{[]string{"tree", "plain.zfs", "none"}, 2, "", "none: file does not exist"},
		{[]string{"ls", large}, 4, "", "not a ZFS send stream"},
		{[]string{"ls", "/dev/zero"}, 4, "", "not a ZFS send stream"},
		{[]string{"ls", write("empty", nil)}, 4, "", "BEGIN record: unexpected EOF"},
		{[]string{"ls", write("spoiled.zfs", spoiled)}, 4, "", "no magic number"},
		{[]string{"du", filepath.Join(testdata, "Lec.zfs.gz")}, 2, "", "Lec.zfs.gz has no root/, so it is no zone's image\nhint:  engbld image ls --dataset shows all there is"},
		{[]string{"ls", increment}, 4, "", "it is an increment, and nothing tells on what\nhint:  name it by its manifest; most verbs take"},
		{[]string{"diff", increment}, 4, "", "it is an increment, and nothing tells on what"},
		{[]string{"diff", zone, increment}, 4, "", "it is an increment, and nothing tells on what"},
		{[]string{"ls", "--base", zone, increment}, 0, "opt\n", ""},
		{[]string{"ls", write("broken.imgmanifest", []byte("{\"v\": 2"))}, 4, "", "manifest broken.imgmanifest: "},
		{[]string{"ls", write("nameless.imgmanifest", []byte("{\"v\": 2}"))}, 4, "", "manifest nameless.imgmanifest: "},
		{[]string{"ls", "--base", zone, "broken.imgmanifest"}, 4, "", "manifest broken.imgmanifest: "},
		{[]string{"du", testdata}, 2, "", "testdata holds no image's manifest"},
		{[]string{"sbom", zone}, 2, "", "minimal-base.zfs.gz: a stream without a manifest\nhint:  name the image by its manifest or its uuid"},
		{[]string{"provenance", zone}, 2, "", "minimal-base.zfs.gz: a stream without a manifest"},
		{[]string{"check", "spoiled.zfs"}, 3, "damaged attributes: no magic number", "the image has 2 problems"},
	} {
		var out, story bytes.Buffer
		env := Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &story, Now: time.Now, Dir: dir, Getenv: func(name string) string {
			return map[string]string{"ENGBLD_CACHE_DIR": filepath.Join(dir, "cache"), "ENGBLD_OFFLINE": "true"}[name]
		}}
		code := Main(context.Background(), env, append([]string{"image"}, tt.args...))
		if code != tt.code || !strings.Contains(out.String(), tt.stdout) || !strings.Contains(story.String(), tt.stderr) {
			t.Errorf("%q: exit code %d\n%s%s", tt.args, code, out.String(), story.String())
		}
	}
}
