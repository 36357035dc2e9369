package examples

import (
	"archive/tar"
	"compress/gzip"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
	"github.com/TritonDataCenter/engbld/tools/oracle"
)

// sdcnode makes up a directory with a prebuilt node. Its node runs the scripts it is
// given with sh, and its npm installs what package.json asks for as modules that
// say their own name.
func sdcnode(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	packTo(t, filepath.Join(dir, "sdcnode-v6.17.1-zone64-a7199134-7e94-11ec-be67-db6f482136c2-master-20200101T000000Z-gabcdef0.tgz"),
		file{"node/bin/node", 0o755, "#!/bin/sh\nexec sh \"$@\"\n"},
		file{"node/bin/npm", 0o755, `#!/bin/sh
[ "$1" = install ] || exit 0
sed -n '/"dependencies"/,/}/s/^    "\([^"]*\)": ".*/\1/p' package.json | while read -r m; do
	mkdir -p "node_modules/$m"
	echo "module.exports = function () { return '$m'; };" >"node_modules/$m/index.js"
done
`})
	return dir
}

type file struct {
	name string
	mode int64
	text string
}

func packTo(t *testing.T, path string, files ...file) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text)), ModTime: time.Unix(1e9, 0), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []interface{ Close() error }{w, z} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// restdown stands in for the submodule deps/restdown, which renders documentation.
const restdown = `#!/bin/sh
for a; do doc=$a; done
sed 's/^# \(.*\)/<h1>\1<\/h1>/' "$doc" >"${doc%.md}.html"
echo '{}' >"${doc%.md}.json"
`

// withDocs gives the component a deps/restdown, as a submodule would be.
func (c *component) withDocs() {
	c.write("deps/restdown/.git", "gitdir: elsewhere\n", 0o644)
	c.write("deps/restdown/bin/restdown", restdown, 0o755)
	c.Env = append(c.Env, "RESTDOWN=deps/restdown/bin/restdown")
	c.write(".git/info/exclude", "/deps\n", 0o644)
}

// noXMLLint takes the check of manifests out where its program is missing.
func (c *component) noXMLLint() {
	if _, err := exec.LookPath("xmllint"); err != nil {
		c.t.Log("there is no xmllint: manifests are not checked")
		c.Env = append(c.Env, "XMLLINT=true")
	}
}

// helloFiles is what the service puts below opt/smartdc.
var helloFiles = []string{
	"drwxr-xr-x 0 0 boot", "-rwxr-xr-x 0 0 boot/setup.sh",
	"drwxr-xr-x 0 0 hello", "drwxr-xr-x 0 0 hello/build", "drwxr-xr-x 0 0 hello/build/node", "drwxr-xr-x 0 0 hello/build/node/bin",
	"-rwxr-xr-x 0 0 hello/build/node/bin/node", "-rwxr-xr-x 0 0 hello/build/node/bin/npm",
	"drwxr-xr-x 0 0 hello/docs", "-rw-r--r-- 0 0 hello/docs/index.html", "-rw-r--r-- 0 0 hello/docs/index.json",
	"drwxr-xr-x 0 0 hello/docs/media", "drwxr-xr-x 0 0 hello/docs/media/img", "-rw-r--r-- 0 0 hello/docs/media/img/hello.txt",
	"drwxr-xr-x 0 0 hello/lib", "-rw-r--r-- 0 0 hello/lib/hello.js",
	"drwxr-xr-x 0 0 hello/node_modules", "drwxr-xr-x 0 0 hello/node_modules/greeting", "-rw-r--r-- 0 0 hello/node_modules/greeting/index.js",
	"-rw-r--r-- 0 0 hello/package.json",
	"drwxr-xr-x 0 0 hello/smf", "drwxr-xr-x 0 0 hello/smf/manifests", "-rw-r--r-- 0 0 hello/smf/manifests/hello.xml",
}

func TestService(t *testing.T) {
	t.Parallel()
	c := example(t, "service", filepath.Join(t.TempDir(), "hello"), submodule)
	c.withDocs()
	c.noXMLLint()
	c.Env = append(c.Env, "NODE_PREBUILT_DIR="+sdcnode(t))
	out := c.make(nil, ciGoals...)
	stamp := c.stamp()
	if !strings.Contains(out, "STAMP="+stamp+"\n") || strings.HasSuffix(stamp, "-dirty") || !strings.HasPrefix(stamp, "main-"+checkout.StampTime+"-g") {
		t.Errorf("stamp %q; make says\n%s", stamp, out)
	}

	b := c.image("hello")
	b.has("opt/smartdc", helloFiles...)
	if smf := b.text("opt/smartdc/hello/smf/manifests/hello.xml"); !strings.Contains(smf, `exec="/opt/smartdc/hello/build/node/bin/node /opt/smartdc/hello/lib/hello.js &amp;"`) || strings.Contains(smf, "@@") {
		t.Errorf("the manifest's placeholders:\n%s", smf)
	}
	if motd := b.text("etc/motd"); !strings.Contains(motd, "hello") {
		t.Errorf("message of the day:\n%s", motd)
	}
	if list := c.engbld("pkg", "list", b.manifest); !strings.Contains(list, "\nmozilla-rootcerts-1") {
		t.Errorf("packages in the image:\n%s", list)
	}
	if b.m.Name != "sdc-hello" || b.m.Version != stamp || b.m.Description != `It says "hello"` || b.m.OS != "smartos" || b.m.Type != "zone-dataset" ||
		b.m.Tags["smartdc_service"] != true || b.m.Tags["sandbox"] != true {
		t.Errorf("manifest: %+v", b.m)
	}
	c.uploaded("hello", stamp, append(imageFiles("hello", stamp), "hello/hello-pkg-"+stamp+".tar.gz")...)

	if st := c.Run(t, nil, "git", "status", "--porcelain"); st != "" {
		t.Errorf("the build changed the work tree:\n%s", st)
	}
	c.make(nil, "distclean")
	if st := c.Run(t, nil, "git", "status", "--porcelain", "--ignored"); strings.TrimSpace(strings.ReplaceAll(st, "!! deps/restdown/\n", "")) != "" {
		t.Errorf("distclean leaves\n%s", st)
	}
}

// cargo is a toolchain that "compiles" programs for illumos: an ELF header with
// nothing in it. The installer puts it where rustup would.
const cargo = `#!/bin/sh
mkdir -p "$CARGO_HOME/bin"
cat >"$CARGO_HOME/bin/cargo" <<'EOT'
#!/bin/sh
echo "cargo $*" >&2
for a; do case $a in
build)
	mkdir -p "$CARGO_TARGET_DIR/release"
	cp "$STUB_PROGRAM" "$CARGO_TARGET_DIR/release/tally"
	chmod 755 "$CARGO_TARGET_DIR/release/tally" ;;
esac; done
EOT
chmod 755 "$CARGO_HOME/bin/cargo"
`

// elf is the header of a 64-bit x86 program for an operating system by its ABI's
// number (6: illumos and Solaris, 3: Linux).
func elf(abi byte) string {
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02\x01\x01")
	h[7] = abi
	le := binary.LittleEndian
	le.PutUint16(h[16:], 2)  // executable
	le.PutUint16(h[18:], 62) // x86-64
	le.PutUint32(h[20:], 1)
	le.PutUint16(h[52:], 64)
	return string(h)
}

func TestRust(t *testing.T) {
	t.Parallel()
	need(t, "bash")
	c := example(t, "rust", filepath.Join(t.TempDir(), "tally"), submodule)
	c.noXMLLint()
	programs := t.TempDir()
	for name, abi := range map[string]byte{"illumos": 6, "linux": 3} {
		if err := os.WriteFile(filepath.Join(programs, name), []byte(elf(abi)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// As if rustup's installer had been fetched.
	c.write("cache/rustup-init.sh", cargo, 0o755)
	stdout, stderr, code := c.Try(t, []string{"STUB_PROGRAM=" + filepath.Join(programs, "linux")}, "make", "buildimage")
	if code != 2 || !strings.Contains(stderr, "opt/smartdc/tally/bin/tally: an ELF program for LINUX, not for illumos") {
		t.Errorf("a program for Linux: exit %d\n%s%s", code, stdout, stderr)
	}
	c.make(nil, "clean")
	_, stderr, code = c.Try(t, []string{"STUB_PROGRAM=" + filepath.Join(programs, "illumos")}, "make", ciGoals...)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	for _, want := range []string{"cargo --locked clippy -- -D warnings", "cargo --locked fmt -- --check", "cargo --locked build --release"} {
		if strings.Count(stderr, want) != 1 {
			t.Errorf("want once %q in\n%s", want, stderr)
		}
	}
	b := c.image("tally")
	b.has("opt/smartdc", "drwxr-xr-x 0 0 tally", "drwxr-xr-x 0 0 tally/bin", "-rwxr-xr-x 0 0 tally/bin/tally",
		"drwxr-xr-x 0 0 tally/smf", "-rw-r--r-- 0 0 tally/smf/tally.xml")
	stamp := c.stamp()
	c.uploaded("tally", stamp, append(imageFiles("tally", stamp), "tally/tally-pkg-"+stamp+".tar.gz")...)

	// Three streams, as a server has them: base, origin, component.
	list := oracle.Check(t, oracle.Options{}, b.chain()...)
	if !slices.ContainsFunc(list, func(line string) bool { return strings.Contains(line, "opt/smartdc/tally/bin/tally") }) {
		t.Errorf("real ZFS does not see the program among %d paths", len(list))
	}
}

// TestRustBootstrap takes the toolchain that SmartOS gets, from an archive.
func TestRustBootstrap(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	c := example(t, "rust", filepath.Join(t.TempDir(), "tally"), plain)
	dir := t.TempDir()
	body := strings.SplitN(strings.SplitN(cargo, "<<'EOT'\n", 2)[1], "EOT\n", 2)[0]
	packTo(t, filepath.Join(dir, "rust-1.80.1-x86_64-unknown-illumos.tar.gz"), file{"rust-1.80.1/bin/cargo", 0o755, body})
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte(elf(6)), 0o644); err != nil {
		t.Fatal(err)
	}
	c.make([]string{"STUB_PROGRAM=" + program}, "RUST_USE_BOOTSTRAP=true", "RUST_BOOTSTRAP_URL=file://"+dir, "buildimage")
	c.image("tally").has("opt/smartdc/tally/bin", "-rwxr-xr-x 0 0 tally")
}

// agentGoals are those of an agent's pipeline.
var agentGoals = []string{"print-BRANCH", "print-STAMP", "check", "all", "release", "publish", "bits-upload"}

// sha1 names the program for the agent's manifest that there is.
func sha1(t *testing.T) string {
	if _, err := exec.LookPath("openssl"); err == nil {
		return "SHA1=openssl dgst -sha1 -r"
	}
	need(t, "sha1sum")
	return "SHA1=sha1sum"
}

func TestAgent(t *testing.T) {
	t.Parallel()
	agent := example(t, "agent", filepath.Join(t.TempDir(), "sdc-config-agent"), submodule)
	agent.Env = append(agent.Env, sha1(t))
	agent.make(nil, agentGoals...)
	stamp := agent.stamp()
	agent.uploaded("config-agent", stamp, "config-agent/config-agent-"+stamp+".tar.gz", "config-agent/config-agent-"+stamp+".manifest")

	want := []string{"drwxr-xr-x 0 0 boot", "-rwxr-xr-x 0 0 boot/setup.sh", "drwxr-xr-x 0 0 config-agent", "drwxr-xr-x 0 0 config-agent/bin",
		"-rwxr-xr-x 0 0 config-agent/bin/config-agent", "-rw-r--r-- 0 0 config-agent/package.json"}
	for _, tc := range []struct {
		name, dir string
		args      []string
		time      string // of their own: two builds of one component at one time share a place in /tmp
	}{
		// The archive is taken from the upload.
		{"downloaded", "notes", []string{"AGENT_PREBUILT_DOWNLOAD_URL=" + filepath.Join(agent.dest, "config-agent/main-latest/config-agent")}, "20260101T000001Z"},
		{"cloned and built", "notes", []string{"CONFIG_PREBUILT_GIT_URL=" + agent.Dir}, "20260101T000002Z"},
		{"in a directory with blanks, by several jobs", "all my notes", []string{"-j4",
			"AGENT_PREBUILT_DOWNLOAD_URL=" + filepath.Join(agent.dest, "config-agent/main-latest/config-agent")}, "20260101T000003Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := example(t, "with-agent", filepath.Join(t.TempDir(), tc.dir), plain)
			c.Env = append(c.Env, sha1(t), "TIMESTAMP="+tc.time)
			c.make(nil, append(tc.args, ciGoals...)...)
			c.image("notes").has("opt/smartdc", want...)
			stamp := c.stamp()
			c.uploaded("notes", stamp, append(imageFiles("notes", stamp), "notes/notes-pkg-"+stamp+".tar.gz")...)
		})
	}
}

func TestMonorepo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		args []string
	}{{"one after the other", nil}, {"at the same time", []string{"-j4"}}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := example(t, "monorepo", filepath.Join(t.TempDir(), "shop"), submodule)
			c.noXMLLint()
			if tc.args != nil {
				c.without("TIMESTAMP") // one time for all services even so
			}
			out := c.make(nil, append(tc.args, ciGoals...)...)
			_, stamp, _ := strings.Cut(out, "STAMP=")
			stamp, _, _ = strings.Cut(stamp, "\n")
			if n := strings.Count(out, "STAMP="+stamp+"\n"); n != 2 || !strings.HasPrefix(stamp, "main-") {
				t.Errorf("%d times the stamp %q in\n%s", n, stamp, out)
			}
			for _, s := range []string{"api", "web"} {
				b := c.image("shop-" + s)
				b.has("opt/shop", "drwxr-xr-x 0 0 "+s, "-rw-r--r-- 0 0 "+s+"/"+s+".xml", "drwxr-xr-x 0 0 boot", "-rwxr-xr-x 0 0 boot/setup.sh")
				if b.m.Name != "shop-"+s || b.m.Version != stamp {
					t.Errorf("manifest: %+v", b.m)
				}
			}
		})
	}
}

func TestMage(t *testing.T) {
	t.Parallel()
	c := example(t, "mage", filepath.Join(t.TempDir(), "motto"), submodule)
	c.without("GOFLAGS", "GOWORK") // go.work is the component's
	mage := filepath.Join(t.TempDir(), "mage")
	c.Run(t, nil, "go", "build", "-o", mage, "github.com/magefile/mage")
	list := c.Run(t, nil, mage, "-l")
	for _, want := range []string{"image*", "onOwnOrigin", "upload", "origin:tritonOriginX86_64_24_4_1"} {
		if !strings.Contains(list, want) {
			t.Errorf("mage -l lacks %q:\n%s", want, list)
		}
	}
	c.Run(t, nil, mage, "check", "release", "image", "upload")
	c.image("motto").has("opt/smartdc", "drwxr-xr-x 0 0 motto", "-rw-r--r-- 0 0 motto/motto")
	stamp := c.stamp()
	c.uploaded("motto", stamp, append(imageFiles("motto", stamp), "motto/motto-pkg-"+stamp+".tar.gz")...)

	// On an origin image of its own: another uuid, as it is another repository's.
	c.Run(t, []string{"TIMESTAMP=20260202T000000Z"}, mage, "onOwnOrigin")
	found, _ := filepath.Glob(filepath.Join(c.Dir, "bits/motto/*20260202T000000Z*.imgmanifest"))
	if len(found) != 1 {
		t.Fatalf("images: %q", found)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), world.origin) {
		t.Errorf("it stands on the old origin image:\n%s", text)
	}
}
