package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/TritonDataCenter/engbld/tools/process"
	"github.com/TritonDataCenter/engbld/tools/redact"
)

// Command is something done to the machine.
type Command struct {
	Path           string   // name or absolute path of the program
	Args           []string // without the program's name
	Env            []string // NAME=VALUE; nil is the Runner's
	Stdin          io.Reader
	Stdout, Stderr io.Writer // nil: thrown away; the end of Stderr is in errors all the same

	// Func is called instead of a program; Path and Args only tell of it then.
	Func func(context.Context) error
}

// String shows the command as a line for people.
func (c Command) String() string {
	return strings.Join(append([]string{c.Path}, c.Args...), " ")
}

// Runner does commands. When ctx ends, it stops the command, waits for it, and
// returns the context's cause.
type Runner interface {
	Run(ctx context.Context, c Command) error
}

// ExitError is a program that did not end well.
type ExitError struct {
	Command string
	Code    int    // exit status; -1 where a signal ended it
	Reason  string // last lines the program wrote to stderr, or the signal
}

func (e *ExitError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s: exit status %d", e.Command, e.Code)
	}
	return fmt.Sprintf("%s: %s", e.Command, e.Reason)
}

// ExitCode returns the exit status in err's chain, -1 where there is none.
func ExitCode(err error) int {
	var e *ExitError
	if errors.As(err, &e) {
		return e.Code
	}
	return -1
}

// Programs runs commands of this machine. Path lists the directories they are
// looked for in, besides the system's.
type Programs struct {
	Path []string
	Env  []string
}

const systemPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// Time between asking a program to stop and making it.
const stopDelay = 5 * time.Second

func (p *Programs) Run(ctx context.Context, c Command) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if c.Func != nil {
		if err := c.Func(ctx); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		return nil
	}
	path, err := p.find(c.Path)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, c.Args...)
	cmd.Env, cmd.Dir = c.Env, "/"
	if cmd.Env == nil {
		cmd.Env = append([]string{"PATH=" + systemPath, "LC_ALL=C"}, p.Env...)
	}
	last := &tail{}
	cmd.Stdout, cmd.Stderr = c.Stdout, last
	if c.Stderr != nil {
		cmd.Stderr = io.MultiWriter(c.Stderr, last)
	}
	if c.Stdin != nil {
		// Never the file itself: the program must see its end when we are gone.
		cmd.Stdin = struct{ io.Reader }{c.Stdin}
	}
	cmd.SysProcAttr = processAttributes()
	// A terminal's signals are for us, not for the group: we decide what is undone.
	err = process.Run(ctx, cmd, stopDelay)
	if cause := context.Cause(ctx); cause != nil && cmd.Process != nil && err != nil {
		return fmt.Errorf("%s: %w", c, cause)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		reason := redact.Text(last.String())
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			reason = strings.TrimSpace(fmt.Sprintf("ended by signal %v: %s", s.Signal(), reason))
		}
		return &ExitError{c.String(), exit.ExitCode(), reason}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}

func (p *Programs) find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range append(p.Path, strings.Split(systemPath, ":")...) {
		if !filepath.IsAbs(dir) {
			continue
		}
		file := filepath.Join(dir, name)
		if fi, err := os.Stat(file); err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

// tail keeps the end of what a program writes to stderr.
type tail struct{ b []byte }

const maxTail = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b); n > 2*maxTail {
		t.b = append(t.b[:0], t.b[n-maxTail:]...)
	}
	return len(p), nil
}

// String is the last three lines, joined.
func (t *tail) String() string {
	lines := strings.FieldsFunc(string(bytes.ToValidUTF8(t.b, []byte("?"))), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}

// Output collects what a program writes. More than 64 MiB is an error: what lists
// packages or datasets has a hundredth of that.
type Output struct{ b bytes.Buffer }

const maxOutput = 64 << 20

func (o *Output) Write(p []byte) (int, error) {
	if o.b.Len()+len(p) > maxOutput {
		return 0, fmt.Errorf("more than %d bytes of output", maxOutput)
	}
	return o.b.Write(p)
}

func (o *Output) String() string { return o.b.String() }

// Lines calls a function for each line written to it.
type Lines struct {
	Line func(string)
	b    []byte
}

const maxLine = 4 << 10

func (l *Lines) Write(p []byte) (int, error) {
	for _, c := range p {
		if c != '\n' && c != '\r' {
			l.b = append(l.b, c)
		}
		if c == '\n' || c == '\r' || len(l.b) == maxLine {
			l.Flush()
		}
	}
	return len(p), nil
}

// Flush shows what was written without an end of line.
func (l *Lines) Flush() {
	if len(l.b) > 0 {
		l.Line(string(bytes.ToValidUTF8(l.b, []byte("?"))))
		l.b = l.b[:0]
	}
}
