package repository

import (
	"html"
	"net/url"
	"path"
	"regexp"
	"strings"
)

var (
	href     = regexp.MustCompile(`(?is)<a\s[^>]*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))`)
	suffixes = []string{".tgz", ".tbz"}
)

// packageName strips the suffix of a package file; false for other files.
func packageName(file string) (string, bool) {
	for _, s := range suffixes {
		if name, ok := strings.CutSuffix(file, s); ok && goodName(name) {
			return name, true
		}
	}
	return "", false
}

// parseIndex finds the files that a directory's index page links to, as it was
// fetched from address. Links that lead elsewhere do not count.
func parseIndex(page, address string) (files []string) {
	base, err := url.Parse(address + "/")
	if err != nil {
		return nil
	}
	for _, m := range href.FindAllStringSubmatch(page, -1) {
		link, err := url.Parse(strings.TrimSpace(html.UnescapeString(m[1] + m[2] + m[3])))
		if err != nil {
			continue
		}
		target := base.ResolveReference(link)
		dir, file := path.Split(target.Path)
		if target.Host == base.Host && dir == base.Path && file != "" {
			files = append(files, file)
		}
	}
	return files
}
