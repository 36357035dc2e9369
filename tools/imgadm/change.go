package imgadm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"github.com/TritonDataCenter/engbld/tools/release"
)

func importOptions() []option {
	return []option{
		{"manifest", "m", true, "the manifest's file, else it is read from stdin"},
		{"file", "f", true, "the image's file, or an https: address of it"},
		{"compression", "c", true, "gzip, bzip2, xz or none"},
		{"sha1", "s", true, "the file's SHA-1"},
		{"storage", "", true, "local or manta, a wish"},
		{"source", "S", true, "an image server to copy the image and its origins from"},
		{"quiet", "q", false, "no progress"},
		{"skip-owner-check", "", false, "nothing: the server sets the owner"},
	}
}

func (a *app) importImage(ctx context.Context) error {
	if source, ok := a.flags.get("source"); ok {
		return a.importFrom(ctx, source)
	}
	if len(a.args) > 0 {
		return usagef("import takes no arguments without -S, but %q is given", a.args[0])
	}
	m, err := a.readManifest(a.flags.text("manifest"))
	if err != nil {
		return err
	}
	if err := checkImport(m); err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	name, ok := a.flags.get("file")
	if !ok {
		got, err := c.Import(ctx, m)
		if err != nil {
			return err
		}
		return a.printImported(got)
	}
	file, err := a.content(m, name)
	if err != nil {
		return err
	}
	var perr error
	did := false
	say := func(f func(*imgmanifest.Manifest) error) func(*imgmanifest.Manifest) {
		return func(m *imgmanifest.Manifest) {
			did = true
			perr = errors.Join(perr, f(m))
		}
	}
	got, err := c.Publish(ctx, imgapi.Publication{
		Manifest: m, File: file, Warnf: a.warn,
		Imported:  say(a.printImported),
		FileAdded: say(func(m *imgmanifest.Manifest) error { return a.printAdded(m, name) }),
		Activated: say(func(m *imgmanifest.Manifest) error { return a.print("Activated image %s", m.UUID()) }),
	})
	if err != nil {
		return uploadError(err)
	}
	if !did {
		perr = a.print("Image %s (%s, %s, state=%s) is there already", got.UUID(), got.Name(), got.Version(), got.State())
	}
	a.checkOrigin(ctx, c, got)
	return perr
}

// checkImport checks a manifest as the server does on import: it ignores what
// is said of files (spec imgapi.md section 10), and an icon is dropped, so that a
// manifest got from a server can be used.
func checkImport(m *imgmanifest.Manifest) error {
	m = m.Clone()
	m.Delete("icon", "files")
	return m.Validate()
}

func (a *app) printImported(m *imgmanifest.Manifest) error {
	return a.print("Imported image %s (%s, %s, state=%s)", m.UUID(), m.Name(), m.Version(), m.State())
}

func (a *app) printAdded(m *imgmanifest.Manifest, name string) error {
	compression := ""
	if files := m.Files(); len(files) == 1 {
		compression = files[0].Compression
	}
	if isURL(name) {
		return a.print("Added file from url \"%s\" (compression \"%s\") to image %s", redact.Address(name), compression, m.UUID())
	}
	return a.print("Added file \"%s\" (compression \"%s\") to image %s", name, compression, m.UUID())
}

// checkOrigin warns where imgadm could not install an image.
func (a *app) checkOrigin(ctx context.Context, c *imgapi.Client, m *imgmanifest.Manifest) {
	if m.Origin() == "" || !a.tool.channels {
		return
	}
	if o, err := c.Get(ctx, m.Origin()); err != nil || o.State() != "active" {
		where := c.Channel()
		if where == "" {
			where = "the default channel"
		}
		a.warn("its origin %s is not active in %s, so the image cannot be installed from there", m.Origin(), where)
	}
}

// uploadError is the genuine tools' code for a file that did not arrive as it
// was; an answer of the server keeps its own.
func uploadError(err error) error {
	var e *imgapi.Error
	if errors.As(err, &e) || errors.Is(err, imgapi.ErrUnknown) || !strings.Contains(err.Error(), "stored another file") {
		return err
	}
	return &codedError{"UploadError", err}
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// content describes the file of -f. The compression is that of -c, of the
// manifest, or of the name's end; of an address without its query.
func (a *app) content(m *imgmanifest.Manifest, name string) (imgapi.Content, error) {
	compression := a.flags.text("compression")
	if files := m.Files(); compression == "" && len(files) == 1 {
		compression = files[0].Compression
	}
	base := name
	if isURL(name) {
		u, err := url.Parse(name)
		if err != nil {
			return imgapi.Content{}, usagef("the address of the file is no URL")
		}
		base = u.Path
	}
	if compression == "" {
		compression = map[string]string{".gz": "gzip", ".tgz": "gzip", ".bz2": "bzip2", ".xz": "xz"}[path.Ext(base)]
	}
	if compression == "" {
		return imgapi.Content{}, usagef("could not determine file compression of \"%s\": use -c", redact.Address(name))
	}
	sha1 := strings.ToLower(a.flags.text("sha1"))
	c := imgapi.Content{}
	if isURL(name) {
		c.URL = name
		if files := m.Files(); len(files) == 1 {
			c.File = files[0]
		}
		if sha1 != "" {
			c.SHA1 = sha1
		}
	} else {
		var err error
		if c, err = release.LocalContent(m, a.path(name), compression); err != nil {
			return c, err
		}
		if sha1 != "" && sha1 != c.SHA1 {
			return c, coded("UploadError", "the sha1 of \"%s\" is %s, not %s", name, c.SHA1, sha1)
		}
	}
	c.Compression, c.Storage = compression, a.flags.text("storage")
	return c, nil
}

// importFrom copies an image and its origins from another server.
func (a *app) importFrom(ctx context.Context, source string) error {
	uuid, err := a.one("image uuid")
	if err != nil {
		return err
	}
	for _, name := range []string{"manifest", "file", "compression", "sha1"} {
		if a.flags.has(name) {
			return usagef("--%s and --source exclude each other", name)
		}
	}
	u, err := url.Parse(source)
	if err != nil {
		return usagef("the source is no URL")
	}
	if u.Query().Get("channel") == "" {
		q := u.Query()
		q.Set("channel", imgapi.AllChannels)
		u.RawQuery = q.Encode()
	}
	from, err := imgapi.New(imgapi.Options{URL: u.String(), Transport: a.Transport, Sleep: a.Sleep})
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	m, err := release.Copy(ctx, from, c, uuid, release.CopyOptions{Public: a.tool.public, Temp: a.Temp, Log: release.Log{
		Warnf: a.warn,
		Infof: func(format string, args ...any) { fmt.Fprintln(a.Stderr, plain(fmt.Sprintf(format, args...))) },
	}})
	if err != nil {
		return err
	}
	return a.printImported(m)
}

func (a *app) addFile(ctx context.Context) error {
	uuid, err := a.one("image uuid")
	if err != nil {
		return err
	}
	name, ok := a.flags.get("file")
	if !ok {
		return usagef("-f FILE-OR-URL is needed")
	}
	if a.flags.has("source") {
		return usagef("add-file has no --source")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	file, err := a.content(new(imgmanifest.Manifest), name)
	if err != nil {
		return err
	}
	m, err := c.AddFile(ctx, uuid, file)
	if err != nil {
		return uploadError(err)
	}
	return a.printAdded(m, name)
}

// change makes a change of one image and prints what was done.
func (a *app) change(do func(c *imgapi.Client, uuid string) (*imgmanifest.Manifest, error), say func(m *imgmanifest.Manifest) string) error {
	uuid, err := a.one("image uuid")
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	m, err := do(c, uuid)
	if err != nil {
		return err
	}
	return a.print("%s", say(m))
}

func (a *app) activate(ctx context.Context) error {
	return a.change(func(c *imgapi.Client, uuid string) (*imgmanifest.Manifest, error) { return c.Activate(ctx, uuid) },
		func(m *imgmanifest.Manifest) string { return "Activated image " + m.UUID() })
}

func (a *app) enable(ctx context.Context) error {
	return a.change(func(c *imgapi.Client, uuid string) (*imgmanifest.Manifest, error) { return c.Enable(ctx, uuid) },
		func(m *imgmanifest.Manifest) string {
			return fmt.Sprintf("Enabled image %s (state is now \"%s\")", m.UUID(), m.State())
		})
}

func (a *app) disable(ctx context.Context) error {
	return a.change(func(c *imgapi.Client, uuid string) (*imgmanifest.Manifest, error) { return c.Disable(ctx, uuid) },
		func(m *imgmanifest.Manifest) string { return "Disabled image " + m.UUID() })
}

func (a *app) addACL(ctx context.Context) error    { return a.acl(ctx, true) }
func (a *app) removeACL(ctx context.Context) error { return a.acl(ctx, false) }

func (a *app) acl(ctx context.Context, add bool) error {
	if len(a.args) < 2 {
		return usagef("an image uuid and accounts are needed")
	}
	accounts := a.args[1:]
	a.args = a.args[:1]
	return a.change(func(c *imgapi.Client, uuid string) (*imgmanifest.Manifest, error) {
		return c.ACL(ctx, uuid, add, accounts)
	},
		func(m *imgmanifest.Manifest) string {
			return fmt.Sprintf("Updated ACL of image %s (%s, %s)", m.UUID(), m.Name(), m.Version())
		})
}

func (a *app) channelAdd(ctx context.Context) error {
	if len(a.args) == 0 {
		return usagef("a channel is needed")
	}
	channel, uuids := a.args[0], a.args[1:]
	if len(uuids) == 0 {
		return nil
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	var failed []error
	for _, uuid := range uuids {
		m, err := c.ChannelAdd(ctx, uuid, channel)
		if err == nil {
			_, err = c.In(channel).Get(ctx, uuid)
		}
		if err != nil {
			fmt.Fprintf(a.Stderr, "Error adding image %s to \"%s\" channel\n", uuid, channel)
			failed = append(failed, err)
			continue
		}
		if err := a.print("Added image %s (%s) to \"%s\" channel", uuid, m.NameVersion(), channel); err != nil {
			return err
		}
	}
	return joined(failed)
}

// joined is one error as it is, or several as a MultiError.
func joined(failed []error) error {
	switch len(failed) {
	case 0:
		return nil
	case 1:
		return failed[0]
	}
	var lines []string
	for _, err := range failed {
		code, message, _, _ := describe(err)
		lines = append(lines, fmt.Sprintf("    error (%s): %s", code, message))
	}
	return coded("MultiError", "multiple (%d) errors\n%s", len(failed), strings.Join(lines, "\n"))
}

func (a *app) delete(ctx context.Context) error {
	uuid, err := a.one("image uuid")
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	all := a.flags.has("force-all-channels")
	if _, err := c.Delete(ctx, uuid, all); err != nil {
		return err
	}
	switch {
	case all || !a.tool.channels:
		return a.print("Deleted image %s", uuid)
	case c.Channel() != "":
		return a.print("Deleted image %s from \"%s\" channel", uuid, c.Channel())
	}
	return a.print("Deleted image %s from default channel", uuid)
}

func (a *app) reloadAuthKeys(ctx context.Context) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	if err := c.ReloadAuthKeys(ctx); err != nil {
		return err
	}
	return a.print("Reloaded auth keys")
}

func (a *app) update(ctx context.Context) error {
	if len(a.args) == 0 {
		return usagef("an image uuid is needed")
	}
	uuid, settings := a.args[0], a.args[1:]
	file, fromFile := a.flags.get("file")
	if fromFile == (len(settings) > 0) {
		return usagef("either KEY=VALUE or -f FILE is needed")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	var fields *imgmanifest.Manifest
	if fromFile {
		if fields, err = a.readManifest(file); err != nil {
			return err
		}
	} else if fields, err = a.assign(ctx, c, uuid, settings); err != nil {
		return err
	}
	m, err := c.Update(ctx, uuid, fields)
	if err != nil {
		return err
	}
	return a.print("Update image %s (%s, %s, state=%s)", m.UUID(), m.Name(), m.Version(), m.State())
}

// assign makes the fields of KEY=VALUE: a value is JSON if it can be, else
// text; an empty one removes the key; a.b=c sets one in an object, whose other
// keys stay.
func (a *app) assign(ctx context.Context, c *imgapi.Client, uuid string, settings []string) (*imgmanifest.Manifest, error) {
	current, err := c.Get(ctx, uuid)
	if err != nil {
		return nil, err
	}
	fields := new(imgmanifest.Manifest)
	for _, s := range settings {
		key, text, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, usagef("%q is not of the form KEY=VALUE", s)
		}
		value := json.RawMessage("null")
		switch {
		case text == "":
		case json.Valid([]byte(text)):
			value = json.RawMessage(text)
		default:
			if value, err = marshal(text); err != nil {
				return nil, err
			}
		}
		key, sub, nested := strings.Cut(key, ".")
		if nested || isObject(value) {
			if value, err = merged(current, fields, key, sub, value, nested); err != nil {
				return nil, usagef("%q: %v", s, err)
			}
		}
		if err := fields.Set(key, value); err != nil {
			return nil, usagef("%q: %v", s, err)
		}
	}
	return fields, nil
}

func isObject(v json.RawMessage) bool { return strings.HasPrefix(strings.TrimSpace(string(v)), "{") }

// merged puts sub=value, or all of an object, into the object that key is.
func merged(current, fields *imgmanifest.Manifest, key, sub string, value json.RawMessage, nested bool) (json.RawMessage, error) {
	raw, ok := fields.Get(key)
	if !ok {
		if raw, ok = current.Get(key); !ok || string(raw) == "null" {
			raw = json.RawMessage("{}")
		}
	}
	object, err := imgmanifest.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s is no object", key)
	}
	changes := new(imgmanifest.Manifest)
	if nested {
		err = changes.Set(sub, value)
	} else {
		changes, err = imgmanifest.Parse(value)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range changes.Keys() {
		v, _ := changes.Get(name)
		if string(v) == "null" {
			object.Delete(name)
		} else if err := object.Set(name, v); err != nil {
			return nil, err
		}
	}
	return object.MarshalJSON()
}

func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return raw, err
}
