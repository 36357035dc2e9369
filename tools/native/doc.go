// Package native holds what building with the machine's own ZFS needs: the base
// image in a dataset, a clone of it that is mounted, the platform's directories
// in the clone, commands run in it, a snapshot and its stream. Package build puts
// them in order (spec engbld-interface.md section 4.10).
//
// A Session writes down what it is about to make before it makes it, in a state
// file below Options.StateDir. Whatever ends a build, all of that is undone in
// reverse order: by Close, or, where the process was killed, by the next Open on
// the machine. Nothing is undone that no state file names, and of datasets only
// those that carry the build's mark.
//
// Everything a Session does to the machine goes through one Runner, also what is
// done without a command of the machine; tests record it and make it fail.
//
// It needs root, and illumos or Linux.
package native
