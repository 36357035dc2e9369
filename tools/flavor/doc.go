// Package flavor reads the flavor files: what each origin image is made from, and
// what belongs to pkgsrc releases and other images. They are the only
// hand-written truth about flavors; package gen writes everything else from them.
//
// Reading is strict. An unknown key (also one in other letter case), a missing or
// malformed value, a uuid used twice, or a name, version, architecture and release
// that do not fit together are errors of kind fault.Usage, each with file, line
// and column, all problems of all files at once.
//
// A flavor is named triton-origin-ARCH-X.Y.Z, where X.Y.Z is the version of its
// base image and ARCH its pkgsrc architecture; the release follows from the
// version: 24.4.1 has 2024Q4.
//
// Limits: a file has at most 64 KiB, there are at most 200 flavors.
package flavor
