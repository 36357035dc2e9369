package app

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/TritonDataCenter/engbld/images"
)

// TestBuildScripts runs testdata/build/*.txt: sessions in a checkout that holds
// the flavor files, in the sandbox, with empty caches. They are meant to be read
// as documentation.
func TestBuildScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/build",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			for _, s := range [][2]string{
				{"ENGBLD_SANDBOX", "true"}, {"ENGBLD_CACHE_DIR", filepath.Join(env.WorkDir, ".cache")}, {"HOME", env.WorkDir},
				{"TIMESTAMP", "20260101T000000Z"}, {"FLAVOR", "triton-origin-x86_64-24.4.1"}, {"NO_COLOR", "1"},
				{"GIT_CONFIG_NOSYSTEM", "1"}, {"GIT_CEILING_DIRECTORIES", filepath.Dir(env.WorkDir)},
			} {
				env.Setenv(s[0], s[1])
			}
			return scriptCheckout(env)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"code": code},
	})
}

// scriptCheckout fills the directory with the flavor files and makes it a
// repository with one commit, always the same.
func scriptCheckout(env *testscript.Env) error {
	err := fs.WalkDir(images.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(env.WorkDir, "images", filepath.FromSlash(name))
		if d.IsDir() {
			return os.MkdirAll(to, 0o777)
		}
		raw, err := fs.ReadFile(images.FS, name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, raw, 0o666)
	})
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"},
		{"-c", "user.name=x", "-c", "user.email=x@example.invalid", "commit", "-q", "--allow-empty", "-m", "x"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = env.WorkDir
		cmd.Env = append(env.Vars, "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			env.T().Log(string(out))
			return err
		}
	}
	return nil
}
