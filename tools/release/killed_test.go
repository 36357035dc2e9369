package release_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/manta"
	"github.com/TritonDataCenter/engbld/tools/release"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
)

// killer ends its own process with SIGKILL when the server has carried out
// request number at.
type killer struct{ at, n int }

func (k *killer) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if k.n++; k.n != k.at {
		return resp, err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// uploadPublishPromote is all that a release does with the bits in dir.
func uploadPublishPromote(ctx context.Context, getenv func(string) string, tr http.RoundTripper, dir, uuid string) error {
	store, err := manta.OpenStore(getenv, "builds", func(o *manta.Options) { o.Transport = tr }, nil)
	if err != nil {
		return err
	}
	d := release.Deps{Getenv: getenv, Stdout: io.Discard, Now: time.Now, Transport: tr}
	req := bits.Request{Branch: "main", Name: "comp", Dir: dir, Stamp: uuid, Parallel: 1}
	res, err := bits.Upload(ctx, store, req)
	if err != nil {
		return err
	}
	if err := d.PublishUpload(ctx, store, req, res); err != nil {
		return err
	}
	cmd := release.Command(d)
	cmd.SetArgs([]string{"promote", "--to", "staging,release", uuid})
	return cmd.ExecuteContext(ctx)
}

const killedVariable = "ENGBLD_TEST_KILL_AT"

// TestKilledChild is the process that TestKilled kills.
func TestKilledChild(t *testing.T) {
	at, err := strconv.Atoi(os.Getenv(killedVariable))
	if err != nil {
		t.Skip("it is run by TestKilled")
	}
	k := &killer{at: at}
	if err := uploadPublishPromote(t.Context(), os.Getenv, k, os.Getenv("ENGBLD_TEST_DIR"), os.Getenv("ENGBLD_TEST_UUID")); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("requests=%d\n", k.n)
}

// A process that uploads, publishes and promotes is killed after each of its
// requests. At no time is an active image without its file, in a channel
// without its origin, or a pointer without its upload; and the same commands
// finish.
func TestKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts many processes")
	}
	s := start(t, sandbox.Options{})
	dir := t.TempDir()
	objects, err := mantaserver.Start(t.Context(), mantaserver.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	id := filepath.Join(t.TempDir(), ".ssh", "id_rsa")
	key, err := sshsign.Ensure(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := mantaserver.AddUser(dir, "acct", key.Public()); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"MANTA_URL": objects.URL(), "MANTA_USER": "acct", "MANTA_KEY_ID": key.MD5(), "HOME": filepath.Dir(filepath.Dir(id))}
	for k, v := range s.env {
		env[k] = v
	}
	child := func(n, at int) (killed bool, requests int) {
		t.Helper()
		src := t.TempDir()
		img := image(t, n, n+1000, "")
		if err := errors.Join(os.WriteFile(filepath.Join(src, "i.imgmanifest"), img.Manifest.Encode(), 0o644),
			os.WriteFile(filepath.Join(src, "i.zfs.gz"), []byte(fmt.Sprintf("file of image %d", n)), 0o644)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledChild$", "-test.v")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", killedVariable, at), "ENGBLD_TEST_DIR="+src, "ENGBLD_TEST_UUID="+uuidOf(n))
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			var exit *exec.ExitError
			if status, ok := (syscall.WaitStatus)(0), false; errors.As(err, &exit) {
				if status, ok = exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
					return true, 0
				}
			}
			t.Fatalf("%v: %s", err, out)
		}
		_, rest, _ := bytes.Cut(out, []byte("requests="))
		requests, err = strconv.Atoi(strings.TrimSpace(strings.SplitN(string(rest), "\n", 2)[0]))
		if err != nil {
			t.Fatalf("%s", out)
		}
		return false, requests
	}
	total := 0
	for n := 2; n <= 3; n++ { // the first one makes directories, too
		s.chainAfter(t, "experimental", n+999, 1)
		_, total = child(n, 0)
	}
	if total < 20 {
		t.Fatalf("only %d requests", total)
	}
	c, err := manta.New(manta.Options{URL: objects.URL(), Account: "acct", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	for at := 1; at <= total; at++ {
		n := 100 + at
		s.chainAfter(t, "experimental", n+999, 1)
		killed, _ := child(n, at)
		if m, err := s.client(t, "*", nil, true).Get(t.Context(), uuidOf(n)); err == nil {
			checkImage(t, s, m, n+1000)
		}
		if p, err := c.GetBytes(t.Context(), "/acct/stor/builds/main-latest", 1000); err == nil {
			if _, err := c.Info(t.Context(), strings.TrimSpace(string(p))+"/md5sums.txt"); err != nil {
				t.Errorf("killed after request %d: the pointer leads to an unfinished upload: %v", at, err)
			}
		}
		if again, _ := child(n, 0); again || !killed {
			t.Errorf("killed after request %d: %v, then %v", at, killed, again)
		}
		if got := s.channelsOf(t, n); !slices.Equal(got, []string{"dev", "staging", "release"}) {
			t.Errorf("killed after request %d, and again: the image is in %v", at, got)
		}
	}
}

func checkImage(t *testing.T, s *server, m *imgmanifest.Manifest, origin int) {
	t.Helper()
	if m.State() == "active" && len(m.Files()) != 1 {
		t.Errorf("image %s is active without its file", m.UUID())
	}
	for _, ch := range m.Channels() {
		if !slices.Contains(s.channelsOf(t, origin), ch) {
			t.Errorf("image %s is in %s without its origin", m.UUID(), ch)
		}
	}
}
