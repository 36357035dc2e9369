package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/spf13/cobra"
)

// locking is what the lock verb is told.
type locking struct {
	all, check, store, asJSON bool
	update                    []string
}

func (a *app) lockCommand() *cobra.Command {
	var o locking
	cmd := &cobra.Command{
		Use:   "lock FLAVOR...",
		Short: "Pin the inputs of a flavor in images/FLAVOR/flavor.lock",
		Long: `Write images/FLAVOR/flavor.lock: the base image's chain, every package archive
with its sha256, repository and signer, and the list of vulnerabilities, as they
are now. From then on builds of the flavor use exactly these; a lock that does not
fit the flavor any more is refused with exit code 3. Prints the file's name and
what changed in it.

Repositories roll: set ENGBLD_INPUTS to a directory, and the inputs are kept
there by their sha256. Builds look there first; a copy of the directory on a web
server does too (ENGBLD_INPUTS=https://...). ENGBLD_OFFLINE=true builds from it
and the cache alone. ENGBLD_LOCK=false builds without the lock. In the sandbox the
file is called flavor.sandbox.lock.`,
		Example: `  engbld lock triton-origin-x86_64-24.4.1
  engbld lock --update curl triton-origin-x86_64-24.4.1
  engbld lock --check --all`,
		ValidArgsFunction: a.completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.check && (len(o.update) > 0 || o.store) || o.store && len(o.update) > 0 {
				return fault.Usage.Errorf("engbld lock: --check, --store and --update exclude each other")
			}
			return a.lockFlavors(cmd.Context(), args, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "every flavor (with --check and --store: every one that has a lock)")
	f.BoolVar(&o.check, "check", false, "say whether every input can still be had; exit code 3 if not")
	f.BoolVar(&o.store, "store", false, "put the inputs of the lock as it is into $ENGBLD_INPUTS")
	f.BoolVar(&o.asJSON, "json", false, "with --check: write JSON")
	f.StringArrayVar(&o.update, "update", nil, "renew only this package and what it needs (repeat for several); "+
		build.VulnerabilitiesName+" is the list of vulnerabilities")
	return cmd
}

func (a *app) lockFlavors(ctx context.Context, names []string, o locking) error {
	if _, err := a.checkout(); err != nil {
		return err
	}
	jobs, bits, err := a.flavorJobs(ctx, names, o.all, "", "")
	if err != nil {
		return err
	}
	set, err := a.flavors()
	if err != nil {
		return err
	}
	old := make([]*lock.Lock, len(jobs))
	var images []lock.Image
	for i, j := range jobs {
		old[i], err = lock.Read(a.lockFile(j.req.Name))
		switch {
		case err == nil:
			images = append(images, old[i].Images...)
		case !errors.Is(err, fs.ErrNotExist) && (o.check || o.store || len(o.update) > 0):
			return err
		}
	}
	w, err := a.openLocked(ctx, a.ui(), images, bits)
	if err != nil {
		return err
	}
	defer w.close()
	if o.store && w.inputs == nil {
		return fault.WithHint(fault.Usage.Errorf("engbld lock --store: ENGBLD_INPUTS is not set"), "set ENGBLD_INPUTS to a directory")
	}
	missing := 0
	var stale error
	for i, j := range jobs {
		name := j.req.Name
		if old[i] == nil && (o.check || o.store || len(o.update) > 0) {
			if o.all {
				continue
			}
			return fault.WithHint(fault.Usage.Errorf("%s has no lock", name), "engbld lock %s", name)
		}
		story := a.ui()
		if len(jobs) > 1 {
			story = story.WithPrefix(name)
		}
		opts := a.options(w, story)
		opts.EOLPage = set.BuildEnv.EOLPage
		switch {
		case o.check:
			n, err := a.checkLock(ctx, old[i], opts, w, o.asJSON)
			if err != nil {
				return err
			}
			if missing += n; stale == nil {
				if why := build.Stale(j.req, old[i]); len(why) > 0 {
					stale = fault.WithHint(fault.Drift.Errorf("%s is stale: %s", a.relative(a.lockFile(name)), strings.Join(why, "; ")), "engbld lock %s", name)
				}
			}
		case o.store:
			if err := build.StoreInputs(ctx, old[i], opts, w.source); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		default:
			if len(o.update) > 0 {
				opts.Lock, opts.LockFile, opts.Renew = old[i], a.relative(a.lockFile(name)), o.update
			}
			if err := a.renewLock(ctx, j, old[i], opts, w); err != nil {
				return err
			}
		}
	}
	if missing > 0 {
		return fault.WithHint(fault.Drift.Errorf("engbld lock: %d inputs cannot be had any more", missing),
			"engbld lock FLAVOR takes what there is now; ENGBLD_INPUTS names a place that keeps what was")
	}
	return stale
}

// renewLock resolves a flavor and writes its lock.
func (a *app) renewLock(ctx context.Context, j job, old *lock.Lock, opts build.Options, w *world) error {
	l, err := build.Resolve(ctx, j.req, opts)
	if err != nil {
		return err
	}
	if w.inputs != nil && w.inputs.Writable() {
		if err := build.StoreInputs(ctx, l, opts, w.source); err != nil {
			return fmt.Errorf("%s: %w", j.req.Name, err)
		}
		opts.Story.Infof("inputs are kept in %s", w.inputs)
	}
	file := a.lockFile(j.req.Name)
	fmt.Fprintln(a.env.Stdout, a.relative(file))
	was, err := os.ReadFile(file)
	if err == nil && bytes.Equal(was, l.Encode()) {
		opts.Story.Infof("nothing has changed")
		return nil
	}
	for _, line := range lock.Changes(old, l) {
		fmt.Fprintln(a.env.Stdout, "  "+line)
	}
	if err := newfile.Write(file, l.Encode(), 0o644); err != nil {
		return fault.Step.Errorf("%s: writing the lock: %w", j.req.Name, err)
	}
	opts.Story.Infof("%d packages are locked", len(l.Packages))
	return nil
}

// checkLock prints where the inputs of a lock can be had, and counts those that
// cannot.
func (a *app) checkLock(ctx context.Context, l *lock.Lock, opts build.Options, w *world, asJSON bool) (missing int, err error) {
	list, err := build.CheckInputs(ctx, l, opts, w.source)
	if err != nil {
		return 0, err
	}
	for _, x := range list {
		if x.From == "" {
			missing++
		}
	}
	if asJSON {
		e := json.NewEncoder(a.env.Stdout)
		e.SetIndent("", "  ")
		return missing, e.Encode(map[string]any{"name": l.Name, "inputs": list, "missing": missing})
	}
	width := 0
	for _, x := range list {
		width = max(width, len(x.Name))
	}
	for _, x := range list {
		what := x.From
		if what == "" {
			what = "MISSING: " + x.Error
		}
		fmt.Fprintf(a.env.Stdout, "%-*s  %s\n", width, x.Name, what)
	}
	counts := map[string]int{}
	for _, x := range list {
		counts[x.Kind]++
	}
	kinds := make([]string, 0, len(counts))
	for k, n := range counts {
		kinds = append(kinds, fmt.Sprintf("%d %s", n, k))
	}
	slices.Sort(kinds)
	fmt.Fprintf(a.env.Stdout, "%s: %d inputs, %d missing\n", l.Name, len(list), missing)
	opts.Story.Detailf("%s", strings.Join(kinds, ", "))
	return missing, nil
}
