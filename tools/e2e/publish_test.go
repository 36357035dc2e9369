package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
)

var (
	uuidLine  = regexp.MustCompile(`(?m)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	stampLine = regexp.MustCompile(`(?m)^STAMP=(.*)$`)
)

// TestPublishAndRelease takes an image the whole way, as a release engineer does:
// built, uploaded and published by one make, promoted to all channels, noted in
// the flavor file, and built upon by a component that has it from the server.
func TestPublishAndRelease(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	publish := func(time string, more ...string) (uuid, stamp string) {
		args := append([]string{"print-BRANCH", "print-STAMP", theFlavor + "-buildimage bits-upload"}, more...)
		out := c.Run(t, []string{"TIMESTAMP=" + time, "ENGBLD_BITS_UPLOAD_IMGAPI=true"}, "make", args...)
		uuids, stamps := uuidLine.FindAllString(out, -1), stampLine.FindAllStringSubmatch(out, -1)
		if !strings.HasPrefix(out, "BRANCH=main\n") || len(uuids) != 1 || len(stamps) != 1 || strings.Count(out, "main-"+time) != strings.Count(out, stamps[0][1]) {
			t.Fatalf("one branch, one stamp and one uuid expected:\n%s", out)
		}
		return uuids[0], stamps[0][1]
	}
	uuid, stamp := publish(stampTime)
	inChannel := func(channel string) string {
		return c.Run(t, nil, "tools/updates-imgadm", "-C", channel, "list", "-H", "-o", "uuid,name,version", "--latest", "name=~triton-origin-")
	}
	if got := strings.Fields(inChannel("dev")); !slices.Equal(got, []string{uuid, theFlavor, stamp}) {
		t.Errorf("channel dev: %q", got)
	}
	raw, err := os.ReadFile(filepath.Join(c.Dir, "bits/artifacts.txt"))
	if err != nil || !strings.Contains(string(raw), "/public/builds/"+theFlavor+"/"+stamp+"/md5sums.txt\n") || !strings.Contains(string(raw), "/main-latest\n") {
		t.Errorf("artifacts.txt: %v\n%s", err, raw)
	}

	engbld := func(code int, args ...string) string {
		t.Helper()
		stdout, stderr, got := c.Try(t, nil, "tools/engbld.sh", args...)
		if got != code {
			t.Fatalf("engbld %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
		}
		return stdout
	}
	ticket := engbld(0, "release", "ticket", uuid)
	for _, want := range []string{uuid, "minimal-64-lts@24.4.1", "engbld release promote", "engbld flavor released " + theFlavor + " " + uuid} {
		if !strings.Contains(ticket, want) {
			t.Errorf("the ticket lacks %q:\n%s", want, ticket)
		}
	}
	engbld(3, "release", "verify", uuid)
	if plan, dry := engbld(0, "release", "plan", uuid), engbld(0, "release", "promote", "--dry-run", uuid); plan != dry || strings.Count(plan, "add ") != 4 {
		t.Errorf("plan:\n%sdry run:\n%s", plan, dry)
	}
	if got := strings.TrimSpace(inChannel("release")); got != "" {
		t.Errorf("a plan has put it into release: %s", got)
	}
	engbld(0, "release", "promote", uuid)
	for _, channel := range []string{"dev", "staging", "release", "experimental", "support"} {
		if got := inChannel(channel); !strings.HasPrefix(got, uuid) {
			t.Errorf("channel %s: %q", channel, got)
		}
	}
	engbld(0, "release", "verify", uuid)
	engbld(0, "release", "prereq", "41bd4100-eb86-409a-85b0-e649aadf6f62")

	engbld(2, "flavor", "released", "triton-origin-x86_64-23.4.0", uuid)
	changed := engbld(0, "flavor", "released", theFlavor, uuid)
	if changed != "images/"+theFlavor+"/flavor.toml\nREADME.md\ntools/buildenv.maps\n" {
		t.Errorf("flavor released changed:\n%s", changed)
	}
	if again := engbld(0, "flavor", "released", theFlavor, uuid); again != "" {
		t.Errorf("once more changed:\n%s", again)
	}
	engbld(0, "flavor", "check")
	if diff := c.Run(t, nil, "git", "diff", "images"); !strings.Contains(diff, "+version = \""+stamp+"\"\n+uuid = \""+uuid+"\"\n") || strings.Contains(diff, "\n-[^-]") {
		t.Errorf("the flavor file:\n%s", diff)
	}

	// The next one differs from the released one, and the ticket says in what.
	if err := checkout.Commit(c.Dir); err != nil {
		t.Fatal(err)
	}
	next, _ := publish("20260201T000000Z", "BUILDIMAGE_PKGSRC=curl gsed")
	ticket = engbld(0, "release", "ticket", next)
	for _, want := range []string{"since     " + uuid, "- coreutils 9.5\n", "- sudo 1.9.16p2\n", "vulnerabilities\n"} {
		if !strings.Contains(ticket, want) || strings.Contains(ticket, "- curl") {
			t.Errorf("the ticket lacks %q:\n%s", want, ticket)
		}
	}

	// So do the comparison and the report, which finds the released one by itself.
	if diff := engbld(0, "image", "diff", "--markdown", uuid, next); !strings.Contains(diff, "| coreutils | 9.5 |  |") || strings.Contains(diff, "| curl |") {
		t.Errorf("image diff --markdown:\n%s", diff)
	}
	engbld(3, "image", "diff", "--exit-code", "--json", uuid, next)
	if page := engbld(0, "report", "--since", "released", next); !strings.Contains(page, "Since the last released image") || !strings.Contains(page, uuid) {
		t.Errorf("the report does not tell of changes since %s", uuid)
	}

	buildComponent(t, c, uuid)
}

const componentMakefile = `NAME = svc
ENGBLD_USE_BUILDIMAGE = true
ENGBLD_SKIP_VALIDATE_BUILDENV = true
BASE_IMAGE_UUID = UUID
BUILDIMAGE_NAME = svc
BUILDIMAGE_DESC = A service
include deps/eng/tools/mk/Makefile.defs
RELEASE_TARBALL = $(NAME)-pkg-$(STAMP).tar.gz
.PHONY: all release publish
all:
release: all
	mkdir -p stage/root/opt/svc && echo hello >stage/root/opt/svc/hello && tar -C stage -czf $(RELEASE_TARBALL) root
publish: release
	mkdir -p $(ENGBLD_BITS_DIR)/$(NAME) && cp $(RELEASE_TARBALL) $(ENGBLD_BITS_DIR)/$(NAME)/
include deps/eng/tools/mk/Makefile.targ
`

// buildComponent builds on an image by its uuid and publishes the result. What earlier
// builds left in the cache is removed: only the image server has the image.
func buildComponent(t *testing.T, eng *checkout.Clone, base string) {
	t.Helper()
	c := &checkout.Clone{Dir: filepath.Join(t.TempDir(), "svc"), Env: eng.Env}
	if err := os.MkdirAll(filepath.Join(c.Dir, "deps"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(eng.Dir, filepath.Join(c.Dir, "deps/eng")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"Makefile": strings.ReplaceAll(componentMakefile, "UUID = UUID", "UUID = "+base), ".gitignore": "stage/\n*.tar.gz\nbits/\nmake_stamps/\ndeps/\n"} {
		if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := checkout.Commit(c.Dir); err != nil {
		t.Fatal(err)
	}
	// The sandbox's servers keep their state; its image cache begins anew.
	c.Run(t, nil, "deps/eng/tools/engbld.sh", "cache", "prune", "--all")
	if du := c.Run(t, nil, "deps/eng/tools/engbld.sh", "cache", "du"); !strings.Contains(du, "0 images") {
		t.Fatalf("the cache is not empty:\n%s", du)
	}
	stdout, stderr, code := c.Try(t, []string{"TIMESTAMP=" + stampTime, "ENGBLD_BITS_UPLOAD_IMGAPI=true"}, "make", "all", "release", "publish", "buildimage", "bits-upload")
	if code != 0 {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	if !regexp.MustCompile(`image ` + base + ` \(.*\): getting \d+ bytes from http://127\.0\.0\.1:`).MatchString(stderr) {
		t.Errorf("the image did not come from the server:\n%s", stderr)
	}
	uuid := uuidLine.FindString(stdout)
	if got := c.Run(t, nil, "deps/eng/tools/updates-imgadm", "-C", "dev", "get", uuid); !strings.Contains(got, `"origin": "`+base+`"`) {
		t.Errorf("image %q of the component: %s", uuid, got)
	}
	manifests, _ := filepath.Glob(filepath.Join(c.Dir, "bits/svc/*.imgmanifest"))
	if len(manifests) != 1 || !strings.Contains(c.Run(t, nil, "deps/eng/tools/engbld.sh", "image", "ls", manifests[0], "opt/svc"), "hello") {
		t.Errorf("%q hold no file of the component", manifests)
	}
}

// TestUploadToDirectory: ENGBLD_BITS_UPLOAD_LOCAL, from make and mage.
func TestUploadToDirectory(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	dest := filepath.Join(t.TempDir(), "a directory")
	local := []string{"TIMESTAMP=" + stampTime, "ENGBLD_BITS_UPLOAD_LOCAL=true", "ENGBLD_DEST_OUT_PATH=" + dest}

	// Publishing needs a server that can be given the file: said before anything is uploaded.
	_, stderr, code := c.Try(t, append(local, "ENGBLD_BITS_UPLOAD_IMGAPI=true"), "make", theFlavor+"-bits-upload")
	if code != 2 || !strings.Contains(stderr, "-L") || !strings.Contains(stderr, "ENGBLD_BITS_UPLOAD_IMGAPI") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	if _, err := os.Stat(dest); err == nil {
		t.Error("it has uploaded something")
	}
	mage := filepath.Join(t.TempDir(), "mage")
	c.Run(t, nil, "go", "build", "-o", mage, "github.com/magefile/mage")
	c.Run(t, local, mage, "bits-upload")
	dirs, _ := filepath.Glob(filepath.Join(dest, "triton-origin-*"))
	if len(dirs) != len(c.Flavors(t)) {
		t.Errorf("uploads: %q", dirs)
	}
	for _, d := range dirs {
		stamp, err := os.Readlink(filepath.Join(d, "main-latest"))
		if err != nil || !strings.HasPrefix(stamp, "main-"+stampTime) {
			t.Errorf("%s: main-latest leads to %q (%v)", d, stamp, err)
		}
		name := filepath.Base(d)
		if own, _ := filepath.Glob(filepath.Join(d, stamp, "triton-origin-*")); len(own) != 1 {
			t.Errorf("%s holds other images too: %q", d, own)
		}
		for _, suffix := range []string{".zfs.gz", ".imgmanifest", ".pkgaudit"} {
			if _, err := os.Stat(filepath.Join(d, stamp, name, name+"-zfs-"+stamp+suffix)); err != nil {
				t.Error(err)
			}
		}
	}
	before := checkout.Products(t, filepath.Join(dest, theFlavor, "main-latest", theFlavor))
	c.Run(t, local, "make", theFlavor+"-bits-upload-latest")
	after := checkout.Products(t, filepath.Join(dest, theFlavor, "main-latest", theFlavor))
	if len(before) < 3 || len(before) != len(after) {
		t.Errorf("%v became %v", before, after)
	}
}

// keyFile writes a private key and returns its name.
func keyFile(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestRefusedUploads: servers that are no sandbox as far as the command knows, and
// everything that must end before a byte is uploaded. The script ends with 1.
func TestRefusedUploads(t *testing.T) {
	t.Parallel()
	c := checkout.New(t, "clone")
	dir := t.TempDir()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, wrong, ed := keyFile(t, rsaKey), keyFile(t, stranger), keyFile(t, edKey)
	key, err := sshsign.Places{}.Identity(good)
	if err != nil {
		t.Fatal(err)
	}
	var puts atomic.Int32
	store, err := mantaserver.Start(t.Context(), mantaserver.Options{Dir: dir, Wrap: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				puts.Add(1)
			}
			h.ServeHTTP(w, r)
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	images, err := sandbox.Start(t.Context(), sandbox.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer images.Close()
	public, ok := key.Public().(ssh.PublicKey)
	if !ok {
		t.Fatal("no key")
	}
	if err := mantaserver.AddUser(dir, "acct", public); err != nil {
		t.Fatal(err)
	}
	if err := images.AddUser("acct", public); err != nil {
		t.Fatal(err)
	}

	c.Run(t, []string{"TIMESTAMP=" + stampTime}, "make", theFlavor+"-buildimage")
	plain, image := t.TempDir(), t.TempDir()
	for _, name := range []string{filepath.Join(plain, "x.tar.gz"), filepath.Join(image, "x.zfs.gz")} {
		if err := os.WriteFile(name, []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(image, "x.imgmanifest"), []byte(`{"v":2,"uuid":"00000000-0000-4000-8000-000000000001","name":"x","version":"1"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	orphan := t.TempDir()
	if err := os.WriteFile(filepath.Join(orphan, "x.imgmanifest"), []byte(`{"v":2,"uuid":"00000000-0000-4000-8000-000000000001","owner":"00000000-0000-0000-0000-000000000000",
		"name":"x","version":"1","type":"zone-dataset","os":"smartos","origin":"00000000-0000-4000-8000-000000000002"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	servers := []string{"ENGBLD_SANDBOX=", "MANTA_URL=" + store.URL(), "MANTA_USER=acct", "MANTA_KEY_ID=" + good,
		"UPDATES_IMGADM_URL=" + images.ImageURL(), "UPDATES_IMGADM_USER=acct", "UPDATES_IMGADM_IDENTITY=" + good}
	upload := []string{"-b", "main", "-d", "/public/x", "-n", "x", "-t", "main-1", "-D"}
	for _, tc := range []struct {
		name     string
		settings []string
		args     []string
		code     int
		want     []string
	}{
		{"sandbox image to a real store", nil, []string{"-D", filepath.Join(c.Dir, "bits")}, 7, []string{"sandbox", "ENGBLD_BITS_UPLOAD_LOCAL"}},
		{"image server does not know the key", []string{"UPDATES_IMGADM_IDENTITY=" + wrong}, []string{"-p"}, 5, []string{"401", images.ImageURL()}},
		{"image server's key is missing", []string{"UPDATES_IMGADM_IDENTITY=/nonexistent/key"}, []string{"-p"}, 6, []string{"/nonexistent/key"}},
		{"image server's default key is missing", []string{"UPDATES_IMGADM_IDENTITY="}, []string{"-p"}, 6, []string{"automation.id_rsa"}},
		{"key of a kind no image server takes", []string{"UPDATES_IMGADM_IDENTITY=" + ed}, []string{"-p"}, 6, []string{"ed25519"}},
		{"unknown channel", []string{"UPDATES_IMGADM_CHANNEL=nightly"}, []string{"-p"}, 2, []string{"nightly", "experimental"}},
		{"manifest that is none", nil, []string{"-p"}, 2, []string{"x.imgmanifest", "type"}},
		{"origin that is not there", nil, []string{"-p", "-D", orphan}, 5, []string{"engbld release prereq 00000000-0000-4000-8000-000000000002"}},
		{"offline", []string{"ENGBLD_OFFLINE=true"}, nil, 5, []string{"ENGBLD_OFFLINE"}},
		{"object store does not know the key", []string{"MANTA_KEY_ID=" + wrong}, nil, 5, []string{"403", store.URL()}},
		{"no key for the object store", []string{"MANTA_KEY_ID="}, nil, 2, []string{"MANTA_KEY_ID", "id_rsa.pub"}},
		{"no branch", nil, []string{"-b", ""}, 2, []string{"-b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			settings := append(slices.Clone(servers), tc.settings...)
			args := append(append(slices.Clone(upload), image), tc.args...)
			_, stderr, code := c.Try(t, settings, "tools/engbld.sh", append([]string{"bits-upload"}, args...)...)
			if code != tc.code {
				t.Errorf("exit %d, want %d\n%s", code, tc.code, stderr)
			}
			for _, w := range tc.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("no word of %q:\n%s", w, stderr)
				}
			}
			if _, _, code := c.Try(t, settings, "tools/bits-upload.sh", args...); code != 1 {
				t.Errorf("the script: exit %d", code)
			}
			if n := puts.Load(); n != 0 {
				t.Errorf("%d files or directories were put into the store", n)
			}
		})
	}

	// Nothing of this in the way, it is uploaded; as there are no images, the image server is not asked.
	c.Run(t, append(slices.Clone(servers), "UPDATES_IMGADM_URL=http://127.0.0.1:9"), "tools/bits-upload.sh", append(slices.Clone(upload), plain, "-p")...)
	if got := puts.Load(); got == 0 {
		t.Error("nothing was uploaded")
	}
	// In the sandbox the same settings lead nowhere: its own servers are asked, with its own key.
	n := puts.Load()
	c.Run(t, append(slices.Clone(servers), "ENGBLD_SANDBOX=true"), "tools/bits-upload.sh", append(slices.Clone(upload), plain)...)
	if puts.Load() != n {
		t.Error("the sandbox has put something into a real store")
	}

	// The tools end with 1 whatever is wrong, also when found through a link on PATH.
	bin := t.TempDir()
	for _, tool := range []string{"updates-imgadm", "images-imgadm", "bits-upload.sh"} {
		if err := os.Symlink(filepath.Join(c.Dir, "tools", tool), filepath.Join(bin, tool+".1")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(tool+".1", filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	for _, line := range []string{"updates-imgadm get x", "updates-imgadm nonsense", "updates-imgadm -C nightly list", "images-imgadm get x", "bits-upload.sh"} {
		_, stderr, code := c.Try(t, append(slices.Clone(servers), path), "sh", "-c", line)
		if code != 1 || !strings.Contains(stderr, "error") || strings.Count(stderr, "\n") > 3 {
			t.Errorf("%s: exit %d\n%s", line, code, stderr)
		}
	}
	if out := c.Run(t, append(slices.Clone(servers), path), "sh", "-c", "updates-imgadm ping"); !strings.Contains(out, `"user": "acct"`) {
		t.Errorf("ping: %s", out)
	}
}
