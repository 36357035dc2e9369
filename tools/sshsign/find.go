package sshsign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Places are where keys are looked for.
type Places struct {
	Home  string // keys are in .ssh below it; "" has none
	Agent string // the agent's socket ($SSH_AUTH_SOCK); "" is no agent
}

const (
	maxKeyFile = 64 << 10
	maxEntries = 1000 // of .ssh
)

// Find returns the key of a fingerprint: from a file of .ssh without
// passphrase, else from the agent. If only a file with a passphrase has it,
// the error says so (spec manta.md section 2).
func (p Places) Find(f Fingerprint) (*Key, error) {
	var locked string
	for _, name := range p.files() {
		key, pub, err := load(name)
		switch {
		case pub == nil || !f.Matches(pub):
		case err == nil:
			return key, nil
		case locked == "":
			locked = name
		}
	}
	key, err := p.fromAgent(f.Matches)
	if key != nil {
		return key, nil
	}
	if locked != "" {
		return nil, lockedError(locked)
	}
	if err != nil {
		return nil, fault.Unfit.Errorf("looking for the key %s: there is no file with it in %s, and the agent does not answer: %w",
			f, p.dir(), err)
	}
	return nil, fault.WithHint(fault.Unfit.Errorf("there is no key %s in %s or in the ssh-agent", f, p.dir()), "ssh-add -l -E md5")
}

// Identity returns the key a user named: by a fingerprint, or by the file of
// the private key (~/ is Home). If the file has a passphrase, the agent is
// asked for the same key. "" is .ssh/id_rsa, and nil, nil if there is none.
func (p Places) Identity(id string) (*Key, error) {
	if id == "" {
		if p.Home == "" {
			return nil, nil
		}
		id = filepath.Join(p.dir(), "id_rsa")
		if _, err := os.Stat(id); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	if f, err := ParseFingerprint(id); err == nil {
		return p.Find(f)
	} else if strings.HasPrefix(id, "MD5:") || strings.HasPrefix(id, "SHA256:") {
		return nil, fault.Usage.Errorf("key: %w", err)
	}
	if rest, ok := strings.CutPrefix(id, "~/"); ok && p.Home != "" {
		id = filepath.Join(p.Home, rest)
	}
	key, pub, err := load(id)
	if errors.Is(err, errLocked) {
		if pub != nil {
			if key, _ := p.fromAgent(func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), pub.Marshal()) }); key != nil {
				return key, nil
			}
		}
		return nil, lockedError(id)
	}
	if err != nil {
		return nil, fault.WithHint(fault.Unfit.Errorf("reading the key of %s: %w", id, err),
			"name the file of a private key, or a fingerprint MD5:aa:bb:… or SHA256:…")
	}
	return key, nil
}

// DefaultFingerprint is the one of .ssh/id_rsa.pub; "" if there is none (spec
// manta.md section 1).
func (p Places) DefaultFingerprint() string {
	if p.Home == "" {
		return ""
	}
	if pub := publicOf(filepath.Join(p.dir(), "id_rsa")); pub != nil {
		return MD5(pub)
	}
	return ""
}

func lockedError(name string) error {
	return fault.WithHint(fault.Unfit.Errorf("the key in %s %w, and the ssh-agent does not have it", name, errLocked), "ssh-add %s", name)
}

func (p Places) dir() string { return filepath.Join(p.Home, ".ssh") }

// files lists what may be private keys, by name.
func (p Places) files() (names []string) {
	if p.Home == "" {
		return nil
	}
	entries, err := os.ReadDir(p.dir())
	if err != nil {
		return nil // there may still be an agent
	}
	for _, e := range entries[:min(len(entries), maxEntries)] {
		if name := filepath.Join(p.dir(), e.Name()); filepath.Ext(name) != ".pub" {
			names = append(names, name)
		}
	}
	return names
}

// load reads a private key. With errLocked the public key is returned alone,
// where it can be known.
func load(name string) (*Key, ssh.PublicKey, error) {
	raw, err := readFile(name)
	if err != nil {
		return nil, nil, err
	}
	if !bytes.Contains(raw, []byte("PRIVATE KEY")) {
		return nil, nil, errors.New("it is no private key")
	}
	signer, err := ssh.ParsePrivateKey(raw)
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		pub := missing.PublicKey
		if pub == nil {
			pub = publicOf(name)
		}
		return nil, pub, errLocked
	case err != nil:
		return nil, nil, errors.New("it is no private key in PEM or OpenSSH form")
	}
	key := NewKey(signer, name)
	return key, key.pub, nil
}

// publicOf reads the public key beside a private one; nil if there is none.
func publicOf(name string) ssh.PublicKey {
	raw, err := readFile(name + ".pub")
	if err != nil {
		return nil
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return nil
	}
	return pub
}

// readFile reads a regular file that can hold a key.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("it is no file of at most %d bytes", maxKeyFile)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

// fromAgent returns the agent's key that fits, nil if there is none.
func (p Places) fromAgent(fits func(ssh.PublicKey) bool) (*Key, error) {
	if p.Agent == "" {
		return nil, nil
	}
	conn, err := net.Dial("unix", p.Agent)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	keys, err := agent.NewClient(conn).List()
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if pub, err := ssh.ParsePublicKey(k.Blob); err == nil && fits(pub) {
			return agentKey(p.Agent, pub), nil
		}
	}
	return nil, nil
}
