package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/native"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/audit"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/redact"
)

// onZFS builds in a mounted clone of the base image, with the tools the image
// holds (spec engbld-interface.md section 4.10). Its steps have the portable
// engine's names; what they have in common is the portable engine's code.
type onZFS struct {
	*portable
	s         *native.Session
	installed []string // full names, after all packages are installed
}

// Where the images have their package tools (spec pkgsrc.md section 1).
const (
	toolPkgin = "/opt/local/bin/pkgin"
	toolAdd   = "/opt/local/sbin/pkg_add"
	toolInfo  = "/opt/local/sbin/pkg_info"
	toolAdmin = "/opt/local/sbin/pkg_admin"
)

// runNative is Run with the native engine. Whatever happens, nothing is left on
// the machine but the images that were imported whole.
func (p *portable) runNative(ctx context.Context) (*Result, error) {
	n := &onZFS{portable: p}
	err := n.run(ctx, n.steps())
	if n.s != nil {
		if err != nil && p.opts.Keep {
			for _, what := range n.s.Keep() {
				p.opts.Story.Warnf("kept until the next native build: %s", what)
			}
		}
		if e := n.s.Close(ctx); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", p.req.Name, e))
		}
	}
	if err != nil {
		p.keep(ctx)
		return nil, err
	}
	return p.result, nil
}

// steps are the portable engine's, done otherwise.
func (n *onZFS) steps() []step {
	list := n.portable.steps()
	run := map[string]func(context.Context) error{
		"base": n.base, "component": n.addComponent, "upgrade": n.upgrade, "packages": n.addPackages, "pkgdb": n.pkgInfo,
		"audit": n.audit, "finish": n.finish, "write": n.write, "describe": n.describe,
	}
	for i := range list {
		if f := run[list[i].name]; f != nil {
			list[i].run = f
		}
		if list[i].name == "pkgdb" {
			list[i].skip, list[i].why = "", "what is installed"
		}
	}
	return list
}

// base imports the base's chain and mounts a clone of it.
func (n *onZFS) base(ctx context.Context) (err error) {
	if err := n.possible(); err != nil {
		return err
	}
	n.opts.Story.Step("base", "image %s", n.req.Base)
	o := *n.opts.Native
	o.Log = n.opts.Story
	if n.s, err = native.Open(ctx, o); err != nil {
		return err
	}
	if n.chain, err = n.opts.Images.Chain(ctx, n.req.Base); err != nil {
		return err
	}
	if err := n.checkChain(); err != nil {
		return err
	}
	var list []native.Image
	for _, img := range n.chain {
		list = append(list, native.Image{UUID: img.Manifest.UUID(), Name: img.Manifest.NameVersion(), Stream: img.Path, SHA256: img.SHA256})
	}
	if err := n.s.Import(ctx, list); err != nil {
		return err
	}
	n.now = fstree.TimeOf(n.req.Timestamp)
	return n.s.Clone(ctx, n.req.Base)
}

// possible refuses what the native engine cannot do.
func (n *onZFS) possible() error {
	const portably = "unset ENGBLD_ENGINE: the portable engine can"
	switch {
	case n.opts.Sandbox:
		return fault.WithHint(fault.Usage.Errorf("the sandbox's images hold no programs that run: the native engine cannot build on them"), portably)
	case n.opts.Offline && (n.req.Upgrade || n.req.Audit || len(n.req.Packages) > 0):
		return fault.WithHint(fault.Network.Errorf("ENGBLD_OFFLINE is set: the image's own tools fetch packages from their servers"), portably)
	case n.opts.WriteLock:
		return fault.WithHint(fault.Usage.Errorf("ENGBLD_WRITE_LOCK is set: ZFS gives each image times and numbers of its own, so none can be made again byte for byte"), portably)
	}
	return nil
}

// addComponent lays the component's files over the clone. That there are none is
// said by an empty package; a file that cannot be copied is an error.
func (n *onZFS) addComponent(ctx context.Context) error {
	return n.s.Change(ctx, "copy", n.componentPaths(), func(ctx context.Context, top *os.Root) (err error) {
		root, err := top.OpenRoot("root")
		if err != nil {
			return err
		}
		defer root.Close()
		if n.spool, err = fstree.NewSpool(n.opts.TempDir); err != nil {
			return err
		}
		from, err := fstree.ReadRoot(ctx, root, fstree.RootOptions{Now: n.now})
		if err != nil {
			return err
		}
		n.root = from.Clone()
		if err := n.portable.addComponent(ctx); err != nil {
			return err
		}
		stats, err := fstree.UpdateDir(ctx, root, from, n.root, fstree.WriteOptions{Owners: os.Geteuid() == 0, Warn: n.opts.Story})
		if err == nil && stats.Skipped > 0 {
			err = fmt.Errorf("the component holds %d devices, fifos or sockets", stats.Skipped)
		}
		return err
	})
}

// componentPaths are the sources of the copy, and where they go.
func (n *onZFS) componentPaths() (list []string) {
	c := n.req.Component
	for _, p := range []string{c.Stage, c.Package, c.Dir} {
		if p != "" {
			list = append(list, p)
		}
	}
	return append(list, n.s.Root())
}

func (n *onZFS) upgrade(ctx context.Context) error {
	n.opts.Story.Step("upgrade", "all packages")
	if err := n.tool(ctx, toolPkgin, "update"); err != nil {
		return fault.Network.Wrap(err)
	}
	return n.tool(ctx, toolPkgin, "-y", "full-upgrade")
}

func (n *onZFS) addPackages(ctx context.Context) error {
	n.opts.Story.Step("packages", "%s", strings.Join(n.req.Packages, " "))
	return n.tool(ctx, append([]string{toolAdd, "-U"}, n.req.Packages...)...)
}

func (n *onZFS) pkgInfo(ctx context.Context) error {
	out := &native.Output{}
	if err := n.chroot(ctx, out, toolInfo, "-a"); err != nil {
		return err
	}
	for l := range strings.Lines(out.String()) {
		if f := strings.Fields(l); len(f) > 0 {
			n.installed = append(n.installed, f[0])
		}
	}
	n.opts.Story.Step("pkgdb", "%d packages installed", len(n.installed))
	for l := range strings.Lines(out.String()) {
		n.opts.Story.Infof("%s", strings.TrimSuffix(l, "\n"))
	}
	return n.checkInstalled()
}

// checkInstalled compares the packages with the lock. The image's tools take what
// the servers have, so all that can be done is to find out.
func (n *onZFS) checkInstalled() error {
	if n.opts.Lock == nil {
		return nil
	}
	for _, p := range n.opts.Lock.Packages {
		if !slices.Contains(n.installed, p.FullName()) {
			return n.stale(fmt.Sprintf("packages: %s is pinned, the image's tools did not install it", p.FullName()))
		}
	}
	return nil
}

// audit fetches the list of vulnerabilities and writes what it says of the
// packages. That it says something is no failure.
func (n *onZFS) audit(ctx context.Context) error {
	if err := n.tool(ctx, toolAdmin, "fetch-pkg-vulnerabilities"); err != nil {
		return fault.Network.Wrap(err)
	}
	out := &native.Output{}
	if err := n.chroot(ctx, out, toolAdmin, "audit"); err != nil && native.ExitCode(err) != 1 {
		return err
	}
	lines := slices.Sorted(strings.Lines(out.String()))
	n.opts.Story.Step("audit", "%d findings", len(lines))
	for _, l := range lines {
		n.opts.Story.Detailf("%s", strings.TrimSuffix(l, "\n"))
	}
	if err := n.writeOutput(".pkgaudit", []byte(strings.Join(lines, ""))); err != nil {
		return err
	}
	return n.judge(ctx)
}

// judge applies the policy to what the list says of the packages.
func (n *onZFS) judge(ctx context.Context) error {
	if n.opts.Policy == nil {
		return nil
	}
	conf, err := n.config(ctx)
	if err != nil {
		return err
	}
	top, err := os.OpenRoot(n.s.Root())
	if err != nil {
		return err
	}
	defer top.Close()
	f, err := top.Open(strings.TrimPrefix(path.Join(conf.VulnDir, VulnerabilitiesName), "/"))
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxVulnerabilities))
	if err != nil {
		return err
	}
	list, err := audit.Parse(ctx, raw, audit.ParseOptions{})
	if err != nil {
		return fmt.Errorf("vulnerability list: %w", err)
	}
	findings, err := list.Audit(ctx, n.installed, audit.Options{IgnoreURLs: conf.IgnoreURLs, SkipEOL: !conf.CheckEndOfLife, EOLPage: n.opts.EOLPage})
	if err != nil {
		return fmt.Errorf("vulnerability list: %w", err)
	}
	return n.opts.Policy.check(findings, nil, n.req.Timestamp, n.opts.Story)
}

// config reads what the clone says about its packages.
func (n *onZFS) config(ctx context.Context) (*pkgdb.Config, error) {
	if n.conf != nil {
		return n.conf, nil
	}
	root, err := os.OpenRoot(n.s.Root())
	if err != nil {
		return nil, err
	}
	defer root.Close()
	platform := []string{"dev", "lib", "proc", "sbin", "usr"}
	tree, err := fstree.ReadRoot(ctx, root, fstree.RootOptions{Now: n.now, Skip: func(p string) bool { return slices.Contains(platform, p) }})
	if err != nil {
		return nil, err
	}
	n.conf, err = pkgdb.ReadConfig(tree)
	return n.conf, err
}

// tool runs one of the image's package tools and shows what it writes.
func (n *onZFS) tool(ctx context.Context, args ...string) error {
	out := &native.Lines{Line: func(l string) { n.opts.Story.Infof("%s", redact.Text(l)) }}
	defer out.Flush()
	return n.chroot(ctx, out, args...)
}

func (n *onZFS) chroot(ctx context.Context, out io.Writer, args ...string) error {
	if err := n.s.MountPlatform(ctx); err != nil {
		return err
	}
	env, err := n.toolEnv(ctx)
	if err != nil {
		return err
	}
	warn := &native.Lines{Line: func(l string) { n.opts.Story.Infof("%s", redact.Text(l)) }}
	defer warn.Flush()
	return n.s.Chroot(ctx, env, out, warn, args...)
}

// toolEnv names the repository that is to be used instead of the image's own.
func (n *onZFS) toolEnv(ctx context.Context) ([]string, error) {
	if n.opts.PackageSource == "" {
		return nil, nil
	}
	conf, err := n.config(ctx)
	if err != nil {
		return nil, err
	}
	addresses := repository.SplitPath(n.expand(n.opts.PackageSource))
	if conf.Release == "" && strings.Contains(n.opts.PackageSource, "$release") {
		return nil, fault.Step.Errorf("ENGBLD_PKGSRC_SOURCE names $release, which the base does not tell")
	}
	return []string{"PKG_PATH=" + strings.Join(addresses, ";"), "PKG_REPOS=" + strings.Join(addresses, " ")}, nil
}

// finish removes exactly what is to be removed, and writes the message of the day.
func (n *onZFS) finish(ctx context.Context) error {
	n.opts.Story.Step("finish", "cleaning up, message of the day")
	for _, name := range []string{"root/var/db/pkgin", "config"} {
		err := n.s.Change(ctx, "remove", []string{path.Join(n.s.Top(), name)}, func(_ context.Context, top *os.Root) error {
			return top.RemoveAll(name)
		})
		if err != nil {
			return err
		}
	}
	if !n.req.MOTD {
		return nil
	}
	return n.s.Change(ctx, "write", []string{path.Join(n.s.Root(), "etc/motd")}, func(_ context.Context, top *os.Root) error {
		root, err := top.OpenRoot("root")
		if err != nil {
			return err
		}
		defer root.Close()
		return root.WriteFile("etc/motd", n.motd(), 0o644)
	})
}

// write unmounts and snapshots the clone, and sends the difference to its origin.
func (n *onZFS) write(ctx context.Context) error {
	if err := n.s.Seal(ctx); err != nil {
		return err
	}
	count := &counted{}
	_, err := n.writeImage(func(w io.Writer) (dataset.Stats, error) {
		count.w = w
		err := n.s.Send(ctx, count)
		return dataset.Stats{Bytes: count.n}, err
	})
	if err != nil {
		return err
	}
	n.opts.Story.Infof("%d bytes, %d compressed", count.n, n.stream.Size)
	return nil
}

// describe destroys the clone before anything has its final name: an image that is
// there was built without leaving anything.
func (n *onZFS) describe(ctx context.Context) error {
	if err := n.s.Close(ctx); err != nil {
		return err
	}
	if err := n.portable.describe(ctx); err != nil {
		return err
	}
	n.giveAway()
	return nil
}

// giveAway gives the results, which root wrote, to the owner of their directory.
func (n *onZFS) giveAway() {
	fi, err := os.Stat(n.opts.Out)
	if err != nil {
		return
	}
	owner, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return
	}
	for _, name := range []string{n.result.FilePath, n.result.AuditPath, n.result.ManifestPath} {
		if name == "" {
			continue
		}
		if err := os.Lchown(name, int(owner.Uid), int(owner.Gid)); err != nil {
			n.opts.Story.Warnf("%v", err)
		}
	}
}

type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
