package sshsign

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Fingerprint names a public key by the MD5 or SHA-256 of its wire form.
type Fingerprint struct {
	sum []byte // 16 or 32 bytes
}

// ParseFingerprint reads aa:bb:… or MD5:aa:bb:… (16 bytes, colons required) or
// SHA256:BASE64 without padding. Hex may have capitals.
func ParseFingerprint(s string) (Fingerprint, error) {
	if b64, ok := strings.CutPrefix(s, "SHA256:"); ok {
		sum, err := base64.RawStdEncoding.Strict().DecodeString(b64)
		if err != nil || len(sum) != sha256.Size {
			return Fingerprint{}, fmt.Errorf("%q is no fingerprint: SHA256: and 43 characters of base64 expected", s)
		}
		return Fingerprint{sum}, nil
	}
	parts := strings.Split(strings.TrimPrefix(s, "MD5:"), ":")
	sum, err := hex.DecodeString(strings.Join(parts, ""))
	for _, p := range parts {
		if len(p) != 2 {
			err = hex.ErrLength
		}
	}
	if err != nil || len(sum) != md5.Size {
		return Fingerprint{}, fmt.Errorf("%q is no fingerprint: MD5:aa:bb:… (16 bytes) or SHA256:… expected", s)
	}
	return Fingerprint{sum}, nil
}

// String writes MD5:aa:bb:… or SHA256:….
func (f Fingerprint) String() string {
	if len(f.sum) == sha256.Size {
		return "SHA256:" + base64.RawStdEncoding.EncodeToString(f.sum)
	}
	return "MD5:" + colons(f.sum)
}

// Matches says whether pub is the key of that fingerprint.
func (f Fingerprint) Matches(pub ssh.PublicKey) bool {
	if len(f.sum) == sha256.Size {
		sum := sha256.Sum256(pub.Marshal())
		return bytes.Equal(f.sum, sum[:])
	}
	sum := md5.Sum(pub.Marshal())
	return bytes.Equal(f.sum, sum[:])
}

// MD5 is the fingerprint aa:bb:… of a public key, by which Manta knows it.
func MD5(pub ssh.PublicKey) string {
	sum := md5.Sum(pub.Marshal())
	return colons(sum[:])
}

func colons(sum []byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(parts, ":")
}
