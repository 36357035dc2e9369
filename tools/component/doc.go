// Package component looks at checkouts of components, the repositories that build
// an image with these makefiles: "engbld component doctor", "origin-bump" and
// "usage".
//
// It reads makefiles as text (package makefile), in all their branches, and runs
// nothing; only where the text alone does not tell the base image, doctor asks make.
// What origin-bump changes are whole tokens at places it understands: assignments
// of literal values, the comments beside them, and labels, stages and parameters of
// a Jenkinsfile. Everything else stays as it is, byte for byte.
package component
