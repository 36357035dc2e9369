package dataset

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/oracle"
	"github.com/TritonDataCenter/engbld/tools/zstream"
)

// TestMutations alters good streams at random, with right checksums, and asks
// both our reader and real ZFS. What real ZFS refuses or finds inconsistent, our
// reader must refuse or Check must find. Content is not read, since an altered
// size may be that of a huge sparse file. ENGBLD_MUTATIONS says how many; each
// costs a second or two.
func TestMutations(t *testing.T) {
	count := int(envNumber(t, "ENGBLD_MUTATIONS", 0))
	if count == 0 {
		t.Skip("ENGBLD_MUTATIONS is not set")
	}
	oracle.Dir(t)
	seed := envNumber(t, "ENGBLD_SEED", 1)
	tree := fstree.New(testTime)
	must(t, tree.MkdirAll("d/e", 0o755))
	for i := range 30 {
		must(t, tree.WriteFile(fmt.Sprintf("d/file-%d", i), bytes.Repeat([]byte{byte(i)}, 700*i), 0o644))
	}
	must(t, tree.WriteFile("large", bytes.Repeat([]byte("large"), 100000), 0o640))
	must(t, tree.WriteFile("d/e/"+string(bytes.Repeat([]byte("n"), 100)), nil, 0o600))
	must(t, tree.Put("d/link", &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: string(bytes.Repeat([]byte("t"), 300))}))
	must(t, tree.Link("large", "d/hard"))
	full := writeFull(t, tree, 5)
	base, err := Read(context.Background(), []Layer{full}, ReadOptions{})
	must(t, err)
	tree, err = base.Tree(testTime)
	must(t, err)
	must(t, tree.RemoveAll("d/file-3"))
	must(t, tree.RemoveAll("d/file-4"))
	must(t, tree.WriteFile("d/file-9", []byte("rewritten"), 0o644))
	must(t, tree.WriteFile("large", bytes.Repeat([]byte("other"), 70000), 0o640))
	must(t, tree.Rename("d/link", "d/e/link"))
	tree.Root.Child("d").Child("file-20").SetPerm(0o4711)
	incr := writeIncrement(t, base, tree, 6)
	var good [2][]byte
	for i, l := range []Layer{full, incr} {
		good[i] = make([]byte, l.Size)
		_, err := l.R.ReadAt(good[i], 0)
		must(t, err)
	}
	agree := 0
	for i := range count {
		r := rand.New(rand.NewPCG(seed+uint64(i), 7))
		which := r.IntN(2)
		b := bytes.Clone(good[which])
		what := fmt.Sprintf("seed %d: stream %d, ", seed+uint64(i), which) + mutate(r, b, recordOffsets(t, b))
		chain := [][]byte{reseal(b)}
		if which == 1 {
			chain = [][]byte{good[0], chain[0]}
		}
		var files []string
		dir := t.TempDir()
		for k, b := range chain {
			files = append(files, filepath.Join(dir, fmt.Sprint(k)))
			must(t, os.WriteFile(files[k], b, 0o600))
		}
		ours := verdict(chain)
		theirs := oracle.Ask(t, oracle.Options{Relaxed: true, NoSums: true}, files...)
		switch {
		case ours == "" && theirs.Exit != 0:
			t.Errorf("%s: ours has no complaint, real ZFS exits %d\n%.1500s", what, theirs.Exit, theirs.Story)
		case ours != "" && theirs.Exit == 0:
			t.Logf("%s: real ZFS takes it, ours: %s", what, ours)
		default:
			agree++
		}
	}
	t.Logf("%d of %d alike", agree, count)
}

// recordOffsets finds the records of a stream.
func recordOffsets(t *testing.T, b []byte) []int {
	t.Helper()
	r, err := zstream.NewReader(bytes.NewReader(b))
	must(t, err)
	out := []int{0}
	for at := r.Offset(); ; at = r.Offset() {
		if _, err := r.Next(); err != nil {
			return out
		}
		out = append(out, int(at))
	}
}

// mutate changes one field of one record, or a few bytes of a payload.
func mutate(r *rand.Rand, b []byte, headers []int) string {
	k := r.IntN(len(headers))
	at := headers[k]
	end := len(b)
	if k+1 < len(headers) {
		end = headers[k+1]
	}
	if payload := at + zstream.RecordSize; payload < end && r.IntN(2) == 0 {
		// Mostly near the beginning, where headers and attributes are.
		n := end - payload
		if r.IntN(3) > 0 {
			n = min(n, 200)
		}
		pos := payload + r.IntN(n)
		old := b[pos]
		b[pos] ^= 1 << r.IntN(8)
		return fmt.Sprintf("record %d (%v), byte %d of its payload: %#x to %#x", k, zstream.Kind(le.Uint32(b[at:])), pos-payload, old, b[pos])
	}
	pos := at + r.IntN(64)
	old := b[pos]
	b[pos] ^= 1 << r.IntN(8)
	return fmt.Sprintf("record %d (%v), byte %d: %#x to %#x", k, zstream.Kind(le.Uint32(b[at:])), pos-at, old, b[pos])
}

// verdict is our reader's complaint, "" if it has none.
func verdict(chain [][]byte) string {
	ctx := context.Background()
	var layers []Layer
	for _, b := range chain {
		layers = append(layers, Layer{R: bytes.NewReader(b), Size: int64(len(b)), Name: "mutant"})
	}
	ds, err := Read(ctx, layers, ReadOptions{})
	if err != nil {
		return err.Error()
	}
	found, err := ds.Check(ctx, CheckOptions{})
	if err != nil {
		return err.Error()
	}
	if len(found) > 0 {
		return found[0].String()
	}
	if _, err := ds.Listing(ctx, ListOptions{NoSums: true}); err != nil {
		return err.Error()
	}
	return ""
}
