// Package frontdoor tests the ways in: the launcher tools/engbld.sh, the common
// makefiles in tools/mk, the top Makefile with its generated rules, and the small
// scripts beside them. It has no code of its own.
//
// GNU make 4.3 is what the tests were run with; a lint keeps constructs out that
// 3.81 lacks.
package frontdoor
