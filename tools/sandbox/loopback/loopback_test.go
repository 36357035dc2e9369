package loopback_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/sandbox/loopback"
)

// After Close no handler runs; one that reads a body or waits for its client
// is woken.
func TestCloseWaitsForHandlers(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(*http.Request){
		"waits for the client": func(r *http.Request) { <-r.Context().Done() },
		"reads the body": func(r *http.Request) {
			for b := make([]byte, 1); ; {
				if _, err := r.Body.Read(b); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var running atomic.Int32
			started := make(chan struct{})
			s, err := loopback.Serve(t.Context(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				running.Add(1)
				defer running.Add(-1)
				close(started)
				wait(r)
			}))
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				req, err := http.NewRequestWithContext(context.Background(), http.MethodPut, s.URL(), endless{})
				if err != nil {
					t.Error(err)
					return
				}
				req.ContentLength = 1 << 40
				if resp, err := new(http.Transport).RoundTrip(req); err == nil {
					resp.Body.Close()
				}
			}()
			<-started
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if n := running.Load(); n != 0 {
				t.Errorf("%d handlers still run", n)
			}
			if err := s.Close(); err != nil {
				t.Errorf("once more: %v", err)
			}
			<-done
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (endless) Close() error               { return nil }
