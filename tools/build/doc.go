// Package build turns a Request into an image: the stream, its manifest and the
// vulnerability audit, below a bits directory.
//
// All front doors (make in an origin or component repository, mage, the engbld
// command, upstream's own command line) fill the same Request, and equal
// requests give equal bytes. A build is a list of named steps; Steps prints what
// Run runs. The portable engine needs no root rights, no ZFS, no chroot and no
// illumos: packages are installed into a tree in memory and the stream is
// written from it.
//
// Resolve pins the inputs of a request in a lock (package lock), and a build with a
// lock uses exactly these: the resolver is given a repository that holds nothing
// else. Each build leaves the record of its inputs, from which Verify builds the
// image again and compares every byte.
//
// Limits: a component's archive may hold 1,000,000 entries; sizes are bounded
// by the free space for temporary files. Nothing appears under a final name
// before all outputs are complete and the stream has been read back.
package build
