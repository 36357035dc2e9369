package pkgdb

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// system makes a tree of files.
func system(t *testing.T, files map[string]string) *fstree.Tree {
	t.Helper()
	tree := fstree.New(fstree.Time{Sec: 1})
	for path, text := range files {
		dir := path[:len(path)-len(fileName(path))]
		if err := tree.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := tree.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func fileName(p string) string {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] == '/' {
			return p[i+1:]
		}
	}
	return p
}

func TestReadConfig(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  Config
	}{
		{"nothing", nil, Config{DBDir: "/opt/local/pkg", RefcountDir: "/opt/local/pkg.refcount", VulnDir: "/opt/local/pkg", CheckEndOfLife: true, CheckOSVersion: true}},
		{"as a kit writes them", map[string]string{
			"/opt/local/etc/pkg_install.conf": "CHECK_OSABI=no\nCHECK_OS_VERSION=no\nGPG_KEYRING_PKGVULN=/opt/local/share/gnupg/pkgsrc-security.gpg\n" +
				"GPG_KEYRING_VERIFY=/opt/local/etc/gnupg/pkgsrc.gpg\nPKG_PATH=https://a.example.invalid/All;/local ; \nVERIFIED_INSTALLATION=always\n# IGNORE_URL=x\nIGNORE_URL=https://b\nIGNORE_URL=https://c\n",
			"/opt/local/etc/pkgin/repositories.conf": "# https://no\nhttps://a.example.invalid/packages/SmartOS/$osrelease/$arch/All\nrsync://no\n",
			"/opt/local/etc/pkgin/preferred.conf":    "# pins\n\nopenssl<3\n",
			"/etc/pkgsrc_version":                    "release: 2024Q4\narchitecture: x86_64\n",
		}, Config{
			DBDir: "/opt/local/pkg", RefcountDir: "/opt/local/pkg.refcount", VulnDir: "/opt/local/pkg",
			PkgPath:              []string{"https://a.example.invalid/All", "/local"},
			Repositories:         []string{"https://a.example.invalid/packages/SmartOS/2024Q4/x86_64/All"},
			Preferred:            []string{"openssl<3"},
			VerifiedInstallation: "always", KeyringVerify: "/opt/local/etc/gnupg/pkgsrc.gpg", KeyringVuln: "/opt/local/share/gnupg/pkgsrc-security.gpg",
			IgnoreURLs: []string{"https://b", "https://c"}, CheckEndOfLife: true,
			Release: "2024Q4", Arch: "x86_64",
		}},
		{"elsewhere", map[string]string{
			"/opt/local/etc/mk.conf":          "PKG_DBDIR?=\t/var/db/other\nABI=64\nX=${Y}\n",
			"/opt/local/etc/pkg_install.conf": "PKG_REFCOUNT_DBDIR=/var/db/counters\nPKGVULNDIR=/var/vuln\nCHECK_END_OF_LIFE=no\n",
		}, Config{DBDir: "/var/db/other", RefcountDir: "/var/db/counters", VulnDir: "/var/vuln", CheckOSVersion: true}},
		{"pkg_install.conf before mk.conf", map[string]string{
			"/opt/local/etc/mk.conf":          "PKG_DBDIR=/a\n",
			"/opt/local/etc/pkg_install.conf": "PKG_DBDIR=/b/\n",
		}, Config{DBDir: "/b", RefcountDir: "/b.refcount", VulnDir: "/b", CheckEndOfLife: true, CheckOSVersion: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadConfig(system(t, tt.files))
			if err != nil {
				t.Fatal(err)
			}
			got.Vars = nil
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadConfigRefuses(t *testing.T) {
	t.Parallel()
	_, err := ReadConfig(system(t, map[string]string{"/opt/local/etc/pkg_install.conf": "PKG_DBDIR=pkg\n"}))
	if err == nil {
		t.Error("a relative PKG_DBDIR is accepted")
	}
	// A repository's address could otherwise have gigabytes.
	_, err = ReadConfig(system(t, map[string]string{
		"/etc/pkgsrc_version":                    "architecture: " + strings.Repeat("x", 1000) + "\n",
		"/opt/local/etc/pkgin/repositories.conf": "https://" + strings.Repeat("$arch", 100_000) + "\n",
	}))
	if err == nil || !strings.Contains(err.Error(), "/etc/pkgsrc_version") {
		t.Errorf("a long architecture: %v", err)
	}
}

func TestDB(t *testing.T) {
	t.Parallel()
	tree := system(t, map[string]string{
		"/opt/local/pkg/b-1.0/+CONTENTS":                           "@cwd /opt/local\n@name b-1.0\n@pkgdep a>=1\nbin/b\n@pkgdir share/both\n",
		"/opt/local/pkg/b-1.0/+COMMENT":                            "The second\n",
		"/opt/local/pkg/b-1.0/+BUILD_INFO":                         "PKGPATH=x/b\nPROVIDES=/one\nPROVIDES=/two\n",
		"/opt/local/pkg/a-with-a-long-name-1.0nb2/+CONTENTS":       "@cwd /opt/local\n@name a-with-a-long-name-1.0nb2\nbin/a\nbin/gone\n@pkgdir share/both\n@ignore\n+COMMENT\n",
		"/opt/local/pkg/a-with-a-long-name-1.0nb2/+COMMENT":        "The first",
		"/opt/local/pkg/a-with-a-long-name-1.0nb2/+REQUIRED_BY":    "b-1.0\nc-1.0\n",
		"/opt/local/pkg/a-with-a-long-name-1.0nb2/+INSTALLED_INFO": "automatic=yes\n",
		"/opt/local/pkg/a-with-a-long-name-1.0nb2/+PRESERVE":       "x\n",
		"/opt/local/pkg/wrong-1.0/+CONTENTS":                       "@cwd /opt/local\n@name other-1.0\n",
		"/opt/local/pkg/pkg-vulnerabilities":                       "",
		"/opt/local/bin/a":                                         "", "/opt/local/bin/b": "",
	})
	cfg, err := ReadConfig(tree)
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(tree, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a-with-a-long-name-1.0nb2", "b-1.0", "wrong-1.0"}, db.Names()); diff != "" {
		t.Error(diff)
	}
	if _, err := db.Record("wrong-1.0"); err == nil {
		t.Error("a record under a wrong name")
	}
	if err := tree.RemoveAll("/opt/local/pkg/wrong-1.0/+CONTENTS"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Record("wrong-1.0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	info, err := db.Info()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("a-with-a-long-name-1.0nb2 The first\nb-1.0               The second\n", info); diff != "" {
		t.Error(diff)
	}
	r, err := db.Record("a-with-a-long-name-1.0nb2")
	if err != nil {
		t.Fatal(err)
	}
	if !r.Automatic || !r.Preserve || !cmp.Equal(r.RequiredBy, []string{"b-1.0", "c-1.0"}) || r.Dir != "/opt/local/pkg/a-with-a-long-name-1.0nb2" {
		t.Errorf("%+v", r)
	}
	if r, err = db.Record("b-1.0"); err != nil || r.Automatic || r.Preserve || !cmp.Equal(r.BuildInfo["PROVIDES"], []string{"/one", "/two"}) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, had, err := db.Files(); had || err != nil {
		t.Errorf("a database of files: %v, %v", had, err)
	}
	pairs, err := db.Rebuild()
	if err != nil {
		t.Fatal(err)
	}
	want := []Pair{
		{"/opt/local/bin/a", "a-with-a-long-name-1.0nb2"}, {"/opt/local/bin/b", "b-1.0"},
		{"/opt/local/share/both", "@pkgdir a-with-a-long-name-1.0nb2 b-1.0"},
	}
	if diff := cmp.Diff(want, pairs); diff != "" {
		t.Error(diff)
	}
	if err := tree.WriteFile(cfg.DBDir+"/"+ByFile, WriteByFile(pairs), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, had, err := db.Files(); !had || err != nil || !cmp.Equal(want, got.Pairs()) {
		t.Errorf("%v %v %v", got.Pairs(), had, err)
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	tree := fstree.New(fstree.Time{})
	db, err := Open(tree, &Config{DBDir: "/opt/local/pkg"})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := db.Info(); info != "" || err != nil {
		t.Errorf("%q %v", info, err)
	}
}
