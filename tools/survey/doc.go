// Package survey tells what an image holds: its packages, which file belongs to
// which of them, sizes, and what the vulnerability audit beside it found. It is
// what comparisons, bills of materials and reports are made from.
//
// Sizes are bytes of file content, each file counted once however many names
// it has, under its first name in byte order; directories, links and special
// files count nothing. That is neither what the image takes in a pool (which
// compresses) nor the size of its stream.
//
// A file belongs to the package whose packing list names it; the record of a
// package in the package database belongs to the package too. All others belong
// to no package.
//
// Everything read comes from an image and may be hostile: names go out as they
// are, and whoever prints them quotes them (Plain, dataset.Quote). Limits: those
// of fstree and pkgdb; 16 MiB and 65536 findings an audit.
package survey
