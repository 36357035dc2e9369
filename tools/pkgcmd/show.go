package pkgcmd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
	"github.com/spf13/cobra"
)

func (c *commands) listCommand() *cobra.Command {
	return c.targetFlags(&cobra.Command{
		Use:   "list TARGET",
		Short: "List the installed packages, as pkg_info -a does",
		Example: `  engbld pkg list /zones/root
  engbld pkg list bits/NAME/NAME-zfs-STAMP.imgmanifest`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.look(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer t.close()
			return c.list(cmd.Context(), t)
		},
	})
}

// listed is a package in the JSON of list.
type listed struct {
	Name      string `json:"name"` // without version
	Version   string `json:"version"`
	Comment   string `json:"comment"`
	Automatic bool   `json:"automatic"` // came as a dependency
}

func (c *commands) list(ctx context.Context, t *target) error {
	if !c.asJSON {
		text, err := t.db.Info()
		if err != nil {
			return fault.Step.Errorf("%s: %w", t.name, err)
		}
		return c.print(text)
	}
	records, err := t.records(ctx)
	if err != nil {
		return err
	}
	all := []listed{}
	for _, r := range records {
		name, v := version.Split(r.Name)
		all = append(all, listed{name, v, r.Comment, r.Automatic})
	}
	return c.printJSON(all)
}

func (c *commands) infoCommand() *cobra.Command {
	var files bool
	cmd := c.targetFlags(&cobra.Command{
		Use:   "info TARGET NAME...",
		Short: "Tell all that is recorded of installed packages",
		Long: `Tell all that the record of an installed package says. NAME is a package's name
with or without version, or a pattern such as 'openssl>=3' or 'lib*'.`,
		Example: `  engbld pkg info /zones/root sudo
  engbld pkg info --files UUID curl`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.look(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer t.close()
			return c.info(cmd.Context(), t, args[1:], files)
		},
	})
	cmd.Flags().BoolVar(&files, "files", false, "the package's files instead, one path a line")
	return cmd
}

// info is the JSON of info.
type info struct {
	Name        string              `json:"name"` // full
	Comment     string              `json:"comment"`
	Automatic   bool                `json:"automatic"` // came as a dependency
	Preserve    bool                `json:"preserve"`  // marked as not for deletion
	Prefix      string              `json:"prefix"`
	Depends     []string            `json:"depends"` // patterns
	RequiredBy  []string            `json:"required_by"`
	Conflicts   []string            `json:"conflicts"` // patterns
	Size        string              `json:"size"`      // bytes, as recorded; "" where it is not
	Build       map[string][]string `json:"build"`     // +BUILD_INFO
	Description string              `json:"description"`
	Message     string              `json:"message"` // +DISPLAY
	Files       []string            `json:"files"`   // absolute
	Directories []string            `json:"directories"`
}

func (c *commands) info(ctx context.Context, t *target, patterns []string, files bool) error {
	all, err := t.records(ctx)
	if err != nil {
		return err
	}
	chosen, err := choose(all, patterns, t.name)
	if err != nil {
		return err
	}
	infos := []*info{}
	for i, r := range chosen {
		d, err := t.describe(r)
		if err != nil {
			return err
		}
		switch {
		case c.asJSON:
			infos = append(infos, d)
		case files:
			for _, f := range d.Files {
				if err := c.print(f + "\n"); err != nil {
					return err
				}
			}
		default:
			if i > 0 {
				fmt.Fprintln(c.Stdout)
			}
			if err := c.print(d.text()); err != nil {
				return err
			}
		}
	}
	if c.asJSON {
		return c.printJSON(infos)
	}
	return nil
}

// choose finds the records that the patterns name, each once, in the order of
// the patterns. A pattern without any is an error.
func choose(all []*pkgdb.Record, patterns []string, where string) (chosen []*pkgdb.Record, err error) {
	for _, p := range patterns {
		found := false
		for _, r := range all {
			ok, err := version.Match(p, r.Name)
			if err != nil {
				return nil, fault.Usage.Errorf("pattern %q: %w", p, err)
			}
			if ok {
				found = true
				if !slices.Contains(chosen, r) {
					chosen = append(chosen, r)
				}
			}
		}
		if !found {
			return nil, fault.WithHint(fault.Usage.Errorf("no package %q is installed in %s", p, where), "engbld pkg list %s", where)
		}
	}
	return chosen, nil
}

func (t *target) describe(r *pkgdb.Record) (*info, error) {
	d := &info{
		Name: r.Name, Comment: r.Comment, Automatic: r.Automatic, Preserve: r.Preserve, Prefix: r.Plist.Prefix(),
		Depends: r.Plist.Deps(), RequiredBy: r.RequiredBy, Conflicts: r.Plist.Conflicts(), Build: r.BuildInfo,
	}
	for _, m := range []struct {
		file string
		text *string
	}{{"+SIZE_PKG", &d.Size}, {"+DESC", &d.Description}, {"+DISPLAY", &d.Message}} {
		b, err := t.db.File(r.Name, m.file)
		if err != nil {
			return nil, fault.Step.Errorf("%s: %s: %w", t.name, r.Name, err)
		}
		*m.text = strings.TrimRight(string(b), "\n")
	}
	for _, e := range r.Plist.Entries {
		switch {
		case e.Ignored:
		case e.Kind == plist.File:
			d.Files = append(d.Files, d.Prefix+"/"+e.Arg)
		case e.Kind == plist.PkgDir:
			d.Directories = append(d.Directories, d.Prefix+"/"+e.Arg)
		}
	}
	return d, nil
}

// text is what info prints for people.
func (d *info) text() string {
	var b strings.Builder
	line := func(label string, values ...string) {
		for i, v := range values {
			if i > 0 {
				label = ""
			}
			fmt.Fprintf(&b, "%-13s%s\n", label, v)
		}
	}
	line("name:", d.Name)
	line("comment:", d.Comment)
	how := "asked for"
	if d.Automatic {
		how = "as a dependency"
	}
	if d.Preserve {
		how += ", marked as not for deletion"
	}
	line("installed:", how)
	line("prefix:", d.Prefix)
	if d.Size != "" {
		line("size:", d.Size+" bytes")
	}
	line("files:", fmt.Sprint(len(d.Files)))
	line("directories:", d.Directories...)
	line("needs:", d.Depends...)
	line("needed by:", d.RequiredBy...)
	line("conflicts:", d.Conflicts...)
	var build []string
	for _, name := range slices.Sorted(maps.Keys(d.Build)) {
		for _, v := range d.Build[name] {
			build = append(build, name+"="+v)
		}
	}
	line("build:", build...)
	if d.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", d.Description)
	}
	if d.Message != "" {
		fmt.Fprintf(&b, "\n%s\n", d.Message)
	}
	return b.String()
}
