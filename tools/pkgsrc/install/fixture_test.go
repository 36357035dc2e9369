package install

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
)

const fixture = "../testdata/fixture"

// The fixture's repositories.
const (
	repo2015   = "2015Q4/multiarch"
	repoBefore = "2024Q4-before/x86_64"
	repo2024   = "2024Q4/x86_64"
)

var testTime = fstree.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// story collects what an Installer says.
type story struct {
	info, warn []string
}

func (s *story) Infof(format string, args ...any) {
	s.info = append(s.info, fmt.Sprintf(format, args...))
}
func (s *story) Warnf(format string, args ...any) {
	s.warn = append(s.warn, fmt.Sprintf(format, args...))
}

// rig is a target as the recordings began with: the fixture's skeleton.
type rig struct {
	t     *testing.T
	tree  *fstree.Tree
	spool *fstree.Spool
	story story
}

func newRig(t *testing.T) *rig {
	t.Helper()
	spool, err := fstree.NewSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { spool.Close() })
	r := &rig{t: t, tree: fstree.New(testTime), spool: spool}
	for _, dir := range []string{"etc", "opt/local/bin", "opt/local/etc/gnupg", "opt/local/sbin", "var/db", "var/tmp"} {
		r.must(r.tree.MkdirAll(dir, 0o755))
	}
	for _, f := range []string{"group", "passwd", "shadow", "shells"} {
		r.copyIn(filepath.Join(fixture, "skeleton/etc", f), "etc/"+f)
	}
	r.copyIn(filepath.Join(fixture, "keys/fixture.gpg"), "opt/local/etc/gnupg/pkgsrc.gpg")
	r.verify("never")
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) copyIn(from, to string) {
	r.t.Helper()
	b, err := os.ReadFile(from)
	r.must(err)
	r.must(r.tree.WriteFile(to, b, 0o644))
}

// verify sets VERIFIED_INSTALLATION.
func (r *rig) verify(policy string) {
	r.t.Helper()
	conf := "GPG_KEYRING_VERIFY=/opt/local/etc/gnupg/pkgsrc.gpg\nVERIFIED_INSTALLATION=" + policy + "\n"
	r.must(r.tree.WriteFile("opt/local/etc/pkg_install.conf", []byte(conf), 0o644))
}

// installer makes one for a repository of the fixture.
func (r *rig) installer(repo string, change ...func(*Options)) *Installer {
	r.t.Helper()
	set, err := repository.OpenSet([]string{filepath.Join(fixture, "SmartOS", repo, "All")}, repository.Options{})
	r.must(err)
	opts := Options{Root: r.tree, Repos: set, Spool: r.spool, Log: &r.story}
	for _, f := range change {
		f(&opts)
	}
	in, err := New(r.t.Context(), opts)
	r.must(err)
	return in
}

func accept(what ...string) func(*Options) { return func(o *Options) { o.Accept = what } }

func (r *rig) add(in *Installer, args ...string) {
	r.t.Helper()
	r.must(in.Add(r.t.Context(), args))
	r.must(in.Finish(r.t.Context()))
}

// before brings the target to the state that the recorded upgrades began with.
func (r *rig) before() {
	r.t.Helper()
	in := r.installer(repoBefore)
	r.add(in, "sudo", "curl", "patch", "oldname", "pkgin", "orphanlib")
	// The recording had it added with "pkg_add -A".
	r.must(r.tree.WriteFile("opt/local/pkg/orphanlib-0.9/+INSTALLED_INFO", []byte(pkgdb.Automatic), 0o644))
	r.must(appendFile(r.tree, "/opt/local/etc/openssl/openssl.cnf", "# local change\n"))
}

// names maps the ids of passwd or group back.
func (r *rig) names(file string) map[uint32]string {
	ids, err := readIDs(r.tree, file)
	r.must(err)
	names := map[uint32]string{}
	for name, id := range ids {
		names[id] = name
	}
	return names
}

// leftOut are paths that the recordings leave out.
func leftOut(p string) bool {
	switch p {
	case "/etc/shadow", "/opt/local/etc/pkg_install.conf", "/opt/local/etc/gnupg", "/opt/local/etc/gnupg/pkgsrc.gpg",
		"/opt/local/etc/pkgin/repositories.conf", "/opt/local/pkg/pkgdb.byfile.db":
		return true
	}
	return strings.HasPrefix(p, "/var/db/pkgin")
}

// listing describes the tree as the recordings do.
func (r *rig) listing() map[string]string {
	users, groups := r.names("/etc/passwd"), r.names("/etc/group")
	out := map[string]string{}
	r.must(r.tree.Walk(func(p string, n *fstree.Node) error {
		p = "/" + p
		if p == "/." || leftOut(p) {
			return nil
		}
		own := users[n.UID] + ":" + groups[n.GID]
		switch {
		case n.IsDir():
			out[p] = fmt.Sprintf("d %04o %s %s", n.Perm(), own, p)
		case n.IsSymlink():
			out[p] = fmt.Sprintf("l %s %s -> %s", own, p, n.Target)
		default:
			out[p] = fmt.Sprintf("f %04o %s %s size=%d nlink=%d sha256=%s", n.Perm(), own, p, n.Size(), n.Names(), sum(r.t, n)[:16])
		}
		return nil
	}))
	return out
}

func sum(t *testing.T, n *fstree.Node) string {
	t.Helper()
	h := sha256.New()
	if n.Content != nil {
		if _, err := io.Copy(h, fstree.NewReader(n.Content)); err != nil {
			t.Fatal(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func recording(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(fixture, "expected", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// readListing reads a recorded listing, by path.
func readListing(t *testing.T, name string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for l := range strings.Lines(recording(t, name)) {
		l = strings.TrimSuffix(l, "\n")
		f := strings.Fields(l)
		p := f[3%len(f)]
		if f[0] == "l" {
			p = f[2]
		}
		out[p] = l
	}
	return out
}

// compareTree compares with a recorded listing. fix mends what is known to
// differ, in what was recorded.
func (r *rig) compareTree(name string, fix ...func(want map[string]string)) {
	r.t.Helper()
	want := readListing(r.t, name+".listing")
	for _, f := range fix {
		f(want)
	}
	got := r.listing()
	for p, w := range want {
		if g := got[p]; g != w && path4(p) && r.permuted(p, w) {
			got[p] = w
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("%s: tree (-recorded +ours):\n%s", name, diff)
	}
}

func path4(p string) bool { return strings.HasSuffix(p, "/+REQUIRED_BY") }

// permuted tells whether some order of our lines has the recorded hash: the
// genuine tools write +REQUIRED_BY in the order of a directory's entries after
// an upgrade.
func (r *rig) permuted(p, want string) bool {
	b, err := r.tree.ReadFile(p, maxSmall)
	if err != nil {
		return false
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(b), "\n")+"\n", "\n")
	lines = lines[:len(lines)-1]
	if len(lines) > 7 {
		return false
	}
	var try func(k int) bool
	try = func(k int) bool {
		if k == len(lines) {
			h := sha256.Sum256([]byte(strings.Join(lines, "")))
			return strings.Contains(want, "sha256="+hex.EncodeToString(h[:])[:16])
		}
		for i := k; i < len(lines); i++ {
			lines[k], lines[i] = lines[i], lines[k]
			if try(k + 1) {
				return true
			}
			lines[k], lines[i] = lines[i], lines[k]
		}
		return false
	}
	return try(0)
}

// compareByFile compares the written database with a recorded dump.
func (r *rig) compareByFile(name string) {
	r.t.Helper()
	raw, err := r.tree.ReadFile("opt/local/pkg/pkgdb.byfile.db", 1<<20)
	r.must(err)
	pairs, err := pkgdb.ReadByFile(raw)
	r.must(err)
	var got []string
	for _, p := range pairs {
		got = append(got, fmt.Sprintf("file: %s pkg: %s\n", p.Path, p.Package))
	}
	want := slices.Sorted(strings.Lines(recording(r.t, name+".byfile")))
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("%s: database of files (-recorded +ours):\n%s", name, diff)
	}
}

func (r *rig) compareInfo(in *Installer, name string) {
	r.t.Helper()
	got, err := in.DB().Info()
	r.must(err)
	if diff := cmp.Diff(recording(r.t, name+".pkg_info"), got); diff != "" {
		r.t.Errorf("%s: pkg_info (-recorded +ours):\n%s", name, diff)
	}
}

// compareStory compares what packages said with the recorded standard output.
func (r *rig) compareStory(name string) {
	r.t.Helper()
	var got []string
	for _, l := range r.story.info {
		if !strings.HasPrefix(l, "installing ") && !strings.HasPrefix(l, "upgrading ") && !strings.HasPrefix(l, "refreshing ") {
			got = append(got, l+"\n")
		}
	}
	want := slices.DeleteFunc(slices.Collect(strings.Lines(recording(r.t, name+".stdout"))), func(l string) bool {
		return strings.HasPrefix(l, "Executing ") // ours reports failures only
	})
	if diff := cmp.Diff(strings.Join(want, ""), strings.Join(got, "")); diff != "" {
		r.t.Errorf("%s: messages (-recorded +ours):\n%s", name, diff)
	}
}

func TestInstall2024Q4(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.verify("always")
	in := r.installer(repo2024)
	r.add(in, "coreutils", "curl", "gsed", "patch", "sudo")
	r.compareTree("install-2024Q4")
	r.compareByFile("install-2024Q4")
	r.compareInfo(in, "install-2024Q4")
	r.compareStory("install-2024Q4")
	if len(r.story.warn) > 0 {
		t.Errorf("warnings: %q", r.story.warn)
	}
}

func TestInstall2015Q4(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.installer(repo2015)
	r.add(in, "coreutils-8.23nb2", "curl-7.51.0", "gsed-4.2.2nb4", "patch-2.7.5", "sudo-1.8.15")
	r.compareTree("install-2015Q4")
	r.compareByFile("install-2015Q4")
	r.compareInfo(in, "install-2015Q4")
	r.compareStory("install-2015Q4")
}

// linuxAccounts takes out what the account tools of the recording's Linux did
// otherwise: a lock file, and an "x" in the group's password field, which
// illumos leaves empty.
func (r *rig) linuxAccounts(want map[string]string) {
	delete(want, "/etc/.pwd.lock")
	group := recording(r.t, "install-extras.group")
	h := sha256.Sum256([]byte(group))
	hash := hex.EncodeToString(h[:])[:16]
	if !strings.Contains(want["/etc/group"], hash) {
		r.t.Error("the recorded group file is not the one in the recorded tree")
	}
	illumos := strings.ReplaceAll(group, ":x:", "::")
	h = sha256.Sum256([]byte(illumos))
	want["/etc/group"] = fmt.Sprintf("f 0644 root:root /etc/group size=%d nlink=1 sha256=%s", len(illumos), hex.EncodeToString(h[:])[:16])
}

func TestInstallExtras(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.installer(repo2024, accept("svcdemo:svccfg-import"))
	r.add(in, "dbsvc", "bash", "svcdemo", "keeper", "execdemo")
	r.compareTree("install-extras", r.linuxAccounts)
	r.compareByFile("install-extras")
	r.compareStory("install-extras")
	for _, f := range []string{"passwd", "shells"} {
		b, err := r.tree.ReadFile("etc/"+f, maxSmall)
		r.must(err)
		if diff := cmp.Diff(recording(t, "install-extras."+f), string(b)); diff != "" {
			t.Errorf("%s: %s", f, diff)
		}
	}
	shadow, err := r.tree.ReadFile("etc/shadow", maxSmall)
	r.must(err)
	if len(r.story.warn) != 2 || !strings.Contains(r.story.warn[0], "not imported") || !strings.Contains(r.story.warn[1], "exec.log") {
		t.Errorf("warnings: %q", r.story.warn)
	}
	if !strings.HasSuffix(string(shadow), "\ndblog:*LK*:::::::\ndbsvc:*LK*:::::::\n") {
		t.Errorf("shadow: %q", shadow)
	}
}

func TestUpgradeBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.before()
	in := r.installer(repoBefore)
	r.compareTree("upgrade-before")
	r.compareByFile("upgrade-before")
	r.compareInfo(in, "upgrade-before")
}

func TestFullUpgrade(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		stays bool
	}{{"upgrade-pkgin-24.12.0", true}, {"upgrade-pkgin-26.4.0", false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.before()
			r.verify("always")
			r.story = story{}
			in := r.installer(repo2024, func(o *Options) { o.KeepSuperseded = tt.stays })
			r.must(in.FullUpgrade(t.Context()))
			r.must(in.Finish(t.Context()))
			r.compareTree(tt.name)
			r.compareByFile(tt.name)
			r.compareInfo(in, tt.name)

			// Again: nothing to do, nothing changed.
			changes := len(in.Changes())
			again := r.installer(repo2024, func(o *Options) { o.KeepSuperseded = tt.stays })
			r.must(again.FullUpgrade(t.Context()))
			r.must(again.Finish(t.Context()))
			if n := len(again.Changes()); n != 0 || changes == 0 {
				t.Errorf("%d changes, then again %d", changes, n)
			}
			r.compareTree(tt.name)
		})
	}
}

func TestAddOverBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.before()
	r.verify("always")
	r.story = story{}
	in := r.installer(repo2024)
	r.add(in, "coreutils", "curl", "gsed", "patch", "sudo")
	r.compareTree("pkg_add-U-over-before")
	r.compareInfo(in, "pkg_add-U-over-before")
	r.compareStory("pkg_add-U-over-before")
}
