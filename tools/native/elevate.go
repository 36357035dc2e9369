package native

import (
	"fmt"
	"os"
	"slices"
	"syscall"
)

const pfexec = "/usr/bin/pfexec"

// Elevated is a variable that is set in the environment of what Elevate runs.
const Elevated = "ENGBLD_ELEVATED"

// Elevate runs this process's command line again with pfexec, in its place. It
// returns nil where there is no pfexec or it was tried already: Open then says
// what is missing. The variables, NAME=value, are added to the environment.
func Elevate(variables ...string) error {
	if os.Getenv(Elevated) != "" {
		return nil
	}
	if _, err := os.Stat(pfexec); err != nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("pfexec: %w", err)
	}
	args := append([]string{pfexec, self}, os.Args[1:]...)
	err = syscall.Exec(pfexec, args, slices.Concat(os.Environ(), variables, []string{Elevated + "=1"}))
	return fmt.Errorf("pfexec %s: %w", self, err)
}
