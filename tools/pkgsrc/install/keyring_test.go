package install

import (
	"strings"
	"syscall"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// unreadable is content on a disk that fails.
type unreadable int64

func (u unreadable) Size() int64                       { return int64(u) }
func (u unreadable) ReadAt([]byte, int64) (int, error) { return 0, syscall.EIO }

func TestKeyring(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	put := func(path string, c fstree.Content) {
		r.must(r.tree.Put(path, &fstree.Node{Mode: fstree.TypeRegular | 0o644, Content: c}))
	}
	put("/text", fstree.Bytes([]byte("no keys")))
	put("/large", unreadable(1<<40))
	put("/broken", unreadable(1000))
	for file, want := range map[string]string{"/opt/local/etc/gnupg/pkgsrc.gpg": "", "/text": "keyring", "/large": "/large", "/none": "/none", "/etc": "/etc"} {
		keys, why, err := Keyring(r.tree, file)
		if err != nil || (why == nil) != (want == "") || (len(keys) == 1) != (want == "") || why != nil && !strings.Contains(why.Error(), want) {
			t.Errorf("%s: %d keys, %v, %v", file, len(keys), why, err)
		}
	}
	if _, why, err := Keyring(r.tree, "/broken"); why != nil || fault.KindOf(err) != fault.Step {
		t.Errorf("/broken: %v, %v", why, err)
	}
}

// What cannot be read is not taken for another content: the file would stay
// where it should go.
func TestSameUnreadable(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"/opt/local/etc/x", "/opt/local/share/x"} {
		r := newRig(t)
		for _, dir := range []string{"/opt/local/share", "/opt/local/etc"} {
			r.must(r.tree.MkdirAll(dir, 0o755))
		}
		r.must(r.tree.WriteFile("/opt/local/share/x", []byte("same"), 0o644))
		in := r.installer(repo2024)
		o := lines("demo-1", "# FILE: etc/x c share/x")
		r.must(in.preInstall(o))
		r.must(in.postInstall(o))
		n, err := r.tree.Stat(broken)
		r.must(err)
		n.Content = unreadable(n.Size())
		if err := in.deinstall(o); fault.KindOf(err) != fault.Step {
			t.Errorf("%s: %v", broken, err)
		}
	}
}
