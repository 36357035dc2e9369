package component

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files and variables.txt")

// The list is what the makefiles read or set, as they are now.
func TestVariablesList(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../mk/Makefile.*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	names := map[string]bool{}
	reads := regexp.MustCompile(`\$[({](?:call |origin |value |flavor )?([A-Z][A-Z0-9_]+[A-Z0-9])[):}]|\$\((?:origin |value |call _ENGBLD_TEXT,)([A-Z][A-Z0-9_]+)\)|^ *ifn?def +([A-Z][A-Z0-9_]+)|^ *(?:export +)?([A-Z][A-Z0-9_]+)[ \t]*[?:+]*=`)
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			for _, m := range reads.FindAllStringSubmatch(line, -1) {
				names[m[1]+m[2]+m[3]+m[4]] = true
			}
		}
	}
	list := make([]string, 0, len(names))
	for n := range names {
		list = append(list, n)
	}
	sort.Strings(list)
	got := strings.Join(list, "\n") + "\n"
	if *update {
		if err := os.WriteFile("variables.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != variablesTxt {
		t.Error("variables.txt is not what tools/mk reads and sets: go test ./tools/component -update")
	}
	for _, must := range []string{"BASE_IMAGE_UUID", "DISTCLEAN_FILES", "ENGBLD_USE_BUILDIMAGE", "BUILDIMAGE_PKGSRC", "NODE_PREBUILT_TAG", "AGENTS"} {
		if !names[must] {
			t.Errorf("%s is not among them", must)
		}
	}
}

func TestMisspelt(t *testing.T) {
	t.Parallel()
	var list []string
	for n := range knownVariables() {
		list = append(list, n)
	}
	sort.Strings(list)
	for name, want := range map[string]string{
		"DIST_CLEAN_FILES":          "DISTCLEAN_FILES",
		"ENGBLD_USE_BUILD_IMAGE":    "ENGBLD_USE_BUILDIMAGE",
		"ENGBLD_BITS_UPLOAD_IMAPI":  "ENGBLD_BITS_UPLOAD_IMGAPI",
		"BUILDIMAGE_PKGSRCS":        "BUILDIMAGE_PKGSRC",
		"BASE_IMAGE_UID":            "BASE_IMAGE_UUID",
		"BASE_IMAGE_UUDI":           "BASE_IMAGE_UUID",
		"JSSTYLE_FILE":              "JSSTYLE_FILES",
		"NODE_PREBUILT_VERISON":     "NODE_PREBUILT_VERSION",
		"RELSTAGEDIR":               "",
		"JS_FILES":                  "",
		"ROOT":                      "",
		"RELEASE_MANIFEST":          "",
		"BUILDIMAGE_SOMETHING_ELSE": "",
	} {
		if got := misspelt(name, list); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
