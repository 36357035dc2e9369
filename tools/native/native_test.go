package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/google/go-cmp/cmp"
)

// answers is a Runner that knows what commands write.
type answers map[string]string

func (a answers) Run(_ context.Context, c Command) error {
	out, ok := a[c.String()]
	if !ok {
		return fmt.Errorf("%s: not expected", c)
	}
	if c.Stdout != nil {
		io.WriteString(c.Stdout, out)
	}
	return nil
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	const list = "zfs list -H -t filesystem -o name"
	for _, c := range []struct {
		name, named, datasets, want, fails string
		platform                           *Platform
	}{
		{"upstream's", "", "zones off|zones/z1 off|zones/z1/data on", "zones/z1/data", "", Illumos()},
		{"another pool", "", "tank off|tank/z1 off|tank/z1/data on|rpool off", "tank/z1/data", "", Illumos()},
		{"another zone's beside", "", "zones off|zones/z2/data on|zones/z1/data on", "zones/z1/data", "", Illumos()},
		{"another name", "", "zones off|zones/z1 off|zones/z1/build on|zones/z1/build/x on", "zones/z1/build", "", Illumos()},
		{"two pools", "", "a off|a/z1/data on|b off|b/z1/data on", "", "a/z1/data, b/z1/data", Illumos()},
		{"none", "", "zones off|zones/z1 off", "", "no delegated dataset", Illumos()},
		{"named", "zones/x", "zones off|zones/z1/data on|zones/x off", "zones/x", "", Illumos()},
		{"named wrongly", "zones/y", "zones off|zones/z1/data on", "", `no file system "zones/y"`, Illumos()},
		{"no zones", "", "tank off|tank/a off", "", "no dataset is named", Linux()},
		{"no zones, named", "tank/a", "tank off|tank/a off", "tank/a", "", Linux()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out := strings.NewReplacer("|", "\n", " ", "\t").Replace(c.datasets) + "\n"
			r := answers{list + ",zoned": out, list: strings.NewReplacer("\ton", "", "\toff", "").Replace(out), "zonename": "z1\n"}
			s := &Session{o: Options{Runner: r, Platform: c.platform, Dataset: c.named}, zfs: zfs{r}}
			got, err := s.discover(context.Background())
			if got != c.want || (err != nil) != (c.fails != "") || !strings.Contains(fmt.Sprint(err), c.fails) {
				t.Errorf("%q, %v", got, err)
			}
			if err != nil && (fault.KindOf(err) != fault.Unfit || fault.Hint(err) == "") {
				t.Errorf("kind %d, hint %q", fault.KindOf(err), fault.Hint(err))
			}
		})
	}
}

func TestResolveProxies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ value, want string }{
		{"http://proxy:3128", "http://192.0.2.1:3128"},
		{"http://proxy", "http://192.0.2.1"},
		{"proxy:3128", "http://192.0.2.1:3128"},
		{"http://u:p@proxy:3128/", "http://u:p@192.0.2.1:3128/"},
		{"http://198.51.100.7:8080", "http://198.51.100.7:8080"},
		{"http://[2001:db8::1]:8080", "http://[2001:db8::1]:8080"},
		{"http://six:8080", "http://[2001:db8::6]:8080"},
		{"http://absent:8080", ""},
		{"http://:8080", ""},
		{"%", ""},
	} {
		s := &Session{o: Options{
			Getenv: func(name string) string { return map[string]string{"https_proxy": c.value}[name] },
			Lookup: func(_ context.Context, host string) ([]string, error) {
				a, ok := map[string]string{"proxy": "192.0.2.1", "six": "2001:db8::6"}[host]
				if !ok {
					return nil, errors.New("no such host")
				}
				return []string{a}, nil
			},
		}}
		got, err := s.resolveProxies(context.Background())
		if c.want == "" {
			if err == nil {
				t.Errorf("%q: %v", c.value, got)
			}
		} else if d := cmp.Diff([]string{"https_proxy=" + c.want}, got); d != "" || err != nil {
			t.Errorf("%q: %v %s", c.value, err, d)
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("a secret is shown: %v", err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	root, user := 0, 1000
	open := map[string]Options{
		"user":            {UID: &user},
		"relative":        {UID: &root, StateDir: "state"},
		"state is a file": {UID: &root, StateDir: "/dev/null"},
	}
	writable := t.TempDir()
	if err := os.Chmod(writable, 0o777); err != nil {
		t.Fatal(err)
	}
	open["state is everybody's"] = Options{UID: &root, StateDir: writable}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	open["state is a link"] = Options{UID: &root, StateDir: link}
	for name, o := range open {
		o.Runner = answers{"zfs list -H -t filesystem -o name": "tank\n"}
		o.Platform, o.Dataset = Linux(), "tank"
		_, err := Open(context.Background(), o)
		if k := fault.KindOf(err); err == nil || k != fault.Unfit && k != fault.Usage {
			t.Errorf("%s: kind %d: %v", name, k, err)
		}
	}
}

const testID = "5eed0000-0000-4000-8000-000000000001"

func TestStateNamesNothingElse(t *testing.T) {
	t.Parallel()
	s := &state{ID: testID, Dataset: "tank/a", dir: "/state"}
	m := "/state/mnt-" + testID
	for e, want := range map[entry]bool{
		{kindDir, m}:                                true,
		{kindDir, "/state"}:                         false,
		{kindDir, "/etc"}:                           false,
		{kindMount, m + "/root/dev"}:                true,
		{kindMount, m + "/../x"}:                    false,
		{kindMount, "/dev"}:                         false,
		{kindDataset, "tank/a/x"}:                   true,
		{kindDataset, "tank/a"}:                     false,
		{kindDataset, "tank/b/x"}:                   false,
		{kindDataset, "tank/a/x/y"}:                 false,
		{kindDataset, "tank/a/x@final"}:             false,
		{kindDataset, "tank/a/-r"}:                  false,
		{kindPartial, "tank/a/u-partial-" + testID}: true,
		{kindPartial, "tank/a/u-partial-other"}:     false,
		{kindPartial, "tank/a/u"}:                   false,
		{"file", m}:                                 false,
	} {
		if got := s.ours(e); got != want {
			t.Errorf("%v: %v", e, got)
		}
	}
}

// FuzzState: whatever a state file holds, nothing is accepted that is not ours.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"id":"` + testID + `","dataset":"tank/a","pid":1,"entries":[{"kind":"directory","target":"/state/mnt-` + testID + `"},{"kind":"dataset","target":"tank/a/` + testID + `"}]}`))
	f.Add([]byte(`{"id":"` + testID + `","dataset":"","entries":[{"kind":"dataset","target":"/x"}]}`))
	f.Add([]byte(`{"id":"` + testID + `","dataset":"-r","entries":[{"kind":"dataset","target":"-r/x"}]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := &state{ID: testID, dir: "/state"}
		if s.parse(raw) != nil {
			return
		}
		for _, e := range s.Entries {
			inDataset := strings.HasPrefix(e.Target, s.Dataset+"/") && s.Dataset != "" && s.Dataset[0] != '-'
			if !inDataset && !strings.HasPrefix(e.Target, "/state/mnt-"+testID) || strings.Contains(e.Target, "..") && e.Target[0] == '/' && filepath.Clean(e.Target) != e.Target {
				t.Errorf("%v", e)
			}
		}
	})
}

// TestStatesThatAreDamaged: they stay, are told of, and keep no build from anything.
func TestStatesThatAreDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, buildPrefix+testID+stateSuffix)
	for _, raw := range []string{"{", `{"id":"other"}`, `{"id":"` + testID + `","dataset":"tank","entries":[{"kind":"dataset","target":"tank"}]}`} {
		if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := left(dir)
		if len(list) != 0 || fault.KindOf(err) != fault.Unfit || fault.Hint(err) == "" {
			t.Errorf("%s: %d states, %v", raw, len(list), err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
}

// TestStatesOfLiveBuildsStay: what a build at work holds is nobody else's.
func TestStatesOfLiveBuildsStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := newState(dir, "tank/a", testID)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := left(dir); err != nil || len(list) != 0 {
		t.Errorf("%d states, %v", len(list), err)
	}
	if err := s.push(kindDir, s.mountpoint()); err != nil {
		t.Fatal(err)
	}
	s.lock.Release()
	list, err := left(dir)
	if err != nil || len(list) != 1 || len(list[0].Entries) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if err := list[0].remove(); err != nil {
		t.Error(err)
	}
	if names, _ := os.ReadDir(dir); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestPrograms(t *testing.T) {
	t.Parallel()
	p := &Programs{}
	sh := func(script string) Command { return Command{Path: "sh", Args: []string{"-c", script}} }

	err := p.Run(context.Background(), sh("echo one >&2; echo two >&2; echo three >&2; echo four >&2; exit 7"))
	if ExitCode(err) != 7 || !strings.HasSuffix(err.Error(), ": two; three; four") {
		t.Errorf("%v", err)
	}
	if err := p.Run(context.Background(), Command{Path: "engbld-no-such-program"}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("%v", err)
	}
	var b strings.Builder
	c := sh("cat; env | grep -c .")
	c.Stdin, c.Stdout, c.Env = strings.NewReader("in "), &b, []string{"A=1", "PATH=" + systemPath}
	if err := p.Run(context.Background(), c); err != nil || !strings.HasPrefix(b.String(), "in ") {
		t.Errorf("%q, %v", b.String(), err)
	}
	if err := p.Run(context.Background(), sh("kill -9 $$")); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("%v", err)
	}

	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	var said strings.Builder
	c = sh("trap 'echo stopped; exit 1' TERM; sleep 600 & echo begun; wait")
	c.Stdout = writer(func(b []byte) {
		said.Write(b)
		cancel(cause) // as soon as it has begun
	})
	err = p.Run(ctx, c)
	if !errors.Is(err, cause) || said.String() != "begun\nstopped\n" {
		t.Errorf("%q, %v", said.String(), err)
	}
	if err := p.Run(ctx, sh("true")); !errors.Is(err, cause) {
		t.Errorf("after the end: %v", err)
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}

func TestLines(t *testing.T) {
	t.Parallel()
	var got []string
	l := &Lines{Line: func(s string) { got = append(got, s) }}
	for _, s := range []string{"a", "b\nc\r", "\n\n", "d\xff", strings.Repeat("x", maxLine)} {
		io.WriteString(l, s)
	}
	l.Flush()
	want := []string{"ab", "c", "d?" + strings.Repeat("x", maxLine-2), "xx"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestMountTable(t *testing.T) {
	t.Parallel()
	table := filepath.Join(t.TempDir(), "mnttab")
	if err := os.WriteFile(table, []byte("a /x zfs rw 0\nb /with\\040blank zfs rw 0\nbroken\n/dev /x/dev/ lofs ro 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := Illumos()
	p.table = table
	got, err := p.mounted()
	if d := cmp.Diff([]string{"/x", "/with blank", "/x/dev"}, got); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
}

func FuzzUnescape(f *testing.F) {
	f.Add(`a\040b`)
	f.Add(`\`)
	f.Add(`\777`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := unescape(s); len(got) > len(s) || !strings.Contains(s, `\`) && got != s {
			t.Errorf("%q", got)
		}
	})
}

func TestLoopMounts(t *testing.T) {
	t.Parallel()
	var got []string
	for _, p := range []*Platform{Illumos(), Linux()} {
		for _, c := range p.loop("/usr", "/m/root/usr") {
			got = append(got, c.String())
		}
	}
	want := []string{"mount -F lofs -o ro /usr /m/root/usr", "mount --bind /usr /m/root/usr", "mount -o remount,ro,bind /m/root/usr"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
