package sandbox

import (
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is one way for a server to fail. Several of the fields below the first
// three may be set; Reset, Redirect and Status end the answer, in this order.
type Fault struct {
	Path   string // of the URL, as in path.Match; a final ** stands for any rest; "" is every path
	Method string // "" is every method
	Skip   int    // so many fitting requests are served well first
	Times  int    // so many after them fail; 0 is all

	Delay    time.Duration // before the answer
	Reset    bool          // the connection is closed without an answer
	Redirect string        // status 302 with this Location
	Status   int           // this status
	Body     string        // with Status: the body, as text/html if it starts with <, else JSON
	After    bool          // the request is carried out, then Reset or Status hides its outcome

	Cut     int64         // the connection is closed after so many bytes of the body; 0 is never
	Lie     int64         // added to the true Content-Length
	Corrupt int64         // the byte of this number, counted from 1, is changed; 0 is none
	Pause   time.Duration // after each 16 KiB of the body

	NoLength bool     // no Content-Length
	NoRange  bool     // Range is not understood
	Drop     []string // headers to leave out of the answer
}

// Faults makes servers fail on demand and keeps a log of requests. The zero
// value lets everything pass. It is safe for concurrent use.
type Faults struct {
	mu     sync.Mutex
	faults []*Fault
	log    []Request
}

// Request is one request a server saw.
type Request struct {
	Method string
	Path   string // with query
	Range  string // header
}

// Add adds a fault. The first one added that fits a request is used.
func (f *Faults) Add(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range faults {
		f.faults = append(f.faults, &one)
	}
}

// Clear removes all faults and empties the log.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.log = nil, nil
}

// Requests returns what the servers were asked so far, in order.
func (f *Faults) Requests() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Request(nil), f.log...)
}

// Count returns how many requests so far fit a pattern, as in Fault.Path.
func (f *Faults) Count(method, pattern string) (n int) {
	for _, r := range f.Requests() {
		p, _, _ := strings.Cut(r.Path, "?")
		if (method == "" || method == r.Method) && pathFits(pattern, p) {
			n++
		}
	}
	return n
}

func pathFits(pattern, p string) bool {
	if pattern == "" {
		return true
	}
	if head, ok := strings.CutSuffix(pattern, "**"); ok {
		return strings.HasPrefix(p, head)
	}
	ok, err := path.Match(pattern, p)
	return ok && err == nil
}

// next logs a request and finds the fault it meets.
func (f *Faults) next(r *http.Request) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, Request{r.Method, r.URL.RequestURI(), r.Header.Get("Range")})
	for i, one := range f.faults {
		if one.Method != "" && one.Method != r.Method || !pathFits(one.Path, r.URL.Path) {
			continue
		}
		if one.Skip > 0 {
			one.Skip--
			continue
		}
		if one.Times > 0 {
			if one.Times--; one.Times == 0 {
				f.faults = append(f.faults[:i:i], f.faults[i+1:]...)
			}
		}
		return *one, true
	}
	return Fault{}, false
}

func (f *Faults) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one, ok := f.next(r)
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		if one.Delay > 0 {
			select {
			case <-time.After(one.Delay):
			case <-r.Context().Done():
			}
		}
		if one.After {
			h.ServeHTTP(discardAnswer{make(http.Header)}, r)
		}
		switch {
		case one.Reset:
			panic(http.ErrAbortHandler)
		case one.Redirect != "":
			http.Redirect(w, r, one.Redirect, http.StatusFound)
			return
		case one.Status != 0:
			answer(w, one)
			return
		}
		if one.NoRange {
			r = r.Clone(r.Context())
			r.Header.Del("Range")
		}
		h.ServeHTTP(&faulty{ResponseWriter: w, fault: one}, r)
	})
}

func answer(w http.ResponseWriter, one Fault) {
	kind := "application/json"
	if strings.HasPrefix(one.Body, "<") {
		kind = "text/html"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(one.Status)
	_, _ = io.WriteString(w, one.Body)
}

// discardAnswer takes an answer nobody will see.
type discardAnswer struct{ header http.Header }

func (d discardAnswer) Header() http.Header         { return d.header }
func (d discardAnswer) Write(p []byte) (int, error) { return len(p), nil }
func (d discardAnswer) WriteHeader(int)             {}

// faulty spoils an answer on its way.
type faulty struct {
	http.ResponseWriter
	fault   Fault
	started bool
	written int64
	end     int64 // the declared length, where it is less than the true one; else 0
}

func (w *faulty) WriteHeader(status int) {
	if w.started {
		return
	}
	w.started = true
	h := w.Header()
	if w.fault.NoRange {
		h.Del("Accept-Ranges")
	}
	for _, name := range w.fault.Drop {
		h.Del(name)
	}
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && w.fault.Lie != 0 {
		lie := max(0, n+w.fault.Lie)
		h.Set("Content-Length", strconv.FormatInt(lie, 10))
		if lie < n {
			w.end = lie
		}
	}
	if w.fault.NoLength {
		h.Del("Content-Length")
	}
	w.ResponseWriter.WriteHeader(status)
	if w.fault.NoLength {
		w.flush()
	}
}

func (w *faulty) Write(p []byte) (n int, err error) {
	w.WriteHeader(http.StatusOK)
	for len(p) > 0 {
		piece := p[:min(len(p), 16<<10)]
		if left := w.end - w.written; w.end > 0 && left < int64(len(piece)) {
			_, _ = w.ResponseWriter.Write(w.spoil(piece[:left]))
			w.written += left
			return n + len(p), nil // the rest is not sent
		}
		if cut := w.fault.Cut; cut > 0 && w.written+int64(len(piece)) >= cut {
			_, _ = w.ResponseWriter.Write(w.spoil(piece[:cut-w.written]))
			w.flush()
			panic(http.ErrAbortHandler)
		}
		k, err := w.ResponseWriter.Write(w.spoil(piece))
		n, w.written = n+k, w.written+int64(k)
		if err != nil {
			return n, err
		}
		if w.fault.Pause > 0 {
			w.flush()
			time.Sleep(w.fault.Pause)
		}
		p = p[len(piece):]
	}
	return n, nil
}

func (w *faulty) spoil(p []byte) []byte {
	at := w.fault.Corrupt - 1 - w.written
	if w.fault.Corrupt == 0 || at < 0 || at >= int64(len(p)) {
		return p
	}
	p = append([]byte(nil), p...)
	p[at] ^= 0x20
	return p
}

func (w *faulty) flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}
