package sandbox

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/sandbox/loopback"
)

// PackageHost is the host in the addresses that sandbox images look for
// packages at; no such host exists.
const PackageHost = "pkgsrc.example.invalid"

// Options set up a sandbox. The zero value works.
type Options struct {
	// Dir holds the state of the image server: images that were added to it,
	// and authkeys/USER.keys, the public keys of its users. Several sandboxes
	// may share it at once. "" keeps state in a temporary directory until Close.
	Dir    string
	Faults *Faults          // nil: nothing fails
	Data   fs.FS            // nil is Data()
	Now    func() time.Time // of the image server; nil is time.Now

	// Remote is what the image server fetches files with that it is given the
	// address of; nil is the sandbox's own Transport.
	Remote http.RoundTripper
}

// Sandbox is a set of running servers.
type Sandbox struct {
	images, packages *loopback.Server
	dir, keys        string
	temp             *newfile.Dir // removed at Close
	state            *state
	stop             func() bool
	close            func() error
}

// Start starts the servers on free ports of 127.0.0.1. They run until Close
// or until ctx is done.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	if o.Data == nil {
		o.Data = Data()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Faults == nil {
		o.Faults = new(Faults)
	}
	s := new(Sandbox)
	s.close = sync.OnceValue(s.shutdown)
	if o.Dir == "" {
		dir, err := newfile.MakeDir("", "sandbox")
		if err != nil {
			return nil, fault.Step.Errorf("sandbox: %w", err)
		}
		s.temp, o.Dir = dir, dir.Name
	}
	s.dir, s.keys = o.Dir, filepath.Join(o.Dir, "authkeys")
	var err error
	s.state, err = openState(o.Data, filepath.Join(o.Dir, "images"))
	if err == nil {
		s.packages, err = loopback.Serve(ctx, o.Faults.wrap(&packageServer{data: o.Data}))
	}
	if err == nil {
		if o.Remote == nil {
			o.Remote = s.Transport(nil)
		}
		s.images, err = loopback.Serve(ctx, o.Faults.wrap(&imageServer{s.state, s.keys, o.Now, o.Remote}))
	}
	if err != nil {
		return nil, errors.Join(fault.Step.Errorf("sandbox: %w", err), s.Close())
	}
	s.stop = context.AfterFunc(ctx, func() { _ = s.close() })
	return s, nil
}

// ImageURL returns the image server's address, without a final slash.
func (s *Sandbox) ImageURL() string { return s.images.URL() }

// PackageURL returns the address that stands for https://pkgsrc.example.invalid,
// without a final slash.
func (s *Sandbox) PackageURL() string { return s.packages.URL() }

// Close stops the servers and removes state that was not to be kept.
func (s *Sandbox) Close() error {
	if s.stop != nil {
		s.stop()
	}
	return s.close()
}

func (s *Sandbox) shutdown() error {
	var errs []error
	for _, srv := range []*loopback.Server{s.images, s.packages} {
		if srv != nil {
			errs = append(errs, srv.Close())
		}
	}
	if s.temp != nil {
		errs = append(errs, s.temp.Remove())
	}
	return errors.Join(errs...)
}

// Transport returns a transport for everything that runs in the sandbox: it
// leads the addresses in the sandbox's images to the loopback servers and
// refuses every host that is not this machine. A nil base is a plain transport
// without proxies.
func (s *Sandbox) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
			// A process that is out of descriptors does not accept its own connections.
			ResponseHeaderTimeout: 2 * time.Minute}
	}
	target, err := url.Parse(s.packages.URL())
	if err != nil {
		panic(err) // our own address
	}
	return &transport{base: base, hosts: map[string]string{PackageHost: target.Host}}
}

type transport struct {
	base  http.RoundTripper
	hosts map[string]string // name that does not exist to host and port here
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Hostname()
	if here, ok := t.hosts[host]; ok {
		mapped := req.Clone(req.Context())
		mapped.URL.Scheme, mapped.URL.Host, mapped.Host = "http", here, ""
		resp, err := t.base.RoundTrip(mapped)
		if resp != nil {
			resp.Request = req // redirects are relative to the address that was asked for
		}
		return resp, err
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return t.base.RoundTrip(req)
	}
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, fault.Network.Errorf("the sandbox has no network, so no %s", host)
}
