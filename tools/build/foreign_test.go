package build

import (
	"bytes"
	"encoding/binary"
	"strings"
	"syscall"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
)

// elfProgram makes a little-endian 64-bit ELF file with one PT_INTERP.
func elfProgram(osabi byte, machine uint16, typ uint16, loader string) []byte {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	b.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, osabi, 0, 0, 0, 0, 0, 0, 0, 0})
	put(typ)
	put(machine)
	put(uint32(1))
	put([3]uint64{0, 64, 0})
	put(uint32(0))
	phnum := uint16(0)
	if loader != "" {
		phnum = 1
	}
	put([6]uint16{64, 56, phnum, 64, 0, 0})
	if loader != "" {
		put(uint32(3))
		put(uint32(4))
		put([6]uint64{64 + 56, 0, 0, uint64(len(loader) + 1), uint64(len(loader) + 1), 1})
		b.WriteString(loader + "\x00")
	}
	return b.Bytes()
}

func TestForeign(t *testing.T) {
	t.Parallel()
	const exec, dyn, x86, arm = 2, 3, 62, 183
	for _, c := range []struct {
		name string
		file []byte
		want string // part of the reason, "" is accepted
	}{
		{"text", []byte("#!/bin/sh\necho hello\n"), ""},
		{"short", []byte("\x7fELF"), ""},
		{"illumos 64", elfProgram(0, x86, exec, "/lib/amd64/ld.so.1"), ""},
		{"illumos marked", elfProgram(6, x86, dyn, "/lib/64/ld.so.1"), ""},
		{"linux", elfProgram(0, x86, dyn, "/lib64/ld-linux-x86-64.so.2"), "ld-linux"},
		{"linux marked", elfProgram(3, x86, exec, "/lib/ld.so.1"), "LINUX"},
		{"freebsd", elfProgram(9, x86, exec, "/libexec/ld-elf.so.1"), "FREEBSD"},
		{"static", elfProgram(0, x86, exec, ""), "static"},
		{"library without needs", elfProgram(0, x86, dyn, ""), ""},
		{"arm", elfProgram(0, arm, exec, "/lib/ld.so.1"), "AARCH64"},
		{"object file", elfProgram(0, arm, 1, ""), ""},
		{"mach-o", []byte("\xcf\xfa\xed\xfe\x07\x00\x00\x01........"), "Mach-O"},
		{"fat mach-o", []byte("\xca\xfe\xba\xbe\x00\x00\x00\x02........"), "Mach-O"},
		{"java class", []byte("\xca\xfe\xba\xbe\x00\x00\x00\x34........"), ""},
		{"broken elf", []byte("\x7fELFxxxxxxxxxxxxxxxxxxxx"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := foreign(fstree.Bytes(c.file))
			if err != nil {
				t.Error(err)
			}
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("foreign = %q, want something with %q", got, c.want)
			}
		})
	}
}

func TestForeignFileIsNamed(t *testing.T) {
	t.Parallel()
	tree := fstree.New(fstree.Time{})
	if err := tree.MkdirAll("opt/x/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	file := elfProgram(3, 62, 2, "/lib64/ld-linux-x86-64.so.2")
	if err := tree.WriteFile("opt/x/bin/tool", file, 0o755); err != nil {
		t.Fatal(err)
	}
	err := checkForeign(tree)
	if fault.KindOf(err) != fault.Policy || !strings.Contains(err.Error(), "opt/x/bin/tool") {
		t.Errorf("got %v, want a policy error naming the file", err)
	}
	if !strings.Contains(fault.Hint(err), "ENGBLD_ALLOW_FOREIGN=true") {
		t.Errorf("hint %q does not name the way out", fault.Hint(err))
	}
}

// failing is content on a disk that fails from some offset on.
type failing struct {
	head []byte
	size int64
}

func (f failing) Size() int64 { return f.size }

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.head)) {
		return 0, syscall.EIO
	}
	n := copy(p, f.head[off:])
	if n < len(p) {
		return n, syscall.EIO
	}
	return n, nil
}

// What could not be looked at is not illumos's for that.
func TestForeignUnreadable(t *testing.T) {
	t.Parallel()
	for _, c := range []failing{{nil, 4096}, {[]byte("\x7fELF"), 4096}, {[]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00"), 4096}} {
		if why, err := foreign(c); why != "" || err != syscall.EIO {
			t.Errorf("%q: %q, %v", c.head, why, err)
		}
	}
}

// Without the keys an image would get another identity.
func TestKeyringUnreadable(t *testing.T) {
	t.Parallel()
	tree := fstree.New(fstree.Time{})
	if err := tree.Put("/keys", &fstree.Node{Mode: fstree.TypeRegular | 0o644, Content: failing{size: 100}}); err != nil {
		t.Fatal(err)
	}
	p := &portable{root: tree, conf: &pkgdb.Config{KeyringVerify: "/keys"}}
	if err := p.readKeyring(); fault.KindOf(err) != fault.Step {
		t.Error(err)
	}
}
