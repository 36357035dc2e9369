package pkgcmd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/google/go-cmp/cmp"
)

// bigPackage is an unsigned package of some 400 KiB that does not compress.
func bigPackage(t *testing.T) []byte {
	t.Helper()
	content := make([]byte, 400<<10)
	rand.NewChaCha8([32]byte{1}).Read(content)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, m := range []struct{ name, text string }{
		{"+CONTENTS", fmt.Sprintf("@cwd /opt/local\n@name big-1.0\nshare/big\n@comment MD5:%x\n", md5.Sum(content))},
		{"+COMMENT", "Large\n"}, {"+DESC", "Large.\n"},
		{"+BUILD_INFO", "OPSYS=SunOS\nOS_VERSION=5.11\nMACHINE_ARCH=i386\nPKGTOOLS_VERSION=20091115\nPKGPATH=misc/big\n"},
		{"share/big", string(content)},
	} {
		h := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.text)), Uname: "root", Gname: "root", ModTime: testTime}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(m.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// published is the fixture as the sandbox's package server wants it.
func published(t *testing.T) fstest.MapFS {
	t.Helper()
	data := fstest.MapFS{}
	for _, repo := range []string{repo2015, repo2024} {
		entries, err := os.ReadDir(filepath.Join(fixture, repo))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			raw, err := os.ReadFile(filepath.Join(fixture, repo, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			data["pkgsrc/"+repo+"/"+e.Name()] = &fstest.MapFile{Data: raw, Mode: 0o644}
		}
	}
	data["pkgsrc/"+repo2015+"/big-1.0.tgz"] = &fstest.MapFile{Data: bigPackage(t), Mode: 0o644}
	return data
}

// TestFaults installs and upgrades from servers that misbehave: the result is
// that of a good one, or a clear error and a directory as it was.
func TestFaults(t *testing.T) {
	t.Parallel()
	data := published(t)
	other := httptest.NewServer(http.StripPrefix("/packages/", http.FileServerFS(sub(data))))
	t.Cleanup(other.Close)
	url := func(repo string) string { return "/packages/" + repo + "/" }
	both := func(file string, one sandbox.Fault) (list []sandbox.Fault) {
		for _, repo := range []string{repo2015, repo2024} {
			f := one
			f.Path = url(repo) + file
			list = append(list, f)
		}
		return list
	}
	elsewhere := func(files ...string) (list []sandbox.Fault) {
		for _, file := range files {
			for _, f := range both(file, sandbox.Fault{}) {
				f.Redirect = other.URL + f.Path
				list = append(list, f)
			}
		}
		return list
	}
	packages := []string{"curl-*.tgz", "openssl-*.tgz", "sudo-*.tgz", "big-*.tgz"}
	each := func(one sandbox.Fault) (list []sandbox.Fault) {
		for _, p := range packages {
			list = append(list, both(p, one)...)
		}
		return list
	}
	for _, tt := range []struct {
		name   string
		faults []sandbox.Fault
		fails  bool // otherwise than those of the next field, both
		knows  bool // fails where the summary says how large packages are
	}{
		{"plain", nil, false, false},
		{"slow", []sandbox.Fault{{Delay: 5 * time.Millisecond, Pause: time.Millisecond}}, false, false},
		{"cut at every 64 KiB", []sandbox.Fault{{Cut: 64 << 10}}, false, false},
		{"cut at every 64 KiB, no range at first", append(each(sandbox.Fault{Cut: 64 << 10, NoRange: true, Times: 1}), sandbox.Fault{Cut: 64 << 10}), false, false},
		{"small packages cut in pieces", both("[c-z]*.tgz", sandbox.Fault{Cut: 1500}), false, false},
		{"too long a length at first", each(sandbox.Fault{Lie: 100, Times: 1}), false, true},
		{"too long a length", each(sandbox.Fault{Lie: 100}), true, false},
		{"too short a length", both("curl-*.tgz", sandbox.Fault{Lie: -100}), true, false},
		{"no length", []sandbox.Fault{{NoLength: true}}, false, false},
		{"a byte is changed", both("curl-*.tgz", sandbox.Fault{Corrupt: 2000}), true, false},
		{"summary forms missing", append(both("pkg_summary.xz", sandbox.Fault{Status: 404}), both("pkg_summary.zst", sandbox.Fault{Status: 404})...), false, false},
		{"a summary form is damaged", append(both("pkg_summary.zst", sandbox.Fault{Corrupt: 300}), both("pkg_summary.bz2", sandbox.Fault{Corrupt: 300})...), false, false},
		{"no listing", both("", sandbox.Fault{Status: 403}), false, false},
		{"busy, then fine", append(each(sandbox.Fault{Status: 503, Times: 2}), both("pkg_summary.*", sandbox.Fault{Status: 500, Times: 1})...), false, false},
		{"busy for ever", each(sandbox.Fault{Status: 503}), true, false},
		{"hangs up, then fine", each(sandbox.Fault{Reset: true, Times: 2}), false, false},
		{"elsewhere", elsewhere("openssl-1.0.2j.tgz", "openssl-3.3.2.tgz", "pkg_summary.xz"), false, false},
		{"packages are gone", both("openssl-*.tgz", sandbox.Fault{Status: 404}), true, false},
		{"an error page as a package", both("curl-*.tgz", sandbox.Fault{Status: 200, Body: "<html>Please log in</html>"}), true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			faults := &sandbox.Faults{}
			server, err := sandbox.Start(t.Context(), sandbox.Options{Dir: t.TempDir(), Data: data, Faults: faults})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })

			// Pinned versions, no upgrade, unsigned ones allowed; no +BUILD_DATE is compared.
			b := newBench(t)
			b.world.Client = &fetch.Client{Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
			dir := b.system("never")
			args := []string{"install", "--root", dir, "--repo", server.PackageURL() + url(repo2015),
				"coreutils-8.23nb2", "curl-7.51.0", "gsed-4.2.2nb4", "patch-2.7.5", "sudo-1.8.15"}
			if tt.name != "no listing" { // it is in no summary
				args = append(args, "big")
			}
			faults.Add(tt.faults...)
			b.outcome(dir, args, tt.fails, "install-2015Q4", func(p string) bool { return strings.Contains(p, "/big") })

			// An older system, upgraded; all signed.
			dir = b.system("never")
			b.run("install", "--root", dir, "--repo", filepath.Join(fixture, before), "sudo", "curl", "patch", "oldname", "pkgin", "orphanlib")
			b.must(os.WriteFile(filepath.Join(dir, "opt/local/pkg/orphanlib-0.9/+INSTALLED_INFO"), []byte("automatic=yes\n"), 0o644))
			cnf := filepath.Join(dir, "opt/local/etc/openssl/openssl.cnf")
			raw, err := os.ReadFile(cnf)
			b.must(err)
			b.must(os.WriteFile(cnf, append(raw, "# local change\n"...), 0o644))
			args = []string{"install", "--root", dir, "--repo", server.PackageURL() + url(repo2024), "--upgrade", "--verify", "always"}
			faults.Clear()
			faults.Add(tt.faults...)
			b.outcome(dir, args, tt.fails || tt.knows, "upgrade-pkgin-26.4.0", func(string) bool { return false })
		})
	}
}

// outcome runs a command and sees that it did all it should, or nothing.
func (b *bench) outcome(dir string, args []string, fails bool, name string, besides func(path string) bool) {
	b.t.Helper()
	want := listing(b.t, dir)
	err := b.try(args...)
	if (err != nil) != fails {
		b.t.Fatalf("%s: fails %v: %v\n%q", name, !fails, err, b.warn)
	}
	if err == nil {
		want = recorded(b.t, name)
	} else {
		switch fault.KindOf(err) {
		case fault.Network, fault.Step, fault.Policy:
			b.t.Logf("%s: %v", name, err)
		default:
			b.t.Errorf("%s: kind %d: %v", name, fault.KindOf(err), err)
		}
	}
	have := listing(b.t, dir)
	for _, m := range []map[string]string{want, have} {
		maps.DeleteFunc(m, func(p, _ string) bool { return besides(p) })
		for p := range m {
			if strings.HasSuffix(p, "/+REQUIRED_BY") { // the order in it is that of a directory
				m[p] = p
			}
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		b.t.Errorf("%s (-want +have) %s", name, diff)
	}
}

// sub is the part of the data below pkgsrc.
func sub(data fstest.MapFS) fstest.MapFS {
	out := fstest.MapFS{}
	for name, f := range data {
		out[strings.TrimPrefix(name, "pkgsrc/")] = f
	}
	return out
}
