// Package manta is a client of Manta, the object store: directories, objects
// and signed addresses (spec manta.md), and the Store of uploads upon them.
//
// Every object is sent with its MD5, and the MD5 the server computed is
// compared. Requests are repeated where that can help: the connection broke,
// the server is busy or failed; each time with a new date and signature, and
// the body from its beginning. All requests made here can be repeated safely.
// Other refusals are final at once.
//
// An answer with an error status is an *Error; a thing that is not there is
// fs.ErrNotExist, and nothing else is. Failures are fault.Network and name the
// server. Signed addresses are in no error.
//
// Left out: roles, jobs, multipart uploads, links (Manta refuses them).
package manta
