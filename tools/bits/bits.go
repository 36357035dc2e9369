// Package bits uploads what builds left in the bits directory to a store: a
// directory of this machine (or mounted on it), or any other Store.
//
// An upload is a directory named by the build's stamp below the component's
// destination; it holds the files as they lie in the bits directory and
// md5sums.txt. Beside it BRANCH-latest (and latest-release for a release
// branch) points at it. What was uploaded is listed in artifacts.txt in the
// bits directory. (spec engbld-interface.md section 4.1)
//
// Everything is looked at before anything is sent: a stamp of a dirty work
// tree, or a file that is there already with another content, ends the upload
// without a trace. An interrupted upload is finished by the same command: files
// that are there are not sent again, and the pointers are moved last.
//
// Limits: only regular files are uploaded; files named .engbld-* are what an
// unfinished build left, and are skipped. Each file is read once, also where
// another one says what it must be.
package bits

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"golang.org/x/sync/errgroup"
)

// Sum is the MD5 of a file. It finds out what differs and is what md5sums.txt
// holds; it protects against accidents, not against people.
type Sum [md5.Size]byte

func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// Stat is what a store knows of a file without reading it.
type Stat struct {
	Size int64
	Sum  *Sum // nil where the store does not keep sums
}

// Store is where bits go. Names are slash separated and relative to the
// component's destination, which the store knows.
//
// Put, PutText and Point replace what is there in one step: a reader sees the
// old or the new one, complete. They make the directories they need.
type Store interface {
	// Stat tells of the file name; fs.ErrNotExist if there is none. Every
	// other error means that it is not known whether there is one.
	Stat(ctx context.Context, name string) (Stat, error)
	// Sum reads the file name, where Stat gave no sum.
	Sum(ctx context.Context, name string) (Sum, error)
	// Put stores a file's content and returns the sum of what it stored. What
	// NewHash finds not to be as promised gets no name.
	Put(ctx context.Context, name string, f File) (Sum, error)
	// PutText stores a small text.
	PutText(ctx context.Context, name, text string) error
	// Mkdir makes the directory name.
	Mkdir(ctx context.Context, name string) error
	// Point makes the pointer name lead to the directory stamp.
	Point(ctx context.Context, name, stamp string) error
	// Address is how people reach name, for artifacts.txt and messages.
	Address(name string) string
}

// File is a file to be uploaded.
type File struct {
	Name string // below the bits directory, slash separated
	Path string // on this machine
	Size int64
	Mode fs.FileMode

	Promise *Promise // what its content must be; nil is anything
}

// Request says what to upload and under which names.
type Request struct {
	Branch    string   // required
	TryBranch string   // names the -latest pointer instead of Branch, if not empty
	Name      string   // of the component; where latest-build-stamp lies
	Dir       string   // the bits directory
	Stamp     string   // "": Dir/Name/latest-build-stamp holds it
	Subdirs   []string // only these below Dir; none: everything

	AllowDirty bool // a stamp of a changed work tree is no error
	ListAll    bool // artifacts.txt names md5sums.txt and the pointers, too, as is usual for an object store

	// Promises says by name what other files of an upload say of some of them; nil
	// is nothing.
	Promises func(files []File) map[string]Promise

	Parallel int                              // files at once; 0 is 4
	Now      func() time.Time                 // for the time it took; nil is time.Now
	Infof    func(format string, args ...any) // the story; nil is silent
}

// Result is a finished upload.
type Result struct {
	Stamp    string
	Files    []Uploaded // in the order of md5sums.txt
	Pointers []string   // names of the pointers that were moved
}

// Uploaded is one file of an upload.
type Uploaded struct {
	File
	Sum  Sum
	As   string // its name in the store
	Sent bool   // false: it was there already
}

// ErrConflict is a file that is in the store already, with another content.
var ErrConflict = errors.New("is there already with another content")

var releaseBranch = regexp.MustCompile(`^release-`)

// Upload does what req says.
func Upload(ctx context.Context, store Store, req Request) (*Result, error) {
	if req.Now == nil {
		req.Now = time.Now
	}
	if req.Infof == nil {
		req.Infof = func(string, ...any) {}
	}
	start := req.Now()
	if err := req.check(); err != nil {
		return nil, err
	}
	artifacts := filepath.Join(req.Dir, artifactsName)
	if err := os.Remove(artifacts); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Step.Errorf("removing the list of the last upload: %w", err)
	}
	newfile.Sweep(req.Dir)
	stamp, err := req.stamp()
	if err != nil {
		return nil, err
	}
	dirs, files, err := list(req.Dir, req.Subdirs)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fault.WithHint(fault.Usage.Errorf("nothing to upload below %s", strings.Join(below(req.Dir, req.Subdirs), ", ")),
			"make publish")
	}

	if err := req.promised(files); err != nil {
		return nil, err
	}
	up := make([]Uploaded, len(files))
	for i, f := range files {
		up[i] = Uploaded{File: f, As: path.Join(stamp, f.Name)}
	}
	if err := survey(ctx, store, req, up); err != nil {
		return nil, err
	}
	for _, d := range dirs {
		if err := store.Mkdir(ctx, path.Join(stamp, d)); err != nil {
			return nil, err
		}
	}
	if err := send(ctx, store, req, up); err != nil {
		return nil, err
	}

	res := &Result{Stamp: stamp, Files: up}
	if err := store.PutText(ctx, path.Join(stamp, sumsName), sums(up)); err != nil {
		return nil, err
	}
	res.Pointers = append(res.Pointers, latest(req))
	if releaseBranch.MatchString(req.Branch) {
		res.Pointers = append(res.Pointers, "latest-release")
	}
	for _, p := range res.Pointers {
		if err := store.Point(ctx, p, stamp); err != nil {
			return nil, err
		}
	}
	if err := replaceText(artifacts, addresses(store, req, res)); err != nil {
		return nil, fault.Step.Errorf("writing the list of this upload: %w", err)
	}
	var sent int
	var bytes int64
	for _, u := range up {
		if u.Sent {
			sent++
			bytes += u.Size
		}
	}
	req.Infof("uploaded %d of %d files (%d bytes) to %s in %s", sent, len(up), bytes, store.Address(stamp),
		req.Now().Sub(start).Round(time.Second/10))
	return res, nil
}

const (
	artifactsName = "artifacts.txt"
	sumsName      = "md5sums.txt"
)

func (r *Request) check() error {
	switch {
	case r.Branch == "":
		return missing("a branch", "-b")
	case r.Name == "":
		return missing("the component's name", "-n")
	case r.Dir == "":
		return missing("the bits directory", "-D")
	}
	return nil
}

func missing(what, flag string) error {
	return fault.Usage.Errorf("bits-upload: %s must be given with %s", what, flag)
}

// promised notes what files must be. A size is compared at once, before anything
// is sent; the rest when the file is read anyway.
func (r *Request) promised(files []File) error {
	if r.Promises == nil {
		return nil
	}
	promises := r.Promises(files)
	for i := range files {
		f := &files[i]
		p, ok := promises[f.Name]
		if !ok {
			continue
		}
		if f.Promise = &p; p.Size != 0 && p.Size != f.Size {
			return f.broken()
		}
	}
	return nil
}

// stamp returns the upload's directory name, checked to be a name.
func (r *Request) stamp() (string, error) {
	stamp, from := r.Stamp, "-t"
	if stamp == "" {
		from = filepath.Join(r.Dir, filepath.FromSlash(r.Name), "latest-build-stamp")
		text, err := readSmall(from)
		if err != nil {
			return "", fault.WithHint(fault.Usage.Errorf("finding the stamp of the last build: %w", err), "make prepublish, or give it with -t")
		}
		stamp = strings.TrimSpace(text)
	}
	if stamp == "" || stamp == "." || stamp == ".." || strings.ContainsAny(stamp, "/\n\x00") || len(stamp) > 255 {
		return "", fault.Usage.Errorf("%s: %q cannot be the name of an upload", from, stamp)
	}
	if strings.HasSuffix(stamp, "-dirty") && !r.AllowDirty {
		return "", fault.WithHint(fault.Usage.Errorf("the build %s was made from a changed work tree, which nobody could make again", stamp),
			"commit the changes, or set ENGBLD_BITS_UPLOAD_ALLOW_DIRTY=true")
	}
	return stamp, nil
}

// readSmall reads a file of one line.
func readSmall(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	return string(b), err
}

// latest is the name of the pointer of the branch. A slash in a branch is no
// directory.
func latest(r Request) string {
	b := r.Branch
	if r.TryBranch != "" {
		b = r.TryBranch
	}
	return strings.ReplaceAll(b, "/", "-") + "-latest"
}

// below names where files are looked for.
func below(dir string, subdirs []string) []string {
	if len(subdirs) == 0 {
		return []string{dir}
	}
	var all []string
	for _, s := range subdirs {
		all = append(all, filepath.Join(dir, s))
	}
	return all
}

// list returns the directories (below dir, "." for itself) and the regular
// files below dir or its subdirs, in the order in which find lists them: that of
// the directories themselves. A subdir that does not exist is left out.
func list(dir string, subdirs []string) (dirs []string, files []File, err error) {
	l := lister{dir: dir, seen: map[string]bool{}}
	for _, root := range below(dir, subdirs) {
		info, err := os.Lstat(root)
		if errors.Is(err, fs.ErrNotExist) && len(subdirs) > 0 {
			continue
		}
		if err == nil {
			err = l.walk(root, info)
		}
		if err != nil {
			return nil, nil, fault.Step.Errorf("looking for files to upload: %w", err)
		}
	}
	return l.dirs, l.files, nil
}

type lister struct {
	dir   string
	dirs  []string
	files []File
	seen  map[string]bool
}

func (l *lister) walk(p string, info fs.FileInfo) error {
	rel, err := filepath.Rel(l.dir, p)
	if err != nil {
		return err
	}
	if rel == ".." || strings.HasPrefix(rel, "../") {
		return fmt.Errorf("%s is not below %s", p, l.dir)
	}
	name := filepath.ToSlash(rel)
	if l.seen[name] || strings.HasPrefix(info.Name(), prefix) {
		return nil
	}
	l.seen[name] = true
	if info.Mode().IsRegular() {
		l.files = append(l.files, File{Name: name, Path: p, Size: info.Size(), Mode: info.Mode().Perm()})
	}
	if !info.IsDir() {
		return nil
	}
	l.dirs = append(l.dirs, name)
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	entries, err := f.ReadDir(-1) // not sorted
	f.Close()
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := l.walk(filepath.Join(p, e.Name()), info); err != nil {
			return err
		}
	}
	return nil
}

// survey finds out which files are in the store already. All conflicts are
// reported together.
func survey(ctx context.Context, store Store, req Request, up []Uploaded) error {
	g, gctx := group(ctx, req)
	conflict := make([]error, len(up))
	for i := range up {
		u := &up[i]
		g.Go(func() error {
			have, err := store.Stat(gctx, u.As)
			if errors.Is(err, fs.ErrNotExist) {
				u.Sent = true
				return nil
			}
			if err != nil {
				return err
			}
			if have.Size == u.Size {
				if u.Sum, err = fileSum(gctx, u.File); err != nil {
					return err
				}
				there := have.Sum
				if there == nil {
					s, err := store.Sum(gctx, u.As)
					if err != nil {
						return err
					}
					there = &s
				}
				if *there == u.Sum {
					return nil
				}
			}
			conflict[i] = fmt.Errorf("%s %w (that of %s)", store.Address(u.As), ErrConflict, u.Path)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := errors.Join(conflict...); err != nil {
		return fault.WithHint(fault.Step.Wrap(err), "nothing was sent; an upload never changes: build again under a new stamp")
	}
	return nil
}

// send stores the files that are to be sent.
func send(ctx context.Context, store Store, req Request, up []Uploaded) error {
	g, gctx := group(ctx, req)
	for i := range up {
		u := &up[i]
		if !u.Sent {
			req.Infof("%s is there already", u.Name)
			continue
		}
		g.Go(func() (err error) {
			req.Infof("%s (%d bytes)", u.Name, u.Size)
			u.Sum, err = store.Put(gctx, u.As, u.File)
			return err
		})
	}
	return g.Wait()
}

func group(ctx context.Context, req Request) (*errgroup.Group, context.Context) {
	g, gctx := errgroup.WithContext(ctx)
	n := req.Parallel
	if n < 1 {
		n = 4
	}
	g.SetLimit(n)
	return g, gctx
}

// sums is the text of md5sums.txt, which md5sum -c reads: a sum, one blank (as
// there has always been), where the file was. A name with a backslash or a
// line's end is escaped, and the line begins with a backslash.
func sums(up []Uploaded) string {
	var b strings.Builder
	for _, u := range up {
		name := u.Path
		if strings.ContainsAny(name, "\\\n\r") {
			b.WriteByte('\\')
			name = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name)
		}
		fmt.Fprintf(&b, "%s %s\n", u.Sum, name)
	}
	return b.String() + "\n"
}

// addresses is the text of artifacts.txt.
func addresses(store Store, req Request, res *Result) string {
	var b strings.Builder
	say := func(name string) { b.WriteString(store.Address(name) + "\n") }
	for _, u := range res.Files {
		say(u.As)
	}
	if req.ListAll {
		say(path.Join(res.Stamp, sumsName))
		for _, p := range res.Pointers {
			say(p)
		}
	}
	return b.String()
}
