// Package repository reads package repositories: a directory of packages with a
// summary, on a web server or in the file system (spec pkgsrc.md section 2).
//
// pkg_add lists the directory (Names), pkgin reads the summary (Summary); both
// ways stand here side by side because images are built with both.
//
// Limits: 128 MiB of summary text, 64 MiB of an index page, 16 GiB a package. FTP
// is not supported.
package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/sniff"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
	"github.com/TritonDataCenter/engbld/tools/redact"
)

const (
	maxIndex      = 64 << 20
	maxCompressed = 128 << 20 // a summary as published
	maxPackage    = 16 << 30
)

// summaryForms in the order in which they are tried.
var summaryForms = [...]string{".zst", ".xz", ".bz2", ".gz"}

// Options say how repositories are reached.
type Options struct {
	Client   *fetch.Client // nil: a default one
	CacheDir string        // downloads; needed for http and https
	Offline  bool          // only what the cache has, and local directories
	Warnf    func(format string, args ...any)

	// Mirrors are further addresses of the same repository for Open, tried in
	// order where the one before cannot be reached.
	Mirrors []string
}

// Repo is one repository. It is safe for concurrent use and asks its server for
// each thing once; the local directory of one is read each time.
type Repo struct {
	URL string // without secrets, without a final slash

	bases []base
	cache *fetch.Cache
	warnf func(format string, args ...any)

	mu       sync.Mutex
	base     int // index of the address in use
	packages map[string]*once[string]
	names    once[map[string]string]
	indexed  once[*version.Index] // of the same
	summary  once[[]*Entry]
	unlisted error // why no form of the summary could be had; guarded by summary
}

// base is one address of a repository.
type base struct {
	address string // URL without a final slash; "" where dir is used
	dir     string
}

// once holds a value that is got one time; failures are not kept.
type once[T any] struct {
	mu    sync.Mutex
	done  bool
	value T
}

func (o *once[T]) get(f func() (T, error)) (T, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.done {
		v, err := f()
		if err != nil {
			return o.value, err
		}
		o.value, o.done = v, true
	}
	return o.value, nil
}

// Open names a repository: http://, https:// or file:// and a directory, or a
// local directory's path. Nothing is read yet. An address of another kind is a
// fault.Usage.
func Open(address string, opts Options) (*Repo, error) {
	r := &Repo{
		cache:    &fetch.Cache{Client: opts.Client, Dir: opts.CacheDir, Offline: opts.Offline},
		warnf:    opts.Warnf,
		packages: map[string]*once[string]{},
	}
	if r.cache.Client == nil {
		r.cache.Client = &fetch.Client{}
	}
	if r.warnf == nil {
		r.warnf = func(string, ...any) {}
	}
	for _, a := range append([]string{address}, opts.Mirrors...) {
		b, err := parseBase(a)
		if err != nil {
			return nil, fault.Usage.Errorf("package repository %s: %w", redact.Address(a), err)
		}
		if b.dir == "" && opts.CacheDir == "" {
			return nil, fault.Usage.Errorf("package repository %s: no directory for downloads", redact.Address(a))
		}
		r.bases = append(r.bases, b)
	}
	r.URL = r.bases[0].String()
	return r, nil
}

func parseBase(address string) (base, error) {
	trimmed := strings.TrimRight(address, "/")
	scheme, _, ok := strings.Cut(address, "://")
	switch {
	case address == "":
		return base{}, errors.New("empty address")
	case !ok:
		if trimmed == "" {
			trimmed = "/"
		}
		return base{dir: trimmed}, nil
	case scheme == "http" || scheme == "https":
		if u, err := url.Parse(trimmed); err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return base{}, errors.New("not the address of a directory")
		}
		return base{address: trimmed}, nil
	case scheme == "file":
		u, err := url.Parse(trimmed)
		if err != nil || (u.Host != "" && u.Host != "localhost") || u.Path == "" {
			return base{}, errors.New("not the address of a local directory")
		}
		return base{dir: u.Path}, nil
	}
	return base{}, fmt.Errorf("%s:// is not supported", scheme)
}

func (b base) String() string {
	if b.dir != "" {
		return b.dir
	}
	return redact.Address(b.address)
}

// file returns the path of a file of the repository, fetched where needed.
func (r *Repo) file(ctx context.Context, name string, want fetch.Expect) (string, error) {
	var path string
	err := r.tryBases(func(b base) (err error) {
		path, err = r.fileOf(ctx, b, name, want)
		return err
	})
	return path, err
}

func (r *Repo) fileOf(ctx context.Context, b base, name string, want fetch.Expect) (string, error) {
	if b.dir != "" {
		path := filepath.Join(b.dir, name)
		st, err := os.Stat(path)
		switch {
		case err != nil:
			return "", fault.Network.Wrap(err)
		case !st.Mode().IsRegular():
			return "", fault.Network.Errorf("%s is no regular file", path)
		case want.Size > 0 && st.Size() != want.Size:
			return "", fault.Network.Errorf("%s has %d bytes, expected are %d", path, st.Size(), want.Size)
		case st.Size() > want.MaxSize:
			return "", fault.Network.Errorf("%s has %d bytes, at most %d are read", path, st.Size(), want.MaxSize)
		}
		if want.MD5+want.SHA1+want.SHA256+want.SHA512 != "" {
			if err := fetch.Check(path, want); err != nil {
				return "", unread(err)
			}
		}
		return path, nil
	}
	// The empty name is the directory itself.
	path, _, err := r.cache.Get(ctx, b.address+"/"+url.PathEscape(name), want)
	return path, err
}

// tryBases calls f for the address in use, and for the others as long as none
// can be reached.
func (r *Repo) tryBases(f func(base) error) (err error) {
	r.mu.Lock()
	start := r.base
	r.mu.Unlock()
	for i := range r.bases {
		at := (start + i) % len(r.bases)
		if err = f(r.bases[at]); err == nil || !unreachable(err) {
			r.mu.Lock()
			r.base = at
			r.mu.Unlock()
			return err
		}
		if i+1 < len(r.bases) {
			r.warnf("package repository %s cannot be used, trying the next: %v", r.bases[at], err)
		}
	}
	return err
}

// unreachable tells whether another server could do better: this one did not
// answer as one that has the repository.
func unreachable(err error) bool {
	var status *fetch.StatusError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, fs.ErrNotExist),
		errors.Is(err, fetch.ErrOffline):
		return false
	case errors.As(err, &status):
		return status.Code >= 500
	}
	return fault.KindOf(err) == fault.Network
}

// Names lists the packages of the directory, sorted, without suffix; where the
// server gives no listing, those of the summary.
func (r *Repo) Names(ctx context.Context) ([]string, error) {
	files, err := r.files(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// index is of Names.
func (r *Repo) index(ctx context.Context) (*version.Index, error) {
	return r.indexed.get(func() (*version.Index, error) {
		names, err := r.Names(ctx)
		return version.NewIndex(names), err
	})
}

// files maps the names of all packages to their files.
func (r *Repo) files(ctx context.Context) (map[string]string, error) {
	return r.names.get(func() (files map[string]string, err error) {
		err = r.tryBases(func(b base) (err error) {
			files, err = r.list(ctx, b)
			return err
		})
		if err == nil && len(files) > 0 {
			return files, nil
		}
		if err != nil && (ctx.Err() != nil || stopsHere(err)) {
			return nil, fmt.Errorf("listing package repository %s: %w", r.URL, err)
		}
		entries, serr := r.Summary(ctx)
		if serr != nil {
			return nil, fmt.Errorf("%s gives no list of its packages either: %w", r.URL, serr)
		}
		if err != nil && !noListing(err) {
			r.warnf("package repository %s: %v; using its summary instead of the listing", r.URL, err)
		}
		files = map[string]string{}
		for _, e := range entries {
			files[e.PkgName] = e.listed + ".tgz"
		}
		return files, nil
	})
}

// noListing tells whether the server answered, but with no index page, which is
// nothing to warn about.
func noListing(err error) bool {
	var status *fetch.StatusError
	return errors.As(err, &status) || errors.Is(err, fetch.ErrOffline)
}

func (r *Repo) list(ctx context.Context, b base) (map[string]string, error) {
	var found []string
	if b.dir != "" {
		entries, err := os.ReadDir(b.dir)
		if err != nil {
			return nil, fault.Step.Wrap(err)
		}
		for _, e := range entries {
			found = append(found, e.Name())
		}
	} else {
		path, err := r.fileOf(ctx, b, "", fetch.Expect{MaxSize: maxIndex})
		if err != nil {
			return nil, err
		}
		page, err := os.ReadFile(path)
		if err != nil {
			return nil, fault.Step.Wrap(err)
		}
		found = parseIndex(string(page), b.address)
	}
	files := map[string]string{}
	for _, f := range found {
		if name, ok := packageName(f); ok && (files[name] == "" || strings.HasSuffix(f, ".tgz")) {
			files[name] = f
		}
	}
	return files, nil
}

// Summary returns the summary's records in its order. Of the forms it is
// published in, the first that can be had and read counts. Where the server was
// asked for all of them in vain it is not asked again.
func (r *Repo) Summary(ctx context.Context) ([]*Entry, error) {
	return r.summary.get(func() ([]*Entry, error) {
		if r.unlisted != nil {
			return nil, r.unlisted
		}
		var failure error
		for _, form := range summaryForms {
			entries, err := r.readSummary(ctx, "pkg_summary"+form)
			if err == nil {
				return entries, nil
			}
			if ctx.Err() != nil || stopsHere(err) {
				return nil, fmt.Errorf("package repository %s: %w", r.URL, err)
			}
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fetch.ErrOffline) {
				r.warnf("package repository %s: %v; trying the next form", r.URL, err)
			}
			if failure == nil || errors.Is(failure, fs.ErrNotExist) {
				failure = err
			}
		}
		if errors.Is(failure, fs.ErrNotExist) {
			failure = fault.WithHint(fault.Network.Errorf("no pkg_summary in any form: %w", failure),
				"check the address: it is the directory that holds the packages, mostly .../All")
		}
		failure = fmt.Errorf("package repository %s: %w", r.URL, failure)
		if r.bases[0].dir == "" {
			r.unlisted = failure
		}
		return nil, failure
	})
}

// stopsHere tells whether the server cannot be talked to at all, or this machine
// cannot keep or read what comes: another form of the same would fare no better.
func stopsHere(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return ofDisk(err) || errors.As(err, &dns) || (errors.As(err, &op) && op.Op == "dial")
}

// ofDisk tells whether this machine could not read or write a file of its own.
func ofDisk(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	return (errors.As(err, &path) || errors.As(err, &link)) && !errors.Is(err, fs.ErrNotExist)
}

// unread gives an error about a file its kind: that this machine cannot read it is
// not the repository's fault, what is in it is.
func unread(err error) error {
	if ofDisk(err) {
		return fault.Step.Wrap(err)
	}
	return fault.Network.Wrap(err)
}

func (r *Repo) readSummary(ctx context.Context, name string) ([]*Entry, error) {
	path, err := r.file(ctx, name, fetch.Expect{MaxSize: maxCompressed})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.Step.Wrap(err)
	}
	defer f.Close()
	text, err := sniff.All(f, maxSummary)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, unread(err))
	}
	entries, err := ParseSummary(string(text))
	if err != nil {
		return nil, fault.Network.Errorf("%s: %w", name, err)
	}
	if len(entries) == 0 {
		return nil, fault.Network.Errorf("%s: it is empty", name)
	}
	for _, e := range entries {
		e.Repo = r
	}
	return entries, nil
}

// Package returns the path of the package file, fetched or found current in the
// cache; the path's last element means nothing. The summary is not consulted, as
// in pkg_add. A package that is not there is fs.ErrNotExist.
func (r *Repo) Package(ctx context.Context, name string) (path string, err error) {
	file := name + ".tgz"
	if r.names.mu.TryLock() { // the listing, if there is one by now
		if f := r.names.value[name]; f != "" {
			file = f
		}
		r.names.mu.Unlock()
	}
	return r.pkg(ctx, name, file, fetch.Expect{MaxSize: maxPackage})
}

// Fetch is Package for a record of the summary: the file must have the size and
// digest the record says, as in pkgin.
func (e *Entry) Fetch(ctx context.Context) (path string, err error) {
	return e.Repo.pkg(ctx, e.listed, e.listed+".tgz", e.expect())
}

func (r *Repo) pkg(ctx context.Context, name, file string, want fetch.Expect) (string, error) {
	if !goodName(name) {
		return "", fault.Usage.Errorf("package %.80q: not a package's name", name)
	}
	key := fmt.Sprintf("%s\n%v", file, want)
	r.mu.Lock()
	one := r.packages[key]
	if one == nil {
		one = &once[string]{}
		r.packages[key] = one
	}
	r.mu.Unlock()
	path, err := one.get(func() (string, error) { return r.file(ctx, file, want) })
	if err != nil {
		return "", fmt.Errorf("package %s: %w", name, err)
	}
	return path, nil
}
