package sandbox

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// Authorization of the image server (spec imgapi.md section 3). DSA keys,
// which the real server takes, are refused: Go has no use for them any more.

const maxSkew = 300 * time.Second

var (
	userForm  = regexp.MustCompile(`^[A-Za-z0-9_@-][A-Za-z0-9._@-]*$`)
	paramForm = regexp.MustCompile(`^([a-zA-Z]+)="([^"]*)"$`)
)

// AddUser lets a user make signed requests to the image server. A user may
// have several keys; only RSA keys work, as with the real server.
func (s *Sandbox) AddUser(user string, key ssh.PublicKey) error {
	if !userForm.MatchString(user) {
		return fault.Usage.Errorf("sandbox: %q is not a user name", user)
	}
	if err := os.MkdirAll(s.keys, 0o755); err != nil {
		return fault.Step.Errorf("sandbox: %w", err)
	}
	name := filepath.Join(s.keys, user+".keys")
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Step.Errorf("sandbox: %w", err)
	}
	line := string(ssh.MarshalAuthorizedKey(key))
	if strings.Contains(string(old), line) {
		return nil
	}
	if err := writeFile(name, strings.NewReader(string(old)+line)); err != nil {
		return fault.Step.Errorf("sandbox: %w", err)
	}
	return nil
}

// Identity returns a user of the image server and the file with the user's
// private key (PEM, RSA), made at the first call and kept with the state, so
// that nobody has to show a real key to the sandbox.
func (s *Sandbox) Identity(ctx context.Context) (user, keyFile string, err error) {
	const name = "sandbox"
	file := filepath.Join(s.dir, "identity")
	unlock, err := s.state.lock(ctx)
	if err != nil {
		return "", "", fault.Step.Errorf("sandbox: %w", err)
	}
	defer unlock()
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if raw, err = newKey(); err == nil {
			err = writeFile(file, strings.NewReader(string(raw)))
		}
	}
	if err != nil {
		return "", "", fault.Step.Errorf("sandbox: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(raw)
	if err != nil {
		return "", "", fault.Step.Errorf("sandbox: %s: %w", file, err)
	}
	return name, file, s.AddUser(name, signer.PublicKey())
}

func newKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), nil
}

func unauthorized(format string, args ...any) error {
	message := "Unauthorized"
	if format != "" {
		message = fmt.Sprintf(format, args...)
	}
	return problem(http.StatusUnauthorized, "UnauthorizedError", "%s", message)
}

// signed carries out what needs authorization.
func (c *call) signed(f func() error) error {
	if c.user == "" {
		return unauthorized("")
	}
	return f()
}

// authenticate verifies the header Authorization if there is one; a wrong one
// is refused even where none is needed.
func (c *call) authenticate() error {
	header := c.r.Header.Get("Authorization")
	if header == "" {
		return nil
	}
	params, ok := signatureParams(header)
	if !ok || !userForm.MatchString(params["keyId"]) {
		return unauthorized("")
	}
	signed := strings.ToLower(params["headers"])
	if signed == "" {
		signed = "date"
	}
	if signed != "date" && signed != "x-date" {
		return unauthorized("")
	}
	value := c.r.Header.Get(signed)
	date, err := http.ParseTime(value)
	if err != nil {
		return unauthorized("")
	}
	if skew := c.now().Sub(date).Abs(); skew > maxSkew {
		return unauthorized("clock skew of %d s was greater than %ds", int(skew.Seconds()), int(maxSkew.Seconds()))
	}
	signature, err := base64.StdEncoding.DecodeString(params["signature"])
	if err != nil || !c.verify(params["keyId"], strings.ToLower(params["algorithm"]), signed+": "+value, signature) {
		return unauthorized("")
	}
	c.user = params["keyId"]
	return nil
}

// signatureParams reads Signature name="value",…
func signatureParams(header string) (map[string]string, bool) {
	rest, ok := strings.CutPrefix(header, "Signature ")
	if !ok || len(header) > 8<<10 {
		return nil, false
	}
	params := make(map[string]string)
	for part := range strings.SplitSeq(rest, ",") {
		m := paramForm.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return nil, false
		}
		params[m[1]] = m[2]
	}
	return params, true
}

// verify tries each of the user's keys.
func (c *call) verify(user, algorithm, text string, signature []byte) bool {
	raw, err := os.ReadFile(filepath.Join(c.keys, user+".keys"))
	if err != nil {
		return false
	}
	var digest []byte
	var hash crypto.Hash
	switch algorithm {
	case "rsa-sha1":
		sum := sha1.Sum([]byte(text))
		digest, hash = sum[:], crypto.SHA1
	case "rsa-sha256":
		sum := sha256.Sum256([]byte(text))
		digest, hash = sum[:], crypto.SHA256
	default:
		return false
	}
	for line := range strings.Lines(string(raw)) {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			continue // empty, or a comment
		}
		holder, ok := key.(ssh.CryptoPublicKey)
		if !ok {
			continue
		}
		if public, ok := holder.CryptoPublicKey().(*rsa.PublicKey); ok && rsa.VerifyPKCS1v15(public, hash, digest, signature) == nil {
			return true
		}
	}
	return false
}

func (c *call) reloadKeys() error { return c.json(struct{}{}) } // keys are read at each request
