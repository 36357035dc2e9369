package sshsign

import (
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"golang.org/x/crypto/ssh"
)

// IMGAPI returns a function that signs requests to an image server as user. A
// key that is no RSA key is refused: image servers verify no others (spec
// imgapi.md section 3).
func IMGAPI(user string, key *Key, now func() time.Time) (func(*http.Request) error, error) {
	if err := plain("user", user); err != nil {
		return nil, err
	}
	if t := key.pub.Type(); t != ssh.KeyAlgoRSA {
		return nil, fault.WithHint(fault.Unfit.Errorf("the key %s from %s is of type %s; image servers accept RSA keys only", key.MD5(), key.from, t),
			"name an RSA key whose public half the server has for user %s", user)
	}
	return func(r *http.Request) error { return authorize(r, user, "rsa-sha256", key, now) }, nil
}

// Manta signs requests and addresses as ACCOUNT, or as a sub-user of it.
type Manta struct {
	keyID, algorithm string
	key              *Key
	now              func() time.Time
}

// NewManta checks that key can sign for Manta. subuser may be empty.
func NewManta(account, subuser string, key *Key, now func() time.Time) (*Manta, error) {
	alg, err := algorithm(key.pub)
	if err != nil {
		return nil, fault.Unfit.Errorf("the key %s from %s: %w", key.MD5(), key.from, err)
	}
	if err := plain("account", account); err != nil {
		return nil, err
	}
	id := "/" + account
	if subuser != "" {
		if err := plain("sub-user", subuser); err != nil {
			return nil, err
		}
		id += "/" + subuser
	}
	return &Manta{id + "/keys/" + key.MD5(), alg, key, now}, nil
}

// Sign adds Date and Authorization to a request.
func (m *Manta) Sign(r *http.Request) error {
	return authorize(r, m.keyID, m.algorithm, m.key, m.now)
}

// Presign returns u with a query that allows method (one, upper case) until
// expires. The result is a secret until then.
func (m *Manta) Presign(method string, u *url.URL, expires time.Time) (string, error) {
	q := map[string]string{
		"algorithm": strings.ToUpper(m.algorithm), "expires": strconv.FormatInt(expires.Unix(), 10), "keyId": m.keyID,
	}
	query := CanonicalQuery(q)
	sig, err := m.key.signature(PresignText(method, u.Host, u.EscapedPath(), query))
	if err != nil {
		return "", err
	}
	signed := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.EscapedPath()}
	return signed.String() + "?" + query + "&signature=" + strict(sig), nil
}

// PresignText is what is signed of an address (spec manta.md section 8).
// methods are sorted and joined by commas; path is percent-encoded.
func PresignText(methods, host, path, query string) string {
	return strings.Join([]string{methods, host, path, query}, "\n")
}

// CanonicalQuery writes parameters in the order of their names, strictly
// encoded.
func CanonicalQuery(q map[string]string) string {
	parts := make([]string, 0, len(q))
	for k, v := range q {
		parts = append(parts, strict(k)+"="+strict(v))
	}
	sort.Strings(parts)
	return strings.Join(parts, "&")
}

// strict encodes everything but RFC 3986's unreserved characters.
func strict(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// authorize signs the header Date.
func authorize(r *http.Request, keyID, alg string, key *Key, now func() time.Time) error {
	date := now().UTC().Format(http.TimeFormat)
	sig, err := key.signature("date: " + date)
	if err != nil {
		return err
	}
	r.Header.Set("Date", date)
	r.Header.Set("Authorization", fmt.Sprintf(`Signature keyId="%s",algorithm="%s",headers="date",signature="%s"`, keyID, alg, sig))
	return nil
}

// plain refuses a name that would break out of its place in a header or path.
func plain(what, name string) error {
	ok := name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"/\,`, r)
	})
	if !ok {
		return fault.Usage.Errorf("%q cannot be the name of a server's %s", name, what)
	}
	return nil
}
