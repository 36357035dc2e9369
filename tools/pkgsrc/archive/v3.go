package archive

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/binary"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// v3Signature is the signature packet of version 3 (RFC 4880 section 5.2.2),
// which old GnuPG could make and the library does not read. Only RSA is known
// here; publishers of packages use nothing else (spec pkgsrc.md section 3.2).
type v3Signature struct {
	kind    byte // 0: over binary data, 1: over text
	created [4]byte
	keyID   uint64
	hash    crypto.Hash // 0: one we do not take
	rsa     []byte      // the number, nil for another algorithm
}

// parseV3 reads raw if it is one version 3 signature packet and nothing else.
func parseV3(raw []byte) (s v3Signature, ok bool) {
	body := packetBody(raw)
	// version, 5, type, time 4, key id 8, public key and hash algorithms, 2 bytes of the hash
	if len(body) < 19+2 || body[0] != 3 || body[1] != 5 {
		return s, false
	}
	s.kind = body[2]
	copy(s.created[:], body[3:7])
	s.keyID = binary.BigEndian.Uint64(body[7:15])
	switch body[16] {
	case 2:
		s.hash = crypto.SHA1
	case 8:
		s.hash = crypto.SHA256
	case 9:
		s.hash = crypto.SHA384
	case 10:
		s.hash = crypto.SHA512
	}
	if algorithm := body[15]; algorithm == 1 || algorithm == 3 {
		bits := int(binary.BigEndian.Uint16(body[19:]))
		if number := body[21:]; len(number) == (bits+7)/8 {
			s.rsa = number
		}
	}
	return s, true
}

// packetBody returns the body of the only packet in raw, nil where it is no
// signature or not alone.
func packetBody(raw []byte) []byte {
	if len(raw) < 3 {
		return nil
	}
	var header, size int
	switch tag := raw[0]; {
	case tag == 0x88: // old format, one byte of length
		header, size = 2, int(raw[1])
	case tag == 0x89: // two bytes
		header, size = 3, int(binary.BigEndian.Uint16(raw[1:]))
	case tag == 0xc2 && raw[1] < 192: // new format
		header, size = 2, int(raw[1])
	case tag == 0xc2 && raw[1] < 224:
		header, size = 3, (int(raw[1])-192)<<8+int(raw[2])+192
	default:
		return nil
	}
	if len(raw) != header+size {
		return nil
	}
	return raw[header:]
}

func (s *v3Signature) verify(keys openpgp.EntityList, signed []byte) error {
	if s.kind > 1 || s.hash == 0 || s.rsa == nil {
		return fault.Policy.Errorf("signature of version 3 is of a kind that is not supported")
	}
	created := time.Unix(int64(binary.BigEndian.Uint32(s.created[:])), 0)
	for _, e := range keys {
		for _, k := range signingKeys(e, created) {
			public, ok := k.key.PublicKey.(*rsa.PublicKey)
			if k.key.KeyId != s.keyID || !ok || k.key.PubKeyAlgo == packet.PubKeyAlgoRSAEncryptOnly {
				continue
			}
			if k.why != "" {
				return fault.Policy.Errorf("signature by key %016x, which %s", s.keyID, k.why)
			}
			h := s.hash.New()
			h.Write(signed)
			h.Write([]byte{s.kind})
			h.Write(s.created[:])
			number := bytes.TrimLeft(s.rsa, "\x00")
			if len(number) > public.Size() {
				return fault.Policy.Errorf("bad signature by key %016x", s.keyID)
			}
			padded := make([]byte, public.Size())
			copy(padded[len(padded)-len(number):], number)
			if rsa.VerifyPKCS1v15(public, s.hash, h.Sum(nil), padded) != nil {
				return fault.Policy.Errorf("bad signature by key %016x", s.keyID)
			}
			return nil
		}
	}
	return unknownKey(s.keyID)
}
