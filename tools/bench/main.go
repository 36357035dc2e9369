// Bench measures engbld against other tools doing the same work, on the same
// machine and in the same run (`make bench`).
//
// Each figure has an anchor: a well-known tool, or another way of doing the
// same. Figure and anchor take turns, the medians are compared, and one table
// says whether the target was met. Inputs come from seeded generators and are
// kept in a cache directory; every measured piece of work runs in a process of
// its own, so that its memory and CPU time are its own.
//
// What a row needs and the machine lacks (pigz, gcc, a checkout of upstream) is
// said in one line, and the row is left out.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/process"
)

// config is what the command line and the environment say.
type config struct {
	Short    bool   // scaled sizes, one run less
	Long     bool   // also what takes many minutes
	Runs     int    // of each side; 0 is the mode's
	Only     string // regular expression on the rows' names
	Cache    string // inputs, kept
	Out      string // raw values, JSON
	Profile  string // directory for CPU profiles of our side
	Root     string // the checkout that is measured
	Upstream string // checkout of upstream's makefiles, "" where there is none
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), process.Heard(os.Interrupt, syscall.SIGTERM)...)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer, getenv func(string) string) error {
	var c config
	var work, input string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.BoolVar(&c.Short, "short", getenv("BENCH") == "quick", "small inputs, under a minute; the targets are for the full sizes")
	f.BoolVar(&c.Long, "long", getenv("BENCH") == "long", "also the rows that take many minutes")
	f.IntVar(&c.Runs, "runs", 0, "runs of each side (default 5, short 3)")
	f.StringVar(&c.Only, "only", getenv("BENCH_ONLY"), "only rows whose names match this regular expression")
	f.StringVar(&c.Cache, "cache", "", "directory for the inputs (default build/bench)")
	f.StringVar(&c.Out, "out", "", "file for the raw values (default CACHE/results.json)")
	f.StringVar(&c.Profile, "profile", "", "write CPU profiles of our side into this directory")
	f.StringVar(&work, "child", "", "run one piece of work and print what it took (the bench calls itself with it)")
	f.StringVar(&input, "input", "", "with -child: its input as JSON")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("what is %q?", f.Arg(0))
	}
	if work != "" {
		return child(ctx, work, []byte(input), c.Profile, stdout)
	}
	var err error
	if c.Root, err = checkout(); err != nil {
		return err
	}
	c.Upstream = getenv("ENGBLD_UPSTREAM_ENG")
	if c.Cache == "" {
		c.Cache = filepath.Join(c.Root, "build", "bench")
	}
	if c.Cache, err = filepath.Abs(c.Cache); err != nil {
		return err
	}
	if c.Out == "" {
		c.Out = filepath.Join(c.Cache, "results.json")
	}
	if c.Profile != "" {
		if c.Profile, err = filepath.Abs(c.Profile); err != nil {
			return err
		}
		if err := os.MkdirAll(c.Profile, 0o755); err != nil {
			return err
		}
	}
	if c.Runs == 0 {
		c.Runs = 5
		if c.Short {
			c.Runs = 3
		}
	}
	only, err := regexp.Compile(c.Only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	b, err := newBench(ctx, c, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	var results []result
	var failure error // what was measured before it is shown all the same
	for _, r := range b.rows() {
		if !only.MatchString(r.name) || r.long && !c.Long {
			continue
		}
		res, err := b.measure(ctx, r)
		if err != nil {
			failure = fmt.Errorf("%s: %w", r.name, err)
			break
		}
		results = append(results, res)
	}
	printTable(stdout, c, results)
	raw, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	if err := newfile.Write(c.Out, append(raw, '\n'), 0o666); err != nil {
		return err
	}
	fmt.Fprintln(stderr, "bench: raw values are in", c.Out)
	return failure
}

// checkout is the top directory of the checkout the bench was started in.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "images", "buildenv.toml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("start it in a checkout of engbld")
		}
		dir = filepath.Dir(dir)
	}
}
