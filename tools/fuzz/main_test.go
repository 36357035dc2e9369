package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module makes a module with these files and works in it.
func module(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.invalid/m\n\ngo 1.24\n"
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOWORK", "off")
}

const head = "package p\n\nimport \"testing\"\n\n"

// Every target gets its time, and what it had is added up; one that fails is
// named, with how to see it, and does not keep the others from theirs.
func TestRun(t *testing.T) {
	module(t, map[string]string{
		"a/p.go": "package p\n", "b/p.go": "package p\n",
		"a/a_test.go": head + "func FuzzGood(f *testing.F) { f.Add([]byte(\"x\")); f.Fuzz(func(*testing.T, []byte) {}) }\n" +
			"func FuzzSeed(f *testing.F) { f.Add([]byte(\"x\")); f.Fuzz(func(t *testing.T, b []byte) { if len(b) > 0 { t.Error(\"bad\") } }) }\n",
		"b/b_test.go": head + "func FuzzFound(f *testing.F) { f.Add([]byte(\"xx\")); f.Fuzz(func(t *testing.T, b []byte) { if len(b) != 2 { t.Error(\"bad\") } }) }\n",
	})
	none := func(string) string { return "" }
	var out strings.Builder
	err := run(t.Context(), []string{"-cpu", "200ms", "-slice", "1s"}, &out, io.Discard, none)
	if err == nil || err.Error() != "2 targets failed" {
		t.Error(err)
	}
	for _, want := range []string{"m/a.FuzzGood", "no failure", "FAILED: go test -run='^FuzzSeed$/^seed#0$' example.invalid/m/a", "FAILED: go test -run='^FuzzFound$/^"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if seeds, _ := filepath.Glob("b/testdata/fuzz/FuzzFound/*"); len(seeds) != 1 {
		t.Errorf("seeds %q", seeds)
	}
	had, err := readLedger("build/fuzz/results.json")
	if err != nil || had["m/a.FuzzGood"] == nil || had["m/a.FuzzGood"].CPU < 0.2 {
		t.Errorf("%v, %v", had["m/a.FuzzGood"], err)
	}
	out.Reset()
	if err := run(t.Context(), []string{"-cpu", "200ms", "-only", "Good"}, &out, io.Discard, none); err != nil {
		t.Error(err)
	}
	if strings.Contains(out.String(), "Seed") {
		t.Errorf("others were run:\n%s", out.String())
	}
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		fuzz string
		want string
	}{
		{nil, "soon", "FUZZ=soon"},
		{[]string{"-jobs", "0"}, "", "positive"},
		{[]string{"-only", "("}, "", "-only"},
		{[]string{"x"}, "", "what is"},
	} {
		err := run(t.Context(), tt.args, io.Discard, io.Discard, func(string) string { return tt.fuzz })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v", tt.args, err)
		}
	}
}
