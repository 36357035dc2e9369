package archive

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Signer tells which key of the keyring the signature of a package names: the
// fingerprint of its primary key, in upper-case hex; "" for a package without
// signature or of a key that is not there. Nothing is verified, Open does that.
func Signer(keys openpgp.EntityList, r io.Reader) (string, error) {
	var magic [len(arMagic)]byte
	switch _, err := io.ReadFull(r, magic[:]); {
	case err == io.EOF || err == io.ErrUnexpectedEOF || err == nil && string(magic[:]) != arMagic:
		return "", nil
	case err != nil:
		return "", err
	}
	a, err := newArReader(io.MultiReader(bytes.NewReader(magic[:]), r))
	if err != nil {
		return "", err
	}
	if _, err := a.want(hashMember, maxHashFile); err != nil {
		return "", err
	}
	signature, err := a.want(pgpMember, maxSignature)
	if err != nil {
		return "", err
	}
	block, err := armor.Decode(bytes.NewReader(signature))
	if err != nil {
		return "", nil // Open says so
	}
	raw, err := io.ReadAll(io.LimitReader(block.Body, maxSignature))
	if err != nil {
		return "", nil
	}
	if old, ok := parseV3(raw); ok {
		return fingerprint(keys, func(k *packet.PublicKey) bool { return k.KeyId == old.keyID }), nil
	}
	packets := packet.NewReader(bytes.NewReader(raw))
	for range maxSignatures {
		p, err := packets.Next()
		if err != nil {
			break
		}
		if sig, ok := p.(*packet.Signature); ok {
			if f := fingerprint(keys, sig.CheckKeyIdOrFingerprint); f != "" {
				return f, nil
			}
		}
	}
	return "", nil
}

func fingerprint(keys openpgp.EntityList, is func(*packet.PublicKey) bool) string {
	for _, e := range keys {
		if is(e.PrimaryKey) {
			return Fingerprint(e)
		}
		for _, s := range e.Subkeys {
			if is(s.PublicKey) {
				return Fingerprint(e)
			}
		}
	}
	return ""
}

// Fingerprint of a key, in upper-case hex.
func Fingerprint(e *openpgp.Entity) string {
	return strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint))
}
