package buildenv

import (
	"context"
	"fmt"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/finding"
	"github.com/TritonDataCenter/engbld/tools/flavor"
)

// Server is something that builds fetch from.
type Server struct {
	What string // the image server
	URL  string
}

// Options are what the checks need. System, Getenv and Flavors must be set.
type Options struct {
	System System
	Getenv func(string) string
	Now    func() time.Time // nil: time.Now
	Dir    string           // the component's, absolute
	// Flavors loads the flavor files.
	Flavors func() (*flavor.Set, error)
	// CacheDir is where the portable engine keeps base images.
	CacheDir func() (string, error)
	Servers  []Server
	// Reach asks a server and returns its own time, zero if it does not say.
	// nil: servers are not asked.
	Reach func(ctx context.Context, url string) (time.Time, error)
	// Goals are make's, if known: what they do not need only warns.
	Goals []string
	// Validate leaves out what validate-buildenv.sh does not look at: on other
	// systems than SunOS everything but whether the component must be compiled there.
	Validate bool
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CacheDir == nil {
		o.CacheDir = func() (string, error) { return "", fmt.Errorf("no cache directory is known") }
	}
	return o
}

// Machine is what this machine is.
type Machine struct {
	System   string `json:"system"` // of uname
	Platform string `json:"platform,omitempty"`
	Pkgsrc   string `json:"pkgsrc,omitempty"`
}

// Result is everything doctor found.
type Result struct {
	Fit       bool      `json:"fit"`
	Component string    `json:"component,omitempty"`
	Machine   Machine   `json:"machine"`
	Required  *Required `json:"required"`
	Illumos   []Reason  `json:"illumos"` // why it must be compiled there
	finding.Report
}

// Doctor makes all checks, or those of validate-buildenv.sh. An error means that they could not be made at all; what
// they found is in the result.
func Doctor(ctx context.Context, opts Options) (*Result, error) {
	opts = opts.withDefaults()
	set, err := opts.Flavors()
	if err != nil {
		return nil, err
	}
	res := &Result{}
	if res.Machine.System, err = unameS(ctx, opts.System); err != nil {
		return nil, fault.Unfit.Errorf("asking what system this is: %w", err)
	}
	sunos := res.Machine.System == "SunOS"
	foreign := opts.Validate && !sunos
	if foreign {
		// Most components need no make to be judged, and make may have started us.
		if comp := read(opts.System, opts.Getenv, opts.Dir); comp == nil || len(comp.Illumos) == 0 {
			(&portable{opts: opts, comp: comp, report: &res.Report}).illumos()
			res.Subject, res.Fit = res.subject(), true
			return res, nil
		}
	}
	comp, askErr := ask(ctx, opts.System, opts.Getenv, opts.Dir, sunos)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	switch {
	case askErr == nil:
		res.Required = required(set, comp)
	case !foreign: // where only the mend would be better for it
		res.Add(finding.Finding{Check: "makefile", Verdict: finding.Fail, What: askErr.Error(),
			Why: "without it, which image and platform the component wants is not known", Mend: "make print-BASE_IMAGE_UUID"})
	}
	if comp != nil {
		res.Component, res.Illumos = comp.Name, comp.Illumos
	}
	p := &portable{
		ctx: ctx, opts: opts, system: res.Machine.System, comp: comp, unknown: askErr != nil, required: res.Required,
		report: &res.Report,
	}
	switch {
	case foreign:
		p.illumos()
	case sunos:
		res.Machine.Platform, res.Machine.Pkgsrc = platformOf(ctx, opts.System), releaseOf(opts.System)
		(&smartos{
			ctx: ctx, opts: opts, set: set, comp: comp, unknown: askErr != nil, required: res.Required,
			release: res.Machine.Pkgsrc, platform: res.Machine.Platform, report: &res.Report,
		}).run()
	default:
		p.run()
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	res.Subject = res.subject()
	res.Fit = res.Good()
	return res, nil
}

func (r *Result) subject() string {
	s := r.Machine.System
	if r.Machine.Platform != "" {
		s += " platform " + r.Machine.Platform
	}
	if r.Machine.Pkgsrc != "" {
		s += ", pkgsrc " + r.Machine.Pkgsrc
	}
	if r.Component != "" {
		s += "; " + r.Component
		if r.Required != nil {
			s += " on " + orelse(r.Required.Name, r.Required.Image)
		}
	}
	return s
}

// Err is the verdict: nil for a fit machine, else an error of kind fault.Unfit.
func (r *Result) Err() error {
	if r.Fit {
		return nil
	}
	what := "this machine"
	if r.Component != "" {
		what += " for " + r.Component
	}
	return fault.WithHint(fault.Unfit.Errorf("%d of %d checks of %s failed", r.Count(finding.Fail), len(r.Findings), what),
		"%s=true builds all the same", skipAll)
}
