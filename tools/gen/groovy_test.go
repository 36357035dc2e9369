package gen_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestJenkinsfileIsGroovy parses the generated Jenkinsfile with Groovy's own
// parser, and broken ones, which it must refuse. ENGBLD_GROOVY is the class path of
// Groovy; .ci/run takes it from the npm package npm-groovy-lint.
func TestJenkinsfileIsGroovy(t *testing.T) {
	t.Parallel()
	classes := os.Getenv("ENGBLD_GROOVY")
	if classes == "" {
		t.Skip("ENGBLD_GROOVY does not say where Groovy is")
	}
	good, err := os.ReadFile("../../images/Jenkinsfile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string][]byte{
		"good":             good,
		"bracket":          bytes.Replace(good, []byte("    stages {"), []byte("    stages ("), 1),
		"cut":              good[:len(good)/2],
		"comma":            bytes.Replace(good, []byte("defaultValue: false,"), []byte("defaultValue: false"), 1),
		"quotes of a text": bytes.Replace(good, []byte("'''"), []byte("''"), 1),
	}
	args := []string{"-cp", classes, "groovy.ui.GroovyMain", "testdata/parse.groovy"}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o666); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	out, err := exec.Command("java", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("java: %v\n%s", err, out)
	}
	for name := range files {
		want := "refused "
		if name == "good" {
			want = "parsed "
		}
		if !strings.Contains(string(out), want+filepath.Join(dir, name)+"\n") {
			t.Errorf("%s: %swas expected:\n%s", name, want, out)
		}
	}
}
