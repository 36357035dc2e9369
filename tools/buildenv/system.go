package buildenv

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

	"golang.org/x/sys/unix"

	"github.com/TritonDataCenter/engbld/tools/process"
)

// System is the machine, as far as the checks see it.
type System interface {
	// Run runs a program to its end. A program that ran and failed is no error:
	// Output.Status tells. One that could not be started is.
	Run(ctx context.Context, c Cmd) (Output, error)
	// ReadFile reads a small file.
	ReadFile(name string) ([]byte, error)
	// Executable tells whether name is a program that may be started.
	Executable(name string) bool
	// Room tells what can be written below dir, which need not exist yet.
	Room(dir string) (Room, error)
}

// Cmd is a program to run.
type Cmd struct {
	Dir  string
	Args []string // the program (a path, or a name to look for on PATH) and its arguments
	Env  []string // NAME=VALUE, instead of or beside the machine's own
}

// Output is what a program left.
type Output struct {
	Stdout, Stderr string
	Status         int
}

// Room is what can be written below a directory.
type Room struct {
	At       string // the directory, or the nearest above it that exists
	Free     uint64 // bytes that an ordinary user may fill
	Writable bool   // by this process
}

const (
	maxOutput = 4 << 20         // pkgin list of a full machine has some 100 KiB
	maxRead   = 8 << 20         // package-lock.json is the largest that is read
	maxTime   = 2 * time.Minute // for a program; make may fetch a submodule first
	stopDelay = 5 * time.Second // between asking a program to end and making it
)

// Local is this machine. Environ is the environment of programs, nil that of this
// process.
type Local struct {
	Environ []string
}

// Run implements System. Programs speak English, get no input, and end with all
// they have started.
func (l Local) Run(ctx context.Context, c Cmd) (Output, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir = c.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal to ask at
	env := l.Environ
	if env == nil {
		env = os.Environ()
	}
	cmd.Env = append(append(append([]string(nil), env...), "LC_ALL=C"), c.Env...)
	var out, err bounded
	cmd.Stdout, cmd.Stderr = &out, &err
	runErr := process.Run(ctx, cmd, stopDelay)
	res := Output{Stdout: out.String(), Stderr: err.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return res, fmt.Errorf("running %s: %w", strings.Join(c.Args, " "), context.Cause(ctx))
	case errors.As(runErr, &exit):
		res.Status = exit.ExitCode()
	case runErr != nil:
		return res, fmt.Errorf("running %s: %w", strings.Join(c.Args, " "), runErr)
	}
	return res, nil
}

// bounded keeps the first maxOutput bytes and takes the rest without keeping it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if left := maxOutput - b.Len(); left > 0 {
		b.Buffer.Write(p[:min(left, len(p))])
	}
	return len(p), nil
}

// ReadFile implements System.
func (Local) ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRead))
}

// Executable implements System.
func (Local) Executable(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular() && unix.Access(name, unix.X_OK) == nil
}

// Room implements System.
func (Local) Room(dir string) (Room, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return Room{}, err
	}
	for {
		if st, err := os.Stat(at); err == nil && st.IsDir() {
			break
		} else if err == nil {
			return Room{At: at}, fmt.Errorf("%s is not a directory", at)
		}
		up := filepath.Dir(at)
		if up == at {
			return Room{}, fmt.Errorf("nothing of %s exists", dir)
		}
		at = up
	}
	n, err := free(at)
	if err != nil {
		return Room{At: at}, fmt.Errorf("asking for the free space of %s: %w", at, err)
	}
	return Room{At: at, Free: n, Writable: unix.Access(at, unix.W_OK) == nil}, nil
}

// look finds program on path, as a shell does.
func look(sys System, path, program string) (string, bool) {
	for _, dir := range filepath.SplitList(path) {
		if full := filepath.Join(dir, program); dir != "" && sys.Executable(full) {
			return full, true
		}
	}
	return "", false
}
