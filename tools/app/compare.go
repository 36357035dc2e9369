package app

import (
	"context"
	"fmt"
	"io"

	"github.com/TritonDataCenter/engbld/tools/compare"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/spf13/cobra"
)

// compareCommands are the verbs that measure and compare images, and tell where
// they come from.
func (a *app) compareCommands() []*cobra.Command {
	return append([]*cobra.Command{a.diffCommand(), a.duCommand(), a.treeCommand()}, a.trustCommands()...)
}

func (a *app) diffCommand() *cobra.Command {
	var o compare.Options
	var asJSON, markdown, allFiles, exitCode bool
	cmd := &cobra.Command{
		Use:   "diff IMAGE [OTHER]",
		Short: "Tell how OTHER differs from IMAGE, or IMAGE from what it is based on",
		Long: `Tell how OTHER differs from IMAGE: packages, manifest, vulnerabilities where both
have an audit beside them, files, and sizes. With one image, tell what it changes
in the image it is based on.` + subjectHelp,
		Example: `  engbld image diff triton-origin-x86_64-23.4.0 triton-origin-x86_64-24.4.1
  engbld image diff --markdown OLD.imgmanifest NEW.imgmanifest`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON && markdown {
				return fault.Usage.Errorf("image diff: --json and --markdown exclude each other")
			}
			d, err := a.diff(cmd.Context(), args, o)
			if err != nil {
				return err
			}
			switch {
			case asJSON:
				err = compare.WriteJSON(a.env.Stdout, d)
			case markdown:
				err = d.WriteMarkdown(a.env.Stdout)
			default:
				err = d.WriteText(a.env.Stdout, allFiles)
			}
			if err == nil && exitCode && !d.Same {
				err = fault.Drift.Errorf("the images differ")
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "write JSON, with every file")
	f.BoolVar(&markdown, "markdown", false, "write Markdown, for a ticket")
	f.BoolVar(&allFiles, "files", false, "list the files of packages too")
	f.BoolVar(&o.Times, "times", false, "compare times of modification too")
	f.BoolVar(&exitCode, "exit-code", false, "exit with 3 if they differ")
	return cmd
}

func (a *app) diff(ctx context.Context, args []string, o compare.Options) (*compare.Diff, error) {
	op := &opener{a: a}
	defer op.close()
	last, err := op.subject(ctx, args[len(args)-1])
	if err != nil {
		return nil, err
	}
	var old *survey.Image
	if len(args) == 1 {
		if old, err = last.origin(ctx); err == nil && old == nil {
			err = fault.WithHint(fault.Usage.Errorf("%s is based on no other image", args[0]), "name two images: engbld image diff OLD NEW")
		}
	} else {
		var first *subject
		if first, err = op.subject(ctx, args[0]); err == nil {
			old, err = first.survey(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	cur, err := last.survey(ctx)
	if err != nil {
		return nil, err
	}
	d, err := compare.Images(ctx, old, cur, o)
	if err != nil {
		return nil, fault.Step.Errorf("comparing %s with %s: %w", old.Name, cur.Name, err)
	}
	return d, nil
}

// surveyor makes a verb whose first argument is an image to survey.
func (a *app) surveyor(use, short, example string, args cobra.PositionalArgs,
	run func(ctx context.Context, s *subject, im *survey.Image, rest []string) error) *cobra.Command {
	o := &opener{a: a}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args, Example: example, Long: short + "." + subjectHelp,
		ValidArgsFunction: a.completeFlavors,
		RunE: func(cmd *cobra.Command, args []string) error {
			defer o.close()
			s, err := o.subject(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			im, err := s.survey(cmd.Context())
			if err != nil {
				return err
			}
			return fault.Step.Wrap(run(cmd.Context(), s, im, args[1:]))
		},
	}
	cmd.Flags().StringArrayVar(&o.bases, "base", nil, "stream file the image is based on (repeat for a chain)")
	return cmd
}

func (a *app) duCommand() *cobra.Command {
	var o compare.UsageOptions
	var by string
	var depth int
	var asJSON bool
	cmd := a.surveyor("du IMAGE", "Show what an image's bytes are spent on, by package and by directory",
		"  engbld image du triton-origin-x86_64-24.4.1\n  engbld image du --by package --json UUID", cobra.ExactArgs(1),
		func(_ context.Context, _ *subject, im *survey.Image, _ []string) error {
			switch by {
			case "":
			case "package":
				o.Packages = true
			case "directory":
				o.Directories = true
			default:
				return fault.Usage.Errorf("image du: --by %s: package or directory", by)
			}
			if depth < 0 {
				return fault.Usage.Errorf("image du: --depth %d: 0 (all) or more", depth)
			}
			u := compare.Measure(im, depth)
			if asJSON {
				return compare.WriteJSON(a.env.Stdout, u)
			}
			return u.WriteText(a.env.Stdout, o)
		})
	f := cmd.Flags()
	f.StringVar(&by, "by", "", "package or directory: only that")
	f.IntVar(&depth, "depth", 3, "levels of directories; 0 is all")
	f.BoolVar(&o.All, "all", false, "small ones too")
	f.BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (a *app) treeCommand() *cobra.Command {
	var o compare.TreeOptions
	var asJSON bool
	cmd := a.surveyor("tree IMAGE [PATH]", "Draw the directories of an image with their sizes",
		"  engbld image tree --depth 3 UUID opt/local", cobra.RangeArgs(1, 2),
		func(_ context.Context, _ *subject, im *survey.Image, rest []string) error {
			if len(rest) > 0 {
				o.Path = rest[0]
			}
			if o.Depth < 0 {
				return fault.Usage.Errorf("image tree: --depth %d: 0 (all) or more", o.Depth)
			}
			e, err := compare.Tree(im, o)
			if err != nil {
				return fault.Usage.Wrap(fmt.Errorf("%s: %w", im.Name, err))
			}
			return a.writeEither(asJSON, e, func(w io.Writer) error { return e.WriteText(w, o.Packages) })
		})
	f := cmd.Flags()
	f.IntVar(&o.Depth, "depth", 2, "levels; 0 is all")
	f.BoolVarP(&o.DirsOnly, "dirs", "d", false, "only directories")
	f.BoolVar(&o.Packages, "packages", false, "tell the package of each file")
	f.BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// writeEither answers with JSON or with text.
func (a *app) writeEither(asJSON bool, v any, text func(io.Writer) error) error {
	if asJSON {
		return compare.WriteJSON(a.env.Stdout, v)
	}
	return text(a.env.Stdout)
}
