package app

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/TritonDataCenter/engbld/images"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/gen"
	"github.com/TritonDataCenter/engbld/tools/stamp"
	"github.com/spf13/cobra"
)

// flavors loads the flavor files of the checkout, else the embedded ones.
func (a *app) flavors() (*flavor.Set, error) {
	dir := filepath.Join(a.top(), "images")
	if _, err := os.Stat(filepath.Join(dir, "buildenv.toml")); err == nil {
		return flavor.Load(os.DirFS(dir))
	}
	return flavor.Load(images.FS)
}

func (a *app) flavorCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "flavor", Short: "The origin images that can be built"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the flavors", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				set, err := a.flavors()
				if err != nil {
					return err
				}
				for _, f := range set.Flavors {
					fmt.Fprintf(a.env.Stdout, "%-32s %s %s\n", f.Name, f.Base.UUID, f.Base)
				}
				return nil
			},
		},
		&cobra.Command{
			Use: "generate", Short: "Write every file that is generated from the flavors", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				top, err := a.checkout()
				if err != nil {
					return err
				}
				changed, err := gen.Write(top)
				for _, name := range changed {
					fmt.Fprintln(a.env.Stdout, name)
				}
				return err
			},
		},
		&cobra.Command{
			Use: "check", Short: "Compare generated files with the flavors; a difference is exit code 3", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				top, err := a.checkout()
				if err != nil {
					return err
				}
				return gen.Check(top, a.env.Stdout)
			},
		},
		a.flavorReleasedCommand(), a.flavorNewCommand(),
	)
	return cmd
}

// checkout is the engbld checkout the working directory must be in.
func (a *app) checkout() (string, error) {
	top := a.top()
	if _, err := os.Stat(filepath.Join(top, "images", "buildenv.toml")); err != nil {
		return "", fault.WithHint(fault.Usage.Errorf("%s is in no checkout of engbld", a.env.Dir), "cd to the checkout with images/buildenv.toml")
	}
	return top, nil
}

func (a *app) stampCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stamp",
		Short: "Print the stamp of this checkout: BRANCH-TIMESTAMP-gCOMMIT",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := stamp.Read(cmd.Context(), a.env.Dir, a.env.Getenv("TIMESTAMP"), a.env.Now(), a.env.Getenv)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.env.Stdout, st)
			return nil
		},
	}
}
