package flavor_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/TritonDataCenter/engbld/images"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
)

func TestAddReleased(t *testing.T) {
	t.Parallel()
	r := flavor.Released{Version: "main-1", UUID: "00000000-0000-4000-8000-000000000001"}
	const table = "[[released]]\nversion = \"main-1\"\nuuid = \"00000000-0000-4000-8000-000000000001\"\n"
	for _, tc := range []struct{ name, in, want string }{
		{"none before", "name = \"x\"\n", "name = \"x\"\n\n" + table},
		{"no line end", "name = \"x\"", "name = \"x\"\n\n" + table},
		{"empty lines at the end", "name = \"x\"\n\n\n", "name = \"x\"\n\n" + table},
		{"after the last", "[[released]]\nversion = \"a\" # why\nuuid = \"b\"\n", "[[released]]\nversion = \"a\" # why\nuuid = \"b\"\n\n" + table},
		{"before another table and its comment", "[[released]]\nversion = \"a\"\nuuid = \"b\"\n\n# about\n[audit]\nfail_on = [\n  # all\n  \"any\",\n]\n",
			"[[released]]\nversion = \"a\"\nuuid = \"b\"\n\n" + table + "\n# about\n[audit]\nfail_on = [\n  # all\n  \"any\",\n]\n"},
		{"tables that touch", "[[released]]\nversion = \"a\"\nuuid = \"b\"\n[audit]\n", "[[released]]\nversion = \"a\"\nuuid = \"b\"\n\n" + table + "\n[audit]\n"},
		{"line ends", "[[released]]\r\nversion = \"a\"\r\nuuid = \"b\"\r\n", strings.ReplaceAll("[[released]]\nversion = \"a\"\nuuid = \"b\"\n\n"+table, "\n", "\r\n")},
		{"comments at the end", "[[released]]\nversion = \"a\"\nuuid = \"b\"\n# the end\n", "[[released]]\nversion = \"a\"\nuuid = \"b\"\n\n" + table + "\n# the end\n"},
	} {
		got, err := flavor.AddReleased(tc.in, r)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	for name, in := range map[string]string{
		"no TOML":      "name = ",
		"inline array": `released = [{version = "a", uuid = "b"}]`,
	} {
		if _, err := flavor.AddReleased(in, r); fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddRelease(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, release, in, want string }{
		{"youngest", "2099Q4", "# all\n[[pkgsrc]]\nrelease = \"2023Q4\"\npackages = [\n  \"a\", # x\n]\n\n# other\n[path]\n",
			"# all\n[[pkgsrc]]\nrelease = \"2023Q4\"\npackages = [\n  \"a\", # x\n]\n\n[[pkgsrc]]\nrelease = \"2099Q4\"\n\n# other\n[path]\n"},
		{"between", "2022Q4", "[[pkgsrc]]\nrelease = \"2021Q4\"\n\n[[pkgsrc]]\nrelease = \"2023Q4\"\n",
			"[[pkgsrc]]\nrelease = \"2021Q4\"\n\n[[pkgsrc]]\nrelease = \"2022Q4\"\n\n[[pkgsrc]]\nrelease = \"2023Q4\"\n"},
		{"oldest", "2020Q4", "# all\n[[pkgsrc]]\nrelease = \"2021Q4\"\n", "# all\n[[pkgsrc]]\nrelease = \"2020Q4\"\n\n[[pkgsrc]]\nrelease = \"2021Q4\"\n"},
		{"there", "2021Q4", "[[pkgsrc]]\nrelease = \"2021Q4\"\n", "[[pkgsrc]]\nrelease = \"2021Q4\"\n"},
	} {
		got, err := flavor.AddRelease(tc.in, tc.release)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

// Edits of the real files leave every line that was there, and can be read.
func TestEditsOfRealFiles(t *testing.T) {
	t.Parallel()
	set, err := flavor.Load(images.FS)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	env, err := os.ReadFile("../../images/buildenv.toml")
	if err != nil {
		t.Fatal(err)
	}
	if texts["buildenv.toml"], err = flavor.AddRelease(string(env), "2099Q4"); err != nil {
		t.Fatal(err)
	}
	for i, f := range set.Flavors {
		name := f.Name + "/flavor.toml"
		raw, err := os.ReadFile("../../images/" + name)
		if err != nil {
			t.Fatal(err)
		}
		r := flavor.Released{Version: "main-1", UUID: fmt.Sprintf("00000000-0000-4000-8000-0000000f%04d", i)}
		if texts[name], err = flavor.AddReleased(string(raw), r); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(texts[name], strings.TrimRight(string(raw), "\n")) && !strings.Contains(string(raw), "\n[audit]") {
			t.Errorf("%s is no longer as it was:\n%s", name, texts[name])
		}
	}
	text, err := flavor.New{Version: "99.4.0", Arch: "i386", Base: flavor.Base{Name: "minimal-32-lts", Version: "99.4.0", UUID: "00000000-0000-4000-8000-00000000000a"}}.Text(set)
	if err != nil {
		t.Fatal(err)
	}
	texts["triton-origin-i386-99.4.0/flavor.toml"] = text
	after, err := flavor.LoadWith(images.FS, texts)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(after.Flavors); n != len(set.Flavors)+1 {
		t.Errorf("%d flavors", n)
	}
	for _, f := range set.Flavors {
		g, err := after.Lookup(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if len(g.Released) != len(f.Released)+1 || g.Released[len(f.Released)].Version != "main-1" {
			t.Errorf("%s: released %v", g.Name, g.Released)
		}
		c := *g
		c.Released = f.Released
		if diff := cmp.Diff(f, &c); diff != "" {
			t.Errorf("%s changed:\n%s", f.Name, diff)
		}
	}
}

func TestNewFlavor(t *testing.T) {
	t.Parallel()
	set, err := flavor.Load(images.FS)
	if err != nil {
		t.Fatal(err)
	}
	base := flavor.Base{Name: "minimal-64-lts", Version: "99.4.0", UUID: "00000000-0000-4000-8000-00000000000a"}
	for _, tc := range []struct {
		name string
		n    flavor.New
		want string // of the flavor, or of the error
	}{
		{"by the base's name", flavor.New{Version: "99.4.0", Base: base}, "triton-origin-x86_64-99.4.0"},
		{"as said", flavor.New{Version: "99.4.0", Arch: "i386", Base: base}, "triton-origin-i386-99.4.0"},
		{"multiarch", flavor.New{Version: "99.4.0", Base: flavor.Base{Name: "minimal-multiarch-lts", Version: "99.4.0", UUID: base.UUID}}, "triton-origin-multiarch-99.4.0"},
		{"a name that does not tell", flavor.New{Version: "99.4.0", Base: flavor.Base{Name: "base", Version: "99.4.0", UUID: base.UUID}}, "--arch"},
		{"two numbers", flavor.New{Version: "99.4", Base: base}, `"99.4" is not`},
		{"no quarter", flavor.New{Version: "99.5.0", Base: base}, "quarter"},
		{"another version", flavor.New{Version: "99.4.1", Base: base}, "minimal-64-lts@99.4.0"},
		{"unknown architecture", flavor.New{Version: "99.4.0", Arch: "sparc", Base: base}, "sparc"},
		{"there already", flavor.New{Version: "24.4.1", Base: flavor.Base{Name: "minimal-64-lts", Version: "24.4.1", UUID: base.UUID}}, "is there already"},
	} {
		text, err := tc.n.Text(set)
		if err != nil {
			if !strings.Contains(err.Error()+fault.Hint(err), tc.want) || fault.KindOf(err) != fault.Usage {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if !strings.Contains(text, `name = "`+tc.want+`"`) {
			t.Errorf("%s:\n%s", tc.name, text)
		}
	}
}

// FuzzEdit: what could be read can be read after an edit, and holds one more.
func FuzzEdit(f *testing.F) {
	for _, s := range []string{"", "name = \"x\"", "[[released]]\nversion = \"a\"\n# c\n[x]\n", "released = []\n", "a = \"\"\"\n[[released]]\n\"\"\"\n", "[[released]]\n[released.x]\n"} {
		f.Add(s)
	}
	for _, name := range []string{"buildenv.toml", "triton-origin-x86_64-24.4.1/flavor.toml"} {
		b, err := os.ReadFile("../../images/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		var before, after flavor.Flavor
		got, err := flavor.AddReleased(text, flavor.Released{Version: "v", UUID: "u"})
		if err != nil {
			return
		}
		if err := toml.Unmarshal([]byte(text), &before); err != nil {
			t.Fatal(err)
		}
		if err := toml.Unmarshal([]byte(got), &after); err != nil {
			t.Fatalf("%v\n%q\n%q", err, text, got)
		}
		if len(after.Released) != len(before.Released)+1 {
			t.Fatalf("%q: %d released images became %d", text, len(before.Released), len(after.Released))
		}
	})
}
