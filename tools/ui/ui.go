// Package ui is what people see of a command: the story on stderr (steps with
// elapsed time, warnings, one error with its hint), and nothing on stdout,
// which belongs to the answer.
//
// A live progress line is drawn only by a single process on a terminal; under
// make -j, in CI and in files there are plain lines. Colours follow the stream
// written to and NO_COLOR.
package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/fatih/color"
)

// Options tell how to speak. The zero value is silent but for errors.
type Options struct {
	Out     io.Writer        // where the story goes, stderr
	Color   bool             // colours wanted
	Live    bool             // a live progress line may be drawn
	Quiet   bool             // only warnings and errors
	Verbose bool             // details too
	Now     func() time.Time // clock for elapsed time
	Prefix  string           // said before each line: the image's name
	JSON    bool             // each line is an object: see Line
}

// Line is a line of the story for programs (Options.JSON).
type Line struct {
	Elapsed float64 `json:"elapsed"`         // seconds since the command began
	Level   string  `json:"level"`           // step, info, detail, warning, error
	Image   string  `json:"image,omitempty"` // where several are built at once
	Step    string  `json:"step,omitempty"`  // name of a step that begins
	Message string  `json:"message"`
	Hint    string  `json:"hint,omitempty"` // what to do about an error
}

// UI writes the story of one command. It is safe for concurrent use.
type UI struct {
	opts  Options
	start time.Time
	state *state

	bold, faint, warn, bad *color.Color
}

// state is shared by a UI and those made from it by WithPrefix.
type state struct {
	mu   sync.Mutex
	live string
}

// New returns a UI that speaks as opts say.
func New(opts Options) *UI {
	if opts.Out == nil {
		opts.Out = io.Discard
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	u := &UI{opts: opts, start: opts.Now(), state: &state{}}
	u.bold, u.faint = color.New(color.Bold), color.New(color.Faint)
	u.warn, u.bad = color.New(color.FgYellow), color.New(color.FgRed, color.Bold)
	for _, c := range []*color.Color{u.bold, u.faint, u.warn, u.bad} {
		if opts.Color {
			c.EnableColor()
		} else {
			c.DisableColor()
		}
	}
	return u
}

// WithPrefix returns a UI that says prefix before each line.
func (u *UI) WithPrefix(prefix string) *UI {
	v := *u
	v.opts.Prefix = prefix
	return &v
}

// Infof says what happens.
func (u *UI) Infof(format string, args ...any) {
	if !u.opts.Quiet {
		u.line(Line{Level: "info"}, "", printable(fmt.Sprintf(format, args...)))
	}
}

// Detailf says more, where asked to be verbose.
func (u *UI) Detailf(format string, args ...any) {
	if u.opts.Verbose {
		text := printable(fmt.Sprintf(format, args...))
		if !u.opts.JSON {
			text = u.faint.Sprint(text)
		}
		u.line(Line{Level: "detail"}, "", text)
	}
}

// Warnf says what is odd but no failure.
func (u *UI) Warnf(format string, args ...any) {
	u.line(Line{Level: "warning"}, u.warn.Sprint("warning: "), printable(fmt.Sprintf(format, args...)))
}

// Step announces a step by name; details of it are said by Infof.
func (u *UI) Step(name, format string, args ...any) {
	if !u.opts.Quiet {
		u.line(Line{Level: "step", Step: name}, u.bold.Sprint(name+": "), printable(fmt.Sprintf(format, args...)))
	}
}

// Error prints err and its hint, in the form all commands share.
func (u *UI) Error(err error) {
	u.state.mu.Lock()
	defer u.state.mu.Unlock()
	u.clear()
	if u.opts.JSON {
		u.object(Line{Level: "error", Message: err.Error(), Hint: fault.Hint(err)})
		return
	}
	fmt.Fprintf(u.opts.Out, "%s%s\n", u.bad.Sprint("error: "), printable(err.Error()))
	if hint := fault.Hint(err); hint != "" {
		fmt.Fprintf(u.opts.Out, "%s%s\n", u.bold.Sprint("hint:  "), printable(hint))
	}
}

// Progress draws a live line for a transfer of done out of total bytes (total
// 0 or less: unknown). It does nothing where no live line may be drawn.
func (u *UI) Progress(what string, done, total int64) {
	if !u.opts.Live || u.opts.Quiet || u.opts.JSON {
		return
	}
	text := fmt.Sprintf("%s %s", what, Bytes(done))
	if total > 0 {
		text = fmt.Sprintf("%s %s of %s (%d%%)", what, Bytes(done), Bytes(total), done*100/total)
	}
	u.state.mu.Lock()
	defer u.state.mu.Unlock()
	if text == u.state.live {
		return
	}
	u.clear()
	if total <= 0 || done < total {
		u.state.live = text
		fmt.Fprint(u.opts.Out, u.faint.Sprint(printable(text)))
	}
}

func (u *UI) line(l Line, label, text string) {
	u.state.mu.Lock()
	defer u.state.mu.Unlock()
	u.clear()
	if u.opts.JSON {
		l.Message = text
		u.object(l)
		return
	}
	prefix := ""
	if u.opts.Prefix != "" {
		prefix = u.opts.Prefix + ": "
	}
	elapsed := u.opts.Now().Sub(u.start).Seconds()
	fmt.Fprintf(u.opts.Out, "%s %s%s%s\n", u.faint.Sprintf("[%6.1fs]", elapsed), prefix, label, text)
}

// object writes one line for programs.
func (u *UI) object(l Line) {
	l.Elapsed = float64(u.opts.Now().Sub(u.start).Milliseconds()) / 1000
	l.Image = u.opts.Prefix
	e := json.NewEncoder(u.opts.Out) // text that is no UTF-8 is made so
	e.SetEscapeHTML(false)
	_ = e.Encode(l)
}

func (u *UI) clear() {
	if u.state.live != "" {
		fmt.Fprint(u.opts.Out, "\r\x1b[K")
		u.state.live = ""
	}
}

// printable takes control characters out of text that may come from a server
// or a package; it is used before our own colours are added.
func printable(s string) string {
	if !strings.ContainsFunc(s, isControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isControl(r) {
			fmt.Fprintf(&b, "\\x%02x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isControl(r rune) bool {
	return r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0
}

// Bytes writes a size as people read it: "512 B", "1.5 MiB".
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, suffix := float64(n)/unit, "KiB"
	for _, s := range []string{"MiB", "GiB", "TiB", "PiB"} {
		if f < unit {
			break
		}
		f, suffix = f/unit, s
	}
	return fmt.Sprintf("%.1f %s", f, suffix)
}
