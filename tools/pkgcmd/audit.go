package pkgcmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/audit"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/install"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"github.com/spf13/cobra"
)

// maxVulnerabilities bounds a list, in bytes; the published one has 2 MiB.
const maxVulnerabilities = 64 << 20

// auditOptions are the flags of audit.
type auditOptions struct {
	list   string // file or address
	fetch  bool
	signed bool
	class  string
	ignore []string
}

func (c *commands) auditCommand() *cobra.Command {
	var o auditOptions
	cmd := c.targetFlags(&cobra.Command{
		Use:   "audit TARGET [PATTERN...]",
		Short: "Tell which installed packages are known to be vulnerable; any is exit code 7",
		Long: `Compare the installed packages, or those that PATTERNs name, with a list of known
vulnerabilities: the one that lies in the system, or another one (--list,
--fetch). Prints the lines of pkg_admin audit. IGNORE_URL and CHECK_END_OF_LIFE
in the system's pkg_install.conf are heeded. A finding is exit code 7.`,
		Example: `  engbld pkg audit UUID
  engbld pkg audit --fetch --json /zones/root openssl`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.fetch && o.list != "" {
				return fault.Usage.Errorf("--fetch and --list exclude each other")
			}
			t, err := c.look(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer t.close()
			return c.audit(cmd.Context(), t, o, args[1:])
		},
	})
	f := cmd.Flags()
	f.StringVar(&o.list, "list", "", "file or address of the list to use")
	f.BoolVar(&o.fetch, "fetch", false, "use the list that the system's PKGVULNURL names, or the usual one")
	f.BoolVar(&o.signed, "signed", false, "want the list's signature to be good by the system's keyring (exit code 7 where it is not)")
	f.StringVar(&o.class, "class", "", "only findings of this class")
	f.StringArrayVar(&o.ignore, "ignore", nil, "address of an entry to leave out (repeat for several)")
	return cmd
}

// finding is one in the JSON of audit.
type finding struct {
	Package string `json:"package"`
	Class   string `json:"class"`
	Pattern string `json:"pattern"`
	URL     string `json:"url"`
}

func (c *commands) audit(ctx context.Context, t *target, o auditOptions, patterns []string) error {
	page, err := c.EOLPage()
	if err != nil {
		return err
	}
	raw, from, err := c.vulnerabilities(ctx, t, o)
	if err != nil {
		return err
	}
	opts, err := t.signature(o.signed)
	if err != nil {
		return err
	}
	list, err := audit.Parse(ctx, raw, opts)
	if err != nil {
		return fmt.Errorf("vulnerability list %s: %w", from, err)
	}
	for _, s := range list.Warnings {
		c.Warnf("vulnerability list %s: %s", from, s)
	}
	installed := t.installed()
	for _, p := range patterns {
		if _, ok, err := version.Best(p, installed); err != nil {
			return fault.Usage.Wrap(err)
		} else if !ok {
			c.Warnf("no package %q is installed in %s", p, t.name)
		}
	}
	found, err := list.Audit(ctx, installed, audit.Options{
		IgnoreURLs: append(o.ignore, t.conf.IgnoreURLs...), SkipEOL: !t.conf.CheckEndOfLife && o.class != "eol",
		Class: o.class, EOLPage: page, Patterns: patterns,
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("vulnerability list %s: %w", from, err)
	}
	all := []finding{}
	packages := map[string]bool{}
	for _, f := range found {
		packages[f.Package] = true
		all = append(all, finding{f.Package, f.Class, f.Pattern, f.Page})
		if !c.asJSON {
			if err := c.print(fmt.Sprintln(f)); err != nil {
				return err
			}
		}
	}
	if c.asJSON {
		if err := c.printJSON(all); err != nil {
			return err
		}
	}
	if len(all) > 0 {
		return fault.Policy.Errorf("%s: %s in %s", t.name, count(len(all), "finding"), count(len(packages), "package"))
	}
	c.Infof("no vulnerabilities found (%s)", count(len(list.Entries), "entry"))
	return nil
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "y"):
		what = strings.TrimSuffix(what, "y") + "ie"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// signature says what a list has to prove.
func (t *target) signature(wanted bool) (o audit.ParseOptions, err error) {
	o.CheckSignature = wanted
	if !wanted {
		return o, nil
	}
	if t.conf.KeyringVuln == "" {
		o.KeyringErr = errors.New("pkg_install.conf names no keyring (GPG_KEYRING_PKGVULN)")
		return o, nil
	}
	o.Keyring, o.KeyringErr, err = install.Keyring(t.tree, t.conf.KeyringVuln)
	return o, err
}

// vulnerabilities is the list to use, and where it is from.
func (c *commands) vulnerabilities(ctx context.Context, t *target, o auditOptions) (raw []byte, from string, err error) {
	switch {
	case o.fetch:
		return c.fetchList(ctx, t.conf.VulnURL)
	case strings.Contains(o.list, "://"):
		return c.fetchList(ctx, o.list)
	case o.list != "":
		if raw, err = bounded.ReadFile(c.abs(o.list), maxVulnerabilities); err != nil {
			return nil, "", fault.Step.Errorf("vulnerability list: %w", err)
		}
		return raw, o.list, nil
	}
	from = path.Join(t.conf.VulnDir, "pkg-vulnerabilities")
	raw, err = t.tree.ReadFile(from, maxVulnerabilities)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fault.WithHint(fault.Step.Errorf("%s has no list of vulnerabilities: %w", t.name, err),
			"--fetch gets one, --list names one")
	}
	return raw, from, fault.Step.Wrap(err)
}

// fetchList gets a list from a server; "" is the usual one.
func (c *commands) fetchList(ctx context.Context, address string) (raw []byte, from string, err error) {
	w, err := c.World(ctx)
	if err != nil {
		return nil, "", err
	}
	defer w.Close()
	if address == "" {
		address = w.VulnURL
	}
	name, local := strings.CutPrefix(address, "file://")
	if !local {
		cache := fetch.Cache{Client: w.Client, Dir: w.Cache, Offline: w.Offline}
		if name, _, err = cache.Get(ctx, address, fetch.Expect{MaxSize: maxVulnerabilities}); err != nil {
			return nil, "", fmt.Errorf("vulnerability list: %w", err)
		}
	}
	if raw, err = bounded.ReadFile(name, maxVulnerabilities); err != nil {
		return nil, "", fault.Step.Errorf("vulnerability list: %w", err)
	}
	return raw, redact.Address(address), nil
}
