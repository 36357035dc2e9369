// Package cores says how many CPUs this program uses, and when.
package cores

import (
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// alone is how long a program that make -j runs beside others uses one CPU. An
// image of a few small packages is made in less, and work divided among CPUs that
// others use costs more than it gains; one that takes longer has use for them all,
// and is perhaps the last that make waits for.
const alone = 150 * time.Millisecond

// held is how many CPUs there will be, while there is one; else 0.
var held atomic.Int32

// All returns how many CPUs the program uses, or will soon.
func All() int {
	if n := held.Load(); n > 0 {
		return int(n)
	}
	return runtime.GOMAXPROCS(0)
}

// Begin leaves the other CPUs to the programs that make -j runs at the same time,
// for the first moments. Whoever sets GOMAXPROCS gets just that.
func Begin(getenv func(string) string) {
	if getenv("GOMAXPROCS") == "" && Shared(getenv) {
		hold(alone)
	}
}

// hold goes back to one CPU, and after d to all of them.
func hold(d time.Duration) *time.Timer {
	all := runtime.GOMAXPROCS(0)
	held.Store(int32(all))
	runtime.GOMAXPROCS(1)
	return time.AfterFunc(d, func() {
		runtime.GOMAXPROCS(all)
		held.Store(0)
	})
}

// Shared reports whether make runs several programs at a time: MAKEFLAGS has -j,
// with a number other than 1, before what may be variables.
func Shared(getenv func(string) string) bool {
	for _, w := range strings.Fields(getenv("MAKEFLAGS")) {
		if w == "--" || strings.Contains(w, "=") && !strings.HasPrefix(w, "-") {
			return false
		}
		if n, ok := strings.CutPrefix(w, "-j"); ok && n != "1" {
			return true
		}
	}
	return false
}
