package bits_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/bits"
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
