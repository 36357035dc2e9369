package sbom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/survey"
)

var update = flag.Bool("update", false, "write the golden files")

const hostile = `"><script>alert(1)</script>` + "\x1b\n\u202e\xff{{.}}"

type pkg struct{ name, info, deps string }

func subject(t *testing.T, packages ...pkg) Subject {
	t.Helper()
	tree := fstree.New(fstree.Time{Sec: 1})
	write := func(name, text string) {
		if err := tree.MkdirAll(name[:strings.LastIndexByte(name, '/')], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := tree.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/pkgsrc_version", "release: 2024Q4\narchitecture: x86_64\n")
	write("opt/local/etc/pkg_install.conf", "PKG_DBDIR=/opt/local/pkg\n")
	for _, p := range packages {
		write("opt/local/pkg/"+p.name+"/+CONTENTS", "@cwd /opt/local\n@name "+p.name+"\n"+p.deps)
		write("opt/local/pkg/"+p.name+"/+COMMENT", "about "+p.name+"\n")
		write("opt/local/pkg/"+p.name+"/+BUILD_INFO", p.info)
	}
	m, err := imgmanifest.Parse([]byte(`{"v":2,"uuid":"0cd51e96-81c8-8d99-8815-de9067c7fc3e","name":"triton-origin-x86_64-24.4.1","version":"master-20260101T000000Z-gaaaaaaa",
		"published_at":"2026-01-01T00:00:00.000Z","description":"An image","homepage":"https://example.invalid/","origin":"41bd4100-eb86-409a-85b0-e649aadf6f62",
		"files":[{"sha1":"fb3c132b5c02d88704093c43d7be89e2251d176e","size":248995,"compression":"gzip"}],
		"tags":{"git":"95c47cb86993a8320bdf5cad4eaf8724304b10a3"}}`))
	if err != nil {
		t.Fatal(err)
	}
	base, err := imgmanifest.Parse([]byte(`{"v":2,"uuid":"41bd4100-eb86-409a-85b0-e649aadf6f62","name":"minimal-64-lts","version":"24.4.1",
		"files":[{"sha1":"72e2eee64e91cccf219a4788786d19ef65801d9d","size":148193,"compression":"gzip"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	im, err := survey.Read(context.Background(), tree, survey.Options{Manifest: m,
		Audit: []byte("Package curl-8.11.1 has a denial-of-service vulnerability, see https://example.invalid/adv/1\n" +
			"Package openssl-3.3.3 has a denial-of-service vulnerability, see https://example.invalid/adv/1\n" +
			"Package openssl-3.3.3 has reached end-of-life (eol), see https://example.invalid/eol\n" +
			"Package gone-1 has a x vulnerability, see " + `javascript:alert("1")` + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	return Subject{Image: im, Origin: base, FileName: "image.zfs.gz", SHA256: strings.Repeat("ab", 32)}
}

func ordinary(t *testing.T) Subject {
	t.Helper()
	return subject(t,
		pkg{"curl-8.11.1", "BUILD_DATE=2025-01-15 10:00:00 +0000\nHOMEPAGE=https://example.invalid/curl/\nLICENSE=mit\nPKGPATH=www/curl\n", "@pkgdep openssl>=3\n"},
		pkg{"openssl-3.3.3", "LICENSE=isc AND (modified-bsd OR made-up)\nHOMEPAGE=javascript:alert(1)\n", ""},
		pkg{"zlib-1.3.1", "LICENSE=isc AND zlib\n", ""},
		pkg{"odd-1", "LICENSE=AND (\n", ""},
	)
}

func recorded(t *testing.T) Subject {
	t.Helper()
	s := ordinary(t)
	sum := strings.Repeat("cd", 32)
	s.Record = &lock.Record{
		Lock: lock.Lock{
			Images:          []lock.Image{{UUID: s.Origin.UUID(), Name: "minimal-64-lts", Version: "24.4.1", SHA1: "72e2eee64e91cccf219a4788786d19ef65801d9d", Size: 1, Stream: sum}},
			Components:      []lock.Component{{Path: "/home/me/proto", Digest: sum}},
			Vulnerabilities: &lock.File{URL: "https://example.invalid/v.gz", Size: 1, SHA256: sum},
			Packages:        []lock.Package{{Name: "curl", Version: "8.11.1", Size: 1, SHA256: sum, Repository: "https://example.invalid/All", SignedBy: "ABCD"}},
		},
		Build: lock.Build{Image: s.Image.Manifest.UUID(), Writer: "1", Plan: "p", Request: `{"name":"x","component":{"dir":"/home/me/proto"},"source_repo":"https://example.invalid/repo"}`,
			Outputs: []lock.Output{{Name: "image.zfs.gz", Size: 1, SHA256: s.SHA256}, {Name: "image.imgmanifest", Size: 1, SHA256: sum}}},
	}
	return s
}

func evil(t *testing.T) Subject {
	t.Helper()
	names := []string{"evil-1", "Evil-1", `a"b<c>-1`, `a\012b-1`, "sp ace-2", "\xff\xfe-3", "+-1", "x%41-1", "xA-1", "-", "noversion", strings.Repeat("l", 240) + "-1"}
	var list []pkg
	for _, n := range names {
		contents := "@pkgdep [0-9\n@pkgdep evil>=0\n"
		list = append(list, pkg{n, "LICENSE=" + strings.ReplaceAll(hostile, "\n", " ") + "\nHOMEPAGE=" + "https://user:pw@example.invalid/\"><x>\nBUILD_DATE=now\nPKGPATH=" + "\x07../..\n", contents})
	}
	s := subject(t, list...)
	s.FileName = ""
	return s
}

var writers = map[string]func(io.Writer, Subject) error{
	"cyclonedx.json": WriteCycloneDX, "spdx.json": WriteSPDX, "provenance.json": WriteProvenance,
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var first []byte
			for i := range 20 {
				var b bytes.Buffer
				if err := write(&b, recorded(t)); err != nil {
					t.Fatal(err)
				}
				if i > 0 && !bytes.Equal(first, b.Bytes()) {
					t.Fatal("two times, two results")
				}
				first = b.Bytes()
			}
			file := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(file, first, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(first)); d != "" {
				t.Errorf("(-want +got; -update writes it)\n%s", d)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	bare := ordinary(t)
	bare.Image.Manifest = nil
	undated := ordinary(t)
	undated.Image.Manifest.Delete("published_at")
	other := recorded(t)
	other.Record.Build.Image = other.Origin.UUID()
	for name, tt := range map[string]struct {
		s    Subject
		kind fault.Kind
	}{"bare": {bare, fault.Usage}, "undated": {undated, fault.Usage}, "other": {other, fault.Drift}} {
		for form, write := range writers {
			if err := write(io.Discard, tt.s); err == nil || fault.KindOf(err) != tt.kind {
				t.Errorf("%s, %s: %v", name, form, err)
			}
		}
	}
}

// schemaModule is a Go module that carries SPDX's own schema of its version 2.3;
// that of CycloneDX comes with its library.
const (
	schemaModule  = "github.com/anchore/syft@v1.57.0"
	schemaSum     = "h1:H/UHtf0KbIlD12dXsfklFMjZ2+erj2an3h/jBHoX/zE="
	requireSchema = "ENGBLD_REQUIRE_SCHEMAS"
)

// TestSchemas validates documents of ordinary, recorded and hostile images with
// the schemas of CycloneDX and SPDX, which are had with the go command. It is
// skipped where they cannot be had, unless ENGBLD_REQUIRE_SCHEMAS is set.
func TestSchemas(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs the go command and its proxy")
	}
	cyclonedx, err := moduleDir("list", "-m", "-json", "github.com/CycloneDX/cyclonedx-go")
	if err != nil {
		skipOrFail(t, err)
	}
	c := jsonschema.NewCompiler()
	load := func(id, file string) {
		t.Helper()
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		v, err := jsonschema.UnmarshalJSON(f)
		if err == nil {
			err = c.AddResource(id, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const bom = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	load(bom, filepath.Join(cyclonedx, "schema", "bom-1.6.schema.json"))
	load("http://cyclonedx.org/schema/spdx.schema.json", filepath.Join(cyclonedx, "schema", "spdx.schema.json"))
	load("http://cyclonedx.org/schema/jsf-0.82.schema.json", filepath.Join(cyclonedx, "schema", "jsf-0.82.schemax.json"))
	validate(t, c, bom, WriteCycloneDX)

	module, err := moduleDir("mod", "download", "-json", schemaModule)
	if err != nil {
		skipOrFail(t, err)
	}
	const doc = "http://spdx.org/rdf/terms/2.3"
	load(doc, filepath.Join(module, "schema", "spdx-json", "spdx-schema-2.3.json"))
	validate(t, c, doc, WriteSPDX)

	// Every identifier that names of licenses are turned into is SPDX's.
	raw, err := os.ReadFile(filepath.Join(cyclonedx, "schema", "spdx.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Enum []string }
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, id := range list.Enum {
		known[id] = true
	}
	for name, id := range licenseNames() {
		if !known[id] {
			t.Errorf("%s: SPDX has no %s", name, id)
		}
	}
}

func skipOrFail(t *testing.T, err error) {
	t.Helper()
	if os.Getenv(requireSchema) != "" {
		t.Fatal(err)
	}
	t.Skipf("the schemas cannot be had: %v", err)
}

func moduleDir(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var out []byte
	var err error
	for range 3 { // a network has its moments
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.WaitDelay = 10 * time.Second
		if out, err = cmd.Output(); err == nil {
			break
		}
	}
	if err != nil {
		return "", err
	}
	var m struct{ Dir, Sum, Path string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", err
	}
	if m.Dir == "" {
		return "", errors.New(m.Path + " is not on this machine")
	}
	if strings.HasPrefix(schemaModule, m.Path+"@") && m.Sum != schemaSum {
		return "", errors.New(m.Path + ": the checksum is " + m.Sum)
	}
	return m.Dir, nil
}

func validate(t *testing.T, c *jsonschema.Compiler, id string, write func(io.Writer, Subject) error) {
	t.Helper()
	schema, err := c.Compile(id)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Subject{"ordinary": ordinary(t), "recorded": recorded(t), "hostile": evil(t), "empty": subject(t)} {
		var b bytes.Buffer
		if err := write(&b, s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v, err := jsonschema.UnmarshalJSON(&b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %s: %v", id, name, err)
		}
	}
	v, _ := jsonschema.UnmarshalJSON(strings.NewReader(`{"bomFormat":"x"}`))
	if schema.Validate(v) == nil {
		t.Errorf("%s takes anything", id)
	}
}

// TestHostile: whatever names a database holds, identifiers differ and the
// documents name only what they define.
func TestHostile(t *testing.T) {
	t.Parallel()
	s := evil(t)
	var b bytes.Buffer
	if err := WriteCycloneDX(&b, s); err != nil {
		t.Fatal(err)
	}
	var bom struct {
		Components []struct {
			Ref string `json:"bom-ref"`
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(b.Bytes(), &bom); err != nil {
		t.Fatal(err)
	}
	refs := map[string]bool{"image:" + s.Image.Manifest.UUID(): true}
	for _, c := range bom.Components {
		if refs[c.Ref] {
			t.Errorf("two have the ref %q", c.Ref)
		}
		refs[c.Ref] = true
	}
	for _, d := range bom.Dependencies {
		for _, r := range append(d.DependsOn, d.Ref) {
			if !refs[r] {
				t.Errorf("%q is no component", r)
			}
		}
	}
	b.Reset()
	if err := WriteSPDX(&b, s); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Packages      []struct{ SPDXID string }
		Relationships []struct{ SpdxElementID, RelatedSpdxElement string }
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{"SPDXRef-DOCUMENT": true}
	for _, p := range doc.Packages {
		if ids[p.SPDXID] {
			t.Errorf("two have the id %q", p.SPDXID)
		}
		ids[p.SPDXID] = true
	}
	for _, r := range doc.Relationships {
		if !ids[r.SpdxElementID] || !ids[r.RelatedSpdxElement] {
			t.Errorf("%+v names what is not there", r)
		}
	}
}

func TestExpression(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"mit": "MIT", "isc AND modified-bsd": "ISC AND BSD-3-Clause", "( mit OR gnu-gpl-v2 ) AND zlib": "(MIT OR GPL-2.0-only) AND Zlib",
		"(mit)": "(MIT)", "public-domain": "LicenseRef-pkgsrc-public-domain", "a_b": "LicenseRef-pkgsrc-a-b-648fa9b31bc7",
		"": "", "AND": "", "mit AND": "", "mit mit": "", "(mit": "", "mit)": "", "()": "",
		strings.Repeat("(", 200) + "mit": "",
	} {
		got, _, ok := expression(in)
		if ok != (want != "") || ok && got != want {
			t.Errorf("expression(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"mit", "isc AND (modified-bsd OR x)", "((", "AND OR"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		expr, _, ok := expression(s)
		if ok && (expr == "" || strings.Count(expr, "(") != strings.Count(expr, ")")) {
			t.Errorf("%q gives %q", s, expr)
		}
	})
}

// Packages find their archives at once, also where there are very many of both.
func TestManyPackages(t *testing.T) {
	t.Parallel()
	s := ordinary(t)
	s.Record = &lock.Record{}
	im := *s.Image
	im.Packages = nil
	for i := range 16000 {
		name := fmt.Sprintf("package-with-a-name-of-some-length-%d", i)
		im.Packages = append(im.Packages, survey.Package{Name: name + "-1.0", Base: name, Version: "1.0"})
		s.Record.Packages = append(s.Record.Packages, lock.Package{Name: name, Version: "1.0", SHA256: fmt.Sprintf("%064d", i)})
	}
	slices.Reverse(s.Record.Packages)
	s.Image = &im
	components := *s.cycloneDX().Components
	if got := (*components[15999].Hashes)[0].Value; got != fmt.Sprintf("%064d", 15999) {
		t.Errorf("package 15999 has the archive %s", got)
	}
	if got := s.spdx().Packages[2].PackageChecksums[0].Value; got != fmt.Sprintf("%064d", 0) {
		t.Errorf("package 0 has the archive %s", got)
	}
}
