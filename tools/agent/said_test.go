package agent

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// One that answers with an index page, or does not.
type index string

func (p index) Get(context.Context, string, int64) ([]byte, error) {
	return []byte(p), nil
}
func (p index) GetFile(context.Context, string, string) error { return nil }

func TestSecretsOfAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		opts Options
		want string // in what is said
	}{
		{"no archive", Options{Download: "https://ci:s3cret@h.invalid/dir", Fetch: index("")}, "https://h.invalid/dir"},
		{"archive", Options{Download: "https://ci:s3cret@h.invalid/dir?s3cret", Fetch: index(`<a href="ag-master-1.tar.gz">`)}, "https://h.invalid/dir"},
		{"no address", Options{Download: "https://ci:s3cret/s3cret@h.invalid", Fetch: index("")}, "https://h.invalid"},
		{"clone", Options{URL: "https://ci:s3cret@127.0.0.1:1/x?s3cret"}, "cloning https://127.0.0.1:1/x:"},
		{"clone, no address", Options{URL: "https://ci:s3cret'/s3cret@127.0.0.1:1/x"}, "cloning https://127.0.0.1:1/x:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath("git"); err != nil {
				t.Skip("git is not installed")
			}
			stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
			if err != nil {
				t.Fatal(err)
			}
			defer stderr.Close()
			var told strings.Builder
			c.opts.Stderr = stderr
			c.opts.Infof = func(format string, args ...any) { fmt.Fprintf(&told, format+"\n", args...) }
			c.opts.Warnf = c.opts.Infof
			a := newAgent(t, c.opts)
			do := a.Clone
			if c.opts.Download != "" {
				do = a.Get
			}
			if err := do(t.Context()); err != nil {
				fmt.Fprintln(&told, err, fault.Hint(err))
			}
			b, err := os.ReadFile(stderr.Name())
			if err != nil {
				t.Fatal(err)
			}
			told.Write(b)
			if all := told.String(); strings.Contains(all, "s3cret") || !strings.Contains(all, c.want) {
				t.Errorf("says, without %q or with the secret:\n%s", c.want, all)
			}
		})
	}
}

func TestSaid(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := &Agent{opts: Options{URL: "https://ci:s3 cret@h.invalid/x"}}
	s := &said{to: &out, public: a.public}
	for _, piece := range []string{"fatal: 'https://ci:s3", " cret@h.invalid/x': no\nhttps://u:s3c", "ret@h.invalid\n", strings.Repeat("x", maxLine+1), "end"} {
		if n, err := s.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	s.end()
	want := "fatal: 'https://h.invalid/x': no\nhttps://h.invalid\n" + strings.Repeat("x", maxLine+1) + "end"
	if out.String() != want {
		t.Errorf("got %.200q", out.String())
	}
}

// What git has started, such as the connection that ssh shares with the next one,
// may keep its output open.
func TestGitLeavesOneBehind(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	a := newAgent(t, Options{Stderr: stderr})
	a.grace = 10 * time.Millisecond
	if err := a.runGit(t.Context(), t.TempDir(), "-c", "alias.leave=!sleep 5 & :", "leave"); err != nil {
		t.Error(err)
	}
	if err := a.runGit(t.Context(), t.TempDir(), "-c", "alias.leave=!sleep 5 & exit 3;", "leave"); err == nil {
		t.Error("a failure is none")
	}
}
