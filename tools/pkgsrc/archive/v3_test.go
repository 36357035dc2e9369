package archive

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// signV3 makes a signature packet of version 3, which no library at hand does.
func signV3(t *testing.T, key *rsa.PrivateKey, id uint64, text []byte) []byte {
	t.Helper()
	hashed := []byte{0, 0x50, 0, 0, 0} // binary, some time in 2012
	sum := sha512.Sum512(append(bytes.Clone(text), hashed...))
	number, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA512, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	body := append([]byte{3, 5}, hashed...)
	body = binary.BigEndian.AppendUint64(body, id)
	body = append(body, 1, 10, sum[0], sum[1])
	body = binary.BigEndian.AppendUint16(body, uint16(8*len(number)))
	body = append(body, number...)
	return append(binary.BigEndian.AppendUint16([]byte{0x89}, uint16(len(body))), body...)
}

func TestOldSignatures(t *testing.T) {
	t.Parallel()
	e, err := openpgp.NewEntity("Old", "", "old@example.invalid", &packet.Config{Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("signed long ago")
	key := e.PrivateKey.PrivateKey.(*rsa.PrivateKey)
	sig := signV3(t, key, e.PrimaryKey.KeyId, text)
	keys := openpgp.EntityList{e}
	if err := Verify(keys, text, bytes.NewReader(sig)); err != nil {
		t.Error(err)
	}
	for i := range sig {
		sig[i] ^= 4
		err := Verify(keys, text, bytes.NewReader(sig))
		sig[i] ^= 4
		// The two bytes of the hash are a convenience, the number's length has one
		// spare bit pattern; all else must be right.
		if err == nil && i != 20 && i != 21 {
			t.Errorf("byte %d of %d is changed and nobody sees it", i, len(sig))
		}
		if err != nil && fault.KindOf(err) != fault.Policy {
			t.Errorf("byte %d: kind %d, %v", i, fault.KindOf(err), err)
		}
	}
	if err := Verify(keys, []byte("signed just now"), bytes.NewReader(sig)); err == nil {
		t.Error("another text verifies")
	}
	if err := Verify(fixtureKeys(t), text, bytes.NewReader(sig)); err == nil || !strings.Contains(err.Error(), "not found in the keyring") {
		t.Errorf("unknown key: %v", err)
	}
	for i := range sig {
		if err := Verify(keys, text, bytes.NewReader(sig[:i])); err == nil {
			t.Errorf("cut to %d bytes it verifies", i)
		}
	}
}
