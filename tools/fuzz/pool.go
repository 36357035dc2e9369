package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxStarved = 10               // failures that do not repeat, before something else must be wrong
	again      = 2 * time.Minute  // for one input alone
	grace      = 10 * time.Second // for ending after an interrupt
)

// pool runs targets.
type pool struct {
	config
	temp string
	log  io.Writer

	mu       sync.Mutex
	had      ledger
	programs map[string]*program // by package
	cache    string              // of inputs
}

// program is a package's test program, built for fuzzing when first needed.
type program struct {
	once sync.Once
	path string
	err  error
}

// run gives each target its time, those that had least first.
func (p *pool) run(ctx context.Context, targets []target) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return fmt.Errorf("asking go for its cache: %w", err)
	}
	p.cache = filepath.Join(strings.TrimSpace(string(out)), "fuzz")
	p.programs = map[string]*program{}
	for _, t := range targets {
		p.programs[t.Package] = new(program)
		if p.had[t.key()] == nil {
			p.had[t.key()] = new(score)
		}
		p.had[t.key()].Failed = ""
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	busy := map[target]bool{}
	var wg sync.WaitGroup
	for range p.Jobs {
		wg.Go(func() {
			for ctx.Err() == nil {
				t, ok := p.next(targets, busy)
				if !ok {
					return
				}
				if err := p.slice(ctx, t); err != nil && ctx.Err() == nil {
					stop(err)
				}
				p.mu.Lock()
				delete(busy, t)
				p.mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	failed := 0
	for _, t := range targets {
		if p.had[t.key()].Failed != "" {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d targets failed", failed)
	}
	return nil
}

// next picks the target that had least of those nobody is at; false: all have
// had enough.
func (p *pool) next(targets []target, busy map[target]bool) (best target, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range targets {
		s := p.had[t.key()]
		if busy[t] || s.Failed != "" || s.CPU >= p.CPU.Seconds() {
			continue
		}
		if !ok || s.CPU < p.had[best.key()].CPU {
			best, ok = t, true
		}
	}
	if ok {
		busy[best] = true
	}
	return best, ok
}

var (
	progress = regexp.MustCompile(`execs: (\d+) \(.*\(total: (\d+)\)`)
	written  = regexp.MustCompile(`Failing input written to (testdata/fuzz/\S+)`)
	given    = regexp.MustCompile(`failure while testing seed corpus entry: \w+/(\S+)`)
)

// slice runs a target for a while.
func (p *pool) slice(ctx context.Context, t target) error {
	exe, err := p.program(ctx, t)
	if err != nil {
		return err
	}
	p.mu.Lock()
	s := p.had[t.key()]
	left := p.CPU - time.Duration(s.CPU*float64(time.Second))
	p.mu.Unlock()
	d := max(min(left, p.Slice), time.Second)
	cmd := exec.CommandContext(ctx, exe, "-test.run=^$", "-test.fuzz=^"+t.Name+"$", "-test.fuzztime="+d.String(),
		"-test.fuzzminimizetime=1x", "-test.parallel=1", "-test.fuzzcachedir="+filepath.Join(p.cache, filepath.FromSlash(t.Package)))
	cmd.Dir, cmd.Env = t.Dir, append(os.Environ(), "GOMAXPROCS=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	out, ended := cmd.CombinedOutput()
	used := 0.0
	if st := cmd.ProcessState; st != nil {
		used = (st.UserTime() + st.SystemTime()).Seconds() // with those of its workers
	}
	failed := ""
	if ended != nil && ctx.Err() == nil {
		if failed, err = p.failure(ctx, t, exe, out); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.CPU += used
	if m := progress.FindAllSubmatch(out, -1); m != nil {
		s.Runs += number(m[len(m)-1][1])
		s.Corpus = number(m[len(m)-1][2])
	}
	switch {
	case failed != "":
		s.Failed = failed
		fmt.Fprintf(p.log, "fuzz: %s FAILED: %s\n%s", t.key(), failed, tail(out))
	case ended != nil && ctx.Err() == nil:
		if s.Starved++; s.Starved > maxStarved {
			s.Failed = "it fails again and again, but with no input alone"
			fmt.Fprintf(p.log, "fuzz: %s FAILED: %s\n%s", t.key(), s.Failed, tail(out))
		}
	default:
		fmt.Fprintf(p.log, "fuzz: %s: %.0f of %.0f s\n", t.key(), s.CPU, p.CPU.Seconds())
	}
	return p.had.write(p.Out)
}

// failure tries the input that failed alone. It returns how to see it fail, or ""
// if it does not: the workers of a busy machine are taken for dead.
func (p *pool) failure(ctx context.Context, t target, exe string, out []byte) (string, error) {
	seed, found := "", written.FindSubmatch(out)
	if found != nil {
		seed = path.Base(string(found[1]))
	} else if m := given.FindSubmatch(out); m != nil {
		seed = string(m[1])
	} else {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, again)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "-test.run=^"+t.Name+"$/^"+regexp.QuoteMeta(seed)+"$")
	cmd.Dir, cmd.WaitDelay = t.Dir, grace
	if cmd.Run() != nil {
		return fmt.Sprintf("go test -run='^%s$/^%s$' %s", t.Name, seed, t.Package), nil
	}
	if found != nil {
		return "", os.Remove(filepath.Join(t.Dir, filepath.FromSlash(string(found[1]))))
	}
	return "", nil
}

// program builds a package's test program.
func (p *pool) program(ctx context.Context, t target) (string, error) {
	b := p.programs[t.Package]
	b.once.Do(func() {
		b.path = filepath.Join(p.temp, strings.ReplaceAll(t.Package, "/", "_"))
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-fuzz=.", "-o", b.path, t.Package)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("building the tests of %s: %w\n%s", t.Package, err, tail(out))
		}
	})
	return b.path, b.err
}

func number(b []byte) int64 {
	n, _ := strconv.ParseInt(string(b), 10, 64) // digits, as matched
	return n
}

// tail returns the last lines of a program's output.
func tail(b []byte) []byte {
	lines := bytes.SplitAfter(b, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-30):], nil)
}
