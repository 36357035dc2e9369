package dataset

import (
	"maps"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	t.Parallel()
	var have table[int]
	want := map[uint64]*int{}
	for i, num := range []uint64{0, 1, 31, 32, 33, 5, 5, 1 << 47, math.MaxUint64, math.MaxUint64 - 31} {
		have.set(num, &i)
		want[num] = &i
	}
	same := func() {
		t.Helper()
		if d := cmp.Diff(want, maps.Collect(have.all())); d != "" || have.len() != len(want) {
			t.Errorf("%d of %d: %s", have.len(), len(want), d)
		}
		for num, v := range want {
			if have.get(num) != v {
				t.Errorf("%d is not there", num)
			}
		}
	}
	same()
	for _, num := range []uint64{0, 0, 2, 1 << 40, 1 << 47} {
		have.remove(num)
		delete(want, num)
	}
	same()
	for num := range have.all() {
		have.remove(num)
	}
	if clear(want); len(have.pages) != 0 {
		t.Error("empty pages are kept")
	}
	same()
}
