package mk_test

import (
	"crypto/md5"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const prebuilt = "NODE_PREBUILT_VERSION = v6\nNODE_PREBUILT_TAG = zone64\nNODE_PREBUILT_IMAGE = img\n" + head +
	"include " + mk + "Makefile.node_prebuilt.defs\nall: $(NODE_EXEC) $(NPM_EXEC) $(NODE_WAF_EXEC)\n\t@echo all made\n" +
	"include " + mk + "Makefile.node_prebuilt.targ\n" + tail

// sdcnode writes an archive with a node that says text, and returns its content.
func (w *world) sdcnode(dir, name, text string) string {
	w.t.Helper()
	src := filepath.Join(w.t.TempDir(), "node")
	w.script(filepath.Join(src, "bin/node"), "echo "+text)
	w.script(filepath.Join(src, "bin/npm"), "echo npm")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		w.t.Fatal(err)
	}
	p := filepath.Join(dir, name)
	if out, err := exec.Command("tar", "-C", filepath.Dir(src), "-czf", p, "node").CombinedOutput(); err != nil {
		w.t.Fatalf("tar: %v\n%s", err, out)
	}
	b, err := os.ReadFile(p)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// manta stands in for curl: it serves the archive served (in a file) with the
// MD5 given in its header.
func (w *world) manta(archive, sum string) {
	w.put("served", archive)
	w.stub("curl", `out=/dev/stdout; headers=/dev/null
while [ $# -gt 1 ]; do case $1 in -o) out=$2; shift;; -D) headers=$2; shift;; esac; shift; done
case $1 in
*/master-latest) echo /the/latest ;;
*/the/latest/sdcnode) for n in zone64-img-master-2 zone64-img-master-1 zone-img-master-3 zone64-img-other-9; do
	echo "{\"name\":\"sdcnode-v6-$n.tgz\", \"type\":\"object\"}"; done ;;
*/sdcnode-v6-zone64-img-master-2.tgz) printf 'HTTP/1.1 200 OK\r\nContent-MD5: `+sum+`\r\n' >"$headers"; cat served >"$out" ;;
*) exit 22 ;;
esac`)
}

func TestNodePrebuiltReading(t *testing.T) {
	t.Parallel()
	w := newWorld(t, prebuilt)
	w.want("NODE_EXEC", "build/prebuilt-node-v6-zone64-img")
	w.want("NPM_EXEC", "build/prebuilt-npm-v6-zone64-img")
	w.want("NODE_PREBUILT_PATTERN", `sdcnode-v6-zone64-img-master-.*\.tgz`)
	w.want("NODE", filepath.Join(w.dir, "build/node/bin/node"))
	w.ok("clean", "distclean")
	w.ok("-n", "all")
	if w.calls("curl") != 0 {
		t.Error("reading, cleaning and make -n ask a server")
	}
	w.put("Makefile", strings.Replace(prebuilt, "NODE_PREBUILT_VERSION = v6", "", 1))
	w.fails("NODE_PREBUILT_VERSION must be set", "clean")
}

func TestNodePrebuiltManta(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"dash", "bash", "ksh93"} {
		sh, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		w := newWorld(t, prebuilt)
		w.make = []string{"SHELL=" + sh}
		archive := w.sdcnode(t.TempDir(), "x.tgz", "six")
		sum := md5.Sum([]byte(archive))
		w.manta(archive, base64.StdEncoding.EncodeToString(sum[:]))
		w.want("NODE_PREBUILT_BASE", "sdcnode-v6-zone64-img-master-2.tgz")
		w.want("NODE_PREBUILT_TARBALL", "https://us-central.manta.mnx.io/the/latest/sdcnode/sdcnode-v6-zone64-img-master-2.tgz")
		w.forget()
		w.ok("-j4", "all")
		if n := w.calls("curl"); n != 3 {
			t.Errorf("%s: %d requests, want 3", shell, n)
		}
		if out, err := exec.Command(filepath.Join(w.dir, "build/prebuilt-node-v6-zone64-img")).Output(); string(out) != "six\n" {
			t.Errorf("%s: node says %q, %v", shell, out, err)
		}
		if got, want := w.value("NPM"), "PATH="+w.dir+"/build/node/bin:"; !strings.HasPrefix(got, want) {
			t.Errorf("NPM is %q", got)
		}
		w.forget()
		if err := os.Remove(filepath.Join(w.dir, "build/prebuilt-npm-v6-zone64-img")); err != nil {
			t.Fatal(err)
		}
		w.ok("all")
		if !w.has("build/prebuilt-npm-v6-zone64-img") || w.calls("curl") != 0 || len(w.left()) > 0 {
			t.Errorf("%s: again: %d requests, left %q", shell, w.calls("curl"), w.left())
		}
		w.ok("distclean")
		if w.has("build/node") {
			t.Error("distclean leaves the node")
		}
	}
}

// What goes wrong leaves nothing, and says where it looked.
func TestNodePrebuiltFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, prebuilt)
	archive := w.sdcnode(t.TempDir(), "x.tgz", "six")
	w.fails("us-central.manta.mnx.io", "all")
	w.manta(archive, "AAAAAAAAAAAAAAAAAAAAAA==")
	if _, err := exec.LookPath("openssl"); err == nil {
		w.fails("MD5", "all")
	}
	w.manta(archive[:len(archive)/2], "")
	w.fails("damaged", "all")
	w.fails("nothing named", "all", "NODE_PREBUILT_BRANCH=nosuch")
	w.fails("must end in node", "all", "NODE_INSTALL=build/other")
	// Addresses are named without what is secret in them.
	w.fails("nothing named \"sdcnode-v6-zone64-img-nosuch-.*\\.tgz\" in https://h.invalid/", "all", "NODE_PREBUILT_BRANCH=nosuch", "NODE_PREBUILT_MANTA_URL=https://ci:s3cret@h.invalid")
	for _, args := range [][]string{
		{"all", "NODE_PREBUILT_TARBALL=https://ci:s3cret@h.invalid/none.tgz?s3cret"}, {"all", "NODE_PREBUILT_DIR=https://ci:s3cret@h.invalid/dir"},
		{"print-NODE_PREBUILT_TARBALL", "NODE_PREBUILT_DIR=https://ci:s3cret@h.invalid/dir"},
	} {
		if out, ok := w.run(args...); ok || strings.Contains(out, "s3cret") || !strings.Contains(out, "https://h.invalid/") {
			t.Errorf("make %q says %s", args, out)
		}
	}
	w.fails(`no prebuilt node`, "print-NODE_PREBUILT_TARBALL", "NODE_PREBUILT_DIR=nosuch/dir")
	if w.has("build/prebuilt-node-v6-zone64-img") || w.has("build/node") || len(w.left()) > 0 || w.has("build/sdcnode-v6-zone64-img-master-2.tgz") {
		t.Errorf("something was left: %q", w.left())
	}
}

// From a directory; another version replaces the node.
func TestNodePrebuiltDir(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "NODE_PREBUILT_DIR = from here\n"+strings.Replace(prebuilt, "VERSION = ", "VERSION ?= ", 1))
	from := filepath.Join(w.dir, "from here")
	w.sdcnode(from, "sdcnode-v6-zone64-img-master-1.tgz", "six-one")
	w.sdcnode(from, "sdcnode-v6-zone64-img-master-2.tgz", "six-two")
	w.sdcnode(from, "sdcnode-v8-zone64-img-master-1.tgz", "eight")
	w.ok("all")
	w.env = append(w.env, "NODE_PREBUILT_VERSION=v8")
	w.ok("all")
	if w.has("build/prebuilt-node-v6-zone64-img") {
		t.Error("the old node's link is left")
	}
	if out, _ := exec.Command(filepath.Join(w.dir, "build/node/bin/node")).Output(); string(out) != "eight\n" {
		t.Errorf("node says %q", out)
	}
	w.ok("all", "NODE_PREBUILT_TARBALL="+filepath.Join(from, "sdcnode-v6-zone64-img-master-1.tgz"), "NODE_PREBUILT_VERSION=v7")
	if out, _ := exec.Command(filepath.Join(w.dir, "build/prebuilt-node-v7-zone64-img")).Output(); string(out) != "six-one\n" {
		t.Errorf("the archive that was set was not taken: node says %q", out)
	}
}

func TestNodeModules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, head+"include "+mk+"Makefile.node_modules.defs\nall: $(STAMP_NODE_MODULES)\nNODE_PREBUILT_NAME ?= v6\nNPM_ENV = X=1\n"+
		"include "+mk+"Makefile.node_modules.targ\n"+tail+"NPM = npm\n")
	w.stub("npm", `mkdir -p node_modules; [ "$X" = 1 ]`)
	w.put("package.json", "{}")
	installs := 0
	check := func(why string, again bool) {
		t.Helper()
		w.ok("all")
		if again {
			installs++
		}
		if n := w.calls("npm install"); n != installs {
			t.Errorf("%s: installed %d times, want %d", why, n, installs)
			installs = n
		}
	}
	check("first", true)
	check("nothing changed", false)
	w.put("package-lock.json", "{}")
	w.touchLater("package-lock.json")
	check("lock file", true)
	os.Chtimes(filepath.Join(w.dir, "package-lock.json"), past, past)
	w.env = append(w.env, "NODE_PREBUILT_NAME=v8")
	check("another node", true)
	check("the same node", false)
	w.stub("npm", "exit 1")
	w.touchLater("package.json")
	w.fails("Error", "all")
	if w.has("make_stamps/node-modules") {
		t.Error("a failed npm leaves the stamp")
	}
	w.fails("NPM is not set", "all", "NPM=")
}

func TestNodeSource(t *testing.T) {
	t.Parallel()
	include := "include " + mk + "Makefile.node.targ\n"
	// What "which" did not find is no target; what it found is not made.
	w := newWorld(t, head+"NODE_EXEC =\nNPM_EXEC :=\n"+include+"all:\n\t@echo all\n"+tail)
	w.ok("all")
	sh, _ := exec.LookPath("sh")
	w = newWorld(t, head+"NODE_EXEC = "+sh+"\nNPM_EXEC = "+sh+"\n"+include+"all: $(NODE_EXEC)\n\t@echo all\n"+tail)
	w.ok("all", "distclean")

	// make -n clones nothing.
	w = newWorldIn(t, "component", head+"NODE_PREBUILT_VERSION = v1\nNODE_SOURCE_URL = nosuch\ninclude "+mk+"Makefile.node.defs\nall: $(NODE_EXEC) $(NPM_EXEC) $(NODE_WAF_EXEC)\n"+include+tail)
	w.ok("-n", "all")
	if w.has("build") {
		t.Error("make -n made something")
	}
	w.fails("nosuch", "all")
	if out, ok := w.run("all", "NODE_SOURCE_URL=http://ci:s3cret@127.0.0.1:1/x.git"); ok || strings.Contains(out, "s3cret") {
		t.Errorf("make says %s", out)
	}

	// Built once, also with -j, from a repository that gains versions.
	src := filepath.Join(t.TempDir(), "node")
	w.script(filepath.Join(src, "configure"), `echo "configure $*" >>"$LOG"; cp Makefile.in Makefile; echo "PREFIX = ${1#--prefix=}" >>Makefile`)
	os.WriteFile(filepath.Join(src, "Makefile.in"), []byte("all:\n\techo built >>\"$(LOG)\"\ninstall:\n\tmkdir -p \"$(PREFIX)/bin\"; touch \"$(PREFIX)/bin/node\" \"$(PREFIX)/bin/npm\"\n"), 0o666)
	git := func(args ...string) {
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = src, w.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-qm", "1")
	git("tag", "v1")
	w.ok("-j4", "all", "NODE_SOURCE_URL="+src)
	if w.calls("configure") != 1 || !w.has("build/node/bin/npm") {
		t.Errorf("configured %d times", w.calls("configure"))
	}
	git("commit", "-qm", "2", "--allow-empty")
	git("tag", "v2")
	w.ok("all", "NODE_PREBUILT_VERSION=v2", "NODE_SOURCE_URL="+src, "-B")
	os.Remove(filepath.Join(w.dir, "build/node/bin/npm"))
	w.ok("all")
	if !w.has("build/node/bin/npm") {
		t.Error("npm was removed and is not there again")
	}
	w.fails("NODE_PREBUILT_VERSION is not set", "-B", "build/node/bin/node", "NODE_PREBUILT_VERSION=")
}
