// Package imgmanifest reads, checks and writes image manifests, schema v2
// (spec imgapi.md section 10).
//
// A Manifest keeps every field it was given, in order, also those it does not
// know; typed accessors look at the known ones. Encode is canonical: known
// fields in the order the image server answers with, unknown ones after them,
// two blanks of indentation and a newline at the end, so that equal manifests
// have equal bytes.
//
// Limits: 1 MiB a manifest, nesting of 64, no duplicate names in an object,
// valid UTF-8 only. Manifests of schema v1 are not read. Numbers keep their
// spelling; strings are written with the fewest possible escapes.
package imgmanifest
