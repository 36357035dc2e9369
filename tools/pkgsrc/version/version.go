// Package version compares pkgsrc package versions and matches package names
// against dependency patterns, as pkg_add does (spec pkgsrc.md section 9).
//
// Limits: a name, version or pattern of more than 4096 bytes, and a pattern
// whose braces expand to more than 4096 alternatives, is an error or matches
// nothing. Only bytes count; nothing here knows of character sets.
package version

// Split cuts a package name at its last "-": "py310-six-1.16" is "py310-six"
// and "1.16". A name without "-" has no version.
func Split(pkg string) (name, version string) { panic("not yet") }

// Compare tells the order of two versions: negative when a is older than b, 0
// when they are equal, positive when a is newer. Different strings can be equal.
func Compare(a, b string) int { panic("not yet") }

// Match tells whether the package (name and version) satisfies the pattern.
// The only errors are unbalanced braces and a pattern out of bounds.
func Match(pattern, pkg string) (bool, error) { panic("not yet") }

// Better tells whether pkg_add would take the package a rather than b, both
// full names: the higher version, among equal ones the lexically smaller name.
func Better(a, b string) bool { panic("not yet") }

// Best returns the best of the names that match the pattern; false where none does.
func Best(pattern string, names []string) (string, bool, error) { panic("not yet") }
