// Package storetest checks that a bits.Store does what uploads rely on.
package storetest

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/fault"
)

// Run checks the stores that open returns, an empty one each time. follow
// returns what a reader of the pointer name finds: the upload's stamp.
func Run(t *testing.T, open func(t *testing.T) bits.Store, follow func(t *testing.T, s bits.Store, name string) string) {
	file := func(t *testing.T, content string) bits.File {
		p := filepath.Join(t.TempDir(), "a file")
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return bits.File{Name: "a file", Path: p, Size: int64(len(content)), Mode: 0o644}
	}
	sum := func(content string) bits.Sum { return md5.Sum([]byte(content)) }

	t.Run("nothing there", func(t *testing.T) {
		if _, err := open(t).Stat(t.Context(), "s/none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat of nothing: %v, want fs.ErrNotExist", err)
		}
	})
	t.Run("put and ask", func(t *testing.T) {
		s := open(t)
		for _, content := range []string{"one\n", "", strings.Repeat("x", 100_000), "replaced"} {
			got, err := s.Put(t.Context(), "stamp/dir/a file", file(t, content))
			if err != nil || got != sum(content) {
				t.Fatalf("Put: %v, %v", got, err)
			}
			st, err := s.Stat(t.Context(), "stamp/dir/a file")
			if err != nil || st.Size != int64(len(content)) {
				t.Fatalf("Stat: %+v, %v", st, err)
			}
			if st.Sum == nil {
				got, err := s.Sum(t.Context(), "stamp/dir/a file")
				if err != nil {
					t.Fatal(err)
				}
				st.Sum = &got
			}
			if *st.Sum != sum(content) {
				t.Errorf("the sum of %d bytes differs from that of what was put", len(content))
			}
		}
	})
	t.Run("a file that shrank is not stored", func(t *testing.T) {
		s := open(t)
		f := file(t, "one\n")
		f.Size = 5
		if _, err := s.Put(t.Context(), "stamp/f", f); err == nil {
			t.Error("no error")
		}
		if _, err := s.Stat(t.Context(), "stamp/f"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is there: %v", err)
		}
	})
	t.Run("what is not as promised is not stored", func(t *testing.T) {
		s := open(t)
		f := file(t, "one\n")
		f.Promise = &bits.Promise{SHA1: "da39a3ee5e6b4b0d3255bfef95601890afd80709", By: "manifest"}
		if _, err := s.Put(t.Context(), "stamp/f", f); fault.KindOf(err) != fault.Drift {
			t.Errorf("%v", err)
		}
		if _, err := s.Stat(t.Context(), "stamp/f"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is there: %v", err)
		}
		h := sha1.Sum([]byte("one\n"))
		f.Promise.SHA1 = hex.EncodeToString(h[:])
		if got, err := s.Put(t.Context(), "stamp/f", f); err != nil || got != sum("one\n") {
			t.Errorf("as promised: %v, %v", got, err)
		}
	})
	t.Run("pointers", func(t *testing.T) {
		s := open(t)
		for _, stamp := range []string{"s1", "s2", "s2"} {
			if err := s.Mkdir(t.Context(), stamp); err != nil {
				t.Fatal(err)
			}
			if err := s.PutText(t.Context(), stamp+"/md5sums.txt", "text\n"); err != nil {
				t.Fatal(err)
			}
			if err := s.Point(t.Context(), "master-latest", stamp); err != nil {
				t.Fatal(err)
			}
			if got := follow(t, s, "master-latest"); got != stamp {
				t.Errorf("the pointer leads to %q, want %q", got, stamp)
			}
		}
	})
}
