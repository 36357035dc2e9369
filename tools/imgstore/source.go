package imgstore

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fetch"
	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
)

// SourceOptions set up what talks to image servers.
type SourceOptions struct {
	Transport http.RoundTripper // nil: one of our own, with proxies from the environment
	UserAgent string
	Insecure  bool            // do not verify certificates; with Transport nil
	Backoff   []time.Duration // of requests for manifests, as in imgapi.Options
	Fetch     *fetch.Client   // of files; nil: the usual retries and time-outs
}

// ParseSource makes a source of what a person writes (ENGBLD_IMAGE_SOURCE):
// the address of an image server, https://HOST[/BASE][?channel=C], or a
// directory. Without a channel all of the server's are looked in.
func ParseSource(spec string, o SourceOptions) (Source, error) {
	if dir, ok := strings.CutPrefix(spec, "file://"); ok || !strings.Contains(spec, "://") {
		return NewDir(dir)
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
	return NewServer(c, o.Fetch), nil
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

// NewServer returns an image server as a source. Files are fetched with the
// options of f, which may be nil, over the connection of c.
func NewServer(c *imgapi.Client, f *fetch.Client) Source {
	own := &fetch.Client{}
	if f != nil {
		own = &fetch.Client{UserAgent: f.UserAgent, Offline: f.Offline, Retries: f.Retries, Backoff: f.Backoff,
			Sleep: f.Sleep, HeaderTimeout: f.HeaderTimeout, IdleTimeout: f.IdleTimeout, Progress: f.Progress}
	}
	own.Header = http.Header{"Accept-Version": {"~2"}}
	client := *c.HTTP()
	client.Transport = checkMD5{client.Transport}
	own.HTTP = &client
	return &serverSource{c, own}
}

type serverSource struct {
	client *imgapi.Client
	fetch  *fetch.Client
}

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
	want := m.Files()[0]
	_, err := s.fetch.GetFile(ctx, s.client.FileURL(m.UUID()), dst, fetch.Expect{Size: want.Size, SHA1: want.SHA1})
	return dst, err
}

// checkMD5 compares a whole answer with its header Content-MD5.
type checkMD5 struct{ base http.RoundTripper }

func (t checkMD5) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	if want, err := base64.StdEncoding.DecodeString(resp.Header.Get("Content-Md5")); err == nil && len(want) == md5.Size {
		resp.Body = &md5Body{resp.Body, md5.New(), want}
	}
	return resp, nil
}

type md5Body struct {
	io.ReadCloser
	hash hash.Hash
	want []byte
}

func (b *md5Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	if err == io.EOF {
		if sum := b.hash.Sum(nil); !bytes.Equal(sum, b.want) {
			return n, fmt.Errorf("has MD5 %x, its header says %x", sum, b.want)
		}
	}
	return n, err
}
