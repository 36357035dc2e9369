package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/gen"
	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/spf13/cobra"
)

func (a *app) flavorReleasedCommand() *cobra.Command {
	return a.remotes.before(&cobra.Command{
		Use:   "released FLAVOR UUID",
		Short: "Note an image of the image server as the flavor's newest released one",
		Long: `Adds the image to the flavor's [[released]] list, with the version that the
updates server (UPDATES_IMGADM_URL) tells, and writes all generated files anew:
components may name it as BASE_IMAGE_UUID then. Prints the files that changed.`,
		Example: "  engbld flavor released triton-origin-x86_64-24.4.1 4dd8810e-10a8-49d1-b37b-1c4e32ed6c05",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.flavorReleased(cmd.Context(), args[0], args[1])
		},
	})
}

func (a *app) flavorReleased(ctx context.Context, name, uuid string) error {
	top, err := a.checkout()
	if err != nil {
		return err
	}
	set, err := a.flavors()
	if err != nil {
		return err
	}
	f, err := set.Lookup(name)
	if err != nil {
		return err
	}
	if !imgmanifest.ValidUUID(uuid) {
		return fault.Usage.Errorf("%q is not an image uuid (lower-case hex, 8-4-4-4-12)", uuid)
	}
	if slices.ContainsFunc(f.Released, func(r flavor.Released) bool { return r.UUID == uuid }) {
		a.infof("%s: image %s is among its released ones already", f.Name, uuid)
		return a.writeFlavors(top, nil)
	}
	c, err := a.releaseDeps().Updates("", "", imgapi.AllChannels)
	if err != nil {
		return err
	}
	m, err := c.Get(ctx, uuid)
	switch {
	case err != nil:
		return err
	case m.Name() != f.Name:
		return fault.Usage.Errorf("image %s is %s, not a %s", uuid, m.NameVersion(), f.Name)
	case m.State() != "active":
		return fault.WithHint(fault.Drift.Errorf("image server %s: image %s is %s, not active", c.Server(), uuid, m.State()),
			"finish its publication, or enable it")
	}
	if m.Sandbox() {
		a.warnf("image %s was made in the sandbox: nobody else can build on it", uuid)
	} else if in := m.Channels(); in != nil && !slices.Contains(in, "release") {
		a.warnf("image %s is not in the channel release: engbld release promote %s", uuid, uuid)
	}
	file := filepath.Join(f.Name, "flavor.toml")
	text, err := bounded.ReadFile(filepath.Join(top, "images", file), maxBeside)
	if err != nil {
		return fault.Step.Wrap(err)
	}
	edited, err := flavor.AddReleased(string(text), flavor.Released{Version: m.Version(), UUID: uuid})
	if err != nil {
		return fmt.Errorf("images/%s: %w", file, err)
	}
	return a.writeFlavors(top, map[string]string{filepath.ToSlash(file): edited})
}

// writeFlavors writes flavor files, by their names below images, if all of them
// together can be read then, and all that is generated from them. It prints what
// changed.
func (a *app) writeFlavors(top string, texts map[string]string) error {
	dir := filepath.Join(top, "images")
	if _, err := flavor.LoadWith(os.DirFS(dir), texts); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return fault.Step.Wrap(err)
		}
		if err := newfile.Write(file, []byte(texts[name]), 0o644); err != nil {
			return fault.Step.Errorf("writing images/%s: %w", name, err)
		}
		fmt.Fprintln(a.env.Stdout, "images/"+name)
	}
	changed, err := gen.Write(top)
	for _, name := range changed {
		fmt.Fprintln(a.env.Stdout, name)
	}
	if err != nil {
		return fault.WithHint(err, "make gen writes what is generated from the flavor files")
	}
	return nil
}

func (a *app) flavorNewCommand() *cobra.Command {
	var n flavor.New
	cmd := &cobra.Command{
		Use:   "new VERSION --base UUID",
		Short: "Make a flavor for a new base image",
		Long: `Writes images/triton-origin-ARCH-VERSION/flavor.toml, the pkgsrc release of the
version in images/buildenv.toml if it is new, and all generated files. Name and
version of the base image are asked from where base images come from
(ENGBLD_IMAGE_SOURCE, else the updates server). Prints the files that changed and
what is left to do.`,
		Example: "  engbld flavor new 25.4.0 --base 01234567-89ab-4cde-8f01-23456789abcd",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Version = args[0]
			return a.flavorNew(cmd.Context(), n)
		},
	}
	cmd.Flags().StringVar(&n.Base.UUID, "base", "", "uuid of the base image (required)")
	cmd.Flags().StringVar(&n.Arch, "arch", "", "pkgsrc architecture: x86_64, i386 or multiarch (default: by the base's name)")
	return cmd
}

func (a *app) flavorNew(ctx context.Context, n flavor.New) error {
	top, err := a.checkout()
	if err != nil {
		return err
	}
	if !imgmanifest.ValidUUID(n.Base.UUID) {
		return fault.WithHint(fault.Usage.Errorf("--base: %q is not an image uuid (lower-case hex, 8-4-4-4-12)", n.Base.UUID), "updates-imgadm list name=~minimal version=%s", n.Version)
	}
	set, err := a.flavors()
	if err != nil {
		return err
	}
	if err := a.askBase(ctx, &n.Base); err != nil {
		return err
	}
	name, err := n.Name()
	if err != nil {
		return err
	}
	text, err := n.Text(set)
	if err != nil {
		return err
	}
	texts := map[string]string{name + "/flavor.toml": text}
	old, err := bounded.ReadFile(filepath.Join(top, "images", "buildenv.toml"), maxBeside)
	if err != nil {
		return fault.Step.Wrap(err)
	}
	_, known := set.Release(n.Release())
	if !known {
		if texts["buildenv.toml"], err = flavor.AddRelease(string(old), n.Release()); err != nil {
			return err
		}
	}
	if err := a.writeFlavors(top, texts); err != nil {
		return err
	}
	return a.flavorToDo(name, n, known)
}

// askBase fills in what the server says of the base image.
func (a *app) askBase(ctx context.Context, base *flavor.Base) error {
	w, err := a.open(ctx, a.ui())
	if err != nil {
		return err
	}
	defer w.close()
	if w.offline && w.source.Remote() && w.sandbox == nil {
		return fault.Network.Errorf("base image %s: ENGBLD_OFFLINE is set, so %s is not asked", base.UUID, w.source)
	}
	m, err := w.source.Manifest(ctx, base.UUID)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.WithHint(fault.Network.Errorf("base image %s is not in %s", base.UUID, w.source), "engbld release prereq %s", base.UUID)
	}
	if err != nil {
		return fmt.Errorf("base image %s: %w", base.UUID, err)
	}
	base.Name, base.Version = m.Name(), m.Version()
	return nil
}

// flavorToDo says what no program can know.
func (a *app) flavorToDo(name string, n flavor.New, known bool) error {
	steps := []string{
		"look through images/" + name + "/flavor.toml: packages, build_on",
		"have the base in every channel: engbld release prereq " + n.Base.UUID,
		"build it: make " + name + "-buildimage, and pin what went into it: make " + name + "-lock",
		"commit, and publish it from main: make " + name + "-\"buildimage bits-upload\"",
		"release it: engbld release ticket, promote, verify, then engbld flavor released " + name + " UUID",
		"add [sdcnode] to the flavor once there is a build of node for it",
	}
	if !known {
		steps = append(steps, "add agent and packages to "+n.Release()+" in images/buildenv.toml once there are build machines for it")
	}
	fmt.Fprintln(a.env.Stdout, "\nTo do:")
	for i, s := range steps {
		if _, err := fmt.Fprintf(a.env.Stdout, "%d. %s\n", i+1, s); err != nil {
			return err
		}
	}
	return nil
}
