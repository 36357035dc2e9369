// Package sums writes and checks SHA256SUMS, the list of a directory's files that
// sha256sum reads, and its signature by an ssh key (the SSHSIG format of OpenSSH's
// PROTOCOL.sshsig), which "ssh-keygen -Y verify" accepts.
//
// Listed are the regular files of a directory and of those below it, by path in
// byte order; left out are the list and its signature, names that begin with a
// dot, and links. Limits: 100000 files, 64 MiB of list; a signature has 64 KiB.
package sums
