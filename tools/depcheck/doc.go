// Package depcheck asserts by a test that the project's packages import
// downwards only. Formats stay in three layers that way: bytes and records,
// objects and files, files and images.
package depcheck
