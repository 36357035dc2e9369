package flavor_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/images"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
)

func load(t *testing.T) *flavor.Set {
	t.Helper()
	set, err := flavor.Load(images.FS)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// The table of spec flavors.md. There may be more by now.
func TestFlavors(t *testing.T) {
	t.Parallel()
	five := "coreutils curl gsed patch sudo"
	want := []string{
		"triton-origin-multiarch-15.4.1 minimal-multiarch-lts@15.4.1 ede31770-e19c-11e5-bb6e-3b7de3cca9ce 2015Q4 multiarch false coreutils-8.23nb2 curl-7.51.0 gsed-4.2.2nb4 patch-2.7.5 sudo-1.8.15",
		"triton-origin-x86_64-18.4.0 minimal-64-lts@18.4.0 c2c31b00-1d60-11e9-9a77-ff9f06554b0f 2018Q4 x86_64 true " + five,
		"triton-origin-x86_64-19.4.0 minimal-64-lts@19.4.0 5417ab20-3156-11ea-8b19-2b66f5e7a439 2019Q4 x86_64 true " + five,
		"triton-origin-x86_64-21.4.0 minimal-64-lts@21.4.0 a7199134-7e94-11ec-be67-db6f482136c2 2021Q4 x86_64 true " + five,
		"triton-origin-x86_64-23.4.0 minimal-64-lts@23.4.0 5e4c3f98-aca4-11ee-9db8-00151714048c 2023Q4 x86_64 true " + five,
		"triton-origin-x86_64-24.4.1 minimal-64-lts@24.4.1 41bd4100-eb86-409a-85b0-e649aadf6f62 2024Q4 x86_64 true " + five,
	}
	var got []string
	for _, f := range load(t).Flavors {
		up := "false"
		if f.Pkgsrc.Upgrade {
			up = "true"
		}
		got = append(got, strings.Join(append([]string{f.Name, f.Base.String(), f.Base.UUID, f.Pkgsrc.Release,
			f.Pkgsrc.Arch, up}, f.Pkgsrc.Packages...), " "))
	}
	if d := cmp.Diff(want, without(got, want)); d != "" {
		t.Error(d)
	}
}

// without drops the lines that are not expected from got.
func without(got, want []string) []string {
	return slices.DeleteFunc(got, func(s string) bool { return !slices.Contains(want, s) })
}

// Every row of the public maps, unchanged, and the holes filled.
func TestKnownImages(t *testing.T) {
	t.Parallel()
	want := `fd2cc906-8938-11e3-beab-4359c665ac99 sdc-smartos@1.6.3 2011Q4 3e8e972d-1d38-4b68-a3b2-00861b2ec89a
18b094b0-eb01-11e5-80c1-175dac7ddf02 sdc-minimal-multiarch-lts@15.4.1 2015Q4 f00a393d-a1c8-4e93-a13e-c364a7d0a2a9
ede31770-e19c-11e5-bb6e-3b7de3cca9ce minimal-multiarch-lts@15.4.1 2015Q4 f00a393d-a1c8-4e93-a13e-c364a7d0a2a9
04a48d7d-6bb5-4e83-8c3b-e60a99e0f48f triton-origin-multiarch-15.4.1@1.0.1 2015Q4 f00a393d-a1c8-4e93-a13e-c364a7d0a2a9
c2c31b00-1d60-11e9-9a77-ff9f06554b0f minimal-64-lts@18.4.0 2018Q4 d639b789-ce4e-4c81-a230-a28172dd0360
a9368831-958e-432d-a031-f8ce6768d190 triton-origin-x86_64-18.4.0@master-20190410T193647Z-g982b0ce 2018Q4 d639b789-ce4e-4c81-a230-a28172dd0360
5417ab20-3156-11ea-8b19-2b66f5e7a439 minimal-64-lts@19.4.0 2019Q4 e6539349-b85c-4401-92ef-ea4dad86c2bc
59ba2e5e-976f-4e09-8aac-a4a7ef0395f5 triton-origin-x86_64-19.4.0@master-20200130T200825Z-gbb45b8d 2019Q4 e6539349-b85c-4401-92ef-ea4dad86c2bc
a7199134-7e94-11ec-be67-db6f482136c2 minimal-64-lts@21.4.0 2021Q4 6fc6ec02-a41a-4711-b811-27dc121d0396
502eeef2-8267-489f-b19c-a206906f57ef triton-origin-x86_64-21.4.0@master-20220322T012137Z-g9382491 2021Q4 6fc6ec02-a41a-4711-b811-27dc121d0396
5e4c3f98-aca4-11ee-9db8-00151714048c minimal-64-lts@23.4.0 2023Q4
41bd4100-eb86-409a-85b0-e649aadf6f62 minimal-64-lts@24.4.1 2024Q4
4dd8810e-10a8-49d1-b37b-1c4e32ed6c05 triton-origin-x86_64-24.4.1@master-20250116T175211Z-gb17eb8e 2024Q4`
	var got []string
	for _, k := range load(t).Known() {
		got = append(got, strings.TrimSpace(k.UUID+" "+k.String()+" "+k.Pkgsrc+" "+k.Agent))
	}
	lines := strings.Split(want, "\n")
	if d := cmp.Diff(lines, without(got, lines)); d != "" {
		t.Error(d)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	set := load(t)
	for in, want := range map[string]string{
		"triton-origin-x86_64-21.4.0": "triton-origin-x86_64-21.4.0",
		"15.4.1":                      "triton-origin-multiarch-15.4.1",
	} {
		f, err := set.Lookup(in)
		if err != nil || f.Name != want {
			t.Errorf("Lookup(%q) = %v, %v; want %s", in, f, err, want)
		}
	}
	for in, hint := range map[string]string{
		"triton-origin-x86_64-24.4.2": "did you mean triton-origin-x86_64-24.4.1?",
		"triton-orign-x86-64-18.4.0":  "did you mean triton-origin-x86_64-18.4.0?",
		"nothing like it":             "the flavors are: triton-origin-multiarch-15.4.1 ",
	} {
		_, err := set.Lookup(in)
		if fault.KindOf(err) != fault.Usage || !strings.HasPrefix(fault.Hint(err), hint) {
			t.Errorf("Lookup(%q): kind %d, hint %q; want a usage error, %q", in, fault.KindOf(err), fault.Hint(err), hint)
		}
	}
}

func TestDerived(t *testing.T) {
	t.Parallel()
	f, err := load(t).Lookup("24.4.1")
	if err != nil {
		t.Fatal(err)
	}
	if got := f.JenkinsParam() + " " + f.AgentLabels(); got != "BUILD_24_4_1 image_ver:24.4.1 && pkgsrc_arch:x86_64" {
		t.Error(got)
	}
}

// files copies the real files, with one replacement in one of them.
func files(t testing.TB, name, old, new string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(images.FS, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(images.FS, p)
		out[p] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if name != "" {
		s := string(out[name].Data)
		if !strings.Contains(s, old) {
			t.Fatalf("%s does not hold %q", name, old)
		}
		out[name] = &fstest.MapFile{Data: []byte(strings.Replace(s, old, new, 1))}
	}
	return out
}

func TestStrictness(t *testing.T) {
	t.Parallel()
	const f21, env = "triton-origin-x86_64-21.4.0/flavor.toml", "buildenv.toml"
	for _, c := range []struct{ name, file, old, new, want string }{
		{"unknown key", f21, "upgrade =", "upgade =", `images/` + f21 + `:14:1: unknown key "upgade" (did you mean "upgrade"?)`},
		{"wrong type", f21, "upgrade = true", "upgrade = \"yes\"", `:14:11: a string stands where true or false is wanted`},
		{"an integer", f21, "upgrade = true", "upgrade = 1", `:14:11: an integer stands where true or false is wanted`},
		{"letter case", f21, "upgrade =", "Upgrade =", `:14:1: unknown key "Upgrade" (did you mean "upgrade"?)`},
		{"unknown table", f21, "[base]", "[bsae]", `:6:2: unknown key "bsae" (did you mean "base"?)`},
		{"unknown in array", f21, `version = "master`, `vers = "master`, `:28:1: unknown key "vers"`},
		{"unknown at top", env, "homepage =", "hoempage =", `unknown key "hoempage" (did you mean "homepage"?)`},
		{"inline table", f21, "[base]\n", "[base]\nx = {y = 1}\n", `:7:1: unknown key "x"`},
		{"twice the same key", f21, "upgrade = true", "upgrade = true\nupgrade = true", `:15:1: key upgrade is already defined`},
		{"wrong type", f21, "upgrade = true", `upgrade = "yes"`, `:14:`},
		{"no TOML", f21, "[base]", "[base", `:6:`},
		{"bad uuid", f21, `uuid = "a7199134`, `uuid = "x7199134`, `:9:1: base.uuid: "x7199134-7e94-11ec-be67-db6f482136c2" is not a uuid`},
		{"uuid in capitals", f21, `uuid = "a7199134`, `uuid = "A7199134`, `is not a uuid`},
		{"uuid twice", f21, `uuid = "a7199134-7e94-11ec-be67-db6f482136c2"`, `uuid = "c2c31b00-1d60-11e9-9a77-ff9f06554b0f"`, `:9:1: base.uuid: c2c31b00-1d60-11e9-9a77-ff9f06554b0f is already the uuid of minimal-64-lts@18.4.0`},
		{"missing uuid", f21, `uuid = "a7199134-7e94-11ec-be67-db6f482136c2"`, ``, `:6:2: base.uuid: missing or empty`},
		{"name and directory", f21, `name = "triton-origin-x86_64-21.4.0"`, `name = "triton-origin-x86_64-21.4.1"`, `:2:1: name: "triton-origin-x86_64-21.4.1" stands in the directory "triton-origin-x86_64-21.4.0"`},
		{"bad name", f21, `name = "triton-origin-x86_64-21.4.0"`, `name = "x; rm -rf"`, `:2:1: name: "x; rm -rf" is not of the form`},
		{"arch", f21, `arch = "x86_64"`, `arch = "multiarch"`, `:13:1: pkgsrc.arch: "multiarch" does not fit the name`},
		{"release", f21, `release = "2021Q4"`, `release = "2021Q3"`, `:12:1: pkgsrc.release: "2021Q3" does not fit version 21.4.0, which is of 2021Q4`},
		{"base version", f21, `version = "21.4.0"`, `version = "21.4.1"`, `:8:1: base.version: "21.4.1" does not fit the name`},
		{"no packages", f21, `packages = ["coreutils", "curl", "gsed", "patch", "sudo"]`, `packages = []`, `:15:1: pkgsrc.packages: no package`},
		{"package twice", f21, `"curl", "gsed"`, `"curl", "curl"`, `:15:1: pkgsrc.packages: "curl" comes twice`},
		{"package with a blank", f21, `"curl"`, `"curl sudo"`, `pkgsrc.packages: "curl sudo" is not a package name`},
		{"quote in description", f21, `image based on`, `image 'based' on`, `:3:1: description:`},
		{"no description", f21, "description =", "# description =", `:1:1: description: missing or empty`},
		{"agent platform", f21, "20210826T002459Z", "20211326T002459Z", `build_on.platform: "20211326T002459Z" is not a time`},
		{"shell in env", f21, `image_ver = "21.4.0"`, "image_ver = \"21.4.0\"\nenv = [\"A=$(id)\"]", `build_on.env:`},
		{"homepage", env, "https://github.com", "ftp://github.com", `homepage: "ftp://`},
		{"homepage for make", env, "https://github.com", "https://github.com/$(shell touch PWNED)", "homepage: \"https://github.com/$(shell touch PWNED)"},
		{"homepage as a comment", env, "https://github.com", "https://github.com/#", `meaning in makefiles`},
		{"release order", env, `release = "2018Q4"`, `release = "2014Q4"`, `comes twice or after a younger one`},
		{"release unknown", env, "[[pkgsrc]]\nrelease = \"2023Q4\"\n", ``, `pkgsrc.release: "2023Q4" is not in images/buildenv.toml`},
		{"image release", env, `pkgsrc = "2011Q4"`, `pkgsrc = "2012Q4"`, `image.pkgsrc: no [[pkgsrc]] has release "2012Q4"`},
		{"agent uuid", env, `agent = "3e8e`, `agent = "3e8"#`, `pkgsrc.agent: "3e8" is not a uuid`},
		{"audit class", f21, "[build_on]", "[audit]\nfail_on = [\"Any thing\"]\n[build_on]", `audit.fail_on: "Any thing" is not a class`},
		{"audit without a day", f21, "[build_on]", "[[audit.accept]]\npackage = \"curl\"\nreason = \"x\"\n[build_on]", `audit.accept.expires: "" is not a day such as 2027-06-30`},
		{"audit without a reason", f21, "[build_on]", "[[audit.accept]]\npackage = \"curl\"\nexpires = \"2027-01-31\"\n[build_on]", `audit.accept.reason: missing or empty`},
		{"audit, unknown key", f21, "[build_on]", "[[audit.accept]]\npakage = \"curl\"\n[build_on]", `unknown key "pakage" (did you mean "package"?)`},
		{"large", f21, "# What", "#" + strings.Repeat("x", 70000) + "\n# What", `larger than 65536 bytes`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := flavor.Load(files(t, c.file, c.old, c.new))
			if err == nil {
				t.Fatal("no error")
			}
			if fault.KindOf(err) != fault.Usage || fault.Hint(err) == "" {
				t.Errorf("kind %d, hint %q", fault.KindOf(err), fault.Hint(err))
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "images/") {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestAuditPolicy(t *testing.T) {
	t.Parallel()
	set, err := flavor.Load(files(t, "triton-origin-x86_64-21.4.0/flavor.toml", "[build_on]", `[audit]
fail_on = ["remote-code-execution", "any"]

[[audit.accept]]
package = "curl"
class = "cookie-injection"
url = "https://example.invalid/1"
reason = "not reachable"
expires = "2027-01-31"

[build_on]`))
	if err != nil {
		t.Fatal(err)
	}
	f, err := set.Lookup("21.4.0")
	if err != nil {
		t.Fatal(err)
	}
	want := flavor.Audit{FailOn: []string{"remote-code-execution", "any"}, Accept: []flavor.AuditAccept{{
		Package: "curl", Class: "cookie-injection", URL: "https://example.invalid/1", Reason: "not reachable", Expires: "2027-01-31"}}}
	if d := cmp.Diff(want, f.Audit); d != "" {
		t.Error(d)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	fsys := files(t, "buildenv.toml", "homepage", "hompage")
	delete(fsys, "triton-origin-x86_64-21.4.0/flavor.toml")
	fsys["triton-origin-x86_64-21.4.0/flavor.toml"] = &fstest.MapFile{Data: []byte("nme = 1\nx = 2\n")}
	_, err := flavor.Load(fsys)
	if n := strings.Count(err.Error(), "\n") + 1; n != 3 {
		t.Errorf("%d problems, want 3:\n%s", n, err)
	}
}

// brokenFS cannot read one file.
type brokenFS struct {
	fstest.MapFS
	name string
}

func (f brokenFS) Open(name string) (fs.File, error) {
	if name == f.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EIO}
	}
	return f.MapFS.Open(name)
}

// A disk that fails is no mistake of who wrote the files.
func TestBrokenDisk(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"buildenv.toml", "triton-origin-x86_64-21.4.0/flavor.toml"} {
		_, err := flavor.Load(brokenFS{files(t, "", "", ""), name})
		if fault.KindOf(err) != fault.Step || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "images/"+name) {
			t.Errorf("%s: kind %d: %v", name, fault.KindOf(err), err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	n := 0
	for name, file := range files(f, "", "", "") {
		if strings.HasSuffix(name, "flavor.toml") {
			n++
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := files(t, "", "", "")
		fsys["triton-origin-x86_64-21.4.0/flavor.toml"] = &fstest.MapFile{Data: data}
		if set, err := flavor.Load(fsys); err == nil && len(set.Flavors) != n {
			t.Errorf("%d flavors", len(set.Flavors))
		} else if err != nil && fault.KindOf(err) != fault.Usage {
			t.Errorf("kind %d: %v", fault.KindOf(err), err)
		}
	})
}
