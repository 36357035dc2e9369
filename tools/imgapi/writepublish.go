package imgapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// Publication is an image to be made, given its file and activated in the
// client's channel.
type Publication struct {
	Manifest *imgmanifest.Manifest
	File     Content

	// Each step that was made is told; nil is silent.
	Imported  func(*imgmanifest.Manifest)
	FileAdded func(*imgmanifest.Manifest)
	Activated func(*imgmanifest.Manifest)
	Warnf     func(format string, args ...any)
}

// ErrOther is an image of the same uuid on the server that is not ours.
var ErrOther = errors.New("there is another image of that uuid")

// Publish imports an image, adds its file and activates it. What an earlier run
// left is completed; an image that is there already, active and with the same
// file, is added to the channel if need be, and that is all.
//
// If a step fails for good, the image that this call made is removed again. If
// the server cannot be asked what has happened, it is left as it is, and the
// same call finishes it later. An active image is never removed.
func (c *Client) Publish(ctx context.Context, p Publication) (*imgmanifest.Manifest, error) {
	if p.Warnf == nil {
		p.Warnf = func(string, ...any) {}
	}
	uuid := p.Manifest.UUID()
	if err := p.File.check(uuid); err != nil {
		return nil, err
	}
	if err := c.CheckSandbox(ctx, p.Manifest); err != nil {
		return nil, err
	}
	m, err := c.leftover(ctx, p)
	if err != nil {
		return nil, err
	}
	if m != nil && m.State() == "active" {
		return m, nil
	}
	made := false
	if m == nil {
		m, err = c.Import(ctx, p.Manifest)
		switch {
		case refusedAs(err, "ImageUuidAlreadyExists"): // a request of an earlier run arrived late, or somebody else's did
			if m, err = c.leftover(ctx, p); err == nil && m == nil {
				err = fault.Network.Errorf("image server %s: image %s comes and goes", c.Server(), uuid)
			}
		case err == nil:
			made = true
			tell(p.Imported, m)
		}
		if err != nil {
			return nil, err
		}
	}
	if m, err = c.complete(ctx, p, m); err != nil {
		if made {
			c.rollBack(ctx, p, err)
		} else {
			err = fault.WithHint(err, "image %s is on the server, unactivated: the same command finishes it", uuid)
		}
		return nil, err
	}
	return m, nil
}

func tell(f func(*imgmanifest.Manifest), m *imgmanifest.Manifest) {
	if f != nil {
		f(m)
	}
}

func refusedAs(err error, codes ...string) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}

// complete adds the file and activates. That the image is active already, with
// this file, is fine: a request of an earlier run arrived late.
func (c *Client) complete(ctx context.Context, p Publication, m *imgmanifest.Manifest) (*imgmanifest.Manifest, error) {
	uuid := m.UUID()
	m, err := c.addAndActivate(ctx, p, m)
	if refusedAs(err, "ImageFilesImmutable", "ImageAlreadyActivated") {
		if m, ask := c.In(AllChannels).Get(ctx, uuid); ask == nil && m.State() == "active" && (p.File.SHA1 == "" || p.File.is(m)) {
			return m, nil
		}
	}
	return m, err
}

func (c *Client) addAndActivate(ctx context.Context, p Publication, m *imgmanifest.Manifest) (*imgmanifest.Manifest, error) {
	var err error
	if !p.File.is(m) {
		if m, err = c.AddFile(ctx, m.UUID(), p.File); err != nil {
			return nil, err
		}
		tell(p.FileAdded, m)
	}
	if m, err = c.Activate(ctx, m.UUID()); err != nil {
		return nil, err
	}
	tell(p.Activated, m)
	return m, nil
}

// leftover returns the image of that uuid if it is on the server and ours; nil
// if there is none.
func (c *Client) leftover(ctx context.Context, p Publication) (*imgmanifest.Manifest, error) {
	uuid := p.Manifest.UUID()
	m, err := c.In(AllChannels).Get(ctx, uuid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	other := func(format string, args ...any) error {
		return fault.WithHint(fault.Drift.Errorf("image server %s: %s: %w: %s", c.Server(), uuid, ErrOther, fmt.Sprintf(format, args...)),
			"images never change: build again, which makes a new uuid")
	}
	if field := Differ(p.Manifest, m); field != "" {
		return nil, other("its %s is another one", field)
	}
	in := c.channel == "" || len(m.Channels()) == 0 || slices.Contains(m.Channels(), c.channel)
	switch m.State() {
	case "unactivated":
		if !in {
			return nil, fault.WithHint(fault.Drift.Errorf("image server %s: %s was left unfinished in channel %s, not %s", c.Server(), uuid,
				strings.Join(m.Channels(), ", "), c.channel), "delete it there: updates-imgadm -C %s delete %s", m.Channels()[0], uuid)
		}
		return m, nil
	case "active":
		if p.File.SHA1 != "" && !p.File.is(m) {
			return nil, other("its file is another one")
		}
		if !in {
			return c.In(m.Channels()[0]).ChannelAdd(ctx, uuid, c.channel)
		}
		return m, nil
	}
	return nil, fault.WithHint(fault.Drift.Errorf("image server %s: %s is there already and is %s", c.Server(), uuid, m.State()),
		"updates-imgadm enable %s", uuid)
}

// rollBack removes the image that this call made, if it is certainly not active.
func (c *Client) rollBack(ctx context.Context, p Publication, cause error) {
	// A context that is done must not keep us from cleaning up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	once := *c
	once.opts.Backoff = nil
	uuid := p.Manifest.UUID()
	m, err := once.In(AllChannels).Get(ctx, uuid)
	if err == nil && m.State() == "unactivated" {
		err = once.remove(ctx, uuid, false)
	}
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		p.Warnf("image %s may be left on %s, unactivated: the same command finishes it", uuid, c.Server())
	case err == nil && m.State() != "unactivated":
		p.Warnf("image %s is %s on %s", uuid, m.State(), c.Server())
	}
}
