package cores

import (
	"runtime"
	"testing"
	"time"
)

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// What GNU make 3.81, 4.3 and 4.4 give to the programs they run.
func TestShared(t *testing.T) {
	for flags, want := range map[string]bool{
		"":                          false,
		"n":                         false,
		"--jobserver-fds=3,4 -j":    true,
		" -j2 --jobserver-auth=3,4": true,
		"k -j2 --jobserver-auth=3,4 --no-print-directory":   true,
		" -j8 --jobserver-auth=fifo:/tmp/GMfifo1 -- NAME=x": true,
		" -j":                            true,
		" -j1":                           false,
		"-- DIR=-j2 -j3":                 false,
		"NAME=a -j3":                     false,
		" --no-print-directory -- A=-j ": false,
	} {
		if got := Shared(env(map[string]string{"MAKEFLAGS": flags})); got != want {
			t.Errorf("%q: %v", flags, got)
		}
	}
}

func TestHold(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)
	timer := hold(time.Hour)
	if n, all := runtime.GOMAXPROCS(0), All(); n != 1 || all != 3 {
		t.Errorf("in the beginning %d, in all %d", n, all)
	}
	timer.Reset(0)
	for end := time.Now().Add(time.Minute); held.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("one CPU for ever")
		}
	}
	if n, all := runtime.GOMAXPROCS(0), All(); n != 3 || all != 3 {
		t.Errorf("then %d, in all %d", n, all)
	}
}

func TestBegin(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)
	for _, vars := range []map[string]string{
		{"MAKEFLAGS": "n"},
		{"MAKEFLAGS": " -j2 --jobserver-auth=3,4", "GOMAXPROCS": "3"},
	} {
		if Begin(env(vars)); runtime.GOMAXPROCS(0) != 3 {
			t.Errorf("%v: %d", vars, runtime.GOMAXPROCS(0))
		}
	}
}
