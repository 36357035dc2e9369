package pkgcmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
	"github.com/spf13/cobra"
)

func (c *commands) searchCommand() *cobra.Command {
	cmd := c.targetFlags(&cobra.Command{
		Use:   "search TARGET PATTERN",
		Short: "Look for packages in the system's repositories",
		Long: `Look for packages in the summaries of the repositories that the system names.
PATTERN is a pattern as dependencies have it ('curl', 'openssl>=3', 'lib*'), or
text that stands in the name or the comment, in whatever case.

The mark behind the name says: = this version is installed, < an older one is
(or the same, built at another time), > a newer one is.`,
		Example: `  engbld pkg search /zones/root ssl
  engbld pkg search --repo https://HOST/packages/SmartOS/2024Q4/x86_64/All /zones/root 'curl>=8'`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.look(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer t.close()
			return c.search(cmd.Context(), t, args[1])
		},
	})
	c.repoFlag(cmd)
	return cmd
}

// hit is a package that search found, as in its JSON.
type hit struct {
	Name       string `json:"name"` // without version
	Version    string `json:"version"`
	Comment    string `json:"comment"`
	Path       string `json:"path"`           // in pkgsrc
	Size       int64  `json:"size,omitempty"` // bytes installed
	Repository string `json:"repository"`
	Installed  string `json:"installed,omitempty"` // version
	Upgrade    bool   `json:"upgrade"`             // it is newer than the installed one, or built anew
	mark       string
}

func (c *commands) search(ctx context.Context, t *target, pattern string) error {
	w, err := c.World(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	addresses := c.addresses(w, t.conf, t.conf.Repositories, t.conf.PkgPath)
	if len(addresses) == 0 {
		return noRepository(t.name)
	}
	repos, err := c.open(w, addresses)
	if err != nil {
		return err
	}
	entries, err := repos.Summary(ctx)
	if err != nil {
		return err
	}
	hits, best := []hit{}, t.best()
	for _, e := range entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		ok, err := found(e, pattern)
		if err != nil {
			return fault.Usage.Errorf("pattern %q: %w", pattern, err)
		}
		if !ok {
			continue
		}
		h, err := t.compare(e, best[e.Name()])
		if err != nil {
			return err
		}
		hits = append(hits, h)
	}
	if len(hits) == 0 {
		return fault.Network.Errorf("no package fits %q in %s", pattern, strings.Join(shown(repos), " "))
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		if d := strings.Compare(a.Name, b.Name); d != 0 {
			return d
		}
		return -version.Compare(a.Version, b.Version)
	})
	if c.asJSON {
		return c.printJSON(hits)
	}
	for _, h := range hits {
		if err := c.print(fmt.Sprintf("%-24s %1s  %s\n", h.Name+"-"+h.Version, h.mark, h.Comment)); err != nil {
			return err
		}
	}
	return nil
}

func noRepository(target string) error {
	return fault.WithHint(fault.Step.Errorf("%s names no package repository", target),
		"--repo ADDRESS of a repository's All directory")
}

func shown(repos repository.Set) (addresses []string) {
	for _, r := range repos {
		addresses = append(addresses, r.URL)
	}
	return addresses
}

func found(e *repository.Entry, pattern string) (bool, error) {
	ok, err := version.Match(pattern, e.PkgName)
	if ok || err != nil {
		return ok, err
	}
	text := strings.ToLower(pattern)
	return strings.Contains(strings.ToLower(e.Name()), text) || strings.Contains(strings.ToLower(e.Comment), text), nil
}

// compare tells how a package of a repository stands to the installed one, "" if
// there is none.
func (t *target) compare(e *repository.Entry, have string) (hit, error) {
	h := hit{Name: e.Name(), Version: e.Version(), Comment: e.Comment, Path: e.PkgPath, Size: e.SizePkg, Repository: e.Repo.URL}
	if have == "" {
		return h, nil
	}
	r, err := t.db.Record(have)
	if err != nil {
		return h, fault.Step.Errorf("%s: %w", t.name, err)
	}
	first := func(name string) string {
		if v := r.BuildInfo[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	_, h.Installed = version.Split(have)
	samePath := e.PkgPath == first("PKGPATH") // pkgin upgrades within one only
	switch d := version.Compare(h.Installed, h.Version); {
	case have == e.PkgName && (!samePath || e.BuildDate == "" || e.BuildDate == first("BUILD_DATE")):
		h.mark = "="
	case d > 0:
		h.mark = ">"
	default:
		h.mark, h.Upgrade = "<", samePath
	}
	return h, nil
}
