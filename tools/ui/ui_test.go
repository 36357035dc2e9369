package ui

import (
	"bytes"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

func speak(opts Options, f func(*UI)) string {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	opts.Out = &out
	opts.Now = func() time.Time { defer func() { now = now.Add(1500 * time.Millisecond) }(); return now }
	f(New(opts))
	return out.String()
}

func TestStory(t *testing.T) {
	t.Parallel()
	got := speak(Options{Prefix: "image"}, func(u *UI) {
		u.Step("base", "fetching %s", "x")
		u.Detailf("not said")
		u.Warnf("odd \x1b[31mname")
		u.Error(fault.WithHint(fault.Network.Errorf("no route"), "try later"))
	})
	want := "[   1.5s] image: base: fetching x\n" +
		"[   3.0s] image: warning: odd \\x1b[31mname\n" +
		"error: no route\nhint:  try later\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestQuietSaysOnlyWarningsAndErrors(t *testing.T) {
	t.Parallel()
	got := speak(Options{Quiet: true}, func(u *UI) {
		u.Step("base", "x")
		u.Infof("y")
		u.Progress("z", 1, 2)
		u.Warnf("w")
	})
	if want := "[   1.5s] warning: w\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLiveLineIsClearedBeforeOthers(t *testing.T) {
	t.Parallel()
	got := speak(Options{Live: true}, func(u *UI) {
		u.Progress("file", 1024, 2048)
		u.Infof("done")
	})
	want := "file 1.0 KiB of 2.0 KiB (50%)\r\x1b[K[   1.5s] done\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5.0 GiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	got := speak(Options{JSON: true, Verbose: true, Color: true, Live: true, Prefix: "image"}, func(u *UI) {
		u.Step("base", "fetching %s", "<x>")
		u.Infof("i")
		u.Detailf("d")
		u.Progress("file", 1, 2)
		u.Warnf("odd \x1b[31mname")
		u.Error(fault.WithHint(fault.Network.Errorf("no route"), "try later"))
	})
	want := `{"elapsed":1.5,"level":"step","image":"image","step":"base","message":"fetching <x>"}
{"elapsed":3,"level":"info","image":"image","message":"i"}
{"elapsed":4.5,"level":"detail","image":"image","message":"d"}
{"elapsed":6,"level":"warning","image":"image","message":"odd \\x1b[31mname"}
{"elapsed":7.5,"level":"error","image":"image","message":"no route","hint":"try later"}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
