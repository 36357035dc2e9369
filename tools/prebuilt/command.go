package prebuilt

import (
	"path/filepath"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/spf13/cobra"
)

// GoCommand is "engbld download-go", what the script download_go calls.
func GoCommand(src Source) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "download-go VERSION GOOS GOARCH DIR",
		Short: "Download a Go toolchain",
		Long: `Puts goVERSION.GOOS-GOARCH.tar.bz2 into DIR, which must exist, and makes
DIR/go-VERSION.tar.bz2 a link to it. The GOOS illumosElseSolaris is illumos if
there is such a toolchain, else solaris.`,
		Args: arguments(4),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := src.Go(cmd.Context(), args[0], args[1], args[2], args[3])
			return err
		},
	}
	cmd.Flags().StringVar(&src.URL, "url", src.URL, "the object store, if not "+DefaultURL)
	return cmd
}

// CTFCommand is "engbld download-ctftools", what the script download_ctftools
// calls.
func CTFCommand(src Source) *cobra.Command {
	var top string
	cmd := &cobra.Command{
		Use:   "download-ctftools PLATFORM DIR",
		Short: "Download the CTF tools",
		Long: `Puts ctftools.tar.gz, built for PLATFORM (as in 20181206T011455Z), into DIR and
unpacks it in DIR/ctftools.`,
		Args: arguments(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[1]
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(top, dir)
			}
			return src.CTFTools(cmd.Context(), args[0], dir)
		},
	}
	cmd.Flags().StringVar(&top, "top", "", "the directory that DIR is relative to")
	cmd.Flags().StringVar(&src.URL, "url", src.URL, "the object store, if not "+DefaultURL)
	return cmd
}

func arguments(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return fault.Usage.Errorf("usage: %s", cmd.UseLine())
		}
		return nil
	}
}
