package mk_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

// script runs a script of tools in a copy of tools whose launcher logs its
// arguments and ends with status code.
func script(t *testing.T, code, dir, name string, args ...string) (log, out string, status int) {
	t.Helper()
	tools := filepath.Join(t.TempDir(), "a component", "deps", "eng", "tools")
	if err := os.MkdirAll(tools, 0o777); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	for n, text := range map[string][]byte{name: b, "bin/uuidgen": []byte("#!/bin/sh\necho 6A1B2C3D-0000-4000-8000-000000000000\n"), "engbld.sh": []byte("#!/bin/sh\nprintf '%s|' \"$@\" >>\"$LOG\"\nexit " + code + "\n")} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tools, n)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := checkout.WriteFile(filepath.Join(tools, n), text, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(tools, name), args...)
	if dir == "node" {
		cmd = exec.Command("node", append([]string{filepath.Join(tools, name)}, args...)...)
		dir = ""
	}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(tools, "bin")+":"+os.Getenv("PATH"), "LOG="+filepath.Join(tools, "log"))
	all, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	l, _ := os.ReadFile(filepath.Join(tools, "log"))
	return strings.ReplaceAll(string(l), filepath.Join(tools, "../../.."), "@TOP@"), string(all), cmd.ProcessState.ExitCode()
}

// Every script hands its arguments on as they are, and ends with the statuses
// that components know.
func TestShims(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, want string
		status     map[string]int // of the launcher: of the script
	}{
		{"bits-upload.sh", "bits-upload|a b||*|", map[string]int{"0": 0, "2": 1, "5": 1, "130": 1}},
		{"check-copyright", "check-copyright|a b||*|", map[string]int{"0": 0, "2": 1, "3": 1}},
		{"bashstyle", "bashstyle|a b||*|", map[string]int{"0": 0, "3": 1}},
		{"agent-prebuilt.sh", "agent-prebuilt|a b||*|", map[string]int{"0": 0, "2": 2, "4": 1}},
		{"download_go", "download-go|a b||*|", map[string]int{"0": 0, "2": 1, "5": 1}},
		{"download_ctftools", "download-ctftools|--top|@TOP@|a b||*|", map[string]int{"0": 0, "2": 1, "5": 1}},
	}
	for _, tt := range tests {
		for code, want := range tt.status {
			log, out, got := script(t, code, "", tt.name, "a b", "", "*")
			if log != tt.want || got != want {
				t.Errorf("%s: the launcher was called with %q and ended with %s, the script with %d: want %q, %d\n%s", tt.name, log, code, got, tt.want, want, out)
			}
		}
	}
	if _, _, got := script(t, "0", "", "bashstyle"); got != 2 {
		t.Errorf("bashstyle without a file ended with %d", got)
	}
}

// Makefiles call bashstyle with node where there is one.
func TestBashstyleUnderNode(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	for code, want := range map[string]int{"0": 0, "3": 1} {
		log, out, got := script(t, code, "node", "bashstyle", "a b", "c")
		if log != "bashstyle|a b|c|" || got != want {
			t.Errorf("%q, %d\n%s", log, got, out)
		}
	}
}

func TestMkrepo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	for _, f := range []string{"mkrepo", "redact.sh", "runtests.in", "buildenv.maps", "prototypes/Makefile", "prototypes/README.md", "prototypes/gitignore",
		"prototypes/docs/index.md", "prototypes/smf/manifests/NAME.xml.in"} {
		w.copy(filepath.Join("..", f), "deps/eng/tools/"+f)
	}
	mkrepo := func(args ...string) (string, bool) {
		cmd := exec.Command(filepath.Join(w.dir, "deps/eng/tools/mkrepo"), args...)
		cmd.Dir, cmd.Env = w.dir, w.env // any directory will do
		out, err := cmd.CombinedOutput()
		return string(out), err == nil
	}
	if out, ok := mkrepo("-n", "some where/svc", "other"); !ok {
		t.Fatal(out)
	}
	c := *w
	c.dir = filepath.Join(w.dir, "some where/svc")
	if err := os.CopyFS(filepath.Join(c.dir, "deps/eng"), os.DirFS(filepath.Join(w.dir, "deps/eng"))); err != nil {
		t.Fatal(err)
	}
	if got := c.value("BASE_IMAGE_UUID"); len(got) != 36 {
		t.Errorf("the base image is %q", got)
	}
	git := exec.Command("git", "remote", "get-url", "origin")
	git.Dir = c.dir
	if out, _ := git.Output(); string(out) != "https://github.com/TritonDataCenter/svc.git\n" {
		t.Errorf("the remote is %q", out)
	}
	c.ok("all", "release", "-j4")
	if _, err := exec.LookPath("xmllint"); err == nil {
		c.ok("check-manifests")
	}
	if strings.Contains(c.read("Makefile")+c.read("smf/manifests/svc.xml")+c.read("README.md"), "@NAME@") {
		t.Error("a name is not filled in")
	}
	// What is there already is left alone.
	if out, ok := mkrepo("-n", "new", "other"); ok || !strings.Contains(out, "other is there already") || w.has("new") {
		t.Errorf("success is %v:\n%s", ok, out)
	}
	if out, ok := mkrepo("-u", "file:///nosuch", "new"); ok || w.has("new") || len(w.left()) > 0 {
		t.Errorf("success is %v, left %q:\n%s", ok, w.left(), out)
	}
	// A password of the place repositories come from is not handed on.
	repos := filepath.Join(w.dir, "repos")
	for _, r := range []string{"engbld", "javascriptlint", "jsstyle", "restdown"} {
		cmd := exec.Command("sh", "-c", "git init -q "+r+".git && git -C "+r+".git commit -q --allow-empty -m x")
		if cmd.Dir, cmd.Env = repos, w.env; os.MkdirAll(repos, 0o777) != nil {
			t.Fatal(repos)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	config := filepath.Join(w.dir, "gitconfig")
	w.put("gitconfig", "[protocol \"file\"]\n\tallow = always\n[url \"file://"+repos+"/\"]\n\tinsteadOf = https://ci:s3cret@h.invalid/\n")
	w.env = append(w.env, "GIT_CONFIG_GLOBAL="+config)
	out, ok := mkrepo("-u", "https://ci:s3cret@h.invalid", "public")
	modules := w.read("public/.gitmodules")
	if !ok || strings.Contains(out+modules, "s3cret") || strings.Count(modules, "url = https://h.invalid/") != 4 {
		t.Errorf("success is %v:\n%s\n%s", ok, out, modules)
	}
}

func TestRunTests(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/lib/sdc"); err == nil {
		t.Skip("this is a machine for such tests")
	}
	if _, out, status := script(t, "0", "", "runtests.in"); status != 2 || !strings.Contains(out, "/lib/sdc/.sdc-test-no-production-data") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

func TestCreateHybridImage(t *testing.T) {
	t.Parallel()
	iso := filepath.Join(t.TempDir(), "an iso")
	if err := os.WriteFile(iso, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, out, status := script(t, "0", "", "create-hybrid-image", "-h"); status != 0 || !strings.Contains(out, "usage:") {
		t.Errorf("-h: status %d:\n%s", status, out)
	}
	if _, out, status := script(t, "0", "", "create-hybrid-image", "-n", "x"); status != 1 || !strings.Contains(out, "must be given") {
		t.Errorf("too little: status %d:\n%s", status, out)
	}
	// What the zone lacks is said, all of it, once.
	dir := t.TempDir()
	_, out, status := script(t, "0", dir, "create-hybrid-image", "-i", iso, "-n", "x", "-d", "a/b & c", "-u", "u", "-p", iso)
	if status != 1 || strings.Contains(out, "unbound") || strings.Count(out, "error:") != 1 || !strings.Contains(out, "/smartdc") {
		t.Errorf("status %d:\n%s", status, out)
	}
}
