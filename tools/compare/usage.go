package compare

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/TritonDataCenter/engbld/tools/ui"
)

// Usage is what an image's bytes are spent on.
type Usage struct {
	Name      string         `json:"name"`
	Files     int            `json:"files"`
	Bytes     int64          `json:"bytes"`
	Packages  []PackageUsage `json:"packages"`  // largest first
	Directory *Dir           `json:"directory"` // the root
}

// PackageUsage is the size of one package. Names in parentheses stand for files
// of no single package.
type PackageUsage struct {
	Name  string `json:"name"` // full
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

const noPackage = "(no package)"

// Dir is a directory and all below it.
type Dir struct {
	Path  string `json:"path"` // odd bytes as \ooo; the root is "/"
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	Own   int64  `json:"own"` // bytes of the files that are entries of the directory itself
	Dirs  []*Dir `json:"dirs,omitempty"`
}

// Measure adds up an image. Directories are told apart down to depth levels
// below the root; 0 is all of them.
func Measure(im *survey.Image, depth int) *Usage {
	u := &Usage{Name: im.Name, Files: im.Files, Bytes: im.Bytes, Packages: []PackageUsage{}, Directory: &Dir{Path: "/"}}
	for _, p := range im.Packages {
		u.Packages = append(u.Packages, PackageUsage{p.Name, p.Files, p.Bytes})
	}
	rest := map[string]*PackageUsage{survey.Database: {Name: survey.Database}, survey.NoGroup: {Name: noPackage}}
	rest[survey.Several] = rest[survey.NoGroup] // directories, without bytes
	im.Walk(func(_ string, n *fstree.Node, bytes int64) {
		if p := rest[im.Group(n)]; p != nil {
			p.Files, p.Bytes = p.Files+1, p.Bytes+bytes
		}
	})
	for _, g := range []string{survey.Database, survey.NoGroup} {
		if rest[g].Files > 0 {
			u.Packages = append(u.Packages, *rest[g])
		}
	}
	slices.SortFunc(u.Packages, func(a, b PackageUsage) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Name, b.Name))
	})
	dirs := map[string]*Dir{"": u.Directory}
	im.Walk(func(name string, n *fstree.Node, bytes int64) {
		level, above := 0, "" // of the directory it counts for
		for i := range len(name) {
			if name[i] == '/' && (depth == 0 || level < depth) {
				level, above = level+1, name[:i]
			}
		}
		d := dirs[above]
		d.Files, d.Bytes = d.Files+1, d.Bytes+bytes
		if !n.IsDir() {
			d.Own += bytes
		} else if depth == 0 || strings.Count(name, "/") < depth {
			child := &Dir{Path: dataset.Quote("/" + name)}
			dirs[name] = child
			d.Dirs = append(d.Dirs, child)
		}
	})
	u.Directory.sum()
	return u
}

// sum adds what is below a directory to it, and sorts that.
func (d *Dir) sum() {
	for _, c := range d.Dirs {
		c.sum()
		d.Files, d.Bytes = d.Files+c.Files, d.Bytes+c.Bytes
	}
	slices.SortFunc(d.Dirs, func(a, b *Dir) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Path, b.Path))
	})
}

// UsageOptions choose what WriteText shows.
type UsageOptions struct {
	Packages, Directories bool // which of the two; neither is both
	All                   bool // small ones too
}

const (
	maxRows = 15    // packages shown without All
	tiny    = 0.002 // share of the whole below which a directory is not shown without All
)

// WriteText writes sizes, largest first, each with its share of the whole.
func (u *Usage) WriteText(w io.Writer, o UsageOptions) error {
	both := o.Packages == o.Directories
	t := &text{}
	head := func(name string) {
		t.line("")
		t.row(fmt.Sprintf("%10s", "size"), fmt.Sprintf("%6s", "share"), fmt.Sprintf("%6s", "files"), name)
	}
	t.line(fmt.Sprintf("%s: %s in %s", plain(u.Name), ui.Bytes(u.Bytes), number(u.Files, "file")))
	if o.Packages || both {
		head("package")
		for i, p := range u.Packages {
			if i == maxRows && !o.All && len(u.Packages) > maxRows+1 {
				var rest PackageUsage
				for _, q := range u.Packages[i:] {
					rest.Files, rest.Bytes = rest.Files+q.Files, rest.Bytes+q.Bytes
				}
				u.row(t, rest.Bytes, rest.Files, fmt.Sprintf("%d more (--all)", len(u.Packages)-i))
				break
			}
			u.row(t, p.Bytes, p.Files, plain(p.Name))
		}
		t.flush("  ")
	}
	if o.Directories || both {
		head("directory")
		u.dir(t, u.Directory, o.All)
		t.flush("  ")
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

func (u *Usage) dir(t *text, d *Dir, all bool) {
	u.row(t, d.Bytes, d.Files, d.Path)
	for _, c := range d.Dirs {
		if all || c.share(u.Bytes) >= tiny {
			u.dir(t, c, all)
		}
	}
}

func (d *Dir) share(of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(d.Bytes) / float64(of)
}

func (u *Usage) row(t *text, bytes int64, files int, name string) {
	share := 0.0
	if u.Bytes > 0 {
		share = 100 * float64(bytes) / float64(u.Bytes)
	}
	t.row(fmt.Sprintf("%10s", ui.Bytes(bytes)), fmt.Sprintf("%5.1f%%", share), fmt.Sprintf("%6d", files), name)
}
