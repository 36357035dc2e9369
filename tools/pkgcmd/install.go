package pkgcmd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/archive"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/install"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/spf13/cobra"
)

// maxKeyring bounds the keyring a directory gets, in bytes.
const maxKeyring = 16 << 20

// installOptions are the flags of install.
type installOptions struct {
	root     string
	upgrade  bool
	accept   []string
	policy   string
	skeleton bool
	keyring  string
	dryRun   bool
}

func (c *commands) installCommand() *cobra.Command {
	var o installOptions
	cmd := &cobra.Command{
		Use:   "install --root DIR PACKAGE...",
		Short: "Install packages into a directory that holds a system",
		Long: `Do in a directory what "pkg_add -U PACKAGE..." does in a system, with
"pkgin -y full-upgrade" before it where --upgrade is given. For trying packages
out: nothing of a package is run, and what cannot be done without running it is
refused (exit code 7) unless --accept or BUILDIMAGE_PKGSRC_ACCEPT says to leave it
undone; ACTION is svccfg-import, svccfg-site (keep the manifest for the first
boot), install-script, deinstall-script, exec or unexec.

Everything is resolved, checked and installed in memory; only then is DIR
changed, below it only, and as a whole: when anything fails it stays as it was.
Owners are set when run by root.

An empty DIR gets a minimal system with --skeleton: accounts, shells, and
settings that name the repository and --keyring.

Prints what was done, one package a line.`,
		Example: `  engbld pkg install --root /tmp/tree curl sudo
  engbld pkg install --root /tmp/tree --skeleton --keyring pkgsrc.gpg --repo https://HOST/packages/SmartOS/2024Q4/x86_64/All curl
  engbld pkg install --root /tmp/tree --upgrade --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.root == "":
				return fault.WithHint(fault.Usage.Errorf("no --root: which directory holds the system"), "%s --help", cmd.CommandPath())
			case len(args) == 0 && !o.upgrade:
				return fault.WithHint(fault.Usage.Errorf("no PACKAGE, and no --upgrade"), "%s --help", cmd.CommandPath())
			case o.keyring != "" && !o.skeleton:
				return fault.Usage.Errorf("--keyring belongs to --skeleton; a system has a keyring of its own")
			}
			if _, err := archive.ParsePolicy(o.policy); err != nil {
				return fault.Usage.Errorf("--verify: %w", err)
			}
			return c.install(cmd.Context(), o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.root, "root", "", "directory with the root of a system")
	f.BoolVar(&o.upgrade, "upgrade", false, "upgrade all packages first")
	f.StringArrayVar(&o.accept, "accept", nil, "PACKAGE:ACTION that may be left undone (repeat for several)")
	f.StringVar(&o.policy, "verify", "", "never, trusted or always, instead of the system's VERIFIED_INSTALLATION")
	f.BoolVar(&o.skeleton, "skeleton", false, "make a minimal system in an empty or new DIR first")
	f.StringVar(&o.keyring, "keyring", "", "with --skeleton: keys that packages are signed with")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "do all but change DIR")
	c.repoFlag(cmd)
	return cmd
}

func (c *commands) install(ctx context.Context, o installOptions, packages []string) error {
	dir := c.abs(o.root)
	root, made, err := openRoot(dir, o)
	if err != nil {
		return err
	}
	defer root.Close()
	changes, err := c.installBelow(ctx, root, o, packages)
	if made && (err != nil || o.dryRun) {
		os.Remove(dir) // it is empty
	}
	if err != nil {
		return err
	}
	for _, ch := range changes {
		if err := c.print(said(ch) + "\n"); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		c.Infof("nothing to do")
	}
	return nil
}

func said(ch install.Change) string {
	switch {
	case ch.Removed:
		return "removed " + ch.Name
	case ch.Old == "":
		return "installed " + ch.Name
	case ch.Old == ch.Name:
		return "refreshed " + ch.Name
	}
	return "upgraded " + ch.Old + " to " + ch.Name
}

// openRoot opens the directory and makes it where that was asked for.
func openRoot(dir string, o installOptions) (root *os.Root, made bool, err error) {
	if dir == "/" {
		return nil, false, fault.WithHint(fault.Usage.Errorf("--root /: this is for directories that nothing runs in"), "pkg_add -U PACKAGE...")
	}
	root, err = os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if !o.skeleton {
			return nil, false, fault.WithHint(fault.Usage.Errorf("--root: %w", err), "--skeleton makes a minimal system there")
		}
		if err = os.Mkdir(dir, 0o755); err == nil {
			made = true
			root, err = os.OpenRoot(dir)
		}
	}
	if err != nil {
		return nil, false, fault.Step.Errorf("--root: %w", err)
	}
	return root, made, nil
}

func (c *commands) installBelow(ctx context.Context, root *os.Root, o installOptions, packages []string) ([]install.Change, error) {
	unlock, err := lock(root)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if undone, err := fstree.RecoverDir(root); err != nil {
		return nil, fault.Step.Errorf("%s: %w", root.Name(), err)
	} else if undone {
		c.Warnf("%s: an installation that was killed half-way was undone", root.Name())
	}
	from, err := fstree.ReadRoot(ctx, root, fstree.RootOptions{Now: fstree.TimeOf(c.Now()), Skip: kernelDir})
	if err != nil {
		return nil, fault.Step.Wrap(err)
	}
	w, err := c.World(ctx)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	spool, err := fstree.NewSpool("")
	if err != nil {
		return nil, fault.Step.Wrap(err)
	}
	defer spool.Close()
	p := &installation{c: c, w: w, o: o, spool: spool}
	p.tree = from.Clone()
	p.dropLeftovers(p.tree.Root, "")
	if err := p.run(ctx, packages); err != nil {
		if o.skeleton && o.keyring == "" && fault.KindOf(err) == fault.Policy {
			err = fault.WithHint(err, "--keyring FILE with the keys that the packages are signed with")
		}
		return nil, err
	}
	if o.dryRun {
		return p.changes, nil
	}
	owners := os.Geteuid() == 0
	if !owners && len(p.changes) > 0 {
		c.Warnf("owners are not set: only root can")
	}
	stats, err := fstree.UpdateDir(ctx, root, from, p.tree, fstree.WriteOptions{Owners: owners, Warn: c})
	if err != nil {
		return nil, fault.Step.Errorf("writing to %s: %w", root.Name(), err)
	}
	c.Infof("%s: %d written, %d removed, %d with another mode, owner or time", root.Name(), stats.Files, stats.Removed, stats.Changed)
	return p.changes, nil
}

// lock keeps others that do the same away from a directory; file systems that
// know no locks do without.
func lock(root *os.Root) (func(), error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, fault.Step.Wrap(err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		d.Close()
		return nil, fault.Step.Errorf("%s: somebody is installing there already", root.Name())
	}
	return func() {
		// A program that is being started has d, too, until it runs.
		_ = syscall.Flock(int(d.Fd()), syscall.LOCK_UN) // closed at once anyway
		d.Close()
	}, nil
}

// installation is what happens to the tree of a system.
type installation struct {
	c       *commands
	w       *World
	o       installOptions
	spool   *fstree.Spool
	target  // the tree that is changed
	changes []install.Change
}

// dropLeftovers takes out what a killed installation left.
func (p *installation) dropLeftovers(dir *fstree.Node, name string) {
	for _, entry := range dir.List() {
		path := name + "/" + entry
		switch n := dir.Child(entry); {
		case fstree.IsTemp(entry):
			p.c.Warnf("%s is left from an installation that was stopped and goes", path)
			_ = p.tree.RemoveAll(path)
		case n.IsDir():
			p.dropLeftovers(n, path)
		}
	}
}

func (p *installation) run(ctx context.Context, packages []string) error {
	p.name = p.o.root
	if err := p.database(); err != nil {
		return fault.Step.Errorf("%s: %w", p.name, err)
	}
	if err := p.system(); err != nil {
		return err
	}
	if p.o.upgrade {
		err := p.with(ctx, func(in *install.Installer) error { return in.FullUpgrade(ctx) }, p.conf.Repositories, p.conf.PkgPath)
		if err != nil {
			return err
		}
	}
	if len(packages) == 0 {
		return nil
	}
	return p.with(ctx, func(in *install.Installer) error { return in.Add(ctx, packages) }, p.conf.PkgPath, p.conf.Repositories)
}

// system sees that there is one, or makes it.
func (p *installation) system() error {
	if isSystem(p.tree, p.conf) {
		if p.o.skeleton {
			p.c.Infof("%s has a system already, which stays", p.name)
		}
		return nil
	}
	if sub, err := p.tree.Sub("root"); err == nil && isSystem(sub, p.conf) {
		return fault.WithHint(fault.Usage.Errorf("%s is a whole dataset: its system is in root", p.name), "--root %s/root", strings.TrimRight(p.name, "/"))
	}
	switch {
	case !p.o.skeleton:
		return fault.WithHint(fault.Usage.Errorf("%s holds no system: neither etc/passwd nor opt/local/pkg", p.name),
			"--skeleton makes a minimal one in an empty directory")
	case p.tree.Root.Len() > 0:
		return fault.Usage.Errorf("%s holds no system, but is not empty: --skeleton makes one in an empty directory only", p.name)
	}
	var keyring []byte
	if p.o.keyring != "" {
		var err error
		if keyring, err = bounded.ReadFile(p.c.abs(p.o.keyring), maxKeyring); err != nil {
			return fault.Usage.Errorf("--keyring: %w", err)
		}
	}
	if err := skeleton(p.tree, p.c.addresses(p.w, p.conf), keyring); err != nil {
		return fault.Step.Errorf("%s: %w", p.name, err)
	}
	p.tree.Root.MTime = p.tree.Now
	return fault.Step.Wrap(p.database())
}

// with calls f with an installer that uses the first of the lists that is not
// empty, or what was given instead.
func (p *installation) with(ctx context.Context, f func(*install.Installer) error, lists ...[]string) error {
	addresses := p.c.addresses(p.w, p.conf, lists...)
	if len(addresses) == 0 {
		return noRepository(p.name)
	}
	repos, err := p.c.open(p.w, addresses)
	if err != nil {
		return err
	}
	p.c.Infof("packages from %s", strings.Join(shown(repos), " "))
	in, err := p.installer(ctx, repos)
	if err != nil {
		return err
	}
	if err := f(in); err != nil {
		return err
	}
	if err := in.Finish(ctx); err != nil {
		return err
	}
	p.changes = slices.Concat(p.changes, in.Changes())
	return nil
}

func (p *installation) installer(ctx context.Context, repos repository.Set) (*install.Installer, error) {
	return install.New(ctx, install.Options{
		Root: p.tree, Repos: repos, Spool: p.spool, Accept: append(slices.Clone(p.o.accept), p.c.Accept), Policy: p.o.policy, Log: p.c,
	})
}
