package compare

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/survey"
)

var update = flag.Bool("update", false, "write the golden files")

type system struct {
	t    *testing.T
	tree *fstree.Tree
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t, fstree.New(fstree.Time{Sec: 1})}
	s.write("etc/pkgsrc_version", "release: 2024Q4\narchitecture: x86_64\n")
	s.write("opt/local/etc/pkg_install.conf", "PKG_DBDIR=/opt/local/pkg\n")
	return s
}

func (s *system) write(name, text string) {
	s.t.Helper()
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		if err := s.tree.MkdirAll(name[:i], 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.tree.WriteFile(name, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) put(name string, n *fstree.Node) {
	s.t.Helper()
	if err := s.tree.Put(name, n); err != nil {
		s.t.Fatal(err)
	}
}

// install makes a package with one file, bin/BASE, of the given content.
func (s *system) install(name, built, content string) {
	s.t.Helper()
	base := name[:strings.LastIndexByte(name, '-')]
	s.write("opt/local/bin/"+base, content)
	s.write("opt/local/pkg/"+name+"/+CONTENTS", "@cwd /opt/local\n@name "+name+"\nbin/"+base+"\n")
	s.write("opt/local/pkg/"+name+"/+COMMENT", "about "+base+"\n")
	s.write("opt/local/pkg/"+name+"/+BUILD_INFO", "BUILD_DATE="+built+"\nLICENSE=mit\n")
}

func (s *system) survey(o survey.Options) *survey.Image {
	s.t.Helper()
	im, err := survey.Read(context.Background(), s.tree, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return im
}

func manifest(t *testing.T, text string) *imgmanifest.Manifest {
	t.Helper()
	m, err := imgmanifest.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// pair is two images that differ in everything that is told.
func pair(t *testing.T) (a, b *survey.Image) {
	t.Helper()
	old := newSystem(t)
	old.install("bmake-1.0", "mon", strings.Repeat("b", 100))
	old.install("curl-8.11.0", "mon", strings.Repeat("c", 1000))
	old.install("gone-3", "mon", "gone")
	old.install("newer-2.0", "mon", "newer")
	old.install("same-1", "mon", "same")
	old.install("xz-5.6.3", "mon", "xz")
	old.write("etc/motd", "welcome\n")
	old.write("etc/mode", "m")
	old.put("dev", &fstree.Node{Mode: fstree.TypeDir | 0o755})
	old.put("dev/null", &fstree.Node{Mode: fstree.TypeChar | 0o666, Rdev: 1})
	old.put("link", &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: "a"})
	old.write("was/a/directory", "x")
	cur := newSystem(t)
	cur.install("bmake-1.0", "mon", strings.Repeat("b", 90))
	cur.install("curl-8.11.1", "tue", strings.Repeat("c", 5000))
	cur.install("fresh-0.1", "tue", "fresh")
	cur.install("newer-1.9", "tue", "newer")
	cur.install("same-1", "mon", "same")
	cur.install("xz-5.6.3", "tue", "XZ")
	cur.write("etc/motd", "Welcome\n")
	cur.write("etc/mode", "m")
	n, _ := cur.tree.Lstat("etc/mode")
	n.SetPerm(0o4755)
	n.UID = 5
	cur.put("dev", &fstree.Node{Mode: fstree.TypeDir | 0o755})
	cur.put("dev/null", &fstree.Node{Mode: fstree.TypeChar | 0o666, Rdev: 2})
	cur.put("link", &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: "b"})
	cur.write("was", "a file now")
	cur.write("opt/a b\n|<i>", "odd")
	return old.survey(survey.Options{
			Manifest: manifest(t, `{"v":2,"name":"image","version":"1","tags":{"git":"aaaa","old":true},"files":[{"sha1":"x","size":1000,"compression":"gzip"}]}`),
			Audit:    []byte("Package curl-8.11.0 has a denial-of-service vulnerability, see https://example.invalid/kept\nPackage gone-3 has reached end-of-life (eol), see https://example.invalid/eol\n"),
		}), cur.survey(survey.Options{
			Manifest: manifest(t, `{"v":2,"name":"image","version":"2","tags":{"git":"bbbb","new":[1,{"x":"y"}]},"files":[{"sha1":"x","size":3000,"compression":"gzip"}]}`),
			Audit:    []byte("Package curl-8.11.1 has a denial-of-service vulnerability, see https://example.invalid/kept\nPackage fresh-0.1 has a buffer-overflow vulnerability, see https://example.invalid/new\n"),
		})
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", name, d)
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	d, err := Images(context.Background(), a, b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"diff.txt":       func(w *bytes.Buffer) error { return d.WriteText(w, false) },
		"diff-files.txt": func(w *bytes.Buffer) error { return d.WriteText(w, true) },
		"diff.md":        func(w *bytes.Buffer) error { return d.WriteMarkdown(w) },
		"diff.json":      func(w *bytes.Buffer) error { return WriteJSON(w, d) },
		"du.txt":         func(w *bytes.Buffer) error { return Measure(b, 2).WriteText(w, UsageOptions{}) },
		"du.json":        func(w *bytes.Buffer) error { return WriteJSON(w, Measure(b, 1)) },
		"tree.txt": func(w *bytes.Buffer) error {
			e, err := Tree(b, TreeOptions{})
			if err != nil {
				return err
			}
			return e.WriteText(w, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var first bytes.Buffer
			for i := range 20 {
				var out bytes.Buffer
				if err := write(&out); err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					first = out
					golden(t, name, out.Bytes())
				} else if !bytes.Equal(first.Bytes(), out.Bytes()) {
					t.Fatal("two times, two results")
				}
			}
		})
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	a, _ := pair(t)
	b, _ := pair(t)
	n, _ := b.Tree.Lstat("etc/motd")
	n.MTime.Sec += 5
	d, err := Images(context.Background(), a, b, Options{})
	if err != nil || !d.Same {
		t.Errorf("%+v, %v", d, err)
	}
	d, err = Images(context.Background(), a, b, Options{Times: true})
	if err != nil || d.Same || len(d.Files) != 1 {
		t.Errorf("with times: %+v, %v", d, err)
	}
}

// TestMeasure adds up: parts make the whole, whatever the depth.
func TestMeasure(t *testing.T) {
	t.Parallel()
	_, im := pair(t)
	for depth := range 5 {
		u := Measure(im, depth)
		var bytes int64
		files := 0
		for _, p := range u.Packages {
			bytes, files = bytes+p.Bytes, files+p.Files
		}
		if bytes != u.Bytes || files != u.Files || u.Directory.Bytes != u.Bytes || u.Directory.Files != u.Files {
			t.Errorf("depth %d: %d bytes in %d files; %+v", depth, bytes, files, u)
		}
		var sum func(*Dir) int64
		sum = func(d *Dir) int64 {
			n := d.Own
			for _, c := range d.Dirs {
				n += sum(c)
			}
			if n != d.Bytes {
				t.Errorf("depth %d: %s has %d bytes, its parts %d", depth, d.Path, d.Bytes, n)
			}
			return n
		}
		sum(u.Directory)
	}
}

func TestMarkdownEscapes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"curl-8.11.1":                  "curl-8.11.1",
		"x86_64":                       "x86_64",
		"https://example.invalid/a_b":  "https://example.invalid/a_b",
		"a|b":                          "`a\\174b`",
		"`":                            "`\\140`",
		"<script>alert(1)</script>":    "`<script>alert(1)</script>`",
		"[x](javascript:alert(1))":     "`[x](javascript:alert(1))`",
		"@everyone":                    "`@everyone`",
		"![](https://track.invalid/x)": "`![](https://track.invalid/x)`",
		"see www.example.invalid":      "`see www.example.invalid`",
		"javascript://x":               "`javascript://x`",
		"line\nbreak":                  "`line\\012break`",
		"_em_":                         "`_em_`",
	} {
		if got := md(in); got != want {
			t.Errorf("md(%q) = %q, want %q", in, got, want)
		}
	}
}
