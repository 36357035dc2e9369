package app

import (
	"context"

	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgcmd"
	"github.com/spf13/cobra"
)

// pkgCommand is "engbld pkg": packages of systems in directories and images.
func (a *app) pkgCommand() *cobra.Command {
	return pkgcmd.Command(pkgcmd.Env{
		Stdout: a.env.Stdout, Dir: a.env.Dir, Now: a.env.Now, Infof: a.infof, Warnf: a.warnf,
		Accept: a.env.Getenv("BUILDIMAGE_PKGSRC_ACCEPT"),
		Image: func(ctx context.Context, name string, bases []string) (*fstree.Tree, func(), error) {
			o := &opener{a: a, bases: bases}
			im, err := o.open(ctx, name)
			if err != nil {
				o.close()
				return nil, nil, err
			}
			return im.Tree, o.close, nil
		},
		EOLPage: func() (string, error) {
			set, err := a.flavors()
			if err != nil {
				return "", err
			}
			return set.BuildEnv.EOLPage, nil
		},
		World: a.pkgWorld,
	})
}

// pkgWorld is the way to package servers that a build would take.
func (a *app) pkgWorld(ctx context.Context) (*pkgcmd.World, error) {
	w, err := a.open(ctx, a.ui())
	if err != nil {
		return nil, err
	}
	return &pkgcmd.World{
		Client: w.client, Cache: w.packageCache, Offline: w.offline, Source: a.env.Getenv("ENGBLD_PKGSRC_SOURCE"),
		VulnURL: defaultVulnURL, Close: w.close,
	}, nil
}
