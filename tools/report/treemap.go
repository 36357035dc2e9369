package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/compare"
)

// rect is a place on a map, in shares of its width and height.
type rect struct{ x, y, w, h float64 }

// item is something to be placed: its size decides its area.
type item struct {
	size int64
	leaf *tile  // what is drawn there, or
	sub  []item // what the area is divided among
}

// tile is one thing on a map.
type tile struct {
	ID    string // of its rule in the style sheet
	Above string // what stands before the label where there is room
	Label string
	Size  string
	Share string
	Title string
	Href  string // "#" and the id of its row; "" has none
	Class string
	at    rect // its place, set by place
}

// Widths of a map in heights: on a wide screen and on a narrow one.
const (
	aspectWide   = 2.6
	aspectNarrow = 0.68
)

// place divides an area among items so that the pieces come near to squares
// (the squarified treemap of Bruls, Huizing and van Wijk). Order is largest
// first, then as given.
func place(items []item, at rect, aspect float64) {
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(b.size, a.size) })
	var total int64
	for _, it := range items {
		total += it.size
	}
	for len(items) > 0 && total > 0 {
		if items[0].size <= 0 {
			return
		}
		across := at.w*aspect < at.h // lay a row along the shorter side
		side, depth := at.h, at.w*aspect
		if across {
			side, depth = at.w*aspect, at.h
		}
		n, sum := row(items, total, side, depth)
		share := float64(sum) / float64(total)
		offset := 0.0
		for _, it := range items[:n] {
			part := float64(it.size) / float64(sum)
			r := rect{at.x, at.y + offset*at.h, at.w * share, at.h * part}
			if across {
				r = rect{at.x + offset*at.w, at.y, at.w * part, at.h * share}
			}
			offset += part
			if it.leaf != nil {
				it.leaf.at = r
			} else {
				place(it.sub, r, aspect)
			}
		}
		if across {
			at.y, at.h = at.y+at.h*share, at.h*(1-share)
		} else {
			at.x, at.w = at.x+at.w*share, at.w*(1-share)
		}
		items, total = items[n:], total-sum
	}
}

// row chooses how many of the items make the next row: as many as make the worst
// of its pieces no worse.
func row(items []item, total int64, side, depth float64) (n int, sum int64) {
	best := 0.0
	for i, it := range items {
		if it.size <= 0 {
			break
		}
		with := sum + it.size
		thick := depth * float64(with) / float64(total)
		worst := 0.0
		for _, p := range items[:i+1] {
			long := side * float64(p.size) / float64(with)
			worst = max(worst, max(long/thick, thick/long))
		}
		if i > 0 && worst > best {
			break
		}
		n, sum, best = i+1, with, worst
	}
	return n, sum
}

// sheet places the items of maps, for wide and for narrow screens, and returns the
// style sheet's rules that put the tiles there.
func sheet(maps ...[]item) string {
	var b strings.Builder
	all := func(aspect float64) {
		for _, m := range maps {
			place(m, rect{0, 0, 1, 1}, aspect)
			walk(m, func(t *tile) {
				fmt.Fprintf(&b, "#%s{left:%.3f%%;top:%.3f%%;width:%.3f%%;height:%.3f%%}\n", t.ID, 100*t.at.x, 100*t.at.y, 100*t.at.w, 100*t.at.h)
			})
		}
	}
	all(aspectWide)
	b.WriteString("@media (max-width:44rem){\n")
	all(aspectNarrow)
	b.WriteString("}\n")
	return b.String()
}

func walk(items []item, f func(*tile)) {
	for _, it := range items {
		if it.leaf != nil {
			f(it.leaf)
		}
		walk(it.sub, f)
	}
}

const (
	maxTiles = 80
	minShare = 0.003 // of the whole: what is smaller shares a tile
	maxDirs  = 28    // tiles of the map of directories
	wideDir  = 0.08  // share from which on a directory is divided
)

// divide makes the items of a directory: directories that are large are divided
// again, while there is room for more tiles.
func divide(root *compare.Dir, leaf func(d *compare.Dir, own bool) *tile) []item {
	open := map[*compare.Dir]bool{root: true}
	count := len(root.Dirs) + 1
	for count < maxDirs {
		var next *compare.Dir
		visit(root, open, func(d *compare.Dir) {
			if !open[d] && len(d.Dirs) > 0 && float64(d.Bytes) >= wideDir*float64(root.Bytes) && (next == nil || d.Bytes > next.Bytes) {
				next = d
			}
		})
		if next == nil {
			break
		}
		open[next] = true
		count += len(next.Dirs)
	}
	var items func(d *compare.Dir) []item
	items = func(d *compare.Dir) []item {
		var list []item
		add := func(size int64, dir *compare.Dir, own bool) {
			list = append(list, item{size: size, leaf: leaf(dir, own)})
		}
		var rest compare.Dir
		for _, c := range d.Dirs {
			switch {
			case open[c]:
				list = append(list, item{size: c.Bytes, sub: items(c)})
			case float64(c.Bytes) < minShare*float64(root.Bytes):
				rest.Bytes, rest.Files = rest.Bytes+c.Bytes, rest.Files+c.Files
			default:
				add(c.Bytes, c, false)
			}
		}
		if own := d.Own + rest.Bytes; own > 0 {
			add(own, d, true)
		}
		return list
	}
	return items(root)
}

// visit calls f for the directories that are seen when those in open are divided.
func visit(d *compare.Dir, open map[*compare.Dir]bool, f func(*compare.Dir)) {
	for _, c := range d.Dirs {
		f(c)
		if open[c] {
			visit(c, open, f)
		}
	}
}
