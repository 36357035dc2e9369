// Package prebuilt downloads what components need ready-made from the object
// store where it is published: Go toolchains for illumos and the CTF tools.
// (spec engbld-interface.md sections 4.7, 4.8)
//
// A file appears under its name only when it is complete and has the MD5 that
// the store's listing gives, as far as it gives one.
package prebuilt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/filelock"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"github.com/TritonDataCenter/engbld/tools/untar"
)

// DefaultURL is the store that components have always used.
const DefaultURL = "https://us-central.manta.mnx.io"

const (
	goDir  = "/Joyent_Dev/public/releng/go/adhoc"
	ctfDir = "/Joyent_Dev/public/builds/SmartOS/ctftools/master/built.joyent_"

	pageSize = 1000 // entries of a listing asked for at once
	full     = 250  // so many new ones: there may be more. Servers give 256 or more
	maxPages = 100
	maxPage  = 4 << 20
)

// Client gets things from a store. *fetch.Client is one.
type Client interface {
	GetBytes(ctx context.Context, url string, limit int64) ([]byte, error)
	GetFile(ctx context.Context, url, dst string, want fetch.Expect) (fetch.Info, error)
}

// Source is a store.
type Source struct {
	Client Client
	URL    string                           // "" is DefaultURL
	Infof  func(format string, args ...any) // the story; nil is silent
}

func (s *Source) url(p string) string {
	base := s.URL
	if base == "" {
		base = DefaultURL
	}
	return strings.TrimRight(base, "/") + (&url.URL{Path: p}).EscapedPath()
}

// shown is url for messages.
func (s *Source) shown(p string) string { return redact.Address(s.url(p)) }

func (s *Source) infof(format string, args ...any) {
	if s.Infof != nil {
		s.Infof(format, args...)
	}
}

// entry is one of a directory's listing.
type entry struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Size int64  `json:"size"`
	MD5  string `json:"contentMD5"` // base64
}

// list returns a directory's entries, page by page: a page begins with the
// entry that the last one ended with.
func (s *Source) list(ctx context.Context, dir string) (map[string]entry, error) {
	all := map[string]entry{}
	marker := ""
	for range maxPages {
		u := fmt.Sprintf("%s?limit=%d", s.url(dir), pageSize)
		if marker != "" {
			u += "&marker=" + url.QueryEscape(marker)
		}
		page, err := s.Client.GetBytes(ctx, u, maxPage)
		if err != nil {
			return nil, err
		}
		before, last := len(all), ""
		d := json.NewDecoder(bytes.NewReader(page))
		for {
			var e entry
			if err := d.Decode(&e); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fault.Network.Errorf("%s is no listing of a directory: %w", s.shown(dir), err)
			}
			all[e.Name], last = e, e.Name
		}
		if len(all)-before < full || last == marker {
			return all, nil
		}
		marker = last
	}
	return nil, fault.Network.Errorf("the directory %s has too many entries", s.shown(dir))
}

func (e entry) expect() fetch.Expect {
	want := fetch.Expect{Size: e.Size}
	if b, err := base64.StdEncoding.DecodeString(e.MD5); err == nil && len(b) == 16 {
		want.MD5 = hex.EncodeToString(b)
	}
	return want
}

var (
	plainWord     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
	platformStamp = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`)
)

// Go puts the toolchain of a version for a system (illumosElseSolaris: for
// illumos if there is one) into dir, which must exist, and makes
// dir/go-VERSION.tar.bz2 a link to it. It returns the file's name.
func (s *Source) Go(ctx context.Context, version, goos, goarch, dir string) (string, error) {
	for _, w := range []string{version, goos, goarch} {
		if !plainWord.MatchString(w) {
			return "", fault.Usage.Errorf("download_go: %q cannot be part of a toolchain's name", w)
		}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", fault.Usage.Errorf("download_go: there is no directory %s", dir)
	}
	lock, err := s.lock(ctx, dir)
	if err != nil {
		return "", err
	}
	defer lock.Remove()
	systems := []string{goos}
	if goos == "illumosElseSolaris" {
		systems = []string{"illumos", "solaris"}
	}
	entries, err := s.list(ctx, goDir)
	if err != nil {
		return "", fmt.Errorf("looking for Go %s: %w", version, err)
	}
	var e entry
	for _, sys := range systems {
		if e = entries["go"+version+"."+sys+"-"+goarch+".tar.bz2"]; e.Name != "" {
			break
		}
	}
	if e.Name == "" {
		return "", fault.Network.Errorf("no Go %s for %s %s in %s", version, strings.Join(systems, " or "), goarch, s.shown(goDir))
	}
	dst := filepath.Join(dir, e.Name)
	if info, err := os.Stat(dst); err != nil || e.Size > 0 && info.Size() != e.Size {
		s.infof("Go toolchain %s", s.shown(path.Join(goDir, e.Name)))
		if _, err := s.Client.GetFile(ctx, s.url(path.Join(goDir, e.Name)), dst, e.expect()); err != nil {
			return "", fmt.Errorf("getting Go %s: %w", version, err)
		}
	}
	link := filepath.Join(dir, "go-"+version+".tar.bz2")
	if err := relink(e.Name, link); err != nil {
		return "", fault.Step.Errorf("pointing %s to %s: %w", link, e.Name, err)
	}
	return e.Name, nil
}

// lock keeps other processes out of dir, where names of what is half made are the
// same each time.
func (s *Source) lock(ctx context.Context, dir string) (*filelock.Lock, error) {
	l, err := filelock.Get(ctx, filepath.Join(dir, ".engbld-lock"), func() {
		s.infof("another process puts something into %s, waiting for it", dir)
	})
	if err != nil {
		return nil, fault.Step.Wrap(err)
	}
	return l, nil
}

// relink makes link lead to target in one step. The caller has the directory's lock.
func relink(target, link string) error {
	tmp := filepath.Join(filepath.Dir(link), ".engbld-"+filepath.Base(link))
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, link)
}

// CTFTools puts the CTF tools built for a platform ("20181206T011455Z") into
// dir/ctftools, anew; the archive stays as dir/ctftools.tar.gz and is not
// fetched again.
func (s *Source) CTFTools(ctx context.Context, platform, dir string) error {
	if !platformStamp.MatchString(platform) {
		return fault.Usage.Errorf("download_ctftools: %q is no platform, which would look like 20181206T011455Z", platform)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fault.Step.Errorf("making the CTF tools' directory: %w", err)
	}
	lock, err := s.lock(ctx, dir)
	if err != nil {
		return err
	}
	defer lock.Remove()
	archive := filepath.Join(dir, "ctftools.tar.gz")
	if _, err := os.Stat(archive); err != nil {
		at := ctfDir + platform
		latest, err := s.Client.GetBytes(ctx, s.url(at+"/latest"), 4096)
		if err != nil {
			return fmt.Errorf("looking for the CTF tools of %s: %w", platform, err)
		}
		// A path of the store, or a name beside it.
		to := strings.TrimSpace(string(latest))
		if to == "" || strings.ContainsAny(to, "\n\x00") {
			return fault.Network.Errorf("%s says nothing of use: %.60q", s.shown(at+"/latest"), to)
		}
		if !strings.HasPrefix(to, "/") {
			to = path.Join(at, to)
		}
		from := s.url(path.Join(to, "ctftools.tar.gz"))
		s.infof("CTF tools %s", redact.Address(from))
		if _, err := s.Client.GetFile(ctx, from, archive, fetch.Expect{}); err != nil {
			return fmt.Errorf("getting the CTF tools of %s: %w", platform, err)
		}
	}

	// Unpacked beside their place: half of them are never taken for all.
	tools, tmp := filepath.Join(dir, "ctftools"), filepath.Join(dir, ".engbld-ctftools")
	if err := os.RemoveAll(tmp); err != nil {
		return fault.Step.Errorf("unpacking the CTF tools: %w", err)
	}
	if err := untar.File(ctx, archive, tmp); err != nil {
		// It may be the archive's fault: the next time gets it again.
		return errors.Join(err, os.RemoveAll(tmp), os.Remove(archive))
	}
	if err := errors.Join(os.RemoveAll(tools), os.Rename(tmp, tools)); err != nil {
		return fault.Step.Errorf("unpacking the CTF tools: %w", err)
	}
	return nil
}
