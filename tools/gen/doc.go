// Package gen writes the files that follow from the flavor files, and checks that
// they are what they should be:
//
//	images/<flavor>/Makefile   one image, as a component's Makefile
//	images/flavors.mk          the top Makefile's <flavor>-% and all-% rules
//	images/Jenkinsfile         one stage a flavor
//	tools/buildenv.maps        what build machine an image wants
//	targets/zz_flavors.go      one function a flavor, for mage
//	magefile.go                only its block of aliases
//	README.md                  only the tables between markers
//
// A block in README.md stands between "<!-- generated:NAME -->" and
// "<!-- end -->", where NAME is flavors, sdcnode or agents; in magefile.go between
// "// generated: aliases" and "// end". A file without the marker is left alone.
//
// Files are written only where they differ, under a temporary name first.
package gen
