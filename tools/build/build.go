package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/filelock"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/native"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/owned"
	"github.com/TritonDataCenter/engbld/tools/plan"
)

// Story takes what people are told while a build runs.
type Story interface {
	Step(name, format string, args ...any)
	Infof(format string, args ...any)
	Detailf(format string, args ...any)
	Warnf(format string, args ...any)
}

// Images finds base images: a whole origin chain, the image without an origin
// first, with verified streams on disk; a manifest alone; what is on disk. Own
// builds are registered there. imgstore.Store is one.
type Images interface {
	Chain(ctx context.Context, uuid string) ([]imgstore.Image, error)
	Manifest(ctx context.Context, uuid string) (*imgmanifest.Manifest, error)
	Du() ([]imgstore.Usage, error)
	Register(ctx context.Context, manifestPath, filePath string) error
}

// Options say where a build takes its inputs from and puts its results; they
// do not change what the image holds.
type Options struct {
	Out           string        // directory for the three files; made where missing
	Images        Images        //
	Client        *fetch.Client // for packages and the vulnerability list
	PackageSource string        // repository instead of the target's own; $release and $arch are replaced
	Locks         string        // this user's directory for the locks of directories where everybody can make names; "" is none
	PackageCache  string        // directory for downloaded packages
	VulnURL       string        // vulnerability list where the target names none
	VulnSource    string        // vulnerability list instead of the target's own: an address or a file
	EOLPage       string        // address pkg_admin audit names for packages at their end of life
	TempDir       string        // for unpacked content; "" is the system's
	Offline       bool          // nothing is fetched
	Sandbox       bool          // the image is marked as made in the sandbox
	AllowForeign  bool          // programs of other systems are no error
	Story         Story         //

	Lock      *lock.Lock      // pins the inputs; nil takes what the servers have
	LockFile  string          // where Lock was read, for messages
	Renew     []string        // of Lock, these packages are looked for anew, with what they need; VulnerabilitiesName is the list
	Inputs    *lock.Inputs    // where files are looked for by digest first; nil is nowhere
	Records   lock.Records    // where each build leaves its record; "" is nowhere
	WriteLock bool            // the record is written beside the image too, as PREFIX-VERSION.lock
	Policy    *Policy         // of the audit; nil only reports
	Native    *native.Options // build with the machine's own ZFS and the image's own tools; nil: portably
	Keep      bool            // of a build that fails, leave what there is for a look
	Again     bool            // build even if the same image is there already
}

// VulnerabilitiesName stands for the vulnerability list among packages to renew.
const VulnerabilitiesName = "pkg-vulnerabilities"

// Result is a finished image.
type Result struct {
	Manifest                          *imgmanifest.Manifest
	ManifestPath, FilePath, AuditPath string        // AuditPath is "" without audit
	Record                            *lock.Record  // its inputs
	Timings                           []lock.Timing // of the steps that ran
	Reused                            bool          // nothing was to do
}

// step is one named part of a build. One that is not wanted says why in skip, one
// that is in why; inputs, which may be nil, tells beforehand what it takes in.
type step struct {
	name, skip, why string
	inputs          func(context.Context) ([]plan.Input, error)
	run             func(context.Context) error
}

// elsewhere is what can be done when a server does not give what a step needs.
const elsewhere = "without that server: ENGBLD_SANDBOX=true builds from made-up stand-ins; local sources are " +
	"ENGBLD_IMAGE_SOURCE=DIR, ENGBLD_PKGSRC_SOURCE=DIR and ENGBLD_VULNERABILITIES=FILE"

// vulnURL is the address of the vulnerability list for a target that names own.
func (o *Options) vulnURL(own string) string { return cmp.Or(o.VulnSource, own, o.VulnURL) }

// Run builds the image r asks for. If it returns an error, nothing has appeared
// or changed under a final name in opts.Out; if it is killed, a manifest that
// stands there still is that of a whole image. Where the lock shows that the same
// image is there already, whole, nothing is done.
func Run(ctx context.Context, r Request, opts Options) (*Result, error) {
	p, err := start(ctx, r, opts)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if opts.Native != nil {
		return p.runNative(ctx)
	}
	if res := p.reuse(ctx); res != nil {
		opts.Story.Step("done", "image %s was built from the same inputs already", res.Manifest.UUID())
		res.tell(opts.Story)
		return res, nil
	}
	if err := p.run(ctx, p.steps()); err != nil {
		p.keep(ctx)
		return nil, err
	}
	return p.result, nil
}

// Resolve runs the steps up to the audit and returns the lock that pins what they
// took in. Nothing is left behind.
func Resolve(ctx context.Context, r Request, opts Options) (*lock.Lock, error) {
	var l *lock.Lock
	err := resolve(ctx, r, opts, func(p *portable) (err error) {
		l, err = p.lock()
		return err
	})
	return l, err
}

// resolve runs the steps up to the audit, then done, and leaves nothing behind.
func resolve(ctx context.Context, r Request, opts Options, done func(*portable) error) error {
	dir, err := newfile.MakeDir(opts.TempDir, "resolve")
	if err != nil {
		return fault.Step.Errorf("%s: %w", r.Name, err)
	}
	defer dir.Remove()
	opts.Out = dir.Name
	p, err := start(ctx, r, opts)
	if err != nil {
		return err
	}
	defer p.close()
	steps := p.steps()
	end := slices.IndexFunc(steps, func(s step) bool { return s.name == "finish" })
	if err := p.run(ctx, steps[:end]); err != nil {
		return err
	}
	return done(p)
}

func start(ctx context.Context, r Request, opts Options) (*portable, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	out, err := openOutput(ctx, opts.Out, opts.Locks, opts.Story)
	if err != nil {
		return nil, fmt.Errorf("%s: output: %w", r.Name, err)
	}
	return &portable{req: r, opts: opts, out: out}, nil
}

// run runs the steps that are wanted, in order.
func (p *portable) run(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if s.skip != "" {
			p.opts.Story.Detailf("%s: not needed: %s", s.name, s.skip)
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("%s: %s: %w", p.req.Name, s.name, err)
		}
		begin := time.Now()
		if err := s.run(ctx); err != nil {
			if fault.KindOf(err) == fault.Network && !p.opts.Sandbox {
				err = fault.WithHint(err, "%s", elsewhere)
			}
			return fmt.Errorf("%s: %s: %w", p.req.Name, s.name, fault.Step.Wrap(err))
		}
		p.timings = append(p.timings, lock.Timing{Step: s.name, Seconds: time.Since(begin).Seconds()})
	}
	if p.result != nil {
		p.result.Timings = p.timings
	}
	return nil
}

// keep leaves what a failed build made so far, and a list of the files it has in
// memory. The next build or upload in the directory cleans it up.
func (p *portable) keep(ctx context.Context) {
	if !p.opts.Keep {
		return
	}
	p.out.kept = true
	if p.tree != nil {
		lines, err := dataset.Listing(context.WithoutCancel(ctx), p.tree, dataset.ListOptions{NoSums: true, Base: p.base})
		if err == nil {
			err = p.out.write(p.name(".listing"), []byte(strings.Join(lines, "\n")+"\n"))
		}
		if err != nil {
			p.opts.Story.Warnf("the tree cannot be listed: %v", err)
		}
	}
	for _, f := range p.out.temps {
		p.opts.Story.Warnf("kept: %s", f)
	}
	if len(p.out.temps) == 0 {
		p.opts.Story.Warnf("there was nothing to keep yet")
	}
}

// output is the directory results go to, locked against other builds.
type output struct {
	dir   string
	lock  *filelock.Lock // nil: none
	made  bool           // dir was not there before
	files map[string]*newfile.File
	temps []string // their names now, as they were made
	kept  bool     // temps stay

	rename func(from, to string) error // nil is os.Rename
}

const tempPrefix = ".engbld-"

// openOutput makes the directory and locks it. The lock is a file in it; but of a
// directory where everybody can make names, such as /tmp, one in the directory
// locks: others might have it for ever.
func openOutput(ctx context.Context, dir, locks string, story Story) (*output, error) {
	_, err := os.Stat(dir)
	o := &output{dir: dir, made: errors.Is(err, fs.ErrNotExist)}
	shared := false
	for {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, fault.Step.Errorf("making the directory: %w", err)
		}
		name := filepath.Join(dir, tempPrefix+"lock")
		if shared, err = owned.Shared(dir); err == nil {
			if shared {
				name = lockOf(dir, locks)
			}
			if name == "" {
				break
			}
			o.lock, err = filelock.Get(ctx, name, func() {
				story.Infof("another build writes to %s, waiting for it", dir)
			})
		}
		if err == nil {
			break
		}
		if shared && ctx.Err() == nil { // a cache that is only read, say
			story.Detailf("%s is not locked against other builds: %v", dir, err)
			break
		}
		// Whoever had the lock may have failed and taken the empty directory away.
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fault.Step.Wrap(err)
		}
	}
	newfile.Sweep(dir)
	if o.lock == nil {
		return o, nil
	}
	// What a build that was killed put aside is ours to clean, now that we know that
	// no other one is at work here.
	stale, _ := os.ReadDir(dir)
	for _, e := range stale {
		if !strings.HasPrefix(e.Name(), tempPrefix) || !strings.HasSuffix(e.Name(), ".part") {
			continue
		}
		if fi, err := e.Info(); err == nil && (!shared || owned.Owner(fi) == os.Geteuid()) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	return o, nil
}

// lockOf is the name of a directory's lock among this user's, "" if there are none.
func lockOf(dir, locks string) string {
	if locks == "" {
		return ""
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	_ = os.MkdirAll(locks, 0o700) // the lock tells what is wrong
	return filepath.Join(locks, fmt.Sprintf("%x", sha256.Sum256([]byte(dir))))
}

// create makes a file that becomes dir/name when publish is called, and closes it
// then. Until it does nobody can foretell what it is called.
func (o *output) create(name string) (*os.File, error) {
	f, err := newfile.CreateSwept(o.final(name), 0o666)
	if err != nil {
		return nil, err
	}
	if o.files == nil {
		o.files = map[string]*newfile.File{}
	}
	o.files[name] = f
	o.temps = append(o.temps, f.Name())
	return f.File, nil
}

func (o *output) temp(name string) string { return o.files[name].Name() }

// write makes a small file complete under its temporary name.
func (o *output) write(name string, data []byte) error {
	f, err := o.create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func (o *output) close() {
	for _, f := range o.files {
		if o.kept {
			f.Close()
		} else {
			f.Discard()
		}
	}
	if o.lock != nil {
		o.lock.Remove()
	}
	if o.made {
		os.Remove(o.dir) // if nothing is in it: a failed build leaves nothing
	}
}
