package app

import (
	"errors"
	"io"
	"sync"
	"syscall"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// answer is stdout. It keeps the first error, after which nothing is written any
// more, so that no command succeeds whose answer is lost.
type answer struct {
	w  io.Writer
	mu sync.Mutex
	// err is what went wrong. A reader that wants no more, as head, is nothing
	// wrong: where that does not end the process, it is not kept.
	err error
}

func (o *answer) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		o.err = err
	}
	return n, err
}

// check says of a command that ended with err, which may be nil, that its answer is
// lost, unless err tells of something else.
func (o *answer) check(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil || err != nil && !errors.Is(err, o.err) && fault.KindOf(err) != fault.Defect {
		return err
	}
	return fault.WithHint(fault.Step.Errorf("standard output: the answer is not whole: %w", o.err),
		"make room where it goes, and run the same command again")
}
