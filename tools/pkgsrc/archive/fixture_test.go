package archive

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

const fixture = "../testdata/fixture/"

func fixtureKeys(t testing.TB) openpgp.EntityList {
	t.Helper()
	raw, err := os.ReadFile(fixture + "keys/fixture.gpg")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ReadKeyring(raw)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newSpool(t testing.TB) *fstree.Spool {
	t.Helper()
	s, err := fstree.NewSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openFixture(t testing.TB, path string, opts Options) (*Package, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return Open(context.Background(), filepath.Base(path), f, opts)
}

// spoiled are the packages made to be refused, with what is said of them; what
// the genuine tool says is in expected/messages.txt.
var spoiled = map[string]struct {
	kind fault.Kind
	want string
}{
	"otherkey-1.0":  {fault.Policy, "unable to verify signature: key id 49b7e87a773c8c86 not found"},
	"badsig-1.0":    {fault.Policy, "invalid signature of block 0"},
	"truncated-1.0": {fault.Step, "cut short"},
	"misorder-1.0":  {fault.Step, `packing list and archive do not match ("share/misorder/a.txt" and "share/misorder/b.txt")`},
}

func TestEveryFixturePackage(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(fixture + "SmartOS/*/*/All/*.tgz")
	if err != nil || len(paths) < 60 {
		t.Fatalf("%d packages, %v", len(paths), err)
	}
	opts := Options{Keyring: fixtureKeys(t), Spool: newSpool(t)}
	signed := 0
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".tgz")
		p, err := openFixture(t, path, opts)
		if bad, ok := spoiled[name]; ok {
			if err == nil || fault.KindOf(err) != bad.kind || !strings.Contains(err.Error(), bad.want) {
				t.Errorf("%s: kind %d, %v; want kind %d, %q", name, fault.KindOf(err), err, bad.kind, bad.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Name != name || p.Plist.Prefix() != "/opt/local" || len(p.Warnings) > 0 {
			t.Errorf("%s calls itself %q, prefix %q, warnings %q", name, p.Name, p.Plist.Prefix(), p.Warnings)
		}
		if st, _ := os.Stat(path); p.Size != st.Size() {
			t.Errorf("%s: size %d, want %d", name, p.Size, st.Size())
		}
		if p.Signed {
			signed++
		}
		checkFiles(t, p)
	}
	if signed < 25 {
		t.Errorf("only %d packages were signed", signed)
	}
}

// checkFiles compares all files with the packing list's records.
func checkFiles(t *testing.T, p *Package) {
	t.Helper()
	if len(p.Files) != len(p.Plist.Files()) {
		t.Errorf("%s: %d files, %d listed", p.Name, len(p.Files), len(p.Plist.Files()))
	}
	for _, f := range p.Files {
		e := p.Plist.Entries[f.Entry]
		switch {
		case f.Name != e.Arg:
			t.Errorf("%s: %s stands for entry %q", p.Name, f.Name, e.Arg)
		case f.Type == Symlink && f.Linkname != e.Symlink:
			t.Errorf("%s: %s -> %q, want %q", p.Name, f.Name, f.Linkname, e.Symlink)
		case f.Type == Regular:
			h := md5.New()
			if _, err := io.Copy(h, fstree.NewReader(f.Content)); err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(h.Sum(nil)); got != e.MD5 != (p.Name == "badmd5-1.0") {
				t.Errorf("%s: %s has MD5 %s, recorded is %s", p.Name, f.Name, got, e.MD5)
			}
		}
	}
}

func TestHeaderFacts(t *testing.T) {
	t.Parallel()
	opts := Options{Keyring: fixtureKeys(t), Spool: newSpool(t), Policy: Always}
	p, err := openFixture(t, fixture+"SmartOS/2024Q4/x86_64/All/execdemo-1.0.tgz", opts)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]File{}
	for _, f := range p.Files {
		byName[f.Name] = f
	}
	if f := byName["share/execdemo/two.txt"]; f.Uname != "nobody" || f.Gname != "daemon" || f.Mode != 0o644 {
		t.Errorf("two.txt: %+v", f)
	}
	if f := byName["bin/execdemo"]; f.Mode != 0o755 || f.UID != 0 || f.MTime.Sec != 1736121600 {
		t.Errorf("execdemo: %+v", f)
	}
	p, err = openFixture(t, fixture+"SmartOS/2024Q4/x86_64/All/coreutils-9.5nb1.tgz", opts)
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, f := range p.Files {
		if f.Type == Hardlink && f.Name == "bin/gdir" {
			links++
		}
	}
	if links != 1 {
		t.Error("bin/gdir is no hard link")
	}
	if c, ok := p.Lookup("+COMMENT"); !ok || len(c) == 0 {
		t.Error("no +COMMENT")
	}
	if _, ok := p.Lookup("+PRESERVE"); ok {
		t.Error("a +PRESERVE from nowhere")
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	const (
		unsigned = fixture + "SmartOS/2024Q4/x86_64/All/badsize-1.0.tgz"
		signed   = fixture + "SmartOS/2024Q4/x86_64/All/patch-2.7.6nb1.tgz"
	)
	yes := func(string, bool) bool { return true }
	for _, tt := range []struct {
		policy  Policy
		confirm func(string, bool) bool
		path    string
		ok      bool
	}{
		{Never, nil, unsigned, true}, {Never, nil, signed, true},
		{Always, yes, unsigned, false}, {Always, nil, signed, true},
		{Trusted, nil, unsigned, false}, {Trusted, yes, unsigned, true}, {Trusted, nil, signed, true},
		{Interactive, nil, unsigned, false}, {Interactive, nil, signed, false}, {Interactive, yes, signed, true},
	} {
		_, err := openFixture(t, tt.path, Options{Keyring: fixtureKeys(t), Policy: tt.policy, Confirm: tt.confirm})
		if (err == nil) != tt.ok || (err != nil && fault.KindOf(err) != fault.Policy) {
			t.Errorf("%s, %s: kind %d, %v", tt.policy, filepath.Base(tt.path), fault.KindOf(err), err)
		}
	}
}

func TestNoKeyring(t *testing.T) {
	t.Parallel()
	const signed = fixture + "SmartOS/2024Q4/x86_64/All/patch-2.7.6nb1.tgz"
	for _, opts := range []Options{{}, {KeyringErr: errors.New("no such file")}} {
		if _, err := openFixture(t, signed, opts); fault.KindOf(err) != fault.Policy {
			t.Errorf("kind %d, %v", fault.KindOf(err), err)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Policy{"": Never, "ALWAYS": Always, "Trusted": Trusted, "interactive": Interactive} {
		if got, err := ParsePolicy(in); got != want || err != nil {
			t.Errorf("ParsePolicy(%q) = %v, %v", in, got, err)
		}
	}
	if _, err := ParsePolicy("sometimes"); fault.KindOf(err) != fault.Usage {
		t.Errorf("ParsePolicy took nonsense: %v", err)
	}
}

func TestReadKeyring(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"fixture.gpg", "fixture.asc"} {
		raw, err := os.ReadFile(fixture + "keys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := ReadKeyring(raw); err != nil || len(keys) != 1 || keys[0].PrimaryKey.KeyId != 0xef41ef0dc19daf36 {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
		if _, err := ReadKeyring(raw[:100]); err == nil {
			t.Errorf("%s: cut short, but taken", name)
		}
	}
	for _, raw := range []string{"", " \n", "nonsense", "-----BEGIN x"} {
		if _, err := ReadKeyring([]byte(raw)); err == nil || !strings.Contains(err.Error(), "cannot read keyring") {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

// TestEveryFlippedByteIsFound changes each byte of a signed package in turn. What
// is taken all the same must be the same package: header fields of the container
// that mean nothing, and its last padding byte.
func TestEveryFlippedByteIsFound(t *testing.T) {
	t.Parallel()
	const path = fixture + "SmartOS/2024Q4/x86_64/All/curl-8.11.1.tgz"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	inner := strings.Index(string(raw), "curl-8.11.1.tmp.tgz") + arHeaderSize
	step := 1
	if testing.Short() {
		step = 17
	}
	keys := fixtureKeys(t)
	for i := inner % step; i < len(raw); i += step {
		raw[i] ^= 0x20
		p, err := Open(context.Background(), "x", strings.NewReader(string(raw)), Options{Keyring: keys})
		raw[i] ^= 0x20
		if err == nil && i < len(raw)-1 && (i >= inner || p.Name != "curl-8.11.1" || !p.Signed) {
			t.Errorf("byte %d is changed and nobody sees it", i)
		}
	}
}

func TestEveryCutIsFound(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"curl-8.11.1", "badmd5-1.0"} { // signed and xz, plain and gzip
		raw, err := os.ReadFile(fixture + "SmartOS/2024Q4/x86_64/All/" + name + ".tgz")
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(raw) {
			_, err := Open(context.Background(), "x", strings.NewReader(string(raw[:i])), Options{Keyring: fixtureKeys(t)})
			if err == nil && len(raw)-i > 1 { // the container's last padding byte may be missing
				t.Errorf("%s cut to %d of %d bytes is taken", name, i, len(raw))
			}
		}
	}
}

func TestSourceErrorsPass(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(fixture + "SmartOS/2024Q4/x86_64/All/curl-8.11.1.tgz")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk on fire")
	r := io.MultiReader(strings.NewReader(string(raw[:1900])), iotest.ErrReader(broken))
	if _, err := Open(context.Background(), "x", r, Options{Keyring: fixtureKeys(t)}); !errors.Is(err, broken) {
		t.Errorf("error of the source became %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, "x", strings.NewReader(string(raw)), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
