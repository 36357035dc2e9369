package sshsign

import (
	"crypto/rand"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Key is a private key that can sign. It is safe for concurrent use.
type Key struct {
	pub  ssh.PublicKey
	from string
	sign func(data []byte) (*ssh.Signature, error)
}

// Public returns the public key.
func (k *Key) Public() ssh.PublicKey { return k.pub }

// MD5 returns the fingerprint aa:bb:….
func (k *Key) MD5() string { return MD5(k.pub) }

// From says where the key is: a file's name, or "ssh-agent".
func (k *Key) From() string { return k.from }

// NewKey makes a Key of a signer in memory; from is for messages.
func NewKey(s ssh.Signer, from string) *Key {
	k := &Key{pub: s.PublicKey(), from: from}
	k.sign = func(data []byte) (*ssh.Signature, error) {
		if a, ok := s.(ssh.AlgorithmSigner); ok && k.pub.Type() == ssh.KeyAlgoRSA {
			return a.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA256)
		}
		return s.Sign(rand.Reader, data)
	}
	return k
}

// agentKey signs through the agent, over a connection of its own each time.
func agentKey(socket string, pub ssh.PublicKey) *Key {
	return &Key{pub: pub, from: "ssh-agent", sign: func(data []byte) (*ssh.Signature, error) {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		var flags agent.SignatureFlags
		if pub.Type() == ssh.KeyAlgoRSA {
			flags = agent.SignatureFlagRsaSha256 // without it the agent takes SHA-1
		}
		return agent.NewClient(conn).SignWithFlags(pub, data, flags)
	}}
}

// algorithm is the name of the signatures a key makes (spec manta.md section 2).
func algorithm(pub ssh.PublicKey) (string, error) {
	switch pub.Type() {
	case ssh.KeyAlgoRSA:
		return "rsa-sha256", nil
	case ssh.KeyAlgoECDSA256:
		return "ecdsa-sha256", nil
	case ssh.KeyAlgoECDSA521:
		return "ecdsa-sha512", nil
	case ssh.KeyAlgoED25519:
		return "ed25519-sha512", nil
	}
	return "", fmt.Errorf("a key of type %s cannot sign for Manta: RSA, ECDSA (P-256, P-521) and Ed25519 can", pub.Type())
}

// signature signs text and returns it as the servers want it, in base64: RSA
// as PKCS #1 v1.5, ECDSA as an ASN.1 sequence, Ed25519 as it is.
func (k *Key) signature(text string) (string, error) {
	sig, err := k.sign([]byte(text))
	if err != nil {
		return "", fault.WithHint(fault.Unfit.Errorf("signing with key %s from %s: %w", k.MD5(), k.from, err), "ssh-add -l")
	}
	blob := sig.Blob
	switch sig.Format {
	case ssh.KeyAlgoRSASHA256, ssh.KeyAlgoED25519:
	case ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA521:
		var rs struct{ R, S *big.Int }
		if err := ssh.Unmarshal(blob, &rs); err != nil {
			return "", fault.Unfit.Errorf("signing with key %s from %s: the signature is malformed", k.MD5(), k.from)
		}
		if blob, err = asn1.Marshal(rs); err != nil {
			return "", err
		}
	default:
		return "", fault.WithHint(fault.Unfit.Errorf("signing with key %s from %s: the signature is %s, which the server refuses", k.MD5(), k.from, sig.Format),
			"use a newer ssh-agent, or a key file")
	}
	return base64.StdEncoding.EncodeToString(blob), nil
}

var errLocked = errors.New("is protected by a passphrase")
