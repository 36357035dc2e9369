// Command engbld builds, looks into and publishes Triton images on any machine.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/TritonDataCenter/engbld/tools/app"
	"github.com/TritonDataCenter/engbld/tools/cores"
)

// memoryLimit is where the garbage collector begins to work harder: an image of
// a million files fits, smaller ones never come near.
const memoryLimit = 720 << 20

func main() {
	cores.Begin(os.Getenv)
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	env, err := app.OSEnv()
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(6)
	}
	ctx, stop := app.WithSignals(context.Background(), os.Getenv("MAKELEVEL") != "")
	code := app.Main(ctx, env, os.Args[1:])
	stop()
	os.Exit(code)
}
