package manta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

var errIdle = errors.New("the transfer stood still")

// watch ends a request whose transfer stands still.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	wait   time.Duration
}

func newWatch(ctx context.Context, wait time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{ctx: ctx, cancel: cancel, wait: wait}
	w.timer = time.AfterFunc(wait, func() { cancel(errIdle) })
	w.timer.Stop() // until something is transferred
	return ctx, w
}

// end stops watching and explains an error that it caused.
func (w *watch) end(err error) error {
	w.timer.Stop()
	err = w.explain(err)
	w.cancel(nil)
	return err
}

func (w *watch) explain(err error) error {
	if context.Cause(w.ctx) == errIdle {
		return fmt.Errorf("%w for %s", errIdle, w.wait)
	}
	return err
}

// watchedBody is what is sent, where time passes between two reads, or what is
// received, where it passes in them.
type watchedBody struct {
	io.ReadCloser
	watch    *watch
	received bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if b.received {
		b.watch.timer.Reset(b.watch.wait)
	} else {
		b.watch.timer.Stop()
	}
	n, err := b.ReadCloser.Read(p)
	switch {
	case b.received:
		b.watch.timer.Stop()
	case err == nil:
		b.watch.timer.Reset(b.watch.wait)
	}
	if err != nil && err != io.EOF {
		err = b.watch.explain(err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.watch.timer.Stop()
	err := b.ReadCloser.Close()
	if b.received {
		b.watch.cancel(nil)
	}
	return err
}
