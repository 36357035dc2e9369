package app

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/ui"
	"github.com/spf13/cobra"
)

func (a *app) cacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Base images and packages kept for the next build",
		Long: `Decompressed base images, own builds and packages are kept in $ENGBLD_CACHE_DIR (default
~/.cache/engbld). Everything there can be deleted at any time no build runs.`,
	}
	var days int
	var pruneAll bool
	prune := &cobra.Command{
		Use: "prune", Short: "Remove images that were not used lately", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withImages(cmd, func(s *imgstore.Store) error {
				o := imgstore.PruneOptions{OlderThan: time.Duration(days) * 24 * time.Hour}
				if pruneAll {
					o.OlderThan = 0
				}
				gone, err := s.Prune(cmd.Context(), o)
				a.printUsage(gone)
				if err == nil && pruneAll {
					err = a.pruneDownloads()
				}
				return err
			})
		},
	}
	prune.Flags().IntVar(&days, "days", 30, "keep images that were used in this many days")
	prune.Flags().BoolVar(&pruneAll, "all", false, "keep nothing, packages neither")
	cmd.AddCommand(prune,
		&cobra.Command{
			Use: "du", Short: "Show what is kept and how large it is", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.withImages(cmd, func(s *imgstore.Store) error {
					list, err := s.Du()
					a.printUsage(list)
					if err != nil {
						return err
					}
					packages, err := a.packageCache()
					if err != nil {
						return err
					}
					n, size, err := packages.Usage()
					if n > 0 {
						fmt.Fprintf(a.env.Stdout, "packages: %d files, %s\n", n, ui.Bytes(size))
					}
					return err
				})
			},
		},
		&cobra.Command{
			Use: "verify", Short: "Read everything again; what is damaged is removed (exit code 3)", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.withImages(cmd, func(s *imgstore.Store) error {
					damaged, err := s.Verify(cmd.Context())
					for _, d := range damaged {
						fmt.Fprintf(a.env.Stdout, "%s: %s\n", d.Path, d.Reason)
					}
					if err != nil {
						return err
					}
					packages, err := a.packageCache()
					if err != nil {
						return err
					}
					files, err := packages.Verify(cmd.Context())
					for _, path := range files {
						fmt.Fprintf(a.env.Stdout, "%s: its sha256 is not its name\n", path)
					}
					if err == nil && len(damaged)+len(files) > 0 {
						err = fault.Drift.Errorf("cache: removed what was damaged (images: %d, packages: %d); the next build fetches it again", len(damaged), len(files))
					}
					return err
				})
			},
		})
	return cmd
}

// packageCache is where packages are kept.
func (a *app) packageCache() (*fetch.Cache, error) {
	root, err := a.cacheRoot(a.on("ENGBLD_SANDBOX"))
	if err != nil {
		return nil, err
	}
	return &fetch.Cache{Dir: filepath.Join(root, "packages"), Offline: true}, nil
}

// pruneDownloads removes packages, and what downloads that were killed left. What
// builds used stays on record.
func (a *app) pruneDownloads() error {
	images, err := a.imageCache(a.on("ENGBLD_SANDBOX"))
	if err != nil {
		return err
	}
	packages, err := a.packageCache()
	if err != nil {
		return err
	}
	for _, dir := range []string{filepath.Join(images, "parts"), packages.Dir} {
		if err := os.RemoveAll(dir); err != nil {
			return fault.Step.Errorf("cache: %w", err)
		}
	}
	return nil
}

// withImages opens the image cache, without servers.
func (a *app) withImages(cmd *cobra.Command, f func(*imgstore.Store) error) error {
	sandboxed := a.on("ENGBLD_SANDBOX")
	dir, err := a.imageCache(sandboxed)
	if err != nil {
		return err
	}
	s, err := imgstore.Open(imgstore.Options{CacheDir: dir, Sandbox: sandboxed, Marked: a.namedSource(), Offline: true, Log: a.ui(), Now: a.env.Now})
	if err != nil {
		return err
	}
	return f(s)
}

func (a *app) printUsage(list []imgstore.Usage) {
	var total int64
	for _, u := range list {
		kind := "base"
		if u.Own {
			kind = "own"
		}
		fmt.Fprintf(a.env.Stdout, "%s  %-4s  %10s  %s  %s\n", u.UUID, kind, ui.Bytes(u.Bytes), u.LastUsed.UTC().Format(time.DateOnly), u.NameVersion)
		total += u.Bytes
	}
	fmt.Fprintf(a.env.Stdout, "%d images, %s\n", len(list), ui.Bytes(total))
}
