package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

const maxChain = 100

var releaseBranch = regexp.MustCompile(`^release-[0-9]{8}$`)

// BranchChannel is the channel in which a branch's images are published:
// staging for release-YYYYMMDD (not for try branches), dev for master, its
// modern name main, and mantav1, experimental for all others.
func BranchChannel(branch, try string) string {
	if releaseBranch.MatchString(branch) && try == "" {
		return "staging"
	}
	if try != "" {
		branch = try
	}
	switch branch {
	case "master", "main", "mantav1":
		return "dev"
	}
	return "experimental"
}

// Chain returns an image and its origins as the server has them in any
// channel, the root first.
func Chain(ctx context.Context, c *imgapi.Client, uuid string) ([]*imgmanifest.Manifest, error) {
	var chain []*imgmanifest.Manifest
	seen := make(map[string]bool)
	for of := ""; uuid != ""; {
		if seen[uuid] || len(chain) == maxChain {
			return nil, fault.Network.Errorf("image server %s: the origins of image %s never end", c.Server(), chain[0].UUID())
		}
		seen[uuid] = true
		m, err := c.In(imgapi.AllChannels).Get(ctx, uuid)
		if errors.Is(err, fs.ErrNotExist) && of != "" {
			return nil, fault.WithHint(fault.Network.Errorf("image server %s: image %s, the origin of %s, is not there: %w", c.Server(), uuid, of, err),
				"engbld release prereq %s", uuid)
		}
		if err != nil {
			return nil, err
		}
		chain = append(chain, m)
		of, uuid = uuid, m.Origin()
	}
	slices.Reverse(chain)
	return chain, nil
}

// Step is an image to be in a channel.
type Step struct {
	Image   *imgmanifest.Manifest
	Channel string
	From    string // the channel it is taken from
	Done    bool   // it is there already
}

// String says what the step does.
func (s Step) String() string {
	if s.Done {
		return fmt.Sprintf("%s (%s) is in %s", s.Image.UUID(), s.Image.NameVersion(), s.Channel)
	}
	return fmt.Sprintf("%s (%s) from %s to %s", s.Image.UUID(), s.Image.NameVersion(), s.From, s.Channel)
}

// PlanAdd lists what it takes to have each image and its whole chain in each
// channel: channel by channel, the roots first, no step twice. An image that
// is not active anywhere cannot be added. from is preferred as the channel to
// take an image from.
func PlanAdd(ctx context.Context, c *imgapi.Client, uuids []string, from string, channels []string) ([]Step, error) {
	var all []*imgmanifest.Manifest
	seen := make(map[string]bool)
	for _, uuid := range uuids {
		chain, err := Chain(ctx, c, uuid)
		if err != nil {
			return nil, err
		}
		for _, m := range chain {
			if !seen[m.UUID()] {
				seen[m.UUID()] = true
				all = append(all, m)
			}
		}
	}
	var steps []Step
	for _, channel := range channels {
		for _, m := range all {
			if m.State() != "active" {
				return nil, fault.WithHint(fault.Drift.Errorf("image server %s: image %s (%s) is %s, not active", c.Server(), m.UUID(), m.NameVersion(), m.State()),
					"finish its publication, or enable it")
			}
			in := m.Channels()
			s := Step{Image: m, Channel: channel, Done: slices.Contains(in, channel)}
			switch {
			case s.Done:
			case len(in) == 0:
				return nil, fault.Drift.Errorf("image server %s: image %s (%s) is in no channel", c.Server(), m.UUID(), m.NameVersion())
			case slices.Contains(in, from):
				s.From = from
			default:
				s.From = in[0]
			}
			steps = append(steps, s)
		}
	}
	return steps, nil
}

// Add carries out the steps and looks at each image in its channel afterwards.
// did is told of each step; nil is silent.
func Add(ctx context.Context, c *imgapi.Client, steps []Step, did func(Step)) error {
	for _, s := range steps {
		if !s.Done {
			if _, err := c.In(s.From).ChannelAdd(ctx, s.Image.UUID(), s.Channel); err != nil {
				return err
			}
			m, err := c.In(s.Channel).Get(ctx, s.Image.UUID())
			if err != nil {
				return fmt.Errorf("after adding it to %s: %w", s.Channel, err)
			}
			if m.State() != "active" {
				return fault.Drift.Errorf("image server %s: image %s became %s while it was added to %s", c.Server(), m.UUID(), m.State(), s.Channel)
			}
		}
		if did != nil {
			did(s)
		}
	}
	return nil
}

// Verify lists what is not as it must be: each image and its whole chain
// active in each channel, with a file. An empty list is good.
func Verify(ctx context.Context, c *imgapi.Client, uuids, channels []string) (problems []string, err error) {
	for _, uuid := range uuids {
		for _, channel := range channels {
			of := ""
			for next, n := uuid, 0; next != "" && n < maxChain; n++ {
				what := next
				if of != "" {
					what += ", the origin of " + of + ","
				}
				m, err := c.In(channel).Get(ctx, next)
				if errors.Is(err, fs.ErrNotExist) {
					problems = append(problems, fmt.Sprintf("%s: image %s is not there", channel, what))
					break
				}
				if err != nil {
					return nil, err
				}
				switch {
				case m.State() != "active":
					problems = append(problems, fmt.Sprintf("%s: image %s is %s", channel, what, m.State()))
				case len(m.Files()) == 0:
					problems = append(problems, fmt.Sprintf("%s: image %s has no file", channel, what))
				}
				of, next = next, m.Origin()
			}
		}
	}
	return problems, nil
}
