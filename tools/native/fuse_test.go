//go:build linux

package native_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/filelock"
)

// The tests here work on real ZFS: zfs-fuse of Debian (pool version 23, ZPL 4),
// unpacked beside, as it conflicts with other ZFS packages. Each test runs again
// in namespaces of its own, so that neither mounts nor the daemon outlive it.
const (
	insideVar  = "ENGBLD_TEST_INSIDE"
	toolsVar   = "ENGBLD_ZFS_FUSE"         // where the packages are unpacked
	requireVar = "ENGBLD_REQUIRE_ZFS_FUSE" // 1: what is missing is an error
	fullVar    = "ENGBLD_NATIVE_FULL"      // 1: the whole table of faults
)

// pool is a pool served by zfs-fuse, in this process's namespaces.
type pool struct {
	tools string // unpacked packages
	dir   string // of the test
	set   string // dataset to build in
}

// inPool returns a pool in the inner process. In the outer one it runs the test
// again, and returns nil when that is over.
func inPool(t *testing.T) *pool {
	t.Helper()
	if os.Getenv(insideVar) != "" {
		return startPool(t)
	}
	t.Parallel()
	tools, err := fuseTools()
	if err != nil {
		if os.Getenv(requireVar) == "1" {
			t.Fatal(err)
		}
		t.Skipf("no zfs-fuse here: %v", err)
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v=true"}
	ctx := context.Background()
	if end, ok := t.Deadline(); ok {
		// What hangs tells where it does, before we are stopped without a word.
		left := min(time.Until(end)*8/10, 10*time.Minute)
		args = append(args, "-test.timeout="+left.String())
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, left*9/8)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), insideVar+"=1", toolsVar+"="+tools)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in a namespace: %v", err)
	}
	if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	return nil
}

// fuseTools finds or gets zfs-fuse, and a shell that needs no libraries.
func fuseTools() (string, error) {
	if os.Geteuid() != 0 {
		return "", errors.New("mounting needs root")
	}
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		return "", err
	} else {
		f.Close()
	}
	if dir := os.Getenv(toolsVar); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "engbld-test", "zfs-fuse")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := filelock.Get(context.Background(), dir+".lock", nil)
	if err != nil {
		return "", err
	}
	defer lock.Release()
	if _, err := os.Stat(filepath.Join(dir, "whole")); err == nil {
		return dir, nil
	}
	// What a download that was broken off left is no package.
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"apt-get", "-q", "-o", "Acquire::Retries=5", "download", "zfs-fuse", "libfuse2", "busybox-static"}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return "", err
	}
	for _, deb := range debs {
		if out, err := exec.Command("dpkg", "-x", deb, dir).CombinedOutput(); err != nil {
			return "", fmt.Errorf("dpkg -x %s: %w: %s", deb, err, out)
		}
	}
	return dir, os.WriteFile(filepath.Join(dir, "whole"), nil, 0o644)
}

func (p *pool) file(name string) string { return filepath.Join(p.tools, name) }

func startPool(t *testing.T) *pool {
	t.Helper()
	p := &pool{tools: os.Getenv(toolsVar), dir: t.TempDir(), set: "lake/zone/data"}
	must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	must(t, syscall.Mount("proc", "/proc", "proc", 0, ""))
	for _, dir := range []string{"/run", "/var/lib"} { // where zfs-fuse has its socket, lock and list of pools
		must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"))
	}
	for _, dir := range []string{"/run/zfs", "/run/lock/zfs", "/var/lib/zfs"} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	daemon := exec.Command(p.file("sbin/zfs-fuse"), "-n", "--no-kstat-mount", "-m", "64")
	daemon.Env = append(os.Environ(), "LD_LIBRARY_PATH="+p.file("lib/x86_64-linux-gnu"))
	must(t, daemon.Start())
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
	})
	disk := "/run/disk"
	f, err := os.Create(disk)
	must(t, err)
	must(t, f.Truncate(256<<20))
	must(t, f.Close())
	for i := 0; ; i++ {
		out, err := exec.Command(p.file("sbin/zpool"), "create", "-m", "none", "lake", disk).CombinedOutput()
		if err == nil {
			break
		}
		if i == 1200 { // two minutes
			t.Fatalf("zpool create: %v: %s", err, out)
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.zfs(t, "create", "lake/zone")
	p.zfs(t, "create", p.set)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *pool) zfs(t testing.TB, args ...string) string {
	t.Helper()
	for trial := 0; ; trial++ {
		cmd := exec.Command(p.file("sbin/zfs"), args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		switch {
		case err == nil:
			return string(out)
		case trial < 600 && strings.Contains(stderr.String(), "busy"): // zfs-fuse lets go of a mount when it pleases
			time.Sleep(100 * time.Millisecond)
		default:
			t.Fatalf("zfs %s: %v: %s", strings.Join(args, " "), err, stderr.String())
		}
	}
}

// Base images of the test.
const (
	firstUUID  = "0a1b2c3d-0000-4000-8000-00000000000a"
	secondUUID = "0a1b2c3d-0000-4000-8000-00000000000b"
)

// makeImages writes two images, the second an increment of the first, into a
// directory that is a source of images.
func (p *pool) makeImages(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(p.dir, "images")
	must(t, os.Mkdir(dir, 0o755))
	at := filepath.Join(p.dir, "made")
	p.zfs(t, "create", "-o", "mountpoint="+at, "lake/made")
	p.fillBase(t, at)
	p.zfs(t, "snapshot", "lake/made@final")
	p.image(t, dir, firstUUID, "", "lake/made@final")
	second := filepath.Join(p.dir, "made2")
	p.zfs(t, "clone", "-o", "mountpoint="+second, "lake/made@final", "lake/made2")
	must(t, os.WriteFile(filepath.Join(second, "root/etc/second"), []byte("second\n"), 0o644))
	p.zfs(t, "snapshot", "lake/made2@released") // imported, it is called @final
	p.image(t, dir, secondUUID, firstUUID, "-i", "lake/made@final", "lake/made2@released")
	p.zfs(t, "destroy", "-r", "lake/made2")
	p.zfs(t, "destroy", "-r", "lake/made")
	return dir
}

func (p *pool) fillBase(t *testing.T, at string) {
	t.Helper()
	for _, d := range []string{"root/dev", "root/lib", "root/proc", "root/sbin", "root/usr", "root/etc", "root/tmp", "root/var/tmp",
		"root/var/db/pkgin", "root/var/db/pkg", "root/opt/local/bin", "root/opt/local/sbin", "root/opt/local/pkg", "root/curl", "cores", "site", "config"} {
		must(t, os.MkdirAll(filepath.Join(at, d), 0o755))
	}
	for name, content := range map[string]string{
		"root/etc/motd": "the base's\n", "config/stray": "x", "root/var/db/pkgin/pkgin.db": "old", "root/var/db/keep": "kept\n",
		"root/curl/file": "a directory that is called as a package\n", "root/opt/local/pkg/installed": "zlib-1.3            Compression\n",
	} {
		must(t, os.WriteFile(filepath.Join(at, name), []byte(content), 0o644))
	}
	busybox, err := os.ReadFile(p.file("bin/busybox"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(at, "root/opt/local/bin/busybox"), busybox, 0o755))
	standin, err := os.ReadFile("testdata/tools/standin")
	must(t, err)
	for _, name := range []string{"bin/pkgin", "sbin/pkg_add", "sbin/pkg_info", "sbin/pkg_admin"} {
		must(t, os.WriteFile(filepath.Join(at, "root/opt/local", name), standin, 0o755))
	}
	for _, name := range []string{"env", "grep", "sort", "mkdir", "cat", "sleep"} {
		must(t, os.Symlink("busybox", filepath.Join(at, "root/opt/local/bin", name)))
	}
}

// image writes manifest and file of what zfs send gives.
func (p *pool) image(t *testing.T, dir, uuid, origin string, send ...string) {
	t.Helper()
	stream := p.zfs(t, append([]string{"send"}, send...)...)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, stream)
	must(t, z.Close())
	must(t, os.WriteFile(filepath.Join(dir, uuid+".zfs.gz"), packed.Bytes(), 0o644))
	also := ""
	if origin != "" {
		also = fmt.Sprintf(`, "origin": %q`, origin)
	}
	manifest := fmt.Sprintf(`{"v": 2, "uuid": %q, "name": "base-%s", "version": "1.0.0", "type": "zone-dataset", "os": "smartos",
		"owner": "00000000-0000-0000-0000-000000000000", "published_at": "2026-01-01T00:00:00Z", "requirements": {"min_platform": {"7.0": "20160401T000000Z"}}%s,
		"files": [{"sha1": "%x", "size": %d, "compression": "gzip"}]}`, uuid, uuid[len(uuid)-1:], also, sha1.Sum(packed.Bytes()), packed.Len())
	must(t, os.WriteFile(filepath.Join(dir, uuid+".imgmanifest"), []byte(manifest), 0o644))
}

// datasets lists all there is in the pool.
func (p *pool) datasets(t testing.TB) []string {
	t.Helper()
	list := strings.Fields(p.zfs(t, "list", "-H", "-o", "name", "-t", "filesystem,snapshot"))
	slices.Sort(list)
	return list
}

// mounts lists the mount points below the test's directory.
func (p *pool) mounts(t testing.TB) (list []string) {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	for l := range strings.Lines(string(raw)) {
		if at := strings.ReplaceAll(strings.Fields(l)[1], `\040`, " "); strings.HasPrefix(at, p.dir) {
			list = append(list, at)
		}
	}
	return list
}
