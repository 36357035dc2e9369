package bits

import (
	"context"
	"fmt"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/spf13/cobra"
)

// Deps are what the command needs from outside. The zero value uploads to
// directories only.
type Deps struct {
	Getenv func(string) string // nil: nothing is set
	Now    func() time.Time    // nil: time.Now
	Infof  func(format string, args ...any)

	// Open returns the store that holds dest (as given with -d) where -L was
	// not given. nil: there is none, which is an error.
	Open func(ctx context.Context, dest string) (Store, error)
	// Before looks at what is about to be uploaded; an error ends the command
	// before anything is sent. nil: nothing is looked at.
	Before func(ctx context.Context, req Request, use Use) error
	// Promises is Request.Promises; it may be nil.
	Promises func(files []File) map[string]Promise
	// Publish sends the images of an upload to the image server. nil: there
	// is none, which is an error, found before anything is uploaded.
	Publish func(ctx context.Context, store Store, req Request, res *Result) error
}

// Use is what an upload is for.
type Use struct {
	Local   bool // to a directory of this machine
	Publish bool // its images are published afterwards
}

// Command is "engbld bits-upload", with the options of bits-upload.sh.
func Command(deps Deps) *cobra.Command {
	var req Request
	var dest string
	var local, publish bool
	cmd := &cobra.Command{
		Use:   "bits-upload -b BRANCH -d DEST -n NAME [-L] [SUBDIR...]",
		Short: "Upload what was built, and publish images",
		Long: `Uploads the files below the bits directory (or only those in the SUBDIRs) to
DEST/STAMP and makes DEST/BRANCH-latest lead there. What is there already with
the same content is not sent again; what is there with another content ends the
upload before anything is sent. The bits directory's artifacts.txt lists what
was uploaded.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Subdirs = args
			getenv := deps.Getenv
			if getenv == nil {
				getenv = func(string) string { return "" }
			}
			req.AllowDirty = getenv("ENGBLD_BITS_UPLOAD_ALLOW_DIRTY") != ""
			req.Now, req.Infof, req.ListAll, req.Promises = deps.Now, deps.Infof, !local, deps.Promises
			if dest == "" {
				return missing("the destination", "-d")
			}
			if err := req.check(); err != nil {
				return err
			}
			if publish && local {
				return fault.WithHint(fault.Usage.Errorf("bits-upload: -p publishes what an image server can fetch, not files of this machine (-L)"),
					"without ENGBLD_BITS_UPLOAD_LOCAL or without ENGBLD_BITS_UPLOAD_IMGAPI")
			}
			if publish && deps.Publish == nil {
				return fault.Usage.Errorf("bits-upload: publishing needs an image server, which this command was not given")
			}
			if deps.Before != nil {
				if err := deps.Before(cmd.Context(), req, Use{Local: local, Publish: publish}); err != nil {
					return err
				}
			}
			store, err := open(cmd.Context(), deps, dest, local)
			if err != nil {
				return err
			}
			res, err := Upload(cmd.Context(), store, req)
			if err != nil || !publish {
				return err
			}
			return deps.Publish(cmd.Context(), store, req, res)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&req.Branch, "branch", "b", "", "the build's branch (required)")
	f.StringVarP(&req.TryBranch, "try-branch", "B", "", "names the -latest pointer instead of the branch, if not empty")
	f.StringVarP(&dest, "dest", "d", "", "destination (required)")
	f.StringVarP(&req.Dir, "bits-dir", "D", "bits", "the bits directory")
	f.BoolVarP(&local, "local", "L", false, "the destination is a directory of this machine")
	f.StringVarP(&req.Name, "name", "n", "", "the component's name (required)")
	f.BoolVarP(&publish, "publish", "p", false, "publish images, too")
	f.StringVarP(&req.Stamp, "stamp", "t", "", "the upload's name (default: what latest-build-stamp holds)")
	return cmd
}

func open(ctx context.Context, deps Deps, dest string, local bool) (Store, error) {
	if local {
		return OpenDir(dest), nil
	}
	if deps.Open == nil {
		return nil, fault.WithHint(fault.Usage.Errorf("bits-upload: no object store is known for %s", dest),
			"ENGBLD_BITS_UPLOAD_LOCAL=true uploads to a directory (-L)")
	}
	store, err := deps.Open(ctx, dest)
	if err != nil {
		return nil, fmt.Errorf("opening the store of %s: %w", dest, err)
	}
	return store, nil
}
