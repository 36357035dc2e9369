package app

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/owned"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/TritonDataCenter/engbld/tools/ui"
)

// defaultImageServer is where base images come from (spec engbld-interface.md section 5.1).
const defaultImageServer = "https://updates.tritondatacenter.com"

// defaultVulnURL is the vulnerability list where neither the target's
// pkg_install.conf nor the sandbox names one (spec pkgsrc.md section 11.1).
const defaultVulnURL = "https://ftp.NetBSD.org/pub/NetBSD/packages/vulns/pkg-vulnerabilities.gz"

// world is everything outside of the process that commands work with: caches,
// servers, or the sandbox's stand-ins for them.
type world struct {
	client  *fetch.Client
	images  *imgstore.Store
	sandbox *sandbox.Sandbox // nil: the real world

	packageCache string
	locks        string
	offline      bool

	source  imgstore.Source // of base images
	inputs  *lock.Inputs    // nil: none are kept
	records lock.Records
}

func (w *world) close() {
	if w.sandbox != nil {
		w.sandbox.Close()
	}
}

// on tells whether an environment variable switches something on: the word
// true, as in upstream's variables (spec engbld-interface.md section 5).
func (a *app) on(name string) bool { return a.env.Getenv(name) == "true" }

// checkSwitches refuses values of our own switches that would be ignored: who
// writes ENGBLD_SANDBOX=1 does not want to ask real servers.
func (a *app) checkSwitches() error {
	for _, name := range []string{"ENGBLD_SANDBOX", "ENGBLD_OFFLINE", "ENGBLD_ALLOW_FOREIGN",
		"ENGBLD_LOCK", "ENGBLD_WRITE_LOCK", "ENGBLD_SBOM", "ENGBLD_KEEP", "ENGBLD_TIMINGS"} {
		switch v := a.env.Getenv(name); v {
		case "", "true", "false":
		default:
			return fault.WithHint(fault.Usage.Errorf("%s=%q is neither true nor false", name, v), "%s=true", name)
		}
	}
	return nil
}

// cacheRoot is the cache of a world: sandbox and real images never meet.
func (a *app) cacheRoot(sandboxed bool) (string, error) {
	if dir := a.env.Getenv("ENGBLD_SANDBOX_DIR"); sandboxed && dir != "" {
		return a.abs(dir), nil
	}
	dir, err := a.cacheDir()
	if err == nil && sandboxed {
		dir = filepath.Join(dir, "sandbox")
	}
	return dir, err
}

// imageCache is where images are kept. A source that the user named has a cache
// of its own: what it gives is not mixed with what the usual servers give, and
// what they gave does not hide what is wrong with it.
func (a *app) imageCache(sandboxed bool) (string, error) {
	source := a.env.Getenv("ENGBLD_IMAGE_SOURCE")
	if source == "" {
		dir, err := a.cacheRoot(sandboxed)
		return filepath.Join(dir, "images"), err
	}
	if !isURL(source) {
		source = a.abs(source)
	}
	dir, err := a.cacheRoot(a.on("ENGBLD_SANDBOX"))
	return filepath.Join(dir, "sources", fmt.Sprintf("%x", sha256.Sum256([]byte(source)))[:16], "images"), err
}

// imageSource is where base images come from: a server, or a directory.
func (a *app) imageSource() string {
	s := a.env.Getenv("ENGBLD_IMAGE_SOURCE")
	switch {
	case s == "":
		return defaultImageServer
	case isURL(s):
		return s
	}
	return a.abs(s)
}

// vulnSource is the vulnerability list that the user named: an address, or a file.
func (a *app) vulnSource() string {
	s := a.env.Getenv("ENGBLD_VULNERABILITIES")
	if s == "" || isURL(s) {
		return s
	}
	return "file://" + a.abs(s)
}

// namedSource tells whether the user said where base images come from.
func (a *app) namedSource() bool { return a.env.Getenv("ENGBLD_IMAGE_SOURCE") != "" }

func isURL(s string) bool { return strings.Contains(s, "://") }

// open sets the world up. Own builds are looked for below bitsDirs.
func (a *app) open(ctx context.Context, story *ui.UI, bitsDirs ...string) (*world, error) {
	return a.openLocked(ctx, story, nil, bitsDirs...)
}

// openLocked is open for locks that name base images: those are looked for in the
// inputs too.
func (a *app) openLocked(ctx context.Context, story *ui.UI, locked []lock.Image, bitsDirs ...string) (*world, error) {
	sandboxed := a.on("ENGBLD_SANDBOX")
	cache, err := a.cacheRoot(sandboxed)
	if err != nil {
		return nil, err
	}
	w := &world{offline: a.on("ENGBLD_OFFLINE")}
	var transport http.RoundTripper
	source := a.imageSource()
	if sandboxed {
		if w.sandbox, err = sandbox.Start(ctx, sandbox.Options{Dir: filepath.Join(cache, "server")}); err != nil {
			return nil, err
		}
		transport = w.sandbox.Transport(nil)
		if !a.namedSource() {
			source = w.sandbox.ImageURL()
		}
		a.sandboxSaid.Do(func() { story.Infof("sandbox: made-up images and packages, no network") })
	}
	w.client = &fetch.Client{
		Offline:  w.offline,
		Progress: func(p fetch.Progress) { story.Progress(p.URL, p.Done, p.Total) },
	}
	if transport != nil {
		w.client.HTTP = &http.Client{Transport: transport}
	}
	w.locks = filepath.Join(cache, "locks")
	w.packageCache, w.records = filepath.Join(cache, "packages"), lock.Records(filepath.Join(cache, "records"))
	from, err := imgstore.ParseSource(source, imgstore.SourceOptions{Transport: transport, Fetch: w.client})
	if err != nil {
		w.close()
		return nil, err
	}
	sources := []imgstore.Source{from}
	w.source = from
	images, err := a.imageCache(sandboxed)
	if err == nil {
		w.inputs, err = a.inputs(w)
	}
	if w.inputs != nil && len(locked) > 0 {
		sources = []imgstore.Source{w.inputs.ImageSource(locked), from}
	}
	if err == nil {
		w.images, err = imgstore.Open(imgstore.Options{
			CacheDir: images, Sources: sources, OwnDirs: bitsDirs,
			Sandbox: sandboxed, Marked: a.namedSource(), Offline: w.offline, Log: story, Now: a.env.Now,
		})
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// options are the build options that this world and the environment give.
func (a *app) options(w *world, story *ui.UI) build.Options {
	return build.Options{
		Images: w.images, Client: w.client, PackageCache: w.packageCache, Locks: w.locks, Offline: w.offline, Sandbox: w.sandbox != nil,
		PackageSource: a.env.Getenv("ENGBLD_PKGSRC_SOURCE"), VulnURL: defaultVulnURL,
		VulnSource:   a.vulnSource(),
		AllowForeign: a.on("ENGBLD_ALLOW_FOREIGN"), Story: story,
		Inputs: w.inputs, Records: w.records, WriteLock: a.on("ENGBLD_WRITE_LOCK"),
		Keep: a.keep || a.on("ENGBLD_KEEP"), Again: a.again,
	}
}

// cacheDir is where downloads are kept: they can be deleted at any time. Root
// does not write into somebody else's home.
func (a *app) cacheDir() (string, error) {
	if dir := a.env.Getenv("ENGBLD_CACHE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := a.env.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "engbld"), nil
	}
	home := a.env.Getenv("HOME")
	if filepath.IsAbs(home) && ownDir(home) {
		return filepath.Join(home, ".cache", "engbld"), nil
	}
	tmp := a.env.Getenv("TMPDIR")
	if tmp == "" {
		tmp = "/tmp"
	}
	dir := filepath.Join(tmp, "engbld-"+strconv.Itoa(os.Getuid()))
	if err := owned.Make(dir, os.Getuid()); err != nil {
		return "", fault.WithHint(fault.Unfit.Errorf("cache directory: %w", err),
			"set ENGBLD_CACHE_DIR to a directory of your own")
	}
	return dir, nil
}

// splitList splits a list of blank-separated words.
func splitList(s string) []string { return strings.Fields(s) }
