package fetch

import (
	"net/url"
	"regexp"
	"strings"
)

var secretKey = regexp.MustCompile(`(?i)sig|token|key|secret|pass|auth|cred|session`)

// Redact returns the address without user name and password and without the
// values of query parameters that look like secrets.
func Redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		// Not an address; all that could be one is left out.
		if i := strings.LastIndexByte(address, '@'); i >= 0 {
			address = "…" + address[i:]
		}
		address, _, _ = strings.Cut(address, "?")
		return address
	}
	u.User = nil
	if u.RawQuery != "" {
		parts := strings.Split(u.RawQuery, "&")
		for i, p := range parts {
			if k, _, ok := strings.Cut(p, "="); ok && secretKey.MatchString(k) {
				parts[i] = k + "=..."
			}
		}
		u.RawQuery = strings.Join(parts, "&")
	}
	return u.String()
}
