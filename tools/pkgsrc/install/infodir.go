package install

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// infoTool keeps the index of info files where the platform has no program for
// it. Without it in the target nothing happens, as with the genuine scripts
// (spec pkgsrc.md section 8.2).
const infoTool = "/opt/local/bin/pkg_install-info"

// infoHead begins a new index: readers of info files look for the node and the
// menu in it.
const infoHead = "The info files of this directory.\n\x1f\nFile: dir,\tNode: Top,\tIndex\n\n* Menu:\n"

// maxInfoWork bounds what a package's info files have to go through, in bytes: each
// entry is looked for in the whole index. An index has some KiB, a file some entries.
const maxInfoWork = 256 << 20

// infoEntry is a menu line, with its continuation lines, for a section.
type infoEntry struct{ section, text string }

// infoFiles does the "# INFO:" lines: entries of the files are put into the
// index beside them, or taken out.
func (in *Installer) infoFiles(o *owner, remove bool) error {
	work := 0
	for _, l := range o.lines("INFO", false) {
		f := fields(l, 2)
		file := o.abs(f[0])
		if !in.regular(file) || !in.regular(infoTool) {
			continue
		}
		dir := path.Dir(file)
		if f[1] != "" {
			dir = o.abs(f[1])
		}
		index := path.Join(dir, "dir")
		raw, err := in.root.ReadFile(file, maxSmall<<4)
		if err != nil {
			return err
		}
		old, err := readOptional(in.root, index, maxSmall<<4)
		if err != nil {
			return err
		}
		if old == nil {
			if remove {
				continue
			}
			old = []byte(infoHead)
		}
		entries := readInfoEntries(string(raw))
		if work += len(raw) + (1+len(entries))*len(old); work > maxInfoWork {
			return fmt.Errorf("info file %s: its %d entries and an index of %d bytes are too much", file, len(entries), len(old))
		}
		if len(entries) == 0 {
			in.log.Infof("%s: %s names no menu entry", o.pkg, file)
			continue
		}
		text := string(old)
		name := strings.TrimSuffix(path.Base(file), ".info")
		text = dropInfo(text, name)
		if !remove {
			for _, e := range entries {
				text = addInfo(text, e)
			}
		}
		if text == string(old) && !remove && in.regular(index) {
			continue
		}
		if remove && strings.Count(text, "\n* ") <= strings.Count(text, "\n* Menu:") {
			if err := in.root.Remove(index); err != nil {
				return err
			}
			removeEmpty(in.root, dir)
			continue
		}
		if err := in.root.WriteFile(index, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readInfoEntries finds what an info file wants to have in the index.
func readInfoEntries(text string) []infoEntry {
	var entries []infoEntry
	var lines strings.Builder // of the last entry
	finish := func() {
		if n := len(entries); n > 0 {
			entries[n-1].text = lines.String()
		}
		lines.Reset()
	}
	section, inside := "Miscellaneous", false
	for l := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.HasPrefix(l, "INFO-DIR-SECTION "):
			section = strings.TrimSpace(strings.TrimPrefix(l, "INFO-DIR-SECTION "))
		case strings.HasPrefix(l, "START-INFO-DIR-ENTRY"):
			inside = true
		case strings.HasPrefix(l, "END-INFO-DIR-ENTRY"):
			inside = false
		case inside && strings.HasPrefix(l, "* "):
			finish()
			entries = append(entries, infoEntry{section: section})
			lines.WriteString(l + "\n")
		case inside && len(entries) > 0 && l != "":
			lines.WriteString(l + "\n")
		}
	}
	finish()
	return entries
}

// pointsTo tells whether a menu line leads into the named info file.
func pointsTo(line, name string) bool {
	_, rest, ok := strings.Cut(line, ": (")
	return ok && strings.HasPrefix(line, "* ") &&
		(strings.HasPrefix(rest, name+")") || strings.HasPrefix(rest, name+".info)"))
}

// dropInfo takes a file's entries out of an index, and sections left empty.
func dropInfo(text, name string) string {
	lines := strings.SplitAfter(text, "\n")
	var out []string
	skipping := false
	for _, l := range lines {
		if skipping && (strings.HasPrefix(l, " ") || strings.HasPrefix(l, "\t")) {
			continue
		}
		if skipping = pointsTo(l, name); !skipping {
			out = append(out, l)
		}
	}
	if len(out) == len(lines) {
		return text
	}
	menu := slices.IndexFunc(out, func(l string) bool { return strings.HasPrefix(l, "* Menu:") })
	if menu < 0 || menu+2 >= len(out) {
		return strings.Join(out, "")
	}
	kept := slices.Clone(out[:menu+2])
	for i := menu + 2; i < len(out); i++ {
		last := i+1 >= len(out) || strings.TrimSpace(out[i+1]) == ""
		if out[i-1] == "\n" && strings.TrimSpace(out[i]) != "" && !strings.HasPrefix(out[i], "* ") && last {
			kept = kept[:len(kept)-1] // nor the blank line before it
		} else {
			kept = append(kept, out[i])
		}
	}
	return strings.Join(kept, "")
}

// addInfo puts an entry into its section, in the order of the alphabet; a new
// section comes last.
func addInfo(text string, e infoEntry) string {
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	lines[len(lines)-1] += "\n"
	at := slices.Index(lines, e.section+"\n")
	if at < 0 {
		return text + "\n" + e.section + "\n" + e.text
	}
	for at++; at < len(lines) && strings.TrimSpace(lines[at]) != ""; at++ {
		if strings.HasPrefix(lines[at], "* ") && strings.ToLower(lines[at]) > strings.ToLower(e.text) {
			break
		}
	}
	return strings.Join(slices.Insert(lines, at, e.text), "")
}
