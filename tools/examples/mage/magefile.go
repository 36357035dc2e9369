//go:build mage

// The motto service.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/magefile/mage/mg"
	"github.com/magefile/mage/sh"

	//mage:import origin
	"github.com/TritonDataCenter/engbld/targets"
)

// Default is what mage does without a target.
var Default = Image

// Check looks for mistakes.
func Check() error { return sh.RunV("make", "check") }

// Release packs what goes into the image.
func Release() error { return sh.RunV("make", "all", "release", "publish") }

// Image builds the image, on the origin image the Makefile names.
func Image() error {
	mg.Deps(Check)
	return sh.RunV("make", "buildimage")
}

// OnOwnOrigin builds the newest origin image first, and this image on it: to try a
// change of the origin image with a component.
func OnOwnOrigin(ctx context.Context) error {
	mg.CtxDeps(ctx, targets.TritonOriginX86_64_24_4_1)
	manifests, err := filepath.Glob("bits/triton-origin-x86_64-24.4.1/*.imgmanifest")
	if err != nil || len(manifests) == 0 {
		return fmt.Errorf("no origin image in bits: %v", err)
	}
	text, err := os.ReadFile(slices.Max(manifests))
	if err != nil {
		return err
	}
	var origin struct{ UUID string }
	if err := json.Unmarshal(text, &origin); err != nil {
		return err
	}
	return sh.RunV("make", "buildimage", "BASE_IMAGE_UUID="+origin.UUID)
}

// Upload builds everything and uploads it.
func Upload() error { return sh.RunV("make", "bits-upload") }
