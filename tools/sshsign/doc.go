// Package sshsign signs HTTP requests with SSH keys, the way image servers and
// Manta want it (spec imgapi.md section 3, manta.md sections 2, 3 and 8).
//
// A key comes from a file without passphrase or from an agent and is named by
// a fingerprint or by its file.
//
//	key      image server   Manta
//	RSA      rsa-sha256     rsa-sha256
//	ECDSA    refused        ecdsa-sha256 (P-256), ecdsa-sha512 (P-521); P-384 refused
//	Ed25519  refused        ed25519-sha512
//	others   refused        refused
//
// What is refused is refused before anything is sent. Errors name files and
// fingerprints; keys, signatures and signed addresses are in none.
package sshsign
