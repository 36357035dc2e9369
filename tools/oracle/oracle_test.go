package oracle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/oracle"
)

// The independent generator's streams must be received and listed as it says;
// that proves the tools themselves. handmade.py needs Python.
func TestHandmade(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	dir := t.TempDir()
	if _, stderr, exit := oracle.Run(t, "handmade.py", dir); exit != 0 {
		t.Skipf("handmade.py: exit %d: %s", exit, stderr)
	}
	want, err := os.ReadFile(filepath.Join(dir, "incr.listing"))
	if err != nil {
		t.Fatal(err)
	}
	got := oracle.Check(t, oracle.Options{}, filepath.Join(dir, "base.zfs"), filepath.Join(dir, "incr.zfs"))
	if strings.Join(got, "\n")+"\n" != string(want) {
		t.Errorf("listing of handmade.py's increment differs")
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	f := filepath.Join(t.TempDir(), "x.zfs")
	if err := os.WriteFile(f, []byte("no stream"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := oracle.Ask(t, oracle.Options{}, f); r.Exit != 1 {
		t.Errorf("exit %d\n%s", r.Exit, r.Story)
	}
}

// TestSelftest spoils good streams in 36 ways; each must be answered as it
// should. It takes a minute, so only with ENGBLD_SOAK.
func TestSelftest(t *testing.T) {
	if os.Getenv("ENGBLD_SOAK") == "" {
		t.Skip("ENGBLD_SOAK is not set")
	}
	if out, stderr, exit := oracle.Run(t, "selftest"); exit != 0 {
		t.Errorf("exit %d\n%s%s", exit, out, stderr)
	}
}
