//go:build linux

package native_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/app"
	"github.com/TritonDataCenter/engbld/tools/build"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgstore"
	"github.com/TritonDataCenter/engbld/tools/native"
)

// job is a build in a process of its own, and what goes wrong in it.
type job struct {
	Tools, Set, State, Source, Cache, Out, Temp, Log string
	Request                                          build.Request
	Env                                              map[string]string

	Sweep bool   // no build, just what the beginning of one cleans up
	At    int    // number of the command at which something happens; -1 is never
	When  string // before, during or after it
	What  string // error, wait, or the name of a signal
	Flag  string // a file that is made by who waits for another build, which is what wait waits for
	After string // a file that must be there before a clone is made; "" is none
}

const (
	jobVar = "ENGBLD_TEST_JOB"
	cliVar = "ENGBLD_TEST_CLI" // the process is the engbld command
)

func TestMain(m *testing.M) {
	if raw := os.Getenv(jobVar); raw != "" {
		os.Exit(doJob(raw))
	}
	if os.Getenv(cliVar) != "" {
		env, err := app.OSEnv()
		if err != nil {
			os.Exit(99)
		}
		ctx, stop := app.WithSignals(context.Background(), false)
		defer stop()
		os.Exit(app.Main(ctx, env, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// run runs a job and returns its exit code and what it said.
func (j job) run(t *testing.T) (code int, story string) {
	t.Helper()
	raw, err := json.Marshal(j)
	must(t, err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), jobVar+"="+string(raw))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		code = exit.ExitCode()
		if s := exit.Sys().(syscall.WaitStatus); s.Signaled() {
			code = 128 + int(s.Signal())
		}
	default:
		t.Fatal(err)
	}
	return code, string(out)
}

// log returns the commands of the job that ran last.
func (j job) log(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile(j.Log)
	must(t, err)
	return strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
}

// plainStory writes what people are told.
type plainStory struct {
	*os.File
	flag string
}

func (s plainStory) Step(name, format string, args ...any) { s.Infof(name+": "+format, args...) }
func (s plainStory) Infof(format string, args ...any) {
	line := fmt.Sprintf(format+"\n", args...)
	fmt.Fprint(s, line)
	if s.flag != "" && strings.Contains(line, "waiting for it") {
		_ = os.WriteFile(s.flag, nil, 0o644)
	}
}
func (s plainStory) Detailf(format string, args ...any) { s.Infof(format, args...) }
func (s plainStory) Warnf(format string, args ...any)   { s.Infof("warning: "+format, args...) }

// doJob is the process of a job: the engbld command as far as the engine goes.
func doJob(raw string) int {
	var j job
	if err := json.Unmarshal([]byte(raw), &j); err != nil {
		fmt.Println(err)
		return 99
	}
	ctx, stop := app.WithSignals(context.Background(), false)
	defer stop()
	err := j.do(ctx)
	if err == nil {
		return 0
	}
	fmt.Printf("error: %v\nhint: %s\n", err, fault.Hint(err))
	if cause := context.Cause(ctx); cause != nil {
		for name, s := range map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
			if strings.Contains(cause.Error(), name) {
				return 128 + int(s)
			}
		}
	}
	return int(fault.KindOf(err))
}

func (j job) do(ctx context.Context) error {
	log, err := os.Create(j.Log)
	if err != nil {
		return err
	}
	story := plainStory{os.Stdout, j.Flag}
	o := native.Options{
		Runner:  &trouble{job: j, log: log, inner: &native.Programs{Path: []string{filepath.Join(j.Tools, "sbin")}}},
		Dataset: j.Set, StateDir: j.State, Log: story, Getenv: func(name string) string { return j.Env[name] },
	}
	if j.Sweep {
		s, err := native.Open(ctx, o)
		if err != nil {
			return err
		}
		return s.Close(ctx)
	}
	source, err := imgstore.NewDir(j.Source)
	if err != nil {
		return err
	}
	store, err := imgstore.Open(imgstore.Options{CacheDir: j.Cache, Sources: []imgstore.Source{source}})
	if err != nil {
		return err
	}
	_, err = build.Run(ctx, j.Request, build.Options{Out: j.Out, Images: store, TempDir: j.Temp, Story: story, Native: &o, AllowForeign: true})
	return err
}

// trouble notes commands and makes trouble at one of them.
type trouble struct {
	job
	inner native.Runner
	log   *os.File
	n     int
}

func (r *trouble) Run(ctx context.Context, c native.Command) error {
	fmt.Fprintln(r.log, c)
	here := r.n == r.At
	r.n++
	if r.After != "" && strings.HasPrefix(c.String(), "zfs clone ") && !appears(r.After) {
		return errors.New("the other build does not end")
	}
	if here && r.When == "before" {
		if err := r.happen(ctx); err != nil {
			return err
		}
	}
	if here && r.When == "during" {
		go func() {
			time.Sleep(3 * time.Millisecond)
			r.happen(ctx)
		}()
	}
	err := r.inner.Run(ctx, c)
	if here && r.When == "after" && err == nil {
		err = r.happen(ctx)
	}
	return err
}

func (r *trouble) happen(ctx context.Context) error {
	var sig syscall.Signal
	switch r.What {
	case "error":
		return errors.New("trouble")
	case "wait":
		if !appears(r.Flag) {
			return errors.New("no other build waits")
		}
		return nil
	case "SIGINT":
		sig = syscall.SIGINT
	case "SIGTERM":
		sig = syscall.SIGTERM
	case "SIGKILL":
		sig = syscall.SIGKILL
	}
	syscall.Kill(os.Getpid(), sig)
	select {
	case <-ctx.Done():
	case <-time.After(time.Second): // cleaning up goes on
	}
	return nil
}

// appears waits for a file.
func appears(name string) bool {
	for range 12000 { // two minutes
		if _, err := os.Stat(name); err == nil {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}
