package sbom

import "strings"

// licenseNames maps pkgsrc's names of licenses to the SPDX identifiers of the
// texts they mean; some, such as public-domain, have none.
func licenseNames() map[string]string {
	return map[string]string{
		"2-clause-bsd":               "BSD-2-Clause",
		"modified-bsd":               "BSD-3-Clause",
		"original-bsd":               "BSD-4-Clause",
		"apache-1.1":                 "Apache-1.1",
		"apache-2.0":                 "Apache-2.0",
		"artistic":                   "Artistic-1.0",
		"artistic-2.0":               "Artistic-2.0",
		"boost-license":              "BSL-1.0",
		"bzip2-license":              "bzip2-1.0.6",
		"cc-by-sa-v3.0":              "CC-BY-SA-3.0",
		"cc-by-sa-v4.0":              "CC-BY-SA-4.0",
		"cc0-1.0-universal":          "CC0-1.0",
		"cddl-1.0":                   "CDDL-1.0",
		"cpl-1.0":                    "CPL-1.0",
		"epl-v1.0":                   "EPL-1.0",
		"epl-v2.0":                   "EPL-2.0",
		"eupl-v1.1":                  "EUPL-1.1",
		"gnu-agpl-v3":                "AGPL-3.0-only",
		"gnu-fdl-v1.1":               "GFDL-1.1-only",
		"gnu-fdl-v1.2":               "GFDL-1.2-only",
		"gnu-fdl-v1.3":               "GFDL-1.3-only",
		"gnu-gpl-v1":                 "GPL-1.0-only",
		"gnu-gpl-v2":                 "GPL-2.0-only",
		"gnu-gpl-v3":                 "GPL-3.0-only",
		"gnu-lgpl-v2":                "LGPL-2.0-only",
		"gnu-lgpl-v2.1":              "LGPL-2.1-only",
		"gnu-lgpl-v3":                "LGPL-3.0-only",
		"hpnd":                       "HPND",
		"ibm-public-license-1.0":     "IPL-1.0",
		"icu":                        "ICU",
		"info-zip":                   "Info-ZIP",
		"isc":                        "ISC",
		"lppl-1.3c":                  "LPPL-1.3c",
		"mit":                        "MIT",
		"miros":                      "MirOS",
		"mpl-1.0":                    "MPL-1.0",
		"mpl-1.1":                    "MPL-1.1",
		"mpl-2.0":                    "MPL-2.0",
		"ofl-v1.0":                   "OFL-1.0",
		"ofl-v1.1":                   "OFL-1.1",
		"openssl":                    "OpenSSL",
		"php":                        "PHP-3.01",
		"postgresql-license":         "PostgreSQL",
		"python-software-foundation": "Python-2.0",
		"qpl-v1.0":                   "QPL-1.0",
		"sleepycat-public-license":   "Sleepycat",
		"unlicense":                  "Unlicense",
		"w3c":                        "W3C",
		"x11":                        "X11",
		"zlib":                       "Zlib",
		"zpl-2.0":                    "ZPL-2.0",
		"zpl":                        "ZPL-2.1",
	}
}

// refPrefix begins the identifiers of licenses that SPDX has none for.
const refPrefix = "LicenseRef-pkgsrc-"

// maxLicense bounds the terms of one license expression.
const maxLicense = 100

// expression turns a pkgsrc license, names joined by AND, OR and parentheses,
// into an SPDX expression. refs are the names it uses refPrefix for. It is not
// ok where the text is no such expression.
func expression(license string) (expr string, refs []string, ok bool) {
	p := &licenseParser{names: licenseNames(), todo: strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(license))}
	if len(p.todo) == 0 || len(p.todo) > maxLicense {
		return "", nil, false
	}
	if !p.any(0) || len(p.todo) > 0 {
		return "", nil, false
	}
	return p.out.String(), p.refs, true
}

type licenseParser struct {
	names map[string]string
	todo  []string
	out   strings.Builder
	refs  []string
}

func (p *licenseParser) next() string {
	if len(p.todo) == 0 {
		return ""
	}
	return p.todo[0]
}

// any reads terms joined by AND and OR, as written: AND binds closer in both
// languages.
func (p *licenseParser) any(depth int) bool {
	for {
		if !p.term(depth) {
			return false
		}
		if op := p.next(); op != "AND" && op != "OR" {
			return true
		}
		p.out.WriteString(" " + p.todo[0] + " ")
		p.todo = p.todo[1:]
	}
}

func (p *licenseParser) term(depth int) bool {
	word := p.next()
	if word == "" || word == "AND" || word == "OR" || word == ")" {
		return false
	}
	p.todo = p.todo[1:]
	if word == "(" {
		p.out.WriteString("(")
		if depth > maxLicense || !p.any(depth+1) || p.next() != ")" {
			return false
		}
		p.todo = p.todo[1:]
		p.out.WriteString(")")
		return true
	}
	if id := p.names[word]; id != "" {
		p.out.WriteString(id)
		return true
	}
	p.out.WriteString(refPrefix + identifier(word))
	p.refs = append(p.refs, word)
	return true
}
