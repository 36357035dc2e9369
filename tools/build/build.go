package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/filelock"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
)

// Story takes what people are told while a build runs.
type Story interface {
	Step(name, format string, args ...any)
	Infof(format string, args ...any)
	Detailf(format string, args ...any)
	Warnf(format string, args ...any)
}

// Images finds base images: a whole origin chain, the image without an origin
// first, with verified streams on disk. imgstore.Store is one.
type Images interface {
	Chain(ctx context.Context, uuid string) ([]imgstore.Image, error)
	Register(ctx context.Context, manifestPath, filePath string) error
}

// Options say where a build takes its inputs from and puts its results; they
// do not change what the image holds.
type Options struct {
	Out           string        // directory for the three files; made where missing
	Images        Images        //
	Client        *fetch.Client // for packages and the vulnerability list
	PackageSource string        // repository instead of the target's own; $release and $arch are replaced
	PackageCache  string        // directory for downloaded packages
	VulnURL       string        // vulnerability list where the target names none
	EOLPage       string        // address pkg_admin audit names for packages at their end of life
	TempDir       string        // for unpacked content; "" is the system's
	Offline       bool          // nothing is fetched
	Sandbox       bool          // the image is marked as made in the sandbox
	AllowForeign  bool          // programs of other systems are no error
	Story         Story         //
}

// Result is a finished image.
type Result struct {
	Manifest                          *imgmanifest.Manifest
	ManifestPath, FilePath, AuditPath string // AuditPath is "" without audit
}

// step is one named part of a build. A step that is not wanted says why.
type step struct {
	name string
	skip string
	run  func(context.Context) error
}

// Run builds the image r asks for. Until it returns without an error, nothing
// has appeared or changed under a final name in opts.Out.
func Run(ctx context.Context, r Request, opts Options) (*Result, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	out, err := openOutput(ctx, opts.Out, opts.Story)
	if err != nil {
		return nil, fmt.Errorf("%s: output: %w", r.Name, err)
	}
	defer out.close()
	p := &portable{req: r, opts: opts, out: out}
	defer p.close()
	for _, s := range p.steps() {
		if s.skip != "" {
			opts.Story.Detailf("%s: not needed: %s", s.name, s.skip)
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", r.Name, s.name, err)
		}
		if err := s.run(ctx); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", r.Name, s.name, fault.Step.Wrap(err))
		}
	}
	return p.result, nil
}

// output is the directory results go to, locked against other builds.
type output struct {
	dir   string
	lock  *filelock.Lock
	temps []string
}

const tempPrefix = ".engbld-"

func openOutput(ctx context.Context, dir string, story Story) (*output, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fault.Step.Errorf("making the directory: %w", err)
	}
	lock, err := filelock.Get(ctx, filepath.Join(dir, tempPrefix+"lock"), func() {
		story.Infof("another build writes to %s, waiting for it", dir)
	})
	if err != nil {
		return nil, fault.Step.Wrap(err)
	}
	// What a build that was killed left behind is ours to clean, now that we
	// know that no other one is at work here.
	stale, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*.part"))
	for _, f := range stale {
		os.Remove(f)
	}
	return &output{dir: dir, lock: lock}, nil
}

// create makes a file that becomes dir/name when publish is called.
func (o *output) create(name string) (*os.File, error) {
	f, err := os.OpenFile(o.temp(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err == nil {
		o.temps = append(o.temps, f.Name())
	}
	return f, err
}

func (o *output) temp(name string) string { return filepath.Join(o.dir, tempPrefix+name+".part") }

// write makes a small file complete under its temporary name.
func (o *output) write(name string, data []byte) error {
	f, err := o.create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// publish gives the files their final names, in this order.
func (o *output) publish(names ...string) error {
	for _, name := range names {
		if err := os.Rename(o.temp(name), filepath.Join(o.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (o *output) close() {
	for _, f := range o.temps {
		os.Remove(f)
	}
	o.lock.Remove()
}
