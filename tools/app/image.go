package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/TritonDataCenter/engbld/tools/cores"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/gen"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/native"
	"github.com/TritonDataCenter/engbld/tools/owned"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"github.com/TritonDataCenter/engbld/tools/stamp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func (a *app) imageCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Build images and look into them"}
	cmd.AddCommand(a.imageBuildCommand(), a.imageMakeCommand(), a.imageLegacyCommand())
	cmd.AddCommand(a.inspectCommands()...)
	cmd.AddCommand(a.compareCommands()...)
	return cmd
}

// job is one image to build and where to put it.
type job struct {
	req build.Request
	out string
}

// buildAll builds the jobs, as many at once as there are CPUs, and prints their
// uuids in the jobs' order.
func (a *app) buildAll(ctx context.Context, jobs []job, engine *native.Options, bitsDirs ...string) error {
	set, pins, w, err := a.openJobs(ctx, jobs, bitsDirs...)
	if err != nil {
		return err
	}
	defer w.close()
	uuids := make([]string, len(jobs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cores.All())
	for i, j := range jobs {
		g.Go(func() error {
			story := a.ui()
			if len(jobs) > 1 || cores.Shared(a.env.Getenv) {
				story = story.WithPrefix(j.req.Name)
			}
			opts := a.options(w, story)
			pins[i].fill(&opts, set, j)
			opts.Native = engine
			res, err := build.Run(ctx, j.req, opts)
			if err != nil {
				return err
			}
			if a.on("ENGBLD_SBOM") {
				if err := a.describeBuilt(ctx, res.ManifestPath); err != nil {
					return err
				}
			}
			uuids[i] = res.Manifest.UUID()
			a.sayTimings(story, w, res)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, u := range uuids {
		fmt.Fprintln(a.env.Stdout, u)
	}
	return nil
}

// printRequest answers --print-request.
func (a *app) printRequest(jobs []job) error {
	for _, j := range jobs {
		b, err := j.req.Encode()
		if err != nil {
			return err
		}
		if _, err := a.env.Stdout.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// run checks the jobs and prints or builds them.
func (a *app) run(ctx context.Context, jobs []job, printOnly bool, bitsDirs ...string) error {
	for _, j := range jobs {
		if err := j.req.Check(); err != nil {
			return err
		}
	}
	if printOnly {
		return a.printRequest(jobs)
	}
	engine, err := a.engine()
	if err != nil {
		return err
	}
	if a.planOnly {
		return a.showPlans(ctx, jobs, false, bitsDirs...)
	}
	if err := a.elevate(engine, jobs); err != nil {
		return err
	}
	return a.buildAll(ctx, jobs, engine, bitsDirs...)
}

func (a *app) imageBuildCommand() *cobra.Command {
	var all, printOnly bool
	var bitsDir, timestamp, packages string
	cmd := &cobra.Command{
		Use:   "build FLAVOR...",
		Short: "Build origin images from their flavors",
		Long: `Build origin images from the flavor files in images/ (those of this checkout,
else the ones engbld was made with). Prints the uuid of each image.

TIMESTAMP and ENGBLD_BITS_DIR are read from the environment as the makefiles do,
so the result is the same as make FLAVOR-buildimage's.`,
		Example: `  ENGBLD_SANDBOX=true engbld image build triton-origin-x86_64-24.4.1
  engbld image build --all`,
		ValidArgsFunction: a.completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			jobs, bits, err := a.flavorJobs(cmd.Context(), args, all, bitsDir, timestamp)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("packages") {
				for i := range jobs {
					jobs[i].req.Packages = build.SplitPackages(packages)
				}
			}
			return a.run(cmd.Context(), jobs, printOnly, bits)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "build every flavor")
	f.StringVar(&bitsDir, "bits-dir", "", "write below this directory (default $ENGBLD_BITS_DIR, else bits/ of the checkout)")
	f.StringVar(&timestamp, "timestamp", "", "time of everything new, YYYYMMDDThhmmssZ (default $TIMESTAMP, else now)")
	f.StringVar(&packages, "packages", "", "install these packages instead of the flavor's")
	a.buildFlags(f)
	f.BoolVar(&printOnly, "print-request", false, "print what would be built, as JSON, and stop")
	return cmd
}

// flavorJobs fills a request for each named flavor, as the generated makefiles do.
func (a *app) flavorJobs(ctx context.Context, names []string, all bool, bitsDir, timestamp string) ([]job, string, error) {
	set, err := a.flavors()
	if err != nil {
		return nil, "", err
	}
	if all == (len(names) > 0) {
		return nil, "", fault.WithHint(fault.Usage.Errorf("name the flavors, or say --all"), "engbld flavor list")
	}
	if all {
		names = set.Names()
	}
	top := a.top()
	if timestamp == "" {
		timestamp = a.env.Getenv("TIMESTAMP")
	}
	st, err := stamp.Read(ctx, top, timestamp, a.env.Now(), a.env.Getenv)
	if err != nil {
		return nil, "", err
	}
	when, err := build.ParseTimestamp(st.Timestamp)
	if err != nil {
		return nil, "", err
	}
	bits := a.bitsDir(top, bitsDir)
	var jobs []job
	for _, name := range names {
		f, err := set.Lookup(name)
		if err != nil {
			return nil, "", err
		}
		mf, err := json.Marshal(flavorManifest(set, f, st))
		if err != nil {
			return nil, "", err
		}
		req := build.Request{
			Name: f.Name, Prefix: f.Name + "-zfs", Version: st.String(), Base: f.Base.UUID, Manifest: mf,
			Packages: f.Pkgsrc.Packages, Upgrade: f.Pkgsrc.Upgrade, Audit: true, MOTD: true,
			SourceRepo: redact.Repository(stamp.Remote(ctx, top)), Timestamp: when, Platform: build.DefaultPlatform,
		}
		for _, acc := range set.Accepts(f) {
			req.Accept = append(req.Accept, acc.Package+":"+acc.Action)
		}
		slices.Sort(req.Accept)
		jobs = append(jobs, job{req, filepath.Join(bits, f.Name)})
	}
	return jobs, bits, nil
}

// flavorManifest is what the generated makefiles write into BUILDIMAGE_MF.
func flavorManifest(set *flavor.Set, f *flavor.Flavor, st stamp.Stamp) map[string]any {
	m := map[string]any{
		"name": f.Name, "description": f.Description, "version": st.String(), "homepage": set.BuildEnv.Homepage,
		"tags": map[string]string{"branch": st.Branch, "timestamp": st.Timestamp, "git": st.Commit},
	}
	if f.MinPlatform != "" {
		m["requirements"] = map[string]any{"min_platform": map[string]string{"7.0": f.MinPlatform}}
	}
	return m
}

// bitsDir is where the makefiles put results (spec engbld-interface.md section 3.1).
func (a *app) bitsDir(top, flag string) string {
	for _, dir := range []string{flag, a.env.Getenv("BITS_DIR"), a.env.Getenv("ENGBLD_BITS_DIR")} {
		if dir != "" {
			return a.abs(dir)
		}
	}
	return filepath.Join(top, "bits")
}

func (a *app) abs(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(a.env.Dir, path)
}

func (a *app) imageMakeCommand() *cobra.Command {
	var req build.Request
	var bitsDir, timestamp, packages, top string
	var printOnly, removeStage bool
	cmd := &cobra.Command{
		Use:   "make",
		Short: "Build an image from a makefile's values (called by make buildimage)",
		Long: `Build an image from what a makefile says. The manifest comes from the
environment: BUILDIMAGE_MF, a JSON object with at least name and version.
BUILDIMAGE_PKGSRC_ACCEPT lists package actions that may be left out.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if req.Timestamp, err = build.ParseTimestamp(timestamp); err != nil {
				return err
			}
			set, err := a.flavors()
			if err != nil {
				return err
			}
			req.Manifest = json.RawMessage(a.env.Getenv("BUILDIMAGE_MF"))
			// Asked here and not by the makefile: arguments are seen by every user.
			if req.MOTD && top != "" && !cmd.Flags().Changed("source-repo") {
				req.SourceRepo = stamp.Remote(cmd.Context(), a.abs(top))
			}
			req.SourceRepo = redact.Repository(req.SourceRepo)
			req.Packages = build.SplitPackages(packages)
			req.Accept = accepts(set, splitList(a.env.Getenv("BUILDIMAGE_PKGSRC_ACCEPT")))
			if req.Version == "" {
				req.Version = req.ImageVersion()
			}
			req.Component.Package, req.Component.Stage = a.abs(req.Component.Package), a.abs(req.Component.Stage)
			if err := checkStage(req.Component.Stage, owned.Users(a.env.Getenv)); err != nil {
				return err
			}
			if removeStage && req.Component.Stage != "" && !printOnly {
				defer os.RemoveAll(req.Component.Stage)
			}
			if err := a.current(set, req.Name, top); err != nil {
				return err
			}
			bits := a.abs(bitsDir)
			return a.run(cmd.Context(), []job{{req, filepath.Join(bits, req.Name)}}, printOnly, bits)
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.Name, "name", "", "name of the component; results go to BITS/NAME")
	f.StringVar(&req.Prefix, "prefix", "", "begin of the results' names, usually NAME-zfs")
	f.StringVar(&req.Base, "base", "", "uuid of the image to build on")
	f.StringVar(&req.Version, "version", "", "version in the results' names (default the manifest's)")
	f.StringVar(&bitsDir, "bits-dir", "bits", "directory for results of all components")
	f.StringVar(&timestamp, "timestamp", "", "time of everything new, YYYYMMDDThhmmssZ")
	f.StringVar(&req.Platform, "min-platform-floor", build.DefaultPlatform, "least platform the image may ask for")
	f.StringVar(&req.Component.Package, "package", "", "archive whose root/ goes over the image's root")
	f.StringVar(&req.Component.Stage, "stage", "", "directory whose root/ goes there before it: unpacked agents")
	f.BoolVar(&removeStage, "remove-stage", false, "remove that directory at the end, whatever the end is")
	f.StringVar(&packages, "packages", "", "packages to install, separated by blanks")
	f.BoolVar(&req.Upgrade, "upgrade", false, "upgrade the base's packages first")
	f.BoolVar(&req.Audit, "audit", false, "write the vulnerability audit")
	f.BoolVar(&req.MOTD, "motd", false, "write /etc/motd")
	f.StringVar(&req.SourceRepo, "source-repo", "", "address of the sources, for /etc/motd (default that of git's remote origin in TOP)")
	f.StringVar(&top, "top", "", "top directory of the component")
	a.buildFlags(f)
	f.BoolVar(&printOnly, "print-request", false, "print what would be built, as JSON, and stop")
	return cmd
}

// checkStage refuses a directory of the image's files that another user may have made
// in /tmp, where its name can be foretold. There may be none.
func checkStage(dir string, users []int) error {
	if dir == "" {
		return nil
	}
	if err := owned.Check(dir, users); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.WithHint(fault.Unfit.Errorf("the image's files: %w", err),
			"remove it and build again, or name another place: make BUILDIMAGE_STAGEDIR=DIRECTORY ...")
	}
	return nil
}

// current refuses to build a flavor from a Makefile that is older than its
// flavor file: the other doors would build something else.
func (a *app) current(set *flavor.Set, name, top string) error {
	if !slices.Contains(set.Names(), name) || top == "" || a.abs(top) != a.top() {
		return nil
	}
	return gen.Current(a.top(), "images/"+name+"/Makefile")
}

// accepts joins what images/buildenv.toml accepts for every image with what a
// component does.
func accepts(set *flavor.Set, given []string) []string {
	list := slices.Clone(given)
	for _, a := range set.BuildEnv.Accept {
		list = append(list, a.Package+":"+a.Action)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (a *app) imageLegacyCommand() *cobra.Command {
	var req build.Request
	var manifest, packages string
	var version, printOnly bool
	cmd := &cobra.Command{
		Use:   "legacy -i UUID -d DIR -m JSON -P PREFIX [options]",
		Short: "Build an image with upstream buildimage's command line (tools/buildimage/bin/buildimage)",
		Long: `Build an image with the command line of upstream's buildimage. The results are
PREFIX-VERSION.zfs.gz, .imgmanifest and .pkgaudit in /tmp, VERSION being the
manifest's. Everything new in the image gets the time of TIMESTAMP, else of the
manifest's tag timestamp, else now.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if version {
				fmt.Fprintf(a.env.Stdout, "buildimage %s\n", legacyVersion)
				return nil
			}
			for _, flag := range []string{"image", "dir", "manifest", "image_prefix"} {
				if cmd.Flag(flag).Value.String() == "" {
					return fault.WithHint(fault.Usage.Errorf("buildimage: --%s is needed", flag), "buildimage --help")
				}
			}
			set, err := a.flavors()
			if err != nil {
				return err
			}
			req.Manifest, req.Packages = json.RawMessage(manifest), build.SplitPackages(packages)
			req.Accept = accepts(set, splitList(a.env.Getenv("BUILDIMAGE_PKGSRC_ACCEPT")))
			req.Name, req.Version, req.Platform = req.ImageName(), req.ImageVersion(), build.DefaultPlatform
			req.Component.Dir = a.abs(req.Component.Dir)
			req.SourceRepo = redact.Repository(req.SourceRepo)
			if req.Timestamp, err = a.legacyTime(req.Manifest); err != nil {
				return err
			}
			return a.run(cmd.Context(), []job{{req, "/tmp"}}, printOnly, a.bitsDir(a.env.Dir, ""))
		},
	}
	f := cmd.Flags()
	f.StringVarP(&req.Base, "image", "i", "", "uuid of the image to build on")
	f.StringVarP(&req.Component.Dir, "dir", "d", "", "tree to copy over the image's root")
	f.StringVarP(&manifest, "manifest", "m", "", "JSON object with at least name and version")
	f.StringVarP(&req.Prefix, "image_prefix", "P", "", "begin of the results' names")
	f.StringVarP(&packages, "packages", "p", "", "pkgsrc packages, separated by commas")
	f.BoolVarP(&req.Upgrade, "upgrade_first", "u", false, "upgrade the base's packages first")
	f.BoolVarP(&req.Audit, "pkg_audit", "a", false, "write the vulnerability audit")
	f.BoolVarP(&req.MOTD, "motd", "M", false, "write /etc/motd")
	f.StringVarP(&req.SourceRepo, "source_repo", "S", "", "address of the sources, for /etc/motd")
	f.BoolVar(&version, "version", false, "print the version")
	f.BoolVar(&printOnly, "print-request", false, "print what would be built, as JSON, and stop")
	// A bad option exits 1, as spec engbld-interface.md section 4.10 has it.
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fault.WithHint(fmt.Errorf("buildimage: %w", err), "buildimage --help")
	})
	return cmd
}

// legacyVersion is the version of upstream's buildimage whose command line this
// is (spec engbld-interface.md section 3.3.2).
const legacyVersion = "0.0.2"

func (a *app) legacyTime(manifest json.RawMessage) (time.Time, error) {
	if t := a.env.Getenv("TIMESTAMP"); t != "" {
		return build.ParseTimestamp(t)
	}
	if m, err := imgmanifest.Parse(manifest); err == nil {
		var s string
		if json.Unmarshal(m.Tags()["timestamp"], &s) == nil {
			if t, err := time.Parse(build.TimestampLayout, s); err == nil {
				return t, nil
			}
		}
	}
	return a.env.Now().UTC().Truncate(time.Second), nil
}

// top is the directory of the engbld checkout that the working directory is in,
// else the one the launcher came from (ENGBLD_ROOT), else the working directory.
func (a *app) top() string {
	for dir := a.env.Dir; ; dir = filepath.Dir(dir) {
		if fi, err := os.Stat(filepath.Join(dir, "images", "buildenv.toml")); err == nil && fi.Mode().IsRegular() {
			return dir
		}
		if dir == filepath.Dir(dir) {
			if root := a.env.Getenv("ENGBLD_ROOT"); root != "" {
				return root
			}
			return a.env.Dir
		}
	}
}
