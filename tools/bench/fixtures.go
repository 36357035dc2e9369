package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/pgzip"
)

// Times of everything made here.
const stampTime = 1_767_225_600

// fixtureVersion is part of the inputs' directory: it changes when generators do.
const fixtureVersion = "2"

// made makes a file in the cache unless it is there. Its maker writes to a
// temporary name.
func made(name string, make func(tmp string) error) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	tmp := filepath.Join(filepath.Dir(name), ".engbld-new-"+filepath.Base(name))
	defer os.RemoveAll(tmp)
	if err := make(tmp); err != nil {
		return fmt.Errorf("making %s: %w", filepath.Base(name), err)
	}
	return os.Rename(tmp, name)
}

// bulk is a file with the content of many files, and where each one lies.
type bulk struct {
	Path  string
	Files int
	Bytes int64
	Seed  uint64
}

func (k bulk) sizes() []int64 { return newMixed(k.Seed).sizes(k.Files, k.Bytes) }

func (k bulk) make() error {
	return made(k.Path, func(tmp string) error {
		return writeFile(tmp, func(w io.Writer) error {
			m := newMixed(k.Seed)
			return m.write(w, m.sizes(k.Files, k.Bytes))
		})
	})
}

// tree makes a tree whose files are the parts of the bulk, some hundred in each
// directory below dir.
func (k bulk) tree(t *fstree.Tree, dir string, f *os.File) error {
	off := int64(0)
	name := ""
	for i, size := range k.sizes() {
		if i%200 == 0 {
			name = fmt.Sprintf("%s/dir%05d", dir, i/200)
			if err := t.MkdirAll(name, 0o755); err != nil {
				return err
			}
		}
		n := &fstree.Node{Mode: fstree.TypeRegular | 0o644, MTime: fstree.Time{Sec: stampTime}, Content: part{f, off, size}}
		if err := t.Put(fmt.Sprintf("%s/file%05d.so", name, i), n); err != nil {
			return err
		}
		off += size
	}
	return nil
}

// part is a part of a file, as content.
type part struct {
	f    *os.File
	off  int64
	size int64
}

func (p part) Size() int64 { return p.size }

func (p part) ReadAt(b []byte, off int64) (int, error) {
	return io.NewSectionReader(p.f, p.off, p.size).ReadAt(b, off)
}

func writeFile(name string, write func(w io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// zone makes the tree every zone image has, with what the installer wants to
// know. keyring may be empty.
func zone(keyring []byte, packages string) (*fstree.Tree, error) {
	t := fstree.New(fstree.Time{Sec: stampTime})
	for _, dir := range []string{"cores", "config", "site", "root/etc", "root/var", "root/opt/local/etc/gnupg", "root/opt/local/pkg"} {
		if err := t.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		"root/etc/motd":           "\n",
		"root/etc/passwd":         "root:x:0:0:Super-User:/root:/usr/bin/bash\n",
		"root/etc/group":          "root::0:\n",
		"root/etc/shadow":         "root:NP:6445::::::\n",
		"root/etc/pkgsrc_version": "release: 2024Q4\narchitecture: x86_64\n",
		"root/opt/local/etc/pkg_install.conf": "GPG_KEYRING_VERIFY=/opt/local/etc/gnupg/pkgsrc.gpg\nVERIFIED_INSTALLATION=always\n" +
			"PKG_PATH=file://" + packages + "\n",
		"root/opt/local/etc/gnupg/pkgsrc.gpg": string(keyring),
	} {
		if err := t.WriteFile(name, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// base is an image source directory with one base image.
type base struct {
	Dir     string
	UUID    string
	Content bulk
	Keyring []byte
	Pkgs    string // directory of the packages that go with it
}

func (b base) file() string     { return filepath.Join(b.Dir, "base.zfs.gz") }
func (b base) manifest() string { return filepath.Join(b.Dir, "base.imgmanifest") }

func (b base) make(ctx context.Context) error {
	if err := b.Content.make(); err != nil {
		return err
	}
	return made(b.Dir, func(tmp string) error {
		if err := os.MkdirAll(tmp, 0o755); err != nil {
			return err
		}
		content, err := os.Open(b.Content.Path)
		if err != nil {
			return err
		}
		defer content.Close()
		t, err := zone(b.Keyring, b.Pkgs)
		if err != nil {
			return err
		}
		if err := b.Content.tree(t, "root/usr/lib", content); err != nil {
			return err
		}
		sum := sha1.New()
		out := filepath.Join(tmp, filepath.Base(b.file()))
		err = writeFile(out, func(w io.Writer) error {
			z, err := pgzip.NewWriterLevel(io.MultiWriter(w, sum), 6)
			if err != nil {
				return err
			}
			_, err = dataset.WriteFull(ctx, z, t, dataset.Options{ToGUID: 0x1001 + uint64(b.Content.Files),
				ToName: "zones/bench@final", CreationTime: stampTime, Now: fstree.Time{Sec: stampTime}})
			if e := z.Close(); err == nil {
				err = e
			}
			return err
		})
		if err != nil {
			return err
		}
		m := map[string]any{
			"v": 2, "uuid": b.UUID, "owner": "00000000-0000-0000-0000-000000000000", "name": "bench-base", "version": "1.0.0",
			"state": "active", "disabled": false, "public": true, "type": "zone-dataset", "os": "smartos",
			"published_at": time.Unix(stampTime, 0).UTC().Format("2006-01-02T15:04:05Z"),
			"files":        []any{map[string]any{"sha1": hex.EncodeToString(sum.Sum(nil)), "size": fileSize(out), "compression": "gzip"}},
		}
		raw, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(tmp, filepath.Base(b.manifest())), raw, 0o644)
	})
}

// packages is a directory of signed packages with their summary, and beside it
// the plain archives inside of them, for tar.
type packages struct {
	Dir   string
	N     int
	Files int
	Bytes int64 // of content; the archives have about half as many
	Seed  uint64
}

func (p packages) signed() string { return filepath.Join(p.Dir, "signed") }
func (p packages) plain() string  { return filepath.Join(p.Dir, "plain") }

func (p packages) keyring() ([]byte, error) { return os.ReadFile(filepath.Join(p.Dir, "keyring.gpg")) }

func (p packages) names() (names []string) {
	for i := range p.N {
		names = append(names, fmt.Sprintf("bench%02d-1.0", i))
	}
	return names
}

func (p packages) make() error {
	return made(p.Dir, func(tmp string) error {
		in := packages{Dir: tmp}
		for _, d := range []string{in.signed(), in.plain()} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
		}
		key, err := newSigner()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tmp, "keyring.gpg"), key.keyring, 0o644); err != nil {
			return err
		}
		m := newMixed(p.Seed)
		all := m.sizes(p.Files, p.Bytes)
		var summary []byte
		names := p.names()
		for i, sizes := range slices.Collect(slices.Chunk(all, (len(all)+p.N-1)/p.N)) {
			inner, info, err := plainPackage(names[i], m, sizes)
			if err != nil {
				return err
			}
			signed, err := key.sign(names[i], inner)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(in.plain(), names[i]+".tgz"), inner, 0o644); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(in.signed(), names[i]+".tgz"), signed, 0o644); err != nil {
				return err
			}
			summary = fmt.Appendf(summary, "PKGNAME=%s\nCOMMENT=bench\nSIZE_PKG=1\n%sDESCRIPTION=\nFILE_NAME=%s.tgz\nFILE_SIZE=%d\n\n",
				names[i], info, names[i], len(signed))
		}
		return writeFile(filepath.Join(in.signed(), "pkg_summary.gz"), func(w io.Writer) error {
			z := gzip.NewWriter(w)
			if _, err := z.Write(summary); err != nil {
				return err
			}
			return z.Close()
		})
	})
}
