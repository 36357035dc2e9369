package app

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgadm"
	"github.com/TritonDataCenter/engbld/tools/inspect"
	"github.com/TritonDataCenter/engbld/tools/manta"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/release"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/TritonDataCenter/engbld/tools/sandbox/loopback"
	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/spf13/cobra"
)

// servers are the image server and the object store that commands publish to:
// those the environment names, or the sandbox's. The sandbox's are started when
// a command is about to talk to one, and run until close. Their state is that of
// builds in the sandbox, so what one command publishes another one finds.
type servers struct {
	a    *app
	once sync.Once
	err  error

	sandbox *sandbox.Sandbox
	store   *loopback.Server
	base    http.RoundTripper
	over    map[string]string // settings of the sandbox
}

// open makes the servers ready. Outside of the sandbox there is nothing to do.
func (s *servers) open(ctx context.Context) error {
	if !s.a.on("ENGBLD_SANDBOX") {
		if s.a.on("ENGBLD_OFFLINE") {
			return fault.WithHint(fault.Network.Errorf("ENGBLD_OFFLINE is set: no server is asked"),
				"unset ENGBLD_OFFLINE, or set ENGBLD_SANDBOX=true for servers on this machine")
		}
		return nil
	}
	s.once.Do(func() { s.err = s.start(ctx) })
	return s.err
}

func (s *servers) start(ctx context.Context) error {
	cache, err := s.a.cacheRoot(true)
	if err != nil {
		return err
	}
	if s.sandbox, err = sandbox.Start(ctx, sandbox.Options{Dir: filepath.Join(cache, "server")}); err != nil {
		return err
	}
	s.base = s.sandbox.Transport(nil)
	user, keyFile, err := s.sandbox.Identity(ctx)
	if err != nil {
		return fault.Step.Errorf("sandbox: its user's key: %w", err)
	}
	key, err := sshsign.Places{}.Identity(keyFile)
	if err != nil {
		return fault.Step.Errorf("sandbox: its user's key: %w", err)
	}
	objects := filepath.Join(cache, "objects")
	if err := mantaserver.AddUser(objects, user, key.Public()); err != nil {
		return fault.Step.Errorf("sandbox: %w", err)
	}
	if s.store, err = mantaserver.Start(ctx, mantaserver.Options{Dir: objects}); err != nil {
		return fault.Step.Errorf("sandbox: %w", err)
	}
	s.over = map[string]string{
		"MANTA_URL": s.store.URL(), "MANTA_USER": user, "MANTA_KEY_ID": keyFile, "MANTA_SUBUSER": "", "MANTA_ROLE": "",
		"MANTA_NO_AUTH": "", "MANTA_TLS_INSECURE": "",
	}
	for _, tool := range []string{"UPDATES_IMGADM_", "IMAGES_IMGADM_"} {
		s.over[tool+"URL"], s.over[tool+"USER"], s.over[tool+"IDENTITY"], s.over[tool+"INSECURE"] = s.sandbox.ImageURL(), user, keyFile, ""
	}
	return nil
}

func (s *servers) close() error {
	var errs []error
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.sandbox != nil {
		errs = append(errs, s.sandbox.Close())
	}
	return errors.Join(errs...)
}

// getenv is the environment with the sandbox's settings above it: no real server
// is named and no real key is shown there.
func (s *servers) getenv(name string) string {
	if v, ok := s.over[name]; ok {
		return v
	}
	return s.a.env.Getenv(name)
}

// RoundTrip keeps the sandbox's requests on this machine.
func (s *servers) RoundTrip(req *http.Request) (*http.Response, error) { return s.base.RoundTrip(req) }

// transport is what requests are made with; nil outside of the sandbox, where the
// clients have their own.
func (s *servers) transport() http.RoundTripper {
	if s.a.on("ENGBLD_SANDBOX") {
		return s
	}
	return nil
}

// before opens the servers before a command runs.
func (s *servers) before(cmd *cobra.Command) *cobra.Command {
	cmd.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		if cmd.HasSubCommands() || asksHelp(cmd, args) {
			return nil
		}
		return s.open(cmd.Context())
	}
	return cmd
}

// asksHelp tells whether a command that reads its flags itself will only speak
// of itself.
func asksHelp(cmd *cobra.Command, args []string) bool {
	return cmd.DisableFlagParsing && slices.ContainsFunc(args, func(arg string) bool {
		return arg == "help" || arg == "-h" || arg == "--help" || arg == "--version"
	})
}

// releaseDeps are what releases need, once the servers are open.
func (a *app) releaseDeps() release.Deps {
	return release.Deps{
		Getenv: a.remotes.getenv, Transport: a.remotes.transport(), Stdout: a.env.Stdout, Now: a.env.Now,
		Progress: func(what string, done, total int64) { a.ui().Progress(what, done, total) },
		Log:      release.Log{Infof: a.infof, Warnf: a.warnf},
		Facts:    facts{a}, Released: a.lastReleased,
	}
}

// publishCommands are the verbs that talk to image servers and object stores.
func (a *app) publishCommands() []*cobra.Command {
	return []*cobra.Command{
		bits.Command(a.bitsDeps()),
		a.remotes.before(imgadm.Command(imgadm.Deps{
			Getenv: a.remotes.getenv, Transport: a.remotes.transport(), Path: a.abs, Now: a.env.Now,
			Stdin: a.env.Stdin, Stdout: a.env.Stdout, Stderr: a.env.Stderr,
		})),
		a.remotes.before(release.Command(a.releaseDeps())),
	}
}

// Settings of bits-upload that have defaults (spec engbld-interface.md sections
// 4.1 and 5.1).
const (
	defaultMantaURL  = "https://us-central.manta.mnx.io"
	defaultMantaUser = "Joyent_Dev"
)

func (a *app) bitsDeps() bits.Deps {
	d := a.releaseDeps()
	return bits.Deps{
		Getenv: a.env.Getenv, Now: a.env.Now, Infof: a.infof,
		Before: func(ctx context.Context, req bits.Request, use bits.Use) error {
			if !use.Local && !a.on("ENGBLD_SANDBOX") {
				if err := release.CheckUpload(req); err != nil {
					return err
				}
			}
			if images, err := release.HasImages(req); err != nil || !images || !use.Publish {
				return err
			}
			if err := a.remotes.open(ctx); err != nil {
				return err
			}
			return d.Ready(ctx, req)
		},
		Open: func(ctx context.Context, dest string) (bits.Store, error) {
			if err := a.remotes.open(ctx); err != nil {
				return nil, err
			}
			return manta.OpenStore(a.mantaSetting, dest, func(o *manta.Options) {
				o.Transport, o.Now = a.remotes.transport(), a.env.Now
				o.Progress = func(path string, done, total int64) { a.ui().Progress(path, done, total) }
			}, a.warnf)
		},
		Promises: release.Promises,
		Publish:  d.PublishUpload,
	}
}

func (a *app) mantaSetting(name string) string {
	v := a.remotes.getenv(name)
	switch {
	case v != "":
		return v
	case name == "MANTA_URL":
		return defaultMantaURL
	case name == "MANTA_USER":
		return defaultMantaUser
	}
	return ""
}

// lastReleased is the uuid of the last released image of a flavor, "" where none
// is known.
func (a *app) lastReleased(name string) string {
	set, err := a.flavors()
	if err != nil {
		a.warnf("released images are not known: %v", err)
		return ""
	}
	for _, f := range set.Flavors {
		if n := len(f.Released); f.Name == name && n > 0 {
			return f.Released[n-1].UUID
		}
	}
	return ""
}

// facts looks into images for tickets: own builds, the cache, the image server.
type facts struct{ a *app }

func (f facts) Packages(ctx context.Context, uuid string) ([]string, error) {
	o := &opener{a: f.a}
	defer o.close()
	s, err := o.subject(ctx, uuid)
	if err != nil {
		return nil, err
	}
	im, err := inspect.Open(ctx, s.layers, dataset.ReadOptions{Warn: f.a.ui()})
	if err == nil {
		im, err = zone(im, s.name)
	}
	if err != nil {
		return nil, fault.Step.Wrap(err)
	}
	conf, err := pkgdb.ReadConfig(im.Tree)
	if err != nil {
		return nil, err
	}
	db, err := pkgdb.Open(im.Tree, conf)
	if err != nil {
		return nil, err
	}
	return db.Names(), nil
}

// Vulnerabilities are told by today's list for all images, so what a comparison
// shows is due to the images. Versions are left out: what stays when a package
// is upgraded is no change.
func (f facts) Vulnerabilities(ctx context.Context, uuid string) ([]string, error) {
	report, err := f.a.audit(ctx, uuid, false)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, v := range report.Verdicts {
		lines = append(lines, strings.Join([]string{survey.Finding{Package: v.Package}.Base(), v.Class, v.URL}, " "))
	}
	return lines, nil
}
