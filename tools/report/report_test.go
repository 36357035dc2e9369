package report

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"html"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/compare"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/sbom"
	"github.com/TritonDataCenter/engbld/tools/survey"
)

var update = flag.Bool("update", false, "write the golden file")

// Names that mean something to some part of a page or its reader.
func hostileNames() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</style><script>alert(1)</script>`,
		`</title><script>alert(1)</script>`, `<!--`, `-->`, `{{.}}`, `{{template "x"}}`, `javascript:alert(1)`, `&lt;b&gt;`, "\x00\x1b[2J", "new\nline",
		"turn\u202eed", "\xff\xfe", `]]>`, `url(javascript:alert(1))`, `*{display:none}`, "a`b", `..`, strings.Repeat("w", 200), "`;--", "‮", "%3Cscript%3E",
	}
}

type system struct {
	t    *testing.T
	tree *fstree.Tree
}

func (s system) write(name, text string) {
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

func (s system) install(name, info, comment, content string) {
	s.t.Helper()
	s.write("opt/local/share/"+name, content)
	s.write("opt/local/pkg/"+name+"/+CONTENTS", "@cwd /opt/local\n@name "+name+"\nshare/"+name+"\n")
	s.write("opt/local/pkg/"+name+"/+COMMENT", comment+"\n")
	s.write("opt/local/pkg/"+name+"/+BUILD_INFO", info)
}

func newSystem(t *testing.T) system {
	t.Helper()
	s := system{t, fstree.New(fstree.Time{Sec: 1})}
	s.write("etc/pkgsrc_version", "release: 2024Q4\narchitecture: x86_64\n")
	s.write("opt/local/etc/pkg_install.conf", "PKG_DBDIR=/opt/local/pkg\n")
	return s
}

func data(t *testing.T, old, cur system, manifest, audit string) Data {
	t.Helper()
	ctx := context.Background()
	m, err := imgmanifest.Parse([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	a, err := survey.Read(ctx, old.tree, survey.Options{Name: "old@1"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := survey.Read(ctx, cur.tree, survey.Options{Manifest: m, Audit: []byte(audit)})
	if err != nil {
		t.Fatal(err)
	}
	d := Data{Image: b, Timings: []lock.Timing{{Step: "base", Seconds: 0.25}, {Step: "write", Seconds: 1.5}}, SinceWhat: "the image it is based on", FileName: "image.zfs.gz", Origin: m}
	if d.Since, err = compare.Images(ctx, a, b, compare.Options{}); err != nil {
		t.Fatal(err)
	}
	if d.Provenance, err = sbom.Provenance(sbom.Subject{Image: b, FileName: d.FileName}); err != nil {
		t.Fatal(err)
	}
	return d
}

func ordinary(t *testing.T) Data {
	t.Helper()
	old, cur := newSystem(t), newSystem(t)
	old.install("openssl-3.3.2", "LICENSE=apache-2.0\n", "Secure sockets", strings.Repeat("s", 9000))
	old.install("zlib-1.3.1", "LICENSE=zlib\n", "Compression", strings.Repeat("z", 900))
	cur.install("zlib-1.3.1", "LICENSE=zlib\n", "Compression", strings.Repeat("z", 900))
	cur.install("openssl-3.3.3", "LICENSE=apache-2.0\n", "Secure sockets", strings.Repeat("s", 9500))
	cur.install("curl-8.11.1", "LICENSE=mit\nHOMEPAGE=https://example.invalid/curl/\n", "Client that groks URLs", strings.Repeat("c", 5000))
	cur.write("opt/local/pkg/openssl-3.3.3/+INSTALLED_INFO", "automatic=yes\n")
	cur.write("etc/motd", "welcome\n")
	return data(t, old, cur, `{"v":2,"uuid":"0cd51e96-81c8-8d99-8815-de9067c7fc3e","name":"triton-origin-x86_64-24.4.1","version":"master-20260101T000000Z-gaaaaaaa",
		"published_at":"2026-01-01T00:00:00Z","description":"An image","homepage":"https://example.invalid/","type":"zone-dataset","os":"smartos",
		"files":[{"sha1":"fb3c132b5c02d88704093c43d7be89e2251d176e","size":248995,"compression":"gzip"}],"requirements":{"min_platform":{"7.0":"20210826T002459Z"}},
		"tags":{"git":"95c47cb86993a8320bdf5cad4eaf8724304b10a3","branch":"master","sandbox":true}}`,
		"Package curl-8.11.1 has a denial-of-service vulnerability, see https://example.invalid/adv/1\nPackage zlib-1.3.1 has reached end-of-life (eol), see https://example.invalid/eol\n")
}

func evil(t *testing.T) Data {
	t.Helper()
	old, cur := newSystem(t), newSystem(t)
	var audit strings.Builder
	for i, n := range hostileNames() {
		one := strings.NewReplacer("\n", " ", "\x00", "").Replace(n)
		cur.install(fmt.Sprintf("pkg%02d-1", i), "LICENSE="+one+"\nHOMEPAGE="+one+"\nPKGPATH="+one+"\n", one, strings.Repeat("x", 100+i))
		fmt.Fprintf(&audit, "Package %s has a %s vulnerability, see %s\n", one, one, one)
		file := strings.NewReplacer("/", "_", "\x00", "").Replace(n)
		if file == ".." {
			continue
		}
		dir := &fstree.Node{Mode: fstree.TypeDir | 0o755}
		dir.Add(file, &fstree.Node{Mode: fstree.TypeRegular | 0o644, Content: fstree.Bytes(bytes.Repeat([]byte("y"), 500))})
		cur.tree.Root.Add(file, dir)
		old.tree.Root.Add("old"+file, &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: n})
	}
	for _, n := range []string{`<script>alert(2)</script>-1`, `"onload=x-2`, "a&b-3", "{{.}}-1"} {
		// a record's directory may have any name
		cur.write("opt/local/pkg/"+n+"/+COMMENT", n)
	}
	q := func(s string) string { return strings.NewReplacer(`"`, `\"`).Replace(s) }
	x := q(`"><script>alert(3)</script>`)
	d := data(t, old, cur, `{"v":2,"uuid":"0cd51e96-81c8-8d99-8815-de9067c7fc3e","name":"`+x+`","version":"`+x+`","description":"`+x+`","homepage":"javascript:alert(1)",
		"published_at":"2026-01-01T00:00:00Z","type":"`+x+`","os":"`+x+`","origin":"`+x+`","files":[{"sha1":"`+x+`","size":1,"compression":"`+x+`"}],
		"requirements":{"min_platform":{"7.0":"`+x+`"}},"tags":{"git":"`+x+`","branch":"`+x+`"}}`, audit.String())
	d.Timings = []lock.Timing{{Step: x, Seconds: math.Inf(1)}}
	return d
}

func render(t *testing.T, d Data) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	first := render(t, ordinary(t))
	for range 20 {
		if render(t, ordinary(t)) != first {
			t.Fatal("two times, two results")
		}
	}
	const name = "testdata/report.html"
	if *update {
		if err := os.WriteFile(name, []byte(first), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), first); d != "" {
		t.Errorf("(-want +got; -update writes it)\n%s", d)
	}
	check(t, first)
}

// tag matches what a browser takes for the begin of a tag, comment or the like.
var tag = regexp.MustCompile(`<([a-zA-Z/!?][^\s>]*)((?:\s+[a-z-]+(?:="[^"<>]*")?)*)\s*>`)

// check fails for markup that the templates do not hold.
func check(t *testing.T, text string) {
	t.Helper()
	css := between(t, text, "<style>", "</style>")
	sum := sha256.Sum256([]byte(css))
	policy := html.UnescapeString(between(t, text, `http-equiv="Content-Security-Policy" content="`, `"`))
	if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the policy %q does not fit the style sheet: want %q", policy, want)
	}
	if strings.Contains(css, "<") || strings.Contains(css, "url(") {
		t.Errorf("the style sheet has more than rules")
	}
	allowed := strings.Fields("!DOCTYPE html head meta title style body a div header main footer section nav p h1 h2 h3 ul li dl dt dd span b i small code pre input label table thead tbody tr th td details summary")
	rest := strings.Replace(text, css, "", 1)
	found := tag.FindAllStringSubmatch(rest, -1)
	if len(found) != strings.Count(rest, "<") {
		t.Errorf("%d times <, but %d tags", strings.Count(rest, "<"), len(found))
	}
	for _, m := range found {
		if !slices.Contains(allowed, strings.TrimPrefix(m[1], "/")) {
			t.Errorf("the page has a tag %q", m[0])
		}
		for _, attr := range regexp.MustCompile(`\s([a-z-]+)(?:="([^"]*)")?`).FindAllStringSubmatch(m[2], -1) {
			if strings.HasPrefix(attr[1], "on") || attr[1] == "style" || attr[1] == "src" {
				t.Errorf("the page has an attribute %q", m[0])
			}
			if v := html.UnescapeString(attr[2]); attr[1] == "href" && !strings.HasPrefix(v, "#") && !survey.WebAddress(v) && !regexp.MustCompile(`^[a-z0-9._-]+\.html$`).MatchString(v) {
				t.Errorf("the page has a link to %q", v)
			}
		}
	}
	for _, r := range rest {
		if r < ' ' && r != '\n' || r == '\u202e' || r == '\ufffd' {
			t.Errorf("the page has a character %q", r)
			break
		}
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
		if ids[m[1]] {
			t.Errorf("two things have the id %q", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(` href="#([^"]*)"`).FindAllStringSubmatch(rest, -1) {
		if !ids[m[1]] {
			t.Errorf("a link to #%s, which is not there", m[1])
		}
	}
}

func between(t *testing.T, s, a, b string) string {
	t.Helper()
	_, s, ok := strings.Cut(s, a)
	s, _, ok2 := strings.Cut(s, b)
	if !ok || !ok2 {
		t.Fatalf("the page has no %s … %s", a, b)
	}
	return s
}

func TestHostile(t *testing.T) {
	t.Parallel()
	text := render(t, evil(t))
	check(t, text)
	if !strings.Contains(text, html.EscapeString("<script>alert(1)</script>")) {
		t.Error("the hostile names are not shown as text")
	}
	var b bytes.Buffer
	var entries []Entry
	for _, n := range hostileNames() {
		entries = append(entries, Entry{Name: n, Why: n})
	}
	entries = append(entries, Entry{Name: "ok", File: "ok.html", Image: evil(t).Image})
	if err := WriteIndex(&b, entries); err != nil {
		t.Fatal(err)
	}
	check(t, b.String())
}

func TestBare(t *testing.T) {
	t.Parallel()
	im, err := survey.Read(context.Background(), fstree.New(fstree.Time{}), survey.Options{Name: "stream.zfs"})
	if err != nil {
		t.Fatal(err)
	}
	check(t, render(t, Data{Image: im}))
}

// TestPlace: whatever sizes are placed, areas are as sizes and stay within the map.
func TestPlace(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var items []item
		var total, sum float64
		for range 1 + r.IntN(60) {
			it := item{size: int64(math.Pow(r.Float64(), 6) * 1e9), leaf: &tile{}}
			if r.IntN(4) == 0 {
				half := it.size / 2
				it = item{size: it.size, sub: []item{{size: half, leaf: &tile{}}, {size: it.size - half, leaf: &tile{}}}}
			}
			total += float64(it.size)
			items = append(items, it)
		}
		aspect := []float64{aspectWide, aspectNarrow}[r.IntN(2)]
		place(items, rect{0, 0, 1, 1}, aspect)
		const eps = 1e-6
		var visit func(items []item)
		visit = func(items []item) {
			for _, it := range items {
				if it.leaf == nil {
					visit(it.sub)
					continue
				}
				a := it.leaf.at
				sum += a.w * a.h
				if math.Abs(a.w*a.h-float64(it.size)/total) > eps || a.x < -eps || a.y < -eps || a.x+a.w > 1+eps || a.y+a.h > 1+eps {
					t.Fatalf("size %d of %g is at %+v", it.size, total, a)
				}
			}
		}
		visit(items)
		if total > 0 && math.Abs(sum-1) > eps {
			t.Fatalf("the tiles cover %g of the map", sum)
		}
	}
}

// TestBrowser opens pages in Chromium, which reports nothing and finds nothing
// that runs. With ENGBLD_SCREENSHOTS, a directory, it leaves pictures there, 1280
// and 400 pixels wide, light and dark.
func TestBrowser(t *testing.T) {
	dir := os.Getenv("ENGBLD_SCREENSHOTS")
	if dir == "" {
		t.Skip("ENGBLD_SCREENSHOTS is not set; it names a directory for pictures of the pages")
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		args = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--user-data-dir=" + t.TempDir()}, args...)
		cmd := exec.Command(browser, args...)
		var log bytes.Buffer
		cmd.Stderr = &log
		out, err := cmd.Output()
		if err != nil || strings.Contains(log.String(), "CONSOLE") {
			t.Fatalf("%v\n%s", err, log.String())
		}
		return string(out)
	}
	for name, d := range map[string]Data{"ordinary": ordinary(t), "hostile": evil(t)} {
		file := filepath.Join(dir, name+".html")
		if err := os.WriteFile(file, []byte(render(t, d)), 0o644); err != nil {
			t.Fatal(err)
		}
		dom := run("--enable-logging=stderr", "--dump-dom", "file://"+file)
		for _, bad := range []string{"<script", "<img", "onerror=\"", "onmouseover=\"", "onload=\""} {
			if strings.Contains(dom, bad) {
				t.Errorf("%s: the browser sees %s", name, bad)
			}
		}
		for _, width := range []int{1280, 400} {
			for scheme, arg := range map[string]string{"light": "1", "dark": "0"} {
				run(fmt.Sprintf("--window-size=%d,2400", width), "--blink-settings=preferredColorScheme="+arg,
					fmt.Sprintf("--screenshot=%s", filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, scheme))), "file://"+file)
			}
		}
	}
}
