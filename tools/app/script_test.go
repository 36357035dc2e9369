package app

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite what the scripts compare with")

// TestMain makes engbld itself a command of the scripts, and signalled, which tells
// the first of some signals to itself that ends its context.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"engbld": func() {
		env, err := OSEnv()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(6)
		}
		ctx, stop := WithSignals(context.Background(), false)
		code := Main(ctx, env, os.Args[1:])
		stop()
		os.Exit(code)
	}, "signalled": func() {
		ctx, stop := WithSignals(context.Background(), false)
		defer stop()
		for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
			if err := syscall.Kill(os.Getpid(), s); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		<-ctx.Done()
		fmt.Println(context.Cause(ctx))
	}})
}

// TestScripts runs testdata/script/*.txt: commands, what they answer, and the
// files they work on. A script starts in an empty directory with a cache of its
// own and no network; $TOOLS is the directory of the project's tools. What takes
// more than a second begins with "[short] skip".
//
// An exit code other than 0 and 1 is asked for with "code N engbld …".
func TestScripts(t *testing.T) {
	t.Parallel()
	tools, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TOOLS", tools)
			env.Setenv("ENGBLD_CACHE_DIR", filepath.Join(env.WorkDir, ".cache"))
			env.Setenv("ENGBLD_OFFLINE", "true")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"code": code},
	})
}

// code is the command "code N COMMAND…": the command must end with that code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND [ARGS]")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = -1
		if e, ok := err.(interface{ ExitCode() int }); ok {
			got = e.ExitCode()
		}
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("%s: exit code %d, want %s", args[1], got, args[0])
	}
}
