package examples

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

const flavor = "triton-origin-x86_64-24.4.1"

// ciGoals are those of the usual pipeline, in one make.
var ciGoals = []string{"print-BRANCH", "print-STAMP", "check", "all", "release", "publish", "buildimage", "bits-upload"}

func TestMain(m *testing.M) {
	code := func() int {
		defer func() {
			if world.dir != "" {
				os.RemoveAll(world.dir)
			}
		}()
		return checkout.Run(m)
	}()
	os.Exit(code)
}

// world is the sandbox all tests of this package share, with one origin image in
// it, built like any other.
var world struct {
	once   sync.Once
	dir    string
	origin string // its uuid
}

// originImage builds the origin image where it is not built yet.
func originImage(t *testing.T) string {
	t.Helper()
	world.once.Do(func() {
		var err error
		if world.dir, err = os.MkdirTemp("", "engbld-world-*"); err != nil {
			t.Fatal(err)
		}
		c := checkout.New(t, "eng")
		world.origin = strings.TrimSpace(c.Run(t, []string{"ENGBLD_SANDBOX_DIR=" + world.dir, "ENGBLD_BITS_DIR=" + filepath.Join(world.dir, "bits"),
			"TIMESTAMP=" + checkout.StampTime}, "make", flavor+"-buildimage"))
	})
	if world.origin == "" {
		t.Fatal("there is no origin image")
	}
	return world.origin
}

// how a component has this project at deps/eng.
type how int

const (
	plain     how = iota // a directory that is no repository of its own
	submodule            // as components usually do
	readOnly             // a plain directory nobody may write to
)

// component is a repository made of an example.
type component struct {
	*checkout.Clone
	t    *testing.T
	dest string // where bits-upload puts things
}

// example copies an example to dir, makes it build on this package's origin image,
// and commits it.
func example(t *testing.T, name, dir string, eng how) *component {
	t.Helper()
	c := &component{Clone: &checkout.Clone{Dir: dir, Env: checkout.Env(t)}, t: t, dest: t.TempDir()}
	uuid := originImage(t)
	c.Env = append(c.Env, "ENGBLD_SANDBOX_DIR="+world.dir, "TIMESTAMP="+checkout.StampTime, "ENGBLD_BITS_UPLOAD_LOCAL=true", "ENGBLD_DEST_OUT_PATH="+c.dest,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_ALLOW_PROTOCOL=file", "AGENT_PREBUILT_DIR="+filepath.Join(t.TempDir(), "agents"))
	if err := os.CopyFS(dir, os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	c.Run(t, nil, "git", "init", "-q", "-b", "main")
	c.Run(t, nil, "git", "remote", "add", "origin", "https://git.example.invalid/"+name+".git")
	switch eng {
	case submodule:
		c.Run(t, nil, "git", "submodule", "--quiet", "add", checkout.Origin(t), "deps/eng")
	default:
		checkout.Into(t, filepath.Join(dir, "deps/eng"))
		if err := os.RemoveAll(filepath.Join(dir, "deps/eng/.git")); err != nil {
			t.Fatal(err)
		}
		c.write(".git/info/exclude", "/deps\n", 0o644)
	}
	c.commit()
	// As its author would, who has built a new origin image.
	if text, _ := checkout.Output(c.Command(nil, "grep", "-rl", "^BASE_IMAGE_UUID", "--include=Makefile", "--exclude-dir=deps", ".")); text != "" {
		for _, f := range strings.Fields(text) {
			c.Run(t, nil, filepath.Join(dir, "deps/eng/tools/engbld.sh"), "component", "origin-bump", "--write", "-C", filepath.Dir(f), uuid)
		}
		c.commit()
	}
	if eng == readOnly {
		c.Run(t, nil, "chmod", "-R", "a-w", "deps/eng")
		t.Cleanup(func() { c.Run(t, nil, "chmod", "-R", "u+w", "deps/eng") })
	}
	return c
}

func (c *component) commit() {
	c.t.Helper()
	if err := checkout.Commit(c.Dir); err != nil {
		c.t.Fatal(err)
	}
}

func (c *component) write(name, text string, mode os.FileMode) {
	c.t.Helper()
	name = filepath.Join(c.Dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := checkout.WriteFile(name, []byte(text), mode); err != nil {
		c.t.Fatal(err)
	}
}

// make runs make with settings of the environment and returns stdout.
func (c *component) make(settings []string, args ...string) string {
	c.t.Helper()
	return c.Run(c.t, settings, "make", args...)
}

// stamp is the STAMP of everything the component builds here.
func (c *component) stamp() string {
	c.t.Helper()
	first, _, _ := strings.Cut(c.make(nil, "-s", "--no-print-directory", "print-STAMP"), "\n")
	return strings.TrimPrefix(first, "STAMP=")
}

// built is an image somebody built.
type built struct {
	c        *component
	name     string
	manifest string // its file
	m        manifest
}

type manifest struct {
	UUID, Name, Version, Description, Origin, OS, Type string
	Tags                                               map[string]any
	Files                                              []struct {
		SHA1, Compression string
		Size              int64
	}
}

// image finds the one image of that name in bits.
func (c *component) image(name string) *built {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(c.Dir, "bits", name, name+"-zfs-*.imgmanifest"))
	if err != nil || len(found) != 1 {
		entries, _ := os.ReadDir(filepath.Join(c.Dir, "bits", name))
		c.t.Fatalf("images of %s: %q, want one (%v)", name, found, entries)
	}
	b := &built{c: c, name: name, manifest: found[0]}
	text, err := os.ReadFile(found[0])
	if err == nil {
		err = json.Unmarshal(text, &b.m)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if b.m.Origin != world.origin {
		c.t.Errorf("%s: its origin is %q, want %q", name, b.m.Origin, world.origin)
	}
	return b
}

// engbld runs the component's own program.
func (c *component) engbld(args ...string) string {
	c.t.Helper()
	return c.Run(c.t, nil, filepath.Join(c.Dir, "deps/eng/tools/engbld.sh"), args...)
}

// chain is the image's file and those of the images it is based on, the first one
// first.
func (b *built) chain() []string {
	b.c.t.Helper()
	one := func(pattern string) string {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) != 1 {
			b.c.t.Fatalf("%s: %q, want one", pattern, found)
		}
		return found[0]
	}
	origin := one(filepath.Join(world.dir, "bits", flavor, "*.zfs.gz"))
	text, err := os.ReadFile(strings.TrimSuffix(origin, ".zfs.gz") + ".imgmanifest")
	if err != nil {
		b.c.t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		b.c.t.Fatal(err)
	}
	return []string{one(filepath.Join("../sandbox/data/images", m.Origin, "file.*")), origin, strings.TrimSuffix(b.manifest, ".imgmanifest") + ".zfs.gz"}
}

// files lists what the image has below a directory, one "MODE UID GID PATH" a line.
func (b *built) files(dir string) []string {
	b.c.t.Helper()
	var list []string
	for _, line := range strings.Split(strings.TrimSpace(b.c.engbld("image", "ls", "-lR", b.manifest, dir)), "\n") {
		f := strings.Fields(line) // mode links uid gid size date time name
		if len(f) < 8 {
			continue
		}
		list = append(list, strings.Join([]string{f[0], f[2], f[3], strings.Join(f[7:], " ")}, " "))
	}
	slices.Sort(list)
	return list
}

// has wants exactly these files below a directory.
func (b *built) has(dir string, want ...string) {
	b.c.t.Helper()
	want = slices.Sorted(slices.Values(want))
	if got := b.files(dir); !slices.Equal(got, want) {
		b.c.t.Errorf("%s: %s in the image:\n%s\nwant\n%s", b.name, dir, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// text is a file of the image.
func (b *built) text(path string) string {
	b.c.t.Helper()
	return b.c.engbld("image", "cat", b.manifest, path)
}

// uploaded wants exactly these files of a component's upload, without the sums.
func (c *component) uploaded(name, stamp string, want ...string) {
	c.t.Helper()
	base := filepath.Join(c.dest, name)
	var got []string
	err := filepath.WalkDir(filepath.Join(base, stamp), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(filepath.Join(base, stamp), path)
			got = append(got, rel)
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	want = append(want, "md5sums.txt")
	for _, f := range []string{"latest-build-stamp", "npm-ls.json"} {
		want = append(want, filepath.Join(name, f))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		c.t.Errorf("uploaded:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if to, err := os.Readlink(filepath.Join(base, "main-latest")); err != nil || to != stamp {
		c.t.Errorf("main-latest is %q (%v), want %q", to, err, stamp)
	}
}

// imageFiles are the names an image's files have in an upload.
func imageFiles(name, stamp string) []string {
	var list []string
	for _, ext := range []string{"imgmanifest", "pkgaudit", "zfs.gz"} {
		list = append(list, name+"/"+name+"-zfs-"+stamp+"."+ext)
	}
	return list
}

// need skips a test where a program is missing.
func need(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s", name)
		}
	}
}
