package app

import (
	"context"
	"net/http"
	"time"

	"github.com/TritonDataCenter/engbld/tools/buildenv"
	"github.com/TritonDataCenter/engbld/tools/component"
	"github.com/TritonDataCenter/engbld/tools/rest"
	"github.com/spf13/cobra"
)

// reachTimeout bounds how long doctor waits for one server.
const reachTimeout = 10 * time.Second

func (a *app) doctorCommands() []*cobra.Command {
	return []*cobra.Command{
		buildenv.Command(buildenv.Env{
			Stdout: a.env.Stdout, Stderr: a.env.Stderr, Getenv: a.env.Getenv, Now: a.env.Now, Dir: a.env.Dir,
			Flavors: a.flavors, CacheDir: a.cacheDir, Servers: a.servers, Reach: reach,
		}),
		component.Command(component.Env{
			Stdout: a.env.Stdout, Stderr: a.env.Stderr, Getenv: a.env.Getenv, Dir: a.env.Dir, Flavors: a.flavors,
		}),
	}
}

// servers are those a build asks first; a local source needs none.
func (a *app) servers() []buildenv.Server {
	url := a.imageSource()
	if !isURL(url) {
		return nil
	}
	return []buildenv.Server{{What: "image server", URL: url}}
}

// reach asks a server for anything and returns its clock. Any answer will do.
func reach(ctx context.Context, url string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return time.Time{}, rest.Plain(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return time.Time{}, rest.Plain(err)
	}
	resp.Body.Close()
	when, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, nil // a server without a clock is still there
	}
	return when, nil
}
