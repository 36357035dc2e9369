package build

import (
	"context"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/install"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/google/go-cmp/cmp"
)

const fixtureBase = "0d7d3cb2-8a5f-4f0e-9f5a-0c8c3f6f4d11"

// fixtureImage makes a base image with the packages of the fixture's older
// repository and returns a directory that an image store can read.
func fixtureImage(t *testing.T, fixture string) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	now := fstree.TimeOf(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
	spool, err := fstree.NewSpool(t.TempDir())
	must(err)
	defer spool.Close()
	tree := fstree.New(now)
	for _, dir := range []string{"cores", "config", "site", "root/etc", "root/opt/local/bin", "root/opt/local/etc/gnupg", "root/opt/local/sbin", "root/var/db", "root/var/tmp"} {
		must(tree.MkdirAll(dir, 0o755))
	}
	for from, to := range map[string]string{"skeleton/etc/group": "etc/group", "skeleton/etc/passwd": "etc/passwd",
		"skeleton/etc/shadow": "etc/shadow", "skeleton/etc/shells": "etc/shells", "keys/fixture.gpg": "opt/local/etc/gnupg/pkgsrc.gpg"} {
		raw, err := os.ReadFile(filepath.Join(fixture, from))
		must(err)
		must(tree.WriteFile("root/"+to, raw, 0o644))
	}
	conf := "root/opt/local/etc/pkg_install.conf"
	must(tree.WriteFile(conf, []byte("GPG_KEYRING_VERIFY=/opt/local/etc/gnupg/pkgsrc.gpg\nVERIFIED_INSTALLATION=never\n"), 0o644))
	root, err := tree.Sub("root")
	must(err)
	repos, err := repository.OpenSet([]string{filepath.Join(fixture, "SmartOS/2024Q4-before/x86_64/All")}, repository.Options{})
	must(err)
	in, err := install.New(ctx, install.Options{Root: root, Repos: repos, Spool: spool})
	must(err)
	must(in.Add(ctx, []string{"sudo", "curl", "patch", "oldname", "pkgin", "orphanlib"}))
	must(in.Finish(ctx))
	must(tree.WriteFile(conf, []byte("GPG_KEYRING_VERIFY=/opt/local/etc/gnupg/pkgsrc.gpg\nVERIFIED_INSTALLATION=always\n"), 0o644))

	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "base.zfs"))
	must(err)
	_, err = dataset.WriteFull(ctx, f, tree, dataset.Options{ToGUID: 4711, ToName: "zones/fixture@final", CreationTime: now.Sec, Now: now})
	must(err)
	must(f.Close())
	raw, err := os.ReadFile(f.Name())
	must(err)
	manifest := fmt.Sprintf(`{"v": 2, "uuid": %q, "name": "fixture", "version": "1", "type": "zone-dataset", "os": "smartos",
		"owner": "00000000-0000-0000-0000-000000000000", "published_at": "2025-01-01T00:00:00Z", "state": "active", "public": true,
		"files": [{"sha1": "%x", "size": %d, "compression": "none"}]}`, fixtureBase, sha1.Sum(raw), len(raw))
	must(os.WriteFile(filepath.Join(dir, "base.imgmanifest"), []byte(manifest), 0o644))
	return dir
}

// TestLockOfAnUpgradeThatRemoves: packages that take the place of others, from a
// repository in a directory, some without signature.
func TestLockOfAnUpgradeThatRemoves(t *testing.T) {
	t.Parallel()
	fixture, err := filepath.Abs("../pkgsrc/testdata/fixture")
	if err != nil {
		t.Fatal(err)
	}
	from, err := imgstore.NewDir(fixtureImage(t, fixture))
	if err != nil {
		t.Fatal(err)
	}
	b := (&bench{story: &told{}}).from(t, from)
	b.opts.Client, b.opts.Story, b.opts.Sandbox = &fetch.Client{Offline: true}, b.story, false
	if b.store, err = imgstore.Open(imgstore.Options{CacheDir: t.TempDir(), Sources: []imgstore.Source{from}}); err != nil {
		t.Fatal(err)
	}
	b.opts.Images, b.opts.Out, b.opts.PackageCache = b.store, t.TempDir(), t.TempDir()
	b.opts.PackageSource = filepath.Join(fixture, "SmartOS/2024Q4/x86_64/All")
	b.opts.VulnURL = "file://" + filepath.Join(fixture, "vulns/pkg-vulnerabilities.gz")
	r := goodRequest()
	r.Base, r.Upgrade, r.Audit, r.Packages = fixtureBase, true, true, []string{"coreutils", "curl", "gsed"}

	l := b.lock(t, r)
	if len(l.Removed) == 0 || l.Removed[0].Name != "oldname-1.0" {
		t.Errorf("removed: %v", l.Removed)
	}
	want := outputs(t, b.build(t, r))
	inputs, err := lock.OpenInputs(t.TempDir(), lock.InputsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.opts.Inputs = inputs
	if err := StoreInputs(context.Background(), l, b.opts, from); err != nil {
		t.Fatal(err)
	}
	b.opts.PackageSource = "/nonexistent"
	if b.opts.Lock, err = lock.Parse(l.Encode()); err != nil {
		t.Fatalf("%v\n%s", err, l.Encode())
	}
	for i := range b.opts.Lock.Packages {
		b.opts.Lock.Packages[i].Repository = "/nonexistent"
	}
	if d := cmp.Diff(want, outputs(t, b.build(t, r))); d != "" {
		t.Error("built with the lock it has other bytes")
	}
}
