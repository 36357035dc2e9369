package mk_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const agents = head + "BUILDIMAGE_STAGEDIR = the stage\nAGENT_PREBUILT_DIR = " + "agents\nAGENTS = amon config\ninclude " + mk + "Makefile.agent_prebuilt.defs\n" +
	"include " + mk + "Makefile.agent_prebuilt.targ\n" + tail

func TestAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, agents)
	w.put("amon-prebuilt", "a file of that name")
	w.put("AMON-prebuilt-clone", "a file of that name")
	script := filepath.Join(w.dir, "deps/eng/tools/agent-prebuilt.sh")
	w.script(script, `for c; do :; done; case $c in build) sleep 0.2;; esac; echo "$4:$c" >>"$LOG"; printf '%s|' "$@" >>"$LOG.all"; echo >>"$LOG.all"
echo "$c|$ENGBLD_AGENT_DOWNLOAD_URL|$ENGBLD_AGENT_GIT_URL" >>"$LOG.env"`)
	w.env = append(w.env, "AGENT_BRANCH=mine")
	w.ok("-j8", "amon-prebuilt", "config-prebuilt")
	b, _ := os.ReadFile(w.log + ".all")
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, agent := range []string{"sdc-amon", "sdc-config-agent"} {
		var order []string
		for _, line := range all {
			if f := strings.Split(line, "|"); slices.Contains(f, agent) {
				order = append(order, f[len(f)-2])
			}
		}
		if strings.Join(order, " ") != "clone build extract" {
			t.Errorf("%s: %q", agent, order)
		}
	}
	want := "-b||-B|mine|-c|agents|-r|sdc-amon|-p|build/amon-agent-.*.tgz|-d|root/opt|-C|the stage|extract|"
	if branch := w.value("BRANCH"); !slices.Contains(all, strings.Replace(want, "-b||", "-b|"+branch+"|", 1)) {
		t.Errorf("the call lacks %q:\n%s", want, strings.Join(all, "\n"))
	}

	// Asked for by name, an archive is unpacked as it is.
	os.Remove(w.log + ".all")
	w.ok("WAFERLOCK-prebuilt-extract")
	if b, _ := os.ReadFile(w.log + ".all"); strings.Count(string(b), "\n") != 1 {
		t.Errorf("to extract took\n%s", b)
	}
	// Addresses may hold passwords: they are neither arguments nor printed.
	const secret = "https://ci:s3cret@h.invalid/it's"
	for variable, want := range map[string]string{
		"AGENT_PREBUILT_DOWNLOAD_URL": "download|" + secret + "|\nextract|" + secret + "|\n",
		"AMON_PREBUILT_GIT_URL":       "clone||" + secret + "\nbuild||\nextract||\n",
	} {
		os.Remove(w.log + ".all")
		os.Remove(w.log + ".env")
		out := w.ok("amon-prebuilt", variable+"="+secret)
		args, _ := os.ReadFile(w.log + ".all")
		env, _ := os.ReadFile(w.log + ".env")
		if strings.Contains(out+string(args), "s3cret") || string(env) != want {
			t.Errorf("%s: arguments\n%s\nenvironment\n%s\nprinted\n%s", variable, args, env, out)
		}
	}
	w.want("REBALANCER_PREBUILT_TARGETS", "REBALANCER-prebuilt-clone REBALANCER-prebuilt-build REBALANCER-prebuilt-extract")
}

// Names of branches, git's and those that CI hands on, are text to the shell and to make.
func TestBranchesAreText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, head+"AGENT_PREBUILT_DIR = agents\nAGENTS = amon\ninclude "+mk+"Makefile.agent_prebuilt.defs\n"+
		"include "+mk+"Makefile.agent_prebuilt.targ\npublish:\n"+tail)
	for _, script := range []string{"agent-prebuilt.sh", "bits-upload.sh"} {
		w.script(filepath.Join(w.dir, "deps/eng/tools", script), `printf '%s|' "$@" >>"$LOG"; echo >>"$LOG"`)
	}
	const strange = "a$(touch${IFS}PWNED)`touch${IFS}PWNED`';touch${IFS}PWNED;'"
	const asked = "b$(shell touch PWNED)$$(touch PWNED)`touch PWNED`\"';touch PWNED;'"
	w.env = append(w.env, "AGENT_BRANCH="+asked, "TRY_BRANCH="+asked)
	git := exec.Command("sh", "-c", `git init -q && git add Makefile && git commit -q -m x && git checkout -q -b "$1"`, "sh", strange)
	git.Dir, git.Env = w.dir, w.env
	if out, err := git.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stage := filepath.Join(t.TempDir(), "it's a $(touch PWNED) stage")
	args := []string{"BUILDIMAGE_STAGEDIR=" + strings.ReplaceAll(stage, "$", "$$"), "ENGBLD_BITS_DIR=$$(touch PWNED)/bits"}
	w.ok(append(args, "publish", "bits-upload", "bits-upload-latest", "amon-prebuilt", "AMON-prebuilt-tarball")...)
	if w.has("PWNED") {
		t.Error("the name of a branch was run")
	}
	branch := w.value("BRANCH")
	if strings.Trim(branch, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-") != "" || branch[0] != 'a' {
		t.Errorf("BRANCH is %q", branch)
	}
	b, _ := os.ReadFile(w.log)
	for _, want := range []string{"-b|" + branch + "|-B|" + asked + "|-d|", "|-t|" + w.value("STAMP") + "|", "-b|" + branch + "|-B|" + asked + "|-c|agents|",
		"|-C|" + stage + "|extract|", "|show_tarball|"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no call has %q:\n%s", want, b)
		}
	}
	if got := w.read("$(touch PWNED)/bits/comp/latest-build-stamp"); got != w.value("STAMP")+"\n" {
		t.Errorf("latest-build-stamp is %q", got)
	}
}

// The place of the image's files is made for us alone before the first agent is put
// there, and not taken from somebody who was quicker.
func TestStageIsOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "ENGBLD_USE_BUILDIMAGE = true\nRELEASE_TARBALL = x\nrelease:\n"+agents)
	w.script(filepath.Join(w.dir, "deps/eng/tools/agent-prebuilt.sh"), `for c; do :; done
case $c in extract) LC_ALL=C ls -ld "the stage" >>"$LOG.stage"; mkdir -p "the stage/root";; esac`)
	w.put("deps/eng/tools/buildimage/package.json", "{}")
	w.put("the stage/root/leftover", "")
	w.ok("buildimage")
	b, _ := os.ReadFile(w.log + ".stage")
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "drwx------") {
			t.Errorf("where agents are unpacked is %s", line)
		}
	}
	if strings.Count(string(b), "\n") != 2 || w.calls("engbld.sh image make") != 1 {
		t.Errorf("%d images of\n%s", w.calls("engbld.sh image make"), b)
	}
	b, _ = os.ReadFile(w.log)
	if !strings.Contains(string(b), " --stage the stage --remove-stage") || w.has("the stage/root/leftover") {
		t.Errorf("the image is made by\n%s", b)
	}

	// One without agents has no such place, and one in a directory to be made has.
	w.forget()
	os.RemoveAll(filepath.Join(w.dir, "the stage"))
	for _, name := range []string{"rm", "rmdir"} {
		w.stub(name, `/bin/`+name+` "$@"`)
	}
	w.ok("buildimage", "AGENTS=")
	if n := w.calls("rm -rf the stage") + w.calls("rmdir the stage"); n > 0 {
		t.Errorf("%d programs are started to remove what is not there", n)
	}
	if b, _ = os.ReadFile(w.log); strings.Contains(string(b), "--stage") || w.has("the stage") {
		t.Errorf("without agents the image is made by\n%s", b)
	}
	w.ok("bits-upload", "ENGBLD_USE_BUILDIMAGE=", "_ENGBLD_BITS_UPLOAD=:")
	w.fails("another build of", "buildimage", "BUILDIMAGE_STAGEDIR=a b/c d/")
	if !w.has("a b") {
		t.Error("the directory above the stage is not made")
	}

	w.forget()
	w.stub("rm", `/bin/rm "$@" && mkdir -p "the stage/root/theirs"`)
	w.fails("error: the stage, where the files of the image go, cannot be made anew", "buildimage")
	if n := w.calls("engbld.sh image make"); n != 0 {
		t.Errorf("%d images were made", n)
	}
}

func TestGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "GO_PREBUILT_VERSION = 1.15\n"+head+"include "+mk+"Makefile.go_prebuilt.defs\nGO_ENV += X=1\nall: $(STAMP_GO_TOOLCHAIN)\n"+
		"include "+mk+"Makefile.go_prebuilt.targ\n"+tail)
	// The cache is not there yet.
	if got := w.value("GO_ENV"); !strings.Contains(got, `GOCACHE="`+w.dir+`/cache/go_cache"`) || !strings.HasSuffix(got, "X=1") {
		t.Errorf("GO_ENV is %s", got)
	}
	w.want("GO_GOOS", "solaris")
	if _, err := exec.LookPath("bzip2"); err != nil {
		t.Skip("bzip2 is not installed")
	}
	w.script(filepath.Join(w.dir, "deps/eng/tools/download_go"), `echo "download $*" >>"$LOG"; mkdir -p d/bin; echo x >d/bin/go
		tar -C d -cjf cache/go1.15.illumos-amd64.tar.bz2 bin && ln -sf go1.15.illumos-amd64.tar.bz2 cache/go-1.15.tar.bz2`)
	w.ok("all")
	w.ok("all")
	if !w.has("cache/go-1.15/bin/go") || w.calls("download 1.15 illumosElseSolaris amd64 cache") != 1 {
		t.Errorf("the toolchain is not there, or was fetched %d times", w.calls("download"))
	}
	w.want("GO_GOOS", "illumos")
	w.want("GO", `env -i GOROOT="`+w.dir+`/cache/go-1.15" GOPATH="`+w.dir+`/cache/gopath-1.15" GOARCH="amd64" GOOS="illumos" PATH="`+w.dir+
		`/cache/go-1.15/bin:$PATH" GOCACHE="`+w.dir+`/cache/go_cache" X=1 `+w.dir+`/cache/go-1.15/bin/go`)

	// The module cache is read-only, and goes all the same.
	w.put("cache/gopath-1.15/pkg/mod/m/f", "x")
	os.Chmod(filepath.Join(w.dir, "cache/gopath-1.15/pkg/mod/m"), 0o555)
	w.ok("clean")
	if w.has("cache/gopath-1.15") || !w.has("cache/go-1.15") {
		t.Error("clean removes the module cache, and leaves the toolchain")
	}
	for name, text := range map[string]string{
		"GO_PREBUILT_VERSION":       head + "include " + mk + "Makefile.go_prebuilt.defs\n",
		"TOP":                       "GO_PREBUILT_VERSION = 1\ninclude " + mk + "Makefile.go_prebuilt.defs\n",
		"Makefile.go_prebuilt.defs": head + "include " + mk + "Makefile.go_prebuilt.targ\n",
	} {
		w.put("Makefile", text)
		w.fails(name, "clean")
	}
}

func TestCTF(t *testing.T) {
	t.Parallel()
	text := head + "BUILD_PLATFORM = 20181206T011455Z\ninclude " + mk + "Makefile.ctf.defs\nall: $(STAMP_CTF_TOOLS)\n\t@echo all\ninclude " + mk + "Makefile.ctf.targ\n" + tail
	w := newWorld(t, text)
	w.ok("all")
	w.want("STAMP_CTF_TOOLS", "")
	w = newWorld(t, text).sunOS()
	w.want("CTFCONVERT", w.dir+"/cache/ctftools/bin/i386/ctfconvert")
	w.ok("all")
	w.ok("all")
	if n := w.calls("download_ctftools 20181206T011455Z " + w.dir + "/cache"); n != 1 {
		t.Errorf("the tools were fetched %d times", n)
	}
}

func TestManpages(t *testing.T) {
	t.Parallel()
	section := func(s, file string) string { return "MAN_SECTION := " + s + "\ninclude " + mk + file + "\n" }
	w := newWorld(t, head+"MAN_INROOT = docs/man\nMAN_OUTROOT = man\nMD2MAN = md2man\n"+section("1", "Makefile.manpages.defs")+section("3x", "Makefile.manpages.defs")+
		section("1", "Makefile.manpages.defs")+"all: $(MAN_OUTPUTS)\n"+section("1", "Makefile.manpages.targ")+section("3x", "Makefile.manpages.targ")+
		section("1", "Makefile.manpages.targ")+tail)
	w.put("docs/man/man1/a.md", "A\n")
	w.put("docs/man/man1/b.md", "B\n")
	w.put("docs/man/man3x/c.md", "C\n")
	w.stub("md2man", `cat "$1"; [ "$1" != docs/man/man1/b.md ] || [ ! -e broken ]`)
	w.want("MAN_OUTPUTS", "man/man3x/c.3x man/man1/a.1 man/man1/b.1")
	if out := w.ok("-j4", "all"); strings.Contains(out, "warning") || w.calls("md2man") != 3 || w.read("man/man3x/c.3x") != "C\n" {
		t.Errorf("%d pages made:\n%s", w.calls("md2man"), out)
	}
	os.Remove(filepath.Join(w.dir, "man/man1/b.1"))
	w.put("broken", "")
	w.fails("Error", "all")
	if w.has("man/man1/b.1") || len(w.left()) > 0 {
		t.Errorf("half a page is left: %q", w.left())
	}
}

const rust = head + "include " + mk + "Makefile.rust.defs\nall: | $(CARGO_EXEC)\n\t@$(CARGO) build\ninclude " + mk + "Makefile.rust.targ\n"

func TestRust(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/bin/bash"); err != nil {
		t.Skip("bash is not installed")
	}
	w := newWorldIn(t, "component", rust+tail)
	for _, f := range []string{"src/main.rs", "top.rs", "other.rs", "target/debug/made.rs", ".git/x.rs"} {
		w.put(f, "")
	}
	got := strings.Fields(w.value("RS_FILES"))
	slices.Sort(got)
	if want := []string{w.dir + "/other.rs", w.dir + "/src/main.rs", w.dir + "/top.rs", "Cargo.toml"}; !slices.Equal(got, want) {
		t.Errorf("RS_FILES is %q, want %q", got, want)
	}

	// An error page is not kept.
	w.fails("Error", "all")
	w.stub("curl", `while [ $# -gt 1 ]; do case $1 in -o) out=$2;; esac; shift; done; echo "<html>" >"$out"`)
	w.fails("Error", "all")
	if w.has("cache/rustup-init.sh") {
		t.Error("an error page was taken for the installer")
	}

	// Installed once; not by clean; and where the settings say.
	w.stub("curl", `while [ $# -gt 1 ]; do case $1 in -o) out=$2;; esac; shift; done; cat >"$out" <<'END'
#!/bin/sh
echo "rustup-init $*" >>"$LOG"
mkdir -p "$CARGO_HOME/bin"
printf '#!/bin/sh\necho "rust-cargo $* home $RUSTUP_HOME target $CARGO_TARGET_DIR" >>"$LOG"\n' >"$CARGO_HOME/bin/cargo"
chmod +x "$CARGO_HOME/bin/cargo"
END`)
	w.ok("-j4", "all")
	w.ok("all")
	w.ok("check", "ENGBLD_CHECK_COPYRIGHT_DISABLE=true")
	w.ok("clean")
	if n := w.calls("rustup-init -y --no-modify-path --component clippy --component rustfmt --default-toolchain none"); n != 1 {
		t.Errorf("rustup ran %d times", n)
	}
	if n := w.calls("rust-cargo build home " + w.dir + "/rust target target"); n != 2 {
		t.Errorf("cargo build ran %d times", n)
	}
	for _, c := range []string{"rust-cargo check --all-targets", "rust-cargo clippy -- -D clippy::all", "rust-cargo fmt -- --check"} {
		if w.calls(c) != 1 {
			t.Errorf("check did not run %q", c)
		}
	}
	if w.has("target") {
		t.Error("clean leaves target")
	}
	w.want("CARGO_UPDATE", w.value("CARGO")+" update")
	w.env = append(w.env, "CARGO_LOCKED=--locked")
	if !strings.HasSuffix(w.value("CARGO"), "/bin/cargo --locked") || strings.Contains(w.value("CARGO_UPDATE"), "locked") {
		t.Errorf("CARGO is %q, CARGO_UPDATE %q", w.value("CARGO"), w.value("CARGO_UPDATE"))
	}
	w.env = append(w.env, "RUST_TOOLCHAIN=1.99")
	w.ok("all")
	if w.calls("rustup-init") != 2 {
		t.Error("another toolchain was not installed")
	}
}

func TestRustBootstrap(t *testing.T) {
	t.Parallel()
	// The file for manifests, which has SED, and Makefile.targ, which has TAR and
	// RMTREE, are not included.
	w := newWorldIn(t, "component", rust+"print-%:\n\t@echo '$*=$($*)'\n").sunOS()
	w.make = []string{"CURL=curl", "SHELL=/bin/sh"}
	w.stub("gtar", `exec tar "$@"`)
	w.put("rust-toolchain.toml", "[toolchain]\n  channel = \"1.77.2\" # because\n")
	w.put("target/x", "")
	w.want("RUST_TOOLCHAIN", "1.77.2")
	w.want("RUST_BOOTSTRAP_TGZ", "rust-1.77.2-x86_64-unknown-illumos.tar.gz")
	w.want("CARGO_EXEC", w.dir+"/rust/toolchains/1.77.2-x86_64-unknown-illumos-boostrap/bin/cargo")
	src := t.TempDir()
	w.script(filepath.Join(src, "rust-1.77.2/bin/cargo"), `echo "rust-cargo $*" >>"$LOG"`)
	if out, err := exec.Command("tar", "-C", src, "-czf", filepath.Join(w.dir, "served"), "rust-1.77.2").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.stub("curl", `while [ $# -gt 1 ]; do case $1 in -o) out=$2;; esac; shift; done; cp served "$out"`)
	w.ok("-j4", "all")
	w.ok("all")
	if w.calls("rust-cargo build") != 2 || w.calls("curl") != 1 || w.calls("gtar") != 1 {
		t.Errorf("cargo ran %d times, %d downloads", w.calls("rust-cargo build"), w.calls("curl"))
	}
	w.ok("clean")
	if w.has("target") {
		t.Error("clean leaves target")
	}
	// The repository's root holds the file where TOP is below it.
	w.put("root/rust-toolchain.toml", "channel=\"1.80\"\n")
	w.want("RUST_TOOLCHAIN", "1.77.2")
	w.env = append(w.env, "ENGBLD_REPO_ROOT="+filepath.Join(w.dir, "root"))
	w.want("RUST_TOOLCHAIN", "1.80")
	w.fails("Error", "all", "CURL=false")
	if out, ok := w.run("all", "CURL=false", "RUST_BOOTSTRAP_URL=https://ci:s3cret@h.invalid"); ok || strings.Contains(out, "s3cret") {
		t.Errorf("make says %s", out)
	}
	if out, _ := filepath.Glob(filepath.Join(w.dir, "cache/rust-1.80*")); len(out) > 0 {
		t.Errorf("%q was left", out)
	}
}

// Every file stands in any order relative to the others, reads no server, and
// brings no warning; includes may be indented.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	names := []string{"smf", "node_prebuilt", "node_modules", "agent_prebuilt", "rust", "ctf", "go_prebuilt", "manpages"}
	settings := "NODE_PREBUILT_VERSION = v6\nNODE_PREBUILT_IMAGE = i\nGO_PREBUILT_VERSION = 1.15\nMAN_SECTION := 1\nMAN_INROOT = d\nMAN_OUTROOT = m\n"
	orders := map[string]func() string{
		"usual": func() (s string) {
			for _, n := range names {
				s += "\tinclude " + mk + "Makefile." + n + ".defs\n"
			}
			s += "all:\n\t@echo all\nifeq (x,x)\nX = 1\nendif\n"
			for _, n := range names {
				s += "\tinclude " + mk + "Makefile." + n + ".targ\n"
			}
			return s + "\tinclude " + mk + "Makefile.deps\n" + tail
		},
		"targ first": func() (s string) {
			s = tail
			for i := range names {
				n := names[len(names)-1-i]
				s += "include ./" + mk + "Makefile." + n + ".defs\ninclude ./" + mk + "Makefile." + n + ".targ\n"
			}
			return s + "include " + mk + "Makefile.deps\nall:\n\t@echo all\n"
		},
		"absolute": func() (s string) {
			for _, n := range names {
				s += "include $(TOP)/" + mk + "Makefile." + n + ".defs\ninclude $(TOP)/" + mk + "Makefile." + n + ".targ\n"
			}
			return s + "all:\n\t@echo all\n" + tail
		},
	}
	for order, text := range orders {
		w := newWorldIn(t, "component", settings+head+text())
		for _, args := range [][]string{{"all"}, {"clean"}, {"distclean"}, {"-n", "check"}, {"-j4", "-n", "all", "release", "publish"}, {"print-STAMP"}} {
			if out := w.ok(args...); strings.Contains(out, "warning") || strings.Contains(out, "error") {
				t.Errorf("%s, %q:\n%s", order, args, out)
			}
		}
		if n := w.calls("curl") + w.calls("mdata-get") + w.calls("engbld.sh"); n != 0 {
			t.Errorf("%s: %d calls of what reading needs not", order, n)
		}
	}
}
