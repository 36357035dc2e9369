package install_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/install"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
)

// The sandbox's images and repositories, and what the genuine tools made of
// them (README.md beside the recordings).
const (
	sandboxData = "../../sandbox/data"
	recordings  = "../../build/testdata/expected"
)

var five = []string{"coreutils", "curl", "gsed", "patch", "sudo"}

var flavors = []struct {
	name, image, version, uuid, repo string
	upgrade                          bool
	packages                         []string
}{
	{"triton-origin-multiarch-15.4.1", "minimal-multiarch-lts", "15.4.1", "ede31770-e19c-11e5-bb6e-3b7de3cca9ce", "2015Q4/multiarch", false,
		[]string{"coreutils-8.23nb2", "curl-7.51.0", "gsed-4.2.2nb4", "patch-2.7.5", "sudo-1.8.15"}},
	{"triton-origin-x86_64-18.4.0", "minimal-64-lts", "18.4.0", "c2c31b00-1d60-11e9-9a77-ff9f06554b0f", "2018Q4/x86_64", true, five},
	{"triton-origin-x86_64-19.4.0", "minimal-64-lts", "19.4.0", "5417ab20-3156-11ea-8b19-2b66f5e7a439", "2019Q4/x86_64", true, five},
	{"triton-origin-x86_64-21.4.0", "minimal-64-lts", "21.4.0", "a7199134-7e94-11ec-be67-db6f482136c2", "2021Q4/x86_64", true, five},
	{"triton-origin-x86_64-23.4.0", "minimal-64-lts", "23.4.0", "5e4c3f98-aca4-11ee-9db8-00151714048c", "2023Q4/x86_64", true, five},
	{"triton-origin-x86_64-24.4.1", "minimal-64-lts", "24.4.1", "41bd4100-eb86-409a-85b0-e649aadf6f62", "2024Q4/x86_64", true, five},
}

type warnings struct{ texts []string }

func (w *warnings) Infof(string, ...any) {}
func (w *warnings) Warnf(format string, args ...any) {
	w.texts = append(w.texts, fmt.Sprintf(format, args...))
}

func gunzip(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSandbox does the package steps of every sandbox flavor and compares with
// what the genuine tools made: the whole tree, pkg_info, who requires whom, and
// the database of files. Two flavors have no recording; they must go through.
func TestSandbox(t *testing.T) {
	t.Parallel()
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range flavors {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			stream := gunzip(t, filepath.Join(sandboxData, "images", f.uuid, "file.zfs.gz"))
			ds, err := dataset.Read(ctx, []dataset.Layer{{R: bytes.NewReader(stream), Size: int64(len(stream)), Name: f.uuid}}, dataset.ReadOptions{})
			must(t, err)
			tree, err := ds.Tree(fstree.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
			must(t, err)
			root, err := tree.Sub("root")
			must(t, err)
			spool, err := fstree.NewSpool(t.TempDir())
			must(t, err)
			defer spool.Close()
			repos, err := repository.OpenSet([]string{filepath.Join(sandboxData, "pkgsrc/SmartOS", f.repo, "All")}, repository.Options{})
			must(t, err)
			var said warnings
			in, err := install.New(ctx, install.Options{Root: root, Repos: repos, Spool: spool, Log: &said})
			must(t, err)
			if f.upgrade {
				must(t, in.FullUpgrade(ctx))
			}
			must(t, in.Add(ctx, f.packages))
			must(t, in.Finish(ctx))

			for _, w := range said.texts {
				if !strings.Contains(w, "was changed, left alone") {
					t.Errorf("warning: %s", w)
				}
			}
			for _, c := range in.Changes() {
				if !c.Removed && (!c.Signed || c.SHA256 == "" || c.Size == 0) {
					t.Errorf("change without its facts: %+v", c)
				}
			}
			dir := filepath.Join(recordings, f.name)
			if _, err := os.Stat(dir); err != nil {
				if n := len(in.Changes()); n < len(f.packages) {
					t.Errorf("%d changes only", n)
				}
				return
			}
			finish(t, tree, f.name, f.image+"@"+f.version)
			compareSandbox(t, in, tree, dir)
		})
	}
}

// finish does the rest of what was recorded.
func finish(t *testing.T, tree *fstree.Tree, flavor, origin string) {
	t.Helper()
	vulns, err := os.ReadFile(filepath.Join(sandboxData, "vulns/pkg-vulnerabilities.gz"))
	if err != nil {
		t.Fatal(err)
	}
	motd := fmt.Sprintf(" =  T R I T O N  =\n\n    %s (master-20260101T000000Z-g0000000)\n    https://example.invalid/engbld.git\n    %s\n\n", flavor, origin)
	for _, err := range []error{
		tree.WriteFile("root/opt/local/pkg/pkg-vulnerabilities", vulns, 0o644),
		tree.WriteFile("root/etc/motd", []byte(motd), 0o644),
		tree.RemoveAll("root/var/db/pkgin"),
		tree.RemoveAll("config"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

var shaOf = regexp.MustCompile(`(size=\d+ nlink=\d+) sha256=[0-9a-f]+ (\./root/opt/local/pkg/pkgdb\.byfile\.db)$`)

func compareSandbox(t *testing.T, in *install.Installer, tree *fstree.Tree, dir string) {
	t.Helper()
	got, err := dataset.Listing(t.Context(), tree, dataset.ListOptions{NoTimes: true})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(gunzip(t, filepath.Join(dir, "tree.listing.gz"))), "\n"), "\n")
	order := func(lines []string) []string {
		for i, l := range lines {
			lines[i] = shaOf.ReplaceAllString(l, "$1 $2") // its bytes differ from run to run
		}
		slices.Sort(lines)
		return lines
	}
	got, want = order(got), order(want)
	for i, l := range got {
		// +REQUIRED_BY has the order of directory entries after an upgrade.
		_, name, _ := strings.Cut(l, " ./")
		if !strings.HasSuffix(name, "/+REQUIRED_BY") {
			continue
		}
		if j := slices.IndexFunc(want, func(w string) bool { return strings.HasSuffix(w, " ./"+name) }); j >= 0 && permutation(t, tree, name, want[j]) {
			got[i] = want[j]
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tree (-recorded +ours):\n%s", diff)
	}
	info, err := in.DB().Info()
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := os.ReadFile(filepath.Join(dir, "pkg_info"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(recorded), info); diff != "" {
		t.Errorf("pkg_info (-recorded +ours):\n%s", diff)
	}
	raw, err := tree.ReadFile("root/opt/local/pkg/pkgdb.byfile.db", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := pkgdb.ReadByFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	var dump []string
	for _, p := range pairs {
		dump = append(dump, fmt.Sprintf("file: %s pkg: %s\n", p.Path, p.Package))
	}
	slices.Sort(dump)
	if diff := cmp.Diff(slices.Sorted(strings.Lines(string(gunzip(t, filepath.Join(dir, "byfile.gz"))))), dump); diff != "" {
		t.Errorf("database of files (-recorded +ours):\n%s", diff)
	}
	var required []string
	for _, name := range in.Installed() {
		r, err := in.DB().Record(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, by := range r.RequiredBy {
			required = append(required, name+"\t"+by+"\n")
		}
	}
	slices.Sort(required)
	rawRequired, err := os.ReadFile(filepath.Join(dir, "required_by"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(strings.Lines(string(rawRequired))), required); diff != "" {
		t.Errorf("required_by (-recorded +ours):\n%s", diff)
	}
}

// permutation tells whether some order of a file's lines has the hash in want.
func permutation(t *testing.T, tree *fstree.Tree, name, want string) bool {
	t.Helper()
	b, err := tree.ReadFile(name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(b)))
	var try func(k int) bool
	try = func(k int) bool {
		if k == len(lines) {
			h := sha256.Sum256([]byte(strings.Join(lines, "")))
			return strings.Contains(want, "sha256="+hex.EncodeToString(h[:]))
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
	return len(lines) <= 8 && try(0)
}
