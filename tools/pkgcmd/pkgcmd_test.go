package pkgcmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/google/go-cmp/cmp"
)

func TestInstall(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.system("always")
	b.conf(dir, "always", filepath.Join(b.env.Dir, fixture, repo2024))
	got := b.run("install", "--root", dir, "coreutils", "curl", "gsed", "patch", "sudo")
	if !strings.HasPrefix(got, "installed libiconv-1.17\ninstalled gettext-lib-0.22.5\n") || !strings.HasSuffix(got, "installed sudo-1.9.16p2nb1\n") {
		t.Errorf("answer %q", got)
	}
	if diff := cmp.Diff(recorded(t, "install-2024Q4"), listing(t, dir)); diff != "" {
		t.Errorf("(-recorded +ours) %s", diff)
	}
	if got, want := b.run("list", dir), recording(t, "install-2024Q4.pkg_info"); got != want {
		t.Errorf("list: %s", cmp.Diff(want, got))
	}
	var list []listed
	b.must(json.Unmarshal([]byte(b.run("list", "--json", dir)), &list))
	if i := slices.IndexFunc(list, func(l listed) bool { return l.Name == "openssl" }); i < 0 || !list[i].Automatic || list[i].Version != "3.3.2" {
		t.Errorf("list --json: %+v", list)
	}

	// The audit, as recorded.
	for _, name := range []string{"pkg-vulnerabilities", "pkg-vulnerabilities.gz", "pkg-vulnerabilities.plain"} {
		err := b.try("audit", "--list", filepath.Join(fixture, "vulns", name), dir)
		if fault.KindOf(err) != fault.Policy || !strings.HasSuffix(err.Error(), "7 findings in 7 packages") {
			t.Errorf("audit %s: %v", name, err)
		}
		lines := slices.Sorted(strings.Lines(b.out.String()))
		want := strings.ReplaceAll(recording(t, "audit-2024Q4.stdout"), "<EOL-PAGE>", eolPage)
		if diff := cmp.Diff(slices.Sorted(strings.Lines(want)), lines); diff != "" {
			t.Errorf("audit %s: %s", name, diff)
		}
	}
	if err := b.try("audit", "--list", filepath.Join(fixture, "vulns/pkg-vulnerabilities.badsum"), dir); fault.KindOf(err) != fault.Network {
		t.Errorf("bad sum: %v", err)
	}
	if err := b.try("audit", dir); fault.KindOf(err) != fault.Step || !strings.Contains(fault.Hint(err), "--fetch") {
		t.Errorf("no list: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(fixture, "vulns/pkg-vulnerabilities.gz"))
	b.must(err)
	b.must(os.WriteFile(filepath.Join(dir, "opt/local/pkg/pkg-vulnerabilities"), raw, 0o644))
	if err := b.try("audit", "--json", dir, "curl", "sudo"); fault.KindOf(err) != fault.Policy {
		t.Errorf("audit of its own: %v", err)
	}
	var found []finding
	b.must(json.Unmarshal(b.out.Bytes(), &found))
	if len(found) != 2 || found[1].Package != "sudo-1.9.16p2nb1" || found[1].Class != "security-bypass" {
		t.Errorf("audit --json: %+v", found)
	}
	if err := b.try("audit", dir, "libiconv"); err != nil || b.out.Len() != 0 || len(b.info) != 1 {
		t.Errorf("audit of libiconv: %q %q %v", b.out.String(), b.info, err)
	}
	if err := b.try("search", "--repo", "", dir, "x"); fault.KindOf(err) != fault.Usage {
		t.Errorf("a repository without address: %v", err)
	}
	if err := b.try("audit", dir, "libicon"); err != nil || !slices.Equal(b.warn, []string{`no package "libicon" is installed in ` + dir}) {
		t.Errorf("audit of what is not there: %q, %v", b.warn, err)
	}
	if err := b.try("audit", dir, "{curl"); fault.KindOf(err) != fault.Usage || strings.Contains(err.Error(), "list") {
		t.Errorf("audit of a bad pattern: %v (kind %d)", err, fault.KindOf(err))
	}
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("#FORMAT 1.1.0\ncurl{<1 dos http://h/1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := b.try("audit", "--list", file, dir); fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), "vulnerability list "+file) {
		t.Errorf("audit with a bad list: %v (kind %d)", err, fault.KindOf(err))
	}
	if err := b.try("audit", "--signed", dir); fault.KindOf(err) != fault.Policy || !strings.Contains(err.Error(), "GPG_KEYRING_PKGVULN") {
		t.Errorf("audit --signed: %v", err)
	}

	// One package again: nothing else changes.
	was := listing(t, dir)
	if got := b.run("install", "--root", dir, "patch"); got != "refreshed patch-2.7.6nb1\n" {
		t.Errorf("again: %q", got)
	}
	if diff := cmp.Diff(was, listing(t, dir)); diff != "" {
		t.Errorf("again (-was +is) %s", diff)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.system("always")
	b.run("install", "--root", dir, "--repo", filepath.Join(fixture, repo2024), "sudo", "dbsvc")
	text := b.run("info", dir, "sudo")
	for _, want := range []string{
		"name:        sudo-1.9.16p2nb1\n", "installed:   asked for\n", "files:       7\n", "needs:       gettext-lib>=0.22\n",
		"             PKGPATH=security/sudo\n", "\nStand-in notice: edit the rules with visudo.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("info has no %q:\n%s", want, text)
		}
	}
	if got := b.run("info", "--files", dir, "sudo>=1"); !strings.HasPrefix(got, "/opt/local/bin/sudo\n/opt/local/bin/sudoedit\n") {
		t.Errorf("info --files: %q", got)
	}
	var infos []info
	b.must(json.Unmarshal([]byte(b.run("info", "--json", dir, "lib*", "gettext-lib", "libiconv")), &infos))
	if len(infos) != 2 || infos[0].Name != "libiconv-1.17" || !infos[0].Automatic || !slices.Equal(infos[0].RequiredBy, []string{"gettext-lib-0.22.5"}) {
		t.Errorf("info --json: %+v", infos)
	}
	if err := b.try("info", dir, "sudo", "nosuch"); fault.KindOf(err) != fault.Usage || b.out.Len() != 0 {
		t.Errorf("info nosuch: %v", err)
	}
	if err := b.try("info", dir, "{"); fault.KindOf(err) != fault.Usage {
		t.Errorf("info {: %v", err)
	}
}

// What a package says of itself moves no cursor; JSON has it as it is.
func TestPlainText(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.system("never")
	b.run("install", "--root", dir, "--repo", filepath.Join(fixture, repo2024), "libiconv")
	record := filepath.Join(dir, "opt/local/pkg/libiconv-1.17")
	for _, name := range []string{"+COMMENT", "+DESC"} {
		b.must(os.Chmod(filepath.Join(record, name), 0o644)) // an archive's files are to be read only
	}
	b.must(os.WriteFile(filepath.Join(record, "+COMMENT"), []byte("cleared\x1b[2J \u00fc\u202e\n"), 0o644))
	b.must(os.WriteFile(filepath.Join(record, "+DESC"), []byte("line\n\ttab\x1b]0;title\a\n"), 0o644))
	b.must(os.WriteFile(filepath.Join(dir, "vulnerabilities"), []byte("#FORMAT 1.1.0\nlibiconv<9 odd\u009bclass https://example.invalid/\n"), 0o644))
	for _, args := range [][]string{{"list", dir}, {"info", dir, "libiconv"}} {
		got := b.run(args...)
		if strings.ContainsAny(got, "\x1b\a\u202e\u009b") || !strings.Contains(got, `cleared\033[2J ü`) {
			t.Errorf("%q: %q", args, got)
		}
		if args[0] == "info" && !strings.Contains(got, "line\n\ttab\\033]") {
			t.Errorf("info: %q", got)
		}
	}
	_ = b.try("audit", "--list", filepath.Join(dir, "vulnerabilities"), dir)
	if got := b.out.String(); strings.ContainsAny(got, "\u009b") || !strings.Contains(got, "libiconv-1.17") {
		t.Errorf("audit: %q", got)
	}
	if got := b.run("list", "--json", dir); !strings.Contains(got, `cleared\u001b[2J`) {
		t.Errorf("list --json: %q", got)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.system("never")
	b.conf(dir, "never", filepath.Join(b.env.Dir, fixture, before))
	b.run("install", "--root", dir, "curl", "oldname")
	want := "curl-8.11.0              =  Client that groks URLs (stand-in)\n"
	if got := b.run("search", dir, "curl"); got != want {
		t.Errorf("own: %q", got)
	}
	now := []string{"--repo", filepath.Join(fixture, repo2024), dir}
	want = "curl-8.11.1              <  Client that groks URLs (stand-in)\n"
	if got := b.run(append([]string{"search"}, append(now, "CURL")...)...); got != want {
		t.Errorf("newer: %q", got)
	}
	var hits []hit
	b.must(json.Unmarshal([]byte(b.run(append([]string{"search", "--json"}, append(now, "lib*")...)...)), &hits))
	byName := map[string]hit{}
	for _, h := range hits {
		byName[h.Name] = h
	}
	if h := byName["libidn2"]; !h.Upgrade || h.Installed != h.Version { // built at another time
		t.Errorf("libidn2: %+v", h)
	}
	if h := byName["libiconv"]; h.Upgrade || h.Installed != "1.17" || h.Path != "converters/libiconv" {
		t.Errorf("libiconv: %+v", h)
	}
	if err := b.try("search", dir, "nosuch"); fault.KindOf(err) != fault.Network {
		t.Errorf("nosuch: %v", err)
	}
	b.conf(dir, "never", "")
	if err := b.try("search", dir, "curl"); fault.KindOf(err) != fault.Step || !strings.Contains(fault.Hint(err), "--repo") {
		t.Errorf("no repository: %v", err)
	}
	b.world.Source = filepath.Join(fixture, repo2024)
	if got := b.run("search", dir, "newname"); !strings.HasPrefix(got, "newname-2.0 ") {
		t.Errorf("from the environment: %q", got)
	}
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.system("never")
	b.run("install", "--root", dir, "--repo", filepath.Join(fixture, before), "sudo", "curl", "patch", "oldname", "pkgin", "orphanlib")
	b.must(os.WriteFile(filepath.Join(dir, "opt/local/pkg/orphanlib-0.9/+INSTALLED_INFO"), []byte("automatic=yes\n"), 0o644))
	cnf, err := os.OpenFile(filepath.Join(dir, "opt/local/etc/openssl/openssl.cnf"), os.O_APPEND|os.O_WRONLY, 0)
	b.must(err)
	_, err = cnf.WriteString("# local change\n")
	b.must(err)
	b.must(cnf.Close())
	if diff := cmp.Diff(recorded(t, "upgrade-before"), listing(t, dir)); diff != "" {
		t.Fatalf("before (-recorded +ours) %s", diff)
	}
	was := listing(t, dir)
	now := filepath.Join(fixture, repo2024)
	dry := b.run("install", "--root", dir, "--repo", now, "--upgrade", "--verify", "always", "--dry-run")
	if diff := cmp.Diff(was, listing(t, dir)); diff != "" {
		t.Errorf("--dry-run wrote: %s", diff)
	}
	got := b.run("install", "--root", dir, "--repo", now, "--upgrade", "--verify", "always")
	if got != dry || !strings.Contains(got, "upgraded openssl-3.3.1nb2 to openssl-3.3.2\n") || !strings.Contains(got, "removed oldname-1.0\n") ||
		!strings.Contains(got, "refreshed libidn2-2.3.7\n") {
		t.Errorf("answers:\n%s\n%s", dry, got)
	}
	want, have := recorded(t, "upgrade-pkgin-26.4.0"), listing(t, dir)
	for _, m := range []map[string]string{want, have} {
		for p := range m {
			if strings.HasSuffix(p, "/+REQUIRED_BY") { // the order in it is that of a directory
				m[p] = p
			}
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("(-recorded +ours) %s", diff)
	}
	if got := b.run("install", "--root", dir, "--repo", now, "--upgrade"); got != "" {
		t.Errorf("again: %q", got)
	}
}

func TestSkeleton(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	repo := filepath.Join(fixture, repo2024)
	dir := filepath.Join(t.TempDir(), "new")
	install := []string{"install", "--root", dir, "--repo", repo, "curl"}
	if err := b.try(install...); fault.KindOf(err) != fault.Usage || !strings.Contains(fault.Hint(err), "--skeleton") {
		t.Errorf("missing: %v", err)
	}
	b.must(os.Mkdir(dir, 0o755))
	if err := b.try(install...); fault.KindOf(err) != fault.Usage || !strings.Contains(fault.Hint(err), "--skeleton") {
		t.Errorf("empty: %v", err)
	}
	b.must(os.WriteFile(filepath.Join(dir, "precious"), nil, 0o644))
	install = append(install, "--skeleton")
	if err := b.try(install...); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("not empty: %v", err)
	}
	b.must(os.RemoveAll(dir))
	if err := b.try(install...); fault.KindOf(err) != fault.Policy || !strings.Contains(fault.Hint(err), "--keyring") {
		t.Errorf("no keyring: %v", err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("a directory is left from a failure")
	}
	install = append(install, "--keyring", filepath.Join(fixture, "keys/fixture.gpg"))
	if b.run(append(install, "--dry-run")...); exists(dir) {
		t.Error("--dry-run made the directory")
	}
	b.run(install...)
	for _, p := range []string{"etc/shadow", "opt/local/bin/curl", "tmp", "opt/local/etc/gnupg/pkgsrc.gpg"} {
		if !exists(filepath.Join(dir, p)) {
			t.Errorf("no %s", p)
		}
	}
	// It has all it needs from now on.
	if got := b.run("install", "--root", dir, "patch"); got != "installed patch-2.7.6nb1\n" {
		t.Errorf("%q", got)
	}
	// A whole dataset holds its system in root.
	if err := b.try("install", "--root", filepath.Dir(moved(t, dir)), "patch"); fault.KindOf(err) != fault.Usage || !strings.HasSuffix(fault.Hint(err), "/root") {
		t.Errorf("a dataset: %v", err)
	}
}

func exists(name string) bool { _, err := os.Lstat(name); return err == nil }

func moved(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "root")
	if err := os.Rename(dir, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// Whatever is wrong, the directory is as it was.
func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		want fault.Kind
	}{
		{"bad signature", []string{"curl", "badsig"}, fault.Policy},
		{"unknown key", []string{"curl", "otherkey"}, fault.Policy},
		{"unsigned", []string{"curl", "badmd5"}, fault.Policy},
		{"cut short", []string{"--verify", "never", "curl", "truncated"}, fault.Step},
		{"conflict", []string{"gsed", "antigsed"}, fault.Step},
		{"circle", []string{"cycle-a"}, fault.Step},
		{"no dependency", []string{"--verify", "never", "nodeps"}, fault.Network},
		{"a script", []string{"curl", "svcdemo"}, fault.Policy},
		{"missing", []string{"curl", "nosuch"}, fault.Network},
		{"bad acceptance", []string{"--accept", "nonsense", "curl"}, fault.Usage},
		{"bad repository", []string{"--repo", "gopher://x", "curl"}, fault.Usage},
		{"bad policy", []string{"--verify", "perhaps", "curl"}, fault.Usage},
		{"keyring of its own", []string{"--keyring", "x", "curl"}, fault.Usage},
		{"nothing to do", nil, fault.Usage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			dir := b.system("always")
			was := listing(t, dir)
			err := b.try(append([]string{"install", "--root", dir, "--repo", filepath.Join(fixture, repo2024)}, tt.args...)...)
			if fault.KindOf(err) != tt.want || err == nil {
				t.Errorf("kind %d, want %d: %v", fault.KindOf(err), tt.want, err)
			}
			if diff := cmp.Diff(was, listing(t, dir)); diff != "" {
				t.Errorf("changed: %s", diff)
			}
			if b.out.Len() != 0 {
				t.Errorf("answered %q", b.out.String())
			}
		})
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.system("always")
	got := b.run("install", "--root", dir, "--repo", filepath.Join(fixture, repo2024), "--accept", "svcdemo:svccfg-import", "svcdemo")
	if got != "installed svcdemo-1.0\n" || !slices.ContainsFunc(b.warn, func(w string) bool { return strings.Contains(w, "not imported") }) {
		t.Errorf("%q %q", got, b.warn)
	}
}

// A link in the system that leads out of it leads nowhere.
func TestInstallConfined(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.system("always")
	outside := t.TempDir()
	b.must(os.Symlink(outside, filepath.Join(dir, "opt/local/share")))
	err := b.try("install", "--root", dir, "--repo", filepath.Join(fixture, repo2024), "sudo")
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Errorf("written outside: %v", entries)
	}
	t.Logf("%v", err)
	// A link to an absolute path is one below the root, as in the running system.
	dir = b.system("always")
	b.must(os.MkdirAll(filepath.Join(dir, "data/share"), 0o755))
	b.must(os.Symlink("/data/share", filepath.Join(dir, "opt/local/share")))
	b.run("install", "--root", dir, "--repo", filepath.Join(fixture, repo2024), "sudo")
	if !exists(filepath.Join(dir, "data/share/examples/sudo/sudoers")) {
		t.Error("not below the link's target")
	}
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.system("always")
	root, err := os.OpenRoot(dir)
	b.must(err)
	defer root.Close()
	unlock, err := lock(root)
	b.must(err)
	args := []string{"install", "--root", dir, "--repo", filepath.Join(fixture, repo2024), "patch"}
	if err := b.try(args...); fault.KindOf(err) != fault.Step || !strings.Contains(err.Error(), "already") {
		t.Errorf("%v", err)
	}
	unlock()
	b.must(os.WriteFile(filepath.Join(dir, "etc/.engbld-new-1"), []byte("x"), 0o600))
	b.run(args...)
	if exists(filepath.Join(dir, "etc/.engbld-new-1")) || len(b.warn) == 0 {
		t.Errorf("what a killed one left stays: %q", b.warn)
	}
}

// Only what packages need is read of a directory, wherever its settings and links
// lead to.
func TestLookAround(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := b.system("always")
	repo := filepath.Join(b.env.Dir, fixture, repo2024)
	conf := filepath.Join(dir, "opt/local/etc/pkg_install.conf")
	raw, err := os.ReadFile(conf)
	b.must(err)
	b.must(os.WriteFile(conf, append(raw, "PKG_DBDIR=/var/db/pkg\nPKG_PATH="+repo+"\n"...), 0o644))
	b.must(os.MkdirAll(filepath.Join(dir, "data/vm"), 0o755))
	b.must(os.Rename(filepath.Join(dir, "opt/local"), filepath.Join(dir, "data/vm/local")))
	b.must(os.Remove(filepath.Join(dir, "opt")))
	b.must(os.Symlink("/data/opt", filepath.Join(dir, "opt")))
	b.must(os.Mkdir(filepath.Join(dir, "data/opt"), 0o755))
	b.must(os.Symlink("../vm/local", filepath.Join(dir, "data/opt/local")))
	b.must(os.Rename(filepath.Join(dir, "var"), filepath.Join(dir, "data/var")))
	b.must(os.Symlink("data/var", filepath.Join(dir, "var")))
	b.run("install", "--root", dir, "libiconv")
	if !exists(filepath.Join(dir, "data/vm/local/lib/libiconv.so.2")) && !exists(filepath.Join(dir, "data/var/db/pkg/libiconv-1.17")) {
		t.Error("not where the links lead to")
	}
	if got := b.run("list", dir); !strings.HasPrefix(got, "libiconv-1.17 ") || len(b.warn) != 0 {
		t.Errorf("%q %q", got, b.warn)
	}
	if got := b.run("search", dir, "libiconv"); !strings.Contains(got, " =  ") {
		t.Errorf("%q", got)
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.try("list", "nothing-of-that-name"); err == nil {
		t.Error("an image without a name")
	}
	if got := b.run("list", t.TempDir()); got != "" || len(b.warn) != 1 {
		t.Errorf("an empty directory: %q %q", got, b.warn)
	}
}
