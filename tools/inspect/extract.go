package inspect

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// ExtractOptions tune Extract and Tar.
type ExtractOptions struct {
	Warn   Warner // nil: silent
	Owners bool   // Extract: set owners too, which needs root
}

// ExtractStats count what was written.
type ExtractStats struct {
	Files, Skipped int
	Bytes          int64 // of content
}

// Extract writes the tree below dir, which is made, or must be empty. Nothing is
// written elsewhere, whatever names and links the image holds. Modes and times
// are the image's; devices, fifos and sockets are skipped with a warning (Tar
// keeps the first two), and so are times of symbolic links. Holes stay holes.
// After an error, or when ctx ends, what was written is removed, dir as well if it
// was made.
func (im *Image) Extract(ctx context.Context, dir string, o ExtractOptions) (stats ExtractStats, err error) {
	switch exists := os.Mkdir(dir, 0o755); {
	case exists == nil:
		defer func() {
			if err != nil {
				os.Remove(dir) // if nobody else has put something there
			}
		}()
	case !errors.Is(exists, fs.ErrExist):
		return ExtractStats{}, exists
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ExtractStats{}, err
	}
	defer root.Close()
	if entries, err := fs.ReadDir(root.FS(), "."); err != nil {
		return ExtractStats{}, err
	} else if len(entries) > 0 {
		return ExtractStats{}, fault.WithHint(fmt.Errorf("extracting to %s: the directory is not empty", dir),
			"name another one, or empty it; a process that was killed leaves what it has written")
	}
	wrote, err := fstree.WriteDir(ctx, root, im.Tree, fstree.WriteOptions{Warn: o.Warn, Owners: o.Owners})
	if err != nil {
		err = fmt.Errorf("extracting to %s: %w", dir, err)
	}
	return ExtractStats{Files: wrote.Files, Skipped: wrote.Skipped, Bytes: wrote.Bytes}, err
}

// Tar writes the tree as a pax archive: owners, modes, times to the nanosecond,
// hard links and devices (their numbers taken as illumos') included. Sockets are
// skipped with a warning. The same image gives the same bytes.
func (im *Image) Tar(ctx context.Context, w io.Writer, o ExtractOptions) (ExtractStats, error) {
	var stats ExtractStats
	tw := tar.NewWriter(w)
	first := make(map[*fstree.Node]string)
	err := im.Tree.Walk(func(name string, n *fstree.Node) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		h := &tar.Header{
			Format: tar.FormatPAX, Name: name, Mode: int64(n.Perm()), Uid: int(n.UID), Gid: int(n.GID), ModTime: n.MTime.Time(),
		}
		var content io.Reader = strings.NewReader("")
		old, again := first[n]
		switch t := n.Type(); {
		case again:
			h.Typeflag, h.Linkname = tar.TypeLink, old
		case t == fstree.TypeDir:
			h.Typeflag, h.Name = tar.TypeDir, name+"/"
		case t == fstree.TypeRegular:
			h.Typeflag, h.Size = tar.TypeReg, n.Size()
			if n.Content != nil {
				content = &reader{ctx, fstree.NewReader(n.Content)}
			}
		case t == fstree.TypeSymlink:
			h.Typeflag, h.Linkname = tar.TypeSymlink, n.Target
		case t == fstree.TypeChar || t == fstree.TypeBlock:
			h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, int64(n.Rdev>>32), int64(n.Rdev&(1<<32-1))
			if t == fstree.TypeBlock {
				h.Typeflag = tar.TypeBlock
			}
		case t == fstree.TypeFifo:
			h.Typeflag = tar.TypeFifo
		default:
			stats.Skipped++
			if o.Warn != nil {
				o.Warn.Warnf("%s: a %s is not put into archives", name, typeName(n.Mode))
			}
			return nil
		}
		if n.Names() > 1 && !n.IsDir() && !again {
			first[n] = name
		}
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		k, err := io.Copy(tw, content)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		stats.Files++
		stats.Bytes += k
		return nil
	})
	if err == nil {
		err = tw.Close()
	}
	if err != nil {
		return stats, fmt.Errorf("writing the archive: %w", err)
	}
	return stats, nil
}
