package release_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/release"
)

// An upload whose image is not the one of the manifest beside it ends before it
// has a pointer, also when nothing is published.
func TestPromises(t *testing.T) {
	t.Parallel()
	genuine := "file of image 1"
	for _, tt := range []struct {
		name, manifest, file, content string
		bad                           bool
	}{
		{"the manifest's", "i.imgmanifest", "i.zfs.gz", genuine, false},
		{"another of that size", "i.imgmanifest", "i.zfs.gz", "file of image 2", true},
		{"of another size", "i.imgmanifest", "i.zfs.gz", genuine + "0", true},
		{"no image", "i.imgmanifest", "i.tar", "other", false},
		{"of another prefix", "i.imgmanifest", "j.zfs.gz", "other", false},
		{"an archive's manifest", "i.manifest", "i.tgz", "file of image 2", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, dest := t.TempDir(), filepath.Join(t.TempDir(), "out")
			if err := errors.Join(os.WriteFile(filepath.Join(dir, tt.manifest), image(t, 1, 0, "").Manifest.Encode(), 0o644),
				os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.content), 0o644)); err != nil {
				t.Fatal(err)
			}
			req := bits.Request{Branch: "main", Name: "comp", Dir: dir, Stamp: "s", Promises: release.Promises}
			_, err := bits.Upload(t.Context(), bits.OpenDir(dest), req)
			if !tt.bad {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if fault.KindOf(err) != fault.Drift || !strings.Contains(err.Error(), tt.file) || !strings.Contains(err.Error(), tt.manifest) {
				t.Errorf("%v", err)
			}
			for _, name := range []string{"main-latest", "s/" + tt.file} {
				if _, err := os.Lstat(filepath.Join(dest, name)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: %v", name, err)
				}
			}
			// Where another run stored it, too.
			req.Promises = nil
			if _, err := bits.Upload(t.Context(), bits.OpenDir(dest), req); err != nil {
				t.Fatal(err)
			}
			req.Promises = release.Promises
			if _, err := bits.Upload(t.Context(), bits.OpenDir(dest), req); fault.KindOf(err) != fault.Drift {
				t.Errorf("stored already: %v", err)
			}
		})
	}
}

// Another build replaces image and manifest in the midst of an upload: the two are
// not mixed.
func TestManifestReplaced(t *testing.T) {
	t.Parallel()
	dir, dest := t.TempDir(), filepath.Join(t.TempDir(), "out")
	manifest := filepath.Join(dir, "i.imgmanifest")
	if err := errors.Join(os.WriteFile(manifest, image(t, 1, 0, "").Manifest.Encode(), 0o644),
		os.WriteFile(filepath.Join(dir, "i.zfs.gz"), []byte("file of image 1"), 0o644)); err != nil {
		t.Fatal(err)
	}
	req := bits.Request{Branch: "main", Name: "comp", Dir: dir, Stamp: "s"}
	req.Promises = func(files []bits.File) map[string]bits.Promise {
		promises := release.Promises(files)
		if err := os.WriteFile(manifest, image(t, 2, 0, "").Manifest.Encode(), 0o644); err != nil {
			t.Error(err)
		}
		return promises
	}
	_, err := bits.Upload(t.Context(), bits.OpenDir(dest), req)
	if fault.KindOf(err) != fault.Step || !strings.Contains(err.Error(), "i.imgmanifest was changed") {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"main-latest", "s/i.imgmanifest"} {
		if _, err := os.Lstat(filepath.Join(dest, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// signing is a store whose addresses are good for one use.
type signing struct {
	bits.Store
	n int
}

func (s *signing) Presign(name string, _ time.Duration) (string, error) {
	s.n++
	return fmt.Sprintf("https://objects.test/%s?signature=%d", name, s.n), nil
}

// An address is signed when it is about to be used: before it, there may be hours of
// other images and lost attempts.
func TestSignedForEachAttempt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "i.imgmanifest"), image(t, 1, 0, "").Manifest.Encode(), 0o644),
		os.WriteFile(filepath.Join(dir, "i.zfs.gz"), []byte("file of image 1"), 0o644)); err != nil {
		t.Fatal(err)
	}
	store := &signing{Store: bits.OpenDir(t.TempDir())}
	res, err := bits.Upload(t.Context(), store, bits.Request{Branch: "main", Name: "comp", Dir: dir, Stamp: "s"})
	if err != nil {
		t.Fatal(err)
	}
	images, err := release.FromUpload(store, res, release.Log{})
	if err != nil || len(images) != 1 || images[0].File.Renew == nil {
		t.Fatalf("%+v, %v", images, err)
	}
	last := images[0].File.URL
	for range 2 {
		next, err := images[0].File.Renew()
		if err != nil || next == last || !strings.HasPrefix(next, "https://objects.test/s/i.zfs.gz?") {
			t.Errorf("%s after %s, %v", next, last, err)
		}
		last = next
	}
}
