package gen

import (
	"bytes"
	"fmt"
	"go/format"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
)

// funcName makes a Go name of a flavor's: TritonOriginX86_64_24_4_1.
func funcName(f *flavor.Flavor) string {
	var b strings.Builder
	for i, part := range strings.Split(f.Name, "-") {
		part = strings.ReplaceAll(part, ".", "_")
		if i > 0 && part[0] >= '0' && part[0] <= '9' {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// targets writes targets/zz_flavors.go. Mage gives an alias no way to tell its
// name, hence a function for each flavor.
func targets(set *flavor.Set) ([]byte, error) {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("// Code generated from the flavor files by \"make gen\"; DO NOT EDIT.\n\npackage targets\n\nimport \"context\"\n")
	for _, f := range set.Flavors {
		p("\n// %s builds %s, on %s.\n", funcName(f), f.Name, f.Base)
		p("func %s(ctx context.Context) error { return buildImages(ctx, %q) }\n", funcName(f), f.Name)
	}
	return format.Source(b.Bytes())
}

// aliases rewrites magefile.go's list of flavors and its block of aliases.
func aliases(set *flavor.Set, now []byte) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("// Aliases are the names that make has, too.\nvar Aliases = map[string]any{\n")
	fmt.Fprintf(&b, "%q: targets.Gen.Write,\n", "gen")
	fmt.Fprintf(&b, "%q: targets.BuildImage,\n", "all-buildimage")
	for _, f := range set.Flavors {
		fmt.Fprintf(&b, "%q: targets.%s,\n", f.Name+"-buildimage", funcName(f))
	}
	fmt.Fprintf(&b, "%q: targets.BitsUpload,\n}", "bits-upload")
	out, err := replaceBlock(now, "// generated: aliases", "// end", b.String())
	if out == nil || err != nil {
		return nil, err
	}
	list := "//\n//\t" + strings.Join(set.Names(), "\n//\t")
	if next, err := replaceBlock(out, "// The flavors are:", "package main", list); err != nil {
		return nil, err
	} else if next != nil {
		out = next
	}
	return format.Source(out)
}

// replaceBlock puts text between the line start and the next line end. It returns
// nil if there is no such block.
func replaceBlock(data []byte, start, end, text string) ([]byte, error) {
	lines := strings.SplitAfter(string(data), "\n")
	from := -1
	for i, line := range lines {
		switch strings.TrimSpace(line) {
		case start:
			if from >= 0 {
				return nil, fault.Drift.Errorf("%q stands there twice", start)
			}
			from = i
		case end:
			if from >= 0 && text != "" {
				var b strings.Builder
				b.WriteString(strings.Join(lines[:from+1], ""))
				b.WriteString(text + "\n")
				b.WriteString(strings.Join(lines[i:], ""))
				return []byte(b.String()), nil
			}
		}
	}
	if from >= 0 {
		return nil, fault.Drift.Errorf("%q without %q", start, end)
	}
	return nil, nil
}
