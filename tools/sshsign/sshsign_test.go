package sshsign_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/sshsign"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

var keys = sync.OnceValue(func() map[string]crypto.Signer {
	r, err1 := rsa.GenerateKey(rand.Reader, 2048)
	e2, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	e3, err3 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	e5, err4 := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, ed, err5 := ed25519.GenerateKey(rand.Reader)
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			panic(err)
		}
	}
	return map[string]crypto.Signer{"rsa": r, "p256": e2, "p384": e3, "p521": e5, "ed25519": ed}
})

func now() time.Time { return time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC) }

// home makes a home directory with the keys in .ssh, those in locked with a passphrase.
func home(t *testing.T, names, locked []string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name string, block *pem.Block, err error) {
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ".ssh", name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range names {
		b, err := ssh.MarshalPrivateKey(keys()[n], "a comment")
		put("id_"+n, b, err)
	}
	for _, n := range locked {
		b, err := ssh.MarshalPrivateKeyWithPassphrase(keys()[n], "", []byte("a secret phrase"))
		put("id_"+n, b, err)
	}
	for name, text := range map[string]string{"config": "Host *\n", "broken": "-----BEGIN OPENSSH PRIVATE KEY-----\nxx\n", "known_hosts": ""} {
		if err := os.WriteFile(filepath.Join(dir, ".ssh", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// serveAgent runs an agent that holds the keys.
func serveAgent(t *testing.T, names ...string) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, n := range names {
		k := any(keys()[n])
		if e, ok := k.(ed25519.PrivateKey); ok {
			k = &e
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "a") // a socket's name must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c); c.Close() }()
		}
	}()
	return l.Addr().String()
}

func public(t *testing.T, name string) ssh.PublicKey {
	t.Helper()
	pub, err := ssh.NewPublicKey(keys()[name].Public())
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	pub := public(t, "rsa")
	md5 := sshsign.MD5(pub)
	for _, s := range []string{md5, "MD5:" + md5, strings.ToUpper(md5), ssh.FingerprintSHA256(pub)} {
		f, err := sshsign.ParseFingerprint(s)
		if err != nil || !f.Matches(pub) || f.Matches(public(t, "p256")) {
			t.Errorf("%s: %v, or it matches another key", s, err)
		}
		if again, err := sshsign.ParseFingerprint(f.String()); err != nil || !again.Matches(pub) {
			t.Errorf("%s: %v", f, err)
		}
	}
	for _, s := range []string{"", "MD5:", strings.ReplaceAll(md5, ":", ""), md5 + ":00", md5[:len(md5)-1], "SHA256:abc",
		ssh.FingerprintSHA256(pub) + "=", "a" + md5, "zz" + md5[2:], "id_rsa", "0:" + md5} {
		if f, err := sshsign.ParseFingerprint(s); err == nil {
			t.Errorf("%q was read as %s", s, f)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		files, locked []string
		agent         []string
		want          string // From, or part of the error
	}{
		{"file", []string{"rsa"}, nil, nil, "id_rsa"},
		{"file before agent", []string{"p256", "rsa"}, nil, []string{"rsa"}, "id_rsa"},
		{"agent", []string{"p256"}, nil, []string{"ed25519", "rsa"}, "ssh-agent"},
		{"agent before locked file", nil, []string{"rsa"}, []string{"rsa"}, "ssh-agent"},
		{"locked file", []string{"p256"}, []string{"rsa"}, []string{"p256"}, "passphrase"},
		{"nowhere", []string{"p256"}, nil, nil, "there is no key MD5:"},
	}
	f, err := sshsign.ParseFingerprint(sshsign.MD5(public(t, "rsa")))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		p := sshsign.Places{Home: home(t, tt.files, tt.locked)}
		if tt.agent != nil {
			p.Agent = serveAgent(t, tt.agent...)
		}
		key, err := p.Find(f)
		switch {
		case err != nil:
			if !strings.Contains(err.Error(), tt.want) || fault.Hint(err) == "" || fault.KindOf(err) != fault.Unfit {
				t.Errorf("%s: %v (hint %q)", tt.name, err, fault.Hint(err))
			}
		case filepath.Base(key.From()) != tt.want || !f.Matches(key.Public()):
			t.Errorf("%s: key %s from %s", tt.name, key.MD5(), key.From())
		}
	}
	// Without .ssh the agent is still asked.
	if key, err := (sshsign.Places{Home: t.TempDir(), Agent: serveAgent(t, "rsa")}).Find(f); err != nil || key.From() != "ssh-agent" {
		t.Errorf("no .ssh: %v", err)
	}
	if _, err := (sshsign.Places{Home: t.TempDir(), Agent: "/nonexistent"}).Find(f); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("no agent there: %v", err)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	p := sshsign.Places{Home: home(t, []string{"rsa", "p256"}, []string{"ed25519"}), Agent: serveAgent(t, "ed25519")}
	for id, want := range map[string]string{
		"": "id_rsa", "~/.ssh/id_p256": "id_p256", filepath.Join(p.Home, ".ssh/id_p256"): "id_p256",
		ssh.FingerprintSHA256(public(t, "p256")): "id_p256", "~/.ssh/id_ed25519": "ssh-agent",
	} {
		if key, err := p.Identity(id); err != nil || filepath.Base(key.From()) != want {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"~/.ssh/config", "~/.ssh/broken", "~/.ssh/none", "~/.ssh", "MD5:xx"} {
		if _, err := p.Identity(id); err == nil || strings.Contains(err.Error(), "Host *") {
			t.Errorf("%q: %v", id, err)
		}
	}
	if key, err := (sshsign.Places{Home: t.TempDir()}).Identity(""); key != nil || err != nil {
		t.Errorf("no default key: %v, %v", key, err)
	}
	p.Agent = ""
	if _, err := p.Identity("~/.ssh/id_ed25519"); err == nil || !strings.HasPrefix(fault.Hint(err), "ssh-add ") {
		t.Errorf("locked: %v", err)
	}
}

// verify checks a signature with Go's crypto, as the server would.
func verify(t *testing.T, name, text, b64 string) {
	t.Helper()
	sig, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		t.Fatal(err)
	}
	h256, h512 := sha256.Sum256([]byte(text)), sha512.Sum512([]byte(text))
	ok := false
	switch k := keys()[name].Public().(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, h256[:], sig) == nil
	case *ecdsa.PublicKey:
		h := h256[:]
		if name == "p521" {
			h = h512[:]
		}
		ok = ecdsa.VerifyASN1(k, h, sig)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, []byte(text), sig)
	}
	if !ok {
		t.Errorf("%s: the signature of %q does not verify", name, text)
	}
}

var authorization = regexp.MustCompile(`^Signature keyId="([^"]*)",algorithm="([^"]*)",headers="date",signature="([^"]*)"$`)

func TestSign(t *testing.T) {
	t.Parallel()
	algorithms := map[string]string{"rsa": "rsa-sha256", "p256": "ecdsa-sha256", "p521": "ecdsa-sha512", "ed25519": "ed25519-sha512"}
	all := []string{"rsa", "p256", "p384", "p521", "ed25519"}
	for from, places := range map[string]sshsign.Places{"file": {Home: home(t, all, nil)}, "agent": {Agent: serveAgent(t, all...)}} {
		for _, name := range all {
			f, err := sshsign.ParseFingerprint(sshsign.MD5(public(t, name)))
			if err != nil {
				t.Fatal(err)
			}
			key, err := places.Find(f)
			if err != nil {
				t.Fatal(err)
			}
			m, err := sshsign.NewManta("acct", "", key, now)
			if name == "p384" {
				if err == nil || !strings.Contains(err.Error(), "nistp384") {
					t.Errorf("%s from %s: %v", name, from, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			r, _ := http.NewRequest("GET", "http://h/", nil)
			if err := m.Sign(r); err != nil {
				t.Fatal(err)
			}
			got := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
			if got == nil || got[1] != "/acct/keys/"+key.MD5() || got[2] != algorithms[name] || r.Header.Get("Date") != "Tue, 02 Jan 2024 03:04:05 GMT" {
				t.Fatalf("%s from %s: %v", name, from, r.Header)
			}
			verify(t, name, "date: Tue, 02 Jan 2024 03:04:05 GMT", got[3])

			u, _ := url.Parse("https://h.test:8080/acct/stor/a%20b/c+d.zfs.gz")
			signed, err := m.Presign("GET", u, now().Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			back, err := url.Parse(signed)
			if err != nil {
				t.Fatal(err)
			}
			query, sig, _ := strings.Cut(back.RawQuery, "&signature=")
			wantQuery := "algorithm=" + strings.ToUpper(algorithms[name]) + "&expires=1704168245&keyId=" + url.QueryEscape("/acct/keys/"+key.MD5())
			if back.EscapedPath() != u.EscapedPath() || query != wantQuery || strings.ContainsAny(sig, "+/=") {
				t.Errorf("%s from %s: %s", name, from, signed)
			}
			verify(t, name, "GET\nh.test:8080\n/acct/stor/a%20b/c+d.zfs.gz\n"+wantQuery, back.Query().Get("signature"))
		}
	}
}

func TestIMGAPI(t *testing.T) {
	t.Parallel()
	p := sshsign.Places{Home: home(t, []string{"rsa", "p256", "ed25519"}, nil)}
	key := func(name string) *sshsign.Key {
		k, err := p.Identity("~/.ssh/id_" + name)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	sign, err := sshsign.IMGAPI("jdoe", key("rsa"), now)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := http.NewRequest("GET", "http://h/", nil)
	if err := sign(r); err != nil {
		t.Fatal(err)
	}
	if got := authorization.FindStringSubmatch(r.Header.Get("Authorization")); got == nil || got[1] != "jdoe" {
		t.Errorf("%v", r.Header)
	} else {
		verify(t, "rsa", "date: Tue, 02 Jan 2024 03:04:05 GMT", got[3])
	}
	for _, name := range []string{"p256", "ed25519"} {
		if _, err := sshsign.IMGAPI("jdoe", key(name), now); err == nil || !strings.Contains(err.Error(), "RSA keys only") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, user := range []string{"", `a"b`, "a b", "a/b", "é"} {
		if _, err := sshsign.IMGAPI(user, key("rsa"), now); fault.KindOf(err) != fault.Usage {
			t.Errorf("user %q: %v", user, err)
		}
	}
	if m, err := sshsign.NewManta("acct", "sub", key("rsa"), now); err != nil {
		t.Error(err)
	} else if r, _ := http.NewRequest("GET", "http://h/", nil); m.Sign(r) != nil || !strings.Contains(r.Header.Get("Authorization"), `"/acct/sub/keys/`) {
		t.Errorf("sub-user: %v", r.Header)
	}
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "keys", "id")
	var got [4]string
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			if k, err := sshsign.Ensure(name); err == nil {
				got[i] = k.MD5()
			}
		})
	}
	wg.Wait()
	raw, err := os.ReadFile(name + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range got {
		if g != sshsign.MD5(pub) {
			t.Errorf("keys differ: %v", got)
		}
	}
	if info, _ := os.Stat(name); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// The genuine ssh-keygen and ssh-agent make keys and signatures we can use.
func TestGenuineAgent(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"ssh-keygen", "ssh-agent", "ssh-add"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	dir, err := os.MkdirTemp("", "a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sock := filepath.Join(dir, "s")
	a := exec.Command("ssh-agent", "-D", "-a", sock)
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Process.Kill(); _ = a.Wait() })
	// The socket's name is there before anybody listens.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("unix", sock)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("ssh-agent does not come up: %v", err)
		}
	}
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		file := filepath.Join(dir, kind)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		add := exec.Command("ssh-add", file)
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+sock)
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		fromFile, err := (sshsign.Places{}).Identity(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := sshsign.ParseFingerprint(fromFile.MD5())
		if err != nil {
			t.Fatal(err)
		}
		key, err := (sshsign.Places{Agent: sock}).Find(f)
		if err != nil {
			t.Fatal(err)
		}
		m, err := sshsign.NewManta("acct", "", key, now)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest("GET", "http://h/", nil)
		if err := m.Sign(r); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
