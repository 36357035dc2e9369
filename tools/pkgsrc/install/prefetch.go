package install

import (
	"context"
	"errors"
	"io/fs"

	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

// prefetch fetches and reads several packages at once that Add will most likely
// ask for one by one: its arguments and what the summary says they need. What is done
// with them is decided later and without the summary, as in pkg_add; a package
// that is missing, or a repository without a summary, is no matter here.
func (in *Installer) prefetch(ctx context.Context, args []string) error {
	entries, err := in.opts.Repos.Summary(ctx)
	if err != nil {
		return ctx.Err()
	}
	byName := map[string]*repository.Entry{}
	for _, e := range entries {
		byName[e.PkgName] = e
	}
	all, here := version.NewIndex(sortedKeys(byName)), in.index()
	budget := version.NewBudget(maxSteps)
	var jobs []repository.Job
	known := map[string]bool{}
	want := func(pattern string) {
		best, ok, err := all.Best(pattern, budget)
		if err == nil && ok && !known[best] && len(jobs) < maxActions {
			known[best] = true
			jobs = append(jobs, repository.Job{Repo: byName[best].Repo, Name: best})
		}
	}
	for _, arg := range args {
		want(arg)
	}
	for i := 0; i < len(jobs); i++ {
		for _, pattern := range byName[jobs[i].Name].Depends {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, ok, err := here.Best(pattern, budget); err == nil && !ok {
				want(pattern)
			}
		}
	}
	err = in.preload(ctx, jobs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
