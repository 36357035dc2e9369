package imgadm_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/sandbox"
	"github.com/google/go-cmp/cmp"
)

// genuine runs the genuine updates-imgadm 2.7.0, which ENGBLD_TEST_UPDATES_IMGADM names.
func genuine(t *testing.T, x *tester, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(os.Getenv("ENGBLD_TEST_UPDATES_IMGADM"), args...)
	cmd.Dir = x.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + x.dir}
	for k, v := range x.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(x.stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		code = 1
	}
	clean := func(b bytes.Buffer) string { return strings.ReplaceAll(b.String(), x.url, "SERVER") }
	return clean(out), clean(errs), code
}

func needGenuine(t *testing.T) {
	t.Helper()
	if os.Getenv("ENGBLD_TEST_UPDATES_IMGADM") == "" {
		t.Skip("ENGBLD_TEST_UPDATES_IMGADM names no genuine updates-imgadm")
	}
}

// The genuine tool prints what the golden file holds.
func TestGenuineFormats(t *testing.T) {
	t.Parallel()
	needGenuine(t)
	srv, _ := formatServer(t)
	x := &tester{t: t, url: srv.URL, dir: t.TempDir(), env: map[string]string{"UPDATES_IMGADM_URL": srv.URL}}
	golden, err := os.ReadFile(filepath.Join("testdata", "formats.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(string(golden), "$ updates-imgadm "), "$ updates-imgadm ") {
		line, want, _ := strings.Cut(part, "\n")
		if strings.Contains(line, "--tree -o name,origin") || strings.Contains(line, "-Hl") {
			continue // the genuine one never ends there; it does not know joined options
		}
		out, errs, code := genuine(t, x, strings.Fields(line)...)
		if code != 0 || out != want {
			t.Errorf("%s: code %d %s\n%s", line, code, errs, cmp.Diff(want, out))
		}
	}
}

var (
	published = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	ownWords  = regexp.MustCompile(`^updates-imgadm: error \((Usage|UnknownOption|ImageHasDependentImages)\): `)
)

// The genuine tool and ours, each against a sandbox of its own, say the same.
func TestGenuineChanges(t *testing.T) {
	t.Parallel()
	needGenuine(t)
	theirs, ours := start(t, sandbox.Options{}), start(t, sandbox.Options{})
	for _, x := range []*tester{theirs, ours} {
		x.write(1, "")
		x.write(2, `,"origin":"`+uuidOf(1)+`"`)
		x.file("bad.json", `{"v":2,"uuid":"`+uuidOf(9)+`","name":"demo","type":"zone-dataset","os":"plan9"}`)
	}
	for _, line := range []string{
		"import -m 1.json -f 1.zfs.gz -q", "import -m 2.json -f 2.zfs.gz -q -C dev", "import -m bad.json", "import -m 1.json", "-C nowhere list",
		"channel-add release " + uuidOf(1), "channel-add nowhere " + uuidOf(1), "channel-add release", "channel-add",
		"channel-add release " + uuidOf(8) + " " + uuidOf(9),
		"disable " + uuidOf(2), "list -a", "enable " + uuidOf(2), "update " + uuidOf(2) + " description=x tags.a=1", "activate " + uuidOf(2),
		"get " + uuidOf(2), "show " + uuidOf(2), "list -o uuid,name,channels -C * name=~demo", "-C release list name=~demo",
		"get-file -q -o out " + uuidOf(1), "get-file -q " + uuidOf(1), "delete " + uuidOf(1), "delete -C release " + uuidOf(1),
		"delete " + uuidOf(2), "delete --force-all-channels " + uuidOf(1), "delete " + uuidOf(1), "channels", "lsit", "list -x", "list foo", "get",
		"add-acl " + uuidOf(1), "activate " + uuidOf(7),
	} {
		out, errs, code := genuine(t, theirs, strings.Fields(line)...)
		gotOut, gotErrs, gotCode := ours.run(strings.Fields(line)...)
		out, gotOut = published.ReplaceAllString(out, "NOW"), published.ReplaceAllString(gotOut, "NOW")
		if m := ownWords.FindString(errs); m != "" && strings.HasPrefix(gotErrs, m) {
			errs = gotErrs
		}
		if code != gotCode || out != gotOut || errs != gotErrs {
			t.Errorf("%s\n--- genuine: code %d\n%s%s--- ours: code %d\n%s%s", line, code, out, errs, gotCode, gotOut, gotErrs)
		}
	}
}
