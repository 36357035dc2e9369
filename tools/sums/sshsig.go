package sums

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// Namespace is what signatures of lists are made for: "ssh-keygen -Y verify -n
// file" asks for the same.
const Namespace = "file"

const (
	magic        = "SSHSIG"
	sigVersion   = 1
	hashName     = "sha512"
	armorBegin   = "-----BEGIN SSH SIGNATURE-----"
	armorEnd     = "-----END SSH SIGNATURE-----"
	armorWidth   = 70
	maxSignature = 64 << 10
)

// Signer is a key that can sign; sshsign.Key is one.
type Signer interface {
	Public() ssh.PublicKey
	Sign(data []byte) (*ssh.Signature, error)
}

// signedData is what is signed: the hash of the message, bound to a namespace.
// The magic stands before it.
type signedData struct {
	Namespace string
	Reserved  string
	Hash      string
	Digest    []byte
}

// blob is a signature before it is armored, after the magic.
type blob struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// Sign signs a message and returns the armored signature. RSA keys must sign with
// SHA-2.
func Sign(k Signer, message []byte) ([]byte, error) {
	sig, err := k.Sign(toSign(message))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if sig.Format == ssh.KeyAlgoRSA {
		return nil, errors.New("signing: the key signs with SHA-1")
	}
	b := append([]byte(magic), ssh.Marshal(blob{sigVersion, k.Public().Marshal(), Namespace, "", hashName, ssh.Marshal(*sig)})...)
	text := base64.StdEncoding.EncodeToString(b)
	var out bytes.Buffer
	out.WriteString(armorBegin + "\n")
	for len(text) > 0 {
		n := min(armorWidth, len(text))
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	out.WriteString(armorEnd + "\n")
	armored := out.Bytes()
	if _, err := Verify(message, armored); err != nil { // a broken agent is found here, not by whoever downloads
		return nil, fmt.Errorf("signing: the new signature does not verify: %w", err)
	}
	return armored, nil
}

func toSign(message []byte) []byte {
	digest := sha512.Sum512(message)
	return append([]byte(magic), ssh.Marshal(signedData{Namespace, "", hashName, digest[:]})...)
}

// Verify returns the key whose armored signature of the message is good. Whether
// that key is to be trusted is for the caller to know. Only what Sign writes is
// understood: SHA-512 and this package's namespace.
func Verify(message, armored []byte) (ssh.PublicKey, error) {
	if len(armored) > maxSignature {
		return nil, fmt.Errorf("a signature of %d bytes", len(armored))
	}
	text := strings.TrimSpace(string(armored))
	text, ok := strings.CutPrefix(text, armorBegin)
	text, ok2 := strings.CutSuffix(text, armorEnd)
	if !ok || !ok2 {
		return nil, errors.New("no ssh signature")
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fmt.Errorf("ssh signature: %w", err)
	}
	rest, ok := bytes.CutPrefix(raw, []byte(magic))
	if !ok {
		return nil, errors.New("ssh signature: bad magic")
	}
	var b blob
	if err := ssh.Unmarshal(rest, &b); err != nil {
		return nil, fmt.Errorf("ssh signature: %w", err)
	}
	if b.Version != sigVersion || b.Hash != hashName || b.Namespace != Namespace {
		return nil, fmt.Errorf("ssh signature: version %d, hash %q, namespace %q; wanted %d, %q, %q", b.Version, b.Hash, b.Namespace, sigVersion, hashName, Namespace)
	}
	pub, err := ssh.ParsePublicKey(b.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("ssh signature: %w", err)
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal(b.Signature, &sig); err != nil {
		return nil, fmt.Errorf("ssh signature: %w", err)
	}
	if sig.Format == ssh.KeyAlgoRSA {
		return nil, errors.New("ssh signature: made with SHA-1")
	}
	return pub, pub.Verify(toSign(message), &sig)
}

// SignList signs the list of a directory.
func SignList(k Signer, dir string) error {
	raw, err := bounded.ReadFile(path.Join(dir, ListName), maxList)
	if err != nil {
		return err
	}
	sig, err := Sign(k, raw)
	if err != nil {
		return err
	}
	return newfile.Write(path.Join(dir, SignatureName), sig, 0o666)
}

// VerifyList checks the signature of a directory's list and returns its key.
func VerifyList(dir string) (ssh.PublicKey, error) {
	raw, err := bounded.ReadFile(path.Join(dir, ListName), maxList)
	if err != nil {
		return nil, err
	}
	sig, err := bounded.ReadFile(path.Join(dir, SignatureName), maxSignature)
	if err != nil {
		return nil, err
	}
	return Verify(raw, sig)
}
