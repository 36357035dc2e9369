package bits_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/bits/storetest"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/google/go-cmp/cmp"
)

func TestDir(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) bits.Store { return bits.OpenDir(filepath.Join(t.TempDir(), "a b", "comp")) },
		func(t *testing.T, s bits.Store, name string) string {
			got, err := os.Readlink(s.Address(name))
			if err != nil {
				t.Fatal(err)
			}
			return got
		})
}

// component makes a bits directory with one build.
func component(t *testing.T) (dir, dest string) {
	t.Helper()
	top := t.TempDir()
	dir, dest = filepath.Join(top, "bits"), filepath.Join(top, "out", "comp")
	write(t, dir, map[string]string{
		"comp/latest-build-stamp":     "master-20200101T000000Z-g0000000\n",
		"comp/a.tgz":                  "one\n",
		"comp/sub/with space.tgz":     "two\n",
		"comp/.engbld-half-made":      "no\n",
		"comp/.engbld-dir/left":       "no\n",
		"other/o":                     "other\n",
		"artifacts.txt":               "of the last upload\n",
		"comp/sub/back\\slash\nlines": "three\n",
	})
	if err := os.MkdirAll(filepath.Join(dir, "comp/empty"), 0o777); err != nil {
		t.Fatal(err)
	}
	return dir, dest
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// tree lists what is below dir: directories with a slash, links with where
// they lead.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return nil
		}
		name, _ := filepath.Rel(dir, p)
		switch {
		case d.IsDir():
			name += "/"
		case d.Type() == fs.ModeSymlink:
			to, _ := os.Readlink(p)
			name += " -> " + to
		}
		all = append(all, name)
		return nil
	})
	sort.Strings(all)
	return all
}

func request(dir string) bits.Request {
	return bits.Request{Branch: "master", Name: "comp", Dir: dir}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	dir, dest := component(t)
	const stamp = "master-20200101T000000Z-g0000000"
	res, err := bits.Upload(t.Context(), bits.OpenDir(dest), request(dir))
	if err != nil {
		t.Fatal(err)
	}
	if res.Stamp != stamp || len(res.Files) != 5 {
		t.Errorf("result: %+v", res)
	}
	want := []string{
		"master-latest -> " + stamp, stamp + "/", stamp + "/comp/", stamp + "/comp/a.tgz", stamp + "/comp/empty/",
		stamp + "/comp/latest-build-stamp", stamp + "/comp/sub/", stamp + "/comp/sub/back\\slash\nlines", stamp + "/comp/sub/with space.tgz",
		stamp + "/md5sums.txt", stamp + "/other/", stamp + "/other/o",
	}
	sort.Strings(want)
	if d := cmp.Diff(want, tree(t, dest)); d != "" {
		t.Errorf("the store (-want +got):\n%s", d)
	}
	sums, _ := os.ReadFile(filepath.Join(dest, stamp, "md5sums.txt"))
	for _, line := range []string{
		"5bbf5a52328e7439ae6e719dfe712200 " + dir + "/comp/a.tgz\n",
		"c193497a1a06b2c72230e6146ff47080 " + dir + "/comp/sub/with space.tgz\n",
		"\\febe6995bad457991331348f7b9c85fa " + dir + "/comp/sub/back\\\\slash\\nlines\n",
	} {
		if !bytes.Contains(sums, []byte(line)) {
			t.Errorf("md5sums.txt lacks %q:\n%s", line, sums)
		}
	}
	artifacts, _ := os.ReadFile(filepath.Join(dir, "artifacts.txt"))
	if !strings.Contains("\n"+string(artifacts), "\n"+dest+"/"+stamp+"/comp/a.tgz\n") || bytes.Count(artifacts, []byte("\n")) != 6 {
		t.Errorf("artifacts.txt:\n%s", artifacts)
	}

	// Again: nothing is sent, the same is there.
	req := request(dir)
	req.ListAll = true
	again, err := bits.Upload(t.Context(), bits.OpenDir(dest), req)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range again.Files {
		if f.Name != res.Files[i].Name || f.Sent || f.Sum != res.Files[i].Sum {
			t.Errorf("%s: sent %v, sum %s, want %s", f.Name, f.Sent, f.Sum, res.Files[i].Sum)
		}
	}
	if after, _ := os.ReadFile(filepath.Join(dest, stamp, "md5sums.txt")); !bytes.Equal(after, sums) {
		t.Error("md5sums.txt differs the second time")
	}
	more := string(artifacts) + dest + "/" + stamp + "/md5sums.txt\n" + dest + "/master-latest\n"
	if all, _ := os.ReadFile(filepath.Join(dir, "artifacts.txt")); string(all) != more {
		t.Errorf("artifacts.txt with everything in it:\n%s", all)
	}
}

func TestUploadNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		edit func(*bits.Request)
		want []string // names in the destination, sorted; nil: an error
		hint string
	}{
		{"stamp given", func(r *bits.Request) { r.Stamp = "s1" }, []string{"master-latest -> s1", "s1/"}, ""},
		{"try branch", func(r *bits.Request) { r.TryBranch = "mine"; r.Stamp = "s1" }, []string{"mine-latest -> s1", "s1/"}, ""},
		{"slash in a branch", func(r *bits.Request) { r.TryBranch = "fix/it"; r.Stamp = "s1" }, []string{"fix-it-latest -> s1", "s1/"}, ""},
		{"release", func(r *bits.Request) { r.Branch = "release-20200102"; r.Stamp = "s1" },
			[]string{"latest-release -> s1", "release-20200102-latest -> s1", "s1/"}, ""},
		{"dirty", func(r *bits.Request) { r.Stamp = "s1-dirty" }, nil, "ENGBLD_BITS_UPLOAD_ALLOW_DIRTY"},
		{"dirty allowed", func(r *bits.Request) { r.Stamp = "s1-dirty"; r.AllowDirty = true }, []string{"master-latest -> s1-dirty", "s1-dirty/"}, ""},
		{"no branch", func(r *bits.Request) { r.Branch = "" }, nil, ""},
		{"no name", func(r *bits.Request) { r.Name = "" }, nil, ""},
		{"stamp is a path", func(r *bits.Request) { r.Stamp = "../s1" }, nil, ""},
		{"no stamp", func(r *bits.Request) { r.Name = "other" }, nil, "prepublish"},
		{"nothing there", func(r *bits.Request) { r.Stamp = "s1"; r.Subdirs = []string{"nosuch"} }, nil, "publish"},
		{"subdir outside", func(r *bits.Request) { r.Stamp = "s1"; r.Subdirs = []string{"../bits/../out"} }, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, dest := component(t)
			req := request(dir)
			tt.edit(&req)
			_, err := bits.Upload(t.Context(), bits.OpenDir(dest), req)
			if (err != nil) != (tt.want == nil) || !strings.Contains(fault.Hint(err), tt.hint) {
				t.Fatalf("error %v, hint %q", err, fault.Hint(err))
			}
			var got []string
			for _, n := range tree(t, dest) {
				if !strings.Contains(strings.SplitN(n, " ", 2)[0], "/") || strings.Count(n, "/") == 1 && strings.HasSuffix(n, "/") {
					got = append(got, n)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("the destination (-want +got):\n%s", d)
			}
		})
	}
}

func TestUploadSubdir(t *testing.T) {
	t.Parallel()
	dir, dest := component(t)
	req := request(dir)
	req.Stamp, req.Subdirs = "s1", []string{"comp/sub", "nosuch", "comp/sub/"}
	if _, err := bits.Upload(t.Context(), bits.OpenDir(dest), req); err != nil {
		t.Fatal(err)
	}
	want := []string{"master-latest -> s1", "s1/", "s1/comp/", "s1/comp/sub/", "s1/comp/sub/back\\slash\nlines", "s1/comp/sub/with space.tgz", "s1/md5sums.txt"}
	if d := cmp.Diff(want, tree(t, dest)); d != "" {
		t.Errorf("the store (-want +got):\n%s", d)
	}
}

// A file that is there with another content is found before anything is sent.
func TestUploadConflict(t *testing.T) {
	t.Parallel()
	dir, dest := component(t)
	req := request(dir)
	req.Stamp = "s1"
	if _, err := bits.Upload(t.Context(), bits.OpenDir(dest), req); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dest)
	write(t, dir, map[string]string{"comp/a.tgz": "changed\n", "other/o": "OTHER\n", "comp/0-new": "new\n"})
	_, err := bits.Upload(t.Context(), bits.OpenDir(dest), req)
	if !errors.Is(err, bits.ErrConflict) || strings.Count(err.Error(), "another content") != 2 {
		t.Errorf("error: %v", err)
	}
	if d := cmp.Diff(before, tree(t, dest)); d != "" {
		t.Errorf("the store changed (-before +after):\n%s", d)
	}
}

// faulty is a store whose n-th Put fails.
type faulty struct {
	bits.Store
	left int
}

func (f *faulty) Put(ctx context.Context, name string, file bits.File) (bits.Sum, error) {
	if f.left--; f.left < 0 {
		return bits.Sum{}, fault.Network.Errorf("cut off")
	}
	return f.Store.Put(ctx, name, file)
}

// Whenever an upload is cut off, no pointer leads to it, and the same command
// finishes it.
func TestUploadResumed(t *testing.T) {
	t.Parallel()
	for n := range 5 {
		dir, dest := component(t)
		req := request(dir)
		req.Stamp, req.Parallel = "s1", 1
		if _, err := bits.Upload(t.Context(), &faulty{bits.OpenDir(dest), n}, req); fault.KindOf(err) != fault.Network {
			t.Fatalf("error: %v", err)
		}
		for _, name := range tree(t, dest) {
			if strings.Contains(name, "latest ") || strings.Contains(name, ".engbld-") || strings.Contains(name, "md5sums") {
				t.Errorf("cut off at file %d: %s is there", n, name)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "artifacts.txt")); err == nil {
			t.Error("the list of the last upload is still there")
		}
		res, err := bits.Upload(t.Context(), bits.OpenDir(dest), req)
		if err != nil {
			t.Fatal(err)
		}
		sent := 0
		for _, f := range res.Files {
			if f.Sent {
				sent++
			}
		}
		if sent != 5-n {
			t.Errorf("cut off at file %d: %d files were sent the second time", n, sent)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	dir, dest := component(t)
	tests := []struct {
		name string
		args []string
		want string // in the error
	}{
		{"usual", []string{"-b", "master", "-B", "", "-L", "-d", dest, "-D", dir, "-n", "comp", "-t", "s1"}, ""},
		{"no destination", []string{"-b", "master", "-L", "-D", dir, "-n", "comp"}, "-d"},
		{"publish from a directory", []string{"-b", "master", "-L", "-p", "-d", dest, "-D", dir, "-n", "comp"}, "-L"},
		{"publish", []string{"-b", "master", "-p", "-d", dest, "-D", dir, "-n", "comp"}, "publishing needs"},
		{"no store", []string{"-b", "master", "-d", dest, "-D", dir, "-n", "comp"}, "object store"},
		{"unknown option", []string{"-Z"}, "unknown"},
	}
	for _, tt := range tests {
		cmd := bits.Command(bits.Deps{})
		cmd.SetArgs(tt.args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.ExecuteContext(t.Context())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

// What is asked before an upload can end it; nothing is in the store then.
func TestCommandBefore(t *testing.T) {
	t.Parallel()
	from, dest := t.TempDir(), filepath.Join(t.TempDir(), "dest")
	if err := os.WriteFile(filepath.Join(from, "x"), []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	no := errors.New("no")
	var got bits.Use
	var req bits.Request
	cmd := bits.Command(bits.Deps{
		Publish: func(context.Context, bits.Store, bits.Request, *bits.Result) error { t.Error("published"); return nil },
		Open:    func(context.Context, string) (bits.Store, error) { t.Error("a store was opened"); return nil, no },
		Before: func(_ context.Context, r bits.Request, use bits.Use) error {
			got, req = use, r
			return no
		},
	})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	for _, tc := range []struct {
		flag string
		want bits.Use
	}{{"-L", bits.Use{Local: true}}, {"-p", bits.Use{Publish: true}}} {
		cmd.SetArgs([]string{"-b", "main", "-d", dest, "-n", "x", "-D", from, "-t", "s", tc.flag, "-L=" + fmt.Sprint(tc.want.Local)})
		if err := cmd.Execute(); !errors.Is(err, no) {
			t.Errorf("%s: %v", tc.flag, err)
		}
		if got != tc.want || req.Dir != from || req.Branch != "main" {
			t.Errorf("%s: asked about %+v, %+v", tc.flag, got, req)
		}
	}
	if _, err := os.Stat(dest); err == nil {
		t.Error("something was uploaded")
	}
}
