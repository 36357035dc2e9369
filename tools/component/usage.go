package component

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/makefile"
	"github.com/TritonDataCenter/engbld/tools/rest"
)

const maxCheckouts = 5000

// Use is one image and who builds on it.
type Use struct {
	UUID   string   `json:"uuid"`
	Image  string   `json:"image,omitempty"` // name@version, empty if not known
	Pkgsrc string   `json:"pkgsrc,omitempty"`
	State  string   `json:"state"`          // newest, outdated, no origin image, unknown
	Base   []string `json:"base,omitempty"` // components that build on it
	Node   []string `json:"node,omitempty"` // components that take their node from it, and make no image
}

// Usage says which images are in use.
type Usage struct {
	Images []Use    `json:"images"`
	Unused []string `json:"unused"`           // released origin images that nobody builds on
	Other  []string `json:"other,omitempty"`  // components without an image, or one that only make can tell
	Broken []string `json:"broken,omitempty"` // could not be read, and why
}

// Survey looks at components: each of dirs that is one, else those directly below
// it. Images of a monorepo (images/NAME) count as components. Nothing is run.
func Survey(set *flavor.Set, dirs []string) (*Usage, error) {
	uses := map[string]*Use{}
	u := &Usage{Images: []Use{}, Unused: []string{}}
	n := 0
	for _, dir := range dirs {
		list, err := find(dir)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			if n++; n > maxCheckouts {
				return nil, fault.Usage.Errorf("more than %d components", maxCheckouts)
			}
			u.one(uses, d)
		}
	}
	order := map[string]int{}
	for i, k := range set.Known() {
		order[k.UUID] = i + 1
	}
	last := newest(set)
	for uuid, use := range uses {
		k, ok := known(set, uuid)
		use.UUID, use.State = uuid, "unknown"
		if ok {
			use.Image, use.Pkgsrc, use.State = k.String(), k.Pkgsrc, "outdated"
			if !k.Origin {
				use.State = "no origin image"
			} else if r, _ := released(k.Flavor); k.Flavor == last && r.UUID == uuid {
				use.State = "newest"
			}
		}
		u.Images = append(u.Images, *use)
	}
	sort.Slice(u.Images, func(i, j int) bool {
		a, b := u.Images[i], u.Images[j]
		if order[a.UUID] != order[b.UUID] {
			return order[a.UUID] > order[b.UUID]
		}
		return a.UUID < b.UUID
	})
	for _, k := range set.Known() {
		if use := uses[k.UUID]; k.Origin && (use == nil || len(use.Base) == 0) {
			u.Unused = append(u.Unused, k.String())
		}
	}
	return u, nil
}

func (u *Usage) one(uses map[string]*Use, dir string) {
	at := func(uuid string) *Use {
		if uses[uuid] == nil {
			uses[uuid] = &Use{}
		}
		return uses[uuid]
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		u.Broken = append(u.Broken, fmt.Sprintf("%s: %v", dir, err))
		return
	}
	c, err := open(full)
	if err != nil {
		u.Broken = append(u.Broken, fmt.Sprintf("%s: %v", dir, err))
		return
	}
	base, _ := c.uuids("BASE_IMAGE_UUID")
	for _, uuid := range base {
		at(uuid).Base = append(at(uuid).Base, dir)
	}
	if len(base) > 0 {
		return
	}
	node, _ := c.uuids("NODE_PREBUILT_IMAGE")
	for _, uuid := range node {
		at(uuid).Node = append(at(uuid).Node, dir)
	}
	if len(node) == 0 {
		u.Other = append(u.Other, dir)
	}
}

// find lists the components at and directly below dir, in order.
func find(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fault.Usage.Errorf("looking for components: %w", err)
	}
	if has(dir, entries) {
		return append([]string{dir}, images(dir)...), nil
	}
	if list := images(dir); len(list) > 0 {
		return list, nil
	}
	var list []string
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		below, err := os.ReadDir(sub)
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				continue
			}
			return nil, fault.Usage.Errorf("looking for components: %w", err)
		}
		if has(sub, below) {
			list = append(list, sub)
		}
		list = append(list, images(sub)...)
	}
	return list, nil
}

func has(dir string, entries []os.DirEntry) bool {
	for _, e := range entries {
		for _, n := range makefile.Names() {
			if e.Name() == n {
				st, err := os.Stat(filepath.Join(dir, n))
				return err == nil && st.Mode().IsRegular()
			}
		}
	}
	return false
}

// images lists the images of a monorepo.
func images(dir string) []string {
	var list []string
	entries, err := os.ReadDir(filepath.Join(dir, "images"))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		sub := filepath.Join(dir, "images", e.Name())
		if below, err := os.ReadDir(sub); err == nil && has(sub, below) {
			list = append(list, sub)
		}
	}
	return list
}

// WriteText writes the survey for people, youngest image first.
func (u *Usage) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, use := range u.Images {
		fmt.Fprintf(&b, "%s  %s", use.UUID, orelse(use.Image, "unknown"))
		if use.Image != "" {
			fmt.Fprintf(&b, "  %s, %s", use.Pkgsrc, use.State)
		}
		b.WriteByte('\n')
		list(&b, "base of", use.Base)
		list(&b, "node of", use.Node)
	}
	if len(u.Unused) > 0 {
		fmt.Fprintf(&b, "not in use: %s\n", strings.Join(u.Unused, " "))
	}
	if len(u.Other) > 0 {
		fmt.Fprintf(&b, "without a fixed image: %d\n", len(u.Other))
		list(&b, "", u.Other)
	}
	for _, s := range u.Broken {
		fmt.Fprintf(&b, "not readable: %s\n", rest.Clean(s))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// list writes names in lines of about 90 bytes.
func list(b *strings.Builder, what string, names []string) {
	if len(names) == 0 {
		return
	}
	if what != "" {
		what = fmt.Sprintf("%s %d: ", what, len(names))
	}
	line := "    " + what
	pad := strings.Repeat(" ", len(line))
	for i, n := range names {
		n = rest.Clean(n)
		if len(line)+len(n) > 90 && strings.TrimSpace(line) != strings.TrimSpace(what) {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = pad
		}
		line += n
		if i < len(names)-1 {
			line += " "
		}
	}
	b.WriteString(line + "\n")
}
