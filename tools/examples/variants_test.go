package examples

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

// without is the environment without some variables.
func (c *component) without(names ...string) {
	c.Env = slices.DeleteFunc(c.Env, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, name)
	})
}

// TestServiceByJobs builds everything at once; what must be done first is. That the
// user is careful with the modes of new files makes no difference.
func TestServiceByJobs(t *testing.T) {
	t.Parallel()
	c := example(t, "service", filepath.Join(t.TempDir(), "hello"), plain)
	c.withDocs()
	c.noXMLLint()
	c.Env = append(c.Env, "NODE_PREBUILT_DIR="+sdcnode(t))
	c.Run(t, nil, "sh", append([]string{"-c", `umask 077 && exec make -j4 "$@"`, "sh"}, ciGoals...)...)
	c.image("hello").has("opt/smartdc", helloFiles...)
	stamp := c.stamp()
	c.uploaded("hello", stamp, append(imageFiles("hello", stamp), "hello/hello-pkg-"+stamp+".tar.gz")...)
}

// TestFreshCloneOfAComponent starts where a CI job does: deps/eng is empty, and the
// first make fetches it.
func TestFreshCloneOfAComponent(t *testing.T) {
	t.Parallel()
	c := example(t, "mage", filepath.Join(t.TempDir(), "motto"), submodule)
	dir := filepath.Join(t.TempDir(), "clone")
	c.Run(t, nil, "git", "clone", "-q", c.Dir, dir)
	c.Dir = dir
	c.make(nil, ciGoals...)
	c.image("motto").has("opt/smartdc", "drwxr-xr-x 0 0 motto", "-rw-r--r-- 0 0 motto/motto")
}

// listing is what a directory holds: names, sizes, times, modes.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&list, path, fi.Size(), fi.ModTime().UnixNano(), fi.Mode())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}

// TestReadOnly: nothing is written below deps/eng, which may be a read-only mount.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	c := example(t, "mage", filepath.Join(t.TempDir(), "motto"), readOnly)
	before := listing(t, filepath.Join(c.Dir, "deps/eng"))
	c.make(nil, append(ciGoals, "docs")...)
	c.make(nil, "clean", "distclean")
	if after := listing(t, filepath.Join(c.Dir, "deps/eng")); after != before {
		t.Error("the build changed deps/eng")
	}
}

// TestSurroundings builds engbld itself and the component in a user's worst
// environment: no home, no cache, a workspace of Go's above that knows nothing of
// this, and settings for building another project's programs.
func TestSurroundings(t *testing.T) {
	t.Parallel()
	above := t.TempDir()
	if err := os.WriteFile(filepath.Join(above, "go.work"), []byte("go 1.99\n\nuse ./other\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := example(t, "mage", filepath.Join(above, "motto"), plain)
	tmp := t.TempDir()
	c.without("HOME", "ENGBLD_CACHE_DIR", "XDG_CACHE_HOME", "TMPDIR")
	out := c.make([]string{"GOFLAGS=-mod=vendor", "GOOS=plan9", "GOARCH=arm", "GO111MODULE=off", "GOWORK=/nonexistent/go.work", "TMPDIR=" + tmp}, ciGoals...)
	if !strings.Contains(out, c.image("motto").m.UUID) {
		t.Errorf("the uuid is not in stdout:\n%s", out)
	}
	if found, _ := filepath.Glob(filepath.Join(tmp, "engbld-*", "bin", "*", "engbld")); len(found) != 1 {
		t.Errorf("programs in the private cache: %q", found)
	}
}

// TestPrebuilt builds where there is no Go, with the program of a release.
func TestPrebuilt(t *testing.T) {
	t.Parallel()
	c := example(t, "mage", filepath.Join(t.TempDir(), "motto"), plain)
	program, err := os.ReadFile(strings.TrimSpace(c.engbld("--engbld-path")))
	if err != nil {
		t.Fatal(err)
	}
	// As "make dist" makes them, and a release tag has their sums.
	dist := t.TempDir()
	name := "engbld-" + runtime.GOOS + "-" + runtime.GOARCH
	if err := os.WriteFile(filepath.Join(dist, name), program, 0o644); err != nil {
		t.Fatal(err)
	}
	c.write("deps/eng/tools/SHA256SUMS", fmt.Sprintf("%x  %s\n", sha256.Sum256(program), name), 0o644)
	c.Env = append(c.Env, "PATH="+pathWithout(t, "go"), "ENGBLD_CACHE_DIR="+t.TempDir())

	_, stderr, code := c.Try(t, nil, "make", "buildimage")
	if code != 2 || !strings.Contains(stderr, "ENGBLD_PREBUILT_DIR") {
		t.Errorf("exit %d, want 2 and what is missing:\n%s", code, stderr)
	}
	c.make([]string{"ENGBLD_PREBUILT_DIR=" + dist}, ciGoals...)
	c.image("motto").has("opt/smartdc", "drwxr-xr-x 0 0 motto", "-rw-r--r-- 0 0 motto/motto")
}

// pathWithout is a PATH with everything this process's has but one program.
func pathWithout(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		entries, _ := os.ReadDir(from)
		for _, e := range entries {
			if e.Name() != program {
				_ = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())) // the first one counts
			}
		}
	}
	return dir
}

// TestSettingsOfTheCommandLine: what CI jobs set by hand reaches the image.
func TestSettingsOfTheCommandLine(t *testing.T) {
	t.Parallel()
	c := example(t, "mage", filepath.Join(t.TempDir(), "motto"), plain)
	bits := t.TempDir()
	c.make([]string{"ENGBLD_BITS_DIR=" + bits, "BRANCH_NAME=x"}, "publish", "buildimage", "BUILDIMAGE_PKGSRC=mozilla-rootcerts", "BUILDIMAGE_VERSION=7",
		"BUILDIMAGE_DESC=it's \"quoted\" \\ $$HOME", "BUILDIMAGE_SKIP_MOTD=true")
	if _, err := os.Stat(filepath.Join(bits, "motto/motto-zfs-7.zfs.gz")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(bits, filepath.Join(c.Dir, "bits")); err != nil {
		t.Fatal(err)
	}
	b := c.image("motto")
	if b.m.Version != "7" || b.m.Description != `it's "quoted" \ $HOME` {
		t.Errorf("manifest: %+v", b.m)
	}
	if !strings.Contains(c.engbld("pkg", "list", b.manifest), "mozilla-rootcerts-1") {
		t.Error("the package is not in the image")
	}
}

// TestDoctor: the examples are as engbld's own doctor wants components.
func TestDoctor(t *testing.T) {
	t.Parallel()
	eng := checkout.New(t, "eng")
	for _, name := range []string{"service", "rust", "agent", "with-agent", "monorepo/images/api", "monorepo/images/web", "mage"} {
		t.Run(name, func(t *testing.T) {
			top, _, _ := strings.Cut(name, "/")
			dir := t.TempDir()
			if err := os.CopyFS(filepath.Join(dir, top), os.DirFS(top)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, top, "deps"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(eng.Dir, filepath.Join(dir, top, "deps/eng")); err != nil {
				t.Fatal(err)
			}
			out := eng.Run(t, nil, "tools/engbld.sh", "component", "doctor", filepath.Join(dir, name))
			for _, line := range strings.Split(out, "\n") {
				// The service stays with the origin image its node was built for.
				if f := strings.Fields(line); len(f) > 1 && f[0] == "warn" && (name != "service" || f[1] != "origin-age") || strings.HasPrefix(line, "FAIL") {
					t.Error(line)
				}
			}
			if !strings.Contains(out, "ok    variables") {
				t.Errorf("the doctor says\n%s", out)
			}
		})
	}
}

// TestNewComponent builds what mkrepo starts a component with.
func TestNewComponent(t *testing.T) {
	t.Parallel()
	c := example(t, "mage", filepath.Join(t.TempDir(), "motto"), plain)
	c.noXMLLint()
	dir := filepath.Join(t.TempDir(), "nuts")
	c.Run(t, nil, filepath.Join(c.Dir, "deps/eng/tools/mkrepo"), "-n", dir)
	if err := os.RemoveAll(filepath.Join(dir, "deps/eng")); err != nil {
		t.Fatal(err)
	}
	checkout.Into(t, filepath.Join(dir, "deps/eng"))
	c.Dir = dir
	c.engbld("component", "origin-bump", "--write", originImage(t))
	c.commit()
	c.make([]string{"BRANCH_NAME=main"}, ciGoals...)
	if list := strings.Join(c.image("nuts").files("opt/triton"), "\n"); !strings.Contains(list, "-rw-r--r-- 0 0 nuts/smf/manifests/nuts.xml") {
		t.Errorf("files of the new component:\n%s", list)
	}
}
