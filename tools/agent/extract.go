package agent

import (
	"context"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/owned"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"github.com/TritonDataCenter/engbld/tools/untar"
)

const maxIndex = 8 << 20 // bytes of an index page

// Extract unpacks the newest archive into the directory dir of into, which
// is made. Nothing is written outside it, whatever the archive says. An archive
// that turns out not to be whole is removed, so that it can be made or fetched anew.
func (a *Agent) Extract(ctx context.Context, into, dir string) error {
	if strings.HasPrefix(dir, ".") || strings.HasPrefix(dir, "/") {
		return fault.Step.Errorf("agent-prebuilt: the directory in the image, %q, must not begin with %q", dir, dir[:1])
	}
	return a.locked(ctx, func() error {
		name, err := a.Archive()
		if err != nil {
			return err
		}
		if err := openStage(into, a.opts.Users); err != nil {
			return err
		}
		to := filepath.Join(into, dir)
		a.opts.Infof("%s: %s into %s", a.opts.Repo, name, to)
		err = untar.File(ctx, name, to)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if whole, werr := a.whole(ctx, filepath.Base(name)); whole || werr != nil {
			return err // the fault is not the archive's
		}
		again := "build"
		if a.opts.Download != "" {
			again = "download"
		}
		return fault.WithHint(err, "agent-prebuilt.sh ... %s, then the same command again", again)
	})
}

// openStage makes the directory, and sees that it is no other user's.
func openStage(dir string, users []int) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fault.Step.Errorf("making the directory of the image's files: %w", err)
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = owned.Check(dir, users)
	}
	if err != nil {
		return fault.WithHint(fault.Unfit.Errorf("agent-prebuilt: the directory of the image's files: %w", err),
			"remove it, or name another place: make BUILDIMAGE_STAGEDIR=DIRECTORY ...")
	}
	return nil
}

var hrefs = regexp.MustCompile(`(?i)href\s*=\s*["']([^"']*)["']`)

// Get downloads the newest archive into the cache, from a server's index page
// or a directory. One that is there already, and whole, is not fetched again.
func (a *Agent) Get(ctx context.Context) error {
	from := a.opts.Download
	if from == "" {
		return usage("where archives are downloaded from", "-U")
	}
	return a.locked(ctx, func() error {
		if !strings.HasPrefix(from, "http:") && !strings.HasPrefix(from, "https:") {
			return a.getFromDir(ctx, strings.TrimPrefix(from, "file://"))
		}
		if a.opts.Fetch == nil {
			return fault.Network.Errorf("downloading %s: no network is to be used", a.opts.Repo)
		}
		base, err := url.Parse(strings.TrimSuffix(from, "/") + "/")
		if err != nil {
			return fault.Usage.Errorf("the address of archives, %s, is none", redact.Address(from)) // the parser's own words repeat parts
		}
		page, err := a.opts.Fetch.Get(ctx, base.String(), maxIndex)
		if err != nil {
			return err
		}
		var names []string
		for _, m := range hrefs.FindAllSubmatch(page, -1) {
			if u, err := url.Parse(string(m[1])); err == nil {
				names = append(names, path.Base(u.Path))
			}
		}
		name := a.newest(names)
		if name == "" {
			return a.notThere(from)
		}
		dst := filepath.Join(a.opts.Cache, name)
		if _, err := os.Stat(dst); err == nil {
			if whole, err := a.whole(ctx, name); whole || err != nil {
				return err
			}
		}
		a.opts.Infof("%s: %s", a.opts.Repo, redact.Address(base.JoinPath(name).String()))
		if err := a.opts.Fetch.GetFile(ctx, base.JoinPath(name).String(), dst); err != nil {
			return err
		}
		return a.came(ctx, name, from)
	})
}

func (a *Agent) notThere(from string) error {
	return fault.Network.Errorf("no archive %q of %s in %s", a.opts.Pattern, strings.Join(a.branches(), ", "), redact.Address(from))
}

// came looks at an archive that was got.
func (a *Agent) came(ctx context.Context, name, from string) error {
	whole, err := a.whole(ctx, name)
	if err == nil && !whole {
		err = fault.Network.Errorf("the archive %s of %s in %s is not whole", name, a.opts.Repo, redact.Address(from))
	}
	return err
}

func (a *Agent) getFromDir(ctx context.Context, from string) error {
	names, err := dirNames(from)
	if err != nil {
		return fault.Step.Errorf("looking for the archive of %s: %w", a.opts.Repo, err)
	}
	name := a.newest(names)
	if name == "" {
		return a.notThere(from)
	}
	if err := copyFile(filepath.Join(from, name), filepath.Join(a.opts.Cache, name)); err != nil {
		return fault.Step.Errorf("copying the archive of %s: %w", a.opts.Repo, err)
	}
	return a.came(ctx, name, from)
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return newfile.Fill(to, 0o666, func(dst *os.File) error {
		_, err := io.Copy(dst, src)
		return err
	})
}
