package agent

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/owned"
	"github.com/spf13/cobra"
)

// Deps are what the command needs from outside.
type Deps struct {
	Fetch   Fetcher  // nil: nothing is downloaded from servers
	Environ []string // addresses come from it, and make gets it when an agent is built
	Stderr  *os.File // what git and make say; nil: nowhere
	Infof   func(format string, args ...any)
	Warnf   func(format string, args ...any)
}

// Variables that stand for -u and -U.
const (
	gitURL      = "ENGBLD_AGENT_GIT_URL"
	downloadURL = "ENGBLD_AGENT_DOWNLOAD_URL"
)

func (d *Deps) getenv(name string) string {
	for _, e := range d.Environ {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// Command is "engbld agent-prebuilt", with the options of agent-prebuilt.sh.
func Command(deps Deps) *cobra.Command {
	opts := Options{Fetch: deps.Fetch, Users: owned.Users(deps.getenv), Stderr: deps.Stderr, Infof: deps.Infof, Warnf: deps.Warnf}
	var dir, into string
	cmd := &cobra.Command{
		Use:   "agent-prebuilt -c CACHE -r REPO -p PATTERN [OPTIONS] clone|build|download|extract|show_tarball|clean",
		Short: "Build or download an agent, and unpack it for an image",
		Long: `clone         clones the repository, or updates the clone, at the best branch it has
build         makes the archive, unless there is one of the commit checked out
download      gets the archive from -U instead
extract       unpacks the newest archive of the best branch
show_tarball  prints its path
clean         removes the clone

The best branch is the agent's (-B), else the component's (-b), else master or main.

Addresses that hold a password are better given in the environment than as options,
which every user of the machine sees: ENGBLD_AGENT_GIT_URL for -u,
ENGBLD_AGENT_DOWNLOAD_URL for -U.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.URL = cmp.Or(opts.URL, deps.getenv(gitURL))
			opts.Download = cmp.Or(opts.Download, deps.getenv(downloadURL))
			a, err := New(opts)
			if err != nil {
				return err
			}
			if len(args) != 1 {
				return fault.Usage.Errorf("agent-prebuilt: one of clone, build, download, extract, show_tarball, clean must be given")
			}
			ctx := cmd.Context()
			switch args[0] {
			case "clone":
				return a.Clone(ctx)
			case "build":
				return a.Build(ctx, deps.Environ)
			case "download":
				return a.Get(ctx)
			case "extract":
				return a.Extract(ctx, into, dir)
			case "show_tarball":
				name, err := a.Archive()
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), name)
				}
				return err
			case "clean":
				return a.Clean(ctx)
			}
			return fault.Usage.Errorf("agent-prebuilt: no command %q", args[0])
		},
	}
	f := cmd.Flags()
	f.StringVarP(&opts.Branch, "branch", "b", "master", "the component's branch")
	f.StringVarP(&opts.AgentBranch, "agent-branch", "B", "", "the agent's branch (default: the component's)")
	f.StringVarP(&opts.Cache, "cache", "c", "", "directory of clones and downloads (required)")
	f.StringVarP(&into, "into", "C", ".", "directory that extract unpacks into")
	f.StringVarP(&dir, "dir", "d", "", "directory below it")
	f.StringVarP(&opts.Pattern, "pattern", "p", "", "grep's expression for the archive's path in the clone (required)")
	f.StringVarP(&opts.Repo, "repo", "r", "", "name of the repository (required)")
	f.StringVarP(&opts.Targets, "targets", "t", "", "make's targets that build it")
	f.StringVarP(&opts.URL, "url", "u", "", "address of the repository")
	f.StringVarP(&opts.Download, "download-url", "U", "", "index page or directory that archives are downloaded from")
	return cmd
}
