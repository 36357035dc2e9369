package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/TritonDataCenter/engbld/tools/compare"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/report"
	"github.com/TritonDataCenter/engbld/tools/sbom"
	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/spf13/cobra"
)

// reporter makes reports.
type reporter struct {
	a     *app
	o     *opener
	set   *flavor.Set
	since string // an image, or one of the words below
}

// Words that --since takes besides an image.
const (
	sinceBase     = "base"     // the image it is based on
	sinceReleased = "released" // the flavor's last released image
	sinceNone     = "none"
)

func (a *app) reportCommand() *cobra.Command {
	r := &reporter{a: a}
	var out, all string
	var bases []string
	cmd := &cobra.Command{
		Use:   "report IMAGE",
		Short: "Write a page about an image: size, changes, vulnerabilities, packages, provenance",
		Long: `Write one HTML file that tells what an image is and holds. It needs no network
and nothing beside it.

Changes are told since --since: another image, or one of the words base (what
the image is based on), released (the last released image of its flavor), none.
Without it that is the last released image where it is at hand, else the base.

With --all a page for each flavor that has a build in bits/ is written into a
directory, and an index.html that leads to them.` + subjectHelp,
		Example: `  engbld report triton-origin-x86_64-24.4.1 -o report.html
  engbld report --since OLD.imgmanifest -o report.html NEW.imgmanifest
  engbld report --all /tmp/reports`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if (all != "") == (len(args) > 0) {
				return fault.WithHint(fault.Usage.Errorf("report: name an image, or say --all DIR"), "engbld report --help")
			}
			if r.set, err = a.flavors(); err != nil {
				return err
			}
			if all != "" {
				if out != "" || len(bases) > 0 {
					return fault.Usage.Errorf("report: --all has no --output and no --base")
				}
				return r.all(cmd.Context(), a.abs(all))
			}
			r.o = &opener{a: a, bases: bases}
			defer r.o.close()
			s, err := r.o.subject(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			page, _, err := r.page(cmd.Context(), s, "")
			if err != nil {
				return err
			}
			if out == "" || out == "-" {
				_, err = a.env.Stdout.Write(page)
				return err
			}
			err = newfile.Output(a.abs(out), 0o666, func(w io.Writer) error {
				_, err := w.Write(page)
				return err
			})
			if err != nil {
				return fault.Step.Wrap(err)
			}
			_, err = fmt.Fprintln(a.env.Stdout, a.abs(out))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&out, "output", "o", "", "file to write; - is stdout, which is the default")
	f.StringVar(&r.since, "since", "", "tell changes since this image, or base, released, none")
	f.StringVar(&all, "all", "", "write pages of all flavors into this directory")
	f.StringArrayVar(&bases, "base", nil, "stream file the image is based on (repeat for a chain)")
	return cmd
}

// page makes the report of an image.
func (r *reporter) page(ctx context.Context, s *subject, index string) ([]byte, *survey.Image, error) {
	im, err := s.survey(ctx)
	if err != nil {
		return nil, nil, err
	}
	d := report.Data{Image: im, Index: index}
	if im.Manifest != nil {
		about, err := s.about(ctx, im)
		if err != nil {
			return nil, nil, err
		}
		d.Origin, d.FileName = about.Origin, about.FileName
		if st, err := sbom.Provenance(about); err == nil {
			d.Provenance = st
		} else {
			r.a.ui().Warnf("no provenance: %v", err)
		}
	}
	if im.Manifest != nil {
		records, err := s.records(im)
		if err != nil {
			return nil, nil, err
		}
		if d.Timings, err = records.Timings(im.Manifest.UUID()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.a.ui().Warnf("no timings: %v", err)
		}
	}
	old, what, err := r.earlier(ctx, s, im)
	if err != nil {
		return nil, nil, err
	}
	if old != nil {
		d.SinceWhat = what
		if d.Since, err = compare.Images(ctx, old, im, compare.Options{}); err != nil {
			return nil, nil, fault.Step.Errorf("comparing %s with %s: %w", old.Name, im.Name, err)
		}
	}
	var b bytes.Buffer
	if err := report.Write(&b, d); err != nil {
		return nil, nil, err
	}
	return b.Bytes(), im, nil
}

// earlier finds what changes are told since.
func (r *reporter) earlier(ctx context.Context, s *subject, im *survey.Image) (*survey.Image, string, error) {
	const based, last = "the image it is based on", "the last released image"
	switch r.since {
	case sinceNone:
		return nil, "", nil
	case sinceBase:
		old, err := s.origin(ctx)
		return old, based, err
	case sinceReleased, "":
	default:
		other, err := r.o.subject(ctx, r.since)
		if err != nil {
			return nil, "", err
		}
		old, err := other.survey(ctx)
		return old, "", err
	}
	find := r.o.atHand
	if r.since == sinceReleased {
		find = r.o.subject
	}
	if id := r.released(im); id != "" {
		other, err := find(ctx, id)
		if err == nil {
			old, err := other.survey(ctx)
			return old, last, err
		}
		if r.since == sinceReleased {
			return nil, "", fmt.Errorf("the last released image of %s: %w", im.Manifest.Name(), err)
		}
	} else if r.since == sinceReleased {
		return nil, "", fault.Usage.Errorf("%s: no released image of it is known", im.Name)
	}
	old, err := s.origin(ctx)
	return old, based, err
}

// released is the uuid of the last released image of an image's flavor, "" where
// there is none but itself.
func (r *reporter) released(im *survey.Image) string {
	if im.Manifest == nil {
		return ""
	}
	for _, f := range r.set.Flavors {
		if f.Name != im.Manifest.Name() {
			continue
		}
		for i := len(f.Released) - 1; i >= 0; i-- {
			if id := f.Released[i].UUID; id != im.Manifest.UUID() {
				return id
			}
		}
	}
	return ""
}

// all writes the reports of all flavors and their index.
func (r *reporter) all(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fault.Step.Errorf("reports: %w", err)
	}
	const index = "index.html"
	var entries []report.Entry
	for _, f := range r.set.Flavors {
		e := report.Entry{Name: f.Name, File: f.Name + ".html"}
		im, err := r.one(ctx, f.Name, filepath.Join(dir, e.File), index)
		switch {
		case err == nil:
			e.Image = im
			fmt.Fprintln(r.a.env.Stdout, filepath.Join(dir, e.File))
		case errors.Is(err, errNoBuild):
			e.Why = "no build here"
		default:
			return err
		}
		entries = append(entries, e)
	}
	var b bytes.Buffer
	if err := report.WriteIndex(&b, entries); err != nil {
		return err
	}
	if err := newfile.Write(filepath.Join(dir, index), b.Bytes(), 0o666); err != nil {
		return fault.Step.Errorf("reports: %w", err)
	}
	fmt.Fprintln(r.a.env.Stdout, filepath.Join(dir, index))
	return nil
}

func (r *reporter) one(ctx context.Context, name, out, index string) (*survey.Image, error) {
	r.o = &opener{a: r.a}
	defer r.o.close()
	s, err := r.o.subject(ctx, name)
	if err != nil {
		return nil, err
	}
	page, im, err := r.page(ctx, s, index)
	if err != nil {
		return nil, err
	}
	im.Tree = nil // its content is closed; the index needs numbers
	return im, fault.Step.Wrap(newfile.Write(out, page, 0o666))
}
