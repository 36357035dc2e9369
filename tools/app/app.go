// Package app is the engbld command: its verbs, what they read from the
// environment, and how an error becomes an exit code. Both main programs,
// tools/engbld and the Mage targets, are thin callers of Main.
//
// stdout carries the answer, stderr the story; an error is printed once, here.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgadm"
	"github.com/TritonDataCenter/engbld/tools/native"
	"github.com/TritonDataCenter/engbld/tools/process"
	"github.com/TritonDataCenter/engbld/tools/ui"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Env is everything a command takes from outside. Commands read nothing else
// of the process they run in.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Now            func() time.Time
	Dir            string // working directory
	Terminal       bool   // Stderr is a terminal

	// Elevate runs the command line again with root's rights in place of this
	// process, where the system has a way; it returns otherwise. nil: there is none.
	Elevate func() error
}

// OSEnv is the environment of this process.
func OSEnv() (Env, error) {
	dir, err := os.Getwd()
	if err != nil {
		return Env{}, fault.Unfit.Errorf("finding the working directory: %w", err)
	}
	return Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now, Dir: dir,
		Terminal: term.IsTerminal(int(os.Stderr.Fd())), Elevate: native.Elevate,
	}, nil
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ sig syscall.Signal }

func (e interrupted) Error() string {
	switch e.sig {
	case syscall.SIGINT:
		return "interrupted (SIGINT)"
	case syscall.SIGTERM:
		return "ended (SIGTERM)"
	}
	return fmt.Sprintf("ended by signal %d (%v)", int(e.sig), e.sig)
}

// parentPoll is how often a process that must not outlive its parent looks for it.
const parentPoll = 500 * time.Millisecond

// WithSignals returns a context that SIGINT, SIGTERM and SIGHUP end, so that
// every step can clean up; a second signal ends the process at once. SIGINT and
// SIGHUP that were ignored when the process began (nohup) stay so. With
// parent it ends too, as by SIGTERM, when the process that started this one is
// gone: make and mage that are killed tell nobody.
func WithSignals(ctx context.Context, parent bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if parent {
		go func(parent int) {
			tick := time.NewTicker(parentPoll)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					if os.Getppid() != parent {
						cancel(interrupted{syscall.SIGTERM})
						return
					}
				}
			}
		}(os.Getppid())
	}
	c := make(chan os.Signal, 2)
	signal.Notify(c, process.Heard(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)...)
	go func() {
		select {
		case s := <-c:
			cancel(interrupted{s.(syscall.Signal)})
			signal.Stop(c) // the next one has its usual effect
		case <-ctx.Done():
			signal.Stop(c)
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Main runs one command line and returns the exit code.
func Main(ctx context.Context, env Env, args []string) int {
	out := &answer{w: env.Stdout}
	env.Stdout = out
	a := &app{env: env}
	a.remotes.a = a
	defer a.remotes.close() // the sandbox's: what they keep is on disk already
	root := a.root()
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := a.checkSwitches()
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if !errors.Is(err, imgadm.ErrFailed) {
		err = out.check(err)
	}
	if err == nil {
		return 0
	}
	var sig interrupted
	failed := errors.Is(err, imgadm.ErrFailed) // and has said so
	if errors.As(context.Cause(ctx), &sig) {
		if failed {
			return 128 + int(sig.sig)
		}
		a.ui().Error(fault.WithHint(sig, "nothing half-made is left; run the same command again"))
		return 128 + int(sig.sig)
	}
	if failed {
		return 1
	}
	a.ui().Error(a.remedy(err))
	if a.upstreamExit {
		return 1
	}
	return int(fault.KindOf(err))
}

type app struct {
	env Env

	quiet, verbose bool
	keep, timings  bool // of builds
	again          bool // builds what is there already, too
	planOnly       bool // shows what would be built
	upstreamExit   bool // every failure is 1, as upstream's command of that name has it

	uiOnce sync.Once
	theUI  *ui.UI // by uiOnce

	sandboxSaid sync.Once

	remotes servers
}

// ui returns the one UI, whose options are known when it is first used: perhaps by
// several uploads at once.
func (a *app) ui() *ui.UI {
	a.uiOnce.Do(func() {
		a.theUI = ui.New(ui.Options{
			Out:     a.env.Stderr,
			Color:   a.env.Terminal && a.env.Getenv("NO_COLOR") == "" && a.env.Getenv("TERM") != "dumb",
			Live:    a.env.Terminal && a.env.Getenv("MAKELEVEL") == "",
			Quiet:   a.quiet,
			Verbose: a.verbose,
			JSON:    a.env.Getenv("ENGBLD_LOG") == "json",
			Now:     a.env.Now,
		})
	})
	return a.theUI
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "engbld",
		Short: "Build, look into and publish Triton images, on any machine",
		Long: `engbld turns a flavor or a component into an incremental ZFS image on top of a
base image, without root, without ZFS and without illumos. It is what the
makefiles of this repository call; every verb can be used by hand too.`,
		Example: `  engbld flavor list
  ENGBLD_SANDBOX=true engbld image build triton-origin-x86_64-24.4.1
  engbld image ls bits/triton-origin-x86_64-24.4.1/*.imgmanifest`,
		SilenceErrors: true,
		SilenceUsage:  true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd: false,
		},
	}
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "say only warnings and errors")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "say more")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fault.WithHint(fault.Usage.Errorf("%s: %w", cmd.CommandPath(), err), "%s --help", cmd.CommandPath())
	})
	root.AddCommand(a.imageCommand(), a.pkgCommand(), a.flavorCommand(), a.stampCommand(), a.cacheCommand())
	root.AddCommand(a.scripts()...)
	root.AddCommand(a.publishCommands()...)
	root.AddCommand(a.reportCommand())
	root.AddCommand(a.doctorCommands()...)
	root.AddCommand(a.planCommand(), a.lockCommand(), a.verifyCommand(), a.auditCommand())
	root.SuggestionsMinimumDistance = 2
	usageErrors(root)
	return root
}

// usageErrors makes wrong arguments and unknown verbs usage errors.
func usageErrors(cmd *cobra.Command) {
	check := cmd.Args
	switch {
	case cmd.HasSubCommands() && !cmd.Runnable():
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			err := fault.Usage.Errorf("%s: unknown verb %q", cmd.CommandPath(), args[0])
			if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
				return fault.WithHint(err, "%s %s", cmd.CommandPath(), s[0])
			}
			return fault.WithHint(err, "%s --help", cmd.CommandPath())
		}
		cmd.Args = cobra.ArbitraryArgs
	case check != nil:
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fault.WithHint(fault.Usage.Errorf("%s: %w", cmd.CommandPath(), err), "%s --help", cmd.CommandPath())
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		c.SuggestionsMinimumDistance = cmd.SuggestionsMinimumDistance
		usageErrors(c)
	}
}
