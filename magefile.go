//go:build mage

// Origin images. "mage FLAVOR-buildimage" builds one, "mage all-buildimage" builds
// them all, "mage all" checks the generated files first. "mage gen" writes these,
// "mage gen:check" compares them.
//
// The flavors are:
//
//	triton-origin-multiarch-15.4.1
//	triton-origin-x86_64-18.4.0
//	triton-origin-x86_64-19.4.0
//	triton-origin-x86_64-21.4.0
//	triton-origin-x86_64-23.4.0
//	triton-origin-x86_64-24.4.1
package main

import (
	//mage:import
	"github.com/TritonDataCenter/engbld/targets"
)

// generated: aliases
// Aliases are the names that make has, too.
var Aliases = map[string]any{
	"gen":            targets.Gen.Write,
	"all-buildimage": targets.BuildImage,
	"triton-origin-multiarch-15.4.1-buildimage": targets.TritonOriginMultiarch_15_4_1,
	"triton-origin-x86_64-18.4.0-buildimage":    targets.TritonOriginX86_64_18_4_0,
	"triton-origin-x86_64-19.4.0-buildimage":    targets.TritonOriginX86_64_19_4_0,
	"triton-origin-x86_64-21.4.0-buildimage":    targets.TritonOriginX86_64_21_4_0,
	"triton-origin-x86_64-23.4.0-buildimage":    targets.TritonOriginX86_64_23_4_0,
	"triton-origin-x86_64-24.4.1-buildimage":    targets.TritonOriginX86_64_24_4_1,
	"bits-upload":                               targets.BitsUpload,
}

// end
