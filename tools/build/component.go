package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/sniff"
)

// addComponent lays the component's files over the image's root, as upstream
// does with rsync before any package (spec engbld-interface.md sections 3.3.1,
// 4.10). Everything belongs to root, with the modes it came with.
func (p *portable) addComponent(ctx context.Context) error {
	c := p.req.Component
	for _, part := range []struct {
		path string
		read func(context.Context, string) (*fstree.Tree, error)
	}{{c.Stage, p.stage}, {c.Package, p.archive}, {c.Dir, p.directory}} {
		if part.path == "" {
			continue
		}
		tree, err := part.read(ctx, part.path)
		if err != nil {
			return fault.Step.Wrap(err)
		}
		if tree == nil {
			p.opts.Story.Detailf("%s adds no files", part.path)
			continue
		}
		if !p.opts.AllowForeign {
			if err := checkForeign(tree); err != nil {
				return err
			}
		}
		digest, err := treeDigest(tree)
		if err != nil {
			return err
		}
		p.inputs = append(p.inputs, "component "+digest)
		p.components = append(p.components, lock.Component{Path: part.path, Digest: digest})
		if err := p.checkComponent(digest); err != nil {
			return err
		}
		stats, err := fstree.Overlay(ctx, p.root, tree, fstree.OverlayOptions{Warn: p.opts.Story})
		if err != nil {
			return fmt.Errorf("%s: %w", part.path, err)
		}
		p.opts.Story.Step("component", "%s: %d added, %d replaced, %d equal", part.path, stats.Added, stats.Replaced, stats.Kept)
	}
	return nil
}

// stage reads what was unpacked for this image before: the agents. There may be none.
func (p *portable) stage(ctx context.Context, dir string) (*fstree.Tree, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	tree, err := fstree.ReadDir(ctx, dir, p.spool, p.now)
	if err != nil {
		return nil, err
	}
	return below(tree, dir)
}

func (p *portable) archive(ctx context.Context, name string) (*fstree.Tree, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.WithHint(fault.Step.Errorf("the component's archive: %w", err),
			"make release builds it; RELEASE_TARBALL or BUILDIMAGE_PKG name it")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, _, err := sniff.Open(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer r.Close()
	tree, err := fstree.ReadTar(ctx, r, p.spool, fstree.TarOptions{Now: p.now, RootOwned: true})
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(r, 1<<30)) // padding; and the checksum at the end
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return below(tree, name)
}

func (p *portable) directory(ctx context.Context, dir string) (*fstree.Tree, error) {
	tree, err := fstree.ReadDir(ctx, dir, p.spool, p.now)
	if err == nil && tree.Root.Len() == 0 {
		return nil, nil
	}
	return tree, err
}

// below returns what goes over the image's root: root/ of a component's tree.
// A tree with nothing in it at all is an image without files of its own; one
// that has only something else is a mistake.
func below(tree *fstree.Tree, from string) (*fstree.Tree, error) {
	if tree.Root.Len() == 0 {
		return nil, nil
	}
	sub, err := tree.Sub("root")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.WithHint(fault.Step.Errorf("%s holds no directory root/, but %q", from, tree.Root.List()[0]),
			"what is to be at / of the image stands below root/ in the archive")
	}
	return sub, err
}

// treeDigest is the sha256 of everything about a tree that an image shows.
func treeDigest(tree *fstree.Tree) (string, error) {
	h := sha256.New()
	err := tree.Walk(func(path string, n *fstree.Node) error {
		fmt.Fprintf(h, "%q %o %d %d %d %d.%09d %q\n", path, n.Mode, n.UID, n.GID, n.Rdev, n.MTime.Sec, n.MTime.Nsec, n.Target)
		if n.Content == nil {
			return nil
		}
		fmt.Fprintf(h, "%d\n", n.Content.Size())
		_, err := io.Copy(h, fstree.NewReader(n.Content))
		return err
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
