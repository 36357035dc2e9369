package repository

import "strings"

// Expand replaces $arch and $osrelease in an address of repositories.conf.
func Expand(address, arch, osrelease string) string {
	return strings.NewReplacer("$arch", arch, "$osrelease", osrelease).Replace(address)
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
