package imgstore

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// SourceOptions set up what talks to image servers.
type SourceOptions struct {
	Transport http.RoundTripper // nil: one of our own, with proxies from the environment
	UserAgent string
	Insecure  bool            // do not verify certificates; with Transport nil
	Backoff   []time.Duration // as in imgapi.Options
}

// ParseSource makes a source of what a person writes (ENGBLD_IMAGE_SOURCE):
// the address of an image server, https://HOST[/BASE][?channel=C], or a
// directory. Without a channel all of the server's are looked in.
func ParseSource(spec string, o SourceOptions) (Source, error) {
	if !strings.Contains(spec, "://") {
		return NewDir(spec)
	}
	co := imgapi.Options{URL: spec, Transport: o.Transport, UserAgent: o.UserAgent, Insecure: o.Insecure, Backoff: o.Backoff}
	c, err := imgapi.New(co)
	if err == nil && c.Channel() == "" {
		co.Channel = imgapi.AllChannels
		c, err = imgapi.New(co)
	}
	if err != nil {
		return nil, err
	}
	return NewServer(c), nil
}

// NewDir returns a directory as a source: manifests *.imgmanifest, *.manifest
// or *.json with their files beside them, in the directory itself or one
// below. A directory that is not there is fault.Usage.
func NewDir(path string) (Source, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, fault.Usage.Errorf("image source: %w", err)
	} else if !info.IsDir() {
		return nil, fault.Usage.Errorf("image source %s: neither a directory nor the address of a server", path)
	}
	return dirSource(path), nil
}

type dirSource string

func (d dirSource) String() string { return string(d) }
func (d dirSource) Remote() bool   { return false }

func (d dirSource) Manifest(ctx context.Context, uuid string) (*imgmanifest.Manifest, error) {
	p, err := d.find(uuid)
	if err != nil {
		return nil, err
	}
	return p.manifest, nil
}

func (d dirSource) File(ctx context.Context, m *imgmanifest.Manifest, dst string) (string, error) {
	p, err := d.find(m.UUID())
	if err != nil {
		return "", err
	}
	return p.file, nil
}

func (d dirSource) find(uuid string) (*pair, error) {
	p, err := findPair(string(d), uuid, ".imgmanifest", ".manifest", ".json")
	if err != nil {
		return nil, fault.Network.Errorf("image source: %w", err)
	}
	if p == nil {
		return nil, fmt.Errorf("image %s in %s: %w", uuid, string(d), fs.ErrNotExist)
	}
	return p, nil
}

// NewServer returns an image server as a source.
func NewServer(c *imgapi.Client) Source { return &serverSource{c} }

type serverSource struct{ client *imgapi.Client }

func (s *serverSource) String() string { return s.client.Server() }
func (s *serverSource) Remote() bool   { return true }

func (s *serverSource) Manifest(ctx context.Context, uuid string) (*imgmanifest.Manifest, error) {
	m, err := s.client.Get(ctx, uuid)
	if err == nil && m.State() != "active" {
		return nil, fault.Network.Errorf("image server %s: image %s is %q, not active", s, uuid, m.State())
	}
	return m, err
}

func (s *serverSource) File(ctx context.Context, m *imgmanifest.Manifest, dst string) (string, error) {
	f, err := s.client.File(ctx, m.UUID())
	if err != nil {
		return "", err
	}
	defer f.Close()
	if want := m.Files()[0].Size; f.Size != want {
		return "", fault.Network.Errorf("image server %s: the file of image %s has %d bytes, its manifest says %d", s, m.UUID(), f.Size, want)
	}
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return "", fault.Step.Wrap(err)
	}
	hash := md5.New()
	_, err = io.Copy(io.MultiWriter(storing{out}, hash), f)
	if storeErr := (*storeError)(nil); errors.As(err, &storeErr) {
		err = fault.Step.Errorf("writing the image cache: %w", err)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return "", err
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); f.MD5 != "" && sum != f.MD5 {
		return "", fault.Network.Errorf("image server %s: the file of image %s has md5 %s, its header says %s", s, m.UUID(), sum, f.MD5)
	}
	return dst, nil
}
