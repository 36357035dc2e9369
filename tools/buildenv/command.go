package buildenv

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/finding"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/spf13/cobra"
)

// Env is what the command takes from outside.
type Env struct {
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Now            func() time.Time // nil: time.Now
	Dir            string           // working directory
	System         System           // nil: this machine
	Flavors        func() (*flavor.Set, error)
	CacheDir       func() (string, error)
	// Servers are those that builds fetch from, asked with Reach unless the
	// environment says sandbox or offline. Both may be nil: none is asked.
	Servers func() []Server
	Reach   func(ctx context.Context, url string) (time.Time, error)
}

// Command is "engbld doctor".
func Command(env Env) *cobra.Command {
	var show, asJSON, validate bool
	var goals string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Is this machine fit to build the component in this directory",
		Long: `Makes all checks of this machine and tells everything it found: what is wrong,
why it matters, what mends it. On SmartOS these are the checks of
validate-buildenv; elsewhere, what the portable engine needs, and whether the
component must be compiled on illumos.

ENGBLD_SKIP_VALIDATE_BUILDENV leaves all out, ..._BUILD_PKGSRC,
..._BUILD_PLATFORM and ENGBLD_SKIP_VALIDATE_SUBMODULES leave out some.
With --validate, on other systems than SmartOS only the last of these is looked
at, and ENGBLD_SANDBOX=true or ENGBLD_ALLOW_FOREIGN=true make it a warning.
With -r it prints the machine that the component wants, as
"PKGSRC-RELEASE IMAGE JENKINS-AGENT-IMAGE", and checks nothing.`,
		Example: `  engbld doctor
  engbld doctor --json | json findings
  engbld doctor -r`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := run(cmd, env, show, asJSON, validate, goals)
			if err != nil && validate && fault.KindOf(err) != fault.Usage {
				// 1, whatever is wrong, is what the script of that name answers.
				return fault.WithHint(fault.Defect.Errorf("%w", err), "%s", fault.Hint(err))
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&show, "required", "r", false, "print the build machine that the component wants")
	f.BoolVar(&asJSON, "json", false, "print everything as JSON")
	f.BoolVar(&validate, "validate", false, "what validate-buildenv.sh asks: its checks, problems only, on stderr; exit 1 for an unfit machine")
	f.StringVar(&goals, "goals", "", "make's `GOALS`: what they do not need only warns")
	return cmd
}

func run(cmd *cobra.Command, env Env, show, asJSON, validate bool, goals string) error {
	stdout, stderr := env.Stdout, env.Stderr
	if stdout == nil {
		stdout = cmd.OutOrStdout()
	}
	if stderr == nil {
		stderr = cmd.ErrOrStderr()
	}
	opts := Options{
		System: env.System, Getenv: env.Getenv, Now: env.Now, Dir: env.Dir, Flavors: env.Flavors,
		CacheDir: env.CacheDir, Reach: env.Reach, Goals: strings.Fields(goals), Validate: validate,
	}
	if opts.System == nil {
		opts.System = Local{}
	}
	if show {
		req, err := Show(cmd.Context(), opts)
		if err != nil {
			return err
		}
		if asJSON {
			return finding.WriteJSON(stdout, req)
		}
		if s := req.Unknown(); s != "" {
			fmt.Fprintln(stderr, s)
		}
		_, err = fmt.Fprintln(stdout, req.Line())
		return err
	}
	if env.Getenv(skipAll) != "" {
		fmt.Fprintln(stderr, "doctor: nothing is checked, "+skipAll+" is set")
		return nil
	}
	if env.Servers != nil && !validate {
		opts.Servers = env.Servers()
	}
	res, err := Doctor(cmd.Context(), opts)
	if err != nil {
		return err
	}
	quiet, _ := cmd.Flags().GetBool("quiet")
	switch {
	case asJSON:
		err = finding.WriteJSON(stdout, res)
	case validate && res.Machine.System != "SunOS" && res.Count(finding.Fail)+res.Count(finding.Warn) == 0:
		_, err = fmt.Fprintln(stderr, "validate-buildenv: not SmartOS, nothing to check; nothing here must be compiled on illumos")
	case validate:
		err = res.WriteText(stderr, true)
	default:
		err = res.WriteText(stdout, quiet)
	}
	if err != nil {
		return err
	}
	return res.Err()
}
