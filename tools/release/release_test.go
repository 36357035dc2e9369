package release_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgapi"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/manta"
	"github.com/TritonDataCenter/engbld/tools/release"
	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver"
	"github.com/TritonDataCenter/engbld/tools/sandbox/mantaserver/cut"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
	"github.com/google/go-cmp/cmp"
)

func TestBranchChannel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ branch, try, want string }{
		{"master", "", "dev"}, {"main", "", "dev"}, {"mantav1", "", "dev"}, {"TOOLS-1", "", "experimental"},
		{"master", "TOOLS-1", "experimental"}, {"TOOLS-1", "main", "dev"},
		{"release-20240102", "", "staging"}, {"release-20240102", "TOOLS-1", "experimental"}, {"release-20240102", "master", "dev"},
		{"release-2024010", "", "experimental"}, {"release-20240102x", "", "experimental"}, {"Main", "", "experimental"},
	} {
		if got := release.BranchChannel(tt.branch, tt.try); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

type server struct {
	*sandbox.Sandbox
	env map[string]string
}

func start(t *testing.T, o sandbox.Options) *server {
	t.Helper()
	o.Dir = t.TempDir()
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	user, file, err := s.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &server{s, map[string]string{"UPDATES_IMGADM_URL": s.ImageURL(), "UPDATES_IMGADM_USER": user, "UPDATES_IMGADM_IDENTITY": file}}
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func (s *server) deps(out *bytes.Buffer, tr http.RoundTripper) release.Deps {
	log := func(format string, args ...any) { fmt.Fprintf(out, "# "+format+"\n", args...) }
	return release.Deps{
		Getenv: func(k string) string { return s.env[k] }, Stdout: out, Now: time.Now, Transport: tr,
		Log: release.Log{Infof: log, Warnf: log}, Sleep: noSleep,
	}
}

// client returns a signed client; repeat says whether lost requests are repeated.
func (s *server) client(t *testing.T, channel string, tr http.RoundTripper, repeat bool) *imgapi.Client {
	t.Helper()
	sign, err := imgapi.SignAs(s.env["UPDATES_IMGADM_USER"], s.env["UPDATES_IMGADM_IDENTITY"], sshsign.Places{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	o := imgapi.Options{URL: s.ImageURL(), Channel: channel, Transport: tr, Sign: sign, Sleep: noSleep}
	if !repeat {
		o.Backoff = []time.Duration{}
	}
	c, err := imgapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run runs "release ARGS" and returns what it said, with the server's address as SERVER.
func (s *server) run(t *testing.T, tr http.RoundTripper, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := release.Command(s.deps(&out, tr))
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(t.Context())
	return strings.ReplaceAll(out.String(), s.ImageURL(), "SERVER"), err
}

func uuidOf(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// image is number n, upon origin (0: none).
func image(t *testing.T, n, origin int, more string) release.Image {
	t.Helper()
	if origin > 0 {
		more += `,"origin":"` + uuidOf(origin) + `"`
	}
	text := fmt.Sprintf("file of image %d", n)
	sum := sha1.Sum([]byte(text))
	f := imgmanifest.File{SHA1: hex.EncodeToString(sum[:]), Size: int64(len(text)), Compression: "gzip"}
	m, err := imgmanifest.Parse([]byte(fmt.Sprintf(`{"v":2,"uuid":%q,"owner":%q,"name":"triton-origin-%d","version":"1.0","published_at":"2024-01-02T03:04:05Z",
		"type":"zone-dataset","os":"smartos","files":[{"sha1":%q,"size":%d,"compression":"gzip"}]%s}`, uuidOf(n), imgmanifest.ZeroUUID, n, f.SHA1, f.Size, more)))
	if err != nil {
		t.Fatal(err)
	}
	return release.Image{Manifest: m, File: imgapi.Content{File: f, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}}
}

// chain publishes images 1 … n, each upon the one before, in a channel.
func (s *server) chain(t *testing.T, channel string, n int) {
	t.Helper()
	s.chainAfter(t, channel, 0, n)
}

// chainAfter publishes images after+1 … after+n.
func (s *server) chainAfter(t *testing.T, channel string, after, n int) {
	t.Helper()
	var images []release.Image
	for i := n; i >= 1; i-- { // the wrong way round
		origin := 0
		if i > 1 {
			origin = after + i - 1
		}
		images = append(images, image(t, after+i, origin, ""))
	}
	if err := release.Publish(t.Context(), s.client(t, channel, nil, true), images, release.Log{}); err != nil {
		t.Fatal(err)
	}
}

func (s *server) channelsOf(t *testing.T, n int) []string {
	t.Helper()
	m, err := s.client(t, "*", nil, true).Get(t.Context(), uuidOf(n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return m.Channels()
}

// The origins come to the channel before the image; what cannot be is refused
// before anything is sent.
func TestPublishOrigins(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	s.chain(t, "dev", 2)
	tr := &cut.Transport{}
	c := s.client(t, "experimental", tr, true)
	if err := release.Publish(t.Context(), c, []release.Image{image(t, 3, 2, "")}, release.Log{}); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int][]string{1: {"dev", "experimental"}, 2: {"dev", "experimental"}, 3: {"experimental"}} {
		if got := s.channelsOf(t, n); !slices.Equal(got, want) {
			t.Errorf("image %d: %v", n, got)
		}
	}
	var posts []string
	for _, l := range tr.Log() {
		if !strings.HasPrefix(l, "GET ") {
			posts = append(posts, l[strings.Index(l, "-8000-")+17:])
		}
	}
	want := []string{"1?action=channel-add&channel=dev", "2?action=channel-add&channel=dev", "3?action=import&channel=experimental"}
	if len(posts) != 5 || !slices.Equal(posts[:3], want) {
		t.Errorf("sent %q", posts)
	}
	sent := len(tr.Log())
	err := release.Publish(t.Context(), c, []release.Image{image(t, 4, 0, ""), image(t, 5, 9, "")}, release.Log{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fault.Hint(err), "release prereq "+uuidOf(9)) {
		t.Errorf("no origin: %v, hint %q", err, fault.Hint(err))
	}
	for _, l := range tr.Log()[sent:] {
		if !strings.HasPrefix(l, "GET ") {
			t.Errorf("sent %s", l)
		}
	}
	loop := []release.Image{image(t, 6, 7, ""), image(t, 7, 6, "")}
	if err := release.Publish(t.Context(), c, loop, release.Log{}); fault.KindOf(err) != fault.Usage {
		t.Errorf("loop: %v", err)
	}
}

func TestSandboxImages(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	img := []release.Image{image(t, 1, 0, `,"tags":{"sandbox":true}`)}
	if err := release.Publish(t.Context(), s.client(t, "dev", nil, true), img, release.Log{}); err != nil {
		t.Errorf("to a sandbox: %v", err)
	}
	posts := 0
	real := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			posts++
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"ping":"pong","version":"4.13.1","imgapi":true}`)
	}))
	defer real.Close()
	c, err := imgapi.New(imgapi.Options{URL: real.URL, Channel: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	if err := release.Publish(t.Context(), c, img, release.Log{}); fault.KindOf(err) != fault.Policy || posts != 0 {
		t.Errorf("to a real server: %v", err)
	}
}

func TestPromote(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	s.chain(t, "dev", 2)
	u1, u2 := uuidOf(1), uuidOf(2)
	if _, err := s.client(t, "dev", nil, true).ChannelAdd(t.Context(), u1, "staging"); err != nil {
		t.Fatal(err)
	}
	plan := "there " + u1 + " (triton-origin-1@1.0) is in staging\n" +
		"add   " + u2 + " (triton-origin-2@1.0) from dev to staging\n" +
		"add   " + u1 + " (triton-origin-1@1.0) from dev to release\n" +
		"add   " + u2 + " (triton-origin-2@1.0) from dev to release\n"
	for _, args := range [][]string{{"plan", "--to", "staging,release", u2}, {"promote", "--dry-run", "--to", "staging,release", u2}} {
		if out, err := s.run(t, nil, args...); err != nil || out != plan {
			t.Errorf("%v: %v\n%s", args, err, cmp.Diff(plan, out))
		}
	}
	out, err := s.run(t, nil, "verify", "--to", "staging", u2)
	if fault.KindOf(err) != fault.Drift || out != "staging: image "+u2+" is not there\n" {
		t.Errorf("verify before: %v\n%s", err, out)
	}
	want := "# " + u1 + " (triton-origin-1@1.0) is in staging already\n" +
		"added " + u2 + " (triton-origin-2@1.0) from dev to staging\n" +
		"added " + u1 + " (triton-origin-1@1.0) from dev to release\n" +
		"added " + u2 + " (triton-origin-2@1.0) from dev to release\n" +
		"# the image and its origins are in staging, release\n" +
		"# next: engbld flavor released triton-origin-2 " + u2 + "\n"
	if out, err := s.run(t, nil, "promote", "--to", "staging,release", u2); err != nil || out != want {
		t.Errorf("promote: %v\n%s", err, cmp.Diff(want, out))
	}
	if _, err := s.run(t, nil, "promote", u2); err != nil {
		t.Error(err)
	}
	for n := 1; n <= 2; n++ {
		if got := s.channelsOf(t, n); !slices.Equal(got, []string{"dev", "staging", "release", "experimental", "support"}) {
			t.Errorf("image %d: %v", n, got)
		}
	}
	if _, err := s.run(t, nil, "verify", u2, u1); err != nil {
		t.Error(err)
	}
}

func TestPromoteRefused(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	s.chain(t, "experimental", 2)
	c := s.client(t, "experimental", nil, true)
	for _, tt := range []struct {
		args []string
		kind fault.Kind
		want string
	}{
		{[]string{uuidOf(2)}, fault.Network, "image not found"}, // not in dev
		{[]string{"--from", "experimental", uuidOf(7)}, fault.Network, "not found"},
		{[]string{"--from", "experimental", "x"}, fault.Usage, "uuid"},
		{[]string{"--from", "nowhere", uuidOf(2)}, fault.Usage, "nowhere"},
		{[]string{"--to", "staging,nowhere", uuidOf(2)}, fault.Usage, "nowhere"},
		{[]string{"--to", "*", uuidOf(2)}, fault.Usage, "no list of channels"},
		{[]string{"--to", "", uuidOf(2)}, fault.Usage, "no list of channels"},
	} {
		if _, err := s.run(t, nil, append([]string{"promote"}, tt.args...)...); fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v", tt.args, err)
		}
	}
	if _, err := c.Disable(t.Context(), uuidOf(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(t, nil, "promote", "--from", "experimental", uuidOf(2)); fault.KindOf(err) != fault.Drift || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("origin disabled: %v", err)
	}
	if got := s.channelsOf(t, 2); !slices.Equal(got, []string{"experimental"}) {
		t.Errorf("%v", got)
	}
}

// The table fault × outcome of a promotion: with the connection broken at each
// request for good, no image is in a channel without its origin, and the same
// command finishes.
func TestPromoteCutAnywhere(t *testing.T) {
	t.Parallel()
	whole := &cut.Transport{}
	args := func(n int) []string { return []string{"promote", "--to", "staging,release", uuidOf(n)} }
	s := start(t, sandbox.Options{})
	s.chain(t, "dev", 2)
	if out, err := s.run(t, whole, args(2)...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	next := 0
	for at := range whole.Log() {
		for _, mode := range []cut.Mode{cut.Before, cut.After} {
			for _, times := range []int{1, -1} {
				if mode == cut.Before && times < 0 {
					continue // as after the request before
				}
				next += 2
				s.chainAfter(t, "dev", next, 2)
				_, err := s.run(t, &cut.Transport{At: at + 1, Mode: mode, Times: times}, args(next+2)...)
				name := fmt.Sprintf("cut %v request %d (%s), %d times", mode, at+1, whole.Log()[at], times)
				if times > 0 && err != nil || times < 0 && fault.KindOf(err) != fault.Network {
					t.Errorf("%s: %v", name, err)
				}
				for _, ch := range s.channelsOf(t, next+2) {
					if !slices.Contains(s.channelsOf(t, next+1), ch) {
						t.Errorf("%s: an image is in %s without its origin", name, ch)
					}
				}
				if _, err := s.run(t, nil, args(next+2)...); err != nil {
					t.Errorf("%s, again: %v", name, err)
				}
				if got := s.channelsOf(t, next+2); !slices.Equal(got, []string{"dev", "staging", "release"}) {
					t.Errorf("%s, again: %v", name, got)
				}
			}
		}
	}
}

// A copy from another server, with that one's or ours broken at any request.
func TestPrereq(t *testing.T) {
	t.Parallel()
	from := start(t, sandbox.Options{})
	from.chain(t, "dev", 2)
	args := []string{"prereq", "--source", from.ImageURL() + "?channel=dev", "--to", "release,dev", uuidOf(2)}
	to := start(t, sandbox.Options{})
	whole := &cut.Transport{}
	want := "# copied image " + uuidOf(1) + " (triton-origin-1@1.0)\n# copied image " + uuidOf(2) + " (triton-origin-2@1.0)\n" +
		"image " + uuidOf(2) + " (triton-origin-2@1.0) is on SERVER\n" +
		"added " + uuidOf(1) + " (triton-origin-1@1.0) from release to dev\nadded " + uuidOf(2) + " (triton-origin-2@1.0) from release to dev\n" +
		"# the image and its origins are in release, dev\n"
	if out, err := to.run(t, whole, args...); err != nil || out != want {
		t.Fatalf("%v\n%s", err, cmp.Diff(want, out))
	}
	if out, err := to.run(t, nil, args...); err != nil || strings.Contains(out, "added") {
		t.Errorf("again: %v\n%s", err, out)
	}
	for at := range whole.Log() {
		next := 2*at + 2
		from.chainAfter(t, "dev", next, 2)
		args[len(args)-1] = uuidOf(next + 2)
		_, err := to.run(t, &cut.Transport{At: at + 1, Mode: cut.After, Times: -1}, args...)
		if err == nil {
			t.Errorf("cut at request %d: no error", at+1)
		}
		if _, err := to.run(t, nil, args...); err != nil {
			t.Errorf("cut at request %d (%s), again: %v", at+1, whole.Log()[at], err)
		}
		if got := to.channelsOf(t, next+1); !slices.Equal(got, []string{"release", "dev"}) {
			t.Errorf("cut at request %d, again: %v", at+1, got)
		}
	}
}

// A file that is not what its manifest says never gets its name, nor to a server.
func TestDownload(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault sandbox.Fault
		want  string // "" is success
	}{
		"cut once":   {sandbox.Fault{Cut: 3, Times: 1}, ""},
		"cut always": {sandbox.Fault{Cut: 3}, "closed the connection"},
		"corrupt":    {sandbox.Fault{Corrupt: 2}, "its sha1 is"},
		"longer":     {sandbox.Fault{Lie: 1}, "announced"},
		"no length":  {sandbox.Fault{NoLength: true}, ""},
	} {
		faults := new(sandbox.Faults)
		s := start(t, sandbox.Options{Faults: faults})
		s.chain(t, "dev", 1)
		tt.fault.Path = "/images/*/file"
		faults.Add(tt.fault)
		dir := t.TempDir()
		want := image(t, 1, 0, "").Manifest.Files()[0]
		err := release.Download(t.Context(), s.client(t, "dev", nil, true), uuidOf(1), want, filepath.Join(dir, "f"), nil)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if entries, _ := os.ReadDir(dir); (len(entries) == 1) != (err == nil) {
			t.Errorf("%s: left: %v", name, entries)
		}
	}
}

type facts map[string][2][]string

func (f facts) Packages(_ context.Context, uuid string) ([]string, error) { return f[uuid][0], nil }
func (f facts) Vulnerabilities(_ context.Context, uuid string) ([]string, error) {
	return f[uuid][1], nil
}

func TestTicket(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	s.chain(t, "dev", 2)
	old := uuidOf(1)
	var out bytes.Buffer
	err := release.Ticket(t.Context(), &out, s.client(t, "dev", nil, true), []string{uuidOf(2)}, release.TicketOptions{
		Released: func(string) string { return old }, Channels: []string{"staging", "release"},
		Facts: facts{
			old:       {{"curl-8.6.0", "old-lib-1.0", "sudo-1.9"}, {"Package curl-8.6.0 has a hole, see URL1", "Package sudo-1.9 has a hole, see URL2"}},
			uuidOf(2): {{"curl-8.7.1", "sudo-1.9", "zlib-1.3nb1"}, {"Package sudo-1.9 has a hole, see URL2", "Package zlib-1.3nb1 has a hole, see URL3"}},
		},
	})
	sum := sha1.Sum([]byte("file of image 2"))
	want := `Release to staging, release of

    ` + uuidOf(2) + `  triton-origin-2  1.0  2024-01-02T03:04:05Z

triton-origin-2@1.0

    uuid      ` + uuidOf(2) + `
    channels  dev
    file      sha1 ` + hex.EncodeToString(sum[:]) + `, 15 bytes
    origin    ` + uuidOf(1) + ` (triton-origin-1@1.0)
    since     ` + uuidOf(1) + `

    packages
        curl 8.6.0 -> 8.7.1
      - old-lib 1.0
      + zlib 1.3nb1

    vulnerabilities
      - Package curl-8.6.0 has a hole, see URL1
      + Package zlib-1.3nb1 has a hole, see URL3

To do

    engbld release promote --to staging,release ` + uuidOf(2) + `
    engbld release verify --to staging,release ` + uuidOf(2) + `
    engbld flavor released triton-origin-2 ` + uuidOf(2) + `
`
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, out.String()))
	}
}

// The images of an upload to a directory, and what is none.
func TestPublishUpload(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for n, kind := range map[int]string{1: ".imgmanifest", 2: ".manifest"} {
		img := image(t, n, n-1, "")
		name := fmt.Sprintf("comp/demo-%d-zfs", n)
		write(name+kind, string(img.Manifest.Encode()))
		write(name+".zfs.gz", fmt.Sprintf("file of image %d", n))
	}
	write("comp/installer.manifest", `{"v":2,"uuid":"`+uuidOf(5)+`","owner":"`+imgmanifest.ZeroUUID+`","name":"installer","version":"1","type":"other","os":"other"}`)
	write("comp/installer.sh", "#!/bin/sh\n")
	write("other/nothing.imgmanifest", `{"uuid":"`+uuidOf(6)+`"}`)
	write("other/no-uuid.manifest", "{}")
	store := bits.OpenDir(t.TempDir())
	req := bits.Request{Branch: "main", Name: "comp", Dir: dir, Stamp: "s1"}
	res, err := bits.Upload(t.Context(), store, req)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	d := s.deps(&out, nil)
	for range 2 {
		if err := d.PublishUpload(t.Context(), store, req, res); err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
	}
	for _, n := range []int{1, 2, 5} {
		if got := s.channelsOf(t, n); !slices.Equal(got, []string{"dev"}) {
			t.Errorf("image %d: %v", n, got)
		}
	}
	m, err := s.client(t, "*", nil, true).Get(t.Context(), uuidOf(5))
	if err != nil || m.Files()[0].Compression != "none" {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"no image file for other/nothing.imgmanifest", "other/no-uuid.manifest has no uuid", "published image " + uuidOf(2), "image " + uuidOf(2) + " (triton-origin-2@1.0) is on"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not said:\n%s", want, &out)
		}
	}
	// A file that is not the manifest's.
	write("comp/demo-2-zfs.zfs.gz", "spoiled")
	if err := d.PublishUpload(t.Context(), store, req, res); fault.KindOf(err) != fault.Drift {
		t.Errorf("spoiled: %v", err)
	}
}

// An upload to an object store whose files the image server fetches itself,
// with signed addresses that nobody gets to see; and the whole of it again
// after each request to either server was cut.
func TestUploadAndPublishCutAnywhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, err := mantaserver.New(mantaserver.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	objects := httptest.NewTLSServer(h)
	defer objects.Close()
	s := start(t, sandbox.Options{Remote: objects.Client().Transport})
	key, err := sshsign.Places{}.Identity(s.env["UPDATES_IMGADM_IDENTITY"])
	if err != nil {
		t.Fatal(err)
	}
	if err := mantaserver.AddUser(dir, "acct", key.Public()); err != nil {
		t.Fatal(err)
	}
	run := func(n int, tr http.RoundTripper) (string, error) {
		src := t.TempDir()
		img := image(t, n, 0, "")
		name := filepath.Join(src, fmt.Sprintf("demo-%d", n))
		if err := errors.Join(os.WriteFile(name+".imgmanifest", img.Manifest.Encode(), 0o644),
			os.WriteFile(name+".zfs.gz", []byte(fmt.Sprintf("file of image %d", n)), 0o644)); err != nil {
			t.Fatal(err)
		}
		c, err := manta.New(manta.Options{URL: objects.URL, Account: "acct", Key: key, Transport: tr, Backoff: []time.Duration{}, Sleep: noSleep})
		if err != nil {
			t.Fatal(err)
		}
		store, err := manta.NewStore(c, fmt.Sprintf("builds/%d", n))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		d := s.deps(&out, tr)
		req := bits.Request{Branch: "release-20240102", Name: "comp", Dir: src, Stamp: "s1", Parallel: 1, Infof: d.Infof}
		if err := d.Ready(t.Context(), req); err != nil {
			return out.String(), err
		}
		res, err := bits.Upload(t.Context(), store, req)
		if err == nil {
			err = d.PublishUpload(t.Context(), store, req, res)
		}
		if err != nil {
			out.WriteString(err.Error())
		}
		return out.String(), err
	}
	check := func(n int, out string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%v", err)
		}
		if strings.Contains(out, "signature") || strings.Contains(out, "SHA256") {
			t.Errorf("a signed address was said:\n%s", out)
		}
		if got := s.channelsOf(t, n); !slices.Equal(got, []string{"staging"}) {
			t.Errorf("image %d is in %v", n, got)
		}
	}
	base := objects.Client().Transport
	whole := &cut.Transport{Base: base}
	out, err := run(1, whole)
	check(1, out, err)
	if !slices.ContainsFunc(whole.Log(), func(l string) bool { return strings.Contains(l, "/file/from-url?") }) {
		t.Errorf("the file was sent, not fetched: %q", whole.Log())
	}
	for at := range whole.Log() {
		n := 100 + at
		out, _ := run(n, &cut.Transport{Base: base, At: at + 1, Mode: cut.After, Times: -1})
		if strings.Contains(out, "signature") {
			t.Errorf("a signed address was said:\n%s", out)
		}
		out, err := run(n, base)
		check(n, out, err)
	}
}

func TestCheckUpload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, more := range map[string]string{"real/a.imgmanifest": "", "made/b.imgmanifest": `,"tags":{"sandbox":true}`} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, image(t, 1, 0, more).Manifest.Encode(), 0o644),
			os.WriteFile(filepath.Join(filepath.Dir(p), "build.manifest"), []byte("not JSON"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := release.CheckUpload(bits.Request{Dir: dir, Subdirs: []string{"real", "none"}}); err != nil {
		t.Error(err)
	}
	if err := release.CheckUpload(bits.Request{Dir: dir}); fault.KindOf(err) != fault.Policy || !strings.Contains(err.Error(), "made/b.imgmanifest") {
		t.Errorf("%v", err)
	}
}

// An image of the public server becomes a private one, without its icon.
func TestPrereqFromPublicServer(t *testing.T) {
	t.Parallel()
	img := image(t, 1, 0, `,"public":true,"icon":true,"acl":["11111111-2222-4333-8444-555555555555"],"state":"active","disabled":false`)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/file") {
			w.Header().Set("Content-Type", "application/octet-stream")
			io.WriteString(w, "file of image 1")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(img.Manifest.Encode())
	}))
	defer source.Close()
	to := start(t, sandbox.Options{})
	if out, err := to.run(t, nil, "prereq", "--source", source.URL, uuidOf(1)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m, err := to.client(t, "support", nil, true).Get(t.Context(), uuidOf(1))
	if err != nil {
		t.Fatal(err)
	}
	_, icon := m.Get("icon")
	_, acl := m.Get("acl")
	if m.Public() || icon || acl || m.PublishedAt() != "2024-01-02T03:04:05Z" || len(m.Channels()) != 5 {
		t.Errorf("%s", m.Encode())
	}
}
