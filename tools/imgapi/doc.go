// Package imgapi is a client of image servers (IMGAPI): ping, channels, list,
// get and file, and what changes images, from import to deletion (spec
// imgapi.md sections 2 to 8, 11, 12 and 16).
//
// It asks for version ~2 of the interface, follows no redirects, bounds every
// answer, and repeats requests whose connection could not be made, and reads
// that were cut. All failures are fault.Network and name the server; an answer
// with an error status is an *Error, and a missing image is fs.ErrNotExist.
//
// A change whose outcome gets lost is looked for, and made again if it has not
// happened; where that cannot be found out it is ErrUnknown. What a server
// would not survive, or would not check, is refused before anything is sent.
//
// Left out: creation with a uuid of the server, icons, export, and whatever
// only servers in a datacenter offer.
package imgapi
