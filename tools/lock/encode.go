package lock

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"github.com/pelletier/go-toml/v2"
)

// Encode writes the lock in its one form: equal locks give equal bytes.
func (l *Lock) Encode() []byte {
	var b bytes.Buffer
	name := inComment(l.Name)
	fmt.Fprintf(&b, "# The inputs of %s. A build uses exactly these.\n", name)
	fmt.Fprintf(&b, "# Written by \"engbld lock %s\", which also renews it; not to be edited.\n", name)
	l.body(&b)
	return b.Bytes()
}

func (l *Lock) body(b *bytes.Buffer) {
	w := &writer{b}
	w.key("format", format)
	w.key("name", l.Name)
	w.table("[wants]")
	w.key("base", l.Wants.Base)
	w.key("upgrade", l.Wants.Upgrade)
	w.key("audit", l.Wants.Audit)
	w.key("packages", l.Wants.Packages)
	w.key("accept", l.Wants.Accept)
	for _, i := range l.Images {
		w.table("[[image]]")
		w.key("uuid", i.UUID)
		w.key("name", i.Name)
		w.key("version", i.Version)
		w.key("sha1", i.SHA1)
		w.key("size", i.Size)
		w.key("stream_sha256", i.Stream)
	}
	for _, c := range l.Components {
		w.table("[[component]]")
		w.key("path", c.Path)
		w.key("tree_sha256", c.Digest)
	}
	if k := l.Keyring; k != nil {
		w.table("[keyring]")
		w.key("path", k.Path)
		w.key("keys", k.Keys)
	}
	if v := l.Vulnerabilities; v != nil {
		w.table("[vulnerabilities]")
		w.key("url", v.URL)
		w.key("size", v.Size)
		w.key("sha256", v.SHA256)
	}
	for _, p := range l.Packages {
		w.table("[[package]]")
		w.key("name", p.Name)
		w.key("version", p.Version)
		w.key("step", p.Step)
		w.text("replaces", p.Replaces)
		if p.Automatic {
			w.key("automatic", true)
		}
		w.key("size", p.Size)
		w.key("sha256", p.SHA256)
		w.key("repository", p.Repository)
		w.text("signed_by", p.SignedBy)
		p.Index.write(w)
	}
	for _, r := range l.Removed {
		w.table("[[removed]]")
		w.key("name", r.Name)
	}
	for _, k := range l.Known {
		w.table("[[known]]")
		k.write(w)
	}
}

func (i *Index) write(w *writer) {
	w.text("pkgname", i.PkgName)
	w.text("pkgpath", i.PkgPath)
	w.text("build_date", i.BuildDate)
	w.list("depends", i.Depends)
	w.list("conflicts", i.Conflicts)
	w.list("supersedes", i.Supersedes)
}

// writer writes TOML line by line, so that order and form are ours.
type writer struct{ b *bytes.Buffer }

func (w *writer) table(head string) { fmt.Fprintf(w.b, "\n%s\n", head) }

func (w *writer) text(key, s string) {
	if s != "" {
		w.key(key, s)
	}
}

func (w *writer) list(key string, s []string) {
	if len(s) > 0 {
		w.key(key, s)
	}
}

func (w *writer) key(key string, v any) {
	switch v := v.(type) {
	case string:
		fmt.Fprintf(w.b, "%s = %s\n", key, quote(v))
	case []string:
		parts := make([]string, len(v))
		for i, s := range v {
			parts[i] = quote(s)
		}
		fmt.Fprintf(w.b, "%s = [%s]\n", key, strings.Join(parts, ", "))
	default:
		fmt.Fprintf(w.b, "%s = %v\n", key, v)
	}
}

// inComment is text as it may stand in a comment: in one line, and UTF-8.
func inComment(s string) string {
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s), "?")
}

// quote writes a string as TOML: in double quotes, or however else it must be.
func quote(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r >= 0x7f }) {
		return `"` + s + `"`
	}
	raw, err := toml.Marshal(map[string]string{"k": s})
	if err != nil {
		return `""` // a string of bytes that are no UTF-8; none of our fields takes one
	}
	return strings.TrimSpace(strings.TrimPrefix(string(raw), "k = "))
}
