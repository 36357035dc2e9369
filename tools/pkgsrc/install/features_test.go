package install_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/pkgsrc/archive"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/install"
)

var update = flag.Bool("update", false, "write golden files")

// TestFeatureTable reads every package of the fixture and of the sandbox.
func TestFeatureTable(t *testing.T) {
	t.Parallel()
	fixtureKey, err := os.ReadFile("../testdata/fixture/keys/fixture.gpg")
	if err != nil {
		t.Fatal(err)
	}
	sandboxKey, err := os.ReadFile(filepath.Join(sandboxData, "keys/sandbox.gpg"))
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := archive.ReadKeyring(append(fixtureKey, sandboxKey...))
	if err != nil {
		t.Fatal(err)
	}
	var packages []*archive.Package
	var broken strings.Builder
	for _, glob := range []string{"../testdata/fixture/SmartOS/*/*/All/*.tgz", filepath.Join(sandboxData, "pkgsrc/SmartOS/*/*/All/*.tgz")} {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no packages: %v", glob, err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".tgz")
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := archive.Open(t.Context(), name, f, archive.Options{Keyring: keyring})
			f.Close()
			if err != nil {
				fmt.Fprintf(&broken, "| %s | %v |\n", name, err)
				continue
			}
			packages = append(packages, p)
		}
	}
	got := "What packages ask for, and what becomes of it: all packages of the fixture and the sandbox.\n" +
		"Written by a test; to write it anew: `go test ./tools/pkgsrc/install -run FeatureTable -update`.\n\n" +
		install.FeatureTable(packages) +
		"\nRefused as they are:\n\n| package | why |\n| --- | --- |\n" + broken.String()
	const golden = "testdata/features.md"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-golden +now):\n%s", golden, diff)
	}
}
