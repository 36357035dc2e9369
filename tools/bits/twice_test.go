package bits_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// uploadEnv tells a copy of the test program what to upload: DIR, DEST and STAMP.
const uploadEnv = "ENGBLD_TEST_UPLOAD"

// TestUploader is the other process of TestTwoMachines; alone it does nothing.
func TestUploader(t *testing.T) {
	if os.Getenv(uploadEnv) == "" {
		return
	}
	var dir, dest, stamp string
	if _, err := fmt.Sscanf(os.Getenv(uploadEnv), "%q %q %q", &dir, &dest, &stamp); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		_, err := bits.Upload(context.Background(), bits.OpenDir(dest), bits.Request{Branch: "master", Name: "comp", Dir: dir, Stamp: stamp})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTwoMachines: two processes upload builds of one branch into one directory,
// again and again. The link leads to a whole build at every moment.
func TestTwoMachines(t *testing.T) {
	t.Parallel()
	dest := filepath.Join(t.TempDir(), "out", "comp")
	done := make(chan error, 2)
	for i := range 2 {
		dir, _ := component(t)
		cmd := exec.Command(os.Args[0], "-test.run=^TestUploader$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%q %q %q", uploadEnv, dir, dest, fmt.Sprintf("master-2020010%dT000000Z-g0000000", i+1)))
		go func() {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			done <- err
		}()
	}
	looked := 0
	for left := 2; left > 0; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			left--
		default:
		}
		target, err := os.Readlink(filepath.Join(dest, "master-latest"))
		if err != nil {
			if looked > 0 {
				t.Fatalf("after %d looks the link is gone: %v", looked, err)
			}
			continue
		}
		looked++
		if _, err := os.Stat(filepath.Join(dest, target, "md5sums.txt")); err != nil {
			t.Fatalf("the link leads to half a build: %v", err)
		}
		if b, err := os.ReadFile(filepath.Join(dest, "master-latest", "comp", "a.tgz")); err != nil || string(b) != "one\n" {
			t.Fatalf("a file of it: %q, %v", b, err)
		}
	}
	if looked == 0 {
		t.Error("the link was never there")
	}
}

// TestOneBuildTwice: the same build is uploaded twice at the same time, after an
// upload of it that was killed. Both succeed and nothing else is left.
func TestOneBuildTwice(t *testing.T) {
	t.Parallel()
	dir, _ := component(t)
	for round := range 50 {
		dest := filepath.Join(t.TempDir(), "out")
		left, err := newfile.Create(filepath.Join(mkdir(t, filepath.Join(dest, "s", "comp")), "a.tgz"), 0o644)
		if err != nil {
			t.Fatal(err)
		}
		left.Close()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				_, err := bits.Upload(t.Context(), bits.OpenDir(dest), bits.Request{Branch: "master", Name: "comp", Dir: dir, Stamp: "s"})
				if err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		both.Wait()
		err = filepath.WalkDir(dest, func(path string, _ fs.DirEntry, err error) error {
			if strings.HasPrefix(filepath.Base(path), ".engbld-") {
				t.Errorf("round %d: left: %s", round, path)
			}
			return err
		})
		b, err2 := os.ReadFile(filepath.Join(dest, "master-latest", "comp", "a.tgz"))
		if err != nil || err2 != nil || string(b) != "one\n" {
			t.Fatalf("round %d: %q, %v, %v", round, b, err, err2)
		}
	}
}

func mkdir(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
