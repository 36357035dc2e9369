package imgstore

import (
	"io"
	"sync"
	"sync/atomic"
)

const (
	spreadSize  = 256 << 10 // bytes of one piece
	spreadAhead = 4         // pieces that a task may be behind
)

// task takes a stream to its end. One that returns early gets no more of it.
type task func(r io.Reader) error

// taskError is the error of a task, as told from those of who writes.
type taskError struct{ err error }

func (e *taskError) Error() string { return e.err.Error() }
func (e *taskError) Unwrap() error { return e.err }

// spread hands what is written to it to several tasks that run at the same
// time. The first error of a task ends writing.
type spread struct {
	parts  []*piping
	piece  *piece
	free   chan *piece
	done   sync.WaitGroup
	failed atomic.Pointer[taskError]
}

// piece is a part of the stream that several tasks are reading.
type piece struct {
	buf  []byte
	uses atomic.Int32
}

func newSpread(tasks ...task) *spread {
	s := &spread{free: make(chan *piece, spreadAhead+2)}
	for range cap(s.free) {
		s.free <- &piece{buf: make([]byte, 0, spreadSize)}
	}
	for range tasks {
		s.parts = append(s.parts, &piping{s: s, in: make(chan *piece, spreadAhead)})
	}
	for i, t := range tasks {
		s.done.Go(func() {
			p := s.parts[i]
			if err := t(p); err != nil {
				s.failed.CompareAndSwap(nil, &taskError{err})
			}
			for p.next() { // what the task did not want
			}
		})
	}
	return s
}

func (s *spread) Write(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		if err := s.failed.Load(); err != nil {
			return n, err
		}
		if s.piece == nil {
			s.piece = <-s.free
		}
		k := min(len(b)-n, cap(s.piece.buf)-len(s.piece.buf))
		s.piece.buf = append(s.piece.buf, b[n:n+k]...)
		n += k
		if len(s.piece.buf) == cap(s.piece.buf) {
			s.send()
		}
	}
	return n, nil
}

// ReadFrom saves a copy: the pieces are read into.
func (s *spread) ReadFrom(r io.Reader) (total int64, err error) {
	for {
		if err := s.failed.Load(); err != nil {
			return total, err
		}
		if s.piece == nil {
			s.piece = <-s.free
		}
		have := len(s.piece.buf)
		n, err := r.Read(s.piece.buf[have:cap(s.piece.buf)])
		total += int64(n)
		s.piece.buf = s.piece.buf[:have+n]
		if len(s.piece.buf) == cap(s.piece.buf) {
			s.send()
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func (s *spread) send() {
	p := s.piece
	s.piece = nil
	p.uses.Store(int32(len(s.parts)))
	for _, part := range s.parts {
		part.in <- p
	}
}

// Close ends the stream and returns the first error of the tasks, when all have
// ended.
func (s *spread) Close() error {
	if s.piece != nil && len(s.piece.buf) > 0 {
		s.send()
	}
	for _, part := range s.parts {
		close(part.in)
	}
	s.done.Wait()
	if e := s.failed.Load(); e != nil {
		return e
	}
	return nil
}

// piping is one task's view of the stream.
type piping struct {
	s     *spread
	in    chan *piece
	cur   *piece
	place int
}

// next gives the current piece back and takes the one that follows.
func (p *piping) next() bool {
	if p.cur != nil && p.cur.uses.Add(-1) == 0 {
		p.cur.buf = p.cur.buf[:0]
		p.s.free <- p.cur
	}
	p.cur, p.place = <-p.in, 0
	return p.cur != nil
}

func (p *piping) Read(b []byte) (int, error) {
	if p.cur == nil || p.place == len(p.cur.buf) {
		if !p.next() {
			return 0, io.EOF
		}
	}
	n := copy(b, p.cur.buf[p.place:])
	p.place += n
	return n, nil
}

// WriteTo saves a copy.
func (p *piping) WriteTo(w io.Writer) (total int64, err error) {
	for p.cur != nil && p.place < len(p.cur.buf) || p.next() {
		n, err := w.Write(p.cur.buf[p.place:])
		p.place += n
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
