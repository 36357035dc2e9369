package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/ui"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// buildFlags are the flags of all verbs that build.
func (a *app) buildFlags(f *pflag.FlagSet) {
	f.BoolVar(&a.keep, "keep", false, "of a build that fails, leave what there is and say where (also $ENGBLD_KEEP=true)")
	f.BoolVar(&a.timings, "timings", false, "say how long each step took (also $ENGBLD_TIMINGS=true)")
	f.BoolVar(&a.planOnly, "plan", false, "show what would be done, and why, and stop")
	f.BoolVar(&a.again, "again", false, "build even if the same image is there already")
}

// sayTimings keeps the times of a build that ran, and says them where asked to.
func (a *app) sayTimings(story *ui.UI, w *world, res *build.Result) {
	if !res.Reused {
		if err := w.records.PutTimings(res.Manifest.UUID(), res.Timings); err != nil {
			story.Warnf("how long the steps took is not kept: %v", err)
		}
	}
	if !a.timings && !a.on("ENGBLD_TIMINGS") {
		return
	}
	total := 0.0
	for _, t := range res.Timings {
		story.Infof("%-10s %8.3fs", t.Step, t.Seconds)
		total += t.Seconds
	}
	story.Infof("%-10s %8.3fs", "total", total)
}

// pin is what the checkout says about one build besides its request.
type pin struct {
	lock   *lock.Lock
	file   string
	policy *build.Policy
}

// fill sets the options that belong to one build.
func (p pin) fill(o *build.Options, set *flavor.Set, j job) {
	o.Out, o.EOLPage = j.out, set.BuildEnv.EOLPage
	o.Lock, o.LockFile, o.Policy = p.lock, p.file, p.policy
}

// openJobs loads the flavors, what locks and policies pin for the jobs (in their
// order), and sets up the world that builds them. The caller closes it.
func (a *app) openJobs(ctx context.Context, jobs []job, bitsDirs ...string) (*flavor.Set, []pin, *world, error) {
	set, err := a.flavors()
	if err != nil {
		return nil, nil, nil, err
	}
	pins, images, err := a.pins(set, jobs)
	if err != nil {
		return nil, nil, nil, err
	}
	w, err := a.openLocked(ctx, a.ui(), images, bitsDirs...)
	return set, pins, w, err
}

// pins finds locks and policies of builds: those of their flavors. It also
// returns the base images that the locks name.
func (a *app) pins(set *flavor.Set, jobs []job) (pins []pin, images []lock.Image, err error) {
	for _, j := range jobs {
		var p pin
		for _, f := range set.Flavors {
			if f.Name != j.req.Name {
				continue
			}
			p.policy = policyOf(f)
			if a.env.Getenv("ENGBLD_LOCK") == "false" {
				break
			}
			file := a.lockFile(f.Name)
			p.lock, err = lock.Read(file)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return nil, nil, err
			default:
				p.file = a.relative(file)
				images = append(images, p.lock.Images...)
			}
		}
		pins = append(pins, p)
	}
	return pins, images, nil
}

// lockFile is the lock of a flavor. The sandbox has locks of its own: what they
// name is made up.
func (a *app) lockFile(name string) string {
	file := lock.FileName
	if a.on("ENGBLD_SANDBOX") {
		file = lock.SandboxFileName
	}
	return filepath.Join(a.top(), "images", name, file)
}

// relative names a file of the checkout from its top, for messages that are the
// same everywhere.
func (a *app) relative(file string) string {
	if rel, err := filepath.Rel(a.top(), file); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return file
}

// policyOf is a flavor's policy for the audit; nil where it has none.
func policyOf(f *flavor.Flavor) *build.Policy {
	if len(f.Audit.FailOn)+len(f.Audit.Accept) == 0 {
		return nil
	}
	p := &build.Policy{FailOn: f.Audit.FailOn}
	for _, x := range f.Audit.Accept {
		p.Accept = append(p.Accept, build.Acceptance(x))
	}
	return p
}

// inputs is the place that keeps inputs by their digest; nil where none is set.
func (a *app) inputs(w *world) (*lock.Inputs, error) {
	address := a.env.Getenv("ENGBLD_INPUTS")
	if address == "" {
		return nil, nil
	}
	if !isURL(address) {
		address = a.abs(address)
	}
	return lock.OpenInputs(address, lock.InputsOptions{Client: w.client, CacheDir: w.packageCache, Offline: w.offline})
}

func (a *app) planCommand() *cobra.Command {
	var all, asJSON bool
	var bitsDir, timestamp string
	cmd := &cobra.Command{
		Use:   "plan FLAVOR...",
		Short: "Show what building would do: steps, inputs, and why",
		Long: `Show the steps a build of the flavor runs, in order: what each takes in, with
digest and place, whether it runs or not, and why. It is the list that the build
itself runs. Nothing is built, and no more is fetched than manifests.

With a lock all inputs are known beforehand. Without one those of the package
steps are open: what the repositories have when the step runs is taken.

Places: cached (on this machine), stored (in $ENGBLD_INPUTS), to fetch, open.`,
		Example: `  engbld plan triton-origin-x86_64-24.4.1
  engbld plan --json --all`,
		ValidArgsFunction: a.completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			jobs, bits, err := a.flavorJobs(ctx, args, all, bitsDir, timestamp)
			if err != nil {
				return err
			}
			return a.showPlans(ctx, jobs, asJSON, bits)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "every flavor")
	f.BoolVar(&asJSON, "json", false, "write JSON, one object a flavor")
	f.StringVar(&bitsDir, "bits-dir", "", "results are below this directory (default as for image build)")
	f.StringVar(&timestamp, "timestamp", "", "time of everything new (default as for image build)")
	return cmd
}

// showPlans prints what building the jobs would do.
func (a *app) showPlans(ctx context.Context, jobs []job, asJSON bool, bitsDirs ...string) error {
	engine, err := a.engine()
	if err != nil {
		return err
	}
	set, pins, w, err := a.openJobs(ctx, jobs, bitsDirs...)
	if err != nil {
		return err
	}
	defer w.close()
	for i, j := range jobs {
		opts := a.options(w, a.ui())
		pins[i].fill(&opts, set, j)
		opts.Native = engine
		p, err := build.Plan(ctx, j.req, opts)
		if err != nil {
			return err
		}
		show := p.Text
		if asJSON {
			show = p.JSON
		} else if i > 0 {
			fmt.Fprintln(a.env.Stdout)
		}
		if err := show(a.env.Stdout); err != nil {
			return err
		}
	}
	return nil
}

// completeFlavors completes arguments that may be flavors, and files.
func (a *app) completeFlavors(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	set, err := a.flavors()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return set.Names(), cobra.ShellCompDirectiveDefault
}
