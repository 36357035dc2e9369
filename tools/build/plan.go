package build

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/plan"
)

// Plan tells what Run would do, from the same list of steps. It fetches manifests
// of base images at most, and changes nothing. A stale lock is refused as by Run.
func Plan(ctx context.Context, r Request, opts Options) (*plan.Plan, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	p := &portable{req: r, opts: opts}
	out := &plan.Plan{Name: r.Name, Version: r.Version, Out: opts.Out}
	if opts.Lock != nil {
		if why := opts.Lock.Stale(r.wants()); len(why) > 0 {
			return nil, p.stale(strings.Join(why, "; "))
		}
		out.Lock = opts.LockFile
		if r.Component == (Component{}) {
			var err error
			if out.Digest, err = p.digest(opts.Lock); err != nil {
				return nil, err
			}
		}
	}
	state, steps := plan.Run, p.steps()
	if opts.Native != nil {
		steps = (&onZFS{portable: p}).steps()
	} else if res := p.reuse(ctx); res != nil {
		out.Image, state = res.Manifest.UUID(), plan.Done
	}
	for _, s := range steps {
		one := plan.Step{Name: s.name, State: state, Why: s.why}
		if s.skip != "" {
			one.State, one.Why = plan.Skip, s.skip
		} else if s.inputs != nil {
			var err error
			if one.Inputs, err = s.inputs(ctx); err != nil {
				return nil, err
			}
		}
		out.Steps = append(out.Steps, one)
	}
	return out, nil
}

// baseInputs are the images of the base's chain.
func (p *portable) baseInputs(ctx context.Context) ([]plan.Input, error) {
	have := map[string]bool{} // uuid-sha1 of streams, uuid of own builds
	usage, err := p.opts.Images.Du()
	if err != nil {
		return nil, err
	}
	for _, u := range usage {
		if u.Own {
			have[u.UUID] = true
		} else {
			have[strings.SplitN(filepath.Base(u.Path), ".", 2)[0]] = true
		}
	}
	place := func(uuid, sha1 string) plan.Place {
		switch {
		case have[uuid+"-"+sha1] || have[uuid]:
			return plan.Cached
		case p.opts.Inputs != nil && !p.opts.Inputs.Remote() && p.opts.Inputs.HasImage(ctx, uuid, sha1):
			return plan.Stored
		}
		return plan.Fetch
	}
	var list []plan.Input
	if p.opts.Lock != nil {
		for _, i := range p.opts.Lock.Images {
			list = append(list, plan.Input{Kind: "image", Name: i.String(), Digest: "sha1:" + i.SHA1, Size: i.Size, Place: place(i.UUID, i.SHA1)})
		}
		return list, nil
	}
	for uuid := p.req.Base; uuid != "" && len(list) < 100; {
		m, err := p.opts.Images.Manifest(ctx, uuid)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			p.opts.Story.Warnf("%v", err)
			list = append(list, plan.Input{Kind: "image", Name: uuid, Place: plan.Fetch})
			break
		}
		in := plan.Input{Kind: "image", Name: m.NameVersion(), Place: plan.Fetch}
		if files := m.Files(); len(files) == 1 {
			in.Digest, in.Size, in.Place = "sha1:"+files[0].SHA1, files[0].Size, place(uuid, files[0].SHA1)
		}
		list = append(list, in)
		uuid = m.Origin()
	}
	slices.Reverse(list)
	return list, nil
}

func (p *portable) componentInputs(context.Context) (list []plan.Input, err error) {
	c := p.req.Component
	for _, path := range []string{c.Stage, c.Package, c.Dir} {
		if path == "" {
			continue
		}
		in := plan.Input{Kind: "component", Name: path, Place: plan.Local}
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
			sum, err := fileSHA256(path)
			if err != nil {
				return nil, err
			}
			in.Digest, in.Size = "sha256:"+sum, fi.Size()
		}
		list = append(list, in)
	}
	return list, nil
}

// packageInputs are the packages of a step: upgrade or packages.
func (p *portable) packageInputs(upgrade bool) func(context.Context) ([]plan.Input, error) {
	return func(context.Context) (list []plan.Input, err error) {
		if p.opts.Lock == nil {
			if upgrade {
				return []plan.Input{{Kind: "package", Name: "*", Place: plan.Open}}, nil
			}
			for _, name := range p.req.Packages {
				list = append(list, plan.Input{Kind: "package", Name: name, Place: plan.Open})
			}
			return list, nil
		}
		for _, l := range p.opts.Lock.Packages {
			if (l.Step == "upgrade") == upgrade {
				list = append(list, plan.Input{Kind: "package", Name: l.FullName(), Digest: "sha256:" + l.SHA256, Size: l.Size,
					Place: p.place(l.SHA256), From: l.Repository})
			}
		}
		return list, nil
	}
}

func (p *portable) auditInputs(context.Context) ([]plan.Input, error) {
	if p.opts.Lock == nil || p.opts.Lock.Vulnerabilities == nil {
		return []plan.Input{{Kind: "vulnerabilities", Name: VulnerabilitiesName, Place: plan.Open}}, nil
	}
	v := p.opts.Lock.Vulnerabilities
	return []plan.Input{{Kind: "vulnerabilities", Name: VulnerabilitiesName, Digest: "sha256:" + v.SHA256, Size: v.Size,
		Place: p.place(v.SHA256), From: v.URL}}, nil
}

// place tells where a file is, by the look of it.
func (p *portable) place(sum string) plan.Place {
	if p.opts.Inputs != nil && p.opts.Inputs.Has(sum) {
		return plan.Stored
	}
	if _, err := os.Stat(filepath.Join(p.opts.PackageCache, "content", sum)); err == nil {
		return plan.Cached
	}
	return plan.Fetch
}
