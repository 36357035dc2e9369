package build

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/google/go-cmp/cmp"
)

// noSecret looks into all files of a directory, those in gzip too.
func noSecret(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if z, err := gzip.NewReader(bytes.NewReader(raw)); err == nil {
			if raw, err = io.ReadAll(z); err != nil {
				return err
			}
		}
		if bytes.Contains(raw, []byte("s3cret")) {
			t.Errorf("%s holds the secret", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSecretsOfAddresses: what the addresses of repository and list hold besides
// the place works, with and without a lock, and is in no product, record or line.
func TestSecretsOfAddresses(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{})
	b.opts.PackageSource = "https://ci:s3cret@pkgsrc.example.invalid/packages/SmartOS/$release/$arch/All"
	b.opts.VulnSource = "https://ci:s3cret@pkgsrc.example.invalid/vulns/pkg-vulnerabilities.gz?code=s3cret#s3cret"
	b.opts.WriteLock = true
	r := b.request(t, locked)
	l := b.lock(t, r)
	if bytes.Contains(l.Encode(), []byte("s3cret")) || l.Vulnerabilities == nil ||
		l.Vulnerabilities.URL != "https://pkgsrc.example.invalid/vulns/pkg-vulnerabilities.gz" {
		t.Errorf("%s", l.Encode())
	}
	want := outputs(t, b.build(t, r))
	b.opts.Lock, b.opts.Out = l, t.TempDir()
	if d := cmp.Diff(want, outputs(t, b.build(t, r))); d != "" {
		t.Error("built with the lock it has other bytes")
	}
	noSecret(t, b.opts.Out)
	noSecret(t, b.opts.PackageCache)
	if s := b.story.String(); strings.Contains(s, "s3cret") {
		t.Error(s)
	}
}

func TestSecretsInFailures(t *testing.T) {
	t.Parallel()
	const list = "https://ci:s3cret@pkgsrc.example.invalid/vulns/pkg-vulnerabilities.gz?code=s3cret"
	for _, c := range []struct {
		name, source, list string
		fault              sandbox.Fault
		want               string
	}{
		{"no list", "", list, sandbox.Fault{Path: "/vulns/**", Status: 404}, "pkgsrc.example.invalid/vulns"},
		{"list of nothing", "", list, sandbox.Fault{Path: "/vulns/**", Status: 200, Body: "#FORMAT 1.0.0\nno list\n"}, "list https://pkgsrc.example.invalid/vulns"},
		{"no address of a list", "", "https://ci:s3cret/s3cret@pkgsrc.example.invalid", sandbox.Fault{}, "https://pkgsrc.example.invalid"},
		{"no repository", "https://ci:s3cret@pkgsrc.example.invalid/nosuch/All", "", sandbox.Fault{}, "https://pkgsrc.example.invalid/nosuch/All"},
		{"no address of a repository", "https://ci:s3cret/s3cret@pkgsrc.example.invalid/All", "", sandbox.Fault{}, "https://pkgsrc.example.invalid/All"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var faults sandbox.Faults
			if c.fault.Path != "" {
				faults.Add(c.fault)
			}
			b := newBench(t, sandbox.Options{Faults: &faults})
			b.opts.PackageSource, b.opts.VulnSource = c.source, c.list
			_, err := Run(context.Background(), b.request(t, locked), b.opts)
			if err == nil {
				t.Fatal("no error")
			}
			all := err.Error() + "\n" + fault.Hint(err) + "\n" + b.story.String()
			if strings.Contains(all, "s3cret") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("without %q, or with the secret:\n%s", c.want, all)
			}
		})
	}
}
