package redact

import (
	"os/exec"
	"strings"
	"testing"
)

// Repository "" is as address.
func addresses() []struct{ in, address, repository string } {
	return []struct{ in, address, repository string }{
		{"", "", ""},
		{"https://example.invalid/x.git", "https://example.invalid/x.git", ""},
		{"https://example.invalid:8080/a%20b/", "https://example.invalid:8080/a%20b/", ""},
		{"https://example.invalid/@scope/x", "https://example.invalid/@scope/x", ""},
		{"http://[::1]:80/x", "http://[::1]:80/x", ""},
		{"http://[::1]/x", "http://[::1]/x", ""},
		{"https://ci:s3cret@example.invalid/x", "https://example.invalid/x", ""},
		{"https://s3cret@example.invalid/x", "https://example.invalid/x", ""},
		{"HTTPS://s3cret@example.invalid", "HTTPS://example.invalid", ""},
		{"https://ci:tok^s3cret@example.invalid/x.git", "https://example.invalid/x.git", ""},
		{"https://ci:100%s3cret@example.invalid/x.git", "https://example.invalid/x.git", ""},
		{"https://ci:s3cret\x7f@example.invalid/x", "https://example.invalid/x", ""},
		{"https://ci:s3cret@s3cret@example.invalid/x", "https://example.invalid/x", ""},
		{"https://ci:s3cret/s3cret@example.invalid/x", "https://example.invalid/x", ""},
		{"https://ci:p@s3cret/s3cret@example.invalid/x", "https://example.invalid/x", ""},
		{"https://ci:p?s3cret#s3cret@example.invalid/x", "https://...", ""},
		{"https://ci:s3cret@example.invalid/x?mail=a@s3cret", "https://example.invalid/x", ""},
		{"https://ci:s3cret@example.invalid:bad/x?mail=a@s3cret", "https://...", ""},
		{"ci:s3cret@example.invalid/x?mail=a@s3cret", "example.invalid/x", ""},
		{"git@example.invalid:x?mail=a@s3cret", "...", ""},
		{"https://ci:s3cret@[::1]:80/x", "https://[::1]:80/x", ""},
		{"https://ci:s3cret", "https://ci:...", ""},
		{"http://u:s3cret@h:bad/x", "http://h:.../x", ""},
		{"https://example.invalid/x.git?private_token=s3cret", "https://example.invalid/x.git", ""},
		{"https://example.invalid/x?pwd=s3cret&code=s3cret", "https://example.invalid/x", ""},
		{"https://example.invalid/x?s3cret=", "https://example.invalid/x", ""},
		{"https://example.invalid?s3cret", "https://example.invalid", ""},
		{"https://example.invalid/x?mail=a@s3cret", "https://example.invalid/x", ""},
		{"https://example.invalid/x#s3cret", "https://example.invalid/x", ""},
		{"https://ci:s3cret@example.invalid/x?X-Amz-Signature=s3cret&a=b#s3cret", "https://example.invalid/x", ""},
		{"https:ci:s3cret@example.invalid/x", "example.invalid/x", ""},
		{` https:\\ci:s3cret@example.invalid/x`, "example.invalid/x", ""},
		{"ci:s3cret@example.invalid/x", "example.invalid/x", ""},
		{"ci:s3cret/s3cret@example.invalid/x", "example.invalid/x", ""},
		{"ci:s3cret@example.invalid/x://y", "example.invalid/x://y", ""},
		{"ci:s3cret@example.invalid:x/y", "example.invalid:x/y", ""},
		{"s3cret@example.invalid/x", "example.invalid/x", ""},
		{"example.invalid/x?s3cret", "example.invalid/x", ""},
		{"//ci:s3cret@example.invalid/x", "//example.invalid/x", ""},
		{"git::https://ci:s3cret@example.invalid/x", "example.invalid/x", ""},
		{"example.invalid:x/y.git", "example.invalid:x/y.git", ""},
		{"git@example.invalid:x/y.git", "example.invalid:x/y.git", "git@example.invalid:x/y.git"},
		{"ssh://git@example.invalid:22/x", "ssh://example.invalid:22/x", "ssh://git@example.invalid:22/x"},
		{"ssh://git:s3cret@example.invalid/x?s3cret", "ssh://example.invalid/x", "ssh://git@example.invalid/x"},
		{"git+ssh://git:s3cret@example.invalid/x", "git+ssh://example.invalid/x", "git+ssh://git@example.invalid/x"},
		{"ssh://git:s3cret/s3cret@example.invalid/x", "ssh://example.invalid/x", "ssh://git@example.invalid/x"},
		{"file:///a@b/c", "file:///a@b/c", ""},
		{"/some/a b@c?d#e", "/some/a b@c?d#e", ""},
		{"../a@b", "../a@b", ""},
		{"dist/agents", "dist/agents", ""},
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, c := range addresses() {
		if c.repository == "" {
			c.repository = c.address
		}
		if got := Address(c.in); got != c.address {
			t.Errorf("Address(%q) = %q, want %q", c.in, got, c.address)
		}
		if got := Repository(c.in); got != c.repository {
			t.Errorf("Repository(%q) = %q, want %q", c.in, got, c.repository)
		}
	}
}

// The scripts' function cuts what ours does.
func TestScript(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"dash", "ksh93", "ksh", "bash", "sh"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			var in, want strings.Builder
			for _, c := range addresses() {
				in.WriteString(c.in + "\n")
				want.WriteString(c.address + "\n")
			}
			cmd := exec.Command(path, "-c", `. ../redact.sh && while IFS= read -r a; do public "$a"; done`)
			cmd.Stdin = strings.NewReader(in.String())
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			got, lines := strings.Split(string(out), "\n"), strings.Split(want.String(), "\n")
			for i := range min(len(got), len(lines)) {
				if got[i] != lines[i] {
					t.Errorf("%q gives %q, want %q", addresses()[i].in, got[i], lines[i])
				}
			}
			if len(got) != len(lines) {
				t.Errorf("%d lines, want %d", len(got), len(lines))
			}
		})
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                   "",
		"no address: a@b c:": "no address: a@b c:",
		"fatal: unable to access 'https://ci:s3cret@h.invalid/x?t=s3cret': no":    "fatal: unable to access 'https://h.invalid/x': no",
		"see https://h.invalid/x, or (ftp://u:s3'cret@h.invalid:bad/y).\nhttps:/": "see https://h.invalid/x, or (ftp://h.invalid:.../y).\nhttps:/",
		`{"u":"http://[::1]"}`: `{"u":"http://[::1]"}`,
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"https://u:p@h/x?y#z", "git@h:x", "/x", "a:b/c@d", "http://h:p"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !strings.ContainsAny(s, "/?#") { // after which it would be a host, and the path
			if a := "https://" + s + ":s3cret@h.invalid/x"; strings.Contains(Address(a), "s3cret") {
				t.Errorf("Address(%q) = %q", a, Address(a))
			}
		}
		for _, a := range []string{"https://h.invalid/x?" + s + "s3cret", "https://u:" + s + "@h.invalid/x?y=a@s3cret"} {
			if strings.Contains(Address(a), "s3cret") {
				t.Errorf("Address(%q) = %q", a, Address(a))
			}
		}
		if once := Address("https://" + s); Address(once) != once {
			t.Errorf("%q, then %q", once, Address(once))
		}
		Repository(s)
		Text(s)
	})
}
