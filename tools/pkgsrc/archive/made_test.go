package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// member is one member of a package made here.
type member struct {
	name, body, link string
	typeflag         byte // 0: regular
}

// good is a package as it should be; tests spoil copies of it.
func good() []member {
	return []member{
		{name: "+CONTENTS", body: "@cwd /opt/local\n@name demo-1.0\nbin/a\nbin/b\nbin/c\n@ignore\n+COMMENT\n@ignore\n+DESC\n"},
		{name: "+COMMENT", body: "a demo\n"},
		{name: "+DESC", body: "a demo\n"},
		{name: "+BUILD_INFO", body: "OPSYS=SunOS\n"},
		{name: "bin/a", body: "content of a"},
		{name: "bin/b", typeflag: tar.TypeSymlink, link: "../../../etc/passwd"},
		{name: "bin/c", typeflag: tar.TypeLink, link: "bin/a"},
	}
}

func makeTar(t testing.TB, members []member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.body)), Typeflag: tar.TypeReg, Linkname: m.link}
		if m.typeflag != 0 {
			h.Typeflag = m.typeflag
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func arMember(name string, body []byte) []byte {
	if len(name) > 16 {
		body = append([]byte(name), body...)
		name = fmt.Sprintf("#1/%d", len(name))
	}
	b := fmt.Appendf(nil, "%-16s%-12d%-6d%-6d%-8o%-10d`\n%s", name, 0, 0, 0, 0o644, len(body), body)
	if len(body)%2 == 1 {
		b = append(b, '\n')
	}
	return b
}

func hashFile(pkg string, inner []byte, blockSize int) []byte {
	b := fmt.Appendf(nil, "pkgsrc signature\n\nversion: 1\npkgname: %s\nalgorithm: SHA512\nblock size: %d\nfile size: %d\n\n",
		pkg, blockSize, len(inner))
	for block := range slices.Chunk(inner, blockSize) {
		b = fmt.Appendf(b, "%x\n", sha512.Sum512(block))
	}
	return append(b, "end pkgsrc signature\n"...)
}

// newKey makes a key of the modern kind: quick to make, with issuer fingerprints
// in its signatures.
func newKey(t testing.TB, config *packet.Config) *openpgp.Entity {
	t.Helper()
	config.Algorithm = packet.PubKeyAlgoEdDSA
	e, err := openpgp.NewEntity("Test", "", "test@example.invalid", config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func sign(t testing.TB, e *openpgp.Entity, hashes []byte, config *packet.Config) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, e, bytes.NewReader(hashes), config); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func makeSigned(t testing.TB, e *openpgp.Entity, pkg string, inner []byte, blockSize int) []byte {
	t.Helper()
	hashes := hashFile(pkg, inner, blockSize)
	b := append([]byte(arMagic), arMember("+PKG_HASH", hashes)...)
	b = append(b, arMember("+PKG_GPG_SIGNATURE", sign(t, e, hashes, nil))...)
	return append(b, arMember("demo-1.0.tmp.tgz", inner)...)
}

func open(raw []byte, opts Options) (*Package, error) {
	return Open(context.Background(), "demo-1.0.tgz", bytes.NewReader(raw), opts)
}

func TestMadePackage(t *testing.T) {
	t.Parallel()
	p, err := open(makeTar(t, good()), Options{Spool: newSpool(t)})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Files) != 3 || p.Files[1].Linkname != "../../../etc/passwd" || p.Files[2].Type != Hardlink || len(p.Meta) != 4 {
		t.Errorf("%+v", p)
	}
	b, err := io.ReadAll(fstree.NewReader(p.Files[0].Content))
	if string(b) != "content of a" || err != nil {
		t.Errorf("content %q, %v", b, err)
	}
}

// TestLargeHeaders: a header may have a MiB, of which nothing is kept but names.
func TestLargeHeaders(t *testing.T) { // not parallel: it measures
	const n = 30
	large := map[string]string{"comment": strings.Repeat("x", 1_000_000)}
	pack := func(account string) []byte {
		var list, body strings.Builder
		w := tar.NewWriter(&body)
		put := func(h tar.Header, text string) {
			h.Typeflag, h.Mode, h.Size = tar.TypeReg, 0o644, int64(len(text))
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
		}
		list.WriteString("@cwd /opt/local\n@name demo-1.0\n")
		name := func(i int) string { return fmt.Sprintf("%s%d", strings.Repeat("n", 200), i) }
		for i := range n {
			list.WriteString(name(i) + "\n")
		}
		put(tar.Header{Name: "+CONTENTS"}, list.String())
		put(tar.Header{Name: "+COMMENT"}, "a demo\n")
		put(tar.Header{Name: "+DESC"}, "a demo\n")
		for i := range n {
			put(tar.Header{Name: name(i), Uname: account, Gname: account, Format: tar.FormatPAX, PAXRecords: large}, "")
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return []byte(body.String())
	}
	raw := pack(strings.Repeat("u", maxAccount))
	kept := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := kept()
	p, err := open(raw, Options{})
	if err != nil || len(p.Files) != n {
		t.Fatal(err)
	}
	if more := kept() - before; more > 10<<20 {
		t.Errorf("%d files keep %d bytes", n, more)
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(raw)
	if _, err := open(pack(strings.Repeat("u", maxAccount+1)), Options{}); err == nil || !strings.Contains(err.Error(), "owner") {
		t.Errorf("a long owner: %v", err)
	}
}

func TestSpoiledMembers(t *testing.T) {
	t.Parallel()
	contents := good()[0].body
	for name, tt := range map[string]struct {
		spoil func(m []member) []member
		want  string
	}{
		"no metadata":       {func(m []member) []member { return m[4:] }, "no +CONTENTS"},
		"empty":             {func(m []member) []member { return nil }, "no +CONTENTS"},
		"no +DESC":          {func(m []member) []member { return append(m[:2:2], m[4:]...) }, "no +DESC"},
		"+DESC is missing":  {func(m []member) []member { return append(m[:2:2], m[3:]...) }, "+BUILD_INFO where +DESC belongs"},
		"duplicate":         {func(m []member) []member { return slices.Insert(m, 3, m[2]) }, "duplicate entry +DESC, package corrupt"},
		"misordered":        {func(m []member) []member { return slices.Insert(m, 4, member{name: "+INSTALL"}) }, "misordered package: +INSTALL after +BUILD_INFO"},
		"late metadata":     {func(m []member) []member { return append(m, member{name: "+INSTALL"}) }, `"+INSTALL", which is not in the packing list`},
		"unknown metadata":  {func(m []member) []member { return slices.Insert(m, 4, member{name: "+FOO"}) }, "do not match"},
		"left over":         {func(m []member) []member { return append(m, member{name: "bin/d"}) }, `archive holds "bin/d"`},
		"one too few":       {func(m []member) []member { return m[:6] }, `packing list has "bin/c"`},
		"order":             {func(m []member) []member { m[4], m[5] = m[5], m[4]; return m }, "do not match"},
		"escape":            {func(m []member) []member { m[4].name = "../a"; return m }, "leads out"},
		"absolute":          {func(m []member) []member { m[4].name = "/bin/a"; return m }, "leads out"},
		"dot":               {func(m []member) []member { m[4].name = "./bin/a"; return m }, "leads out"},
		"inner escape":      {func(m []member) []member { m[4].name = "bin/../../a"; return m }, "leads out"},
		"directory":         {func(m []member) []member { return slices.Insert(m, 4, member{name: "bin/", typeflag: tar.TypeDir}) }, "leads out"},
		"device":            {func(m []member) []member { m[4] = member{name: "bin/a", typeflag: tar.TypeChar}; return m }, "files and links"},
		"fifo":              {func(m []member) []member { m[4] = member{name: "bin/a", typeflag: tar.TypeFifo}; return m }, "files and links"},
		"hard link outside": {func(m []member) []member { m[6].link = "../../etc/passwd"; return m }, "no earlier member"},
		"hard link forward": {func(m []member) []member {
			m[4], m[6] = member{name: "bin/a", typeflag: tar.TypeLink, link: "bin/c"}, member{name: "bin/c"}
			return m
		}, "no earlier member"},
		"empty link": {func(m []member) []member { m[5].link = ""; return m }, "link target"},
		"metadata as link": {func(m []member) []member {
			m[1] = member{name: "+COMMENT", typeflag: tar.TypeSymlink, link: "x"}
			return m
		}, "+COMMENT is no regular file"},
		"NUL in metadata": {func(m []member) []member { m[2].body = "a\x00b"; return m }, "+DESC has a NUL byte"},
		"large metadata":  {func(m []member) []member { m[2].body = strings.Repeat("x", maxMeta+1); return m }, "+DESC has"},
		"bad list":        {func(m []member) []member { m[0].body = "bin/a\n"; return m }, "before any @cwd"},
		"name with slash": {func(m []member) []member { m[0].body = strings.Replace(contents, "demo-1.0", "../demo", 1); return m }, "package is called"},
		"same file twice": {func(m []member) []member {
			m[0].body = strings.Replace(contents, "bin/b", "bin/a", 1)
			m[5] = m[4]
			return m
		}, "a second member"},
	} {
		_, err := open(makeTar(t, tt.spoil(good())), Options{Spool: newSpool(t)})
		if err == nil || !strings.Contains(err.Error(), tt.want) || fault.KindOf(err) != fault.Step {
			t.Errorf("%s: kind %d, %v; want %q", name, fault.KindOf(err), err, tt.want)
		}
	}
	p, err := open(makeTar(t, slices.Insert(good(), 3, member{name: "+MTREE_DIRS"})), Options{})
	if err != nil || len(p.Warnings) != 1 || len(p.Meta) != 4 {
		t.Errorf("+MTREE_DIRS: %v, %v", p, err)
	}
	if _, err := open(append(makeTar(t, good()), "more"...), Options{}); err == nil || !strings.Contains(err.Error(), "something follows") {
		t.Errorf("bytes behind the end: %v", err)
	}
}

func TestSignedForms(t *testing.T) {
	t.Parallel()
	key := newKey(t, &packet.Config{})
	opts := Options{Keyring: openpgp.EntityList{newKey(t, &packet.Config{}), key}, Policy: Always}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(makeTar(t, good()))
	z.Close()
	noise := make([]byte, 300_000) // does not compress: several blocks
	rand.NewChaCha8([32]byte{}).Read(noise)
	large := good()
	large[4].body = string(noise)
	exact := makeTar(t, good())
	for name, inner := range map[string][]byte{"plain": exact, "gzip": zipped.Bytes(), "several blocks": makeTar(t, large)} {
		for _, size := range []int{1024, 65536} {
			if p, err := open(makeSigned(t, key, "demo-1.0", inner, size), opts); err != nil || !p.Signed {
				t.Errorf("%s, blocks of %d: %v", name, size, err)
			}
		}
	}
	if len(exact)%1024 != 0 {
		t.Errorf("no test of a size that is a multiple of the block size: %d", len(exact))
	}
	spoiled := makeSigned(t, key, "demo-1.0", makeTar(t, large), 65536)
	spoiled[len(spoiled)-100_000] ^= 1
	if _, err := open(spoiled, opts); fault.KindOf(err) != fault.Policy || !strings.Contains(err.Error(), "invalid signature of block") {
		t.Errorf("changed block: kind %d, %v", fault.KindOf(err), err)
	}
}

func TestSpoiledContainers(t *testing.T) {
	t.Parallel()
	key := newKey(t, &packet.Config{})
	opts := Options{Keyring: openpgp.EntityList{key}}
	inner := makeTar(t, good())
	hashes := hashFile("demo-1.0", inner, 65536)
	sig := sign(t, key, hashes, nil)
	join := func(parts ...[]byte) []byte { return bytes.Join(append([][]byte{[]byte(arMagic)}, parts...), nil) }
	h, s, p := arMember("+PKG_HASH", hashes), arMember("+PKG_GPG_SIGNATURE", sig), arMember("x", inner)
	resigned := func(old, new string) []byte {
		changed := bytes.Replace(hashes, []byte(old), []byte(new), 1)
		return join(arMember("+PKG_HASH", changed), arMember("+PKG_GPG_SIGNATURE", sign(t, key, changed, nil)), p)
	}
	if _, err := open(join(arMember("//", []byte("a/\nb/\n")), h, s, p), opts); err != nil {
		t.Errorf("name table: %v", err)
	}
	for name, tt := range map[string]struct {
		raw  []byte
		kind fault.Kind
		want string
	}{
		"nothing in it":      {join(), fault.Step, "cut short"},
		"no hashes":          {join(s, p), fault.Step, "where +PKG_HASH belongs"},
		"no signature":       {join(h, p), fault.Step, "where +PKG_GPG_SIGNATURE belongs"},
		"X.509":              {join(h, arMember("+PKG_SIGNATURE", sig), p), fault.Policy, "X.509"},
		"no package":         {join(h, s), fault.Step, "cut short"},
		"extra member":       {join(h, s, p, p), fault.Step, "behind the package"},
		"garbage header":     {join(h, s, p, []byte(strings.Repeat("x", 60))), fault.Step, "bad member header"},
		"other package":      {join(h, s, arMember("x", inner[:len(inner)-512])), fault.Policy, "its signature is for"},
		"huge long name":     {join([]byte(fmt.Sprintf("%-16s%-32s%-10d`\n", "#1/999999", "0", 9999999))), fault.Step, "bad member name"},
		"empty signature":    {join(h, arMember("+PKG_GPG_SIGNATURE", nil), p), fault.Policy, "reading the signature"},
		"not a signature":    {join(h, arMember("+PKG_GPG_SIGNATURE", []byte(strings.ReplaceAll(string(sig), "SIGNATURE", "MESSAGE"))), p), fault.Policy, "reading the signature"},
		"hashes changed":     {join(arMember("+PKG_HASH", bytes.Replace(hashes, []byte("demo"), []byte("memo"), 1)), s, p), fault.Policy, "bad signature by key"},
		"other name":         {resigned("demo", "memo"), fault.Policy, "signature is for memo-1.0"},
		"version 2":          {resigned("version: 1", "version: 2"), fault.Step, "line 3"},
		"tiny blocks":        {resigned("size: 65536", "size: 512"), fault.Step, "block size 512"},
		"huge blocks":        {resigned("size: 65536", "size: 99999999999"), fault.Step, "block size"},
		"more blocks":        {resigned("size: 65536", "size: 1024"), fault.Step, "too few hashes"},
		"upper case hash":    {resigned("SHA512\nblock size: 65536", "sha512\nblock size: 65536"), fault.Step, "line 5"},
		"name with blank":    {resigned("demo-1.0", "demo 1.0"), fault.Step, "pkgname"},
		"something follows":  {resigned("end pkgsrc signature\n", "end pkgsrc signature\n\n"), fault.Step, "behind its end"},
		"number with a zero": {resigned("block size: 6", "block size: 06"), fault.Step, "line 6"},
	} {
		_, err := open(tt.raw, opts)
		if err == nil || fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: kind %d, %v; want kind %d, %q", name, fault.KindOf(err), err, tt.kind, tt.want)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	at := func(year int) *packet.Config {
		return &packet.Config{Time: func() time.Time { return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC) }}
	}
	text := []byte("signed text")
	verify := func(e *openpgp.Entity, sig []byte) error { return VerifyArmored(openpgp.EntityList{e}, text, sig) }

	short := at(2015)
	short.KeyLifetimeSecs = 365 * 86400
	expired := newKey(t, short)
	if err := verify(expired, sign(t, expired, text, at(2015))); err != nil {
		t.Errorf("key that has expired since: %v", err)
	}

	withSubkey := newKey(t, at(2015))
	if err := withSubkey.AddSigningSubkey(at(2015)); err != nil {
		t.Fatal(err)
	}
	if err := verify(withSubkey, sign(t, withSubkey, text, at(2016))); err != nil {
		t.Errorf("signing subkey: %v", err)
	}

	revoked := newKey(t, at(2015))
	sig := sign(t, revoked, text, at(2016))
	if err := revoked.RevokeKey(packet.KeyCompromised, "", at(2017)); err != nil {
		t.Fatal(err)
	}
	if err := verify(revoked, sig); err == nil || !strings.Contains(err.Error(), "is revoked") {
		t.Errorf("revoked key: %v", err)
	}

	replaced := newKey(t, at(2015))
	before, after := sign(t, replaced, text, at(2016)), sign(t, replaced, text, at(2018))
	if err := replaced.RevokeKey(packet.KeySuperseded, "", at(2017)); err != nil {
		t.Fatal(err)
	}
	if err := verify(replaced, before); err != nil {
		t.Errorf("signed before the key was replaced: %v", err)
	}
	if err := verify(replaced, after); err == nil || !strings.Contains(err.Error(), "is revoked") {
		t.Errorf("signed after the key was replaced: %v", err)
	}

	other := newKey(t, at(2015))
	if err := verify(other, sig); err == nil || !strings.Contains(err.Error(), "not found") || fault.Hint(err) == "" {
		t.Errorf("unknown key: %v", err)
	}
	if err := VerifyArmored(openpgp.EntityList{expired}, []byte("other text"), sign(t, expired, text, at(2015))); err == nil {
		t.Error("another text verifies")
	}

	// The first of two signatures is by an unknown key, the second counts.
	var both bytes.Buffer
	for _, e := range []*openpgp.Entity{other, expired} {
		if err := openpgp.DetachSign(&both, e, bytes.NewReader(text), at(2015)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Verify(openpgp.EntityList{expired}, text, &both); err != nil {
		t.Errorf("two signatures: %v", err)
	}
}

func TestSpoolIsFull(t *testing.T) {
	t.Parallel()
	s := newSpool(t)
	s.Close()
	_, err := open(makeTar(t, good()), Options{Spool: s})
	if fault.KindOf(err) != fault.Step || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("kind %d, %v", fault.KindOf(err), err)
	}
}
