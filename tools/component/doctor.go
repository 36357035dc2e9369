package component

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/buildenv"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/finding"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/makefile"
)

// Options are what Doctor needs.
type Options struct {
	Dir     string // the component's, absolute
	Flavors *flavor.Set
	// System and Getenv are for asking make, where the makefile's text alone does
	// not tell the base image. nil: make is not asked.
	System buildenv.System
	Getenv func(string) string
}

// Doctor looks for mistakes in the component in opts.Dir.
func Doctor(ctx context.Context, opts Options) (*finding.Report, error) {
	c, err := open(opts.Dir)
	if err != nil {
		return nil, err
	}
	d := &doctor{ctx: ctx, opts: opts, c: c, report: &finding.Report{}}
	d.report.Subject = c.name(filepath.Base(opts.Dir))
	if d.engIncludes() == 0 {
		d.add(finding.Finding{Check: "includes", Verdict: finding.Warn, What: "nothing of deps/eng/tools/mk is included",
			Why: "this is no component, or its makefiles are found by means of functions", Mend: "include ./deps/eng/tools/mk/Makefile.defs"})
	}
	for _, s := range c.tree.Missing {
		if !s.Optional && !strings.Contains(strings.Join(s.Paths, ""), "$") {
			d.add(finding.Finding{Check: "includes", Verdict: finding.Warn, Where: d.where(s), What: s.Paths[0] + " is not there",
				Why: "what it sets is not known here", Mend: "make, if it is made; else git submodule update --init"})
		}
	}
	d.baseImage()
	d.nodeImage()
	d.jenkins()
	d.variables()
	d.order()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	return d.report, nil
}

// Err is the verdict: nil if nothing failed, else an error of kind fault.Drift.
func Err(r *finding.Report) error {
	if r.Good() {
		return nil
	}
	return fault.Drift.Errorf("%s: %d of %d findings are mistakes", r.Subject, r.Count(finding.Fail), len(r.Findings))
}

type doctor struct {
	ctx    context.Context
	opts   Options
	c      *checkout
	report *finding.Report

	base     flavor.Known // what it builds on; zero if not known
	hasImage bool         // base is set
}

func (d *doctor) add(f finding.Finding) { d.report.Add(f) }

func (d *doctor) ok(check, format string, args ...any) {
	d.add(finding.Finding{Check: check, Verdict: finding.OK, What: fmt.Sprintf(format, args...)})
}

func (d *doctor) where(s makefile.Stmt) string { return d.c.tree.Where(s) }

func (d *doctor) makesImage() bool {
	v, _ := d.c.tree.Value("ENGBLD_USE_BUILDIMAGE")
	return v == "true"
}

// baseImage finds the image it really builds on, and compares with what is said.
func (d *doctor) baseImage() {
	const id = "base-image"
	assigns := d.c.tree.Assigns("BASE_IMAGE_UUID")
	uuids, other := d.c.uuids("BASE_IMAGE_UUID")
	uuid := ""
	switch {
	case len(uuids) == 1 && !other:
		uuid = uuids[0]
	case len(assigns) > 0:
		uuid = d.askMake(id, assigns[len(assigns)-1], uuids)
	}
	if uuid == "" {
		switch {
		case len(assigns) > 0:
		case d.makesImage():
			d.add(finding.Finding{Check: id, Verdict: finding.Fail, What: "BASE_IMAGE_UUID is not set", Why: "make buildimage does not know what to build on",
				Mend: d.bump(newest(d.opts.Flavors))})
		default:
			d.ok(id, "it makes no image")
		}
		return
	}
	before := d.report.Count(finding.Fail) + d.report.Count(finding.Warn)
	var ok bool
	d.base, ok = known(d.opts.Flavors, uuid)
	d.hasImage = ok
	for _, s := range assigns {
		if v, _ := d.c.tree.Expand(s.Value); strings.TrimSpace(v) == uuid {
			d.comment(id, s, uuid)
		}
	}
	at := d.where(assigns[len(assigns)-1])
	switch {
	case !ok:
		d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: at, What: "nothing is known of image " + uuid,
			Why: "it may be misspelt, or younger than this program", Mend: "engbld flavor list; engbld component origin-bump FLAVOR"})
		return
	case d.base.Flavor != nil && d.base.Flavor.Name == d.report.Subject:
		d.ok(id, "%s, for an origin image", d.base)
		return
	case !d.base.Origin && d.makesImage() && before == d.report.Count(finding.Fail)+d.report.Count(finding.Warn):
		d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: at, What: d.base.String() + " is not an origin image",
			Why: "what all components share is not in it, so it is installed, stored and fetched once more", Mend: d.bump(d.originOf())})
	case before == d.report.Count(finding.Fail)+d.report.Count(finding.Warn):
		d.ok(id, "%s", d.base)
	}
	d.age(at)
}

// originOf is the flavor to go to from the present base.
func (d *doctor) originOf() *flavor.Flavor {
	if f := d.base.Flavor; f != nil && len(f.Released) > 0 {
		return f
	}
	return newest(d.opts.Flavors)
}

func (d *doctor) bump(f *flavor.Flavor) string {
	if f == nil {
		return "engbld component origin-bump UUID"
	}
	return "engbld component origin-bump " + f.Name + " --write"
}

// askMake gets the value that conditions or functions hide.
func (d *doctor) askMake(id string, s makefile.Stmt, uuids []string) string {
	what := "which image BASE_IMAGE_UUID names depends on conditions or functions"
	if len(uuids) > 0 {
		what += ": " + strings.Join(uuids, " or ")
	}
	if d.opts.System == nil || d.opts.Getenv == nil {
		d.add(finding.Finding{Check: id, Verdict: finding.Skip, Where: d.where(s), What: what})
		return ""
	}
	c, err := buildenv.Ask(d.ctx, d.opts.System, d.opts.Getenv, d.opts.Dir)
	switch {
	case err != nil:
		d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: d.where(s), What: what + "; " + err.Error(),
			Why: "the image it builds on cannot be checked", Mend: "make print-BASE_IMAGE_UUID"})
	case c == nil || !uuidRE.MatchString(c.Base):
		value := ""
		if c != nil {
			value = c.Base
		}
		v := finding.Warn
		if d.makesImage() {
			v = finding.Fail
		}
		d.add(finding.Finding{Check: id, Verdict: v, Where: d.where(s), What: fmt.Sprintf("BASE_IMAGE_UUID is %q here, which is no uuid", value),
			Why: "make buildimage does not know what to build on", Mend: "make print-BASE_IMAGE_UUID"})
	default:
		return c.Base
	}
	return ""
}

// comment compares the uuid with what the comments beside it say.
func (d *doctor) comment(id string, s makefile.Stmt, uuid string) {
	f := d.c.tree.File(s.File)
	if f == nil {
		return
	}
	for _, cl := range claims(f, s) {
		fd := finding.Finding{Check: id, Where: d.where(s)}
		is := "an unknown image"
		if d.hasImage {
			is = d.base.String()
		}
		fd.What = fmt.Sprintf("the comment says %s, but %s is %s", cl.text, uuid, is)
		fd.Why = "one of the two is not what was meant, and make goes by the uuid"
		meant, err := d.opts.Flavors.Lookup(cl.version)
		switch {
		case !d.hasImage:
			continue
		case cl.origin && !d.base.Origin:
			fd.Verdict, fd.Why = finding.Fail, "it is built on an image that is no origin image, without notice: what the origin adds is missing or installed again"
		case cl.version != version(d.base):
			fd.Verdict = finding.Fail
		case cl.origin != d.base.Origin, cl.arch != "" && d.base.Flavor != nil && cl.arch != d.base.Flavor.Pkgsrc.Arch:
			fd.Verdict, fd.Why = finding.Warn, "the next reader is misled"
			fd.Mend = "# " + strings.SplitN(d.base.String(), "@master", 2)[0]
			d.add(fd)
			continue
		default:
			continue
		}
		fd.Mend = "correct the comment"
		if err == nil && cl.origin {
			fd.Mend = d.bump(meant) + "\nor, if the uuid is meant, " + fd.Mend
			if len(meant.Released) == 0 {
				fd.Mend = "no image of " + meant.Name + " is released; engbld component origin-bump UUID of one of your own"
			}
		}
		d.add(fd)
	}
}

// age tells of younger images.
func (d *doctor) age(at string) {
	const id = "origin-age"
	last := newest(d.opts.Flavors)
	if last == nil {
		return
	}
	r, _ := released(last)
	f := d.base.Flavor
	warn := func(format string, args ...any) {
		d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: at, What: fmt.Sprintf(format, args...),
			Why: "its packages are those of pkgsrc " + d.base.Pkgsrc, Mend: d.bump(last)})
	}
	switch {
	case f == nil:
		warn("%s is of before the origin images; the newest is %s@%s", d.base, last.Name, r.Version)
	case d.base.Origin && f == last && d.base.UUID != r.UUID:
		d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: at, What: fmt.Sprintf("%s has a younger image: %s", f.Name, r.Version),
			Why: "its packages are newer", Mend: d.bump(f)})
	case d.base.Pkgsrc < last.Pkgsrc.Release:
		warn("%s is outdated; the newest is %s@%s", d.base, last.Name, r.Version)
	default:
		d.ok(id, "the newest")
	}
}

// nodeImage checks that node is one that runs on the base image.
func (d *doctor) nodeImage() {
	const id = "node-image"
	s, ok := d.c.tree.Includes("Makefile.node_prebuilt.defs")
	tag, _ := d.c.tree.Value("NODE_PREBUILT_TAG")
	switch {
	case !ok || !d.hasImage || !d.makesImage() || tag == "gz":
		return
	}
	uuids, other := d.c.uuids("NODE_PREBUILT_IMAGE")
	if len(uuids) == 0 {
		what := "NODE_PREBUILT_IMAGE is not set"
		if other {
			what = "NODE_PREBUILT_IMAGE is no uuid"
		}
		d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: d.where(s), What: what,
			Why: "node is then one for the build machine's image, whatever that is", Mend: "NODE_PREBUILT_IMAGE = " + orelse(d.nodeFor(), "UUID of the image that node was built on")})
		return
	}
	want := d.nodeFor()
	if want == "" {
		// Nothing is known to fit: at least the release must be the same.
		k, ok := known(d.opts.Flavors, uuids[0])
		if ok && k.Pkgsrc == d.base.Pkgsrc {
			d.ok(id, "%s", k)
			return
		}
		d.add(finding.Finding{Check: id, Verdict: finding.Warn, What: fmt.Sprintf("no node build is known for %s; NODE_PREBUILT_IMAGE is %s", d.base, orelse(name(k), uuids[0])),
			Why: "node may not find its libraries in the image", Mend: "choose a node built on " + orelse(baseName(d.base), "the base image")})
		return
	}
	for _, u := range uuids {
		if u != want {
			k, _ := known(d.opts.Flavors, u)
			wk, _ := known(d.opts.Flavors, want)
			d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: d.where(d.c.tree.Assigns("NODE_PREBUILT_IMAGE")[0]),
				What: fmt.Sprintf("NODE_PREBUILT_IMAGE is %s, on %s runs the node of %s", orelse(name(k), u), d.base, orelse(name(wk), want)),
				Why:  "node may not find its libraries in the image", Mend: "NODE_PREBUILT_IMAGE = " + want})
			return
		}
	}
	k, _ := known(d.opts.Flavors, want)
	d.ok(id, "%s", orelse(name(k), want))
}

func name(k flavor.Known) string {
	if k.UUID == "" {
		return ""
	}
	return k.String()
}

func baseName(k flavor.Known) string {
	if k.Flavor == nil {
		return ""
	}
	return k.Flavor.Base.String()
}

// nodeFor is the image whose node builds run on the base image, "" if none is known.
func (d *doctor) nodeFor() string {
	if f := d.base.Flavor; f != nil {
		if f.Sdcnode != nil {
			return f.Sdcnode.Image
		}
		return ""
	}
	for _, n := range d.opts.Flavors.BuildEnv.OldSdcnode {
		if n.Build == d.base.String() {
			return n.Image
		}
	}
	for _, f := range d.opts.Flavors.Flavors {
		if f.Sdcnode != nil && f.Sdcnode.Image == d.base.UUID {
			return f.Sdcnode.Image
		}
	}
	return ""
}

// jenkins compares the agent's label with the base image.
func (d *doctor) jenkins() {
	const id = "jenkins"
	if d.c.jenkins == "" || !d.hasImage {
		return
	}
	var versions []string
	line := 0
	for _, m := range imageVerRE.FindAllStringSubmatchIndex(d.c.pipeline, -1) {
		v := d.c.pipeline[m[2]:m[3]]
		if !slices.Contains(versions, v) {
			versions = append(versions, v)
			line = strings.Count(d.c.pipeline[:m[2]], "\n") + 1
		}
	}
	want := version(d.base)
	if f := d.base.Flavor; f != nil && f.Name == d.report.Subject { // an origin image itself
		want = f.BuildOn.ImageVer
	}
	switch {
	case len(versions) == 0:
	case slices.Contains(versions, want):
		d.ok(id, "image_ver %s", want)
	default:
		d.add(finding.Finding{Check: id, Verdict: finding.Warn, Where: fmt.Sprintf("%s:%d", d.c.jenkins, line),
			What: fmt.Sprintf("agents of image_ver %s build it, its base image is of %s", strings.Join(versions, ", "), want),
			Why:  "what is compiled against the agent's libraries does not find the same ones in the image", Mend: "image_ver: '" + want + "'"})
	}
}

func orelse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
