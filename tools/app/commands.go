package app

import (
	"context"
	"os"

	"github.com/TritonDataCenter/engbld/tools/agent"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/prebuilt"
	"github.com/TritonDataCenter/engbld/tools/stylecheck"
	"github.com/spf13/cobra"
)

// scripts are the verbs behind the scripts of tools/: upstream's names and
// options, and upstream's exit codes (spec engbld-interface.md section 4).
func (a *app) scripts() []*cobra.Command {
	files := &downloads{&fetch.Client{}}
	stderr, _ := a.env.Stderr.(*os.File)
	list := []*cobra.Command{
		stylecheck.CopyrightCommand(a.env.Dir, a.env.Now),
		stylecheck.BashCommand(),
		agent.Command(agent.Deps{Fetch: files, Environ: os.Environ(), Stderr: stderr, Infof: a.infof, Warnf: a.warnf}),
		prebuilt.GoCommand(prebuilt.Source{Client: files.client, Infof: a.infof}),
		prebuilt.CTFCommand(prebuilt.Source{Client: files.client, Infof: a.infof}),
	}
	return list
}

// infof and warnf find the UI when they speak: the flags that set it up are
// read after the commands are made.
func (a *app) infof(format string, args ...any) { a.ui().Infof(format, args...) }
func (a *app) warnf(format string, args ...any) { a.ui().Warnf(format, args...) }

// downloads is the project's HTTP client as the scripts' packages want it.
type downloads struct{ client *fetch.Client }

func (d *downloads) Get(ctx context.Context, url string, limit int64) ([]byte, error) {
	return d.client.GetBytes(ctx, url, limit)
}

func (d *downloads) GetFile(ctx context.Context, url, dst string) error {
	_, err := d.client.GetFile(ctx, url, dst, fetch.Expect{})
	return err
}
