// Package pkgcmd is "engbld pkg": what is installed in a system, what its
// repositories have, what is known to be vulnerable, and installation into a
// directory, without pkgsrc's tools and without root.
//
// A system is a directory with one's root, or an image. Images are only looked
// at; a directory is changed by install alone, all or nothing: packages are
// resolved, checked and installed in memory (package install says what that can
// and cannot do), and only a complete result is written. See fstree.UpdateDir
// for what happens when writing fails.
package pkgcmd

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/spf13/cobra"
)

// Env is what the commands take from outside.
type Env struct {
	Stdout       io.Writer
	Dir          string // working directory
	Now          func() time.Time
	Accept       string                           // package actions that install may leave undone, as --accept has them
	Infof, Warnf func(format string, args ...any) // the story

	// Image opens the system of an image by uuid, manifest or stream file; bases
	// are the streams it is an increment of. The function closes it.
	Image func(ctx context.Context, name string, bases []string) (*fstree.Tree, func(), error)

	// EOLPage is the address that stands in findings of class eol.
	EOLPage func() (string, error)

	// World sets up the way to servers; only commands that need one call it.
	World func(ctx context.Context) (*World, error)
}

// World is the way to servers.
type World struct {
	Client  *fetch.Client
	Cache   string // directory for downloads
	Offline bool
	Source  string // repository to use instead of the system's own; "" is none
	VulnURL string // vulnerability list where the system names none
	Close   func()
}

// commands is the state of one command line.
type commands struct {
	Env
	bases  []string // --base
	repos  []string // --repo
	asJSON bool
}

// print writes text for people. What packages, repositories and lists say moves no
// cursor: all but letters, signs, blanks, tabs and line ends is written \ooo.
func (c *commands) print(text string) error {
	var b strings.Builder
	for text != "" {
		end := strings.IndexAny(text, "\n\t")
		if end < 0 {
			end = len(text)
		}
		b.WriteString(survey.Plain(text[:end]))
		if text = text[end:]; text != "" {
			b.WriteByte(text[0])
			text = text[1:]
		}
	}
	_, err := io.WriteString(c.Stdout, b.String())
	return err
}

// Infof and Warnf make commands the logger of libraries.
func (c *commands) Infof(format string, args ...any) { c.Env.Infof(format, args...) }
func (c *commands) Warnf(format string, args ...any) { c.Env.Warnf(format, args...) }

// Command is "engbld pkg".
func Command(env Env) *cobra.Command {
	c := &commands{Env: env}
	cmd := &cobra.Command{
		Use:   "pkg",
		Short: "Packages of a system: a directory with its root, or an image",
		Long: `Look at the packages of a system, and install some into a directory.

TARGET is a directory that holds the root of a system, or an image: a flavor
(its newest build in bits/), a manifest with its file beside it, a stream file,
or the uuid of an image in bits/ or the cache. Settings, repositories and keys
are those of the system itself.`,
	}
	cmd.AddCommand(c.listCommand(), c.infoCommand(), c.searchCommand(), c.auditCommand(), c.installCommand())
	return cmd
}

// targetFlags are those of the verbs that look at a target.
func (c *commands) targetFlags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringArrayVar(&c.bases, "base", nil, "stream file the image is based on (repeat for a chain)")
	cmd.Flags().BoolVar(&c.asJSON, "json", false, "answer in JSON")
	return cmd
}

func (c *commands) repoFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&c.repos, "repo", nil, "address of a repository's All directory, instead of the system's own (repeat for several)")
}

func (c *commands) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Dir, path)
}

func (c *commands) printJSON(v any) error {
	e := json.NewEncoder(c.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// addresses are the repositories to use: those given on the command line, else
// the environment's, else the first of the system's lists that is not empty.
func (c *commands) addresses(w *World, conf *pkgdb.Config, lists ...[]string) []string {
	var given []string
	switch {
	case len(c.repos) > 0:
		given = c.repos
	case w.Source != "":
		given = []string{w.Source}
	default:
		for _, l := range lists {
			if len(l) > 0 {
				return l
			}
		}
	}
	var out []string
	for _, a := range given {
		a = strings.NewReplacer("$release", conf.Release, "$arch", conf.Arch).Replace(a)
		if a != "" && !strings.Contains(a, "://") {
			a = c.abs(a)
		}
		out = append(out, a)
	}
	return out
}

// open opens repositories.
func (c *commands) open(w *World, addresses []string) (repository.Set, error) {
	if slices.Contains(addresses, "") {
		return nil, fault.Usage.Errorf("--repo: empty address")
	}
	return repository.OpenSet(addresses, repository.Options{Client: w.Client, CacheDir: w.Cache, Offline: w.Offline, Warnf: c.Warnf})
}
