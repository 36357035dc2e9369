package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/inspect"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

func (a *app) verifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify IMAGE...",
		Short: "Build an image again from its recorded inputs and compare every byte",
		Long: `Build an image again, in a temporary place, from the record of its inputs, and
compare file, audit and manifest byte by byte. A difference is exit code 3; the
first path, stream record, field or line that differs is named.

Each build leaves its record in the cache; with ENGBLD_WRITE_LOCK=true it stands
beside the image too, with the suffix .lock, so that others can verify it. Images
of the native engine have none: ZFS gives each its own times and numbers.

IMAGE is a flavor (its newest build in bits/), the uuid of an image in bits/, or
a manifest or stream file with the other beside it.`,
		Example: `  engbld verify triton-origin-x86_64-24.4.1
  engbld verify bits/NAME/NAME-zfs-STAMP.imgmanifest`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if err := a.verify(cmd.Context(), name, asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON, one object an image")
	return cmd
}

// verified is the answer for programs.
type verified struct {
	Image      string `json:"image"`
	Manifest   string `json:"manifest"`
	Verified   bool   `json:"verified"`
	Difference string `json:"difference,omitempty"`
}

func (a *app) verify(ctx context.Context, name string, asJSON bool) error {
	manifest, id, err := a.findManifest(name)
	if err != nil {
		return err
	}
	rec, err := a.findRecord(manifest, id)
	if err != nil {
		return err
	}
	if rec.Build.Sandbox != a.on("ENGBLD_SANDBOX") {
		return fault.WithHint(fault.Usage.Errorf("image %s: made in the sandbox: %v, this is the sandbox: %v", id, rec.Build.Sandbox, a.on("ENGBLD_SANDBOX")),
			"ENGBLD_SANDBOX=%v engbld verify %s", rec.Build.Sandbox, name)
	}
	dir := filepath.Dir(manifest)
	w, err := a.openLocked(ctx, a.ui(), rec.Images, a.bitsDir(a.top(), ""), dir)
	if err != nil {
		return err
	}
	defer w.close()
	err = build.Verify(ctx, rec, dir, a.options(w, a.ui()))
	switch {
	case asJSON && (err == nil || fault.KindOf(err) == fault.Drift):
		v := verified{Image: id, Manifest: manifest, Verified: err == nil}
		if err != nil {
			v.Difference = err.Error()
		}
		if e := json.NewEncoder(a.env.Stdout).Encode(v); e != nil {
			return e
		}
	case err == nil:
		fmt.Fprintf(a.env.Stdout, "%s verified\n", id)
	}
	return err
}

// findManifest finds an image in a bits directory by what a person calls it; its
// stream may be damaged.
func (a *app) findManifest(name string) (manifest, id string, err error) {
	if m := manifestBeside(a.abs(name)); m != nil {
		return manifestPath(a.abs(name)), m.UUID(), nil
	}
	want := func(m *imgmanifest.Manifest) bool { return m.UUID() == name }
	byUUID := uuid.Validate(name) == nil
	if !byUUID {
		if _, err := os.Stat(a.abs(name)); err == nil {
			return "", "", fault.WithHint(fault.Usage.Errorf("%s: no manifest, and none is beside it", name), "name the .imgmanifest")
		}
		set, err := a.flavors()
		if err != nil {
			return "", "", err
		}
		f, err := set.Lookup(name)
		if err != nil {
			return "", "", fault.WithHint(err, "name a manifest, an image file, a uuid or a flavor: engbld flavor list")
		}
		name, want = f.Name, manifestOf(f.Name, a.on("ENGBLD_SANDBOX"))
	}
	manifest, m := newest(a.ownManifests(), want)
	switch {
	case m != nil:
	case byUUID:
		return "", "", fault.WithHint(fault.Usage.Errorf("image %s: it is not in %s", name, a.bitsDir(a.top(), "")),
			"name its manifest, with the file beside it: updates-imgadm get and get-file fetch them")
	default:
		return "", "", fault.WithHint(fault.Usage.Errorf("%s: no image of that name in %s", name, a.bitsDir(a.top(), "")), "%s", a.buildHint(name, a.on("ENGBLD_SANDBOX")))
	}
	return manifest, m.UUID(), nil
}

// manifestOf accepts the images of a flavor.
func manifestOf(name string, sandboxed bool) func(*imgmanifest.Manifest) bool {
	return func(m *imgmanifest.Manifest) bool { return m.Name() == name && m.Sandbox() == sandboxed }
}

// findRecord finds the record of an image: beside it, or in the cache.
func (a *app) findRecord(manifest, id string) (*lock.Record, error) {
	rec, err := lock.ReadRecord(stemOf(manifest) + build.RecordSuffix)
	for _, sandboxed := range []bool{false, true} {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		var cache string
		if cache, err = a.cacheRoot(sandboxed); err != nil {
			return nil, err
		}
		rec, err = lock.Records(filepath.Join(cache, "records")).Get(id)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// The manifest itself may have been changed: then the file names say what
		// it was.
		if rec = a.recordOf(manifest); rec != nil {
			return rec, nil
		}
		return nil, fault.WithHint(fault.Usage.Errorf("image %s: no record of its inputs, neither beside it nor in the cache", id),
			"an image that is built with ENGBLD_WRITE_LOCK=true has its record beside it; one of the native engine has none, as it cannot be made again byte for byte")
	case err != nil:
		return nil, err
	case rec.Build.Image != id:
		return nil, fault.Drift.Errorf("the manifest is of image %s, its record of %s", id, rec.Build.Image)
	}
	return rec, nil
}

// recordOf finds the record that names this manifest as its output, the newest
// one; nil where there is none.
func (a *app) recordOf(manifest string) *lock.Record {
	var found *lock.Record
	var when time.Time
	for _, sandboxed := range []bool{false, true} {
		cache, err := a.cacheRoot(sandboxed)
		if err != nil {
			return nil
		}
		names, _ := filepath.Glob(filepath.Join(cache, "records", "*.toml"))
		for _, name := range names {
			rec, err := lock.ReadRecord(name)
			fi, statErr := os.Stat(name)
			if err != nil || statErr != nil || fi.ModTime().Before(when) {
				continue
			}
			for _, o := range rec.Build.Outputs {
				if o.Name == filepath.Base(manifest) {
					found, when = rec, fi.ModTime()
				}
			}
		}
	}
	return found
}

func (a *app) auditCommand() *cobra.Command {
	var asJSON, fresh bool
	cmd := &cobra.Command{
		Use:   "audit IMAGE",
		Short: "List known vulnerabilities of an image's packages, by the flavor's policy",
		Long: `Compare the packages of an image with the newest list of vulnerabilities. Each
finding is shown with what the policy in flavor.toml says of it, and with the
upgrade for it that the image's repository has now. Exit code 7 if one may not
stand, or if an acceptance is past its date.

The policy: [audit] fail_on = ["remote-code-execution"], or ["any"];
[[audit.accept]] package, class, url (the last two may be left out), reason, and
expires = "YYYY-MM-DD". A build fails by the same policy, on the day its
timestamp says.

A flavor that was not built yet is audited as it would be built now.` + subjectHelp,
		Example: `  engbld audit triton-origin-x86_64-24.4.1
  engbld audit --json bits/NAME/NAME-zfs-STAMP.imgmanifest`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := a.audit(cmd.Context(), args[0], fresh)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(a.env.Stdout)
				e.SetIndent("", "  ")
				e.SetEscapeHTML(false)
				err = e.Encode(report)
			} else {
				err = a.printAudit(args[0], report)
			}
			if err != nil {
				return err
			}
			return build.Conclude(report.Verdicts, report.Expired)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	cmd.Flags().BoolVar(&fresh, "fresh", false, "audit a flavor as it would be built now, not its newest build")
	return cmd
}

func (a *app) audit(ctx context.Context, name string, fresh bool) (*build.AuditReport, error) {
	set, err := a.flavors()
	if err != nil {
		return nil, err
	}
	now := a.env.Now()
	if f, err := set.Lookup(name); err == nil {
		_, m := newest(a.ownManifests(), manifestOf(f.Name, a.on("ENGBLD_SANDBOX")))
		if fresh || m == nil {
			a.ui().Infof("%s is audited as it would be built now", f.Name)
			jobs, bits, err := a.flavorJobs(ctx, []string{f.Name}, false, "", "")
			if err != nil {
				return nil, err
			}
			set, pins, w, err := a.openJobs(ctx, jobs, bits)
			if err != nil {
				return nil, err
			}
			defer w.close()
			opts := a.options(w, a.ui())
			pins[0].fill(&opts, set, jobs[0])
			return build.AuditRequest(ctx, jobs[0].req, opts, now)
		}
	}
	o := &opener{a: a}
	defer o.close()
	s, err := o.subject(ctx, name)
	if err != nil {
		return nil, err
	}
	im, err := inspect.Open(ctx, s.layers, dataset.ReadOptions{Warn: a.ui()})
	if err == nil {
		im, err = zone(im, s.name)
	}
	if err != nil {
		return nil, fault.Step.Wrap(err)
	}
	w, err := a.open(ctx, a.ui())
	if err != nil {
		return nil, err
	}
	defer w.close()
	opts := a.options(w, a.ui())
	opts.EOLPage = set.BuildEnv.EOLPage
	if n := len(s.images); n > 0 {
		if f, err := set.Lookup(s.images[n-1].Manifest.Name()); err == nil {
			opts.Policy = policyOf(f)
		}
	}
	return build.AuditTree(ctx, im.Tree, opts, now)
}

func (a *app) printAudit(name string, r *build.AuditReport) error {
	counts := map[string]int{}
	width := 0
	for _, v := range r.Verdicts {
		counts[v.State]++
		width = max(width, len(v.Package))
	}
	for _, v := range r.Verdicts {
		line := fmt.Sprintf("%-8s  %-*s  %s  %s", v.State, width, v.Package, v.Class, v.URL)
		if v.State == build.Accepted {
			line += fmt.Sprintf("  (until %s: %s)", v.Expires, v.Reason)
		}
		if v.Upgrade != "" {
			line += "  upgrade: " + v.Upgrade
		}
		if _, err := fmt.Fprintln(a.env.Stdout, line); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.env.Stdout, "%s: %d packages, %d findings: %d refused, %d accepted, %d reported\n",
		name, r.Packages, len(r.Verdicts), counts[build.Refused], counts[build.Accepted], counts[build.Reported])
	return err
}
