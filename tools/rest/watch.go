package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Why a Watch ended a request.
var (
	ErrIdle    = errors.New("server stopped sending")
	ErrStalled = errors.New("server stopped taking what is sent")
)

// Watch ends a request whose transfer stands still, however slow it may be
// otherwise. Time does not count while the other side is waiting for us.
type Watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wait   time.Duration
}

// NewWatch returns the context to make the request with. It ends with End or
// when what Received returned is closed.
func NewWatch(ctx context.Context, wait time.Duration) (context.Context, *Watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &Watch{ctx, cancel, wait}
}

// End gives the request up and returns err, or what the watch ended it for.
func (w *Watch) End(err error) error {
	err = w.explain(err)
	w.cancel(nil)
	return err
}

// explain leaves an answer with an error status what it is.
func (w *Watch) explain(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	if cause := context.Cause(w.ctx); cause == ErrIdle || cause == ErrStalled {
		return fmt.Errorf("%w for %s", cause, w.wait)
	}
	return err
}

// timer ends the request when it is not stopped in time. It does not run yet.
func (w *Watch) timer(why error) *time.Timer {
	t := time.AfterFunc(w.wait, func() { w.cancel(why) })
	t.Stop()
	return t
}

// Sent is a body to send: time counts between two reads, while the server does
// not take what came of the first.
func (w *Watch) Sent(body io.ReadCloser) io.ReadCloser {
	return &sent{body, w, w.timer(ErrStalled)}
}

type sent struct {
	io.ReadCloser
	watch *Watch
	timer *time.Timer
}

func (b *sent) Read(p []byte) (int, error) {
	b.timer.Stop()
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		b.timer.Reset(b.watch.wait)
	}
	return n, err
}

func (b *sent) Close() error {
	b.timer.Stop()
	return b.ReadCloser.Close()
}

// Received is an answer's body: time counts during each read. Closing it ends
// the request.
func (w *Watch) Received(body io.ReadCloser) io.ReadCloser {
	return &received{body, w, w.timer(ErrIdle)}
}

type received struct {
	io.ReadCloser
	watch *Watch
	timer *time.Timer
}

func (b *received) Read(p []byte) (int, error) {
	b.timer.Reset(b.watch.wait)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		err = b.watch.explain(err)
	}
	return n, err
}

func (b *received) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.watch.cancel(nil)
	return err
}
