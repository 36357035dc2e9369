package build

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/native"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/google/go-cmp/cmp"
)

const nativeFlavor = "triton-origin-x86_64-24.4.1"

// onMachine is a bench whose builds are done by the native engine on a machine.
func onMachine(t *testing.T) (*bench, *machine) {
	t.Helper()
	b, m := newBench(t, sandbox.Options{}), newMachine(t)
	b.opts.Sandbox, b.opts.Native = false, m.options()
	return b, m
}

func made(t *testing.T, b *bench) (names []string) {
	t.Helper()
	list, err := os.ReadDir(b.opts.Out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestNativeCommands: every command, in upstream's order (spec
// engbld-interface.md section 4.10; numbers are its steps).
func TestNativeCommands(t *testing.T) {
	t.Parallel()
	b, m := onMachine(t)
	r := b.request(t, nativeFlavor)
	r.Component.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(r.Component.Dir, "NOTICE"), []byte("notice\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	res := b.build(t, r)
	chain, err := b.store.Chain(context.Background(), r.Base)
	if err != nil {
		t.Fatal(err)
	}
	base, sum := r.Base, chain[0].SHA256
	want := []string{
		"zfs list -H -t filesystem -o name,zoned", // which dataset
		"zonename",
		"zfs list -H -r -t filesystem,volume,snapshot -o name D", // 1: import
		"zfs receive -u D/" + base + "-partial-ID",
		"zfs list -H -r -t filesystem,volume,snapshot -o name D",
		"zfs rename D/" + base + "-partial-ID@sent D/" + base + "-partial-ID@final",
		"zfs set engbld:stream=" + sum + " D/" + base + "-partial-ID",
		"zfs rename D/" + base + "-partial-ID D/" + base,
		"mkdir M", // 2: clone
		"zfs clone -o mountpoint=M -o engbld:build=ID D/" + base + "@final D/ID",
		"copy " + r.Component.Dir + " M/root", // 4
		"mount -F lofs -o ro /dev M/root/dev", // 5
		"mount -F lofs -o ro /lib M/root/lib",
		"mount -F lofs -o ro /proc M/root/proc",
		"mount -F lofs -o ro /sbin M/root/sbin",
		"mount -F lofs -o ro /usr M/root/usr",
		"chroot M/root /opt/local/bin/pkgin update", // 6
		"chroot M/root /opt/local/bin/pkgin -y full-upgrade",
		"chroot M/root /opt/local/sbin/pkg_add -U coreutils curl gsed patch sudo", // 7
		"chroot M/root /opt/local/sbin/pkg_info -a",                               // 8
		"chroot M/root /opt/local/sbin/pkg_admin fetch-pkg-vulnerabilities",       // 9
		"chroot M/root /opt/local/sbin/pkg_admin audit",
		"remove M/root/var/db/pkgin", // 10
		"remove M/config",            // 11
		"write M/root/etc/motd",      // 12
		"umount M/root/usr",          // 13
		"umount M/root/sbin",
		"umount M/root/proc",
		"umount M/root/lib",
		"umount M/root/dev",
		"zfs unmount D/ID",
		"zfs snapshot D/ID@final",
		"zfs send -i D/" + base + "@final D/ID@final",
		"zfs list -H -r -t filesystem,volume,snapshot -o name D", // 14: destroy
		"zfs get -H -s local -o value engbld:build D/ID",
		"zfs destroy -r D/ID",
		"rmdir M",
	}
	if d := cmp.Diff(want, m.lines); d != "" {
		t.Errorf("commands (-want +got):\n%s", d)
	}
	if left := m.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for name, content := range map[string]string{
		"root/NOTICE":    "notice\n",
		"root/curl/file": "base's\n",
		"root/var/db":    "dir",
		"root/etc/motd":  " =  T R I T O N  =\n\n    " + nativeFlavor + " (" + recordedVersion + ")\n    " + recordedSource + "\n    minimal-64-lts@24.4.1\n\n",
	} {
		if got := m.files[name]; got != content {
			t.Errorf("%s holds %q", name, got)
		}
	}
	for _, name := range []string{"config", "root/var/db/pkgin"} {
		if _, ok := m.files[name]; ok {
			t.Errorf("%s is still there", name)
		}
	}
	checkPublished(t, res)
	raw, err := os.ReadFile(res.AuditPath)
	if want := "Package curl-8.11.1 has an a vulnerability, see y\nPackage zlib-1.3.1 has a b vulnerability, see x\n"; err != nil || string(raw) != want {
		t.Errorf("audit: %q, %v", raw, err)
	}

	t.Run("again", func(t *testing.T) {
		m.lines = nil
		b.build(t, r)
		for _, l := range m.lines {
			if strings.Contains(l, "receive") {
				t.Errorf("the base was imported again: %s", l)
			}
		}
		if left := m.left(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// TestNativeCommandsAreAsRecorded compares what is run in the clone with what the
// genuine tools were called with when the expected results were recorded. Those
// were of another architecture than the packages of 2015Q4, hence their -m.
func TestNativeCommandsAreAsRecorded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"triton-origin-multiarch-15.4.1", "triton-origin-x86_64-19.4.0", "triton-origin-x86_64-21.4.0", "triton-origin-x86_64-24.4.1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(filepath.Join("testdata", "expected", name, "log"))
			if err != nil {
				t.Fatal(err)
			}
			var want, got []string
			for l := range strings.Lines(string(raw)) {
				if c, ok := strings.CutPrefix(strings.TrimSpace(l), "$ "); ok {
					want = append(want, strings.Replace(c, " -m i386", "", 1))
				}
			}
			b, m := onMachine(t)
			b.build(t, b.request(t, name))
			for _, l := range m.lines {
				f := strings.Fields(l)
				if f[0] == "chroot" && !strings.HasSuffix(f[2], "pkg_info") && !strings.HasSuffix(f[2], "pkg_admin") {
					got = append(got, strings.Join(append([]string{filepath.Base(f[2])}, f[3:]...), " "))
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("commands (-recorded +got):\n%s", d)
			}
		})
	}
}

// TestNativeStepsArePortableSteps: both engines have the same steps, and tell them
// in the same order.
func TestNativeStepsArePortableSteps(t *testing.T) {
	t.Parallel()
	said := func(b *bench) (steps []string) {
		for _, l := range b.story.lines {
			name, _, ok := strings.Cut(l, ": ")
			if ok && slices.Contains([]string{"base", "upgrade", "packages", "pkgdb", "audit", "finish", "write", "done"}, name) {
				steps = append(steps, name)
			}
		}
		return steps
	}
	one := newBench(t, sandbox.Options{})
	portably := one.build(t, one.request(t, nativeFlavor))
	two, _ := onMachine(t)
	natively := two.build(t, two.request(t, nativeFlavor))
	if d := cmp.Diff(said(one), said(two)); d != "" {
		t.Errorf("steps (-portable +native):\n%s", d)
	}
	for _, f := range []func(*Result) string{
		func(r *Result) string { return filepath.Base(r.FilePath) },
		func(r *Result) string { return filepath.Base(r.ManifestPath) },
		func(r *Result) string { return filepath.Base(r.AuditPath) },
		func(r *Result) string { return r.Manifest.Origin() },
		func(r *Result) string { return fmt.Sprint(r.Manifest.MinPlatform()) },
		func(r *Result) string { return r.Manifest.NameVersion() },
	} {
		if f(portably) != f(natively) {
			t.Errorf("portable: %q, native: %q", f(portably), f(natively))
		}
	}
}

// Upstream's defects (spec engbld-interface.md section 7, buildimage), one by one.

// B1: a failed build is a failure, whatever failed, and leaves nothing.
func TestNativeDefectB1(t *testing.T) {
	t.Parallel()
	b, m := onMachine(t)
	b.build(t, b.request(t, nativeFlavor))
	lines := slices.Clone(m.lines)
	b.opts.Out = t.TempDir()
	delete(m.sets, m.dataset()+"/"+b.request(t, nativeFlavor).Base)
	for i, line := range lines {
		n, failed := 0, false
		m.fault = func(string) error {
			if n++; n == i+1 {
				failed = true
				return &native.ExitError{Command: line, Code: 3, Reason: "trouble"}
			}
			return nil
		}
		m.lines = nil
		_, err := Run(context.Background(), b.request(t, nativeFlavor), b.opts)
		cleaning := i >= len(lines)-4 // undoing is tried again
		switch {
		case !failed:
			t.Errorf("%s: did not happen", line)
		case cleaning && err != nil:
			t.Errorf("%s: %v", line, err)
		case !cleaning && err == nil && !strings.HasPrefix(line, "umount") && !strings.HasPrefix(line, "zfs unmount"):
			t.Errorf("%s: no error", line)
		case err != nil && (fault.KindOf(err) < fault.Step || fault.KindOf(err) > fault.Unfit || !strings.Contains(err.Error(), "trouble")):
			t.Errorf("%s: kind %d: %v", line, fault.KindOf(err), err)
		}
		if left := m.left(); len(left) > 0 {
			t.Errorf("%s: left behind: %v", line, left)
		}
		if names := made(t, b); err != nil && len(names) > 0 {
			t.Errorf("%s: results: %v", line, names)
		}
		for _, n := range made(t, b) {
			os.Remove(filepath.Join(b.opts.Out, n))
		}
		delete(m.sets, m.dataset()+"/"+b.request(t, nativeFlavor).Base)
	}
}

// B2: cleaning up goes on where one of its steps fails, and is finished by the
// next build.
func TestNativeDefectB2(t *testing.T) {
	t.Parallel()
	b, m := onMachine(t)
	m.fault = func(line string) error {
		if strings.Contains(line, "pkg_add") || line == "umount M/root/proc" {
			return errors.New("trouble")
		}
		return nil
	}
	_, err := Run(context.Background(), b.request(t, nativeFlavor), b.opts)
	if err == nil || !strings.Contains(err.Error(), "left behind") || fault.KindOf(err) != fault.Step {
		t.Errorf("error: %v", err)
	}
	for _, d := range []string{"/dev", "/lib", "/sbin", "/usr"} {
		if slices.ContainsFunc(m.mounts, func(s string) bool { return strings.HasSuffix(s, d) }) {
			t.Errorf("%s is still mounted", d)
		}
	}
	if len(m.mounts) != 1 || len(m.left()) == 0 {
		t.Errorf("mounted: %v", m.mounts)
	}
	m.fault, m.lines = nil, nil
	b.build(t, b.request(t, nativeFlavor))
	if left := m.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// B3: the proxy's address is known before anything needs it.
func TestNativeDefectB3(t *testing.T) {
	t.Parallel()
	b, m := onMachine(t)
	proxy := "http://user:secret@proxy.example.invalid:3128"
	b.opts.Native.Getenv = func(name string) string { return map[string]string{"http_proxy": proxy}[name] }
	b.build(t, b.request(t, nativeFlavor))
	if d := cmp.Diff([]string{"proxy.example.invalid after 0 commands"}, m.looked); d != "" {
		t.Error(d)
	}
	for _, c := range m.commands {
		if c.Path == "chroot" && !slices.Contains(c.Env, "http_proxy=http://user:secret@192.0.2.1:3128") {
			t.Errorf("%s: environment %q", c, c.Env)
		}
		if strings.Contains(c.String(), "secret") {
			t.Errorf("a secret is shown: %s", c)
		}
	}
	b, m = onMachine(t)
	b.opts.Native.Getenv = func(name string) string { return map[string]string{"http_proxy": proxy}[name] }
	m.lookup = func(string) ([]string, error) { return nil, errors.New("no such host") }
	_, err := Run(context.Background(), b.request(t, nativeFlavor), b.opts)
	if fault.KindOf(err) != fault.Network || len(m.lines) > 0 {
		t.Errorf("error: %v; commands: %v", err, m.lines)
	}
}

// B4: what cannot be copied is an error; no files at all is said by an empty
// archive, not by a missing one.
func TestNativeDefectB4(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	archive := func(name string, entries ...string) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		z := gzip.NewWriter(f)
		w := tar.NewWriter(z)
		for _, e := range entries {
			if err := w.WriteHeader(&tar.Header{Name: e, Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), z.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ name, path, want string }{
		{"empty archive", archive("empty.tar.gz"), ""},
		{"files", archive("files.tar.gz", "root/opt/file"), ""},
		{"no archive", filepath.Join(dir, "absent.tar.gz"), "the component's archive"},
		{"no root directory", archive("wrong.tar.gz", "opt/file"), "holds no directory root/"},
		{"a file where a directory is", archive("conflict.tar.gz", "root/opt"), "the image has a directory there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, m := onMachine(t)
			r := b.request(t, nativeFlavor)
			r.Component.Package = c.path
			_, err := Run(context.Background(), r, b.opts)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Step):
				t.Errorf("error: %v", err)
			case err != nil && len(made(t, b)) > 0:
				t.Errorf("results: %v", made(t, b))
			}
			if left := m.left(); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// B5: packages are arguments of pkg_add alone; exactly /var/db/pkgin is removed.
func TestNativeDefectB5(t *testing.T) {
	t.Parallel()
	b, m := onMachine(t)
	r := b.request(t, nativeFlavor)
	r.Packages = []string{"curl", "etc"}
	b.build(t, r)
	for _, l := range m.lines {
		if !strings.Contains(l, "pkg_add") && (strings.Contains(l, "curl") || strings.HasSuffix(l, "etc")) {
			t.Errorf("names a package: %s", l)
		}
	}
	if m.files["root/curl/file"] == "" || m.files["root/etc"] == "" || m.files["root/var/db/pkg"] == "" {
		t.Error("more than /var/db/pkgin was removed")
	}
}

// B6: where one directory of the platform cannot be mounted, the others are
// unmounted, the last one first.
func TestNativeDefectB6(t *testing.T) {
	t.Parallel()
	b, m := onMachine(t)
	m.fault = func(line string) error {
		if strings.HasPrefix(line, "mount ") && strings.HasSuffix(line, "/proc") {
			return errors.New("trouble")
		}
		return nil
	}
	if _, err := Run(context.Background(), b.request(t, nativeFlavor), b.opts); err == nil {
		t.Error("no error")
	}
	i := slices.Index(m.lines, "mount -F lofs -o ro /proc M/root/proc")
	want := []string{"umount M/root/lib", "umount M/root/dev", "zfs list -H -r -t filesystem,volume,snapshot -o name D",
		"zfs get -H -s local -o value engbld:build D/ID", "zfs destroy -r D/ID", "rmdir M"}
	if d := cmp.Diff(want, m.lines[i+1:]); d != "" {
		t.Errorf("after the failure (-want +got):\n%s", d)
	}
	if left := m.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// B7: nothing is needed of the machine but its own programs; the origin comes from
// where all engines have it from.
func TestNativeDefectB7(t *testing.T) {
	t.Parallel()
	b, m := onMachine(t)
	b.build(t, b.request(t, nativeFlavor))
	for _, c := range m.commands {
		all := c.String() + " " + strings.Join(c.Env, " ")
		for _, bad := range []string{"/opt/tools", "node", "npm", "imgadm", "http"} {
			if strings.Contains(all, bad) {
				t.Errorf("%s has to do with %s", c, bad)
			}
		}
		if c.Func == nil && !slices.Contains([]string{"zfs", "zonename", "mount", "umount", "chroot"}, c.Path) {
			t.Errorf("%s is called", c.Path)
		}
	}
}

// B8: pools have any name, and there may be several.
func TestNativeDefectB8(t *testing.T) {
	t.Parallel()
	b, m := onMachine(t)
	for _, name := range slices.Collect(maps.Keys(m.sets)) {
		m.sets["tank"+strings.TrimPrefix(name, "zones")] = m.sets[name]
		delete(m.sets, name)
	}
	m.pool = "tank"
	m.sets["zones"] = &set{}
	b.build(t, b.request(t, nativeFlavor))
	if m.sets["tank/"+m.zone+"/data/"+b.request(t, nativeFlavor).Base] == nil {
		t.Error("the base is not in the delegated dataset")
	}
	r := b.request(t, nativeFlavor)
	r.Prefix = ""
	if _, err := Run(context.Background(), r, b.opts); fault.KindOf(err) != fault.Usage {
		t.Errorf("no prefix: %v", err)
	}
	r = b.request(t, nativeFlavor)
	r.Packages = []string{"bad;name"}
	if _, err := Run(context.Background(), r, b.opts); fault.KindOf(err) != fault.Usage || strings.Contains(err.Error(), "%s") || !strings.Contains(err.Error(), `"bad;name"`) {
		t.Errorf("bad package: %v", err)
	}
}

// TestNativePlan: a plan shows the steps that are run, and touches nothing.
func TestNativePlan(t *testing.T) {
	t.Parallel()
	b, m := onMachine(t)
	p, err := Plan(context.Background(), b.request(t, nativeFlavor), b.opts)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range p.Steps {
		names = append(names, s.Name)
	}
	want := []string{"lock", "base", "component", "upgrade", "packages", "pkgdb", "audit", "finish", "write", "describe"}
	if d := cmp.Diff(want, names); d != "" || len(m.lines) > 0 {
		t.Errorf("commands %v, steps (-want +got):\n%s", m.lines, d)
	}
}

func TestNativeRefusals(t *testing.T) {
	t.Parallel()
	user := 1000
	for _, c := range []struct {
		name   string
		change func(*bench, *machine)
		kind   fault.Kind
		want   string
	}{
		{"not root", func(b *bench, _ *machine) { b.opts.Native.UID = &user }, fault.Unfit, "needs root"},
		{"sandbox", func(b *bench, _ *machine) { b.opts.Sandbox = true }, fault.Usage, "sandbox"},
		{"offline", func(b *bench, _ *machine) { b.opts.Offline = true }, fault.Network, "ENGBLD_OFFLINE"},
		{"a record", func(b *bench, _ *machine) { b.opts.WriteLock = true }, fault.Usage, "ENGBLD_WRITE_LOCK"},
		{"no such dataset", func(b *bench, _ *machine) { b.opts.Native.Dataset = "zones/none" }, fault.Unfit, "zones/none"},
		{"no zfs", func(_ *bench, m *machine) { m.fault = func(string) error { return errors.New("no zfs") } }, fault.Unfit, "no zfs"},
		{"nothing delegated", func(_ *bench, m *machine) { delete(m.sets, m.dataset()) }, fault.Unfit, "no delegated dataset"},
		{"a base without snapshot", func(b *bench, m *machine) {
			m.sets[m.dataset()+"/"+b.request(t, nativeFlavor).Base] = &set{}
		}, fault.Unfit, "no snapshot @final"},
		{"a base of another stream", func(b *bench, m *machine) {
			m.sets[m.dataset()+"/"+b.request(t, nativeFlavor).Base] = &set{snapshots: []string{"final"}, properties: map[string]string{"engbld:stream": "00"}}
		}, fault.Drift, "another stream"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, m := onMachine(t)
			c.change(b, m)
			_, err := Run(context.Background(), b.request(t, nativeFlavor), b.opts)
			if fault.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.want) || fault.Hint(err) == "" {
				t.Errorf("kind %d: %v; hint: %s", fault.KindOf(err), err, fault.Hint(err))
			}
			m.fault = nil
			if left := m.left(); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestNativePackageSource: another repository is told to both tools.
func TestNativePackageSource(t *testing.T) {
	t.Parallel()
	b, m := onMachine(t)
	b.opts.PackageSource = "https://ci:s3cret@mirror.example.invalid/All"
	m.tools["pkgin -y full-upgrade"] = func(w io.Writer) error {
		_, err := io.WriteString(w, "processing remote summary ("+b.opts.PackageSource+")...\n")
		return err
	}
	b.build(t, b.request(t, nativeFlavor))
	for _, c := range m.commands {
		for _, v := range []string{"PKG_PATH=" + b.opts.PackageSource, "PKG_REPOS=" + b.opts.PackageSource} {
			if c.Path == "chroot" && !slices.Contains(c.Env, v) {
				t.Errorf("%s: environment %q", c, c.Env)
			}
		}
		if strings.Contains(c.String(), "s3cret") {
			t.Errorf("the password is an argument: %s", c)
		}
	}
	if s := b.story.String(); strings.Contains(s, "s3cret") || !strings.Contains(s, "summary (https://mirror.example.invalid/All)") {
		t.Error(s)
	}
	noSecret(t, b.opts.Out)
}

var _ io.Writer = (*counted)(nil)
