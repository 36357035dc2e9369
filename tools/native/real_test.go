//go:build linux

package native_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/google/go-cmp/cmp"
)

func request(packages ...string) build.Request {
	return build.Request{
		Name: "component", Prefix: "component-zfs", Version: "1.2.3", Base: secondUUID, Platform: build.DefaultPlatform,
		Manifest: json.RawMessage(`{"name":"component","version":"1.2.3","description":"a test"}`),
		Packages: packages, Upgrade: true, Audit: true, MOTD: true, SourceRepo: "https://example.invalid/component.git",
		Timestamp: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// newJob is a build that goes well.
func (p *pool) newJob(t *testing.T, source string) job {
	t.Helper()
	j := job{Tools: p.tools, Set: p.set, State: filepath.Join(p.dir, "state"), Source: source, Cache: filepath.Join(p.dir, "cache"),
		Out: filepath.Join(p.dir, "out"), Temp: filepath.Join(p.dir, "temp"), Log: filepath.Join(p.dir, "log"), Request: request("curl", "gsed"), At: -1}
	stage := filepath.Join(p.dir, "stage")
	must(t, os.MkdirAll(filepath.Join(stage, "root/opt/component/bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(stage, "root/opt/component/bin/run"), []byte("run\n"), 0o755))
	must(t, os.WriteFile(filepath.Join(stage, "root/opt/component/NOTICE"), []byte("notice\n"), 0o640))
	j.Request.Component.Stage = stage
	must(t, os.MkdirAll(j.Temp, 0o755))
	return j
}

// TestNativeOnZFS builds on real ZFS, and lets it receive the result.
func TestNativeOnZFS(t *testing.T) {
	p := inPool(t)
	if p == nil {
		return
	}
	j := p.newJob(t, p.makeImages(t))
	before := p.mounts(t)
	code, story := j.run(t)
	t.Logf("%s", story)
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	t.Logf("%s", strings.Join(j.log(t), "\n"))
	p.nothingLeft(t, j, before)

	// zfs itself receives it, on top of the imported base.
	at := filepath.Join(p.dir, "received")
	received := exec.Command("/bin/sh", "-c", `gunzip -c "$1" | "$2" receive -u lake/received`, "sh", filepath.Join(j.Out, "component-zfs-1.2.3.zfs.gz"), p.file("sbin/zfs"))
	if out, err := received.CombinedOutput(); err != nil {
		t.Fatalf("zfs receive: %v: %s", err, out)
	}
	p.zfs(t, "set", "mountpoint="+at, "lake/received")
	if !slices.Contains(p.mounts(t), at) {
		p.zfs(t, "mount", "lake/received")
	}
	for name, want := range map[string]string{
		"root/opt/component/bin/run":   "run\n",
		"root/opt/component/NOTICE":    "notice\n",
		"root/etc/second":              "second\n",
		"root/var/db/keep":             "kept\n",
		"root/curl/file":               "a directory that is called as a package\n",
		"root/etc/motd":                " =  T R I T O N  =\n\n    component (1.2.3)\n    https://example.invalid/component.git\n    base-b@1.0.0\n\n",
		"root/var/tmp/calls":           "pkgin update\npkgin -y full-upgrade\npkg_add -U curl gsed\npkg_info -a\npkg_admin fetch-pkg-vulnerabilities\npkg_admin audit\n",
		"root/var/tmp/mounts":          "/dev is there, read-only\n/lib is there, read-only\n/proc is there, read-only\n/sbin is there, read-only\n/usr is there, read-only\n",
		"root/var/tmp/environment":     "HOME=/root\nLC_ALL=C\nPATH=/opt/local/sbin:/opt/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
		"root/opt/local/pkg/installed": "zlib-1.3.1            General purpose data compression library\ncurl-1.0            A package of that name\ngsed-1.0            A package of that name\n",
	} {
		got, err := os.ReadFile(filepath.Join(at, name))
		if err != nil {
			t.Error(err)
		} else if d := cmp.Diff(want, string(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	for _, name := range []string{"config", "root/var/db/pkgin"} {
		if _, err := os.Lstat(filepath.Join(at, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	audit, err := os.ReadFile(filepath.Join(j.Out, "component-zfs-1.2.3.pkgaudit"))
	must(t, err)
	if want := "Package curl-1.0 has a remote-code-execution vulnerability, see https://example.invalid/1\n" +
		"Package zlib-1.3.1 has a denial-of-service vulnerability, see https://example.invalid/2\n"; string(audit) != want {
		t.Errorf("audit:\n%s", audit)
	}
	p.zfs(t, "destroy", "-r", "lake/received")

	t.Run("images that are there are not received again", func(t *testing.T) {
		if code, story := j.run(t); code != 0 {
			t.Fatalf("exit code %d\n%s", code, story)
		}
		for _, c := range j.log(t) {
			if strings.Contains(c, "receive") {
				t.Errorf("done again: %s", c)
			}
		}
		p.nothingLeft(t, j, before)
	})
	t.Run("a package that is not found", func(t *testing.T) {
		j := p.inFreshOut(t, j)
		j.Request.Packages = []string{"absent"}
		code, story := j.run(t)
		if code != 4 || !strings.Contains(story, "packages: chroot") || !strings.Contains(story, "no pkg found for 'absent'") {
			t.Errorf("exit code %d\n%s", code, story)
		}
		p.nothingLeft(t, j, before)
	})
	t.Run("no space", func(t *testing.T) {
		p.zfs(t, "set", "quota=16m", p.set)
		defer p.zfs(t, "set", "quota=none", p.set)
		j := p.inFreshOut(t, j)
		j.Request.Packages = []string{"huge"}
		code, story := j.run(t)
		if code != 4 || !strings.Contains(story, "packages: chroot") {
			t.Errorf("exit code %d\n%s", code, story)
		}
		p.nothingLeft(t, j, before)
	})
	t.Run("a program goes on in the clone", func(t *testing.T) {
		j := p.inFreshOut(t, j)
		j.Request.Packages = []string{"lingering"}
		code, story := j.run(t)
		if code != 0 || !strings.Contains(story, "went on in the image's clone") {
			t.Errorf("exit code %d\n%s", code, story)
		}
		p.nothingLeft(t, j, before)
	})
	t.Run("a component that does not fit", func(t *testing.T) {
		j := p.inFreshOut(t, j)
		j.Request.Component.Stage = filepath.Join(p.dir, "unfit")
		must(t, os.MkdirAll(filepath.Join(j.Request.Component.Stage, "root"), 0o755))
		must(t, os.WriteFile(filepath.Join(j.Request.Component.Stage, "root/opt"), []byte("a file"), 0o644))
		code, story := j.run(t)
		if code != 4 || !strings.Contains(story, "the image has a directory there") {
			t.Errorf("exit code %d\n%s", code, story)
		}
		p.nothingLeft(t, j, before)
	})
	t.Run("two at once", func(t *testing.T) {
		p.zfs(t, "destroy", "-r", p.set)
		p.zfs(t, "create", p.set)
		one, two := p.inFreshOut(t, j), p.inFreshOut(t, j)
		one.Log, two.Log = filepath.Join(p.dir, "log1"), filepath.Join(p.dir, "log2")
		one.At, one.When, one.What = 2, "after", "wait" // the first receive
		one.Flag = filepath.Join(p.dir, "two waits")
		two.Flag = one.Flag
		// zfs-fuse stands still for good now and then where two file systems are
		// mounted and looked into at the same time; imports are what this is about.
		two.After = filepath.Join(p.dir, "one has ended")
		done := make(chan string, 1)
		go func() {
			code, story := one.run(t)
			if err := os.WriteFile(two.After, nil, 0o644); err != nil {
				t.Error(err)
			}
			done <- fmt.Sprintf("exit code %d\n%s", code, story)
		}()
		for deadline := time.Now().Add(2 * time.Minute); !slices.Contains(entries(t, j.State), "image-"+firstUUID+".lock"); {
			if time.Now().After(deadline) {
				t.Fatal("the first build does not begin")
			}
			time.Sleep(10 * time.Millisecond)
		}
		code, story := two.run(t)
		if first := <-done; code != 0 || !strings.HasPrefix(first, "exit code 0\n") {
			t.Errorf("exit code %d\n%s\nthe other: %s", code, story, first)
		}
		if !strings.Contains(story, "another build imports") || strings.Contains(story, "cleaning up what") {
			t.Errorf("%s", story)
		}
		received := 0
		for _, l := range append(one.log(t), two.log(t)...) {
			if strings.HasPrefix(l, "zfs receive") {
				received++
			}
		}
		if received != 2 {
			t.Errorf("%d images were received, want 2", received)
		}
		p.nothingLeft(t, one, before)
		p.nothingLeft(t, two, before)
	})
	t.Run("what is not ours stays", func(t *testing.T) {
		p.zfs(t, "create", p.set+"/somebody")
		defer p.zfs(t, "destroy", p.set+"/somebody")
		must(t, os.WriteFile(filepath.Join(j.State, "build-0a1b2c3d-0000-4000-8000-0000000000ff.json"), fmt.Appendf(nil,
			`{"id":"0a1b2c3d-0000-4000-8000-0000000000ff","dataset":%q,"entries":[{"kind":"dataset","target":%q}]}`, p.set, p.set+"/somebody"), 0o600))
		j := j
		j.Sweep = true
		code, story := j.run(t)
		if code != 0 || !strings.Contains(story, "does not carry the mark") || !slices.Contains(p.datasets(t), p.set+"/somebody") {
			t.Errorf("exit code %d\n%s", code, story)
		}
	})
}

// inFreshOut is a job with a directory of its own for results.
func (p *pool) inFreshOut(t *testing.T, j job) job {
	t.Helper()
	j.Out = t.TempDir()
	return j
}

// nothingLeft compares datasets, mounts and files with what may be there: whole
// imported images, and the files of an image that was built.
func (p *pool) nothingLeft(t *testing.T, j job, mounts []string) {
	t.Helper()
	for _, name := range p.datasets(t) {
		short := strings.TrimPrefix(name, p.set+"/")
		switch short {
		case "lake", "lake/zone", p.set, firstUUID, firstUUID + "@final", secondUUID, secondUUID + "@final":
		default:
			t.Errorf("left behind: dataset %s", name)
		}
	}
	if d := cmp.Diff(mounts, p.mounts(t)); d != "" {
		t.Errorf("mounts differ (-before +after):\n%s", d)
	}
	roots, err := filepath.Glob("/proc/[0-9]*/root")
	must(t, err)
	for _, r := range roots {
		if to, _ := os.Readlink(r); strings.HasPrefix(to, j.State) {
			t.Errorf("left behind: a program that runs in %s", to)
		}
	}
	for _, dir := range []string{j.State, j.Temp} {
		for _, name := range entries(t, dir) {
			t.Errorf("left behind: %s", filepath.Join(dir, name))
		}
	}
	switch got := strings.Join(entries(t, j.Out), " "); got {
	case "", "component-zfs-1.2.3.imgmanifest component-zfs-1.2.3.pkgaudit component-zfs-1.2.3.zfs.gz":
	default:
		t.Errorf("left behind: %s", got)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}
