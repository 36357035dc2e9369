package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addFixture(f *testing.F, names ...string) {
	f.Helper()
	for _, name := range names {
		raw, err := os.ReadFile(fixture + "SmartOS/2024Q4/x86_64/All/" + name + ".tgz")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
}

// FuzzTar opens anything as an unsigned package. What is taken has exactly the
// files of its list.
func FuzzTar(f *testing.F) {
	addFixture(f, "badmd5-1.0", "misorder-1.0", "zstdpkg-1.0", "badsize-1.0")
	f.Add(makeTar(f, good()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Open(context.Background(), "x", bytes.NewReader(raw), Options{})
		if err != nil {
			return
		}
		if p.Signed || !goodName(p.Name) || len(p.Files) != len(p.Plist.Files()) || p.Size != int64(len(raw)) {
			t.Errorf("%+v", p)
		}
		for i, e := range p.Plist.Files() {
			if p.Files[i].Name != e.Arg || !goodPath(e.Arg) {
				t.Errorf("file %d is %q, listed %q", i, p.Files[i].Name, e.Arg)
			}
		}
	})
}

// FuzzAr reads anything as an ar archive: no member is longer than what is there.
func FuzzAr(f *testing.F) {
	addFixture(f, "curl-8.11.1", "badsig-1.0", "otherkey-1.0", "truncated-1.0")
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := newArReader(bytes.NewReader(raw))
		if err != nil {
			return
		}
		total := 0
		for {
			_, size, err := a.next()
			if err != nil {
				return
			}
			b, err := io.ReadAll(a)
			if err == nil && int64(len(b)) != size {
				t.Errorf("member of %d bytes gives %d", size, len(b))
			}
			if total += len(b) + arHeaderSize; total > len(raw) {
				t.Fatalf("%d bytes out of %d", total, len(raw))
			}
		}
	})
}

// FuzzHash checks that what is taken as +PKG_HASH is written in the one way there is.
func FuzzHash(f *testing.F) {
	f.Add(hashFile("demo-1.0", make([]byte, 70000), 65536))
	f.Add(hashFile("demo-1.0", make([]byte, 2048), 1024))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := parseHashes(raw)
		if err != nil {
			return
		}
		again := h.text()
		if d := cmp.Diff(string(raw), again); d != "" {
			t.Errorf("written back it differs: %s", d)
		}
	})
}

// FuzzSigned opens anything with the fixture's keyring: nothing is ever taken as
// signed but what that key signed.
func FuzzSigned(f *testing.F) {
	addFixture(f, "curl-8.11.1", "badsig-1.0", "otherkey-1.0", "truncated-1.0")
	real, err := os.ReadFile(fixture + "SmartOS/2024Q4/x86_64/All/curl-8.11.1.tgz")
	if err != nil {
		f.Fatal(err)
	}
	inner := bytes.TrimRight(real[len(real)-500:], "\n")
	opts := Options{Keyring: fixtureKeys(f), Policy: Always}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Open(context.Background(), "x", bytes.NewReader(raw), opts)
		if err == nil && !bytes.Contains(raw, inner) {
			t.Errorf("taken as %s", p.Name)
		}
	})
}

func (h *blockHashes) text() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "pkgsrc signature\n\nversion: 1\npkgname: %s\nalgorithm: SHA512\nblock size: %d\nfile size: %d\n\n",
		h.pkgName, h.blockSize, h.fileSize)
	for _, sum := range h.sums {
		fmt.Fprintf(&b, "%x\n", sum)
	}
	return b.String() + "end pkgsrc signature\n"
}
