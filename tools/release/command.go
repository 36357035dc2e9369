package release

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
	"github.com/spf13/cobra"
)

// Deps are what the commands take from outside.
type Deps struct {
	Getenv    func(string) string // required
	Stdout    io.Writer           // required
	Now       func() time.Time    // required
	Transport http.RoundTripper   // of all requests; nil: real ones
	Temp      string              // directory for files on their way; "" is the system's
	Progress  func(what string, done, total int64)
	Log

	Facts    Facts                    // for tickets; may be nil
	Released func(name string) string // for tickets; may be nil

	Sleep func(ctx context.Context, d time.Duration) error // nil waits for real
}

// Updates opens the updates server as the environment says: UPDATES_IMGADM_URL,
// _USER, _IDENTITY, _CHANNEL, _INSECURE. user and identity are the defaults of
// the two.
func (d Deps) Updates(user, identity, channel string) (*imgapi.Client, error) {
	get := func(name, otherwise string) string {
		if v := d.Getenv("UPDATES_IMGADM_" + name); v != "" {
			return v
		}
		return otherwise
	}
	insecure := get("INSECURE", "") != ""
	if insecure {
		d.warnf("UPDATES_IMGADM_INSECURE is set: the image server's certificate is not verified")
	}
	places := sshsign.Places{Home: d.Getenv("HOME"), Agent: d.Getenv("SSH_AUTH_SOCK")}
	sign, err := imgapi.SignAs(get("USER", user), get("IDENTITY", identity), places, d.Now)
	if err != nil {
		return nil, fmt.Errorf("image server: UPDATES_IMGADM_IDENTITY: %w", err)
	}
	return imgapi.New(imgapi.Options{
		URL: get("URL", imgapi.DefaultURL), Channel: channel, Transport: d.Transport, Insecure: insecure, Sign: sign, Sleep: d.Sleep,
		Waiting: d.waiting,
	})
}

// automation are the user and key that bits-upload publishes with (spec
// engbld-interface.md section 4.1).
const (
	automationUser = "mg"
	automationKey  = "~/.ssh/automation.id_rsa"
)

// Ready finds out, before an upload, whether its images could be published:
// the server answers and knows us, has the channel, and the images' origins.
// A server that asks for no signatures says nothing of us, which is fine.
func (d Deps) Ready(ctx context.Context, req bits.Request) error {
	channel := d.uploadChannel(req)
	c, err := d.Updates(automationUser, automationKey, channel)
	if err != nil {
		return err
	}
	if _, err := c.Ping(ctx); err != nil {
		return err
	}
	if err := known(ctx, c, []string{channel}); err != nil {
		return err
	}
	return d.originsReady(ctx, c, req)
}

// originsReady looks at each manifest, and for the origins that are not uploaded
// with it.
func (d Deps) originsReady(ctx context.Context, c *imgapi.Client, req bits.Request) error {
	ours := make(map[string]bool)
	var origins []string
	err := manifests(req, func(name string) error {
		m, _, err := readManifest(name)
		if err != nil || m.UUID() == "" {
			return err
		}
		if err := m.Validate(); err != nil {
			return fault.Usage.Errorf("%s: %w", name, err)
		}
		ours[m.UUID()] = true
		if o := m.Origin(); o != "" && !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, o := range origins {
		if ours[o] {
			continue
		}
		if _, err := Chain(ctx, c, o); err != nil {
			return originMissing(err, o)
		}
	}
	return nil
}

func (d Deps) uploadChannel(req bits.Request) string {
	if channel := d.Getenv("UPDATES_IMGADM_CHANNEL"); channel != "" {
		return channel
	}
	return BranchChannel(req.Branch, req.TryBranch)
}

// PublishUpload is what bits.Deps.Publish wants: it publishes the images of an
// upload in the channel of its branch, or UPDATES_IMGADM_CHANNEL, as user mg
// with the automation's key unless the environment says otherwise (spec
// engbld-interface.md section 4.1).
func (d Deps) PublishUpload(ctx context.Context, store bits.Store, req bits.Request, res *bits.Result) error {
	images, err := FromUpload(store, res, d.Log)
	if err != nil || len(images) == 0 {
		return err
	}
	c, err := d.Updates(automationUser, automationKey, d.uploadChannel(req))
	if err != nil {
		return err
	}
	for i, img := range images {
		if d.Progress != nil {
			images[i].File.Progress = func(done, total int64) { d.Progress("sending "+img.Manifest.NameVersion(), done, total) }
		}
	}
	return Publish(ctx, c, images, d.Log)
}

// originPrefix begins the names of origin images, whose released uuids are kept
// in flavor files.
const originPrefix = "triton-origin-"

const (
	defaultFrom = "dev"
	defaultTo   = "staging,release,experimental,support"
)

// Command is "engbld release".
func Command(d Deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Take images from channel to channel, with their origins",
		Long: `A released image is in the channels dev, staging, release, experimental and
support, and in each of them so is its origin, the origin's origin and so on.
The server is the one of updates-imgadm, with the same environment:
UPDATES_IMGADM_URL, _USER, _IDENTITY, _INSECURE.`,
	}
	cmd.AddCommand(d.planCommand(), d.promoteCommand(), d.verifyCommand(), d.ticketCommand(), d.prereqCommand())
	return cmd
}

// channels splits a list of channels and checks them.
func channels(list string) ([]string, error) {
	var out []string
	for ch := range strings.SplitSeq(list, ",") {
		ch = strings.TrimSpace(ch)
		if ch == "" || ch == imgapi.AllChannels {
			return nil, fault.Usage.Errorf("release: %q is no list of channels", list)
		}
		if !slices.Contains(out, ch) {
			out = append(out, ch)
		}
	}
	return out, nil
}

func checkUUIDs(uuids []string) error {
	for _, u := range uuids {
		if !imgmanifest.ValidUUID(u) {
			return fault.Usage.Errorf("release: %q is not an image uuid (lower-case hex, 8-4-4-4-12)", u)
		}
	}
	return nil
}

// known checks that the server has the channels, before anything is done.
func known(ctx context.Context, c *imgapi.Client, want []string) error {
	list, err := c.Channels(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, ch := range list {
		names = append(names, ch.Name)
	}
	for _, ch := range want {
		if !slices.Contains(names, ch) {
			return fault.WithHint(fault.Usage.Errorf("image server %s has no channel %q", c.Server(), ch), "one of %s", strings.Join(names, ", "))
		}
	}
	return nil
}

// open checks what a verb was given and opens the server: images by uuid, and the
// channels they go to.
func (d Deps) open(uuids []string, to string) (*imgapi.Client, []string, error) {
	targets, err := channels(to)
	if err != nil {
		return nil, nil, err
	}
	if err := checkUUIDs(uuids); err != nil {
		return nil, nil, err
	}
	c, err := d.Updates("", "", "")
	return c, targets, err
}

// plan opens the server and plans the promotion of the images.
func (d Deps) plan(ctx context.Context, uuids []string, from, to string) (*imgapi.Client, []Step, error) {
	c, targets, err := d.open(uuids, to)
	if err != nil {
		return nil, nil, err
	}
	if err := known(ctx, c, append([]string{from}, targets...)); err != nil {
		return nil, nil, err
	}
	for _, uuid := range uuids {
		if _, err := c.In(from).Get(ctx, uuid); err != nil {
			return nil, nil, fault.WithHint(err, "images are promoted from channel %s; another is named with --from", from)
		}
	}
	steps, err := PlanAdd(ctx, c, uuids, from, targets)
	return c, steps, err
}

func (d Deps) printPlan(steps []Step) error {
	for _, s := range steps {
		what := "add   "
		if s.Done {
			what = "there "
		}
		if _, err := fmt.Fprintln(d.Stdout, what+s.String()); err != nil {
			return err
		}
	}
	return nil
}

func (d Deps) planCommand() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use: "plan UUID...", Short: "Say what promote would do", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, steps, err := d.plan(cmd.Context(), args, from, to)
			if err != nil {
				return err
			}
			return d.printPlan(steps)
		},
	}
	fromTo(cmd, &from, &to)
	return cmd
}

func fromTo(cmd *cobra.Command, from, to *string) {
	if from != nil {
		cmd.Flags().StringVar(from, "from", defaultFrom, "channel the images are in")
	}
	cmd.Flags().StringVar(to, "to", defaultTo, "channels, with commas")
}

func (d Deps) promoteCommand() *cobra.Command {
	var from, to string
	var dry bool
	cmd := &cobra.Command{
		Use: "promote UUID...", Short: "Add images and their origins to the channels of a release", Args: cobra.MinimumNArgs(1),
		Long: `Adds each image to each channel, one at a time, its origins before it, and
looks at it there afterwards. What is there already is left alone, so the same
command finishes what was interrupted.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, steps, err := d.plan(cmd.Context(), args, from, to)
			if err != nil {
				return err
			}
			if dry {
				return d.printPlan(steps)
			}
			err = Add(cmd.Context(), c, steps, func(s Step) {
				if s.Done {
					d.infof("%s already", s)
				} else {
					fmt.Fprintf(d.Stdout, "added %s\n", s)
				}
			})
			if err != nil {
				return fault.WithHint(err, "the same command goes on where this one stopped")
			}
			targets, err := channels(to)
			if err != nil {
				return err
			}
			if err := d.verify(cmd.Context(), c, args, targets); err != nil {
				return err
			}
			for _, s := range steps {
				if slices.Contains(args, s.Image.UUID()) && s.Channel == targets[0] && strings.HasPrefix(s.Image.Name(), originPrefix) {
					d.infof("next: engbld flavor released %s %s", s.Image.Name(), s.Image.UUID())
				}
			}
			return nil
		},
	}
	fromTo(cmd, &from, &to)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, as plan does")
	return cmd
}

func (d Deps) verify(ctx context.Context, c *imgapi.Client, uuids, targets []string) error {
	problems, err := Verify(ctx, c, uuids, targets)
	if err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Fprintln(d.Stdout, p)
	}
	if len(problems) > 0 {
		return fault.WithHint(fault.Drift.Errorf("image server %s: %d problems in %s", c.Server(), len(problems), strings.Join(targets, ", ")),
			"engbld release promote --to %s %s", strings.Join(targets, ","), strings.Join(uuids, " "))
	}
	what := "the image and its origins are"
	if len(uuids) > 1 {
		what = fmt.Sprintf("%d images and their origins are", len(uuids))
	}
	d.infof("%s in %s", what, strings.Join(targets, ", "))
	return nil
}

func (d Deps) verifyCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "verify UUID...", Short: "Check that images and all their origins are active in each channel; exit code 3 if not", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, targets, err := d.open(args, to)
			if err != nil {
				return err
			}
			return d.verify(cmd.Context(), c, args, targets)
		},
	}
	fromTo(cmd, nil, &to)
	return cmd
}

func (d Deps) ticketCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "ticket UUID...", Short: "Write the text of a release's ticket", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, targets, err := d.open(args, to)
			if err != nil {
				return err
			}
			return Ticket(cmd.Context(), d.Stdout, c, args, TicketOptions{Facts: d.Facts, Released: d.Released, Channels: targets})
		},
	}
	fromTo(cmd, nil, &to)
	return cmd
}

// DefaultSource is the public image server.
const DefaultSource = "https://images.smartos.org"

// source is the public image server that the environment names, as
// images-imgadm has it.
func (d Deps) source() string {
	for _, name := range []string{"IMAGES_IMGADM_URL", "JOYENT_IMGADM_URL"} {
		if v := d.Getenv(name); v != "" {
			return v
		}
	}
	return DefaultSource
}

func (d Deps) prereqCommand() *cobra.Command {
	var source, to string
	cmd := &cobra.Command{
		Use: "prereq UUID...", Short: "Bring base images from the public image server to the updates server", Args: cobra.MinimumNArgs(1),
		Long: `Fetches each image and its origins from the public server, verifies the files,
imports them as private images, and adds them to the channels. What is there
already is left alone.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			targets, err := channels(to)
			if err != nil {
				return err
			}
			if err := checkUUIDs(args); err != nil {
				return err
			}
			if source == "" {
				source = d.source()
			}
			from, err := imgapi.New(imgapi.Options{URL: source, Transport: d.Transport, Sleep: d.Sleep, Waiting: d.waiting})
			if err != nil {
				return err
			}
			c, err := d.Updates("", "", targets[0])
			if err != nil {
				return err
			}
			return d.prereq(cmd.Context(), from, c, args, targets)
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "the image server to take them from (default $IMAGES_IMGADM_URL, else "+DefaultSource+")")
	cmd.Flags().StringVar(&to, "to", defaultFrom+","+defaultTo, "channels, with commas")
	return cmd
}

func (d Deps) prereq(ctx context.Context, from, c *imgapi.Client, uuids, targets []string) error {
	if err := known(ctx, c, targets); err != nil {
		return err
	}
	for _, uuid := range uuids {
		m, err := Copy(ctx, from, c, uuid, CopyOptions{Temp: d.Temp, Progress: d.Progress, Log: d.Log})
		if err != nil {
			return err
		}
		fmt.Fprintf(d.Stdout, "image %s (%s) is on %s\n", uuid, m.NameVersion(), c.Server())
	}
	steps, err := PlanAdd(ctx, c, uuids, targets[0], targets)
	if err != nil {
		return err
	}
	if err := Add(ctx, c, steps, func(s Step) {
		if !s.Done {
			fmt.Fprintf(d.Stdout, "added %s\n", s)
		}
	}); err != nil {
		return err
	}
	return d.verify(ctx, c, uuids, targets)
}
