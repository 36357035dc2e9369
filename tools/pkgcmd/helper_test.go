package pkgcmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

const (
	fixture  = "../pkgsrc/testdata/fixture"
	repo2024 = "SmartOS/2024Q4/x86_64/All"
	before   = "SmartOS/2024Q4-before/x86_64/All"
	eolPage  = "https://example.invalid/eol-packages"
	repo2015 = "SmartOS/2015Q4/multiarch/All"
)

var testTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// bench is what one test's commands run with.
type bench struct {
	t          *testing.T
	env        Env
	world      World
	out        bytes.Buffer
	info, warn []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, world: World{Client: &fetch.Client{}, Cache: t.TempDir(), Close: func() {}}}
	here, err := os.Getwd()
	b.must(err)
	b.env = Env{
		Stdout: &b.out, Dir: here, Now: func() time.Time { return testTime },
		Infof: func(format string, args ...any) { b.info = append(b.info, fmt.Sprintf(format, args...)) },
		Warnf: func(format string, args ...any) { b.warn = append(b.warn, fmt.Sprintf(format, args...)) },
		Image: func(context.Context, string, []string) (*fstree.Tree, func(), error) {
			return nil, nil, errors.New("no image of that name")
		},
		EOLPage: func() (string, error) { return eolPage, nil },
		World:   func(context.Context) (*World, error) { return &b.world, nil },
	}
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// try runs one command line; what it answered is in b.out.
func (b *bench) try(args ...string) error {
	b.out.Reset()
	b.info, b.warn = nil, nil
	cmd := Command(b.env)
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	return cmd.ExecuteContext(b.t.Context())
}

func (b *bench) run(args ...string) string {
	b.t.Helper()
	if err := b.try(args...); err != nil {
		b.t.Fatalf("pkg %s: %v", strings.Join(args, " "), err)
	}
	return b.out.String()
}

// system makes a directory as the recordings began with.
func (b *bench) system(policy string) string {
	b.t.Helper()
	dir := b.t.TempDir()
	for _, d := range []string{"etc", "opt/local/bin", "opt/local/etc/gnupg", "opt/local/sbin", "var/db", "var/tmp"} {
		b.must(os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	b.must(os.Chmod(dir, 0o755))
	for from, to := range map[string]string{
		"skeleton/etc/group": "etc/group", "skeleton/etc/passwd": "etc/passwd", "skeleton/etc/shadow": "etc/shadow",
		"skeleton/etc/shells": "etc/shells", "keys/fixture.gpg": "opt/local/etc/gnupg/pkgsrc.gpg",
	} {
		raw, err := os.ReadFile(filepath.Join(fixture, from))
		b.must(err)
		b.must(os.WriteFile(filepath.Join(dir, to), raw, 0o644))
	}
	b.conf(dir, policy, "")
	return dir
}

func (b *bench) conf(dir, policy, repo string) {
	b.t.Helper()
	text := "GPG_KEYRING_VERIFY=/opt/local/etc/gnupg/pkgsrc.gpg\nVERIFIED_INSTALLATION=" + policy + "\n"
	if repo != "" {
		text += "PKG_PATH=" + repo + "\n"
	}
	b.must(os.WriteFile(filepath.Join(dir, "opt/local/etc/pkg_install.conf"), []byte(text), 0o644))
}

// listing describes what is on disk as the recordings do, by path. The owners
// are those of the recordings only where they could be set.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		p := strings.TrimPrefix(name, dir)
		switch p {
		case "", "/etc/shadow", "/opt/local/etc/pkg_install.conf", "/opt/local/etc/gnupg", "/opt/local/etc/gnupg/pkgsrc.gpg",
			"/opt/local/etc/pkgin/repositories.conf", "/opt/local/pkg/pkgdb.byfile.db":
			return nil
		}
		fi, err := os.Lstat(name)
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		owner := "root:root"
		if os.Geteuid() == 0 && st.Uid+st.Gid != 0 {
			owner = fmt.Sprintf("%d:%d", st.Uid, st.Gid)
		}
		perm := uint32(fi.Mode().Perm())
		for mode, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
			if fi.Mode()&mode != 0 {
				perm |= bit
			}
		}
		switch {
		case fi.IsDir():
			out[p] = fmt.Sprintf("d %04o %s %s", perm, owner, p)
		case fi.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			out[p] = fmt.Sprintf("l %s %s -> %s", owner, p, target)
		default:
			raw, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(raw)
			out[p] = fmt.Sprintf("f %04o %s %s size=%d nlink=%d sha256=%x", perm, owner, p, len(raw), st.Nlink, sum[:8])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// recorded is a recorded listing, by path.
func recorded(t *testing.T, name string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for l := range strings.Lines(recording(t, name+".listing")) {
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

func recording(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(fixture, "expected", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
