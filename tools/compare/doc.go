// Package compare tells how two images differ, and what an image's bytes are
// spent on: packages added, removed and upgraded, files, manifest fields,
// vulnerabilities, and sizes by package and directory.
//
// A comparison has three forms: text for a terminal, Markdown for a ticket, and
// JSON for programs. All are sorted, so equal images give equal bytes. Names in
// images may hold anything: paths are written with odd bytes as \ooo in all
// three, other text without what could move a cursor, and Markdown has every
// character escaped that means something there.
//
// Sizes are those of package survey. Times of files are compared only on demand,
// since a build gives all it writes the time of the build.
package compare
