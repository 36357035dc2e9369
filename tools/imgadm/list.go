package imgadm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

func tableOptions() []option {
	return []option{
		{"json", "j", false, "JSON"},
		{"no-header", "H", false, "no header"},
		{"output", "o", true, "columns, with commas"},
	}
}

func listOptions() []option {
	return append(tableOptions(),
		option{"sort", "s", true, "columns to sort by, with commas; -COLUMN reverses"},
		option{"all", "a", false, "images in any state"},
		option{"marker", "m", true, "images published since that of this uuid, or since a date"},
		option{"limit", "l", true, "so many images at most"},
		option{"admin", "A", false, "with fields for administrators"},
		option{"latest", "", false, "of each owner and name only the one published last"},
		option{"tree", "", false, "below their origins"})
}

func listColumns() []string {
	return []string{"uuid", "owner", "name", "version", "state", "disabled", "public", "published", "published_at", "published_date", "type", "os",
		"urn", "nic_driver", "disk_driver", "cpu_type", "image_size", "generate_passwords", "description", "origin", "flags", "size", "stor",
		"homepage", "channels"}
}

func (a *app) list(ctx context.Context) error {
	filter := make(url.Values)
	for _, arg := range a.args {
		field, value, ok := strings.Cut(arg, "=")
		if !ok || field == "" {
			return usagef("%q is no filter of the form FIELD=VALUE", arg)
		}
		filter.Add(field, value)
	}
	if a.flags.has("all") {
		filter.Set("state", "all")
	}
	if m, ok := a.flags.get("marker"); ok {
		filter.Set("marker", m)
	}
	if l, ok := a.flags.get("limit"); ok {
		if _, err := strconv.Atoi(l); err == nil {
			filter.Set("limit", l)
		}
	}
	if a.flags.has("admin") {
		filter.Set("inclAdminFields", "true")
	}
	columns, err := a.columns(listColumns(), listDefault(filter))
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	images, err := c.List(ctx, filter)
	if err != nil {
		return err
	}
	if a.flags.has("latest") {
		images = latest(images)
	}
	order := "published_at,name"
	if s, ok := a.flags.get("sort"); ok {
		order = s
	}
	sortImages(images, strings.Split(order, ","))
	if a.flags.has("json") {
		return a.writeList(images)
	}
	if a.flags.has("tree") {
		return a.table(columns, treeRows(images, columns))
	}
	rows := make([][]string, len(images))
	for i, m := range images {
		rows[i] = row(m, columns)
	}
	return a.table(columns, rows)
}

func listDefault(filter url.Values) []string {
	if filter.Has("state") {
		return []string{"uuid", "name", "version", "flags", "os", "state", "published"}
	}
	return []string{"uuid", "name", "version", "flags", "os", "published"}
}

// columns are those of -o, checked, else the default ones.
func (a *app) columns(known, otherwise []string) ([]string, error) {
	o, ok := a.flags.get("output")
	if !ok {
		return otherwise, nil
	}
	columns := strings.Split(o, ",")
	for _, c := range columns {
		if !slices.Contains(known, c) {
			return nil, usagef("there is no column %q; there are %s", c, strings.Join(known, ", "))
		}
	}
	return columns, nil
}

func (a *app) writeList(images []*imgmanifest.Manifest) error {
	out := []byte{'['}
	for i, m := range images {
		raw, err := m.MarshalJSON()
		if err != nil {
			return err
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, raw...)
	}
	return a.writeJSON(append(out, ']'))
}

// latest keeps of each owner and name the image published last. Times are
// compared as text, as the genuine tool does; the first of equals stays.
func latest(images []*imgmanifest.Manifest) []*imgmanifest.Manifest {
	best := make(map[string]int)
	var out []*imgmanifest.Manifest
	for _, m := range images {
		key := m.Owner() + ":" + m.Name()
		i, ok := best[key]
		switch {
		case !ok:
			best[key] = len(out)
			out = append(out, m)
		case m.PublishedAt() > out[i].PublishedAt():
			out[i] = m
		}
	}
	return out
}

// sortImages sorts by raw fields: what can be read as a number as numbers, all
// else as text, what is missing first.
func sortImages(images []*imgmanifest.Manifest, fields []string) {
	slices.SortStableFunc(images, func(x, y *imgmanifest.Manifest) int {
		for _, f := range fields {
			name, down := strings.CutPrefix(f, "-")
			a, _ := x.Get(name)
			b, _ := y.Get(name)
			n := compareJSON(a, b)
			if down {
				n = -n
			}
			if n != 0 {
				return n
			}
		}
		return 0
	})
}

func compareJSON(a, b json.RawMessage) int {
	missing := func(r json.RawMessage) int {
		if len(r) == 0 || string(r) == "null" {
			return 0
		}
		return 1
	}
	if n := cmp.Compare(missing(a), missing(b)); n != 0 || missing(a) == 0 {
		return n
	}
	x, okX := number(a)
	if y, ok := number(b); ok && okX {
		return cmp.Compare(x, y)
	}
	var s, t string
	if json.Unmarshal(a, &s) != nil {
		s = string(a)
	}
	if json.Unmarshal(b, &t) != nil {
		t = string(b)
	}
	return cmp.Compare(s, t)
}

// number reads a number, true and false, or text that looks like a number.
func number(raw json.RawMessage) (float64, bool) {
	var s string
	switch {
	case string(raw) == "true":
		return 1, true
	case string(raw) == "false":
		return 0, true
	case json.Unmarshal(raw, &s) != nil:
		s = string(raw)
	case strings.TrimSpace(s) == "":
		return 0, true
	}
	s = strings.TrimSpace(s)
	if strings.Trim(s, "0123456789.eE+-") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

var fraction = regexp.MustCompile(`\.\d+Z$`)

// row makes the cells of an image.
func row(m *imgmanifest.Manifest, columns []string) []string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = column(m, c)
	}
	return cells
}

func column(m *imgmanifest.Manifest, name string) string {
	text := func(s string) string {
		raw, _ := json.Marshal(s)
		return cell(raw)
	}
	p := m.PublishedAt()
	switch {
	case p == "":
	case name == "published":
		return text(fraction.ReplaceAllString(p, "Z"))
	case name == "published_date":
		return text(p[:min(10, len(p))])
	}
	switch name {
	case "flags":
		if s := imageFlags(m); s != "" {
			return s
		}
		return "-"
	case "channels":
		if _, ok := m.Get(name); ok {
			return text(strings.Join(m.Channels(), ","))
		}
	case "size", "stor":
		raw, _ := m.Get("files")
		var files []map[string]json.RawMessage
		if json.Unmarshal(raw, &files) != nil || len(files) == 0 {
			return "-"
		}
		return cell(files[0][name])
	}
	raw, _ := m.Get(name)
	return cell(raw)
}

func imageFlags(m *imgmanifest.Manifest) (s string) {
	if m.Origin() != "" {
		s += "I"
	}
	if m.Public() {
		s += "P"
	}
	if m.State() != "active" {
		s += "X"
	}
	return s
}

// maxIndent is how many levels of a tree are told apart; real ones have a handful.
const maxIndent = 64

// treeRows puts images below their origins, groups in the order of their
// roots' uuids. An origin that is not in the list has a row of its own, with
// ??? where nothing is known.
func treeRows(images []*imgmanifest.Manifest, columns []string) (rows [][]string) {
	listed := make(map[string]bool)
	for _, m := range images {
		listed[m.UUID()] = true
	}
	children := make(map[string][]*imgmanifest.Manifest)
	var roots []string // uuids
	byUUID := make(map[string]*imgmanifest.Manifest)
	for _, m := range images {
		byUUID[m.UUID()] = m
		o := m.Origin()
		if o == "" {
			roots = append(roots, m.UUID())
			continue
		}
		if !listed[o] && len(children[o]) == 0 {
			roots = append(roots, o)
		}
		children[o] = append(children[o], m)
	}
	shown := make(map[string]bool)
	var show func(uuid, prefix string, depth int)
	show = func(uuid, prefix string, depth int) {
		if shown[uuid] { // images that are their own origins
			return
		}
		shown[uuid] = true
		var cells []string
		if m := byUUID[uuid]; m != nil {
			cells = row(m, columns)
		} else {
			for _, c := range columns {
				switch c {
				case "uuid":
					cells = append(cells, plain(uuid))
				case "flags":
					cells = append(cells, "X")
				default:
					cells = append(cells, "???")
				}
			}
		}
		cells[0] = prefix + cells[0]
		rows = append(rows, cells)
		below := children[uuid]
		for i, m := range below {
			branch := " |- "
			if i == len(below)-1 {
				branch = " `- "
			}
			show(m.UUID(), strings.Repeat("    ", min(depth, maxIndent))+branch, depth+1)
		}
	}
	slices.Sort(roots)
	for _, r := range roots {
		show(r, "", 0)
	}
	for _, m := range images {
		show(m.UUID(), "", 0) // what a circle has kept from the rest
	}
	return rows
}

func (a *app) channels(ctx context.Context) error {
	if len(a.args) > 0 {
		return usagef("channels takes no arguments")
	}
	known := []string{"name", "default", "description"}
	columns, err := a.columns(known, known)
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	list, err := c.Channels(ctx)
	if err != nil {
		return err
	}
	if a.flags.has("json") {
		raw, err := marshal(list)
		if err != nil {
			return err
		}
		return a.writeJSON(raw)
	}
	var rows [][]string
	for _, ch := range list {
		rows = append(rows, channelRow(ch, columns))
	}
	return a.table(columns, rows)
}

func channelRow(ch imgapi.Channel, columns []string) []string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		s := ch.Name
		switch {
		case c == "description":
			s = ch.Description
		case c == "default" && ch.Default:
			s = "true"
		case c == "default":
			s = "-"
		}
		raw, _ := json.Marshal(s)
		cells[i] = cell(raw)
	}
	return cells
}

// marshal is JSON without escapes for browsers.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
