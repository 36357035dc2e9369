package report

import (
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/compare"
	"github.com/TritonDataCenter/engbld/tools/sbom"
	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/TritonDataCenter/engbld/tools/ui"
)

const maxRows = 1000

// page is what the template of a report sees: text that only has to be escaped.
type page struct {
	CSS            template.CSS
	Title, Version string
	Description    string
	Sandbox        bool
	Index          string
	Figures        []figure
	Facts          []fact
	Install        string

	PackageMap   []*tile
	DirectoryMap []*tile
	Legend       bool // colours of the map of packages tell of changes
	Directories  []directory

	Changes *changes
	Audited bool
	Audit   []finding
	AuditN  string

	Packages   []packageRow
	MoreRows   int
	Provenance *provenance
	Timings    []figure
}

// figure is one of the numbers at the top.
type figure struct{ Name, Value, Note string }

// fact is a line of the description.
type fact struct {
	Name, Value, More string
	Link              string // an address, or ""
	Code              bool
}

type directory struct {
	ID, Path, Size, Share, Files string
	Depth                        int
}

type packageRow struct {
	ID, Name, Version, Comment, License, Size, Share, Files, Mark string
	Home                                                          string
	Automatic                                                     bool
	Findings                                                      int
}

type finding struct {
	Package, Class, URL string
	New                 bool
	ID                  string // of the package's row
}

type changes struct {
	Since, What, UUID string
	Same              bool
	Sum               []figure
	Packages          []change
	Fixed             []finding
	Files             []change
	MoreFiles         int
	Groups            []change
	Manifest          []change
}

// change is a row of any of the tables of changes.
type change struct{ Mark, Word, Name, Old, New, Note string }

type provenance struct {
	Facts  []fact
	Inputs []input
	More   int
}

type input struct{ Name, URI, Kind, Digest string }

func newPage(d Data) *page {
	im := d.Image
	p := &page{Title: survey.Plain(im.Name), Index: d.Index, Audited: im.Audited}
	if m := im.Manifest; m != nil {
		p.Title, p.Version, p.Description, p.Sandbox = survey.Plain(m.Name()), survey.Plain(m.Version()), survey.Plain(m.Description()), m.Sandbox()
		if d.FileName != "" {
			p.Install = "imgadm install -m " + survey.Plain(manifestName(d.FileName)) + " -f " + survey.Plain(d.FileName)
		}
	}
	p.Facts = facts(d)
	p.Figures = figures(d)
	marks := p.packages(d)
	byPackage := packageMap(im, marks)
	byDirectory, rows := directoryMap(im)
	p.CSS = template.CSS(style + sheet(byPackage, byDirectory))
	walk(byPackage, func(t *tile) { p.PackageMap = append(p.PackageMap, t) })
	walk(byDirectory, func(t *tile) { p.DirectoryMap = append(p.DirectoryMap, t) })
	p.Legend, p.Directories = d.Since != nil, rows
	p.findings(d)
	p.Changes = newChanges(d)
	p.Provenance = newProvenance(d.Provenance)
	total := 0.0
	for i, t := range d.Timings {
		if i < maxRows {
			p.Timings = append(p.Timings, figure{Name: survey.Plain(t.Step), Value: fmt.Sprintf("%.2f s", t.Seconds)})
		}
		total += t.Seconds
	}
	if len(p.Timings) > 0 {
		p.Timings = append(p.Timings, figure{Name: "all", Value: fmt.Sprintf("%.2f s", total)})
	}
	return p
}

func manifestName(file string) string {
	for _, suffix := range []string{".zfs.gz", ".zfs.bz2", ".zfs.xz", ".zfs"} {
		if stem, ok := strings.CutSuffix(file, suffix); ok {
			return stem + ".imgmanifest"
		}
	}
	return file + ".imgmanifest"
}

func facts(d Data) []fact {
	m := d.Image.Manifest
	var list []fact
	add := func(f fact) {
		if f.Value != "" {
			f.Value, f.More = survey.Plain(f.Value), survey.Plain(f.More)
			list = append(list, f)
		}
	}
	if m != nil {
		add(fact{Name: "Image", Value: m.UUID(), Code: true})
		add(fact{Name: "Published", Value: day(m.PublishedAt())})
		switch {
		case d.Origin != nil:
			add(fact{Name: "Based on", Value: d.Origin.NameVersion(), More: d.Origin.UUID()})
		default:
			add(fact{Name: "Based on", Value: m.Origin(), Code: true})
		}
	}
	release := d.Image.Release
	if d.Image.Arch != "" {
		release = strings.TrimSpace(release + " for " + d.Image.Arch)
	}
	add(fact{Name: "pkgsrc", Value: release})
	if m == nil {
		return list
	}
	add(fact{Name: "Kind", Value: strings.Trim(m.Type()+", "+m.OS(), ", ")})
	versions := m.MinPlatform()
	var keys []string
	for k := range versions {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		add(fact{Name: "Needs platform", Value: versions[k] + " or newer"})
	}
	tags := m.Tags()
	add(fact{Name: "Branch", Value: text(tags["branch"])})
	add(fact{Name: "Commit", Value: text(tags["git"]), Code: true})
	if home, ok := m.Get("homepage"); ok {
		f := fact{Name: "Home", Value: text(home)}
		if survey.WebAddress(f.Value) {
			f.Link = f.Value
		}
		add(f)
	}
	for _, file := range m.Files() {
		add(fact{Name: "SHA-1 of the file", Value: file.SHA1, Code: true})
	}
	return list
}

// text is a JSON string's value; other values are shown as they are.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// day writes a time of a manifest for people.
func day(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return t.UTC().Format("2 January 2006, 15:04 UTC")
}

func figures(d Data) []figure {
	im := d.Image
	f := []figure{{Name: "Content", Value: ui.Bytes(im.Bytes)}}
	s := d.Since
	if s != nil {
		f[0].Note = delta(im.Bytes - s.A.Bytes)
	}
	if m := im.Manifest; m != nil && len(m.Files()) > 0 {
		one := figure{Name: "Image file", Value: ui.Bytes(m.Files()[0].Size), Note: m.Files()[0].Compression}
		f = append(f, one)
	}
	pkgs := figure{Name: "Packages", Value: strconv.Itoa(len(im.Packages))}
	files := figure{Name: "Files", Value: group(im.Files)}
	if s != nil {
		pkgs.Note, files.Note = number(len(im.Packages)-s.A.Packages), number(im.Files-s.A.Files)
	}
	found := figure{Name: "Findings", Value: "not audited"}
	if im.Audited {
		ends := 0
		for _, x := range im.Findings {
			if x.Class == survey.ClassEOL {
				ends++
			}
		}
		found.Value = strconv.Itoa(len(im.Findings))
		if ends > 0 {
			found.Note = fmt.Sprintf("%d of them end of life", ends)
		}
	}
	return append(f, pkgs, files, found)
}

// group writes a number with its thousands apart.
func group(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func delta(n int64) string {
	switch {
	case n < 0:
		return "−" + ui.Bytes(-n)
	case n > 0:
		return "+" + ui.Bytes(n)
	}
	return ""
}

func number(n int) string {
	switch {
	case n < 0:
		return "−" + group(-n)
	case n > 0:
		return "+" + group(n)
	}
	return ""
}

func share(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	s := 100 * float64(part) / float64(whole)
	if s > 0 && s < 0.1 {
		return "< 0.1 %"
	}
	return fmt.Sprintf("%.1f %%", s)
}

// packages fills the table and returns what became of each package since.
func (p *page) packages(d Data) map[string]compare.Change {
	im := d.Image
	marks := map[string]compare.Change{}
	if d.Since != nil {
		for _, c := range d.Since.Packages {
			if c.Change != compare.Removed {
				marks[c.Name+"-"+c.New] = c.Change
			}
		}
	}
	found := map[string]int{}
	for _, f := range im.Findings {
		found[f.Package]++
	}
	for i, k := range im.Packages {
		if i == maxRows {
			p.MoreRows = len(im.Packages) - i
			break
		}
		row := packageRow{
			ID: rowID(i), Name: survey.Plain(k.Base), Version: survey.Plain(k.Version), Comment: survey.Plain(k.Comment), License: survey.Plain(k.License),
			Size: ui.Bytes(k.Bytes), Share: share(k.Bytes, im.Bytes), Files: group(k.Files), Mark: string(marks[k.Name]), Automatic: k.Automatic, Findings: found[k.Name],
		}
		if survey.WebAddress(k.Homepage) {
			row.Home = k.Homepage
		}
		p.Packages = append(p.Packages, row)
	}
	return marks
}

func rowID(i int) string { return "p" + strconv.Itoa(i) }

// packageMap places the packages, and what belongs to none.
func packageMap(im *survey.Image, marks map[string]compare.Change) []item {
	index := map[string]int{}
	for i, p := range im.Packages {
		index[p.Name] = i
	}
	var items []item
	add := func(label, name, href, class string, files int, bytes int64) {
		t := &tile{
			ID: "m" + strconv.Itoa(len(items)), Label: label, Size: ui.Bytes(bytes), Share: share(bytes, im.Bytes), Href: href, Class: class,
			Title: fmt.Sprintf("%s: %s, %s, %s files", name, ui.Bytes(bytes), share(bytes, im.Bytes), group(files)),
		}
		if class != "" && class != "none" {
			t.Title += ", " + class
		}
		items = append(items, item{size: bytes, leaf: t})
	}
	small, smallFiles, smallBytes := 0, 0, int64(0)
	for _, u := range compare.Measure(im, 1).Packages { // largest first
		i, isPackage := index[u.Name]
		switch {
		case u.Bytes == 0:
		case isPackage && (len(items) >= maxTiles || float64(u.Bytes) < minShare*float64(im.Bytes)):
			small, smallFiles, smallBytes = small+1, smallFiles+u.Files, smallBytes+u.Bytes
		case isPackage:
			href := "#" + rowID(i)
			if i >= maxRows {
				href = ""
			}
			add(survey.Plain(im.Packages[i].Base), survey.Plain(u.Name), href, string(marks[u.Name]), u.Files, u.Bytes)
		default:
			add(strings.Trim(u.Name, "()"), strings.Trim(u.Name, "()"), "", "none", u.Files, u.Bytes)
		}
	}
	if smallBytes > 0 {
		rest := fmt.Sprintf("%d smaller packages", small)
		add(rest, rest, "#packages", "none", smallFiles, smallBytes)
	}
	return items
}

// directoryMap places the directories, and lists them.
func directoryMap(im *survey.Image) ([]item, []directory) {
	root := compare.Measure(im, 5).Directory
	ids := map[*compare.Dir]string{}
	var rows []directory
	var list func(d *compare.Dir, depth int)
	list = func(d *compare.Dir, depth int) {
		if len(rows) == maxRows {
			return
		}
		ids[d] = "d" + strconv.Itoa(len(rows))
		r := directory{ID: ids[d], Path: d.Path, Size: ui.Bytes(d.Bytes), Share: share(d.Bytes, root.Bytes), Files: group(d.Files), Depth: min(depth, 6)}
		rows = append(rows, r)
		for _, c := range d.Dirs {
			if float64(c.Bytes) >= minShare*float64(root.Bytes) {
				list(c, depth+1)
			}
		}
	}
	list(root, 0)
	n := 0
	items := divide(root, func(d *compare.Dir, own bool) *tile {
		bytes, files, label := d.Bytes, group(d.Files)+" files", d.Path
		if own {
			bytes, files = d.Own, "files of its own and small directories"
			for _, c := range d.Dirs {
				if float64(c.Bytes) < minShare*float64(root.Bytes) {
					bytes += c.Bytes
				}
			}
			label = strings.TrimSuffix(d.Path, "/") + "/…"
		}
		t := &tile{ID: "n" + strconv.Itoa(n), Size: ui.Bytes(bytes), Share: share(bytes, root.Bytes), Class: "dir"}
		cut := strings.LastIndexByte(strings.TrimSuffix(label, "/…"), '/') + 1
		t.Above, t.Label = label[:cut], label[cut:]
		if id := ids[d]; id != "" {
			t.Href = "#" + id
		}
		t.Title = fmt.Sprintf("%s: %s, %s, %s", label, t.Size, t.Share, files)
		n++
		return t
	})
	return items, rows
}

func (p *page) findings(d Data) {
	index := map[string]string{}
	for i, k := range d.Image.Packages {
		if i < maxRows {
			index[k.Name] = rowID(i)
		}
	}
	fresh := map[survey.Finding]bool{}
	if d.Since != nil && d.Since.Vulnerabilities != nil {
		for _, f := range d.Since.Vulnerabilities.Added {
			fresh[f] = true
		}
	}
	for i, f := range d.Image.Findings {
		if i == maxRows {
			p.AuditN = fmt.Sprintf("and %s more", group(len(d.Image.Findings)-i))
			break
		}
		p.Audit = append(p.Audit, shownFinding(f, index[f.Package], fresh[f]))
	}
}

func shownFinding(f survey.Finding, id string, fresh bool) finding {
	class := survey.Plain(f.Class)
	if f.Class == survey.ClassEOL {
		class = "end of life"
	}
	return finding{Package: survey.Plain(f.Package), Class: class, URL: survey.Plain(f.URL), New: fresh, ID: id}
}

func newChanges(d Data) *changes {
	s := d.Since
	if s == nil {
		return nil
	}
	c := &changes{Since: survey.Plain(s.A.Name), What: d.SinceWhat, UUID: survey.Plain(s.A.UUID), Same: s.Same}
	counts := map[compare.Change]int{}
	for _, p := range s.Packages {
		counts[p.Change]++
		c.Packages = append(c.Packages, change{mark(p.Change), string(p.Change), survey.Plain(p.Name), survey.Plain(p.Old), survey.Plain(p.New), delta(p.NewBytes - p.OldBytes)})
	}
	for _, k := range []compare.Change{compare.Added, compare.Removed, compare.Upgraded, compare.Downgraded, compare.Rebuilt, compare.Resized} {
		if counts[k] > 0 {
			c.Sum = append(c.Sum, figure{Name: string(k), Value: strconv.Itoa(counts[k])})
		}
	}
	for _, f := range s.Manifest {
		kind := compare.Changed
		switch {
		case f.Old == "":
			kind = compare.Added
		case f.New == "":
			kind = compare.Removed
		}
		c.Manifest = append(c.Manifest, change{mark(kind), string(kind), survey.Plain(f.Field), survey.Plain(text(json.RawMessage(f.Old))), survey.Plain(text(json.RawMessage(f.New))), ""})
	}
	if v := s.Vulnerabilities; v != nil {
		for _, f := range v.Removed {
			c.Fixed = append(c.Fixed, shownFinding(f, "", false))
		}
	}
	groups := map[string]map[compare.Change]int{}
	var names []string
	for _, f := range s.Files {
		if f.Package != "" {
			if groups[f.Package] == nil {
				groups[f.Package] = map[compare.Change]int{}
				names = append(names, f.Package)
			}
			groups[f.Package][f.Change]++
			continue
		}
		if len(c.Files) == maxRows {
			c.MoreFiles++
			continue
		}
		c.Files = append(c.Files, change{mark(f.Change), string(f.Change), f.Path, "", strings.Join(f.What, ", "), delta(f.NewBytes - f.OldBytes)})
	}
	slices.Sort(names)
	for _, n := range names {
		var parts []string
		for _, k := range []compare.Change{compare.Added, compare.Removed, compare.Changed} {
			if groups[n][k] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", groups[n][k], k))
			}
		}
		c.Groups = append(c.Groups, change{Name: survey.Plain(strings.Trim(n, "()")), Note: strings.Join(parts, ", ")})
	}
	return c
}

func mark(c compare.Change) string {
	switch c {
	case compare.Added:
		return "+"
	case compare.Removed:
		return "−"
	case compare.Upgraded:
		return "↑"
	case compare.Downgraded:
		return "↓"
	}
	return "~"
}

func newProvenance(st *sbom.Statement) *provenance {
	if st == nil {
		return nil
	}
	p := &provenance{}
	for _, s := range st.Subject {
		p.Facts = append(p.Facts, fact{Name: "File", Value: survey.Plain(s.Name)})
		for _, k := range []string{"sha256", "sha1"} {
			if s.Digest[k] != "" {
				p.Facts = append(p.Facts, fact{Name: strings.ToUpper(k[:3]) + "-" + k[3:], Value: survey.Plain(s.Digest[k]), Code: true})
			}
		}
	}
	d, run := st.Predicate.BuildDefinition, st.Predicate.RunDetails
	p.Facts = append(p.Facts, fact{Name: "Built by", Value: run.Builder.ID, Link: run.Builder.ID})
	if plan, ok := d.InternalParameters["plan"].(string); ok {
		p.Facts = append(p.Facts, fact{Name: "Plan", Value: survey.Plain(plan), Code: true})
	} else {
		p.Facts = append(p.Facts, fact{Name: "Record", Value: "The build left no record: inputs are those the manifest names."})
	}
	for i, r := range d.ResolvedDependencies {
		if i == maxRows {
			p.More = len(d.ResolvedDependencies) - i
			break
		}
		in := input{Name: survey.Plain(r.Name), URI: survey.Plain(r.URI)}
		for _, k := range []string{"sha256", "gitCommit", "sha1"} {
			if r.Digest[k] != "" {
				in.Kind, in.Digest = strings.TrimSuffix(k, "Commit"), survey.Plain(r.Digest[k])
				break
			}
		}
		p.Inputs = append(p.Inputs, in)
	}
	return p
}
