package build

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/plan"
)

// ImageFiles is where published image files come from; imgstore.Source is one.
type ImageFiles interface {
	Manifest(ctx context.Context, uuid string) (*imgmanifest.Manifest, error)
	File(ctx context.Context, m *imgmanifest.Manifest, dst string) (path string, err error)
}

// Availability says where an input of a lock can be had.
type Availability struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Digest string `json:"digest"`
	From   string `json:"from,omitempty"`  // "" where it cannot be had
	Error  string `json:"error,omitempty"` // why not
}

// CheckInputs looks for every input of a lock, as a build does. Files are read;
// of base images that are not on this machine only the server's manifest is.
func CheckInputs(ctx context.Context, l *lock.Lock, opts Options, images ImageFiles) ([]Availability, error) {
	p := &portable{opts: opts}
	p.opts.Lock = l
	var list []Availability
	add := func(kind, name, digest, from string, err error) {
		a := Availability{Kind: kind, Name: name, Digest: digest, From: from}
		if err != nil {
			a.Error = err.Error()
		}
		list = append(list, a)
	}
	planned, err := p.baseInputs(ctx)
	if err != nil {
		return nil, err
	}
	for n, i := range l.Images {
		from := string(planned[n].Place)
		var err error
		switch planned[n].Place {
		case plan.Cached:
			from = "cache" // as of files
		case plan.Fetch:
			from, err = checkImage(ctx, &i, &opts, images)
		}
		add("image", i.String(), "sha1:"+i.SHA1, from, err)
	}
	for _, w := range lockedFiles(l) {
		_, from, err := obtain(ctx, &opts, l.Name, w)
		add(kindOf(w), w.what, "sha256:"+w.sha256, from, err)
	}
	return list, context.Cause(ctx)
}

func kindOf(w wanted) string {
	if w.what == VulnerabilitiesName {
		return "vulnerabilities"
	}
	return "package"
}

func checkImage(ctx context.Context, i *lock.Image, o *Options, images ImageFiles) (from string, err error) {
	if o.Inputs != nil && o.Inputs.HasImage(ctx, i.UUID, i.SHA1) {
		return o.Inputs.String(), nil
	}
	if images == nil || o.Offline {
		return "", fault.Network.Errorf("image %s: neither in the cache nor in the inputs", i.UUID)
	}
	m, err := images.Manifest(ctx, i.UUID)
	if err != nil {
		return "", err
	}
	if files := m.Files(); len(files) != 1 || files[0].SHA1 != i.SHA1 || files[0].Size != i.Size {
		return "", fault.Drift.Errorf("image %s is another file there now", i.UUID)
	}
	return fmt.Sprint(images), nil
}

// lockedFiles are the packages and the list of a lock.
func lockedFiles(l *lock.Lock) (list []wanted) {
	for _, p := range l.Packages {
		list = append(list, wanted{p.FullName(), []string{strings.TrimRight(p.Repository, "/") + "/" + p.FullName() + ".tgz"}, p.Size, p.SHA256})
	}
	if v := l.Vulnerabilities; v != nil {
		list = append(list, wanted{VulnerabilitiesName, []string{v.URL}, v.Size, v.SHA256})
	}
	return list
}

// StoreInputs puts every input of a lock into opts.Inputs.
func StoreInputs(ctx context.Context, l *lock.Lock, opts Options, images ImageFiles) error {
	if !opts.Inputs.Writable() {
		return fault.WithHint(fault.Usage.Errorf("inputs at %s can only be read", opts.Inputs), "set ENGBLD_INPUTS to the directory that is served there")
	}
	for _, w := range lockedFiles(l) {
		file, _, err := obtain(ctx, &opts, l.Name, w)
		if err == nil {
			err = opts.Inputs.Put(ctx, file, w.sha256)
		}
		if err != nil {
			return fmt.Errorf("inputs: %w", err)
		}
	}
	for _, i := range l.Images {
		if opts.Inputs.HasImage(ctx, i.UUID, i.SHA1) {
			continue
		}
		if err := storeImage(ctx, &i, opts, images); err != nil {
			return fmt.Errorf("inputs: image %s: %w", i.UUID, err)
		}
	}
	return nil
}

func storeImage(ctx context.Context, i *lock.Image, opts Options, images ImageFiles) error {
	m, err := images.Manifest(ctx, i.UUID)
	if err != nil {
		return err
	}
	files := m.Files()
	if len(files) != 1 || files[0].SHA1 != i.SHA1 {
		return fault.Drift.Errorf("it is another file there now")
	}
	dir, err := newfile.MakeDir(opts.TempDir, "image")
	if err != nil {
		return fault.Step.Wrap(err)
	}
	defer dir.Remove()
	file, err := images.File(ctx, m, filepath.Join(dir.Name, "file"))
	if err != nil {
		return err
	}
	if err := fetch.Check(file, fetch.Expect{Size: i.Size, SHA1: i.SHA1}); err != nil {
		return fault.Network.Wrap(err)
	}
	return opts.Inputs.PutImage(ctx, m, file)
}
