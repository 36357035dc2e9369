package stylecheck

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/spf13/cobra"
)

// maxScript is the size of the largest script that is looked at.
const maxScript = 16 << 20

// CopyrightCommand is "engbld check-copyright", with the options of the script
// of that name. dir is the working directory; a nil now is time.Now.
func CopyrightCommand(dir string, now func() time.Time) *cobra.Command {
	opts := CopyrightOptions{Dir: dir}
	var quiet, verbose bool
	var exclude []string
	cmd := &cobra.Command{
		Use:   "check-copyright",
		Short: "Check the copyright lines of changed files",
		Long: `Checks the files changed since origin's master (main, where there is no master),
in the index and in the work tree: those that have a copyright line of Edgecast
or MNX must have one that ends in "Copyright YEAR Edgecast Cloud LLC.", with the
year of the change.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.Exclude = map[string]bool{}
			for _, x := range exclude {
				opts.Exclude[x] = true
			}
			if now == nil {
				now = time.Now
			}
			opts.Now = now()
			remarks, err := Copyright(cmd.Context(), opts)
			if err != nil {
				return err
			}
			var count [Error + 1]int
			for _, r := range remarks {
				count[r.Level]++
				if r.Level > Info || verbose {
					fmt.Fprintln(cmd.ErrOrStderr(), r)
				}
			}
			switch {
			case count[Error] > 0:
				return fault.WithHint(fault.Drift.Errorf("%d of %d changed files have a wrong copyright line", count[Error], len(remarks)),
					"ENGBLD_CHECK_COPYRIGHT_DISABLE=true leaves this check out")
			case quiet:
			case len(remarks) == 0:
				fmt.Fprintln(cmd.ErrOrStderr(), "no file has changed")
			case count[Warning] == 0:
				fmt.Fprintf(cmd.ErrOrStderr(), "the copyright lines of %d changed files are as they should be\n", len(remarks))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&opts.Branch, "branch", "b", "", "the branch at origin that changes are compared with (default master, or main)")
	f.BoolVarP(&quiet, "quiet", "q", false, "only errors and warnings")
	f.BoolVarP(&verbose, "verbose", "v", false, "a line for each file")
	f.BoolVarP(&opts.WarnForm, "warn", "W", false, "a wrong form is only a warning")
	f.StringArrayVarP(&exclude, "exclude", "x", nil, "leave out this `FILE` (path from the top)")
	return cmd
}

// BashCommand is "engbld bashstyle FILE...".
func BashCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "bashstyle FILE...",
		Short: "Check the style of bash scripts",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.Usage.Errorf("bashstyle: no file was given")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			wrong := 0
			for _, name := range args {
				text, err := readScript(name)
				if err != nil {
					return fault.Step.Errorf("checking a script's style: %w", err)
				}
				for _, line := range Bash(name, text) {
					fmt.Fprintln(cmd.OutOrStdout(), line)
					wrong++
				}
			}
			if wrong > 0 {
				return fault.WithHint(fault.Drift.Errorf("%d places are not in style", wrong),
					`"# BASHSTYLED" exempts the next line`)
			}
			return nil
		},
	}
}

func readScript(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxScript+1))
	if err == nil && len(text) > maxScript {
		err = fmt.Errorf("%s: more than %d bytes are no script", name, maxScript)
	}
	return text, err
}
