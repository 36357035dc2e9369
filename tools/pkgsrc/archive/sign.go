package archive

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

const (
	maxKeyring    = 16 << 20
	maxSignatures = 16 // packets in one signature
)

// ReadKeyring reads an OpenPGP keyring, binary or armored.
func ReadKeyring(raw []byte) (openpgp.EntityList, error) {
	var keys openpgp.EntityList
	var err error
	switch {
	case len(bytes.TrimSpace(raw)) == 0:
		err = errors.New("it is empty")
	case len(raw) > maxKeyring:
		err = fmt.Errorf("it has %d bytes, at most %d are read", len(raw), maxKeyring)
	case bytes.HasPrefix(bytes.TrimSpace(raw), []byte("-----BEGIN ")):
		keys, err = openpgp.ReadArmoredKeyRing(bytes.NewReader(raw))
	default:
		keys, err = openpgp.ReadKeyRing(bytes.NewReader(raw))
	}
	if err == nil && len(keys) == 0 {
		err = errors.New("it holds no key")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read keyring: %w", err)
	}
	return keys, nil
}

// VerifyArmored is Verify for a signature in ASCII armor.
func VerifyArmored(keys openpgp.EntityList, signed, signature []byte) error {
	block, err := armor.Decode(bytes.NewReader(signature))
	if err != nil {
		return fault.Policy.Errorf("reading the signature: %w", err)
	}
	if block.Type != openpgp.SignatureType {
		return fault.Policy.Errorf("reading the signature: it is a %.40q", block.Type)
	}
	return Verify(keys, signed, block.Body)
}

// Verify checks a detached OpenPGP signature, binary or text, over the bytes
// signed; for a text signature they have their line ends as signed (CR LF). One
// good signature suffices. All failures are fault.Policy.
//
// As in the genuine tool, a key that has expired still verifies what it signed:
// published packages outlive the keys. A revoked key does not (one that was only
// replaced keeps what it signed before), nor one that is not for signing, nor an
// MD5 digest.
func Verify(keys openpgp.EntityList, signed []byte, signature io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(signature, maxSignature))
	if err != nil {
		return fault.Policy.Errorf("reading the signature: %w", err)
	}
	if old, ok := parseV3(raw); ok {
		return old.verify(keys, signed)
	}
	var failure error
	packets := packet.NewReader(bytes.NewReader(raw))
	for range maxSignatures {
		p, err := packets.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fault.Policy.Errorf("reading the signature: %w", err)
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			return fault.Policy.Errorf("reading the signature: it holds something else (%T)", p)
		}
		if failure = verifyOne(keys, signed, sig); failure == nil {
			return nil
		}
	}
	if failure == nil {
		failure = fault.Policy.Errorf("the signature is empty")
	}
	return failure
}

func verifyOne(keys openpgp.EntityList, signed []byte, sig *packet.Signature) error {
	if sig.SigType != packet.SigTypeBinary && sig.SigType != packet.SigTypeText {
		return fault.Policy.Errorf("signature of type %#x is not one over data", uint8(sig.SigType))
	}
	if sig.Hash == crypto.MD5 || !sig.Hash.Available() {
		return fault.Policy.Errorf("signature uses the digest %s", sig.Hash)
	}
	for _, e := range keys {
		for _, k := range signingKeys(e, sig.CreationTime) {
			if !sig.CheckKeyIdOrFingerprint(k.key) {
				continue
			}
			if k.why != "" {
				return fault.Policy.Errorf("signature by key %016x, which %s", k.key.KeyId, k.why)
			}
			h, err := sig.PrepareVerify()
			if err != nil {
				return fault.Policy.Errorf("reading the signature: %w", err)
			}
			h.Write(signed)
			if err := k.key.VerifySignature(h, sig); err != nil {
				return fault.Policy.Errorf("bad signature by key %016x: %w", k.key.KeyId, err)
			}
			return nil
		}
	}
	if sig.IssuerKeyId != nil {
		return unknownKey(*sig.IssuerKeyId)
	}
	return fault.Policy.Errorf("unable to verify signature: it does not name a key of the keyring")
}

func unknownKey(id uint64) error {
	return fault.WithHint(fault.Policy.Errorf("unable to verify signature: key id %016x not found in the keyring", id),
		"check that what is signed and the image's keyring are of the same publisher")
}

// signingKey is a key that could have signed; why says why it must not count.
type signingKey struct {
	key *packet.PublicKey
	why string
}

// signingKeys returns e's keys as they count for a signature made at the given time.
func signingKeys(e *openpgp.Entity, at time.Time) []signingKey {
	revoked := revokedAt(e.Revocations, at)
	keys := []signingKey{{e.PrimaryKey, revoked}}
	if self, _ := e.PrimarySelfSignature(); self != nil && self.FlagsValid && !self.FlagSign && revoked == "" {
		keys[0].why = "is not for signing"
	}
	for _, sub := range e.Subkeys {
		why := revoked
		if why == "" {
			why = revokedAt(sub.Revocations, at)
		}
		if why == "" && (sub.Sig == nil || !sub.Sig.FlagsValid || !sub.Sig.FlagSign) {
			why = "is not for signing"
		}
		keys = append(keys, signingKey{sub.PublicKey, why})
	}
	return keys
}

// revokedAt tells whether revocations undo a signature made at the given time. A
// key that was only replaced or retired keeps what it signed before (RFC 4880
// section 5.2.3.23); any other revocation undoes everything.
func revokedAt(revocations []*packet.Signature, at time.Time) string {
	for _, r := range revocations {
		soft := r.RevocationReason != nil &&
			(*r.RevocationReason == packet.KeySuperseded || *r.RevocationReason == packet.KeyRetired)
		if !soft || !at.Before(r.CreationTime) {
			return "is revoked"
		}
	}
	return ""
}
