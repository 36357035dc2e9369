package mantaserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rsa"
	_ "crypto/sha1" // the real one takes RSA-SHA1, too
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

const maxSkew = 300 * time.Second

// authorize lets a request pass: signed, presigned, or a read of something
// public.
func (s *server) authorize(r *http.Request, n name) error {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	public := reads && len(n) > 1 && n[1] == "public"
	header := r.Header.Get("Authorization")
	query := r.URL.Query()
	switch {
	case header != "": // makes a signature in the query count for nothing
		if r.TLS == nil && !s.opts.PlainHTTP {
			return refuse("SecureTransportRequired", "Manta requires a secure transport (SSL/TLS)")
		}
		caller, err := s.signedHeader(r, header)
		return allowed(caller, n, err)
	case query.Has("signature") || query.Has("keyId") || query.Has("expires"):
		caller, err := s.signedQuery(r, query)
		return allowed(caller, n, err)
	case public:
		return nil
	case r.TLS == nil && !s.opts.PlainHTTP:
		return refuse("SecureTransportRequired", "Manta requires a secure transport (SSL/TLS)")
	}
	return refuse("AuthorizationRequired", "Authorization is required")
}

// allowed: an account and its users may do everything below its name, and
// nothing elsewhere.
func allowed(caller string, n name, err error) error {
	if err != nil {
		return err
	}
	if caller != n[0] {
		return refuse("AuthorizationFailed", "%s is not allowed to access %s", caller, n)
	}
	return nil
}

var parameter = regexp.MustCompile(`^([a-zA-Z]+)="([^"]*)"$`)

// signedHeader verifies the header Authorization.
func (s *server) signedHeader(r *http.Request, header string) (account string, err error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Signature") {
		return "", refuse("AuthorizationSchemeNotAllowed", "%s is not a supported authentication scheme", scheme)
	}
	p := map[string]string{"headers": "date"}
	for part := range strings.SplitSeq(rest, ",") {
		m := parameter.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return "", refuse("InvalidHeader", "Authorization header is invalid: malformed parameter")
		}
		p[m[1]] = m[2]
	}
	for _, need := range []string{"keyId", "algorithm", "signature"} {
		if p[need] == "" {
			return "", refuse("InvalidHeader", "Authorization header is invalid: %s was not specified", need)
		}
	}
	date, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return "", refuse("InvalidHeader", "Date header is missing or invalid")
	}
	if skew := s.opts.Now().Sub(date).Abs(); skew > maxSkew {
		return "", refuse("InvalidHeader", "clock skew of %ds was greater than 300s", int(skew.Seconds()))
	}
	names := strings.Fields(strings.ToLower(p["headers"]))
	if !slices.Contains(names, "date") {
		return "", refuse("InvalidHeader", "date must be signed")
	}
	var text []string
	for _, name := range names {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "(request-target)":
			value = strings.ToLower(r.Method) + " " + r.URL.RequestURI()
		}
		if value == "" {
			return "", refuse("InvalidHeader", "%s was not in the request", name)
		}
		text = append(text, name+": "+value)
	}
	return s.verify(p["keyId"], p["algorithm"], strings.Join(text, "\n"), p["signature"])
}

// signedQuery verifies a presigned address (spec manta.md section 8).
func (s *server) signedQuery(r *http.Request, q url.Values) (account string, err error) {
	invalid := func(format string, args ...any) (string, error) {
		return "", refuse("InvalidQueryStringAuthentication", format, args...)
	}
	for _, need := range []string{"algorithm", "expires", "keyId", "signature"} {
		if len(q[need]) != 1 || q.Get(need) == "" {
			return invalid("%s is a required parameter", need)
		}
	}
	expires, err := strconv.ParseInt(q.Get("expires"), 10, 64)
	if err != nil {
		return invalid("expires is not a number")
	}
	if s.opts.Now().Unix() > expires {
		return invalid("request expired")
	}
	methods := r.Method
	if q.Has("method") {
		methods = q.Get("method")
		if list := strings.Split(methods, ","); !slices.Contains(list, r.Method) || !slices.IsSorted(list) {
			return invalid("%s was not a signed method", r.Method)
		}
	}
	if !knownAlgorithm(q.Get("algorithm")) {
		return invalid("%s is not a supported algorithm", q.Get("algorithm"))
	}
	var parts []string
	for k, values := range q {
		if k == "signature" {
			continue
		}
		for _, v := range values {
			parts = append(parts, rfc3986(k)+"="+rfc3986(v))
		}
	}
	slices.Sort(parts)
	text := strings.Join([]string{methods, r.Host, r.URL.EscapedPath(), strings.Join(parts, "&")}, "\n")
	account, err = s.verify(q.Get("keyId"), q.Get("algorithm"), text, q.Get("signature"))
	// With a single method that is not named, another method shows as a bad
	// signature in the text, but the real one reports what is really wrong.
	var e *apiError
	if errors.As(err, &e) && e.Code == "InvalidSignature" && !q.Has("method") {
		for _, other := range []string{"GET", "HEAD", "PUT", "DELETE"} {
			text := strings.Join([]string{other, r.Host, r.URL.EscapedPath(), strings.Join(parts, "&")}, "\n")
			if _, err := s.verify(q.Get("keyId"), q.Get("algorithm"), text, q.Get("signature")); err == nil {
				return invalid("%s was not a signed method", r.Method)
			}
		}
	}
	return account, err
}

func rfc3986(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.~", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

// keyIDForm has logins that can name a file of keys.
var keyIDForm = regexp.MustCompile(`^/([!-.0-~]{1,64})(?:/([!-.0-~]{1,64}))?/keys/([0-9a-f]{2}(?::[0-9a-f]{2}){15})$`)

// verify finds the key and checks a signature; it returns the account.
func (s *server) verify(keyID, algorithm, text, b64 string) (account string, err error) {
	m := keyIDForm.FindStringSubmatch(keyID)
	if m == nil {
		return "", refuse("InvalidKeyId", "the KeyId token you provided is invalid")
	}
	if !knownAlgorithm(algorithm) {
		return "", refuse("InvalidAlgorithm", "%s is not a supported signing algorithm", algorithm)
	}
	keys, err := s.keys(m[1], m[2])
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(keys, func(k ssh.PublicKey) bool { return fingerprint(k) == m[3] })
	if i < 0 {
		return "", refuse("KeyDoesNotExist", "%s does not exist", keyID)
	}
	sig, err := base64.StdEncoding.DecodeString(b64)
	if err != nil || !signatureFits(keys[i].(ssh.CryptoPublicKey).CryptoPublicKey(), strings.ToLower(algorithm), text, sig) {
		return "", refuse("InvalidSignature", "The signature we calculated does not match the one you sent")
	}
	return m[1], nil
}

func fingerprint(k ssh.PublicKey) string {
	sum := md5.Sum(k.Marshal())
	h := hex.EncodeToString(sum[:])
	var parts []string
	for i := 0; i < len(h); i += 2 {
		parts = append(parts, h[i:i+2])
	}
	return strings.Join(parts, ":")
}

// keys reads the keys of an account or of a user under it.
func (s *server) keys(account, user string) ([]ssh.PublicKey, error) {
	if account != filepath.Base(account) || user != "" && user != filepath.Base(user) {
		return nil, refuse("InvalidKeyId", "the KeyId token you provided is invalid")
	}
	file, gone := account+".keys", refuse("AccountDoesNotExist", "%s does not exist", account)
	if user != "" {
		file, gone = account+"."+user+".keys", refuse("UserDoesNotExist", "%s/%s does not exist", account, user)
	}
	raw, err := os.ReadFile(filepath.Join(s.opts.Keys, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	var keys []ssh.PublicKey
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, err
		}
		if _, ok := k.(ssh.CryptoPublicKey); ok {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// knownAlgorithm: DSA is left out.
func knownAlgorithm(a string) bool {
	switch strings.ToLower(a) {
	case "rsa-sha1", "rsa-sha256", "rsa-sha384", "rsa-sha512", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512", "ed25519-sha512":
		return true
	}
	return false
}

func signatureFits(pub crypto.PublicKey, algorithm, text string, sig []byte) bool {
	kind, hashName, _ := strings.Cut(algorithm, "-")
	hash := map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[hashName]
	h := hash.New()
	h.Write([]byte(text))
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return kind == "rsa" && rsa.VerifyPKCS1v15(k, hash, h.Sum(nil), sig) == nil
	case *ecdsa.PublicKey:
		return kind == "ecdsa" && ecdsa.VerifyASN1(k, h.Sum(nil), sig)
	case ed25519.PublicKey:
		return kind == "ed25519" && ed25519.Verify(k, []byte(text), sig)
	}
	return false
}
