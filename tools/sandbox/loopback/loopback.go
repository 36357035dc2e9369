// Package loopback serves HTTP on this machine's loopback interface, for the
// sandbox's servers. A closed server is still: no handler of it runs any more,
// so its files can be removed.
package loopback

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a running server.
type Server struct {
	url   string
	close func() error
}

// Serve serves on a free port of 127.0.0.1, without TLS, until Close or until
// ctx is done.
func Serve(ctx context.Context, h http.Handler) (*Server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening on the loopback interface: %w", err)
	}
	g := &gate{h: h}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	srv := &http.Server{
		Handler:           g,
		BaseContext:       func(net.Listener) context.Context { return serving },
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // handlers that break connections on purpose
	}
	s := &Server{url: "http://" + l.Addr().String()}
	s.close = sync.OnceValue(func() error {
		err := srv.Close()
		end()
		g.shut()
		return err
	})
	context.AfterFunc(ctx, func() { _ = s.close() })
	go func() { _ = srv.Serve(l) }() // ends with ErrServerClosed
	return s, nil
}

// URL returns the server's address, without a final slash.
func (s *Server) URL() string { return s.url }

// Close breaks all connections and waits for the handlers to notice. It must
// not be called by a handler.
func (s *Server) Close() error { return s.close() }

// gate lets requests in until it is shut, which takes until all are out.
type gate struct {
	h      http.Handler
	inside sync.RWMutex
	closed bool
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.inside.RLock()
	defer g.inside.RUnlock()
	if g.closed {
		panic(http.ErrAbortHandler)
	}
	g.h.ServeHTTP(w, r)
}

func (g *gate) shut() {
	g.inside.Lock()
	defer g.inside.Unlock()
	g.closed = true
}
