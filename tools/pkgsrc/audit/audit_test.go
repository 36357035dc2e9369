package audit

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha512"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/archive"
)

const fixture = "../testdata/fixture/"

func read(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(fixture + name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func keys(t testing.TB) openpgp.EntityList {
	t.Helper()
	k, err := archive.ReadKeyring(read(t, "keys/fixture.gpg"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// installed returns the packages of a pkg_info recording.
func installed(t *testing.T, name string) (pkgs []string) {
	t.Helper()
	for line := range strings.Lines(string(read(t, name))) {
		pkgs = append(pkgs, strings.Fields(line)[0])
	}
	return pkgs
}

func lines(found []Finding) string {
	var out []string
	for _, f := range found {
		out = append(out, f.String()+"\n")
	}
	slices.Sort(out)
	return strings.Join(out, "")
}

// TestAsRecorded compares with the output of pkg_admin 20170419 on the states
// that the fixture's README describes.
func TestAsRecorded(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"pkg-vulnerabilities", "pkg-vulnerabilities.gz", "pkg-vulnerabilities.plain"} {
		l, err := Parse(t.Context(), read(t, "vulns/"+file), ParseOptions{})
		if err != nil || len(l.Warnings) > 0 || l.Verified {
			t.Fatalf("%s: %v, %+v", file, err, l)
		}
		for _, state := range []string{"2015Q4", "2024Q4"} {
			pkgs := installed(t, "expected/install-"+state+".pkg_info")
			want := string(read(t, "expected/audit-"+state+".stdout"))
			found, err := l.Audit(t.Context(), pkgs, Options{EOLPage: "<EOL-PAGE>"})
			if err != nil || lines(found) != want {
				t.Errorf("%s, %s: %v\n%s\nwant\n%s", file, state, err, lines(found), want)
			}
			found, err = l.Audit(t.Context(), pkgs, Options{EOLPage: "<EOL-PAGE>", IgnoreURLs: []string{"https://example.invalid/adv/0010"}})
			var kept strings.Builder
			for line := range strings.Lines(want) {
				if !strings.Contains(line, "Package gsed") {
					kept.WriteString(line)
				}
			}
			if err != nil || lines(found) != kept.String() {
				t.Errorf("IGNORE_URL: %v\n%s", err, lines(found))
			}
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	l, err := Parse(t.Context(), read(t, "vulns/pkg-vulnerabilities"), ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pkgs := installed(t, "expected/install-2024Q4.pkg_info")
	for name, tt := range map[string]struct {
		opts Options
		want string
	}{
		"class":    {Options{Class: "security-bypass"}, "sudo-1.9.16p2nb1"},
		"no eol":   {Options{SkipEOL: true, Class: "eol"}, ""},
		"eol":      {Options{Class: "eol"}, "mozilla-rootcerts-openssl-2.16"},
		"patterns": {Options{Patterns: []string{"openssl", "patch<3"}}, "openssl-3.3.2 patch-2.7.6nb1"},
	} {
		found, err := l.Audit(t.Context(), pkgs, tt.opts)
		var got []string
		for _, f := range found {
			got = append(got, f.Package)
		}
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tt.want)
		}
	}
	if _, err := l.Audit(t.Context(), pkgs, Options{Patterns: []string{"{"}}); fault.KindOf(err) != fault.Usage {
		t.Errorf("a bad pattern: %v, kind %d", err, fault.KindOf(err))
	}
	bad := &List{Entries: []Vulnerability{{"{openssl", "dos", "http://h/1"}}}
	if _, err := bad.Audit(t.Context(), pkgs, Options{}); fault.KindOf(err) != fault.Network {
		t.Errorf("a bad pattern in the list: %v, kind %d", err, fault.KindOf(err))
	}
	if found, err := l.Audit(t.Context(), nil, Options{}); len(found) != 0 || err != nil {
		t.Errorf("no packages: %v, %v", found, err)
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	check := ParseOptions{CheckSignature: true, Keyring: keys(t)}
	signed := read(t, "vulns/pkg-vulnerabilities")
	for _, raw := range [][]byte{signed, read(t, "vulns/pkg-vulnerabilities.gz")} {
		if l, err := Parse(t.Context(), raw, check); err != nil || !l.Verified {
			t.Errorf("%v", err)
		}
	}
	comment := bytes.Replace(signed, []byte("Made-up entries"), []byte("Made-up-entries"), 1)
	for name, tt := range map[string]struct {
		raw  []byte
		opts ParseOptions
		want string
	}{
		"plain":        {read(t, "vulns/pkg-vulnerabilities.plain"), check, "not signed"},
		"no keyring":   {signed, ParseOptions{CheckSignature: true, KeyringErr: errors.New("no such file")}, "no such file"},
		"unknown key":  {signed, ParseOptions{CheckSignature: true}, "not found in the keyring"},
		"changed":      {comment, check, "bad signature"},
		"text before":  {append([]byte("#FORMAT 1.1.0\na b c\n"), signed...), check, "outside of what is signed"},
		"text after":   {append(signed[:len(signed):len(signed)], "x y z\n"...), check, "outside of what is signed"},
		"no signature": {signed[:bytes.Index(signed, []byte(pgpEnd))], check, "not signed"},
	} {
		_, err := Parse(t.Context(), tt.raw, tt.opts)
		if fault.KindOf(err) != fault.Policy || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: kind %d, %v; want %q", name, fault.KindOf(err), err, tt.want)
		}
	}
	// Who does not ask gets the list, as from the genuine tool; the checksum holds.
	if _, err := Parse(t.Context(), comment, ParseOptions{}); err == nil || !strings.Contains(err.Error(), "hash doesn't match") {
		t.Errorf("a changed comment: %v", err)
	}
}

// list makes a list with good checksums.
func list(body string) string {
	summed := "#\n" + format + "\n" + strings.ReplaceAll(body, "\n\n", "\n")
	return "# $NetBSD$\n#\n" + format + "\n" +
		fmt.Sprintf("#CHECKSUM SHA1 %x\n#CHECKSUM SHA512 %X\n", sha1.Sum([]byte(summed)), sha512.Sum512([]byte(summed))) + body
}

func TestParse(t *testing.T) {
	t.Parallel()
	l, err := Parse(t.Context(), []byte(list("#FOO bar\nfoo<1 \t dos  http://h/1 more text\n\n#comment\nbar-[0-9]* eol http://h/2\n")), ParseOptions{})
	if err != nil || len(l.Entries) != 2 || l.Entries[0] != (Vulnerability{"foo<1", "dos", "http://h/1"}) {
		t.Fatalf("%+v, %v", l, err)
	}
	l, err = Parse(t.Context(), []byte(format+"\n#CHECKSUM RMD160 abc\n"), ParseOptions{})
	if err != nil || len(l.Warnings) != 1 || len(l.Entries) != 0 {
		t.Errorf("unknown checksum: %+v, %v", l, err)
	}
	for name, tt := range map[string]struct{ in, want string }{
		"empty":          {"", "cut short"},
		"no newline":     {format + "\na b c", "cut short"},
		"NUL":            {format + "\n\x00\n", "NUL"},
		"no format":      {"# $NetBSD$\n\n# \t\n", "ends before"},
		"other format":   {"#FORMAT 1.2.0\n", "header is malformed: line 1"},
		"more format":    {"#FORMAT 1.1.0.1\n", "header is malformed"},
		"late start":     {"\n" + pgpStart + "\n" + format + "\n", "header is malformed: line 2"},
		"comment first":  {"# text\n" + format + "\n", "header is malformed"},
		"two fields":     {format + "\nfoo<1 dos\n", "line 2"},
		"bad pattern":    {format + "\n{foo<1 dos http://h\n", "braces"},
		"bad checksum":   {format + "\n#CHECKSUM SHA1\n", "no checksum"},
		"two checksums":  {format + "\n#CHECKSUM SHA1 a\n#CHECKSUM SHA1 b\n", "second SHA1"},
		"wrong checksum": {format + "\n#CHECKSUM SHA1 a\n", "SHA1 hash doesn't match"},
		"long line":      {format + "\n" + strings.Repeat("x", maxLine+1) + "\n", "line 2"},
	} {
		if _, err := Parse(t.Context(), []byte(tt.in), ParseOptions{}); fault.KindOf(err) != fault.Network || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: kind %d, %v; want %q", name, fault.KindOf(err), err, tt.want)
		}
	}
	if _, err := Parse(t.Context(), read(t, "vulns/pkg-vulnerabilities.badsum"), ParseOptions{}); err == nil || !strings.Contains(err.Error(), "SHA1 hash doesn't match") {
		t.Errorf("badsum: %v", err)
	}
	gz := read(t, "vulns/pkg-vulnerabilities.gz")
	if _, err := Parse(t.Context(), gz[:len(gz)-20], ParseOptions{}); err == nil {
		t.Error("a cut file was taken")
	}
}

// heavy is a pattern with many alternatives, each with a [ that is never closed.
func heavy(alternatives, length int) string {
	return "{" + strings.Repeat(",", alternatives) + "}*[" + strings.Repeat("a", length)
}

// TestParseBounds gives lists whose patterns take long, or that are full of what
// is only warned of.
func TestParseBounds(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	ordinary := strings.Repeat("{foo,bar}-{lib,client,server,doc}{,-devel}>=1.0<1.2.3nb4 dos http://h/1\n*x-[0-9]* dos http://h/2\n", 15000)
	for _, tt := range []struct {
		name, body, want string
		ctx              context.Context
		entries          int
	}{
		{"ordinary", ordinary, "", t.Context(), 30000},
		{"long pattern", "{" + strings.Repeat("foo,", 300) + "bar}-[0-9]* dos http://h/1\n", "", t.Context(), 1},
		{"within", heavy(50, 500) + " x http://y\n", "", t.Context(), 1},
		{"many alternatives", heavy(900, 100) + " x http://y\n", "", t.Context(), 1},
		{"beyond in all", strings.Repeat(heavy(200, 600)+" x http://y\n", 5000), "over 33554432 steps", t.Context(), 0},
		{"interrupted", ordinary, context.Canceled.Error(), canceled, 0},
	} {
		l, err := Parse(tt.ctx, []byte(format+"\n"+tt.body), ParseOptions{})
		if tt.want == "" && (err != nil || len(l.Entries) != tt.entries) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	l, err := Parse(t.Context(), []byte(format+"\n"+strings.Repeat("#CHECKSUM x y\n", 100000)), ParseOptions{})
	if err != nil || len(l.Warnings) != maxWarnings+1 || l.Warnings[maxWarnings] != "and 99900 more such lines" {
		t.Errorf("%v, %d warnings", err, len(l.Warnings))
	}
}

func TestAuditBounds(t *testing.T) {
	t.Parallel()
	all := &List{Entries: slices.Repeat([]Vulnerability{{"*", "dos", "http://h/1"}}, 1000)}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := all.Audit(canceled, []string{"a-1"}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if found, err := all.Audit(t.Context(), slices.Repeat([]string{"a-1"}, 131), Options{}); err != nil || len(found) != 131000 {
		t.Errorf("many findings: %d, %v", len(found), err)
	}
	if _, err := all.Audit(t.Context(), slices.Repeat([]string{"a-1"}, 132), Options{}); err == nil || !strings.Contains(err.Error(), "over 131072 findings") {
		t.Errorf("too many findings: %v", err)
	}
	slow := &List{Entries: slices.Repeat([]Vulnerability{{"*" + strings.Repeat("a", 500), "dos", "http://h/1"}}, 5000)}
	name := strings.Repeat("a", 450) + "-1"
	if _, err := slow.Audit(t.Context(), []string{name}, Options{}); err == nil || !strings.Contains(err.Error(), "over 33554432 steps") {
		t.Errorf("long matching: %v", err)
	}
}

// FuzzParse checks that what is taken can be used for an audit.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"", ".gz", ".plain", ".badsum"} {
		f.Add(read(f, "vulns/pkg-vulnerabilities"+name))
	}
	f.Add([]byte(format + "\n" + heavy(3, 20) + " x http://y\n#CHECKSUM x y\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := Parse(t.Context(), raw, ParseOptions{})
		if err != nil {
			return
		}
		found, _ := l.Audit(t.Context(), []string{"openssl-3.3.2", "x"}, Options{})
		for _, v := range found {
			if strings.Contains(v.String(), "\n") {
				t.Errorf("%q", v)
			}
		}
	})
}
