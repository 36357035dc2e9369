// Package targets is what mage shows. Each function is a verb of engbld or of the
// Go tools; the work is done in tools/app, the same as for make and the command
// line. A component's own magefile may import this package.
package targets

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/magefile/mage/mg"
	"github.com/magefile/mage/sh"

	"github.com/TritonDataCenter/engbld/tools/app"
)

// All checks the generated files, then builds every flavor.
func All(ctx context.Context) error {
	if err := (Gen{}).Check(ctx); err != nil {
		return err
	}
	return buildImages(ctx)
}

// BuildImage builds every flavor; a single one has a target of its own.
func BuildImage(ctx context.Context) error { return buildImages(ctx) }

// BitsUpload builds every flavor and uploads it, where the ENGBLD_BITS_UPLOAD
// settings say.
func BitsUpload(ctx context.Context) error {
	return command(ctx, "make", "--no-print-directory", "all-bits-upload")
}

// Plan shows what building a flavor would do: steps, inputs, and why.
func Plan(ctx context.Context, flavor string) error { return engbld(ctx, "plan", flavor) }

// Lock pins the inputs of a flavor in its flavor.lock.
func Lock(ctx context.Context, flavor string) error { return engbld(ctx, "lock", flavor) }

// Verify builds an image again from its recorded inputs and compares every byte.
func Verify(ctx context.Context, image string) error { return engbld(ctx, "verify", image) }

// Audit lists known vulnerabilities of an image's packages, by the flavor's policy.
func Audit(ctx context.Context, image string) error { return engbld(ctx, "audit", image) }

// Diff tells what an image changes in what it is based on.
func Diff(ctx context.Context, image string) error { return engbld(ctx, "image", "diff", image) }

// Sbom writes an image's bill of materials beside it.
func Sbom(ctx context.Context, image string) error {
	return engbld(ctx, "image", "sbom", "--beside", image)
}

// Provenance writes beside an image how it was made.
func Provenance(ctx context.Context, image string) error {
	return engbld(ctx, "image", "provenance", "--beside", image)
}

// Report writes an image's page into a file.
func Report(ctx context.Context, image, file string) error {
	return engbld(ctx, "report", "-o", file, image)
}

// Gen holds what is done to the files generated from the flavors.
type Gen mg.Namespace

// Write brings the generated files up to date.
func (Gen) Write(ctx context.Context) error { return engbld(ctx, "flavor", "generate") }

// Check compares the generated files with the flavors.
func (Gen) Check(ctx context.Context) error { return engbld(ctx, "flavor", "check") }

// Test runs the tests.
func Test(ctx context.Context) error { return command(ctx, goTool(), "test", "./...") }

// Check looks at format, vet, and generated files.
func Check(ctx context.Context) error {
	if out, err := sh.Output("gofmt", "-l", "images", "targets", "tools", "magefile.go"); err != nil {
		return err
	} else if out != "" {
		return mg.Fatalf(1, "gofmt -w would change:\n%s", out)
	}
	for _, args := range [][]string{{"vet", "./..."}, {"vet", "-tags", "mage", "."}} {
		if err := command(ctx, goTool(), args...); err != nil {
			return err
		}
	}
	return (Gen{}).Check(ctx)
}

func buildImages(ctx context.Context, flavors ...string) error {
	args := append([]string{"image", "build"}, flavors...)
	if len(flavors) == 0 {
		args = append(args, "--all")
	}
	return engbld(ctx, args...)
}

// engbld runs one engbld command in this process. It has printed its error; what
// is returned carries the exit code to mage.
func engbld(ctx context.Context, args ...string) error {
	env, err := app.OSEnv()
	if err != nil {
		return err
	}
	ctx, stop := app.WithSignals(ctx, true) // a signal to mage ends mage alone
	defer stop()
	if code := app.Main(ctx, env, args); code != 0 {
		return mg.Fatal(code, fmt.Sprintf("engbld %s: exit %d", args[0], code))
	}
	return nil
}

func goTool() string {
	if g := os.Getenv("ENGBLD_GO"); g != "" {
		return g
	}
	return "go"
}

// command runs a program with this process's terminal. When ctx or a signal ends
// it, it is asked to end: make then ends its own programs, and removes what is half
// made.
func command(ctx context.Context, name string, args ...string) error {
	ctx, stop := app.WithSignals(ctx, true)
	defer stop()
	c := exec.CommandContext(ctx, name, args...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 5 * time.Second // then it is made to
	if err := c.Run(); err != nil {
		return mg.Fatalf(sh.ExitStatus(err), "%s %v: %v", name, args, err)
	}
	return nil
}
