package survey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

func testTree(t *testing.T) *fstree.Tree {
	t.Helper()
	tree := fstree.New(fstree.Time{Sec: 1})
	write := func(name, text string) {
		if i := strings.LastIndexByte(name, '/'); i > 0 {
			if err := tree.MkdirAll(name[:i], 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := tree.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/pkgsrc_version", "release: 2024Q4\narchitecture: x86_64\n")
	write("etc/motd", "hello\n")
	write("opt/local/etc/pkg_install.conf", "PKG_DBDIR=/opt/local/pkg\n")
	write("opt/local/bin/one", "12345")
	write("opt/local/lib/libtwo.so", "123")
	write("opt/local/pkg/pkgdb.byfile.db", "made up")
	if err := tree.Link("opt/local/bin/one", "opt/local/bin/uno"); err != nil {
		t.Fatal(err)
	}
	record := func(name, contents, info string) {
		write("opt/local/pkg/"+name+"/+CONTENTS", contents)
		write("opt/local/pkg/"+name+"/+COMMENT", "about "+name+"\n")
		write("opt/local/pkg/"+name+"/+BUILD_INFO", info)
	}
	record("one-1.0", "@cwd /opt/local\n@name one-1.0\n@pkgdep two>=2\n@pkgdep missing>=1\nbin/one\nbin/uno\nbin/gone\n", "LICENSE=mit\nHOMEPAGE=https://example.invalid/\n")
	record("two-2.1nb1", "@cwd /opt/local\n@name two-2.1nb1\nlib/libtwo.so\nbin/one\n../../../../etc/motd\n", "")
	write("opt/local/pkg/two-2.1nb1/+INSTALLED_INFO", "automatic=yes\n")
	return tree
}

func TestRead(t *testing.T) {
	t.Parallel()
	im, err := Read(context.Background(), testTree(t), Options{Name: "test", Audit: []byte("Package one-1.0 has a buffer-overflow vulnerability, see https://example.invalid/1\n")})
	if err != nil {
		t.Fatal(err)
	}
	if im.Release != "2024Q4" || im.Arch != "x86_64" || !im.Audited || len(im.Findings) != 1 {
		t.Errorf("%+v", im)
	}
	one, two := im.Package("one-1.0"), im.Package("two-2.1nb1")
	if one == nil || two == nil || im.Package("three-3") != nil {
		t.Fatalf("%+v", im.Packages)
	}
	record := int64(len("@cwd /opt/local\n@name one-1.0\n@pkgdep two>=2\n@pkgdep missing>=1\nbin/one\nbin/uno\nbin/gone\n") +
		len("about one-1.0\n") + len("LICENSE=mit\nHOMEPAGE=https://example.invalid/\n"))
	want := Package{
		Name: "one-1.0", Base: "one", Version: "1.0", Comment: "about one-1.0", Homepage: "https://example.invalid/", License: "mit",
		Requires: []string{"two-2.1nb1"}, Patterns: []string{"missing>=1"}, Files: 7, Bytes: 5 + record, Payload: 5,
	}
	if d := cmp.Diff(want, *one); d != "" {
		t.Error(d)
	}
	if !two.Automatic || two.Version != "2.1nb1" {
		t.Errorf("%+v", two)
	}
	motd, _ := im.Tree.Lstat("etc/motd")
	if p := im.Owner(motd); p != two { // a path that climbs ends at the root
		t.Errorf("etc/motd is of %+v", p)
	}
	for name, want := range map[string]string{
		"opt": NoGroup, "opt/local/bin": "one-1.0", "opt/local/lib": "two-2.1nb1", "opt/local/pkg": Several, "opt/local/pkg/one-1.0": "one-1.0",
		"opt/local/pkg/pkgdb.byfile.db": Database, "opt/local/etc": NoGroup, "opt/local/etc/pkg_install.conf": NoGroup,
	} {
		n, err := im.Tree.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := im.Group(n); got != want {
			t.Errorf("%s is of %q, want %q", name, got, want)
		}
	}
}

func TestParseAudit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     []Finding
		err      string
	}{
		{name: "empty"},
		{name: "two", in: "Package a-1 has a denial-of-service vulnerability, see https://x.invalid/1\nPackage b-2 has reached end-of-life (eol), see http://y.invalid\n",
			want: []Finding{{"a-1", "denial-of-service", "https://x.invalid/1"}, {"b-2", "eol", "http://y.invalid"}}},
		{name: "script", in: "Package <script> has a x vulnerability, see javascript:alert(1)", want: []Finding{{"<script>", "x", "javascript:alert(1)"}}},
		{name: "other", in: "No vulnerabilities\n", err: "line 1 is no finding"},
		{name: "cut", in: "Package a-1 has a ", err: "line 1 is no finding"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseAudit([]byte(tt.in))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"curl-8.11.1": "curl-8.11.1", "grün text": "grün text", "a\nb": `a\012b`, "\x1b[31mred": `\033[31mred`,
		"bad\xff": `bad\377`, "turn\u202eed": `turn\342\200\256ed`,
	} {
		if got := Plain(in); got != want {
			t.Errorf("Plain(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParseAudit(f *testing.F) {
	f.Add([]byte("Package a-1 has a denial-of-service vulnerability, see https://x.invalid/1\n"))
	f.Add([]byte("Package b-2 has reached end-of-life (eol), see http://y.invalid\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := ParseAudit(raw)
		if err != nil && list != nil {
			t.Error("findings and an error")
		}
		for _, x := range list {
			if x.Package == "" || x.Class == "" {
				t.Errorf("%+v", x)
			}
		}
	})
}

// Patterns that could be any package's do not hold a survey up: there is an end to
// looking, and to what one alone takes.
func TestRequires(t *testing.T) {
	t.Parallel()
	var names, patterns []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("package%d-1.0", i))
		patterns = append(patterns, fmt.Sprintf("*nothing%d*", i))
	}
	all, base := version.NewIndex(names), byBase(names)
	if _, _, err := requires(t.Context(), patterns, all, base, version.NewBudget(1<<16)); !errors.Is(err, version.ErrPattern) {
		t.Errorf("odd patterns: %v", err)
	}
	for i := range patterns {
		patterns[i] = fmt.Sprintf("package%d>=1", i)
	}
	found, missing, err := requires(t.Context(), append(patterns, "other-[0-9]*", "bad{"), all, base, version.NewBudget(1<<16))
	if err != nil || len(found) != len(names) || len(missing) != 2 {
		t.Errorf("%d found, missing %q, %v", len(found), missing, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := requires(ctx, patterns, all, base, version.NewBudget(1<<16)); !errors.Is(err, context.Canceled) {
		t.Errorf("not interrupted: %v", err)
	}
}

// Packing lists whose names all lead through long chains of links are not followed
// for ever.
func TestLongWays(t *testing.T) {
	t.Parallel()
	tree := testTree(t)
	const links = 38
	for i := range links {
		n := &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: strings.Repeat("etc/../", 500) + fmt.Sprintf("link%d", i+1)}
		if err := tree.Put(fmt.Sprintf("link%d", i), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := tree.MkdirAll(fmt.Sprintf("link%d", links), 0o755); err != nil {
		t.Fatal(err)
	}
	list := "@cwd /link0\n@name two-2.1nb1\n" + strings.Repeat("x\n", 1000)
	if err := tree.WriteFile("opt/local/pkg/two-2.1nb1/+CONTENTS", []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := pkgdb.ReadConfig(tree)
	if err != nil {
		t.Fatal(err)
	}
	db, err := pkgdb.Open(tree, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := db.Record("two-2.1nb1")
	if err != nil {
		t.Fatal(err)
	}
	im, steps := &Image{Tree: tree, owners: map[*fstree.Node]int{}}, 1<<20
	if err := im.own(r, 0, &steps); !errors.Is(err, fstree.ErrSteps) {
		t.Errorf("own = %v, %d steps left", err, steps)
	}
}
