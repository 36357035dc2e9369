package release

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// Facts look into images.
type Facts interface {
	// Packages are the installed packages, NAME-VERSION.
	Packages(ctx context.Context, uuid string) ([]string, error)
	// Vulnerabilities are the known ones, a line each.
	Vulnerabilities(ctx context.Context, uuid string) ([]string, error)
}

// TicketOptions say what a ticket compares with.
type TicketOptions struct {
	Facts    Facts                    // nil: packages and vulnerabilities are left out
	Released func(name string) string // uuid of the last released image of a flavor, "" if there is none; may be nil
	Channels []string                 // where the images go
}

// Ticket writes the text of a release's ticket: the images, what changed since
// the last released one of the same name, and what is still to be typed.
func Ticket(ctx context.Context, w io.Writer, c *imgapi.Client, uuids []string, o TicketOptions) error {
	var b strings.Builder
	var images []*imgmanifest.Manifest
	for _, uuid := range uuids {
		m, err := c.In(imgapi.AllChannels).Get(ctx, uuid)
		if err != nil {
			return err
		}
		images = append(images, m)
	}
	fmt.Fprintf(&b, "Release to %s of\n\n", strings.Join(o.Channels, ", "))
	for _, m := range images {
		fmt.Fprintf(&b, "    %s  %s  %s  %s\n", m.UUID(), m.Name(), m.Version(), m.PublishedAt())
	}
	for _, m := range images {
		if err := ticketImage(ctx, &b, c, m, o); err != nil {
			return err
		}
	}
	fmt.Fprintf(&b, "\nTo do\n\n    engbld release promote --to %s %s\n    engbld release verify --to %s %s\n", strings.Join(o.Channels, ","),
		strings.Join(uuids, " "), strings.Join(o.Channels, ","), strings.Join(uuids, " "))
	for _, m := range images {
		if !strings.HasPrefix(m.Name(), originPrefix) {
			continue
		}
		fmt.Fprintf(&b, "    engbld flavor released %s %s\n", m.Name(), m.UUID())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func ticketImage(ctx context.Context, b *strings.Builder, c *imgapi.Client, m *imgmanifest.Manifest, o TicketOptions) error {
	fmt.Fprintf(b, "\n%s\n\n", m.NameVersion())
	fmt.Fprintf(b, "    uuid      %s\n", m.UUID())
	fmt.Fprintf(b, "    channels  %s\n", orNone(strings.Join(m.Channels(), ", ")))
	if files := m.Files(); len(files) == 1 {
		fmt.Fprintf(b, "    file      sha1 %s, %d bytes\n", files[0].SHA1, files[0].Size)
	}
	chain, err := Chain(ctx, c, m.UUID())
	if err != nil {
		return err
	}
	for i := len(chain) - 2; i >= 0; i-- {
		fmt.Fprintf(b, "    origin    %s (%s)\n", chain[i].UUID(), chain[i].NameVersion())
	}
	old := ""
	if o.Released != nil {
		old = o.Released(m.Name())
	}
	switch {
	case old == "":
		b.WriteString("    since     no image of this name was released\n")
	case old == m.UUID():
		b.WriteString("    since     this image is the released one\n")
		return nil
	default:
		fmt.Fprintf(b, "    since     %s\n", old)
	}
	if o.Facts == nil {
		return nil
	}
	before, after := facts{}, facts{}
	err = after.read(ctx, o.Facts, m.UUID())
	if err == nil && old != "" {
		err = before.read(ctx, o.Facts, old)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil: // a ticket without them is better than none
		fmt.Fprintf(b, "    packages and vulnerabilities are not compared: %v\n", err)
		return nil
	}
	section(b, "packages", changedPackages(before.packages, after.packages))
	section(b, "vulnerabilities", changedLines(before.vulnerabilities, after.vulnerabilities))
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

type facts struct{ packages, vulnerabilities []string }

func (f *facts) read(ctx context.Context, from Facts, uuid string) (err error) {
	if f.packages, err = from.Packages(ctx, uuid); err != nil {
		return fmt.Errorf("looking at the packages of image %s: %w", uuid, err)
	}
	if f.vulnerabilities, err = from.Vulnerabilities(ctx, uuid); err != nil {
		return fmt.Errorf("looking at the vulnerabilities of image %s: %w", uuid, err)
	}
	return nil
}

func section(b *strings.Builder, title string, lines []string) {
	fmt.Fprintf(b, "\n    %s\n", title)
	if len(lines) == 0 {
		b.WriteString("      no change\n")
	}
	for _, l := range lines {
		fmt.Fprintf(b, "      %s\n", l)
	}
}

// changedPackages compares by name: "+ a 1", "- b 2", "  c 1 -> 2", by name.
func changedPackages(before, after []string) (lines []string) {
	index := func(list []string) map[string]string {
		m := make(map[string]string)
		for _, p := range list {
			name, version := p, ""
			if i := strings.LastIndexByte(p, '-'); i > 0 {
				name, version = p[:i], p[i+1:]
			}
			m[name] = version
		}
		return m
	}
	a, b := index(before), index(after)
	names := maps.Clone(a)
	maps.Copy(names, b)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, hadIt := a[name]
		is, hasIt := b[name]
		switch {
		case !hadIt:
			lines = append(lines, "+ "+name+" "+is)
		case !hasIt:
			lines = append(lines, "- "+name+" "+was)
		case was != is:
			lines = append(lines, "  "+name+" "+was+" -> "+is)
		}
	}
	return lines
}

// changedLines: "+ line" is new, "- line" is gone, in the order of the text.
func changedLines(before, after []string) (lines []string) {
	for _, l := range before {
		if !slices.Contains(after, l) {
			lines = append(lines, "- "+l)
		}
	}
	for _, l := range after {
		if !slices.Contains(before, l) {
			lines = append(lines, "+ "+l)
		}
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[2:]+a[:2], b[2:]+b[:2]) })
	return lines
}
