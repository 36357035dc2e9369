package repository

import "strings"

// Expand replaces $arch and $osrelease in an address of repositories.conf.
func Expand(address, arch, osrelease string) string {
	return strings.NewReplacer("$arch", arch, "$osrelease", osrelease).Replace(address)
}

// ParseConf returns the repositories of a repositories.conf, in order: the lines
// that begin like an address; all others mean nothing (spec pkgsrc.md section 10.1).
func ParseConf(raw []byte) (addresses []string) {
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimRight(line, " \t\r\n")
		for _, scheme := range []string{"ftp://", "http://", "https://", "file://"} {
			if strings.HasPrefix(line, scheme) {
				addresses = append(addresses, line)
			}
		}
	}
	return addresses
}

// SplitPath returns the entries of a PKG_PATH, which are separated by ";".
func SplitPath(s string) (addresses []string) {
	for part := range strings.SplitSeq(s, ";") {
		if part = strings.TrimSpace(part); part != "" {
			addresses = append(addresses, part)
		}
	}
	return addresses
}
