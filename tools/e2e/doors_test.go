package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

// TestDoors builds one flavor through every front door, in two clones, under
// changed surroundings: all results must be equal, byte for byte.
func TestDoors(t *testing.T) {
	t.Parallel()
	first := checkout.New(t, "clone")
	second := checkout.New(t, "another clone, in a directory with blanks")
	mage := filepath.Join(t.TempDir(), "mage")
	first.Run(t, nil, "go", "build", "-o", mage, "github.com/magefile/mage")

	goal := theFlavor + "-buildimage"
	time := "TIMESTAMP=" + stampTime
	doors := []struct {
		name string
		run  func(t *testing.T) string // returns the results directory
	}{
		{"make", func(t *testing.T) string {
			first.Run(t, []string{time}, "make", goal)
			return filepath.Join(first.Dir, "bits", theFlavor)
		}},
		{"make in the image's directory", func(t *testing.T) string {
			dir := t.TempDir()
			first.Run(t, []string{time, "ENGBLD_BITS_DIR=" + dir}, "make", "-C", "images/"+theFlavor, "buildimage")
			return filepath.Join(dir, theFlavor)
		}},
		{"other surroundings", func(t *testing.T) string {
			dir := t.TempDir()
			second.Run(t, []string{time, "GOMAXPROCS=1", "TZ=Pacific/Auckland", "LANG=C", "LC_ALL=C", "HOME=" + t.TempDir(),
				"ENGBLD_BITS_DIR=" + dir}, "sh", "-c", "umask 077; exec make "+goal)
			return filepath.Join(dir, theFlavor)
		}},
		{"mage", func(t *testing.T) string {
			second.Run(t, []string{time, "GOMAXPROCS=2"}, mage, goal)
			return filepath.Join(second.Dir, "bits", theFlavor)
		}},
		{"engbld", func(t *testing.T) string {
			dir := t.TempDir()
			first.Run(t, nil, "tools/engbld.sh", "image", "build", "--timestamp", stampTime, "--bits-dir", dir, theFlavor)
			return filepath.Join(dir, theFlavor)
		}},
		{"upstream's command line", func(t *testing.T) string { return legacy(t, first) }},
	}
	var want map[string]string
	for _, d := range doors {
		got := checkout.Products(t, d.run(t))
		if len(got) != 3 {
			t.Errorf("%s: %d files, want 3: %v", d.name, len(got), got)
		}
		if want == nil {
			want = got
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s gives other results (-%s +%s):\n%s", d.name, doors[0].name, d.name, diff)
		}
	}

	requests := map[string]string{
		"engbld": first.Run(t, nil, "tools/engbld.sh", "image", "build", "--print-request", "--timestamp", stampTime, theFlavor),
		"legacy": legacyRequest(t, first),
	}
	for name, r := range requests {
		var m map[string]any
		if err := json.Unmarshal([]byte(r), &m); err != nil {
			t.Fatalf("%s: %v in %q", name, err, r)
		}
		delete(m, "component") // upstream's -d names a directory, here an empty one
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		requests[name] = string(b)
	}
	if requests["engbld"] != requests["legacy"] {
		t.Errorf("requests differ:\n%s\n%s", requests["engbld"], requests["legacy"])
	}
}

// legacyArgs is upstream's command line for the flavor, with a tree that is empty.
func legacyArgs(t *testing.T, c *checkout.Clone) []string {
	t.Helper()
	var req struct {
		Base     string          `json:"base"`
		Manifest json.RawMessage `json:"manifest"`
		Packages []string        `json:"packages"`
		Source   string          `json:"source_repo"`
	}
	raw := c.Run(t, nil, "tools/engbld.sh", "image", "build", "--print-request", "--timestamp", stampTime, theFlavor)
	if err := json.Unmarshal([]byte(raw), &req); err != nil {
		t.Fatal(err)
	}
	return []string{"-i", req.Base, "-d", t.TempDir(), "-m", string(req.Manifest), "-u", "-p", strings.Join(req.Packages, ","),
		"-M", "-S", req.Source, "-a", "-P", theFlavor + "-zfs"}
}

func legacyRequest(t *testing.T, c *checkout.Clone) string {
	return c.Run(t, nil, "tools/buildimage/bin/buildimage", append(legacyArgs(t, c), "--print-request")...)
}

func legacy(t *testing.T, c *checkout.Clone) string {
	t.Helper()
	args := legacyArgs(t, c)
	commit := strings.TrimSpace(c.Run(t, nil, "git", "rev-parse", "--short=7", "HEAD")) // of this process only
	mine := "/tmp/" + theFlavor + "-zfs-*" + stampTime + "-g" + commit + "*"
	t.Cleanup(func() {
		left, _ := filepath.Glob(mine)
		for _, f := range left {
			os.Remove(f)
		}
	})
	c.Run(t, nil, "tools/buildimage/bin/buildimage", args...)
	dir := t.TempDir()
	files, err := filepath.Glob(mine)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := checkout.CopyFile(f, filepath.Join(dir, filepath.Base(f))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestAllFlavors builds everything with make -j2, twice in one clone.
func TestAllFlavors(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	out := c.Run(t, []string{"TIMESTAMP=" + stampTime}, "make", "-j2", "all-buildimage")
	want := len(c.Flavors(t))
	if n := len(strings.Fields(out)); n != want {
		t.Errorf("%d uuids printed, want %d: %q", n, want, out)
	}
	dirs, err := filepath.Glob(filepath.Join(c.Dir, "bits", "triton-origin-*"))
	if err != nil || len(dirs) != want {
		t.Fatalf("%d results directories (%v), want %d", len(dirs), err, want)
	}
	for _, d := range dirs {
		if got := checkout.Products(t, d); len(got) != 3 {
			t.Errorf("%s: %v", d, got)
		}
	}
	if st := c.Run(t, nil, "git", "status", "--porcelain"); st != "" {
		t.Errorf("the build changed the work tree:\n%s", st)
	}
}

func TestGoalsWithBlanks(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	out := c.Run(t, []string{"TIMESTAMP=" + stampTime}, "make", "print-BRANCH", "print-STAMP", theFlavor+"-buildimage print-STAMP")
	stamp := ""
	for _, line := range strings.Split(out, "\n") {
		if s, ok := strings.CutPrefix(line, "STAMP="); ok {
			if stamp != "" && s != stamp {
				t.Errorf("two stamps in one make: %s and %s", stamp, s)
			}
			stamp = s
		}
	}
	if !strings.HasPrefix(stamp, "main-"+stampTime+"-g") {
		t.Errorf("stamp %q in %q", stamp, out)
	}
	if out := c.Run(t, nil, "make", theFlavor+"-check"); !strings.Contains(out, "check ok") {
		t.Errorf("make check of an image says %q", out)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "bits", theFlavor, theFlavor+"-zfs-"+stamp+".imgmanifest")); err != nil {
		t.Error(err)
	}
}

func TestPackagesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	c.Run(t, []string{"TIMESTAMP=" + stampTime}, "make", theFlavor+"-buildimage", "BUILDIMAGE_PKGSRC=curl")
	manifests, _ := filepath.Glob(filepath.Join(c.Dir, "bits", theFlavor, "*.imgmanifest"))
	if len(manifests) != 1 {
		t.Fatalf("manifests: %v", manifests)
	}
	list := strings.Fields(c.Run(t, nil, "tools/engbld.sh", "image", "ls", manifests[0], "opt/local/pkg"))
	has := func(name string) bool {
		for _, l := range list {
			if strings.HasPrefix(l, name+"-") {
				return true
			}
		}
		return false
	}
	if !has("curl") || has("sudo") || has("gsed") || has("patch") || has("coreutils") {
		t.Errorf("installed: %v", list)
	}
}

// TestWithoutGo: reading and cleaning needs no Go; building says what is missing.
func TestWithoutGo(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	bin := t.TempDir()
	for _, name := range []string{"sh", "bash", "git", "make", "uname", "date", "id", "rm", "mkdir", "touch", "sed", "awk", "cat", "find",
		"sha256sum", "sort", "xargs", "mv", "cp", "ls", "printf", "expr", "test", "true", "dirname", "basename", "tr", "env", "kill", "sleep",
		"gawk", "mawk", "nawk", "head", "tail", "cut", "grep", "pwd", "chmod", "wc", "command"} {
		if p, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(p, filepath.Join(bin, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	sandboxLock := filepath.Join(c.Dir, "images", theFlavor, "flavor.sandbox.lock")
	if err := os.WriteFile(sandboxLock, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	noGo := []string{"PATH=" + bin, "ENGBLD_CACHE_DIR=" + t.TempDir()}
	for _, args := range [][]string{{"clean"}, {"distclean"}, {"-n", "all"}, {"print-STAMP"}, {"-n", theFlavor + "-buildimage"}} {
		c.Run(t, noGo, "make", args...)
	}
	if _, err := os.Stat(sandboxLock); err == nil {
		t.Error("distclean leaves the sandbox's locks, which later builds in it would follow")
	}
	_, stderr, code := c.Try(t, noGo, "make", theFlavor+"-buildimage")
	if code != 2 || !strings.Contains(stderr, "there is no \"go\" on PATH") || !strings.Contains(stderr, "ENGBLD_PREBUILT_DIR") {
		t.Errorf("exit %d, want make's 2 and what is missing:\n%s", code, stderr)
	}
	_, stderr, code = c.Try(t, noGo, "tools/engbld.sh", "stamp")
	if code != 6 {
		t.Errorf("the launcher exits %d, want 6:\n%s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "bits")); err == nil {
		t.Error("bits/ was made")
	}
}

// TestMageAll checks the generated files, then builds everything.
func TestMageAll(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	mage := filepath.Join(t.TempDir(), "mage")
	c.Run(t, nil, "go", "build", "-o", mage, "github.com/magefile/mage")
	c.Run(t, []string{"TIMESTAMP=" + stampTime}, mage, "all")
	dirs, _ := filepath.Glob(filepath.Join(c.Dir, "bits", "triton-origin-*"))
	if want := len(c.Flavors(t)); len(dirs) != want {
		t.Errorf("%d results directories, want %d", len(dirs), want)
	}
	// A generated file that is old stops it, with a diff and exit code 3.
	old := filepath.Join(c.Dir, "images", theFlavor, "Makefile")
	b, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, bytes.Replace(b, []byte("curl"), []byte("lruc"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := c.Try(t, nil, mage, "gen:check")
	if code != 3 || !strings.Contains(stdout, "lruc") {
		t.Errorf("exit %d, want 3 and a diff:\n%s%s", code, stdout, stderr)
	}
}
