package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/filelock"
	"github.com/google/uuid"
)

// Log takes the story of what a Session does, for people.
type Log interface {
	Infof(format string, args ...any)
	Detailf(format string, args ...any)
	Warnf(format string, args ...any)
}

// Options say how a Session works with its machine. The zero value works on the
// machine as it is, and says nothing.
type Options struct {
	Runner   Runner
	Platform *Platform
	Dataset  string // delegated dataset; "" is looked for
	StateDir string // for state files, locks and mount points
	UID      *int   // nil: the process's

	Getenv func(string) string // http_proxy and the like; nil: none is set
	Lookup func(ctx context.Context, host string) ([]string, error)
	NewID  func() string // of random uuids
	Log    Log

	Mounted func() ([]string, error) // mount points; nil: the platform's table
	Wait    func(time.Duration)      // between trials of what is busy; nil: time.Sleep
}

// DefaultStateDir survives reboots, as datasets do.
const DefaultStateDir = "/var/lib/engbld-native"

// Final is the name of an image's only snapshot (spec zfs-stream.md section 16).
const Final = "final"

const markProperty = "engbld:build"    // of a dataset that is to be destroyed again
const streamProperty = "engbld:stream" // of an imported image: sha256 of the stream
const cleanTimeout = 2 * time.Minute   // for one command of cleaning up
const packagesPath = "/opt/local/sbin:/opt/local/bin:" + "/usr/sbin:/usr/bin:/sbin:/bin"

// Image is a base image to import.
type Image struct {
	UUID   string
	Name   string // NAME@VERSION
	Stream string // path of the decompressed stream
	SHA256 string // of the stream
}

// Session is one build's hold on the machine.
type Session struct {
	o       Options
	st      *state
	zfs     zfs
	proxies []string // environment of chrooted commands
	clone   string   // dataset
	origin  string   // snapshot it was cloned from
	loops   bool     // the platform's directories are mounted
}

// Open finds the delegated dataset, cleans up what killed builds left, and begins
// a build's state. Errors are of kind unfit where the machine is.
func Open(ctx context.Context, o Options) (*Session, error) {
	o.fill()
	if o.Platform == nil {
		return nil, fault.WithHint(fault.Unfit.Errorf("the native engine knows illumos and Linux, not this system"), "%s", portableHint)
	}
	if *o.UID != 0 {
		return nil, fault.WithHint(fault.Unfit.Errorf("the native engine mounts, clones and changes roots: it needs root, this is user %d", *o.UID),
			"run it as root or with pfexec; %s", portableHint)
	}
	s := &Session{o: o, zfs: zfs{o.Runner}}
	var err error
	if s.proxies, err = s.resolveProxies(ctx); err != nil {
		return nil, err
	}
	dataset, err := s.discover(ctx)
	if err != nil {
		return nil, err
	}
	if err := openStateDir(o.StateDir, os.Geteuid()); err != nil {
		return nil, err
	}
	if err := s.sweep(ctx); err != nil {
		return nil, err
	}
	if s.st, err = newState(o.StateDir, dataset, o.NewID()); err != nil {
		return nil, fault.Step.Errorf("native engine: %w", err)
	}
	return s, nil
}

const portableHint = "unset ENGBLD_ENGINE to build without root and ZFS"

func (o *Options) fill() {
	if o.Runner == nil {
		o.Runner = &Programs{}
	}
	if o.Platform == nil {
		o.Platform = hostPlatform()
	}
	if o.StateDir == "" {
		o.StateDir = DefaultStateDir
	}
	if o.UID == nil {
		uid := os.Geteuid()
		o.UID = &uid
	}
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	if o.Lookup == nil {
		o.Lookup = net.DefaultResolver.LookupHost
	}
	if o.NewID == nil {
		o.NewID = uuid.NewString
	}
	if o.Log == nil {
		o.Log = silent{}
	}
	if o.Mounted == nil && o.Platform != nil {
		o.Mounted = o.Platform.mounted
	}
	if o.Wait == nil {
		o.Wait = time.Sleep
	}
}

type silent struct{}

func (silent) Infof(string, ...any)   {}
func (silent) Detailf(string, ...any) {}
func (silent) Warnf(string, ...any)   {}

// Dataset is the delegated dataset that images are imported into.
func (s *Session) Dataset() string { return s.st.Dataset }

// Root is the root of the mounted clone's system.
func (s *Session) Root() string { return filepath.Join(s.st.mountpoint(), "root") }

// Top is the mounted clone.
func (s *Session) Top() string { return s.st.mountpoint() }

// Import receives the images of a chain, the one without an origin first, that
// are not there yet. One build at a time receives an image.
func (s *Session) Import(ctx context.Context, chain []Image) error {
	for _, img := range chain {
		if err := s.importOne(ctx, img); err != nil {
			return fmt.Errorf("image %s (%s): %w", img.UUID, img.Name, err)
		}
	}
	return nil
}

func (s *Session) importOne(ctx context.Context, img Image) error {
	lock, err := filelock.Get(ctx, filepath.Join(s.o.StateDir, imagePrefix+img.UUID+lockSuffix), func() {
		s.o.Log.Infof("another build imports %s, waiting for it", img.Name)
	})
	if err != nil {
		return err
	}
	defer lock.Remove()
	dataset := s.Dataset() + "/" + img.UUID
	have, err := s.zfs.snapshots(ctx, s.Dataset(), dataset)
	if err != nil {
		return err
	}
	if have != nil {
		return s.checkImported(ctx, img, dataset, have)
	}
	partial := entry{kindPartial, dataset + "-partial-" + s.st.ID}
	s.o.Log.Infof("importing %s (%s) into %s", img.Name, img.UUID, s.Dataset())
	if err := s.st.push(partial.Kind, partial.Target); err != nil {
		return err
	}
	if err := s.receive(ctx, img, partial.Target); err != nil {
		return err
	}
	if err := s.zfs.rename(ctx, partial.Target, dataset); err != nil {
		return err
	}
	return s.st.drop(partial)
}

// receive makes a dataset of a stream and sees that it is as an image is to be.
func (s *Session) receive(ctx context.Context, img Image, to string) error {
	f, err := os.Open(img.Stream)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.zfs.receive(ctx, to, f); err != nil {
		return err
	}
	names, err := s.zfs.snapshots(ctx, s.Dataset(), to)
	if err != nil {
		return err
	}
	if len(names) != 1 {
		return fmt.Errorf("the stream holds %d snapshots, an image has one", len(names))
	}
	if names[0] != Final {
		if err := s.zfs.rename(ctx, to+"@"+names[0], to+"@"+Final); err != nil {
			return err
		}
	}
	if img.SHA256 == "" {
		return nil
	}
	return s.zfs.set(ctx, streamProperty, img.SHA256, to)
}

// checkImported looks at a dataset that has the image's name.
func (s *Session) checkImported(ctx context.Context, img Image, dataset string, have []string) error {
	if !slices.Contains(have, Final) {
		return fault.WithHint(fault.Unfit.Errorf("%s is there, but has no snapshot @%s", dataset, Final),
			"if nothing else uses it: zfs destroy -r %s", dataset)
	}
	sum, err := s.zfs.get(ctx, streamProperty, dataset)
	if err != nil {
		return err
	}
	if sum != "-" && img.SHA256 != "" && sum != img.SHA256 {
		return fault.WithHint(fault.Drift.Errorf("%s was made from another stream: sha256 %s, not %s", dataset, sum, img.SHA256),
			"if no image was built on it: zfs destroy -r %s", dataset)
	}
	s.o.Log.Infof("%s (%s) is in %s already", img.Name, img.UUID, s.Dataset())
	return nil
}

// Clone makes and mounts a clone of an imported image.
func (s *Session) Clone(ctx context.Context, uuid string) error {
	m := s.st.mountpoint()
	s.clone, s.origin = s.Dataset()+"/"+s.st.ID, s.Dataset()+"/"+uuid+"@"+Final
	if err := s.st.push(kindDir, m); err != nil {
		return err
	}
	if err := s.do(ctx, "mkdir", []string{m}, func(context.Context) error { return os.Mkdir(m, 0o700) }); err != nil {
		return err
	}
	if err := s.st.push(kindDataset, s.clone); err != nil {
		return err
	}
	if err := s.zfs.clone(ctx, s.origin, s.clone, m, s.st.ID); err != nil {
		return err
	}
	fi, err := os.Lstat(s.Root())
	if err == nil && !fi.IsDir() {
		err = errors.New("root is no directory")
	}
	if err != nil {
		return fault.WithHint(fmt.Errorf("%s is no zone image: %w", uuid, err),
			"BASE_IMAGE_UUID must be a zone-dataset image such as a triton-origin image")
	}
	return nil
}

// platformDirs are the directories that chrooted commands need of the platform
// (spec engbld-interface.md section 4.10, step 5).
var platformDirs = [...]string{"/dev", "/lib", "/proc", "/sbin", "/usr"}

// MountPlatform mounts the platform's directories in the clone, read-only. It
// does nothing where they are mounted.
func (s *Session) MountPlatform(ctx context.Context) error {
	if s.loops {
		return nil
	}
	s.loops = true
	for _, dir := range platformDirs {
		at := s.Root() + dir
		if fi, err := os.Lstat(at); err != nil || !fi.IsDir() {
			return fmt.Errorf("mounting %s: the image has no directory of that name", dir)
		}
		if err := s.st.push(kindMount, at); err != nil {
			return err
		}
		for _, c := range s.o.Platform.loop(dir, at) {
			if err := s.o.Runner.Run(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// Chroot runs a program of the clone in it. Variables are added to its
// environment, which is no other than that. out takes what it writes, each line
// of stderr goes to warn; nil is nowhere.
func (s *Session) Chroot(ctx context.Context, env []string, out, stderr io.Writer, args ...string) error {
	all := slices.Concat([]string{"PATH=" + packagesPath, "HOME=/root", "LC_ALL=C"}, s.proxies, env)
	return s.o.Runner.Run(ctx, Command{Path: "chroot", Args: append([]string{s.Root()}, args...), Env: all, Stdout: out, Stderr: stderr})
}

// Change does something to the clone's files: f, of which what and args tell.
func (s *Session) Change(ctx context.Context, what string, args []string, f func(ctx context.Context, top *os.Root) error) error {
	return s.do(ctx, what, args, func(ctx context.Context) error {
		top, err := os.OpenRoot(s.Top())
		if err != nil {
			return err
		}
		defer top.Close()
		return f(ctx, top)
	})
}

func (s *Session) do(ctx context.Context, what string, args []string, f func(context.Context) error) error {
	return s.o.Runner.Run(ctx, Command{Path: what, Args: args, Func: f})
}

// Seal unmounts everything and makes the snapshot.
func (s *Session) Seal(ctx context.Context) error {
	for _, e := range slices.Backward(slices.Clone(s.st.Entries)) {
		if e.Kind == kindMount {
			if err := s.undo(ctx, s.st, e); err != nil {
				return err
			}
		}
	}
	s.loops = false
	s.endUsers(ctx, s.Top())
	if err := s.retry(ctx, func() error { return s.zfs.unmount(ctx, s.clone) }, s.Top()); err != nil {
		return err
	}
	return s.zfs.snapshot(ctx, s.clone+"@"+Final)
}

// Send writes the stream that leads from the base image to the snapshot.
func (s *Session) Send(ctx context.Context, w io.Writer) error {
	return s.zfs.send(ctx, s.origin, s.clone+"@"+Final, w)
}

// Close undoes what the session made and has not been undone. ctx ending does
// not keep it from that. What cannot be undone is an error, and is tried again by
// the next Open.
func (s *Session) Close(ctx context.Context) error {
	if s.st.lock == nil {
		return nil
	}
	err := s.unwind(context.WithoutCancel(ctx), s.st)
	if err == nil {
		err = s.st.remove()
	}
	s.release()
	return err
}

// Keep ends the session and leaves everything as it is, for a look. The next Open
// cleans it up.
func (s *Session) Keep() (what []string) {
	for _, e := range s.st.Entries {
		what = append(what, e.Kind+" "+e.Target)
	}
	s.release()
	return what
}

func (s *Session) release() {
	if s.st.lock != nil {
		s.st.lock.Release()
		s.st.lock = nil
	}
}

// sweep undoes what builds left that were killed. What cannot be undone yet is no
// reason not to build.
func (s *Session) sweep(ctx context.Context) error {
	list, err := left(s.o.StateDir)
	if err != nil {
		s.o.Log.Warnf("%v; %s", err, fault.Hint(err))
	}
	for _, st := range list {
		if err = context.Cause(ctx); err == nil {
			if len(st.Entries) > 0 {
				s.o.Log.Warnf("cleaning up what a build that was killed left (process %d)", st.PID)
			}
			if err = s.unwind(ctx, st); err == nil {
				err = st.remove()
			}
			if err != nil && ctx.Err() == nil {
				s.o.Log.Warnf("after an earlier build: %v", err)
			}
		}
		st.lock.Release()
	}
	removeLocks(s.o.StateDir)
	return context.Cause(ctx)
}

// unwind undoes the entries of a state, the last one first. One that cannot be
// undone keeps those before it from nothing: they are tried all the same.
func (s *Session) unwind(ctx context.Context, st *state) error {
	var errs []error
	for _, e := range slices.Backward(slices.Clone(st.Entries)) {
		if err := s.undo(ctx, st, e); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fault.WithHint(fault.Step.Errorf("left behind: %w", errors.Join(errs...)),
		"the next native build tries again; %s tells what is left", st.path())
}

// undo undoes one entry, and forgets it. What is gone already is no error.
func (s *Session) undo(ctx context.Context, st *state, e entry) error {
	s.o.Log.Detailf("undoing %s %s", e.Kind, e.Target)
	err := s.retry(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
		defer cancel()
		switch e.Kind {
		case kindMount:
			return s.undoMount(ctx, e.Target)
		case kindDir:
			return s.undoDir(ctx, e.Target)
		}
		return s.undoDataset(ctx, st, e)
	}, st.mountpoint())
	if err != nil {
		return err
	}
	return st.drop(e)
}

func (s *Session) isMounted(at string) (int, error) {
	list, err := s.o.Mounted()
	n := 0
	for _, m := range list {
		if m == at {
			n++
		}
	}
	return n, err
}

func (s *Session) undoMount(ctx context.Context, at string) error {
	n, err := s.isMounted(at)
	for ; n > 0 && err == nil; n-- {
		err = s.o.Runner.Run(ctx, Command{Path: "umount", Args: []string{at}})
	}
	return err
}

// undoDir removes an empty directory. Were something still mounted there, it
// would not be empty or be busy.
func (s *Session) undoDir(ctx context.Context, dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.do(ctx, "rmdir", []string{dir}, func(context.Context) error { return os.Remove(dir) })
}

func (s *Session) undoDataset(ctx context.Context, st *state, e entry) error {
	have, err := s.zfs.snapshots(ctx, st.Dataset, e.Target)
	if err != nil || have == nil {
		return err
	}
	if e.Kind == kindDataset {
		mark, err := s.zfs.get(ctx, markProperty, e.Target)
		if err != nil {
			return err
		}
		if mark != st.ID {
			s.o.Log.Warnf("%s stays: it does not carry the mark of the build (%s)", e.Target, markProperty)
			return nil
		}
		s.endUsers(ctx, st.mountpoint())
	}
	return s.zfs.destroy(ctx, e.Target)
}

// retry tries something a few times: a program that was stopped may hold a mount
// for a moment. If that is not enough, whoever still uses the build's own mount
// point is killed.
func (s *Session) retry(ctx context.Context, f func() error, mountpoint ...string) error {
	const trials = 5
	var err error
	for i := range trials {
		if err = f(); err == nil || context.Cause(ctx) != nil {
			return err
		}
		if i == trials-2 {
			for _, m := range mountpoint {
				s.killUsers(ctx, m)
			}
		}
		if i < trials-1 {
			s.o.Wait(time.Duration(100<<i) * time.Millisecond)
		}
	}
	return err
}

// endUsers ends programs that go on in the build's mount point, where the platform
// tells which they are: nothing but what the build started has any business there.
func (s *Session) endUsers(ctx context.Context, mountpoint string) {
	if s.o.Platform.users == nil {
		return
	}
	if n, err := s.isMounted(mountpoint); err != nil || n == 0 {
		return
	}
	for _, pid := range s.o.Platform.users(mountpoint) {
		s.o.Log.Warnf("process %d went on in the image's clone, ending it", pid)
		_ = s.do(ctx, "kill", []string{"-9", fmt.Sprint(pid)}, func(context.Context) error {
			p, err := os.FindProcess(pid)
			if err != nil {
				return err
			}
			return p.Kill()
		})
	}
}

// killUsers is endUsers on any platform.
func (s *Session) killUsers(ctx context.Context, mountpoint string) {
	s.endUsers(ctx, mountpoint)
	if n, err := s.isMounted(mountpoint); err == nil && n > 0 && s.o.Platform.users == nil {
		_ = s.o.Runner.Run(ctx, Command{Path: "fuser", Args: []string{"-c", "-k", mountpoint}})
	}
}
