package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// sample is one run of one side.
type sample struct {
	Seconds float64 `json:"seconds"`       // wall clock of the work itself
	CPU     float64 `json:"cpu_seconds"`   // user and system time of the process and those it waited for
	Peak    int64   `json:"peak_bytes"`    // largest resident size of one process
	Size    int64   `json:"size_bytes"`    // of what was made, where that matters
	Load    float64 `json:"load"`          // of the machine before the run
	Work    int64   `json:"work,omitzero"` // files or bytes worked on
}

// side is one of the two that are compared.
type side struct {
	what string
	// prepare runs before each run and is not measured; nil is nothing.
	prepare func(ctx context.Context) error
	run     func(ctx context.Context) (sample, error)
}

// verdict judges medians: the ratio that counts and whether it meets the target.
type verdict struct {
	ratio string
	met   bool
}

// row is one figure.
type row struct {
	name         string
	ours, anchor side
	target       string
	judge        func(ours, anchor sample) verdict
	skip         string // why it cannot be measured here
	long         bool
	runs         int // 0: as many as usual
}

// result is a measured row.
type result struct {
	Name        string   `json:"name"`
	Ours        sample   `json:"ours"`
	Anchor      sample   `json:"anchor"`
	OursWhat    string   `json:"ours_what"`
	AnchorWhat  string   `json:"anchor_what"`
	Ratio       string   `json:"ratio"`
	Target      string   `json:"target"`
	Met         bool     `json:"met"`
	Skipped     string   `json:"skipped,omitempty"`
	RawOurs     []sample `json:"raw_ours"`
	RawAnchor   []sample `json:"raw_anchor"`
	Scaled      bool     `json:"scaled"`
	RatioOfCPU  float64  `json:"ratio_of_cpu"`
	RatioOfWall float64  `json:"ratio_of_wall"`
}

// measure runs both sides in turn.
func (b *bench) measure(ctx context.Context, r row) (result, error) {
	res := result{Name: r.name, OursWhat: r.ours.what, AnchorWhat: r.anchor.what, Target: r.target, Scaled: b.Short, Skipped: r.skip}
	if r.skip != "" {
		return res, nil
	}
	runs := cmp.Or(r.runs, b.Runs)
	for i := range runs {
		sides := []*side{&r.ours, &r.anchor}
		if i%2 == 1 {
			slices.Reverse(sides) // neither always finds the caches as the other left them
		}
		for _, s := range sides {
			if s.run == nil {
				continue
			}
			fmt.Fprintf(b.stderr, "bench: %s: %s (%d of %d)\n", r.name, s.what, i+1, runs)
			if s.prepare != nil {
				if err := s.prepare(ctx); err != nil {
					return res, fmt.Errorf("preparing %s: %w", s.what, err)
				}
			}
			load := loadAverage()
			got, err := s.run(ctx)
			var missing *missingError
			if errors.As(err, &missing) {
				res.Skipped = missing.Error()
				return res, nil
			}
			if err != nil {
				return res, fmt.Errorf("%s: %w", s.what, err)
			}
			got.Load = load
			if s == &r.ours {
				res.RawOurs = append(res.RawOurs, got)
			} else {
				res.RawAnchor = append(res.RawAnchor, got)
			}
		}
	}
	res.Ours, res.Anchor = median(res.RawOurs), median(res.RawAnchor)
	v := r.judge(res.Ours, res.Anchor)
	res.Ratio, res.Met = v.ratio, v.met
	if res.Anchor.CPU > 0 {
		res.RatioOfCPU = res.Ours.CPU / res.Anchor.CPU
	}
	if res.Anchor.Seconds > 0 {
		res.RatioOfWall = res.Ours.Seconds / res.Anchor.Seconds
	}
	return res, nil
}

// missingError is a tool or checkout that this machine lacks.
type missingError struct{ what string }

func (e *missingError) Error() string { return e.what }

// median of each value by itself.
func median(list []sample) sample {
	if len(list) == 0 {
		return sample{}
	}
	return sample{
		Seconds: middle(list, func(s sample) float64 { return s.Seconds }),
		CPU:     middle(list, func(s sample) float64 { return s.CPU }),
		Peak:    middle(list, func(s sample) int64 { return s.Peak }),
		Size:    middle(list, func(s sample) int64 { return s.Size }),
		Load:    middle(list, func(s sample) float64 { return s.Load }),
		Work:    middle(list, func(s sample) int64 { return s.Work }),
	}
}

func middle[T cmp.Ordered](list []sample, value func(sample) T) T {
	var all []T
	for _, s := range list {
		all = append(all, value(s))
	}
	return middleOf(all)
}

func middleOf[T cmp.Ordered](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[(len(list)-1)/2]
}

// ratioAtMost judges wall clock, and size where it is given.
func ratioAtMost(limit, sizeLimit float64) func(ours, anchor sample) verdict {
	return func(ours, anchor sample) verdict {
		r := ours.Seconds / anchor.Seconds
		v := verdict{fmt.Sprintf("%.2f", r), r <= limit}
		if sizeLimit > 0 {
			s := float64(ours.Size) / float64(anchor.Size)
			v.ratio += fmt.Sprintf(", size %.3f", s)
			v.met = v.met && s <= sizeLimit
		}
		return v
	}
}

// command runs a program with measured time and memory. Its output goes
// nowhere; what it says on stderr becomes part of the error.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (sample, error) {
	if _, err := exec.LookPath(name); err != nil {
		return sample{}, &missingError{name + " is not installed"}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	err := cmd.Start()
	var largest func() int64
	if err == nil {
		largest = watch(cmd)
		err = cmd.Wait()
	}
	s := sample{Seconds: time.Since(start).Seconds()}
	if largest != nil {
		s.Peak = largest()
	}
	if cmd.ProcessState != nil {
		s.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	if err != nil {
		return s, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(stderr.String()))
	}
	return s, nil
}

// shell runs a line of shell.
func shell(ctx context.Context, dir string, env []string, line string) (sample, error) {
	return command(ctx, dir, env, "sh", "-ec", line)
}

func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// self runs one piece of work in a process of its own, on so many CPUs.
func (b *bench) self(ctx context.Context, cpus int, work string, input any) (sample, error) {
	raw, err := json.Marshal(input)
	if err != nil {
		return sample{}, err
	}
	args := []string{"-child", work, "-input", string(raw)}
	if b.Profile != "" {
		args = append(args, "-profile", b.Profile)
	}
	cmd := exec.CommandContext(ctx, b.exe, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(cpus), "TMPDIR="+b.tmp)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("%w\n%s", err, tail(stderr.String()))
	}
	var s sample
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		return s, err
	}
	return s, nil
}

// gain is how much sooner two processes that only compute, and share nothing, are
// done at once than one after the other.
func (b *bench) gain(ctx context.Context) (float64, error) {
	took := func(atOnce int) (float64, error) {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(atOnce)
		start := time.Now()
		for range 2 {
			g.Go(func() error {
				_, err := b.self(ctx, 1, "compute", struct{}{})
				return err
			})
		}
		err := g.Wait()
		return time.Since(start).Seconds(), err
	}
	apart, err := took(1)
	if err != nil {
		return 0, err
	}
	together, err := took(2)
	return apart / together, err
}

// loadAverage is the machine's over the last minute; 0 where it is not told.
func loadAverage() float64 {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(raw), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}

// fileSize is 0 for what is not there.
func fileSize(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// temporary is a directory in memory where the machine has one.
func temporary() (*newfile.Dir, error) {
	if runtime.GOOS == "linux" {
		if dir, err := newfile.MakeDir("/dev/shm", "bench"); err == nil {
			return dir, nil
		}
	}
	return newfile.MakeDir("", "bench")
}

func dirSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n += fileSize(p)
		}
		return nil
	})
	return n
}
