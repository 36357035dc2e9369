package compare

import (
	"bufio"
	"fmt"
	"io"
	"path"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/TritonDataCenter/engbld/tools/ui"
)

// TreeOptions choose what a drawn tree shows.
type TreeOptions struct {
	Path     string // where it begins; "" is the root
	Depth    int    // levels; 0 is all
	DirsOnly bool
	Packages bool // tell the package of each file
}

// Entry is one name of a tree.
type Entry struct {
	Name    string   `json:"name"` // odd bytes as \ooo
	Type    string   `json:"type"` // file, dir, link, char, block, fifo, socket
	Target  string   `json:"target,omitempty"`
	Package string   `json:"package,omitempty"` // full name
	Files   int      `json:"files,omitempty"`   // names below a directory
	Bytes   int64    `json:"bytes"`             // of content, with all below
	Entries []*Entry `json:"entries,omitempty"`
}

// Tree collects a directory; Depth and DirsOnly leave entries out, not their
// sizes. A file with several names has its bytes under the first one it is
// seen with.
func Tree(im *survey.Image, o TreeOptions) (*Entry, error) {
	n, err := im.Tree.Stat(o.Path)
	if err != nil {
		return nil, err
	}
	name := path.Clean("/" + o.Path)
	c := &collector{im: im, o: o, seen: map[*fstree.Node]bool{}}
	return c.entry(name, n, 0), nil
}

type collector struct {
	im   *survey.Image
	o    TreeOptions
	seen map[*fstree.Node]bool
}

func (c *collector) entry(name string, n *fstree.Node, level int) *Entry {
	e := &Entry{Name: dataset.Quote(name), Type: typeName(n)}
	if p := c.im.Owner(n); p != nil {
		e.Package = p.Name
	}
	switch {
	case n.IsSymlink():
		e.Target = dataset.Quote(n.Target)
	case n.IsRegular() && !c.seen[n]:
		e.Bytes = n.Size()
		c.seen[n] = n.Names() > 1
	case n.IsDir():
		for _, name := range n.List() {
			child := n.Child(name)
			sub := c.entry(name, child, level+1)
			e.Files += 1 + sub.Files
			e.Bytes += sub.Bytes
			if (c.o.Depth == 0 || level < c.o.Depth) && (child.IsDir() || !c.o.DirsOnly) {
				e.Entries = append(e.Entries, sub)
			}
		}
	}
	return e
}

func typeName(n *fstree.Node) string {
	switch n.Type() {
	case fstree.TypeDir:
		return "dir"
	case fstree.TypeSymlink:
		return "link"
	case fstree.TypeChar:
		return "char"
	case fstree.TypeBlock:
		return "block"
	case fstree.TypeFifo:
		return "fifo"
	case fstree.TypeSocket:
		return "socket"
	}
	return "file"
}

// WriteText draws the tree.
func (e *Entry) WriteText(w io.Writer, packages bool) error {
	b := bufio.NewWriter(w)
	e.draw(b, "", "", packages)
	return b.Flush()
}

func (e *Entry) draw(b *bufio.Writer, first, rest string, packages bool) {
	b.WriteString(first + e.Name)
	switch e.Type {
	case "link":
		b.WriteString(" -> " + e.Target)
	case "dir":
		if e.Files > 0 {
			fmt.Fprintf(b, "  (%s, %s)", number(e.Files, "file"), ui.Bytes(e.Bytes))
		}
	case "file":
		b.WriteString("  " + ui.Bytes(e.Bytes))
	default:
		b.WriteString("  " + e.Type)
	}
	if packages && e.Package != "" {
		b.WriteString("  [" + plain(e.Package) + "]")
	}
	b.WriteString("\n")
	for i, c := range e.Entries {
		if i == len(e.Entries)-1 {
			c.draw(b, rest+"└── ", rest+"    ", packages)
		} else {
			c.draw(b, rest+"├── ", rest+"│   ", packages)
		}
	}
}
