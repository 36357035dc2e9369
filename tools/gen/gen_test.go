package gen_test

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/images"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/gen"
)

// The files of this checkout are what the flavor files say.
func TestNoDrift(t *testing.T) {
	t.Parallel()
	var diff bytes.Buffer
	if err := gen.Check("../..", &diff); err != nil {
		t.Errorf("%v (%s)\n%s", err, fault.Hint(err), diff.String())
	}
}

func load(t *testing.T) *flavor.Set {
	t.Helper()
	set, err := flavor.Load(images.FS)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// checkout makes a directory with the flavor files alone.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "images"), images.FS); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWriteTwice(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	changed, err := gen.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(changed) != 4+len(load(t).Flavors) || !slices.IsSorted(changed) {
		t.Errorf("wrote %q", changed)
	}
	if changed, err := gen.Write(dir); err != nil || len(changed) > 0 {
		t.Errorf("again: %q, %v", changed, err)
	}
	var left []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasPrefix(d.Name(), ".") {
			left = append(left, path)
		}
		return err
	})
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files: %q, %v", left, err)
	}
}

func TestCheckTellsDrift(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	if _, err := gen.Write(dir); err != nil {
		t.Fatal(err)
	}
	toml := filepath.Join(dir, "images/triton-origin-x86_64-24.4.1/flavor.toml")
	data, err := os.ReadFile(toml)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(toml, bytes.Replace(data, []byte(`"curl"`), []byte(`"wget"`), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "images/flavors.mk")); err != nil {
		t.Fatal(err)
	}
	var diff bytes.Buffer
	err = gen.Check(dir, &diff)
	if fault.KindOf(err) != fault.Drift || fault.Hint(err) == "" {
		t.Errorf("kind %d: %v", fault.KindOf(err), err)
	}
	for _, want := range []string{
		"--- images/triton-origin-x86_64-24.4.1/Makefile\n+++ images/triton-origin-x86_64-24.4.1/Makefile (generated)\n",
		"-BUILDIMAGE_PKGSRC =\tcoreutils curl gsed patch sudo\n+BUILDIMAGE_PKGSRC =\tcoreutils wget gsed patch sudo\n",
		"--- /dev/null\n+++ images/flavors.mk (generated)\n",
	} {
		if !strings.Contains(diff.String(), want) {
			t.Errorf("no %q in\n%s", want, diff.String())
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "images/flavors.mk")); err == nil {
		t.Error("checking wrote a file")
	}
}

func TestBrokenFlavorFile(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	if err := os.WriteFile(filepath.Join(dir, "images/buildenv.toml"), []byte("x = 1\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := gen.Write(dir); fault.KindOf(err) != fault.Usage {
		t.Errorf("kind %d: %v", fault.KindOf(err), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "images/flavors.mk")); err == nil {
		t.Error("something was written")
	}
}

// Tables come between their markers; all else in the file stays.
func TestBlocks(t *testing.T) {
	t.Parallel()
	dir := checkout(t)
	readme := filepath.Join(dir, "README.md")
	write := func(s string) {
		if err := os.WriteFile(readme, []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("a\n<!-- generated:agents -->\nold\n<!-- end -->\nb\n<!-- generated:sdcnode -->\n<!-- end -->\n")
	if _, err := gen.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	s := string(got)
	for _, want := range []string{
		"a\n<!-- generated:agents -->\n| flavor | Jenkins agent labels |\n| --- | --- |\n",
		"| `triton-origin-x86_64-24.4.1` | `image_ver:24.4.1 && pkgsrc_arch:x86_64` |\n",
		"| `triton-origin-multiarch-15.4.1` | `image_ver:15.4.1 && pkgsrc_arch:multiarch` |\n<!-- end -->\nb\n",
		"| `triton-origin-x86_64-21.4.0` | minimal-64-lts@21.4.0 | `a7199134-7e94-11ec-be67-db6f482136c2` |\n",
		"| `triton-origin-multiarch-15.4.1` | sdc-minimal-multiarch-lts@15.4.1 | `18b094b0-eb01-11e5-80c1-175dac7ddf02` |\n",
		"| (no flavor) | sdc-smartos@1.6.3 | `fd2cc906-8938-11e3-beab-4359c665ac99` |\n<!-- end -->\n",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	if strings.Contains(s, "old") {
		t.Error("the old table is still there")
	}
	write("<!-- generated:flavors -->\nno end\n")
	if _, err := gen.Write(dir); err == nil || !strings.Contains(err.Error(), "README.md:") {
		t.Errorf("a block without end: %v", err)
	}
}

func TestJenkinsfile(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../images/Jenkinsfile")
	if err != nil {
		t.Fatal(err)
	}
	s := string(data)
	all, local, young := len(load(t).Flavors), 0, 0
	for _, f := range load(t).Flavors {
		if slices.Contains(f.BuildOn.Env, "ENGBLD_FORCE_LOCAL_BUILDIMAGE=true") {
			local++
		}
		if f.BuildOn.ImageVer == "21.4.0" && f.BuildOn.Platform == "20210826T002459Z" {
			young++
		}
	}
	for want, n := range map[string]int{
		"booleanParam(": all, "defaultValue: false,": all, "        stage('triton-origin-": all, "beforeAgent true": all,
		"joyCommonLabels(image_ver: '15.4.1')": 1, "joyCommonLabels(image_ver: '18.4.0')": 1, "joyCommonLabels(image_ver: '19.4.0')": 1,
		"joyCommonLabels(image_ver: '21.4.0', pi: '20210826T002459Z')": young,
		"export ENGBLD_FORCE_LOCAL_BUILDIMAGE=true\n":                  local, "export ENGBLD_BITS_UPLOAD_IMGAPI=true\n": all, "make clean distclean\n": all,
		"environment name: 'BUILD_24_4_1', value: 'true'":                                        1,
		"make print-BRANCH print-STAMP triton-origin-x86_64-24.4.1-\"buildimage bits-upload\"\n": 1,
		"joySlackNotifications()": 1, "jenkins-joylib@v1.0.8": 1, "numToKeepStr: '30'": 1,
	} {
		if got := strings.Count(s, want); got != n {
			t.Errorf("%q stands there %d times, want %d", want, got, n)
		}
	}
	for _, pair := range []string{"{}", "()"} {
		if strings.Count(s, pair[:1]) != strings.Count(s, pair[1:]) {
			t.Errorf("unbalanced %s", pair)
		}
	}
}

// What cannot be read or written is no defect of the program.
func TestKinds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
		want  fault.Kind
	}{
		{"a directory in a file's place", func(dir string) error { return os.Mkdir(filepath.Join(dir, "README.md"), 0o777) }, fault.Step},
		{"a file in a directory's place", func(dir string) error { return os.WriteFile(filepath.Join(dir, "tools"), nil, 0o666) }, fault.Step},
		{"half a block", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "magefile.go"), []byte("// generated: aliases\n"), 0o666)
		}, fault.Drift},
	} {
		dir := checkout(t)
		if err := tt.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := gen.Write(dir); fault.KindOf(err) != tt.want {
			t.Errorf("%s: writing: kind %d: %v", tt.name, fault.KindOf(err), err)
		}
		if err := gen.Check(dir, io.Discard); fault.KindOf(err) != tt.want {
			t.Errorf("%s: checking: kind %d: %v", tt.name, fault.KindOf(err), err)
		}
	}
}
