package build

import (
	"debug/elf"
	"debug/macho"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// checkForeign refuses a component tree that holds programs of another system:
// the mistake of packing what this machine built for itself.
func checkForeign(tree *fstree.Tree) error {
	return tree.Walk(func(path string, n *fstree.Node) error {
		if !n.IsRegular() || n.Content == nil {
			return nil
		}
		why, err := foreign(n.Content)
		if err != nil {
			return fault.Step.Errorf("component file %s: %w", path, err)
		}
		if why != "" {
			return fault.WithHint(fault.Policy.Errorf("component file %s: %s", path, why),
				"build the component's native code on illumos, or set ENGBLD_ALLOW_FOREIGN=true to ship it as it is")
		}
		return nil
	})
}

// foreign says why c is native code that illumos on x86 does not run, "" if it
// is none or may be illumos's.
func foreign(c fstree.Content) (string, error) {
	var head [8]byte
	if n, err := c.ReadAt(head[:], 0); n < len(head) {
		if err == io.EOF {
			err = nil
		}
		return "", err
	}
	switch {
	case string(head[:4]) == elf.ELFMAG:
		r := &remember{c: c}
		return foreignELF(r, c.Size()), r.err
	case isMachO(head):
		return "a Mach-O program of macOS, not for illumos", nil
	}
	return "", nil
}

// remember keeps the first error of reading, which a program that is malformed
// is not.
type remember struct {
	c   io.ReaderAt
	err error
}

func (r *remember) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.c.ReadAt(p, off)
	if err != nil && err != io.EOF && r.err == nil {
		r.err = err
	}
	return n, err
}

func isMachO(head [8]byte) bool {
	magic := binary.BigEndian.Uint32(head[:4])
	switch magic {
	case macho.MagicFat:
		// Java class files share this number; theirs goes on with a version
		// of at least 45, a fat file with its few architectures.
		return binary.BigEndian.Uint32(head[4:]) < 45
	case macho.Magic32, macho.Magic64, 0xcefaedfe, 0xcffaedfe:
		return true
	}
	return false
}

// illumosLoaders are the run-time linkers illumos has, in their three spellings.
var illumosLoaders = []string{"/lib/ld.so.1", "/usr/lib/ld.so.1", "/lib/64/ld.so.1", "/lib/amd64/ld.so.1",
	"/usr/lib/64/ld.so.1", "/usr/lib/amd64/ld.so.1"}

func foreignELF(r io.ReaderAt, size int64) string {
	f, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return "" // broken, or no program at all: not ours to judge
	}
	defer f.Close()
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return ""
	}
	if f.Machine != elf.EM_386 && f.Machine != elf.EM_X86_64 {
		return fmt.Sprintf("an ELF program for %s, not for x86", strings.TrimPrefix(f.Machine.String(), "EM_"))
	}
	switch f.OSABI {
	case elf.ELFOSABI_SOLARIS:
		return ""
	case elf.ELFOSABI_NONE:
	default:
		return fmt.Sprintf("an ELF program for %s, not for illumos", strings.TrimPrefix(f.OSABI.String(), "ELFOSABI_"))
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > 4096 {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return ""
		}
		loader := strings.TrimRight(string(b), "\x00")
		for _, l := range illumosLoaders {
			if l == loader {
				return ""
			}
		}
		return fmt.Sprintf("an ELF program that is started by %q, not for illumos", loader)
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return ""
	}
	for _, l := range libs {
		if l == "libc.so.6" || strings.HasPrefix(l, "ld-linux") || strings.HasPrefix(l, "libc.musl-") {
			return fmt.Sprintf("an ELF library that needs %s, not for illumos", l)
		}
	}
	if f.Type == elf.ET_EXEC {
		// illumos has no static libc, so its programs always name a loader.
		return "a static ELF program, not for illumos"
	}
	return ""
}
