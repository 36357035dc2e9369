package app

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/images"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/gen"
)

// small has room for some bytes; then it fails.
type small struct {
	room int
	err  error
}

func (w *small) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	if n < len(p) {
		return n, w.err
	}
	return n, nil
}

// Where the answer finds no room, no command succeeds, and none takes it for a
// mistake of its own.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "images"), images.FS); err != nil {
		t.Fatal(err)
	}
	if _, err := gen.Write(dir); err != nil {
		t.Fatal(err)
	}
	drifted := t.TempDir()
	if err := os.CopyFS(filepath.Join(drifted, "images"), images.FS); err != nil {
		t.Fatal(err)
	}
	const flavor = "triton-origin-x86_64-24.4.1"
	run := func(w io.Writer, dir string, args ...string) (code int, story string) {
		var b bytes.Buffer
		env := Env{Stdin: strings.NewReader(""), Stdout: w, Stderr: &b, Now: time.Now, Dir: dir, Getenv: func(name string) string {
			return map[string]string{"ENGBLD_CACHE_DIR": filepath.Join(t.TempDir(), "cache"), "ENGBLD_OFFLINE": "true"}[name]
		}}
		return Main(t.Context(), env, args), b.String()
	}
	full := &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
	for _, tt := range []struct {
		dir  string
		args []string
		code int // with room for the answer
	}{
		{dir, []string{"flavor", "list"}, 0},
		{dir, []string{"flavor", "check"}, 0},
		{drifted, []string{"flavor", "check"}, int(fault.Drift)},
		{dir, []string{"cache", "du"}, 0},
		{dir, []string{"image", "build", "--print-request", flavor}, 0},
		{dir, []string{"image", "--help"}, 0},
	} {
		var out bytes.Buffer
		if code, story := run(&out, tt.dir, tt.args...); code != tt.code {
			t.Errorf("%q: exit code %d\n%s", tt.args, code, story)
		}
		for _, room := range []int{0, out.Len() / 2, out.Len() - 1} {
			if out.Len() == 0 {
				continue
			}
			code, story := run(&small{room, full}, tt.dir, tt.args...)
			if code != int(fault.Step) || !strings.Contains(story, "standard output: the answer is not whole: write /dev/stdout: no space left on device") {
				t.Errorf("%q, room for %d bytes: exit code %d\n%s", tt.args, room, code, story)
			}
		}
		if code, story := run(&small{out.Len(), full}, tt.dir, tt.args...); code != tt.code {
			t.Errorf("%q, just enough room: exit code %d\n%s", tt.args, code, story)
		}
	}
	// A reader that has seen enough.
	if code, story := run(&small{10, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}}, dir, "flavor", "list"); code != 0 || story != "" {
		t.Errorf("broken pipe: exit code %d\n%s", code, story)
	}
}

// What else went wrong is told in its place.
func TestAnswerLostToo(t *testing.T) {
	t.Parallel()
	full := errors.New("full")
	o := &answer{w: &small{0, full}}
	if err := o.check(nil); err != nil {
		t.Error(err)
	}
	for range 2 {
		if _, err := o.Write([]byte("x")); !errors.Is(err, full) {
			t.Error(err)
		}
	}
	for _, tt := range []struct {
		err  error
		want fault.Kind
	}{
		{nil, fault.Step}, {full, fault.Step}, {fault.Network.Wrap(full), fault.Step}, {errors.New("a defect"), fault.Step},
		{fault.Drift.Errorf("differs"), fault.Drift},
	} {
		if got := o.check(tt.err); fault.KindOf(got) != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}
