// Package imgapi is a client of image servers (IMGAPI), of their reading side:
// ping, channels, list, get and file (spec imgapi.md sections 2, 4, 5 and 12).
//
// It asks for version ~2 of the interface, follows no redirects, bounds every
// answer, and repeats requests whose connection could not be made, and reads
// that were cut. All failures are fault.Network and name the server; an answer
// with an error status is an *Error, and a missing image is fs.ErrNotExist.
package imgapi
