//go:build linux

package native_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingIsLeftBehind is the table of commands and what happens at them: an
// error, a signal that asks to stop, a kill. After the first two nothing is left
// when the build has ended, after the last one when the next build has begun. A
// whole table takes minutes: without ENGBLD_NATIVE_FULL=1 it is every so many of
// its cells.
func TestNothingIsLeftBehind(t *testing.T) {
	p := inPool(t)
	if p == nil {
		return
	}
	j := p.newJob(t, p.makeImages(t))
	before := p.mounts(t)
	if code, story := j.run(t); code != 0 {
		t.Fatalf("exit code %d\n%s", code, story)
	}
	commands := j.log(t)
	every, cell := 47, 0
	if os.Getenv(fullVar) == "1" {
		every = 1
	}
	for at, command := range commands {
		for _, what := range []string{"error", "SIGINT", "SIGTERM", "SIGKILL"} {
			for _, when := range []string{"before", "during", "after"} {
				if what == "error" && when == "during" {
					continue
				}
				if cell++; cell%every != 0 {
					continue
				}
				name := fmt.Sprintf("%02d %s %s %s", at, what, when, strings.Join(strings.Fields(command)[:2], " "))
				t.Run(name, func(t *testing.T) {
					j := j
					j.At, j.What, j.When, j.Out = at, what, when, filepath.Join(t.TempDir(), "out")
					if strings.Contains(strings.Join(commands[at:], "\n"), "zfs receive") {
						p.zfs(t, "destroy", "-r", p.set)
						p.zfs(t, "create", p.set)
					}
					p.trouble(t, j, before)
				})
			}
		}
	}
}

// trouble runs a job that ends as it says, and looks for what it left.
func (p *pool) trouble(t *testing.T, j job, mounts []string) {
	t.Helper()
	code, story := j.run(t)
	want := map[string][]int{"error": {4, 5, 6}, "SIGINT": {130}, "SIGTERM": {143}, "SIGKILL": {137}}[j.What]
	whole := strings.Contains(strings.Join(entries(t, j.Out), " "), ".imgmanifest")
	switch {
	case code == 0 && !whole:
		t.Error("exit code 0, and no image")
	case code == 0: // it came too late, or while cleaning up, which is tried again
	case whole && j.What != "SIGKILL":
		t.Errorf("exit code %d, and an image", code)
	case !contains(want, code):
		t.Errorf("exit code %d, want one of %v", code, want)
	}
	if j.What == "SIGKILL" {
		j.At, j.Sweep = -1, true
		if code, again := j.run(t); code != 0 {
			t.Errorf("cleaning up: exit code %d\n%s", code, again)
		}
		for _, name := range entries(t, j.Out) {
			if !whole && !strings.HasPrefix(name, ".engbld-") {
				t.Errorf("left behind: %s", name)
			}
		}
		j.Out = filepath.Join(t.TempDir(), "none")
	}
	p.nothingLeft(t, j, mounts)
	if t.Failed() {
		t.Logf("%s", story)
	}
}

func contains(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}
