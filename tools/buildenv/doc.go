// Package buildenv tells whether this machine is fit to build a component: "engbld
// doctor", and behind it validate-buildenv.sh and show-buildenv.
//
// On SunOS these are the ten checks of spec engbld-interface.md section 4.2, with
// upstream's skip variables; all are made, and all findings told at once. Two
// verdicts differ from upstream's, as it counts them among its defects (V1 there):
// a platform newer than BUILD_PLATFORM only warns where the component compiles
// nothing, and where the goals are known, what they do not need only warns.
//
// Elsewhere it looks at what the portable engine needs, and at whether the
// component must be compiled on illumos, which it tells from the makefiles; with
// --validate, at the latter only.
//
// Everything of the machine comes through System, so that recorded machines can be
// judged anywhere. Which image wants which pkgsrc release, packages and agent comes
// from the flavor files.
package buildenv
