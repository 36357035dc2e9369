package release

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// CopyOptions say how images get from one server to another.
type CopyOptions struct {
	Public   bool // what the target demands: private servers false, public ones true
	Temp     string
	Progress func(what string, done, total int64) // nil is silent
	Log
}

// Copy brings an image and those of its origins that are missing from one
// server to the client to's channel, the root first. Each file is checked
// against its manifest on the way. Images that are there are added to the
// channel. It returns the image as the target has it.
func Copy(ctx context.Context, from, to *imgapi.Client, uuid string, o CopyOptions) (*imgmanifest.Manifest, error) {
	chain, err := sourceChain(ctx, from, uuid)
	if err != nil {
		return nil, err
	}
	for _, m := range chain {
		if err := to.CheckSandbox(ctx, m); err != nil {
			return nil, err
		}
	}
	var last *imgmanifest.Manifest
	for _, m := range chain {
		if last, err = copyOne(ctx, from, to, m, o); err != nil {
			return nil, fmt.Errorf("copying image %s from %s: %w", m.UUID(), from.Server(), err)
		}
	}
	return last, nil
}

// sourceChain reads a chain from one channel of the source, as imgadm does.
func sourceChain(ctx context.Context, from *imgapi.Client, uuid string) ([]*imgmanifest.Manifest, error) {
	var chain []*imgmanifest.Manifest
	seen := make(map[string]bool)
	for next := uuid; next != ""; {
		if seen[next] || len(chain) == maxChain {
			return nil, fault.Network.Errorf("image server %s: the origins of image %s never end", from.Server(), uuid)
		}
		seen[next] = true
		m, err := from.Get(ctx, next)
		if err != nil {
			return nil, err
		}
		if m.State() != "active" || len(m.Files()) != 1 {
			return nil, fault.Network.Errorf("image server %s: image %s is %s with %d files, an active one with one file is needed",
				from.Server(), next, m.State(), len(m.Files()))
		}
		chain = append([]*imgmanifest.Manifest{m}, chain...)
		next = m.Origin()
	}
	return chain, nil
}

func copyOne(ctx context.Context, from, to *imgapi.Client, m *imgmanifest.Manifest, o CopyOptions) (*imgmanifest.Manifest, error) {
	m = m.Clone()
	m.Delete("state", "disabled", "channels", "icon", "acl", "error")
	if err := m.Set("public", o.Public); err != nil {
		return nil, err
	}
	want := m.Files()[0]
	there, err := to.In(imgapi.AllChannels).Get(ctx, m.UUID())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p := imgapi.Publication{Manifest: m, Warnf: o.warnf, File: imgapi.Content{File: want}}
	if err == nil && len(there.Files()) == 1 && there.Files()[0].SHA1 == want.SHA1 {
		// Publish compares, and adds it to the channel; it needs no file for that.
		p.File.Open = func() (io.ReadCloser, error) { return nil, errors.New("the file is there already") }
		o.infof("image %s (%s) is there already", m.UUID(), m.NameVersion())
		return to.Publish(ctx, p)
	}
	dir, err := newfile.MakeDir(o.Temp, "copy")
	if err != nil {
		return nil, fault.Step.Errorf("copying an image: %w", err)
	}
	defer dir.Remove()
	name := filepath.Join(dir.Name, "file")
	if err := Download(ctx, from, m.UUID(), want, name, o.Progress); err != nil {
		return nil, err
	}
	p.File.Open = func() (io.ReadCloser, error) { return os.Open(name) }
	if o.Progress != nil {
		p.File.Progress = func(done, total int64) { o.Progress("sending "+m.UUID(), done, total) }
	}
	got, err := to.Publish(ctx, p)
	if err == nil {
		o.infof("copied image %s (%s)", m.UUID(), m.NameVersion())
	}
	return got, err
}

// Download fetches the file of an image into the new file name, which appears
// only when size, SHA-1 and (where the server tells) MD5 are right. It begins
// again where the connection breaks, three times.
func Download(ctx context.Context, c *imgapi.Client, uuid string, want imgmanifest.File, name string, progress func(string, int64, int64)) (err error) {
	tmp, err := newfile.Create(name, 0o644)
	if err != nil {
		return fault.Step.Errorf("downloading the file of image %s: %w", uuid, err)
	}
	defer tmp.Discard()
	for attempt := 0; ; attempt++ {
		if err = fetchOnce(ctx, c, uuid, want, tmp.File, progress); err == nil {
			break
		}
		var broken *brokenError
		if attempt == 3 || ctx.Err() != nil || !errors.As(err, &broken) {
			return err
		}
	}
	if err := tmp.Commit(); err != nil {
		return fault.Step.Errorf("downloading the file of image %s: %w", uuid, err)
	}
	return nil
}

// brokenError is a transfer that did not come to its end.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

func fetchOnce(ctx context.Context, c *imgapi.Client, uuid string, want imgmanifest.File, tmp *os.File, progress func(string, int64, int64)) error {
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return fault.Step.Wrap(err)
	}
	if err := tmp.Truncate(0); err != nil {
		return fault.Step.Wrap(err)
	}
	f, err := c.File(ctx, uuid)
	if err != nil {
		return err
	}
	defer f.Close()
	return Verified(f, uuid, c.Server(), want, tmp, progress)
}

// Verified copies a file from a server to w and checks size, SHA-1 and MD5 at
// the end. progress may be nil.
func Verified(f *imgapi.File, uuid, server string, want imgmanifest.File, w io.Writer, progress func(string, int64, int64)) error {
	wrong := func(format string, args ...any) error {
		return fault.Network.Errorf("image server %s: the file of image %s is wrong: %s", server, uuid, fmt.Sprintf(format, args...))
	}
	if f.Size >= 0 && f.Size != want.Size {
		return wrong("%d bytes are announced, the manifest says %d", f.Size, want.Size)
	}
	sum, md := sha1.New(), md5.New()
	n, err := io.Copy(&tracked{io.MultiWriter(w, sum, md), 0, want.Size, "fetching " + uuid, progress}, io.LimitReader(f, want.Size+1))
	var local *os.PathError
	switch {
	case errors.As(err, &local):
		return fault.Step.Errorf("downloading the file of image %s: %w", uuid, err)
	case err != nil:
		return &brokenError{err}
	case n != want.Size:
		return &brokenError{wrong("%d bytes came, the manifest says %d", n, want.Size)}
	}
	if got := hexOf(sum); got != want.SHA1 {
		return wrong("its sha1 is %s, the manifest says %s", got, want.SHA1)
	}
	if got := hexOf(md); f.MD5 != "" && got != f.MD5 {
		return wrong("its MD5 is %s, %s was announced", got, f.MD5)
	}
	return nil
}

func hexOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

type tracked struct {
	w           io.Writer
	done, total int64
	what        string
	tell        func(string, int64, int64)
}

func (t *tracked) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.done += int64(n)
	if t.tell != nil {
		t.tell(t.what, t.done, t.total)
	}
	return n, err
}
