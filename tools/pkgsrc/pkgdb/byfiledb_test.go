package pkgdb

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pagesOf describes where everything is.
func pagesOf(db *ByFileDB) []string {
	out := []string{fmt.Sprintf("%d pages, free %v", db.pages, db.free)}
	var walk func(n *btreeNode)
	walk = func(n *btreeNode) {
		out = append(out, fmt.Sprintf("page %d leaf %v: %d entries", n.no, n.leaf, len(n.entries)))
		for _, e := range n.entries {
			if n.leaf {
				out = append(out, fmt.Sprintf("%q %q", e.key, e.value))
				continue
			}
			out = append(out, fmt.Sprintf("%q page %d", e.key, e.below.no))
			walk(e.below)
		}
	}
	walk(db.root)
	return out
}

// history is a number of changes: "+KEY<TAB>VALUE", "-KEY", "close".
func history(r *rand.Rand, n, wide int) (ops []string) {
	var have []string
	dir := "/opt/local"
	for len(ops) < n {
		if r.IntN(6) == 0 {
			dir = fmt.Sprintf("/opt/local/%s/d%d", []string{"bin", "share/doc", "lib", "man/man1"}[r.IntN(4)], r.IntN(20))
		}
		switch k := r.IntN(20); {
		case k == 0:
			ops = append(ops, "close")
		case k < 3 && len(have) > 0: // a whole package goes
			i := r.IntN(len(have))
			gone := have[i:min(len(have), i+r.IntN(60)+1)]
			for _, key := range gone {
				ops = append(ops, "-"+key)
			}
			have = slices.Delete(have, i, i+len(gone))
		default:
			for i := range r.IntN(10) {
				key := fmt.Sprintf("%s/%x%s", dir, r.IntN(1<<20), strings.Repeat("x", r.IntN(wide)))
				if r.IntN(3) == 0 {
					key = fmt.Sprintf("%s/file%05d", dir, len(have)+i)
				}
				ops = append(ops, "+"+key+"\t"+fmt.Sprintf("package-%d.%d%s", r.IntN(30), i, strings.Repeat("y", r.IntN(wide/4+1))))
				have = append(have, key)
			}
		}
	}
	return ops
}

func apply(t *testing.T, db *ByFileDB, ops []string) *ByFileDB {
	t.Helper()
	for _, op := range ops {
		switch {
		case op == "close":
			raw := db.Bytes()
			again, err := ParseByFile(raw)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(pagesOf(db), pagesOf(again)); d != "" {
				t.Fatalf("written and read again: %s", d)
			}
			db = again
		case op[0] == '+':
			key, value, _ := strings.Cut(op[1:], "\t")
			db.Put(key, value)
		default:
			db.Delete(op[1:])
		}
	}
	return db
}

// A database holds what a map would.
func TestByFileDB(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 7))
		ops := history(r, 2000, []int{4, 60, 900}[seed%3])
		db := apply(t, NewByFileDB(), append(ops, "close"))
		want := map[string]string{}
		for _, op := range ops {
			switch key, value, _ := strings.Cut(op[1:], "\t"); op[0] {
			case '+':
				if _, have := want[key]; !have && len(key) < maxByFileItem {
					want[key] = value
				}
			case '-':
				delete(want, key)
			}
		}
		pairs := db.Pairs()
		if len(pairs) != len(want) {
			t.Fatalf("seed %d: %d pairs, want %d", seed, len(pairs), len(want))
		}
		for i, p := range pairs {
			if got, ok := db.Get(p.Path); !ok || got != p.Package || want[p.Path] != got || i > 0 && pairs[i-1].Path >= p.Path {
				t.Errorf("seed %d: %q: %q, want %q", seed, p.Path, got, want[p.Path])
			}
		}
		for _, p := range pairs {
			if !db.Delete(p.Path) || db.Delete(p.Path) {
				t.Errorf("seed %d: deleting %q", seed, p.Path)
			}
		}
		if len(db.Pairs()) != 0 || len(db.free) != int(db.pages)-2 || !db.root.leaf {
			t.Errorf("seed %d: emptied, but %v", seed, pagesOf(db))
		}
	}
}

// The real library makes the same pages of the same history.
func TestRealHistory(t *testing.T) {
	t.Parallel()
	lib := realLibrary(t)
	for seed := range uint64(18) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 8))
			ops := history(r, int(100+seed*seed*12), []int{4, 60, 900}[seed%3])
			file := filepath.Join(t.TempDir(), "db")
			cmd := exec.CommandContext(t.Context(), "python3", "testdata/db185ops.py", lib, file)
			cmd.Stdin = strings.NewReader(strings.Join(ops, "\n"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			real, err := ParseByFile(raw)
			if err != nil {
				t.Fatal(err)
			}
			ours := apply(t, NewByFileDB(), ops)
			if d := cmp.Diff(pagesOf(real), pagesOf(ours)); d != "" {
				t.Errorf("(-real +ours) %.3000s", d)
			}
			if len(raw) != len(ours.Bytes()) {
				t.Errorf("%d bytes, really %d", len(ours.Bytes()), len(raw))
			}
		})
	}
}
