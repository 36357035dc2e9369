package buildenv_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/TritonDataCenter/engbld/images"
	"github.com/TritonDataCenter/engbld/tools/buildenv"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/finding"
	"github.com/TritonDataCenter/engbld/tools/flavor"
)

var update = flag.Bool("update", false, "write golden files")

const goodPath = "/opt/local/bin:/opt/local/sbin:/root/opt/node_modules/manta/bin:/root/opt/imgapi-cli/bin:/usr/bin:/usr/sbin:/bin:/opt/tools/bin"

func options(m *machine, env map[string]string) buildenv.Options {
	return buildenv.Options{
		System: m,
		Getenv: func(k string) string {
			if v, ok := env[k]; ok {
				return v
			}
			return map[string]string{"PATH": goodPath, "LOGNAME": "dev"}[k]
		},
		Now:      func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) },
		Dir:      m.dir,
		Flavors:  func() (*flavor.Set, error) { return flavor.Load(images.FS) },
		CacheDir: func() (string, error) { return "/home/dev/.cache/engbld", nil },
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

// What people see, on machines fit and unfit.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, dir string
		env       map[string]string
		fit       bool
	}{
		{"fit", "service", nil, true},
		{"unfit", "service", map[string]string{"PATH": "/usr/bin:/usr/sbin:/opt/local/bin"}, false},
		{"linux", "pure", nil, true},
		{"linux-service", "service", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := load(t, tt.name, tt.dir)
			opts := options(m, tt.env)
			if tt.name == "linux" {
				opts.Servers = []buildenv.Server{{What: "image server", URL: "https://ci:s3cret@images.example.invalid?channel=s3cret"}, {What: "packages", URL: "https://pkgsrc.example.invalid"}}
				opts.Reach = func(_ context.Context, url string) (time.Time, error) { return opts.Now().Add(time.Minute), nil }
			}
			if tt.name == "linux-service" {
				opts.Servers = []buildenv.Server{{What: "image server", URL: "https://s3cret@images.example.invalid"}}
				opts.Reach = func(context.Context, string) (time.Time, error) {
					return time.Time{}, errors.New("no such host")
				}
			}
			res, err := buildenv.Doctor(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			var text, js strings.Builder
			if err := res.WriteText(&text, false); err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".txt", text.String())
			if err := finding.WriteJSON(&js, res); err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name+".json", js.String())
			if res.Fit != tt.fit || (res.Err() == nil) != tt.fit || !tt.fit && fault.KindOf(res.Err()) != fault.Unfit {
				t.Error(res.Fit, res.Err())
			}
			makes := 0
			for cmd, n := range m.ran {
				if strings.Contains(cmd, "make") {
					makes += n
				}
			}
			if makes != 1 {
				t.Errorf("make was asked %d times", makes)
			}
		})
	}
}

// Verdicts of the ten checks as spec engbld-interface.md section 4.2 has them, each
// case one change to the fit machine.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	ask := "gmake -s --no-print-directory print-NAME print-BASE_IMAGE_UUID print-NODE_PREBUILT_IMAGE print-BUILD_PLATFORM print-ENGBLD_BITS_DIR"
	say := func(m *machine, base, node, platform string) {
		m.commands[ask].Stdout = "NAME=x\nBASE_IMAGE_UUID=" + base + "\nNODE_PREBUILT_IMAGE=" + node + "\nBUILD_PLATFORM=" + platform + "\n"
	}
	release := func(m *machine, r string) { m.files["/etc/pkgsrc_version"] = "release: " + r + "\n" }
	const (
		base, platform = "502eeef2-8267-489f-b19c-a206906f57ef", "20210826T002459Z"
		local          = "/opt/local/bin/pkgin list"
		tools          = "/opt/tools/bin/pkgin list"
	)
	for _, tt := range []struct {
		name   string
		dir    string
		env    map[string]string
		goals  []string
		change func(*machine)
		check  string
		want   finding.Verdict
		exit   bool // fit
	}{
		{name: "1 other release", change: func(m *machine) { release(m, "2019Q4") }, check: "pkgsrc-release", want: finding.Fail},
		{name: "1 skipped", env: map[string]string{"ENGBLD_SKIP_VALIDATE_BUILD_PKGSRC": "1"}, change: func(m *machine) { release(m, "2019Q4") }, check: "pkgsrc-release", want: finding.Skip, exit: true},
		{name: "1 no image", change: func(m *machine) { say(m, "", "", platform) }, check: "pkgsrc-release", want: finding.OK, exit: true},
		{name: "1 node's image", change: func(m *machine) { say(m, "", "5417ab20-3156-11ea-8b19-2b66f5e7a439", platform) }, check: "pkgsrc-release", want: finding.Fail},
		{name: "1 unmapped", change: func(m *machine) { say(m, "00000000-0000-0000-0000-000000000001", "", platform) }, check: "pkgsrc-release", want: finding.Fail},
		{name: "1 23.4.0, unknown upstream", change: func(m *machine) {
			say(m, "5e4c3f98-aca4-11ee-9db8-00151714048c", "", platform)
			release(m, "2023Q4")
		}, check: "pkgsrc-release", want: finding.OK, exit: true},
		{name: "1 no release", change: func(m *machine) { delete(m.files, "/etc/pkgsrc_version") }, check: "pkgsrc-release", want: finding.Fail},
		{name: "2 no release", change: func(m *machine) { delete(m.files, "/etc/pkgsrc_version") }, check: "pkgsrc-packages", want: finding.Fail},
		{name: "2 a name is not a part of a name", change: func(m *machine) {
			m.commands[local].Stdout = strings.Replace(m.commands[local].Stdout, "\ngrep-3.7 ", "\npcregrep-8.45 ", 1)
		}, check: "pkgsrc-packages", want: finding.Fail},
		{name: "2 skipped", env: map[string]string{"ENGBLD_SKIP_VALIDATE_BUILD_PKGSRC": "1"}, change: func(m *machine) { m.commands[local].Stdout = "" }, check: "pkgsrc-packages", want: finding.Skip, exit: true},
		{name: "2 pkgin fails", change: func(m *machine) { m.commands[local].Status = 1 }, check: "pkgsrc-packages", want: finding.Fail},
		{name: "2 no pkgin", change: func(m *machine) { delete(m.commands, local) }, check: "pkgsrc-packages", want: finding.Fail},
		{name: "2 no list for 2024Q4", change: func(m *machine) {
			release(m, "2024Q4")
			say(m, "4dd8810e-10a8-49d1-b37b-1c4e32ed6c05", "", platform)
			m.commands[local].Stdout = ""
		}, check: "pkgsrc-packages", want: finding.OK, exit: true},
		{name: "2 a version in the list", change: func(m *machine) {
			release(m, "2018Q4")
			say(m, "a9368831-958e-432d-a031-f8ce6768d190", "", platform)
		}, check: "pkgsrc-packages", want: finding.Fail},
		{name: "2 the version, any revision", change: func(m *machine) {
			release(m, "2018Q4")
			say(m, "a9368831-958e-432d-a031-f8ce6768d190", "", platform)
			m.commands[local].Stdout = strings.Replace(m.commands[local].Stdout, "pcre-8.45", "pcre-8.42nb1", 1)
		}, check: "pkgsrc-packages", want: finding.OK, exit: true},
		{name: "3 nobody", change: func(m *machine) { m.commands["/usr/bin/id -u"].Stdout = "100\n" }, check: "privileges", want: finding.Fail},
		{name: "3 nobody, but only all", goals: []string{"all"}, change: func(m *machine) { m.commands["/usr/bin/id -u"].Stdout = "100\n" }, check: "privileges", want: finding.Warn, exit: true},
		{name: "3 profile", change: func(m *machine) {
			m.commands["/usr/bin/id -u"].Stdout = "100\n"
			m.commands["/usr/bin/profiles"].Stdout = "          Primary Administrator\n          All\n"
		}, check: "privileges", want: finding.OK, exit: true},
		{name: "4 no dataset", change: func(m *machine) { m.commands["/usr/bin/zonename"].Stdout = "other\n" }, check: "dataset", want: finding.Fail},
		{name: "4 global zone", change: func(m *machine) { m.commands["/usr/bin/zonename"].Stdout = "global\n" }, check: "dataset", want: finding.OK, exit: true},
		{name: "5 not on it", env: map[string]string{"PATH": "/root/opt/node_modules/manta/bin:/root/opt/imgapi-cli/bin"}, check: "path", want: finding.Fail},
		{name: "5 after /opt/tools", env: map[string]string{"PATH": "/opt/tools/bin/:" + goodPath}, check: "path", want: finding.Fail},
		{name: "5 after another", env: map[string]string{"PATH": "/home/dev/bin::" + goodPath}, check: "path", want: finding.OK, exit: true},
		{name: "6 older", change: func(m *machine) { m.commands["uname -v"].Stdout = "joyent_20200101T000000Z\n" }, check: "platform", want: finding.Fail},
		{name: "6 newer, compiles", change: func(m *machine) { m.commands["uname -v"].Stdout = "joyent_20230101T000000Z\n" }, check: "platform", want: finding.Fail},
		{name: "6 newer, compiles nothing", dir: "pure", change: func(m *machine) { m.commands["uname -v"].Stdout = "joyent_20230101T000000Z\n" }, check: "platform", want: finding.Warn, exit: true},
		{name: "6 skipped", env: map[string]string{"ENGBLD_SKIP_VALIDATE_BUILD_PLATFORM": "1"}, change: func(m *machine) { m.commands["uname -v"].Stdout = "x\n" }, check: "platform", want: finding.Skip, exit: true},
		{name: "6 empty", change: func(m *machine) { say(m, base, "", "") }, check: "platform", want: finding.OK, exit: true},
		{name: "7 no pkgin", change: func(m *machine) { delete(m.programs, "/opt/tools/bin/pkgin") }, check: "opt-tools", want: finding.Fail},
		{name: "7 other node", change: func(m *machine) {
			m.commands[tools].Stdout = strings.Replace(m.commands[tools].Stdout, "nodejs-8.17.0nb1", "nodejs-8.17.0nb2", 1)
		}, check: "opt-tools", want: finding.Fail},
		{name: "7 not from 2024Q4 on", change: func(m *machine) {
			release(m, "2024Q4")
			say(m, "4dd8810e-10a8-49d1-b37b-1c4e32ed6c05", "", platform)
			delete(m.programs, "/opt/tools/bin/pkgin")
		}, check: "opt-tools", want: finding.Skip, exit: true},
		{name: "8 none", env: map[string]string{"PATH": "/opt/local/bin"}, check: "upload-tools", want: finding.Fail},
		{name: "8 none, but only all", env: map[string]string{"PATH": "/opt/local/bin"}, goals: []string{"all", "release"}, check: "upload-tools", want: finding.Warn, exit: true},
		{name: "8 none, for a goal of the component's own", env: map[string]string{"PATH": "/opt/local/bin"}, goals: []string{"all", "everything"}, check: "upload-tools", want: finding.Fail},
		{name: "8 none, asked for", env: map[string]string{"PATH": "/opt/local/bin"}, goals: []string{"validate-buildenv"}, check: "upload-tools", want: finding.Fail},
		{name: "8 none, but only all and a question", env: map[string]string{"PATH": "/opt/local/bin"}, goals: []string{"print-STAMP", "all"}, check: "upload-tools", want: finding.Warn, exit: true},
		{name: "9 off", change: func(m *machine) { m.commands["git submodule status"].Stdout = "+12 deps/eng (x)\n" }, check: "submodules", want: finding.Fail},
		{name: "9 conflict", change: func(m *machine) { m.commands["git submodule status"].Stdout = "U00 deps/eng\n" }, check: "submodules", want: finding.Fail},
		{name: "9 skipped", env: map[string]string{"ENGBLD_SKIP_VALIDATE_SUBMODULES": "1"}, change: func(m *machine) { m.commands["git submodule status"].Stdout = "+12 deps/eng (x)\n" }, check: "submodules", want: finding.Skip, exit: true},
		{name: "10 dirty", change: func(m *machine) {
			m.commands["git status --porcelain --untracked-files=no"].Stdout = " M Makefile\n"
		}, check: "work-tree", want: finding.Warn, exit: true},
		{name: "a broken makefile", change: func(m *machine) {
			m.commands[ask].Status, m.commands[ask].Stderr = 2, "Makefile:7: *** missing separator.  Stop.\n"
		}, check: "makefile", want: finding.Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.dir == "" {
				tt.dir = "service"
			}
			m := load(t, "fit", tt.dir)
			if tt.change != nil {
				tt.change(m)
			}
			opts := options(m, tt.env)
			opts.Goals = tt.goals
			res, err := buildenv.Doctor(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range res.Findings {
				if f.Check == tt.check {
					found = true
					if f.Verdict != tt.want {
						t.Errorf("%+v", f)
					}
					if f.Verdict == finding.Fail && (f.Why == "" || f.Mend == "") {
						t.Errorf("no reason or no way out: %+v", f)
					}
				}
			}
			if !found || res.Fit != tt.exit {
				t.Errorf("found %v, fit %v: %+v", found, res.Fit, res.Findings)
			}
		})
	}
}

func command(t *testing.T, m *machine, env map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, story strings.Builder
	o := options(m, env)
	cmd := buildenv.Command(buildenv.Env{
		Stdout: &out, Stderr: &story, Getenv: o.Getenv, Now: o.Now, Dir: o.Dir, System: m, Flavors: o.Flavors, CacheDir: o.CacheDir,
	})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{}, args...))
	cmd.SetContext(t.Context())
	err = cmd.Execute()
	return out.String(), story.String(), err
}

// show-buildenv, for every image there is; also off SunOS and with checks off.
func TestShow(t *testing.T) {
	t.Parallel()
	set, err := flavor.Load(images.FS)
	if err != nil {
		t.Fatal(err)
	}
	mk := "make -s --no-print-directory print-NAME print-BASE_IMAGE_UUID print-NODE_PREBUILT_IMAGE print-BUILD_PLATFORM print-ENGBLD_BITS_DIR"
	for _, k := range set.Known() {
		m := load(t, "linux", "pure")
		m.commands[mk].Stdout = "BASE_IMAGE_UUID=" + k.UUID + "\n"
		out, story, err := command(t, m, map[string]string{"ENGBLD_SKIP_VALIDATE_BUILDENV": "true"}, "-r")
		want := k.Pkgsrc + " " + k.String()
		if k.Agent != "" {
			want += " " + k.Agent
		} else if !strings.Contains(story, "no agent image is known: no jenkins-agent image is known for "+k.String()+" ("+k.UUID+")\n") {
			t.Error(story)
		}
		if err != nil || out != want+"\n" {
			t.Error(out, err)
		}
	}
	m := load(t, "linux", "pure")
	m.commands[mk].Stdout = "BASE_IMAGE_UUID=\nNODE_PREBUILT_IMAGE=c2c31b00-1d60-11e9-9a77-ff9f06554b0f\n"
	if out, _, err := command(t, m, nil, "-r"); err != nil || out != "2018Q4 minimal-64-lts@18.4.0 d639b789-ce4e-4c81-a230-a28172dd0360\n" {
		t.Error(out, err)
	}
	m.commands[mk].Stdout = "BASE_IMAGE_UUID=00000000-0000-0000-0000-000000000001\n"
	if out, story, err := command(t, m, nil, "-r"); err != nil || out != "\n" ||
		story != "nothing is known of image 00000000-0000-0000-0000-000000000001; no agent image is known: no jenkins-agent image is known for it\n" {
		t.Error(out, story, err)
	}
	m.commands[mk].Stdout = ""
	if out, _, err := command(t, m, nil, "-r"); err == nil || fault.KindOf(err) != fault.Defect || out != "" {
		t.Error(out, err)
	}
	m.commands[mk].Status, m.commands[mk].Stderr = 2, "git: no https://ci:s3cret@h.invalid/x\nMakefile:3: *** oh.  Stop.\n"
	if out, _, err := command(t, m, nil, "-r"); err == nil || !strings.Contains(err.Error(), "*** oh") || strings.Contains(err.Error(), "s3cret") || out != "" {
		t.Error(out, err)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	unfit := map[string]string{"PATH": "/usr/bin:/opt/local/bin"}
	if out, story, err := command(t, load(t, "unfit", "service"), unfit, "--validate"); out != "" || !strings.Contains(story, "mend:") || fault.KindOf(err) != fault.Defect {
		t.Errorf("%q %q %v", out, story, err)
	}
	if out, _, err := command(t, load(t, "unfit", "service"), unfit); !strings.Contains(out, "mend:") || fault.KindOf(err) != fault.Unfit || fault.Hint(err) == "" {
		t.Errorf("%q %v", out, err)
	}
	if out, story, err := command(t, load(t, "fit", "service"), nil, "--validate"); out+story != "" || err != nil {
		t.Errorf("%q %q %v", out, story, err)
	}
	unfit["ENGBLD_SKIP_VALIDATE_BUILDENV"] = "true"
	if out, story, err := command(t, load(t, "unfit", "service"), unfit); out != "" || !strings.Contains(story, "ENGBLD_SKIP_VALIDATE_BUILDENV") || err != nil {
		t.Errorf("%q %q %v", out, story, err)
	}
	out, _, err := command(t, load(t, "fit", "service"), nil, "--json")
	var res buildenv.Result
	if jerr := json.Unmarshal([]byte(out), &res); jerr != nil || err != nil || !res.Fit || len(res.Findings) != 10 {
		t.Error(jerr, err, out)
	}
}

// Off SunOS, validate-buildenv.sh judges one thing, and asks make only for what is
// to be said of it.
func TestValidateElsewhere(t *testing.T) {
	t.Parallel()
	mk := "make -s --no-print-directory print-NAME print-BASE_IMAGE_UUID print-NODE_PREBUILT_IMAGE print-BUILD_PLATFORM print-ENGBLD_BITS_DIR"
	const unfit, line = "ledger must be compiled on illumos", "validate-buildenv: not SmartOS, nothing to check; nothing here must be compiled on illumos\n"
	for _, tt := range []struct {
		name, dir string
		env       map[string]string
		broken    bool
		makes     int
		want      []string // on stderr; with one line end, all of it
		fit       bool
	}{
		{name: "plain", dir: "pure", want: []string{line}, fit: true},
		{name: "no component", dir: "golden", want: []string{line}, fit: true},
		{name: "compiles", dir: "service", makes: 1, want: []string{"fail", unfit + ", this is Linux", "Makefile:21:", "jenkins-agent image 6fc6ec02", "ENGBLD_SKIP_VALIDATE_BUILDENV"}},
		{name: "sandbox", dir: "service", env: map[string]string{"ENGBLD_SANDBOX": "true"}, makes: 1, want: []string{"warn", unfit, "made-up", "Makefile:21:"}, fit: true},
		{name: "allowed", dir: "service", env: map[string]string{"ENGBLD_ALLOW_FOREIGN": "true"}, makes: 1, want: []string{"warn", unfit + "; ENGBLD_ALLOW_FOREIGN is set"}, fit: true},
		{name: "make does not answer", dir: "service", broken: true, makes: 1, want: []string{"fail", "service must be compiled on illumos", "build it in a SmartOS zone;"}},
		{name: "nor in the sandbox", dir: "service", env: map[string]string{"ENGBLD_SANDBOX": "true"}, broken: true, makes: 1, want: []string{"warn"}, fit: true},
		{name: "skipped", dir: "service", env: map[string]string{"ENGBLD_SKIP_VALIDATE_BUILDENV": "x"}, want: []string{"ENGBLD_SKIP_VALIDATE_BUILDENV is set"}, fit: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// On this machine everything else is wrong, too.
			m := load(t, "linux-service", tt.dir)
			if tt.broken {
				m.commands[mk] = &buildenv.Output{Status: 2, Stderr: "make: *** oh.  Stop.\n"}
			}
			out, story, err := command(t, m, tt.env, "--validate", "--goals", "all")
			if out != "" || (err == nil) != tt.fit || !tt.fit && fault.KindOf(err) != fault.Defect {
				t.Errorf("%q %v", out, err)
			}
			for _, w := range tt.want {
				if !strings.Contains(story, w) || strings.HasSuffix(w, "\n") && story != w {
					t.Errorf("no %q in %q", w, story)
				}
			}
			delete(m.ran, "uname -s")
			if len(m.ran) > tt.makes || m.ran[mk] != tt.makes {
				t.Error(m.ran)
			}
			if strings.Contains(story, "space") || strings.Contains(story, "clock") {
				t.Error(story)
			}
		})
	}
}

// The outer make's flags must not reach the inner one, its variables must.
func TestMakeflags(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"":                               "MAKEFLAGS=",
		"n":                              "MAKEFLAGS=",
		"kn -j2 -- A=1 B=x":              "MAKEFLAGS= -- A=1 B=x",
		" -- BASE_IMAGE_UUID=1 -- odd=2": "MAKEFLAGS= -- BASE_IMAGE_UUID=1 -- odd=2",
	} {
		m := load(t, "linux", "pure")
		if _, err := buildenv.Show(t.Context(), options(m, map[string]string{"MAKEFLAGS": flags})); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{want}, m.env); d != "" {
			t.Error(d)
		}
	}
}

// The real machine, through its real commands.
func TestLocal(t *testing.T) {
	t.Parallel()
	l := buildenv.Local{}
	if o, err := l.Run(t.Context(), buildenv.Cmd{Args: []string{"sh", "-c", "echo out; echo err >&2; echo $X; exit 3"}, Env: []string{"X=y"}}); err != nil ||
		o != (buildenv.Output{Stdout: "out\ny\n", Stderr: "err\n", Status: 3}) {
		t.Error(o, err)
	}
	if _, err := l.Run(t.Context(), buildenv.Cmd{Args: []string{"no-such-program"}}); err == nil {
		t.Error("no error")
	}
	dir := t.TempDir()
	r, err := l.Room(filepath.Join(dir, "not", "yet"))
	if err != nil || r.At != dir || !r.Writable || r.Free == 0 {
		t.Error(r, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Room(filepath.Join(file, "x")); err == nil {
		t.Error("room below a file")
	}
	if l.Executable(file) || l.Executable(dir) {
		t.Error("no program")
	}
}

// When nobody waits for the answer any more, what a program started ends with it.
func TestLocalEndsAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, f := range []string{"hold", "up"} {
		if err := unix.Mkfifo(filepath.Join(dir, f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		os.ReadFile(filepath.Join(dir, "up")) // until the child is there
		cancel()
	}()
	_, err := buildenv.Local{}.Run(ctx, buildenv.Cmd{Dir: dir, Args: []string{"sh", "-c", `sh -c 'exec 3<>hold; echo up >up; while :; do read x <&3; done; : >late' & wait`}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "hold"), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if !errors.Is(err, unix.ENXIO) { // somebody reads it
		f.Close()
		t.Errorf("a child is left: %v", err)
	}
}

// With a real make: values as they are, and make's own words where it stops.
func TestRealMake(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("there is no make")
	}
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts := options(&machine{dir: dir}, map[string]string{"MAKEFLAGS": "n -- BASE_IMAGE_UUID=4dd8810e-10a8-49d1-b37b-1c4e32ed6c05"})
	opts.System = buildenv.Local{}
	write("BASE_IMAGE_UUID = from-the-file\nprint-%:\n\t@echo '$*=$($*)'\n")
	r, err := buildenv.Show(t.Context(), opts)
	if err != nil || r.Line() != "2024Q4 triton-origin-x86_64-24.4.1@master-20250116T175211Z-gb17eb8e" {
		t.Error(r, err)
	}
	write("$(error out of order)\n")
	if _, err := buildenv.Show(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Error(err)
	}
	res, err := buildenv.Doctor(t.Context(), opts)
	if err != nil || res.Findings[0].Check != "makefile" || !strings.Contains(res.Findings[0].What, "out of order") {
		t.Error(res, err)
	}
}
