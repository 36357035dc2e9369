package sandbox

import (
	"context"
	"errors"
	"net/http"
)

// Options set up a sandbox. The zero value works.
type Options struct {
	Dir    string  // state of the image server (images added to it); "" keeps none beyond Close
	Faults *Faults // nil: nothing fails
}

// Sandbox is a set of running servers.
type Sandbox struct{}

// Start starts the servers on free ports of 127.0.0.1. They run until Close
// or until ctx is done.
func Start(ctx context.Context, o Options) (*Sandbox, error) { return nil, errors.ErrUnsupported }

// ImageURL returns the image server's address, without a final slash.
func (s *Sandbox) ImageURL() string { return "" }

// PackageURL returns the address that stands for https://pkgsrc.example.invalid,
// without a final slash.
func (s *Sandbox) PackageURL() string { return "" }

// Transport returns a transport for everything that runs in the sandbox: it
// leads the addresses in the sandbox's images to the loopback servers and
// refuses every host that is not this machine. A nil base is a plain transport
// without proxies.
func (s *Sandbox) Transport(base http.RoundTripper) http.RoundTripper { return nil }

// Close stops the servers.
func (s *Sandbox) Close() error { return nil }

// Faults makes servers fail on demand. See Add.
type Faults struct{}
