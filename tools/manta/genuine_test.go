package manta_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/manta"
	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
)

// The genuine Manta tools (npm's manta 5.4.2), where they are on PATH, do with
// our server what they do with the real one, and see what our client has stored.
func TestGenuineTools(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"mput", "mmkdir", "mmd5", "msign", "mget", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		home := t.TempDir()
		id := filepath.Join(home, ".ssh", "id_rsa") // the tools look at all of .ssh
		if err := os.Mkdir(filepath.Dir(id), 0o700); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-m", "PEM", "-N", "", "-f", id).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		dir := t.TempDir()
		h, err := mantaserver.New(mantaserver.Options{Dir: dir, PlainHTTP: true})
		if err != nil {
			t.Fatal(err)
		}
		pub, err := os.ReadFile(id + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "keys", "acct.keys"), pub, 0o644); err != nil {
			t.Fatal(err)
		}
		url := listen(t, h)
		key, err := sshsign.Places{}.Identity(id)
		if err != nil {
			t.Fatal(err)
		}
		tool := func(args ...string) (string, error) {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "MANTA_URL=" + url, "MANTA_USER=acct", "MANTA_KEY_ID=" + key.MD5()}
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			if err != nil {
				err = errors.Join(err, errors.New(errs.String()))
			}
			return out.String(), err
		}
		must := func(args ...string) string {
			t.Helper()
			out, err := tool(args...)
			if err != nil {
				t.Fatalf("%s: %q: %v", kind, args, err)
			}
			return out
		}
		file := filepath.Join(home, "a file.txt")
		if err := os.WriteFile(file, []byte("hello"), 0o644); err != nil {
			t.Fatal(err)
		}
		must("mmkdir", "-p", "/acct/stor/x/y")
		must("mput", "-q", "-f", file, "/acct/stor/x/y/a file.txt")
		if out := must("mmd5", "/acct/stor/x/y/a file.txt"); out != "5d41402abc4b2a76b9719d911017c592  /acct/stor/x/y/a file.txt\n" {
			t.Errorf("%s: mmd5: %q", kind, out)
		}
		if _, err := tool("mmd5", "/acct/stor/x/none"); err == nil || !strings.Contains(err.Error(), "NotFoundError") {
			t.Errorf("%s: mmd5 of nothing: %v", kind, err)
		}
		if _, err := tool("mput", "-q", "-H", "content-md5: 1B2M2Y8AsgTpgAmY7PhCfg==", "-f", file, "/acct/stor/x/other"); err == nil {
			t.Errorf("%s: mput with a wrong MD5 worked", kind)
		}

		c, err := manta.New(manta.Options{URL: url, Account: "acct", Key: key})
		if err != nil {
			t.Fatal(err)
		}
		info, err := c.Info(t.Context(), "/acct/stor/x/y/a file.txt")
		if err != nil || info.Size != 5 || info.Type != "text/plain" {
			t.Errorf("%s: %+v %v", kind, info, err)
		}
		store, err := manta.NewStore(c, "builds")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(t.Context(), "s1/b file", bits.File{Path: file, Size: 5}); err != nil {
			t.Fatal(err)
		}
		if out := must("mget", "-q", "/acct/stor/builds/s1/b file"); out != "hello" {
			t.Errorf("%s: mget: %q", kind, out)
		}
		resp, err := http.Get(strings.TrimSpace(must("msign", "/acct/stor/builds/s1/b file")))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || string(body) != "hello" {
			t.Errorf("%s: msign: %d %s", kind, resp.StatusCode, body)
		}
	}
}

func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}
