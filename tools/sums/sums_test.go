package sums

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/TritonDataCenter/engbld/tools/sshsign"
)

func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.zfs.gz": "image", "b.imgmanifest": "{}", "odd\nna\\me\r": "odd", "sub/c": "c", "sp ace": "s",
		".engbld-part": "half", ".hidden/d": "d",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, l := range []string{outside, "..", "a.zfs.gz", "link0"} {
		if err := os.Symlink(l, filepath.Join(dir, "link"+string(rune('0'+len(l)%10)))); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWriteCheck(t *testing.T) {
	t.Parallel()
	ctx, dir := context.Background(), tree(t)
	list, err := Write(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	if d := cmp.Diff([]string{"a.zfs.gz", "b.imgmanifest", "odd\nna\\me\r", "sp ace", "sub/c"}, names); d != "" {
		t.Error(d)
	}
	got, problems, err := Check(ctx, dir)
	if err != nil || len(problems) > 0 || !cmp.Equal(got, list) {
		t.Errorf("%v, %v, %v", got, problems, err)
	}
	if _, err := exec.LookPath("sha256sum"); err == nil {
		cmd := exec.Command("sha256sum", "--check", "--strict", ListName)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	for name, text := range map[string]string{"a.zfs.gz": "imagE", "new": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "sub/c")); err != nil {
		t.Fatal(err)
	}
	_, problems, err = Check(ctx, dir)
	if d := cmp.Diff([]Problem{{"a.zfs.gz", "differs"}, {"sub/c", "missing"}, {"new", "not listed"}}, problems); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	for _, tt := range []struct{ name, in, err string }{
		{"empty", "", ""},
		{"one", sum + "  a\n", ""},
		{"binary", sum + " *a b\n", ""},
		{"escaped", `\` + sum + `  a\nb` + "\n", ""},
		{"no end", sum + "  a", "no end"},
		{"up", sum + "  ../a\n", "leads out"},
		{"absolute", sum + "  /etc/passwd\n", "leads out"},
		{"hidden up", sum + "  a/../../b\n", "leads out"},
		{"twice", sum + "  a\n" + sum + "  a\n", "comes twice"},
		{"short", sum[1:] + "  a\n", "no sum"},
		{"capitals", strings.ToUpper(sum) + "  a\n", "no sum"},
		{"bad escape", `\` + sum + `  a\x` + "\n", "no sum"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			list, err := Parse([]byte(tt.in))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("%v, %v", list, err)
			}
			if err == nil && tt.name != "binary" && string(Encode(list)) != tt.in {
				t.Errorf("%q comes back as %q", tt.in, Encode(list))
			}
		})
	}
}

// keys makes one key of each kind, with its private form as ssh-keygen has it.
func keys(t *testing.T) map[string]any {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"rsa": r, "ecdsa": e, "ed25519": d}
}

// TestSign signs with every kind of key; ssh-keygen accepts the signatures, and
// refuses them for a list that was changed.
func TestSign(t *testing.T) {
	t.Parallel()
	for name, private := range keys(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t)
			signer, err := ssh.NewSignerFromKey(private)
			if err != nil {
				t.Fatal(err)
			}
			key := sshsign.NewKey(signer, "test")
			if _, err := Write(context.Background(), dir); err != nil {
				t.Fatal(err)
			}
			if err := SignList(key, dir); err != nil {
				t.Fatal(err)
			}
			pub, err := VerifyList(dir)
			if err != nil || !bytes.Equal(pub.Marshal(), key.Public().Marshal()) {
				t.Fatalf("%v, %v", pub, err)
			}
			keygen(t, dir, key.Public(), true)
			file := filepath.Join(dir, ListName)
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			raw[0] ^= 1
			if err := os.WriteFile(file, raw, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := VerifyList(dir); err == nil {
				t.Error("a changed list verifies")
			}
			keygen(t, dir, key.Public(), false)
			raw[0] ^= 1
			if err := os.WriteFile(filepath.Join(dir, "more"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Write(context.Background(), dir); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, SignatureName)); !os.IsNotExist(err) {
				t.Errorf("a signature that does not fit is still there: %v", err)
			}
		})
	}
}

func keygen(t *testing.T, dir string, pub ssh.PublicKey, good bool) {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Log("ssh-keygen is not installed")
		return
	}
	allowed := filepath.Join(t.TempDir(), "allowed")
	if err := os.WriteFile(allowed, append([]byte("builder@example.invalid "), ssh.MarshalAuthorizedKey(pub)...), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := os.Open(filepath.Join(dir, ListName))
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "builder@example.invalid", "-n", Namespace, "-s", filepath.Join(dir, SignatureName))
	cmd.Stdin = list
	if out, err := cmd.CombinedOutput(); (err == nil) != good {
		t.Errorf("ssh-keygen: %v\n%s", err, out)
	}
}

// TestVerifyForeign takes a signature that ssh-keygen made.
func TestVerifyForeign(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	dir := t.TempDir()
	key, msg := filepath.Join(dir, "key"), filepath.Join(dir, ListName)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(msg, []byte("message\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for namespace, good := range map[string]bool{Namespace: true, "git": false} {
		os.Remove(msg + ".sig")
		if out, err := exec.Command("ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", namespace, msg).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if _, err := VerifyList(dir); (err == nil) != good {
			t.Errorf("namespace %s: %v", namespace, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(strings.Repeat("ab", 32) + "  a\n"))
	f.Add([]byte(`\` + strings.Repeat("ab", 32) + `  a\nb` + "\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := Parse(raw)
		if err != nil {
			return
		}
		again, err := Parse(Encode(list))
		if err != nil || !cmp.Equal(list, again) {
			t.Errorf("%q: %v, %v, %v", raw, list, again, err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(armorBegin + "\nU1NIU0lH\n" + armorEnd + "\n"))
	f.Fuzz(func(t *testing.T, sig []byte) {
		if _, err := Verify([]byte("message"), sig); err == nil {
			t.Errorf("%q verifies", sig)
		}
	})
}
