package repository

import (
	"context"
	"fmt"

	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// Set is several repositories; earlier ones win for the same package.
type Set []*Repo

// OpenSet opens all addresses; each may hold several, separated by ";" (PKG_PATH).
func OpenSet(addresses []string, opts Options) (Set, error) {
	var s Set
	for _, a := range addresses {
		for _, one := range SplitPath(a) {
			r, err := Open(one, opts)
			if err != nil {
				return nil, err
			}
			s = append(s, r)
		}
	}
	return s, nil
}

// Summary returns the records of all repositories in order; a PkgName counts once.
func (s Set) Summary(ctx context.Context) ([]*Entry, error) {
	seen := map[string]bool{}
	var all []*Entry
	for _, r := range s {
		entries, err := r.Summary(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !seen[e.PkgName] {
				seen[e.PkgName] = true
				all = append(all, e)
			}
		}
	}
	return all, nil
}

// maxSteps bounds the matching of one pattern with all names of a repository, see
// version.Budget: with stars in front, a hundred for each of the most names there are.
const maxSteps = 1 << 26

// Find returns the best package of all repositories that matches the pattern,
// by directory listing, as pkg_add does; false where none does.
func (s Set) Find(ctx context.Context, pattern string) (name string, repo *Repo, ok bool, err error) {
	for _, r := range s {
		index, err := r.index(ctx)
		if err != nil {
			return "", nil, false, err
		}
		best, found, err := index.Best(pattern, version.NewBudget(maxSteps))
		if err != nil {
			return "", nil, false, fmt.Errorf("package repository %s: %w", r.URL, err)
		}
		if found && (!ok || version.Better(best, name)) {
			name, repo, ok = best, r, true
		}
	}
	return name, repo, ok, nil
}

// Job is one package to fetch: a record of a summary, or a name in a repository.
type Job struct {
	Entry *Entry
	Repo  *Repo
	Name  string
}

// Fetch fetches the package and returns its path.
func (j Job) Fetch(ctx context.Context) (string, error) {
	if j.Entry != nil {
		return j.Entry.Fetch(ctx)
	}
	return j.Repo.Package(ctx, j.Name)
}
