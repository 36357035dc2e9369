// Package lock pins what goes into an image: the chain of base images, every
// package archive, the list of vulnerabilities, each with its digest.
//
// A lock is a TOML file, images/FLAVOR/flavor.lock; a build with one uses exactly
// what it names. The same form, with the request and the results' digests added,
// is the Record that every build leaves behind, so that it can be done again.
//
// Repositories roll: what a lock names is gone from the servers some day. Inputs
// is a directory, or its copy on a web server, that keeps files by their sha256.
//
// Limits: 16 MiB of text, 20000 packages, 100 images.
package lock
