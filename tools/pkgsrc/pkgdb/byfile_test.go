package pkgdb

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func somePairs(n int) []Pair {
	pairs := make([]Pair, n)
	for i := range pairs {
		path := fmt.Sprintf("/opt/local/share/%s/%x", strings.Repeat("d", i%97), i*2654435761%1000003)
		pairs[i] = Pair{path, fmt.Sprintf("package-%d.%d", i%53, i%7)}
	}
	return pairs
}

func TestByFileRoundTrip(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 30, 60, 61, 1000, 20023} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			in := somePairs(n)
			raw := WriteByFile(in)
			shuffled := slices.Clone(in)
			slices.Reverse(shuffled)
			if !bytes.Equal(raw, WriteByFile(shuffled)) {
				t.Error("bytes depend on the order of the pairs")
			}
			got, err := ReadByFile(raw)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sortPairs(in), got, cmp.Transformer("nil", func(p []Pair) []Pair { return append([]Pair{}, p...) })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestByFileLimits(t *testing.T) {
	t.Parallel()
	long := "/" + strings.Repeat("x", 1022)
	raw := WriteByFile([]Pair{{"/b", "two-1"}, {long, strings.Repeat("p", 999)}, {long + "x", "p-1"}, {"/a", strings.Repeat("p", 1024)}, {"/b", "one-1"}})
	got, err := ReadByFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := []Pair{{"/b", "two-1"}, {long, strings.Repeat("p", 999)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func realLibrary(t *testing.T) string {
	t.Helper()
	lib := os.Getenv("ENGBLD_TEST_LIBDB1")
	if lib == "" {
		found, _ := filepath.Glob("/lib/libdb1.so.2")
		if len(found) == 0 {
			t.Skip("no Berkeley DB 1.85 library: install Debian's libdb1-compat or set ENGBLD_TEST_LIBDB1")
		}
		lib = found[0]
	}
	return lib
}

// TestRealLibrary has a genuine Berkeley DB 1.85 library work on our files.
func TestRealLibrary(t *testing.T) {
	t.Parallel()
	lib := realLibrary(t)
	for _, n := range []int{0, 1, 40, 700, 20023} {
		pairs := somePairs(n)
		file := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(file, WriteByFile(pairs), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "python3", "testdata/db185.py", lib, file)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%d pairs: %v", n, err)
		}
		var want strings.Builder
		for _, p := range sortPairs(pairs) {
			fmt.Fprintf(&want, "%s\t%s\n", p.Path, p.Package)
		}
		if diff := cmp.Diff(want.String(), string(out)); diff != "" {
			t.Errorf("%d pairs: %s", n, diff)
		}
		// What the library made of the file can be read again.
		raw, err := os.ReadFile(file + ".copy")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadByFile(raw); err != nil {
			t.Errorf("%d pairs, changed by the library: %v", n, err)
		}
	}
}

func FuzzReadByFile(f *testing.F) {
	for _, n := range []int{0, 1, 300} {
		f.Add(WriteByFile(somePairs(n)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		pairs, err := ReadByFile(raw)
		if err != nil {
			return
		}
		kept := slices.DeleteFunc(sortPairs(pairs), func(p Pair) bool {
			return max(len(p.Path), len(p.Package)) >= maxByFileItem || len(p.Path)+len(p.Package)+2 > maxByFilePair
		})
		again, err := ReadByFile(WriteByFile(pairs))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(kept, again) {
			t.Error("written and read again the pairs differ")
		}
		// Whatever was read can be changed.
		db, err := ParseByFile(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range somePairs(100) {
			db.Put(p.Path, p.Package)
		}
		if _, err := ParseByFile(db.Bytes()); err != nil {
			t.Fatal(err)
		}
		for _, p := range db.Pairs() {
			if !db.Delete(p.Path) {
				t.Errorf("%q is listed, but not found", p.Path)
			}
		}
	})
}
