package sshsign

import "golang.org/x/crypto/ssh"

// Sign signs data as it is, with SHA-2 for RSA keys. Signatures of requests are
// made with IMGAPI and Manta.
func (k *Key) Sign(data []byte) (*ssh.Signature, error) { return k.sign(data) }
