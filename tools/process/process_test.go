package process

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Getenv("PROCESS_TEST_HEARD") != "" {
		for _, s := range Heard(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM) {
			io.WriteString(os.Stdout, s.String()+" ")
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Whoever the program started is gone when Run returns, also who does not stop
// when asked to: nobody has the fifo open any more.
func TestWholeGroupEnds(t *testing.T) {
	t.Parallel()
	const child = `sh -c 'exec 3<>hold; echo up >up; while :; do read x <&3; done; : >late'`
	for name, tt := range map[string]struct {
		script  string
		grace   time.Duration
		session bool
	}{
		"asked":                     {child + " & wait", time.Hour, false},
		"in a session of its own":   {child + " & wait", time.Hour, true},
		"the program ends at once":  {"trap 'exit 7' TERM; " + child + " & wait", time.Hour, false},
		"made to":                   {"trap '' TERM; " + child + " & wait", time.Millisecond, false},
		"only the child must be":    {"(trap '' TERM; " + child + ") & wait", time.Millisecond, false},
		"with the program's output": {child + " & exec sleep 1000", time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, f := range []string{"hold", "up"} {
				if err := unix.Mkfifo(filepath.Join(dir, f), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cause := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				os.ReadFile(filepath.Join(dir, "up")) // until the child is there
				cancel(cause)
			}()
			cmd := exec.Command("sh", "-c", tt.script)
			cmd.Dir = dir
			cmd.Stdout = io.MultiWriter(io.Discard) // a pipe
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: tt.session}
			if err := Run(ctx, cmd, tt.grace); !errors.Is(err, cause) {
				t.Errorf("Run = %v, want the context's cause", err)
			}
			f, err := os.OpenFile(filepath.Join(dir, "hold"), os.O_WRONLY|syscall.O_NONBLOCK, 0)
			if !errors.Is(err, syscall.ENXIO) {
				f.Close()
				t.Errorf("somebody is left: %v", err)
			}
		})
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	cmd := exec.Command("sh", "-c", "echo out; exit 3")
	cmd.Stdout = &out
	var exit *exec.ExitError
	if err := Run(t.Context(), cmd, time.Hour); !errors.As(err, &exit) || exit.ExitCode() != 3 || out.String() != "out\n" {
		t.Errorf("Run = %v, output %q", err, &out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd = exec.Command("sh", "-c", ":")
	if err := Run(ctx, cmd, time.Hour); !errors.Is(err, context.Canceled) || cmd.Process != nil {
		t.Errorf("Run = %v with a context that has ended", err)
	}
}

// What whoever starts a program ignores stays ignored.
func TestHeard(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for ignored, want := range map[string][]string{"": {"hangup", "interrupt"}, "HUP": {"interrupt"}, "INT": {"hangup"}, "HUP INT": nil} {
		cmd := exec.Command("sh", "-c", `[ -z "$2" ] || trap '' $2; exec "$1"`, "sh", exe, ignored)
		cmd.Env = append(os.Environ(), "PROCESS_TEST_HEARD=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Fields(string(out))
		for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT} {
			if signal.Ignored(s) { // also without us
				want = slices.DeleteFunc(want, func(w string) bool { return w == s.String() })
			}
		}
		if want = append(want, "terminated"); !slices.Equal(got, want) {
			t.Errorf("with %q ignored: %q, want %q", ignored, got, want)
		}
	}
}
