package native

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	pfexec   = "/usr/bin/pfexec"
	elevated = "ENGBLD_ELEVATED" // set in the environment of what pfexec was asked to run
)

// Elevate runs this process's command line again with pfexec, in its place. It
// returns nil where there is no pfexec or it was tried already: Open then says
// what is missing.
func Elevate() error {
	if os.Getenv(elevated) != "" {
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
	err = syscall.Exec(pfexec, args, elevatedEnviron(os.Environ(), os.Getuid()))
	return fmt.Errorf("pfexec %s: %w", self, err)
}

// elevatedEnviron says who asks for root's rights as sudo does: git and package
// owned take that user's files for ours then, and not for those of a stranger.
func elevatedEnviron(environ []string, uid int) []string {
	environ = slices.DeleteFunc(slices.Clone(environ), func(e string) bool { return strings.HasPrefix(e, "SUDO_UID=") })
	return append(environ, "SUDO_UID="+strconv.Itoa(uid), elevated+"=1")
}
