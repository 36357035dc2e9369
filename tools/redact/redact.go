// Package redact takes passwords and tokens out of addresses before these are
// shown, logged, recorded or written into an image.
//
// It works on the text and not on a parsed address: what is no valid address may
// hold a password all the same. In doubt it takes out too much. It cannot see a
// secret in a path.
package redact

import (
	"regexp"
	"strings"
)

// Address returns the address without user name, password, query and fragment.
// The name of a local file is returned as it is, if it begins with a slash or a
// dot.
func Address(address string) string { return cut(address, false) }

// Repository is Address for a git repository: an ssh address keeps its user name,
// which is no secret and which ssh needs.
func Repository(address string) string { return cut(address, true) }

var (
	scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)
	inText = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://\S+`)
	plain  = regexp.MustCompile(`^[A-Za-z0-9._-]+$`) // a user name that holds no secret
)

// Text returns a text from elsewhere, such as what another program says, with the
// addresses in it as Address has them.
func Text(text string) string {
	return inText.ReplaceAllStringFunc(text, func(s string) string {
		end := len(strings.TrimRight(s, ".,:;)]}>'\"`")) // of the sentence
		return Address(s[:end]) + s[end:]
	})
}

// cut keeps the user name of an ssh address if login is set.
func cut(address string, login bool) string {
	before, rest, ok := strings.Cut(address, "://")
	ssh := ok && strings.HasSuffix(strings.ToLower(before), "ssh")
	switch {
	case ok && scheme.MatchString(before):
		before += "://"
	case strings.HasPrefix(address, "//"):
		before, rest = "//", address[2:]
	case strings.HasPrefix(address, "/"), strings.HasPrefix(address, "."):
		return address
	default:
		before, rest = "", address
	}
	host := authority(rest)
	bare := before == "" // HOST:PATH, as ssh has it, or an address without its scheme
	at, ok := userEnd(rest, host, bare)
	if !ok {
		return before + "..."
	}
	if at >= 0 {
		user, remote := rest[:at], rest[at+1:]
		ssh = ssh || bare && strings.Contains(authority(remote), ":")
		rest, host = remote, authority(remote)
		if name, _, _ := strings.Cut(user, ":"); login && ssh && plain.MatchString(name) && (before != "" || name == user) {
			before += name + "@"
		}
	}
	tail := rest[len(host):]
	if i := strings.IndexAny(tail, "?#"); i >= 0 {
		tail = tail[:i]
	}
	if i := port(host); !bare && i >= 0 {
		host = host[:i] + "..." // what no port is may be a password without a host
	}
	return before + host + tail
}

// authority is the part of an address before its path.
func authority(rest string) string {
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return rest[:i]
	}
	return rest
}

// userEnd returns the index of the @ behind user name and password, -1 where
// there is neither. Passwords hold any character, so the last one counts that
// can be it. It is not ok where that may be one of the query.
func userEnd(rest, host string, bare bool) (at int, ok bool) {
	remote := host[strings.LastIndexByte(host, '@')+1:]
	odd := port(remote) >= 0 // "user:pass" of "user:pass/word@host"
	if bare {
		odd = strings.Contains(remote, ":")
	}
	if !odd && remote == host {
		return -1, true
	}
	path := rest
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		path = rest[:i]
	}
	return strings.LastIndexByte(path, '@'), !odd || !strings.Contains(rest[len(path):], "@")
}

// port returns where a port begins that is no number, -1 where it is one or where
// there is none.
func port(host string) int {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.HasSuffix(host, "]") || strings.Trim(host[i+1:], "0123456789") == "" {
		return -1
	}
	return i + 1
}
