package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// A piece of work prepares itself and returns what is measured. The measured
// part returns the size of what it made and how much it worked on.
type work func(ctx context.Context, input []byte) (measured func(ctx context.Context) (size, amount int64, err error), err error)

func works() map[string]work {
	return map[string]work{
		"write":   decoded(writeWork),
		"base":    decoded(baseWork),
		"install": decoded(installWork),
		"growth":  decoded(growthWork),
		"compute": decoded(computeWork),
	}
}

// decoded gives a piece of work its input.
func decoded[T any](f func(ctx context.Context, in T) (func(ctx context.Context) (int64, int64, error), error)) work {
	return func(ctx context.Context, raw []byte) (func(ctx context.Context) (int64, int64, error), error) {
		var in T
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, err
		}
		return f(ctx, in)
	}
}

// child runs one piece of work and prints what it took.
func child(ctx context.Context, name string, input []byte, profiles string, stdout io.Writer) error {
	w := works()[name]
	if w == nil {
		return fmt.Errorf("no work %q", name)
	}
	measured, err := w(ctx, input)
	if err != nil {
		return err
	}
	if profiles != "" {
		f, err := os.Create(filepath.Join(profiles, fmt.Sprintf("%s-%d.pprof", name, os.Getpid())))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	start, cpu := time.Now(), cpuTime()
	size, amount, err := measured(ctx)
	if err != nil {
		return err
	}
	s := sample{Seconds: time.Since(start).Seconds(), CPU: (cpuTime() - cpu).Seconds(), Size: size, Work: amount, Peak: highWater("self")}
	return json.NewEncoder(stdout).Encode(s)
}
