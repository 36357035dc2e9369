package component

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/TritonDataCenter/engbld/tools/buildenv"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/finding"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/rest"
)

// Env is what the commands take from outside.
type Env struct {
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Dir            string          // working directory
	System         buildenv.System // nil: this machine
	Flavors        func() (*flavor.Set, error)
}

// Command is "engbld component".
func Command(env Env) *cobra.Command {
	cmd := &cobra.Command{Use: "component", Short: "Look after the repositories that build an image with these makefiles"}
	cmd.AddCommand(doctorCommand(env), bumpCommand(env), usageCommand(env))
	return cmd
}

func (e Env) out(cmd *cobra.Command) (stdout, stderr io.Writer) {
	stdout, stderr = e.Stdout, e.Stderr
	if stdout == nil {
		stdout = cmd.OutOrStdout()
	}
	if stderr == nil {
		stderr = cmd.ErrOrStderr()
	}
	return stdout, stderr
}

// at is dir as seen from the working directory.
func (e Env) at(dir string) string {
	if filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	return filepath.Join(e.Dir, dir)
}

func doctorCommand(env Env) *cobra.Command {
	var asJSON, text bool
	cmd := &cobra.Command{
		Use:   "doctor [DIR...]",
		Short: "Find mistakes in a component's makefiles",
		Long: `Looks at the component in the working directory, or at those in DIRs, and at the
images of a monorepo (images/NAME): which image
it really builds on, and whether the comment beside it says the same; whether
node and the Jenkins label fit that image; misspelt variables; variables set on
the wrong side of an include. It reads the text and runs nothing, but asks make
where the text does not tell the image.`,
		Example: `  engbld component doctor
  engbld component doctor ~/src/sdc-* --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			stdout, _ := env.out(cmd)
			set, err := env.Flavors()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{"."}
			}
			opts := Options{Flavors: set, System: env.System, Getenv: env.Getenv}
			if opts.System == nil {
				opts.System = buildenv.Local{}
			}
			if text {
				opts.System = nil
			}
			quiet, _ := cmd.Flags().GetBool("quiet")
			var dirs []string
			for _, a := range args { // a monorepo is looked at with its images
				dirs = append(append(dirs, env.at(a)), images(env.at(a))...)
			}
			reports := []*finding.Report{}
			var bad error
			for i, dir := range dirs {
				opts.Dir = dir
				r, err := Doctor(cmd.Context(), opts)
				if err != nil {
					return err
				}
				reports = append(reports, r)
				if err := Err(r); err != nil && bad == nil {
					bad = err
				}
				if asJSON {
					continue
				}
				if i > 0 && !quiet {
					fmt.Fprintln(stdout)
				}
				if err := r.WriteText(stdout, quiet); err != nil {
					return err
				}
			}
			if asJSON {
				if err := finding.WriteJSON(stdout, reports); err != nil {
					return err
				}
			}
			return bad
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	cmd.Flags().BoolVar(&text, "no-make", false, "never ask make")
	return cmd
}

func bumpCommand(env Env) *cobra.Command {
	var write bool
	var from, dir string
	cmd := &cobra.Command{
		Use:   "origin-bump FLAVOR|UUID",
		Short: "Move a component to another origin image",
		Long: `Shows, as a diff, what must change for the component to build on the youngest
released image of FLAVOR, or on the image UUID: BASE_IMAGE_UUID and the comment
beside it, NODE_PREBUILT_IMAGE, packages in BUILDIMAGE_PKGSRC that the origin has
already, and label, stage and parameter in the Jenkinsfile. What only people can
decide is listed after it. Nothing is written without --write.`,
		Example: `  engbld component origin-bump 24.4.1
  engbld component origin-bump triton-origin-x86_64-24.4.1 --write`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			stdout, stderr := env.out(cmd)
			set, err := env.Flavors()
			if err != nil {
				return err
			}
			b, err := Plan(BumpOptions{Dir: env.at(dir), Flavors: set, To: args[0], From: from})
			if err != nil {
				return err
			}
			diff, err := b.Diff()
			if err != nil {
				return err
			}
			if _, err := io.WriteString(stdout, diff); err != nil {
				return err
			}
			for _, n := range b.Notes {
				fmt.Fprintln(stderr, "note: "+rest.Clean(n)) // it names what makefiles hold
			}
			switch {
			case len(b.Files) == 0:
				fmt.Fprintf(stderr, "%s builds on %s already\n", b.Subject, b.To)
				return nil
			case !write:
				fmt.Fprintln(stderr, "nothing is written; --write does it")
				return nil
			}
			if err := b.Write(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(stderr, "%s builds on %s now; %d files changed\n", b.Subject, b.To, len(b.Files))
			return nil
		},
	}
	cmd.Flags().BoolVar(&write, "write", false, "change the files")
	cmd.Flags().StringVar(&from, "from", "", "the `UUID` to replace, where BASE_IMAGE_UUID is set to several")
	cmd.Flags().StringVarP(&dir, "dir", "C", ".", "the component's `DIRECTORY`")
	return cmd
}

func usageCommand(env Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "usage DIR...",
		Short: "Which origin images are in use, over many checkouts",
		Long: `Looks at the components in DIRs, and directly below DIRs that are none, and lists
the images they build on, youngest first, and the released ones nobody builds on.
Nothing is run.`,
		Example: `  engbld component usage ~/src`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.Usage.Errorf("no directory was given")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			stdout, _ := env.out(cmd)
			set, err := env.Flavors()
			if err != nil {
				return err
			}
			for i, a := range args {
				args[i] = env.at(a)
			}
			u, err := Survey(set, args)
			if err != nil {
				return err
			}
			for _, names := range usesOf(u) {
				for i, n := range names {
					if rel, err := filepath.Rel(env.Dir, n); err == nil && filepath.IsLocal(rel) {
						names[i] = rel
					} else if len(args) == 1 {
						if rel, err := filepath.Rel(args[0], n); err == nil && rel != "." {
							names[i] = rel
						}
					}
				}
			}
			if asJSON {
				return finding.WriteJSON(stdout, u)
			}
			return u.WriteText(stdout)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	return cmd
}

// usesOf returns every list of components of u, to be changed in place.
func usesOf(u *Usage) [][]string {
	lists := [][]string{u.Other}
	for _, use := range u.Images {
		lists = append(lists, use.Base, use.Node)
	}
	return lists
}
