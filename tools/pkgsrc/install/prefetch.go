package install

import (
	"context"
	"errors"
	"io/fs"
	"slices"

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
	names := sortedKeys(byName)
	var jobs []repository.Job
	want := func(pattern string) {
		best, ok, err := version.Best(pattern, names)
		if e := byName[best]; err == nil && ok && !slices.ContainsFunc(jobs, func(j repository.Job) bool { return j.Name == best }) {
			jobs = append(jobs, repository.Job{Repo: e.Repo, Name: best})
		}
	}
	for _, arg := range args {
		want(arg)
	}
	for i := 0; i < len(jobs); i++ {
		for _, pattern := range byName[jobs[i].Name].Depends {
			if _, ok, err := in.satisfied(pattern); err == nil && !ok {
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
