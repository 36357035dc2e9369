package sshsign

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/newfile"
	"golang.org/x/crypto/ssh"
)

// Ensure returns the key in a file, after making a new RSA key there if there
// is none; NAME.pub gets the public key. Several processes may do so at once:
// all get the same key.
func Ensure(name string) (*Key, error) {
	key, _, err := load(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err = generate(name); err == nil {
			key, _, err = load(name)
		}
	}
	if err == nil {
		// Written again each time, in case the last run was killed before.
		err = place(name+".pub", ssh.MarshalAuthorizedKey(key.pub), 0o644, os.Rename)
	}
	if err != nil {
		return nil, fault.Step.Errorf("making a key at %s: %w", name, err)
	}
	return key, nil
}

func generate(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	err = place(name, text, 0o600, os.Link)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was first
	}
	return err
}

// place writes a file beside its place, complete, and moves it there.
func place(name string, text []byte, mode fs.FileMode, move func(from, to string) error) error {
	f, err := newfile.Create(name, 0o600)
	if err != nil {
		return err
	}
	defer f.Discard()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode)); err != nil {
		return err
	}
	return move(f.Name(), name)
}
