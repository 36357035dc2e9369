package sniff

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// Summaries of one directory, compressed by gzip, bzip2, xz and zstd from the same text.
const dir = "../testdata/fixture/SmartOS/2024Q4/x86_64/All/pkg_summary"

func TestAllFormsHoldTheSame(t *testing.T) {
	t.Parallel()
	var first []byte
	for suffix, form := range map[string]Form{".gz": Gzip, ".bz2": Bzip2, ".xz": XZ, ".zst": Zstd} {
		raw, err := os.ReadFile(dir + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if got := Detect(raw); got != form {
			t.Errorf("%s is detected as %s", suffix, got)
		}
		text, err := All(bytes.NewReader(raw), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = text
		}
		if !bytes.Equal(text, first) || !bytes.HasPrefix(text, []byte("PKGNAME=")) {
			t.Errorf("%s holds another text", suffix)
		}
		if _, err := All(bytes.NewReader(raw), int64(len(text)-1)); err == nil {
			t.Errorf("%s: the limit does not hold", suffix)
		}
		for _, cut := range []int{7, len(raw) / 2, len(raw) - 1} {
			if _, err := All(bytes.NewReader(raw[:cut]), 1<<20); err == nil {
				t.Errorf("%s cut to %d bytes is taken as whole", suffix, cut)
			}
		}
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "x", "a longer text"} {
		got, err := All(strings.NewReader(in), 100)
		if err != nil || string(got) != in {
			t.Errorf("%q comes out as %q, %v", in, got, err)
		}
	}
}

func TestErrorsOfTheSourcePass(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(dir + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, n := range []int{0, 3, 500} {
		r := io.MultiReader(bytes.NewReader(raw[:n]), errReader{broken})
		if _, err := All(r, 1<<20); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestHugeWindowIsRefused(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(dir + ".xz")
	if err != nil {
		t.Fatal(err)
	}
	raw[16] = 40 // the property byte: 4 GiB - 1
	if _, err := All(bytes.NewReader(raw), 1<<20); err == nil || !strings.Contains(err.Error(), "window") {
		t.Errorf("a window of 4 GiB: %v", err)
	}
}
