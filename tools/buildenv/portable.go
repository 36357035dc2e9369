package buildenv

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/finding"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"github.com/TritonDataCenter/engbld/tools/ui"
)

// What the portable engine needs, in bytes. A base image is kept in the cache as it
// was received and decompressed, packages beside it; products are smaller. The
// sandbox's stand-ins have a few megabytes.
const (
	needCache   = 2 << 30
	needBits    = 512 << 20
	needTmp     = 512 << 20
	needSandbox = 64 << 20
)

const maxSkew = 5 * time.Minute // signed requests are refused beyond it

// portable checks what the portable engine needs.
type portable struct {
	ctx     context.Context
	opts    Options
	system  string
	comp    *Component
	unknown bool
	report  *finding.Report

	required *Required
	latest   time.Time // the youngest time seen from outside: servers, HEAD
	from     string    // where latest comes from
	asked    bool      // latest is a server's own clock, now
}

func (p *portable) run() {
	p.illumos()
	p.base()
	sandbox := p.on("ENGBLD_SANDBOX")
	need := func(n uint64) uint64 {
		if sandbox {
			return needSandbox
		}
		return n
	}
	bits := p.opts.Dir
	if p.comp != nil && p.comp.BitsDir != "" {
		bits = p.comp.BitsDir
	}
	p.room("space-bits", "products", "ENGBLD_BITS_DIR", bits, need(needBits))
	cache, err := p.opts.CacheDir()
	if err != nil {
		p.report.Add(finding.Finding{Check: "space-cache", Verdict: finding.Fail, What: err.Error(), Why: "base images and packages are kept there",
			Mend: "ENGBLD_CACHE_DIR=DIRECTORY"})
	} else {
		p.room("space-cache", "base images and packages", "ENGBLD_CACHE_DIR", cache, need(needCache))
	}
	p.room("space-tmp", "what is being put together", "TMPDIR", orelse(p.opts.Getenv("TMPDIR"), "/tmp"), need(needTmp))
	p.servers(sandbox)
	p.clock()
	workTree(p.ctx, p.opts, p.report)
}

// on is the word true, as in upstream's variables.
func (p *portable) on(name string) bool { return p.opts.Getenv(name) == "true" }

func (p *portable) illumos() {
	const id = "illumos"
	switch {
	case p.comp == nil:
		p.report.Add(finding.Finding{Check: id, Verdict: finding.Skip, What: "no component here"})
	case p.on("ENGBLD_SANDBOX") && len(p.comp.Illumos) > 0:
		p.report.Add(finding.Finding{Check: id, Verdict: finding.Warn,
			What: p.comp.Name + " must be compiled on illumos; in the sandbox (ENGBLD_SANDBOX) images are made of made-up things anyway",
			Why:  reasons(p.comp.Illumos), Mend: "build it in a SmartOS zone, without ENGBLD_SANDBOX, for an image that is to run"})
	case p.on("ENGBLD_ALLOW_FOREIGN") && len(p.comp.Illumos) > 0:
		p.report.Add(finding.Finding{Check: id, Verdict: finding.Warn, What: p.comp.Name + " must be compiled on illumos; ENGBLD_ALLOW_FOREIGN is set",
			Why: reasons(p.comp.Illumos), Mend: "unset ENGBLD_ALLOW_FOREIGN for an image that is to run"})
	case len(p.comp.Illumos) > 0:
		mend := "build it in a SmartOS zone"
		switch r := p.required; {
		case r != nil && r.Agent != "":
			mend += " of the jenkins-agent image " + r.Agent
		case r != nil && r.Name != "":
			mend += " with pkgsrc " + r.Pkgsrc + " (" + r.Unknown() + ")"
		}
		mend += ";\n" + skipAll + "=true builds here all the same, for development only"
		p.report.Add(finding.Finding{Check: id, Verdict: finding.Fail, What: fmt.Sprintf("%s must be compiled on illumos, this is %s", p.comp.Name, p.system),
			Why: reasons(p.comp.Illumos), Mend: mend})
	default:
		p.report.Add(finding.Finding{Check: id, Verdict: finding.OK, What: p.comp.Name + " compiles nothing, so it can be built here"})
	}
}

func reasons(list []Reason) string {
	lines := make([]string, len(list))
	for i, r := range list {
		lines[i] = r.String()
	}
	return strings.Join(lines, "\n")
}

func (p *portable) base() {
	const id = "base-image"
	switch r := p.required; {
	case p.comp == nil:
	case p.unknown:
		p.report.Add(finding.Finding{Check: id, Verdict: finding.Skip, What: "not known, as make could not be asked"})
	case r == nil:
		p.report.Add(finding.Finding{Check: id, Verdict: finding.OK, What: "none is required"})
	case r.Name == "":
		p.report.Add(finding.Finding{Check: id, Verdict: finding.Warn, What: fmt.Sprintf("nothing is known of image %s (%s)", r.Image, r.By),
			Why: "it may be no image for components, or be missing on the image server", Mend: "engbld component doctor"})
	default:
		p.report.Add(finding.Finding{Check: id, Verdict: finding.OK, What: r.Name})
	}
}

func (p *portable) room(id, what, variable, dir string, need uint64) {
	f := finding.Finding{Check: id, Why: what + " go there", Mend: variable + "=DIRECTORY with more space, or: engbld cache prune"}
	room, err := p.opts.System.Room(dir)
	switch {
	case err != nil:
		f.Verdict, f.What, f.Mend = finding.Fail, err.Error(), variable+"=DIRECTORY"
	case !room.Writable:
		f.Verdict, f.What, f.Mend = finding.Fail, room.At+" is not writable", variable+"=DIRECTORY that is, or: chmod u+w "+room.At
	case room.Free < need:
		f.Verdict, f.What = finding.Fail, fmt.Sprintf("%s free in %s, %s are needed", ui.Bytes(int64(room.Free)), room.At, ui.Bytes(int64(need)))
	default:
		f.Verdict, f.What = finding.OK, fmt.Sprintf("%s free in %s", ui.Bytes(int64(min(room.Free, 1<<62))), room.At)
	}
	p.report.Add(f)
}

func (p *portable) servers(sandbox bool) {
	const id = "servers"
	switch {
	case sandbox:
		p.report.Add(finding.Finding{Check: id, Verdict: finding.Skip, What: "ENGBLD_SANDBOX is set, no server is needed"})
		return
	case p.on("ENGBLD_OFFLINE"):
		p.report.Add(finding.Finding{Check: id, Verdict: finding.Skip, What: "ENGBLD_OFFLINE is set, what is not in the cache will be missing"})
		return
	case p.opts.Reach == nil || len(p.opts.Servers) == 0:
		p.report.Add(finding.Finding{Check: id, Verdict: finding.Skip, What: "none is asked"})
		return
	}
	for _, s := range p.opts.Servers {
		date, err := p.opts.Reach(p.ctx, s.URL)
		shown := redact.Address(s.URL)
		if err != nil {
			mend := fault.Hint(err)
			if mend == "" {
				mend = "ENGBLD_SANDBOX=true builds from made-up images and packages, without network;\nENGBLD_IMAGE_SOURCE=DIRECTORY takes base images from files"
			}
			p.report.Add(finding.Finding{Check: id, Verdict: finding.Fail, What: fmt.Sprintf("%s %s: %v", s.What, shown, err),
				Why: "what is not in the cache cannot be had", Mend: mend})
			continue
		}
		p.report.Add(finding.Finding{Check: id, Verdict: finding.OK, What: s.What + " " + shown})
		if date.After(p.latest) {
			p.latest, p.from, p.asked = date, shown, true
		}
	}
}

func (p *portable) clock() {
	f := finding.Finding{Check: "clock", Why: "times in images come from it, and servers refuse requests signed at another time", Mend: "set the clock, or keep it with NTP"}
	now := p.opts.Now().UTC()
	if !p.asked {
		o, err := p.opts.System.Run(p.ctx, Cmd{Dir: p.opts.Dir, Args: []string{"git", "log", "-1", "--format=%ct"}})
		if sec, perr := strconv.ParseInt(strings.TrimSpace(o.Stdout), 10, 64); err == nil && perr == nil && o.Status == 0 {
			p.latest, p.from = time.Unix(sec, 0).UTC(), "the last commit"
		}
	}
	const form = "2006-01-02 15:04:05Z"
	skew := now.Sub(p.latest)
	switch {
	case p.asked && (skew > maxSkew || skew < -maxSkew):
		f.Verdict, f.What = finding.Fail, fmt.Sprintf("%s here, %s at %s", now.Format(form), p.latest.UTC().Format(form), p.from)
	case skew < -maxSkew:
		f.Verdict, f.What = finding.Fail, fmt.Sprintf("%s here, which is before %s (%s)", now.Format(form), p.from, p.latest.Format(form))
	case now.Year() < 2025: // this program is younger
		f.Verdict, f.What = finding.Fail, now.Format(form)+" is too early"
	default:
		f = finding.Finding{Check: f.Check, Verdict: finding.OK, What: now.Format(form)}
	}
	p.report.Add(f)
}
