// Package mk_test runs make in small components that use the makefiles of this
// directory beyond the common ones (Makefile.defs, .deps and .targ, which
// tools/frontdoor tests).
package mk_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

// world is a component with the makefiles in deps/eng and a PATH that begins
// with stand-ins, whose calls are logged.
type world struct {
	t    *testing.T
	dir  string
	bin  string
	log  string
	env  []string
	make []string // arguments of every make
}

const mk = "deps/eng/tools/mk/"

// head and tail surround the Makefile of most components here.
const head = "NAME = comp\nTIMESTAMP = 20200101T000000Z\ninclude " + mk + "Makefile.defs\n"
const tail = "include " + mk + "Makefile.targ\n"

func newWorld(t *testing.T, makefile string) *world { return newWorldIn(t, "a component", makefile) }

func newWorldIn(t *testing.T, name, makefile string) *world {
	t.Helper()
	for _, tool := range []string{"make", "git", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	top := t.TempDir()
	w := &world{t: t, dir: filepath.Join(top, name), bin: filepath.Join(top, "bin"), log: filepath.Join(top, "log")}
	here, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range here {
		if !strings.HasSuffix(e.Name(), ".go") && !e.IsDir() {
			w.copy(e.Name(), mk+e.Name())
		}
	}
	for _, f := range []string{"service_bundle.dtd.1", "validate-buildenv.sh", "redact.sh"} {
		w.copy(filepath.Join("..", f), "deps/eng/tools/"+f)
	}
	for _, f := range []string{"engbld.sh", "agent-prebuilt.sh", "download_go", "download_ctftools"} {
		w.script(filepath.Join(w.dir, "deps/eng/tools", f), `echo "$(basename "$0") $*" >>"$LOG"`)
	}
	w.put("Makefile", makefile)
	if err := os.MkdirAll(w.bin, 0o777); err != nil {
		t.Fatal(err)
	}
	// Whatever would reach out is logged, and does not.
	for _, tool := range []string{"curl", "npm", "cargo", "mdata-get", "pfexec", "json"} {
		w.stub(tool, "exit 22")
	}
	w.env = []string{"PATH=" + w.bin + ":" + os.Getenv("PATH"), "HOME=" + top, "LOG=" + w.log, "LC_ALL=C", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.invalid", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.invalid", "ENGBLD_SKIP_VALIDATE_BUILDENV=true"}
	return w
}

func (w *world) copy(from, to string) {
	w.t.Helper()
	b, err := os.ReadFile(from)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(to, string(b))
}

// put writes a file of the component.
func (w *world) put(name, text string) {
	w.t.Helper()
	p := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		w.t.Fatal(err)
	}
	if err := checkout.WriteFile(p, []byte(text), 0o777); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) script(path, body string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		w.t.Fatal(err)
	}
	if err := checkout.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o777); err != nil {
		w.t.Fatal(err)
	}
}

// stub makes a stand-in that logs how it is called.
func (w *world) stub(name, body string) {
	w.t.Helper()
	w.script(filepath.Join(w.bin, name), `echo "`+name+` $*" >>"$LOG"`+"\n"+body)
}

// sunOS makes make believe that it runs on SmartOS.
func (w *world) sunOS() *world {
	w.script(filepath.Join(w.bin, "uname"), `case $1 in -n) echo host;; -m) echo i86pc;; -v) echo joyent_20200101T000000Z;; *) echo SunOS;; esac`)
	return w
}

func (w *world) run(args ...string) (out string, ok bool) {
	w.t.Helper()
	cmd := exec.Command("make", append(append([]string{"--no-print-directory"}, w.make...), args...)...)
	cmd.Dir, cmd.Env = w.dir, w.env
	b, err := cmd.CombinedOutput()
	return string(b), err == nil
}

func (w *world) ok(args ...string) string {
	w.t.Helper()
	out, ok := w.run(args...)
	if !ok {
		w.t.Fatalf("make %q failed:\n%s", args, out)
	}
	return out
}

// fails runs make and wants it to fail and to say so.
func (w *world) fails(say string, args ...string) {
	w.t.Helper()
	out, ok := w.run(args...)
	if ok || !strings.Contains(out, say) {
		w.t.Errorf("make %q: success is %v, and what it says lacks %q:\n%s", args, ok, say, out)
	}
}

// value is a variable's value.
func (w *world) value(name string) string {
	w.t.Helper()
	out := w.ok("-s", "print-"+name)
	_, value, _ := strings.Cut("\n"+out, "\n"+name+"=") // after what git may say
	return strings.TrimRight(value, "\n")
}

func (w *world) want(name, value string) {
	w.t.Helper()
	if got := w.value(name); got != value {
		w.t.Errorf("%s is %q, want %q", name, got, value)
	}
}

// calls returns the logged calls of the stand-ins whose lines begin so.
func (w *world) calls(prefix string) (n int) {
	b, _ := os.ReadFile(w.log)
	for line := range bytes.Lines(b) {
		if bytes.HasPrefix(line, []byte(prefix)) {
			n++
		}
	}
	return n
}

func (w *world) forget() { os.Remove(w.log) }

func (w *world) has(name string) bool {
	_, err := os.Lstat(filepath.Join(w.dir, name))
	return err == nil
}

func (w *world) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// left lists what unfinished work left behind.
func (w *world) left() (names []string) {
	filepath.WalkDir(w.dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".engbld-") {
			names = append(names, p)
		}
		return nil
	})
	return names
}

var past = time.Now().Add(-time.Hour)

// touchLater makes a file newer than everything.
func (w *world) touchLater(name string) {
	w.t.Helper()
	now := time.Now()
	filepath.WalkDir(w.dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Type().IsRegular() {
			if i, err := d.Info(); err == nil && i.ModTime().After(past) {
				os.Chtimes(p, past, past)
			}
		}
		return nil
	})
	if err := os.Chtimes(filepath.Join(w.dir, name), now, now); err != nil {
		w.t.Fatal(err)
	}
}
