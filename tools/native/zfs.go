package native

import (
	"context"
	"io"
	"slices"
	"strings"
)

// zfs is the zfs command.
type zfs struct{ r Runner }

func (z zfs) run(ctx context.Context, args ...string) error {
	return z.r.Run(ctx, Command{Path: "zfs", Args: args})
}

// lines runs a command and returns the fields of its lines.
func (z zfs) lines(ctx context.Context, args ...string) ([][]string, error) {
	out := &Output{}
	if err := z.r.Run(ctx, Command{Path: "zfs", Args: args, Stdout: out}); err != nil {
		return nil, err
	}
	var list [][]string
	for l := range strings.Lines(out.String()) {
		list = append(list, strings.Split(strings.TrimSuffix(l, "\n"), "\t"))
	}
	return list, nil
}

// snapshots returns the names of a dataset's snapshots, without the part before
// the @; nil where there is no such dataset below parent.
func (z zfs) snapshots(ctx context.Context, parent, dataset string) ([]string, error) {
	list, err := z.lines(ctx, "list", "-H", "-r", "-t", "filesystem,volume,snapshot", "-o", "name", parent)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range list {
		if l[0] == dataset && names == nil {
			names = []string{}
		}
		if snap, ok := strings.CutPrefix(l[0], dataset+"@"); ok {
			names = append(names, snap)
		}
	}
	slices.Sort(names)
	return names, nil
}

// get returns a property that was set on the very dataset, "-" where none was.
func (z zfs) get(ctx context.Context, property, dataset string) (string, error) {
	list, err := z.lines(ctx, "get", "-H", "-s", "local", "-o", "value", property, dataset)
	if err != nil || len(list) == 0 {
		return "-", err
	}
	return list[0][0], nil
}

func (z zfs) set(ctx context.Context, property, value, dataset string) error {
	return z.run(ctx, "set", property+"="+value, dataset)
}

// receive makes a dataset of a stream and does not mount it. The stream goes
// through a pipe: if we are killed it ends, and zfs throws away what it has.
func (z zfs) receive(ctx context.Context, dataset string, stream io.Reader) error {
	return z.r.Run(ctx, Command{Path: "zfs", Args: []string{"receive", "-u", dataset}, Stdin: stream})
}

func (z zfs) rename(ctx context.Context, from, to string) error {
	return z.run(ctx, "rename", from, to)
}

func (z zfs) clone(ctx context.Context, snapshot, dataset, mountpoint, mark string) error {
	return z.run(ctx, "clone", "-o", "mountpoint="+mountpoint, "-o", markProperty+"="+mark, snapshot, dataset)
}

func (z zfs) unmount(ctx context.Context, dataset string) error {
	return z.run(ctx, "unmount", dataset)
}

func (z zfs) snapshot(ctx context.Context, name string) error { return z.run(ctx, "snapshot", name) }

func (z zfs) send(ctx context.Context, from, to string, w io.Writer) error {
	return z.r.Run(ctx, Command{Path: "zfs", Args: []string{"send", "-i", from, to}, Stdout: w})
}

// destroy destroys a dataset with its snapshots, but none that was cloned from it.
func (z zfs) destroy(ctx context.Context, dataset string) error {
	return z.run(ctx, "destroy", "-r", dataset)
}
