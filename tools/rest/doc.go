// Package rest is what clients of Triton's HTTP services share: connections,
// answers with an error status, transfers that stand still, and texts of servers
// that are fit for messages.
//
// It knows no service: what is asked, signed and repeated is for the clients to
// say. Redirects are not followed, since requests are signed. Of an answer with
// an error status 64 KiB are read.
package rest
