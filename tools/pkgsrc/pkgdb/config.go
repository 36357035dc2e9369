package pkgdb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
)

// Where SmartOS has its package settings, and what holds where they do not say
// (spec pkgsrc.md sections 6 and 12).
const (
	fileConf         = "/opt/local/etc/pkg_install.conf"
	fileMk           = "/opt/local/etc/mk.conf"
	fileRepositories = "/opt/local/etc/pkgin/repositories.conf"
	filePreferred    = "/opt/local/etc/pkgin/preferred.conf"
	fileRelease      = "/etc/pkgsrc_version"

	defaultDBDir = "/opt/local/pkg"

	maxConf    = 1 << 20 // bytes of one of these files
	maxRelease = 255     // of a release's or architecture's name, which repositories can have often
)

// Config is what a system says about its packages.
type Config struct {
	DBDir       string // PKG_DBDIR, absolute in the system
	RefcountDir string // PKG_REFCOUNT_DBDIR

	PkgPath      []string // PKG_PATH, split at ";"
	Repositories []string // pkgin's repositories.conf, $arch and $osrelease replaced
	Preferred    []string // pkgin's preferred.conf: "name<version" and the like

	VerifiedInstallation string   // as written; "" where it is not said
	KeyringVerify        string   // GPG_KEYRING_VERIFY, absolute in the system
	KeyringVuln          string   // GPG_KEYRING_PKGVULN
	VulnDir, VulnURL     string   // PKGVULNDIR (DBDir where it is not said), PKGVULNURL
	IgnoreURLs           []string // IGNORE_URL
	CheckEndOfLife       bool
	CheckOSVersion       bool

	Release, Arch string // /etc/pkgsrc_version, such as 2024Q4 and x86_64; "" where it is not said

	Vars map[string][]string // all of pkg_install.conf
}

// ReadConfig reads what there is below root; missing files are no error.
func ReadConfig(root *fstree.Tree) (*Config, error) {
	conf, err := readVars(root, fileConf, "=")
	if err != nil {
		return nil, err
	}
	mk, err := readMake(root)
	if err != nil {
		return nil, err
	}
	release, err := readVars(root, fileRelease, ":")
	if err != nil {
		return nil, err
	}
	first := func(vars map[string][]string, name, or string) string {
		if v := vars[name]; len(v) > 0 && v[0] != "" {
			return v[0]
		}
		return or
	}
	c := &Config{
		DBDir:                first(conf, "PKG_DBDIR", first(mk, "PKG_DBDIR", defaultDBDir)),
		VerifiedInstallation: first(conf, "VERIFIED_INSTALLATION", ""),
		KeyringVerify:        first(conf, "GPG_KEYRING_VERIFY", ""),
		KeyringVuln:          first(conf, "GPG_KEYRING_PKGVULN", ""),
		VulnURL:              first(conf, "PKGVULNURL", ""),
		IgnoreURLs:           conf["IGNORE_URL"],
		CheckEndOfLife:       yes(first(conf, "CHECK_END_OF_LIFE", "yes")),
		CheckOSVersion:       yes(first(conf, "CHECK_OS_VERSION", "yes")),
		Release:              first(release, "release", ""),
		Arch:                 first(release, "architecture", ""),
		Vars:                 conf,
	}
	if max(len(c.Release), len(c.Arch)) > maxRelease {
		return nil, fmt.Errorf("%s: a release or architecture of over %d bytes", fileRelease, maxRelease)
	}
	c.DBDir = path.Clean(c.DBDir)
	c.RefcountDir = first(conf, "PKG_REFCOUNT_DBDIR", c.DBDir+".refcount")
	c.VulnDir = first(conf, "PKGVULNDIR", c.DBDir)
	for _, dir := range []string{c.DBDir, c.RefcountDir, c.VulnDir} {
		if !path.IsAbs(dir) {
			return nil, fmt.Errorf("%s: package directory %q is no absolute path", fileConf, dir)
		}
	}
	for _, p := range conf["PKG_PATH"] {
		for a := range strings.SplitSeq(p, ";") {
			if a = strings.TrimSpace(a); a != "" {
				c.PkgPath = append(c.PkgPath, a)
			}
		}
	}
	lines, err := readLines(root, fileRepositories)
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		for _, scheme := range []string{"ftp://", "http://", "https://", "file://"} {
			if strings.HasPrefix(l, scheme) {
				c.Repositories = append(c.Repositories, repository.Expand(l, c.Arch, c.Release))
			}
		}
	}
	if lines, err = readLines(root, filePreferred); err != nil {
		return nil, err
	}
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			c.Preferred = append(c.Preferred, l)
		}
	}
	return c, nil
}

func yes(s string) bool { return strings.EqualFold(s, "yes") }

// readVars reads lines of a name, sep and a value. There are no quotes and no
// comments; a line without sep is no variable.
func readVars(root *fstree.Tree, path, sep string) (map[string][]string, error) {
	lines, err := readLines(root, path)
	if err != nil {
		return nil, err
	}
	vars := map[string][]string{}
	for _, l := range lines {
		if name, value, ok := strings.Cut(l, sep); ok {
			name = strings.TrimSpace(name)
			vars[name] = append(vars[name], strings.TrimSpace(value))
		}
	}
	return vars, nil
}

// readMake reads the plain assignments of mk.conf; what refers to other
// variables is left out.
func readMake(root *fstree.Tree) (map[string][]string, error) {
	raw, err := readVars(root, fileMk, "=")
	if err != nil {
		return nil, err
	}
	vars := map[string][]string{}
	for _, assigned := range slices.Sorted(maps.Keys(raw)) { // "X" before "X?"
		name := strings.TrimRight(assigned, "?:! \t")
		values := raw[assigned]
		if v := values[len(values)-1]; !strings.Contains(v, "$") && vars[name] == nil {
			vars[name] = []string{v}
		}
	}
	return vars, nil
}

func readLines(root *fstree.Tree, file string) ([]string, error) {
	b, err := readOptional(root, file, maxConf)
	if err != nil {
		return nil, err
	}
	var lines []string
	s := bufio.NewScanner(bytes.NewReader(b))
	s.Buffer(nil, maxConf)
	for s.Scan() {
		lines = append(lines, strings.TrimRight(s.Text(), " \t\r"))
	}
	return lines, s.Err()
}

// readOptional reads a file that need not be there.
func readOptional(root *fstree.Tree, path string, limit int64) ([]byte, error) {
	b, err := root.ReadFile(path, limit)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fstree.ErrNotDir) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("package settings: %w", err)
	}
	return b, nil
}
