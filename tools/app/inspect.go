package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/inspect"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/sniff"
	"github.com/TritonDataCenter/engbld/tools/zstream"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

// maxStream bounds what a stream given by name may unpack to (bytes).
const maxStream = 256 << 30

// opener opens the image a command names.
type opener struct {
	a     *app
	bases []string
	whole bool
	files []*os.File

	manifest string // path of the image's manifest, "" where it was not named by one
}

// inspectCommands are the verbs that look into images.
func (a *app) inspectCommands() []*cobra.Command {
	return []*cobra.Command{a.lsCommand(), a.catCommand(), a.statCommand(), a.extractCommand(), a.checkCommand()}
}

// inspectHelp explains what the verbs that look into images take for one.
const inspectHelp = `IMAGE is a flavor (its newest build in bits/), a manifest with its file beside
it, a stream file (plain or compressed), or the uuid of an image in bits/ or the
cache. The images it is based on are found there too, or named by --base, the
first one first.`

func (o *opener) baseFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&o.bases, "base", nil, "stream file the image is based on (repeat for a chain)")
}

// inspector makes a verb whose first argument is an image.
func (a *app) inspector(use, short, example string, args cobra.PositionalArgs,
	run func(cmd *cobra.Command, im *inspect.Image, rest []string) error) *cobra.Command {
	o := &opener{a: a}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args, Example: example, ValidArgsFunction: a.completeFlavors,
		Long: short + ".\n\n" + inspectHelp + ` Paths are
those of the zone's system; --dataset shows what is beside it as well.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			defer o.close()
			im, err := o.open(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return fault.Step.Wrap(run(cmd, im, args[1:]))
		},
	}
	o.baseFlag(cmd)
	cmd.Flags().BoolVar(&o.whole, "dataset", false, "paths are those of the whole dataset, with root/ above the system")
	return cmd
}

func (a *app) lsCommand() *cobra.Command {
	var o inspect.ListOptions
	cmd := a.inspector("ls IMAGE [PATH...]", "List files of an image",
		"  engbld image ls -l bits/NAME/NAME-zfs-STAMP.imgmanifest opt/local/bin", cobra.MinimumNArgs(1),
		func(cmd *cobra.Command, im *inspect.Image, paths []string) error {
			if len(paths) == 0 {
				paths = []string{"/"}
			}
			for i, p := range paths {
				if len(paths) > 1 {
					fmt.Fprintf(a.env.Stdout, "%s%s:\n", strings.Repeat("\n", min(i, 1)), p)
				}
				if err := im.List(cmd.Context(), a.env.Stdout, p, o); err != nil {
					return err
				}
			}
			return nil
		})
	f := cmd.Flags()
	f.BoolVarP(&o.Long, "long", "l", false, "mode, links, owner, size, time and target too")
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "everything below too")
	f.BoolVar(&o.Exact, "exact", false, "every field of every path, with sha256, one line a path")
	f.BoolVar(&o.NoTimes, "no-times", false, "with --exact: without mtime")
	return cmd
}

func (a *app) catCommand() *cobra.Command {
	return a.inspector("cat IMAGE PATH...", "Print files of an image", "  engbld image cat UUID etc/motd", cobra.MinimumNArgs(2),
		func(cmd *cobra.Command, im *inspect.Image, paths []string) error {
			return im.Cat(cmd.Context(), a.env.Stdout, paths...)
		})
}

func (a *app) statCommand() *cobra.Command {
	return a.inspector("stat IMAGE PATH...", "Describe files of an image in full", "  engbld image stat UUID opt/local/bin/sudo", cobra.MinimumNArgs(2),
		func(cmd *cobra.Command, im *inspect.Image, paths []string) error {
			return im.Stat(cmd.Context(), a.env.Stdout, paths...)
		})
}

func (a *app) extractCommand() *cobra.Command {
	var o inspect.ExtractOptions
	var tar bool
	cmd := a.inspector("extract IMAGE DIR", "Write the files of an image below a new or empty directory, or as a tar",
		"  engbld image extract UUID /tmp/tree\n  engbld image extract --tar UUID - | tar tf -", cobra.ExactArgs(2),
		func(cmd *cobra.Command, im *inspect.Image, rest []string) error {
			o.Warn = a.ui()
			if !tar {
				stats, err := im.Extract(cmd.Context(), a.abs(rest[0]), o)
				if err == nil {
					a.ui().Infof("%d files, %d skipped", stats.Files, stats.Skipped)
				}
				return err
			}
			if rest[0] == "-" {
				_, err := im.Tar(cmd.Context(), a.env.Stdout, o)
				return err
			}
			return newfile.Output(a.abs(rest[0]), 0o666, func(w io.Writer) error {
				_, err := im.Tar(cmd.Context(), w, o)
				return err
			})
		})
	cmd.Flags().BoolVar(&tar, "tar", false, "write a tar archive; - is stdout")
	cmd.Flags().BoolVar(&o.Owners, "owners", false, "set owners, which needs root")
	return cmd
}

// checkCommand takes the file system as it is stored: one whose files cannot be
// listed is checked too.
func (a *app) checkCommand() *cobra.Command {
	o := &opener{a: a}
	opts := dataset.CheckOptions{Max: 100}
	cmd := &cobra.Command{
		Use: "check IMAGE", Short: "Look for inconsistencies in an image's file system; any is exit code 3", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeFlavors,
		Example: "  engbld image check bits/NAME/NAME-zfs-STAMP.imgmanifest",
		Long: `Look for inconsistencies in an image's file system; any is exit code 3.

All of the dataset is checked: directories and what their names lead to, links,
sizes, modes and access lists, and that nothing lies behind the ends of files. An
image file that is not the one its manifest describes is exit code 3, too.

` + inspectHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			defer o.close()
			layers, err := o.layers(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if m := manifestBeside(o.manifest); m != nil { // what is in the cache may be sounder than the file
				if _, _, err := imageFile(cmd.Context(), o.manifest, m); err != nil {
					return fault.Step.Wrap(err)
				}
			}
			ds, err := dataset.Read(cmd.Context(), layers, dataset.ReadOptions{Warn: a.ui()})
			if err != nil {
				return err
			}
			found, err := ds.Check(cmd.Context(), opts)
			if err != nil {
				return fault.Step.Errorf("checking the image: %w", err)
			}
			for _, p := range found {
				if _, err := fmt.Fprintln(a.env.Stdout, p); err != nil {
					return fault.Step.Wrap(err)
				}
			}
			switch n := len(found); {
			case n == 0:
				return nil
			case n == 1:
				return fault.Drift.Errorf("the image has a problem")
			case n < opts.Max:
				return fault.Drift.Errorf("the image has %d problems", n)
			default:
				return fault.Drift.Errorf("the image has %d problems or more", n)
			}
		},
	}
	o.baseFlag(cmd)
	cmd.Flags().BoolVar(&opts.Linux, "linux", false, "access lists may contradict modes, as Linux makes them")
	return cmd
}

func (o *opener) close() {
	for _, f := range o.files {
		f.Close()
	}
}

func (o *opener) open(ctx context.Context, name string) (*inspect.Image, error) {
	layers, err := o.layers(ctx, name)
	if err != nil {
		return nil, err
	}
	im, err := inspect.Open(ctx, layers, dataset.ReadOptions{Warn: o.a.ui()})
	if err != nil || o.whole {
		return im, err
	}
	return zone(im, name)
}

// zone is the system in an image.
func zone(im *inspect.Image, name string) (*inspect.Image, error) {
	sub, err := im.Chroot("root")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.WithHint(fault.Usage.Errorf("%s has no root/, so it is no zone's image", name), "engbld image ls --dataset shows all there is")
	}
	return sub, fault.Step.Wrap(err)
}

func (o *opener) layers(ctx context.Context, name string) ([]dataset.Layer, error) {
	if len(o.bases) == 0 {
		if id, err := uuid.Parse(name); err == nil {
			return o.chain(ctx, id.String(), o.a.on("ENGBLD_SANDBOX"), o.a.bitsDir(o.a.top(), ""))
		}
		if m := manifestBeside(o.a.abs(name)); m != nil {
			o.manifest = manifestPath(o.a.abs(name))
			return o.chain(ctx, m.UUID(), m.Sandbox(), filepath.Dir(o.a.abs(name)), o.a.bitsDir(o.a.top(), ""))
		}
		if _, err := os.Stat(o.a.abs(name)); errors.Is(err, fs.ErrNotExist) && !strings.ContainsRune(name, filepath.Separator) {
			path, m, err := o.a.newestBuild(name, o.a.on("ENGBLD_SANDBOX"))
			if err != nil {
				return nil, err
			}
			o.manifest = path
			return o.chain(ctx, m.UUID(), m.Sandbox(), filepath.Dir(path), o.a.bitsDir(o.a.top(), ""))
		}
	}
	if stemOf(name) != "" { // a manifest, or it should be one
		raw, err := bounded.ReadFile(o.a.abs(name), imgmanifest.MaxSize)
		if err == nil {
			_, err = imgmanifest.Parse(raw)
		}
		switch {
		case err != nil:
			return nil, fault.Step.Errorf("manifest %s: %w", name, err)
		case len(o.bases) > 0:
			return nil, fault.WithHint(fault.Usage.Errorf("%s is a manifest, not a stream", name), "with --base, name the image file")
		}
		return nil, fault.Step.Errorf("manifest %s: it has no uuid", name)
	}
	var layers []dataset.Layer
	for i, file := range append(o.bases, name) {
		l, err := o.unpack(ctx, o.a.abs(file), i == 0)
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", file, fault.Step.Wrap(err))
		}
		layers = append(layers, l)
	}
	return layers, nil
}

// chain finds an image and what it is based on in own builds and the cache.
func (o *opener) chain(ctx context.Context, id string, sandboxed bool, dirs ...string) ([]dataset.Layer, error) {
	cache, err := o.a.imageCache(sandboxed)
	if err != nil {
		return nil, err
	}
	s, err := imgstore.Open(imgstore.Options{CacheDir: cache, OwnDirs: dirs, Sandbox: sandboxed, Marked: o.a.namedSource(), Offline: true, Log: o.a.ui(), Now: o.a.env.Now})
	if err != nil {
		return nil, err
	}
	images, err := s.Chain(ctx, id)
	if err != nil {
		return nil, fault.WithHint(o.a.remedy(err), "build on the image once, so that it is in the cache, or name its streams with --base")
	}
	var layers []dataset.Layer
	for _, img := range images {
		f, err := img.Open()
		if err != nil {
			return nil, err
		}
		o.files = append(o.files, f)
		layers = append(layers, dataset.Layer{R: f, Size: img.Size, Name: img.Manifest.NameVersion()})
	}
	return layers, nil
}

// manifestBeside reads the manifest that name is, or that stands beside the
// image file name; nil where there is none.
func manifestBeside(name string) *imgmanifest.Manifest {
	candidates := []string{name}
	for _, suffix := range []string{".zfs.gz", ".zfs.bz2", ".zfs.xz", ".zfs"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			candidates = []string{stem + ".imgmanifest", stem + ".manifest"}
		}
	}
	for _, c := range candidates {
		raw, err := bounded.ReadFile(c, imgmanifest.MaxSize)
		if err != nil {
			continue
		}
		if m, err := imgmanifest.Parse(raw); err == nil && m.UUID() != "" {
			return m
		}
	}
	return nil
}

// unpack makes a stream file readable at any place. The first of a chain has to be
// a full stream.
func (o *opener) unpack(ctx context.Context, name string, first bool) (dataset.Layer, error) {
	f, err := os.Open(name)
	if err != nil {
		return dataset.Layer{}, err
	}
	o.files = append(o.files, f)
	unpacked, form, err := sniff.Open(f)
	if err != nil {
		return dataset.Layer{}, err
	}
	defer unpacked.Close()
	r := bufio.NewReader(unpacked)
	head, err := r.Peek(zstream.RecordSize)
	if err != nil && err != io.EOF {
		return dataset.Layer{}, err
	}
	layer := dataset.Layer{R: f, Name: filepath.Base(name)}
	switch s, err := zstream.NewReader(bytes.NewReader(head)); {
	case err != nil:
		return layer, err // nothing that is no stream is unpacked
	case first && s.Begin().FromGUID != 0:
		return layer, fault.WithHint(errors.New("it is an increment, and nothing tells on what"),
			"name it by its manifest; most verbs take what it is based on as --base, the first one first")
	}
	if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() && form == sniff.None {
		layer.Size = fi.Size()
		return layer, nil
	}
	tmp, err := newfile.Unnamed("", "stream")
	if err != nil {
		return dataset.Layer{}, err
	}
	o.files = append(o.files, tmp)
	n, err := io.Copy(tmp, io.LimitReader(&stopping{ctx, r}, maxStream+1))
	if err == nil && n > maxStream {
		err = fmt.Errorf("unpacks to more than %d bytes", int64(maxStream))
	}
	layer.R, layer.Size = tmp, n
	return layer, err
}

// stopping is a reader that ends when its context does.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

func (s *stopping) Read(p []byte) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
