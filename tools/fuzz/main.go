// Fuzz gives each fuzz target of the module its share of CPU time (`make fuzz`).
//
// Targets take turns in slices, as many at once as there are CPUs. What each has
// had is kept in a file and added up, so that a run that was stopped goes on. An
// input that fails is kept as a seed below the package's testdata/fuzz; one that
// fails only because the machine was too busy is not.
//
// The input corpus is go test's own, below the build cache.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/TritonDataCenter/engbld/tools/newfile"
	"github.com/TritonDataCenter/engbld/tools/process"
)

// config is what the command line says.
type config struct {
	CPU   time.Duration // for each target, all runs together
	Slice time.Duration // at a time
	Jobs  int           // at once
	Only  *regexp.Regexp
	Out   string // where what targets have had is kept
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), process.Heard(os.Interrupt, syscall.SIGTERM)...)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fuzz: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer, getenv func(string) string) error {
	c := config{CPU: 10 * time.Minute, Jobs: runtime.NumCPU()}
	if v := getenv("FUZZ"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return fmt.Errorf("FUZZ=%s is no time such as 10m or 3s", v)
		}
		c.CPU = d
	}
	var only string
	f := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.DurationVar(&c.CPU, "cpu", c.CPU, "CPU time for each target, all runs together (default FUZZ)")
	f.DurationVar(&c.Slice, "slice", 2*time.Minute, "longest time at a stretch")
	f.IntVar(&c.Jobs, "jobs", c.Jobs, "targets at once")
	f.StringVar(&only, "only", "", "only targets whose PACKAGE.NAME matches this regular expression")
	f.StringVar(&c.Out, "out", filepath.Join("build", "fuzz", "results.json"), "what each target has had")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("what is %q?", f.Arg(0))
	}
	if c.Jobs < 1 || c.Slice <= 0 {
		return errors.New("-jobs and -slice must be positive")
	}
	var err error
	if c.Only, err = regexp.Compile(only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	had, err := readLedger(c.Out)
	if err != nil {
		return err
	}
	targets, err := find(ctx, c.Only)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("no target of that name")
	}
	temp, err := newfile.MakeDir("", "fuzz")
	if err != nil {
		return err
	}
	defer temp.Remove()
	p := &pool{config: c, temp: temp.Name, had: had, log: stderr}
	err = p.run(ctx, targets)
	show(stdout, targets, had)
	return err
}

// score is what a target has had.
type score struct {
	CPU     float64 `json:"cpu_seconds"`
	Runs    int64   `json:"inputs"`  // tried
	Corpus  int64   `json:"corpus"`  // inputs that go different ways
	Starved int     `json:"starved"` // failures that did not repeat
	Failed  string  `json:"failed,omitempty"`
}

// ledger has the scores by PACKAGE.NAME.
type ledger map[string]*score

func readLedger(name string) (ledger, error) {
	l := ledger{}
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &l)
	}
	if err != nil {
		return nil, fmt.Errorf("what targets had before: %w; delete %s to begin anew", err, name)
	}
	return l, nil
}

func (l ledger) write(name string) error {
	raw, err := json.MarshalIndent(l, "", " ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(name), 0o777)
	}
	if err == nil {
		err = newfile.Write(name, append(raw, '\n'), 0o666)
	}
	return err
}

// show prints the table.
func show(w io.Writer, targets []target, had ledger) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "TARGET\tCPU\tINPUTS\tCORPUS\tRESULT")
	slices.SortFunc(targets, func(a, b target) int { return strings.Compare(a.key(), b.key()) })
	for _, x := range targets {
		s := had[x.key()]
		if s == nil {
			s = new(score)
		}
		result := "no failure"
		switch {
		case s.Failed != "":
			result = "FAILED: " + s.Failed
		case s.CPU == 0:
			result = "not run"
		}
		if s.Starved > 0 && s.Failed == "" {
			result += fmt.Sprintf(" (%d did not repeat)", s.Starved)
		}
		fmt.Fprintf(t, "%s\t%.0f s\t%d\t%d\t%s\n", x.key(), s.CPU, s.Runs, s.Corpus, result)
	}
	t.Flush()
}
