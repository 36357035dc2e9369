package imgadm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
	"github.com/spf13/cobra"
)

// Version is what --version says: that of the genuine tool whose command line
// this is.
const Version = "2.7.0"

// Deps are what the commands take from outside. The functions and writers are
// required.
type Deps struct {
	Getenv         func(string) string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Now            func() time.Time
	Path           func(string) string // makes a file's name absolute; nil leaves it
	Temp           string              // directory for files on their way; "" is the system's

	Transport http.RoundTripper                                // of all requests; nil: real ones
	Sleep     func(ctx context.Context, d time.Duration) error // nil waits for real
}

// ErrFailed says that a command has failed and has said so on stderr; the exit
// code is 1.
var ErrFailed = errors.New("failed")

// Command is "engbld imgadm [--as updates|images] ARGUMENTS". Its errors are
// printed here, in the genuine tools' form; it returns ErrFailed then.
func Command(d Deps) *cobra.Command {
	return &cobra.Command{
		Use:                "imgadm [--as updates|images] ...",
		Short:              "Work with an image server, as updates-imgadm or images-imgadm",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			as := "updates"
			if len(args) > 0 {
				if v, ok := strings.CutPrefix(args[0], "--as="); ok {
					as, args = v, args[1:]
				} else if args[0] == "--as" && len(args) > 1 {
					as, args = args[1], args[2:]
				}
			}
			if Run(cmd.Context(), d, as, args) != 0 {
				return ErrFailed
			}
			return nil
		},
	}
}

// tool is what tells the two tools apart.
type tool struct {
	name     string
	env      []string // prefixes of variables, the first one that is set counts
	url      string
	channels bool
	public   bool // the server takes public images only, else private ones only
}

func tools() map[string]tool {
	return map[string]tool{
		"updates": {"updates-imgadm", []string{"UPDATES_IMGADM_"}, imgapi.DefaultURL, true, false},
		"images":  {"images-imgadm", []string{"IMAGES_IMGADM_", "JOYENT_IMGADM_"}, "https://images.smartos.org", false, true},
	}
}

// Run runs one command line as the tool "updates" or "images" and returns the
// exit code, 0 or 1.
func Run(ctx context.Context, d Deps, as string, args []string) int {
	t, ok := tools()[as]
	if !ok {
		fmt.Fprintf(d.Stderr, "imgadm: error (Usage): there is no tool %q, only updates and images\n", as)
		return 1
	}
	a := &app{Deps: d, tool: t}
	if err := a.run(ctx, args); err != nil {
		a.printError(err)
		return 1
	}
	return 0
}

type app struct {
	Deps
	tool  tool
	flags flags
	args  []string
}

// command is one subcommand.
type command struct {
	names   []string // the first is the real one
	args    string   // for help
	help    string
	options []option
	run     func(a *app, ctx context.Context) error
	only    bool // of tools with channels
}

func (a *app) commands() []command {
	all := []command{
		{[]string{"list"}, "[FIELD=VALUE...]", "list images", listOptions(), (*app).list, false},
		{[]string{"get", "show", "info"}, "UUID", "show an image's manifest", []option{{"admin", "A", false, "with fields for administrators"}}, (*app).get, false},
		{[]string{"get-file"}, "UUID", "fetch an image's file", getFileOptions(), (*app).getFile, false},
		{[]string{"import"}, "[-m MANIFEST] [-f FILE-OR-URL] | UUID -S URL", "import an image, add its file, activate it", importOptions(), (*app).importImage, false},
		{[]string{"add-file"}, "UUID -f FILE-OR-URL", "add an image's file", importOptions()[1:], (*app).addFile, false},
		{[]string{"activate"}, "UUID", "activate an image that has its file", nil, (*app).activate, false},
		{[]string{"enable"}, "UUID", "enable a disabled image", nil, (*app).enable, false},
		{[]string{"disable"}, "UUID", "disable an image", nil, (*app).disable, false},
		{[]string{"update"}, "UUID KEY=VALUE... | UUID -f FILE", "change fields of a manifest", []option{{"file", "f", true, "a JSON object of fields, - for stdin"}}, (*app).update, false},
		{[]string{"channels"}, "", "list the server's channels", tableOptions(), (*app).channels, true},
		{[]string{"channel-add"}, "CHANNEL [UUID...]", "add images to a channel", nil, (*app).channelAdd, true},
		{[]string{"delete"}, "UUID", "delete an image", nil, (*app).delete, false},
		{[]string{"add-acl"}, "UUID ACCOUNT...", "let accounts use a private image", nil, (*app).addACL, false},
		{[]string{"remove-acl"}, "UUID ACCOUNT...", "undo add-acl", nil, (*app).removeACL, false},
		{[]string{"ping"}, "", "ask whether the server is there, and as whom it sees us", nil, (*app).ping, false},
		{[]string{"reload-auth-keys"}, "", "make the server read its users' keys again", nil, (*app).reloadAuthKeys, false},
		{[]string{"help", "?"}, "[COMMAND]", "say how to use a command", nil, (*app).help, false},
	}
	for i := range all {
		if all[i].names[0] == "delete" && a.tool.channels {
			all[i].options = []option{{"force-all-channels", "", false, "from all channels"}}
		}
	}
	return slices.DeleteFunc(all, func(c command) bool { return c.only && !a.tool.channels })
}

// globals may stand anywhere.
func (a *app) globals() []option {
	all := []option{
		{"help", "h", false, "say how to use it"},
		{"version", "", false, "print the version"},
		{"debug", "d", false, "tell of each request on stderr"},
		{"insecure", "", false, "do not verify the server's certificate"},
		{"user", "u", true, "user of the server"},
		{"identity", "i", true, "key: a fingerprint, or the file of a private key"},
	}
	if a.tool.channels {
		all = append(all, option{"channel", "C", true, "channel to work in"})
	}
	return all
}

func (a *app) run(ctx context.Context, args []string) error {
	globals := a.globals()
	before, name, rest, err := splitCommand(globals, args)
	if err != nil {
		return err
	}
	if a.flags, _, err = parse(globals, before); err != nil {
		return err
	}
	if a.flags.has("version") {
		_, err := fmt.Fprintf(a.Stdout, "%s %s\n", a.tool.name, Version)
		return err
	}
	if name == "" {
		return a.usage()
	}
	i := slices.IndexFunc(a.commands(), func(c command) bool { return slices.Contains(c.names, name) })
	if i < 0 {
		return coded("UnknownCommand", "unknown command: %q", name)
	}
	cmd := a.commands()[i]
	// The subcommand's options come first: its -c is none of the globals'.
	more, positional, err := parse(append(slices.Clone(cmd.options), globals...), rest)
	if err != nil {
		return err
	}
	for k, v := range more {
		a.flags[k] = append(a.flags[k], v...)
	}
	a.args = positional
	if a.flags.has("help") {
		return a.commandUsage(cmd)
	}
	return cmd.run(a, ctx)
}

// setting is a flag, else the tool's variable.
func (a *app) setting(name string) string {
	if v, ok := a.flags.get(name); ok {
		return v
	}
	return a.variable(strings.ToUpper(name))
}

func (a *app) variable(name string) string {
	for _, prefix := range a.tool.env {
		if v := a.Getenv(prefix + name); v != "" {
			return v
		}
	}
	return ""
}

// client opens the server.
func (a *app) client() (*imgapi.Client, error) {
	address := a.variable("URL")
	if address == "" {
		address = a.tool.url
	}
	insecure := a.flags.has("insecure") || a.variable("INSECURE") != ""
	if insecure {
		a.warn("the server's certificate is not verified")
	}
	user := a.setting("user")
	if ids := a.flags["identity"]; len(ids) > 1 {
		return nil, usagef("one identity can be given, not %d", len(ids))
	}
	sign, err := imgapi.SignAs(user, a.setting("identity"), sshsign.Places{Home: a.Getenv("HOME"), Agent: a.Getenv("SSH_AUTH_SOCK")}, a.Now)
	if err != nil {
		return nil, err
	}
	o := imgapi.Options{URL: address, Transport: a.Transport, Insecure: insecure, Sign: sign, Sleep: a.Sleep, UserAgent: a.tool.name + "/" + Version + " (engbld)"}
	if a.tool.channels {
		o.Channel = a.setting("channel")
	}
	if a.flags.has("debug") {
		o.Transport = &debugTransport{base: o.Transport, out: a.Stderr, now: a.Now, insecure: insecure}
	}
	return imgapi.New(o)
}

func (a *app) warn(format string, args ...any) {
	fmt.Fprintf(a.Stderr, "%s: warning: %s\n", a.tool.name, plain(fmt.Sprintf(format, args...)))
}

func (a *app) print(format string, args ...any) error {
	_, err := fmt.Fprintln(a.Stdout, plain(fmt.Sprintf(format, args...)))
	return err
}

func (a *app) path(name string) string {
	if a.Path != nil {
		return a.Path(name)
	}
	return name
}

// one returns the only argument.
func (a *app) one(what string) (string, error) {
	if len(a.args) != 1 {
		return "", usagef("exactly one %s is needed, %d are given", what, len(a.args))
	}
	return a.args[0], nil
}
