// Command engbld builds, looks into and publishes Triton images on any machine.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/TritonDataCenter/engbld/tools/app"
)

func main() {
	env, err := app.OSEnv()
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(6)
	}
	ctx, stop := app.WithSignals(context.Background())
	code := app.Main(ctx, env, os.Args[1:])
	stop()
	os.Exit(code)
}
