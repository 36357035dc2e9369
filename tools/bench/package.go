package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha512"
	"fmt"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/klauspost/compress/gzip"
)

// signer makes packages that verify with its keyring. The key lives for as long
// as the program that made it.
type signer struct {
	entity  *openpgp.Entity
	keyring []byte
}

func newSigner() (*signer, error) {
	e, err := openpgp.NewEntity("Bench", "", "bench@example.invalid", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		return nil, err
	}
	return &signer{e, b.Bytes()}, nil
}

// sign makes the signed form (spec pkgsrc.md section 3.2): an ar archive of
// block hashes, their signature and the plain package.
func (s *signer) sign(name string, inner []byte) ([]byte, error) {
	const blockSize = 65536
	hashes := fmt.Appendf(nil, "pkgsrc signature\n\nversion: 1\npkgname: %s\nalgorithm: SHA512\nblock size: %d\nfile size: %d\n\n",
		name, blockSize, len(inner))
	for block := range slices.Chunk(inner, blockSize) {
		hashes = fmt.Appendf(hashes, "%x\n", sha512.Sum512(block))
	}
	hashes = append(hashes, "end pkgsrc signature\n"...)
	var signature bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&signature, s.entity, bytes.NewReader(hashes), nil); err != nil {
		return nil, err
	}
	out := []byte("!<arch>\n")
	for _, m := range []struct {
		name string
		body []byte
	}{{"+PKG_HASH", hashes}, {"+PKG_GPG_SIGNATURE", signature.Bytes()}, {name + ".tgz", inner}} {
		body := m.body
		if len(m.name) > 16 {
			body = append([]byte(m.name), body...)
			m.name = fmt.Sprintf("#1/%d", len(m.name))
		}
		out = fmt.Appendf(out, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", m.name, 0, 0, 0, 0o644, len(body))
		out = append(out, body...)
		if len(body)%2 == 1 {
			out = append(out, '\n')
		}
	}
	return out, nil
}

// plainPackage makes a package with files of these sizes, and the part of its
// summary that comes from +BUILD_INFO.
func plainPackage(name string, m *mixed, sizes []int64) ([]byte, string, error) {
	info := "BUILD_DATE=2025-01-01 00:00:00 +0000\nCATEGORIES=bench\nMACHINE_ARCH=x86_64\nOPSYS=SunOS\nOS_VERSION=5.11\n" +
		"PKGPATH=bench/" + name[:len(name)-4] + "\nPKGTOOLS_VERSION=20091115\n"
	contents := "@cwd /opt/local\n@name " + name + "\n"
	for i := range sizes {
		contents += fmt.Sprintf("share/%s/file%05d\n", name, i)
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, 6)
	if err != nil {
		return nil, "", err
	}
	w := tar.NewWriter(z)
	add := func(name string, body []byte) error {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Uname: "root", Gname: "root",
			ModTime: time.Unix(stampTime, 0)})
		if err == nil {
			_, err = w.Write(body)
		}
		return err
	}
	for _, meta := range [][2]string{{"+CONTENTS", contents}, {"+COMMENT", "bench\n"}, {"+DESC", "bench\n"}, {"+BUILD_INFO", info}} {
		if err := add(meta[0], []byte(meta[1])); err != nil {
			return nil, "", err
		}
	}
	for i, size := range sizes {
		body := make([]byte, size)
		m.file(body)
		if err := add(fmt.Sprintf("share/%s/file%05d", name, i), body); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	if err := z.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), info, nil
}
