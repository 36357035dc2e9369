package release

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/bits"
	"github.com/TritonDataCenter/engbld/tools/fault"
)

// CheckUpload refuses (fault.Policy) to upload images of the sandbox to a real
// object store: it looks at the manifests that an upload would send, before
// anything is sent. What is no manifest is passed over.
func CheckUpload(req bits.Request) error {
	return manifests(req, func(name string) error {
		if m, _, err := readManifest(name); err == nil && m.Sandbox() {
			return fault.WithHint(fault.Policy.Errorf("%s: image %s was made from the sandbox's made-up images, and the object store is a real one", name, m.UUID()),
				"build it without ENGBLD_SANDBOX, upload it with ENGBLD_SANDBOX=true, or to a directory (ENGBLD_BITS_UPLOAD_LOCAL=true)")
		}
		return nil
	})
}

// HasImages tells whether an upload would have something to publish.
func HasImages(req bits.Request) (bool, error) {
	found := errors.New("found")
	err := manifests(req, func(string) error { return found })
	if errors.Is(err, found) {
		return true, nil
	}
	return false, err
}

// manifests calls visit with the name of each file that an upload would take for
// a manifest.
func manifests(req bits.Request, visit func(name string) error) error {
	roots := []string{req.Dir}
	if len(req.Subdirs) > 0 {
		roots = nil
		for _, s := range req.Subdirs {
			roots = append(roots, filepath.Join(req.Dir, s))
		}
	}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) && name == root:
				return nil
			case err != nil:
				return fault.Step.Errorf("looking for images to upload: %w", err)
			case strings.HasPrefix(d.Name(), ".engbld-"):
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			case !d.Type().IsRegular() || !strings.HasSuffix(d.Name(), "manifest"):
				return nil
			}
			return visit(name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
