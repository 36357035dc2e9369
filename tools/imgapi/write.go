package imgapi

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/rest"
)

// ErrUnknown is a change of which it is not known whether it has happened: the
// connection broke, or a proxy answered, and asking did not help. Running the
// same command again is safe.
var ErrUnknown = errors.New("whether it has happened is not known")

// ErrNeeded is the origin of an image that would be left without it.
var ErrNeeded = errors.New("it is the origin of another image")

// GetAdmin is Get with the fields for administrators, which needs a signature.
func (c *Client) GetAdmin(ctx context.Context, uuid string) (*imgmanifest.Manifest, error) {
	if err := checkUUID(uuid); err != nil {
		return nil, err
	}
	q := c.channelQuery()
	q.Set("inclAdminFields", "true")
	r := request{method: http.MethodGet, path: "/images/" + uuid, query: q, what: "get image " + uuid}
	body, err := c.getJSON(ctx, r, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := imgmanifest.Parse(body)
	if err != nil {
		return nil, c.wrap(r, err)
	}
	return m, nil
}

// In returns the same client for another channel, "" for the server's default
// one.
func (c *Client) In(channel string) *Client {
	d := *c
	d.channel = channel
	return &d
}

// change is a request that changes something.
type change struct {
	request
	kind string                        // Content-Type
	md5  string                        // Content-MD5, "" is none
	body func() (io.ReadCloser, error) // opened for each attempt
	size int64

	secret string // an address whose query must be in no message
}

func jsonChange(r request, v any) (change, error) {
	raw, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(v); err != nil {
			return change{}, err
		}
	}
	sum := md5.Sum(raw)
	return change{
		request: r, kind: "application/json", md5: base64.StdEncoding.EncodeToString(sum[:]), size: int64(len(raw)),
		body: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil },
	}, nil
}

// changing refuses what no changing request may ask for.
func (c *Client) changing(uuid string) error {
	if c.channel == AllChannels {
		return fault.Usage.Errorf("image server %s: a change is made in one channel, not in %s", c.Server(), AllChannels)
	}
	return checkUUID(uuid)
}

// send makes one changing request; only where no connection could be made it is
// repeated. A failure after which the change may have happened is ErrUnknown.
func (c *Client) send(ctx context.Context, ch change) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		answer, err := c.sendOnce(ctx, ch)
		if err == nil {
			return answer, nil
		}
		var op *net.OpError
		dial := errors.As(err, &op) && op.Op == "dial"
		if dial && attempt < len(c.opts.Backoff) && ctx.Err() == nil && c.pause(ctx, c.wrap(ch.request, err), c.opts.Backoff[attempt]) == nil {
			continue
		}
		if !dial && outcomeLost(err) {
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return nil, c.wrap(ch.request, err)
	}
}

// outcomeLost: the server's own refusals are final; a proxy's answer, a broken
// connection or a server error say nothing.
func outcomeLost(err error) bool {
	var local *localError
	var e *Error
	switch {
	case errors.As(err, &local):
		return false
	case errors.As(err, &e):
		return e.Status >= 500 && e.Status != http.StatusNotImplemented
	}
	return true
}

// localError is a failure of this machine: a file, a key.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

func (c *Client) sendOnce(ctx context.Context, ch change) ([]byte, error) {
	resp, err := c.exchange(ctx, ch)
	if err != nil {
		hideAddress(err, ch.secret)
		return nil, refusal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	switch {
	case err != nil:
		return nil, rest.Readable(err)
	case len(answer) > maxManifest:
		return nil, fmt.Errorf("answer of more than %d bytes", maxManifest)
	}
	return answer, nil
}

// refusal adds what can be done about it.
func refusal(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusUnauthorized {
		if strings.Contains(e.Message, "skew") {
			return fault.WithHint(err, "set this machine's clock")
		}
		return fault.WithHint(err, "the server must know the public half of an RSA key of yours: check user and identity")
	}
	return err
}

// manifest makes a changing request that answers with the image.
func (c *Client) manifest(ctx context.Context, ch change, uuid string) (*imgmanifest.Manifest, error) {
	answer, err := c.send(ctx, ch)
	if err != nil {
		return nil, err
	}
	m, err := imgmanifest.Parse(answer)
	if err == nil && m.UUID() != uuid {
		err = fmt.Errorf("answer is image %q", m.UUID())
	}
	if err != nil {
		return nil, c.wrap(ch.request, fmt.Errorf("%w: %w", ErrUnknown, err))
	}
	return m, nil
}

// settle makes a change and, where its outcome gets lost, asks for it: done
// looks at the image (nil if there is none) and says whether the change has
// happened. If not, it is made again.
func (c *Client) settle(ctx context.Context, ch change, uuid string, done func(*imgmanifest.Manifest) bool) (*imgmanifest.Manifest, error) {
	var lost error
	for attempt := 0; ; attempt++ {
		m, err := c.manifest(ctx, ch, uuid)
		if err == nil {
			return m, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		unknown := errors.Is(err, ErrUnknown)
		if !unknown && lost == nil {
			return nil, err
		}
		if unknown && attempt < len(c.opts.Backoff) {
			if c.pause(ctx, err, c.opts.Backoff[attempt]) != nil {
				return nil, err
			}
		}
		// After a lost outcome a refusal may mean that the first try had worked.
		m, askErr := c.In(AllChannels).Get(ctx, uuid)
		switch {
		case errors.Is(askErr, fs.ErrNotExist):
			m = nil
		case askErr != nil:
			return nil, err
		}
		if done(m) {
			return m, nil
		}
		if !unknown || attempt >= len(c.opts.Backoff) {
			return nil, err
		}
		lost = err
	}
}

func (c *Client) action(uuid, action string) request {
	q := c.channelQuery()
	q.Set("action", action)
	return request{method: http.MethodPost, path: "/images/" + uuid, query: q, what: action + " image " + uuid}
}

// simple makes a change whose body is v.
func (c *Client) simple(ctx context.Context, uuid string, r request, v any, done func(*imgmanifest.Manifest) bool) (*imgmanifest.Manifest, error) {
	if err := c.changing(uuid); err != nil {
		return nil, err
	}
	ch, err := jsonChange(r, v)
	if err != nil {
		return nil, c.wrap(r, err)
	}
	return c.settle(ctx, ch, uuid, func(m *imgmanifest.Manifest) bool { return m != nil && done(m) })
}

type empty struct{}

// Import makes an image, unactivated and without file, in the client's channel.
// The manifest is checked first, fields that belong to the server are left out,
// and an image of the sandbox goes to no other server (fault.Policy). If there
// is an image of that uuid, the *Error has the code ImageUuidAlreadyExists.
func (c *Client) Import(ctx context.Context, m *imgmanifest.Manifest) (*imgmanifest.Manifest, error) {
	m = m.Clone()
	m.Delete("state", "disabled", "activated", "channels", "icon", "error", "files")
	if err := m.Validate(); err != nil {
		return nil, fault.Usage.Wrap(err)
	}
	if err := c.changing(m.UUID()); err != nil {
		return nil, err
	}
	if err := c.CheckSandbox(ctx, m); err != nil {
		return nil, err
	}
	raw, err := m.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return c.simple(ctx, m.UUID(), c.action(m.UUID(), "import"), json.RawMessage(raw), func(got *imgmanifest.Manifest) bool {
		return got.State() == "unactivated" && Differ(m, got) == ""
	})
}

// CheckSandbox refuses to send an image of the sandbox to a server that does
// not say it is a sandbox's.
func (c *Client) CheckSandbox(ctx context.Context, m *imgmanifest.Manifest) error {
	if !m.Sandbox() {
		return nil
	}
	p, err := c.Ping(ctx)
	if err != nil {
		return err
	}
	if !p.Sandbox {
		return fault.WithHint(fault.Policy.Errorf("image %s (%s) was made from the sandbox's made-up images, and %s is a real server", m.UUID(), m.NameVersion(), c.Server()),
			"build it without ENGBLD_SANDBOX, or publish it with ENGBLD_SANDBOX=true")
	}
	return nil
}

// Differ compares an image as it was to be imported with one on a server and
// names the first field that shows them to be different images, "" if none does.
func Differ(want, got *imgmanifest.Manifest) string {
	for _, name := range []string{"uuid", "name", "version", "type", "os", "origin"} {
		a, _ := want.Get(name)
		b, _ := got.Get(name)
		if !bytes.Equal(a, b) {
			return name
		}
	}
	return ""
}

// Activate makes an image with a file active.
func (c *Client) Activate(ctx context.Context, uuid string) (*imgmanifest.Manifest, error) {
	return c.simple(ctx, uuid, c.action(uuid, "activate"), empty{}, func(m *imgmanifest.Manifest) bool { return m.State() != "unactivated" })
}

// Disable takes an active image out of lists; its file stays available.
func (c *Client) Disable(ctx context.Context, uuid string) (*imgmanifest.Manifest, error) {
	return c.simple(ctx, uuid, c.action(uuid, "disable"), empty{}, func(m *imgmanifest.Manifest) bool { return isDisabled(m) })
}

// Enable undoes Disable.
func (c *Client) Enable(ctx context.Context, uuid string) (*imgmanifest.Manifest, error) {
	return c.simple(ctx, uuid, c.action(uuid, "enable"), empty{}, func(m *imgmanifest.Manifest) bool { return !isDisabled(m) })
}

func isDisabled(m *imgmanifest.Manifest) bool {
	raw, _ := m.Get("disabled")
	return string(raw) == "true"
}

// ChannelAdd adds an image of the client's channel to another one. That it is
// there already is no error.
func (c *Client) ChannelAdd(ctx context.Context, uuid, channel string) (*imgmanifest.Manifest, error) {
	if channel == "" || channel == AllChannels {
		return nil, fault.Usage.Errorf("%q is not a channel an image can be added to", channel)
	}
	r := c.action(uuid, "channel-add")
	r.what = "add image " + uuid + " to channel " + channel
	return c.simple(ctx, uuid, r, map[string]string{"channel": channel}, func(m *imgmanifest.Manifest) bool {
		return slices.Contains(m.Channels(), channel)
	})
}

// Update sets fields, a JSON object of them; null removes one. channels and an
// empty object are refused here: the server takes any channel unchecked.
func (c *Client) Update(ctx context.Context, uuid string, fields *imgmanifest.Manifest) (*imgmanifest.Manifest, error) {
	if len(fields.Keys()) == 0 {
		return nil, fault.Usage.Errorf("update of image %s: there is nothing to set", uuid)
	}
	if _, ok := fields.Get("channels"); ok {
		return nil, fault.WithHint(fault.Usage.Errorf("update of image %s: channels cannot be set, the server would not check them", uuid),
			"channel-add, or delete with a channel")
	}
	raw, err := fields.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return c.simple(ctx, uuid, c.action(uuid, "update"), json.RawMessage(raw), func(m *imgmanifest.Manifest) bool {
		for _, name := range fields.Keys() {
			want, _ := fields.Get(name)
			got, ok := m.Get(name)
			if string(want) == "null" {
				if ok {
					return false
				}
			} else if !bytes.Equal(want, got) {
				return false
			}
		}
		return true
	})
}

// ACL adds accounts to those that may use a private image, or removes them.
func (c *Client) ACL(ctx context.Context, uuid string, add bool, accounts []string) (*imgmanifest.Manifest, error) {
	action := "remove"
	if add {
		action = "add"
	}
	if len(accounts) == 0 {
		return nil, fault.Usage.Errorf("acl of image %s: no account is named", uuid)
	}
	for _, a := range accounts {
		if !imgmanifest.ValidUUID(a) {
			return nil, fault.Usage.Errorf("acl of image %s: %q is not an account's uuid", uuid, a)
		}
	}
	q := c.channelQuery()
	q.Set("action", action)
	r := request{method: http.MethodPost, path: "/images/" + uuid + "/acl", query: q, what: action + " acl of image " + uuid}
	return c.simple(ctx, uuid, r, accounts, func(m *imgmanifest.Manifest) bool {
		var acl []string
		if raw, ok := m.Get("acl"); ok && json.Unmarshal(raw, &acl) != nil {
			return false
		}
		for _, a := range accounts {
			if slices.Contains(acl, a) != add {
				return false
			}
		}
		return true
	})
}

// ReloadAuthKeys makes the server read its users' keys again.
func (c *Client) ReloadAuthKeys(ctx context.Context) error {
	ch, err := jsonChange(request{method: http.MethodPost, path: "/authkeys/reload", what: "reload keys"}, empty{})
	if err != nil {
		return err
	}
	_, err = c.send(ctx, ch)
	return err
}

// Delete takes an image out of the client's channel, and off the server with
// its last channel, or with all of them at once. The server looks for images
// that need it in that one channel only, so all are looked at here; one that
// would be left without its origin is fault.Policy. gone says whether the image
// has left the server.
func (c *Client) Delete(ctx context.Context, uuid string, allChannels bool) (gone bool, err error) {
	if err := c.changing(uuid); err != nil {
		return false, err
	}
	m, err := c.Get(ctx, uuid)
	if err != nil {
		return false, err
	}
	channel := c.channel
	if channel == "" && len(m.Channels()) > 0 {
		if channel, err = c.defaultChannel(ctx); err != nil {
			return false, err
		}
	}
	last := allChannels || !slices.ContainsFunc(m.Channels(), func(s string) bool { return s != channel })
	if err := c.checkDependents(ctx, uuid, channel, last); err != nil {
		return false, err
	}
	return last, c.remove(ctx, uuid, allChannels)
}

func (c *Client) defaultChannel(ctx context.Context) (string, error) {
	list, err := c.Channels(ctx)
	if err != nil {
		return "", err
	}
	for _, ch := range list {
		if ch.Default {
			return ch.Name, nil
		}
	}
	return "", fault.Network.Errorf("image server %s has no default channel", c.Server())
}

func (c *Client) checkDependents(ctx context.Context, uuid, channel string, last bool) error {
	all, err := c.In(AllChannels).List(ctx, url.Values{"state": {"all"}})
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Origin() == uuid && (last || slices.Contains(other.Channels(), channel)) {
			return fault.WithHint(fault.Policy.Errorf("image server %s: delete image %s: %w: %s (%s)", c.Server(), uuid, ErrNeeded, other.UUID(), other.NameVersion()),
				"delete that image first, or disable this one")
		}
	}
	return nil
}

// remove makes the request to delete.
func (c *Client) remove(ctx context.Context, uuid string, allChannels bool) error {
	q := c.channelQuery()
	where := c
	if allChannels {
		q.Set("force_all_channels", "true")
		where = c.In(AllChannels)
	}
	r := request{method: http.MethodDelete, path: "/images/" + uuid, query: q, what: "delete image " + uuid}
	ch := change{request: r}
	lost := false
	for attempt := 0; ; attempt++ {
		_, err := c.send(ctx, ch)
		if err == nil || lost && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, ErrUnknown) || ctx.Err() != nil {
			return err
		}
		lost = true
		if attempt < len(c.opts.Backoff) && c.pause(ctx, err, c.opts.Backoff[attempt]) != nil {
			return err
		}
		switch _, ask := where.Get(ctx, uuid); {
		case errors.Is(ask, fs.ErrNotExist):
			return nil
		case ask != nil || attempt >= len(c.opts.Backoff):
			return err
		}
	}
}
