package stamp_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/stamp"
)

const when = "20260102T030405Z"

// TestAsMake puts a work tree into every state and compares with make.
func TestAsMake(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"make", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s", tool)
		}
	}
	defs, err := filepath.Abs("../mk")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		setup  string
		branch string // BRANCH_NAME in the environment
		want   string // of the branch; the rest is compared
	}{
		{"no repository", "rm -rf .git", "", ""},
		{"no repository, in CI", "rm -rf .git", "feature", ""},
		{"no commit", "rm -rf .git; git init -q -b trunk", "", "trunk"},
		{"branch", "", "", "main"},
		{"branch, in CI", "", "other", "main"},
		{"dirty", "echo y >> a", "", "main"},
		{"staged", "echo y >> a; git add a", "", "main"},
		{"untracked", "echo y > b", "", "main"},
		{"slashes", "git checkout -q -b feature/one/two", "", "feature"},
		{"tagged", "git tag -a -m x v1.0-gz", "", "main"},
		{"tag with a dash and g", "git tag light-g; git commit -q --allow-empty -m y", "", "main"},
		{"ordinary characters", "git checkout -q -b TOOLS-1_a.b+c", "", "TOOLS-1_a.b+c"},
		{"what a shell acts upon", "git checkout -q -b 'a$(touch${IFS}x)`id`;b'", "", "a--touch--IFS-x--id--b"},
		{"what make acts upon", "git checkout -q -b 'a%b$(error)#c='", "", "a-b--error--c-"},
		{"not ASCII", "git checkout -q -b 'ü\"&'", "", "----"},
		{"detached, strange branch", "git checkout -q -b 'a$(touch${IFS}x)'; git branch -q -D main; git checkout -q --detach", "", "a--touch--IFS-x-"},
		{"detached, one branch", "git checkout -q --detach", "", "main"},
		{"detached, in CI", "git checkout -q --detach", "PR-12", "PR-12"},
		{"detached, in CI with slashes", "git checkout -q --detach", "feature/x", "feature"},
		{"detached, in CI, strange", "git checkout -q --detach", "a b$(id)", "a-b--id-"},
		{"detached, a branch with slashes", "git checkout -q -b feature/x; git branch -q -D main; git checkout -q --detach", "", "feature"},
		{"detached, two branches", "git branch other; git checkout -q --detach", "", "detached"},
		{"detached, older commit", "git commit -q --allow-empty -m y; git checkout -q --detach HEAD^", "", "detached"},
		{"detached, remote branch", "git update-ref refs/remotes/origin/dev HEAD; git symbolic-ref refs/remotes/origin/HEAD refs/remotes/origin/dev; git checkout -q --detach; git branch -q -D main", "", "dev"},
		{"detached, local and remote branch", "git update-ref refs/remotes/origin/main HEAD; git checkout -q --detach", "", "main"},
		{"subdirectory", "mkdir sub; cd sub", "", "main"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a"), []byte("x\n"), 0o666); err != nil {
				t.Fatal(err)
			}
			env := append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir),
				"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.invalid", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.invalid",
				"BRANCH_NAME="+c.branch, "TIMESTAMP="+when, "MAKEFLAGS=", "MAKELEVEL=0", "GIT_DIR=")
			env = without(env, "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
			script := "set -e; git init -q -b main; git add a; git commit -q -m x; " + c.setup + "; pwd -P > \"$OUT\"; cat > Makefile <<EOF\ninclude " + defs +
				"/Makefile.defs\nt:;@echo '\\$(STAMP)'\nEOF\nexec make -s t"
			if c.setup == "" {
				script = strings.Replace(script, "; ; ", "; ", 1)
			}
			out := filepath.Join(t.TempDir(), "pwd")
			sh := exec.Command("sh", "-c", script)
			sh.Dir, sh.Env = dir, append(env, "OUT="+out)
			var errs strings.Builder
			sh.Stderr = &errs
			made, err := sh.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, errs.String())
			}
			at, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			getenv := func(string) string { return c.branch }
			st, err := stamp.Read(context.Background(), strings.TrimSpace(string(at)), when, time.Time{}, getenv)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(string(made)); got != st.String() {
				t.Errorf("make says %q, stamp.Read %q", got, st)
			}
			if st.Branch != c.want {
				t.Errorf("branch %q, want %q", st.Branch, c.want)
			}
		})
	}
}

func without(env []string, names ...string) []string {
	var out []string
next:
	for _, e := range env {
		for _, n := range names {
			if strings.HasPrefix(e, n+"=") {
				continue next
			}
		}
		out = append(out, e)
	}
	return out
}

func TestNow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 5, 4, 5, 0, time.FixedZone("", 7200))
	st, err := stamp.Read(context.Background(), t.TempDir(), "", now, os.Getenv)
	if err != nil || st.Timestamp != when {
		t.Errorf("%v, %v", st, err)
	}
}

func TestEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := stamp.Read(ctx, ".", "", time.Now(), os.Getenv); err == nil {
		t.Error("no error")
	}
}
