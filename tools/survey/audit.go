package survey

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/TritonDataCenter/engbld/tools/pkgsrc/version"
)

const (
	maxAudit    = 16 << 20 // bytes of an audit; a real one has some KiB
	maxFindings = 1 << 16
)

// ClassEOL is the class of packages that nobody maintains any more.
const ClassEOL = "eol"

// Finding is one vulnerability an installed package has.
type Finding struct {
	Package string `json:"package"` // full name
	Class   string `json:"class"`   // such as buffer-overflow, or ClassEOL
	URL     string `json:"url"`     // as written; it need not be an address
}

// Base is the name of the package without its version.
func (f Finding) Base() string {
	base, _ := version.Split(f.Package)
	return base
}

// ParseAudit reads a .pkgaudit file: the lines of "pkg_admin audit" (spec
// pkgsrc.md section 11). A line of another form is an error.
func ParseAudit(raw []byte) ([]Finding, error) {
	if len(raw) > maxAudit {
		return nil, fmt.Errorf("%d bytes are more than the %d that are read", len(raw), maxAudit)
	}
	var list []Finding
	for i, line := range bytes.Split(raw, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		f, ok := parseFinding(string(line))
		if !ok {
			return nil, fmt.Errorf("line %d is no finding: %.100q", i+1, line)
		}
		if len(list) == maxFindings {
			return nil, fmt.Errorf("more than %d findings", maxFindings)
		}
		list = append(list, f)
	}
	return list, nil
}

func parseFinding(line string) (Finding, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\r"), "Package ")
	if !ok {
		return Finding{}, false
	}
	what, url, ok := strings.Cut(rest, ", see ")
	if !ok {
		return Finding{}, false
	}
	if name, ok := strings.CutSuffix(what, " has reached end-of-life (eol)"); ok {
		return Finding{Package: name, Class: ClassEOL, URL: url}, name != ""
	}
	name, class, ok := strings.Cut(what, " has a ")
	class, ok2 := strings.CutSuffix(class, " vulnerability")
	return Finding{Package: name, Class: class, URL: url}, ok && ok2 && name != "" && class != ""
}

// Plain makes text of an image fit for one line of a terminal: control and
// formatting characters, line ends and bytes that are no UTF-8 are written
// \ooo, so that nothing moves the cursor or turns the text's direction.
func Plain(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if (r == utf8.RuneError && n == 1) || !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, "\\%03o", c)
			}
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// WebAddress tells whether s is an http or https address that can stand in a
// document as a link: absolute, with a host, without a user.
func WebAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && Plain(s) == s && !strings.ContainsAny(s, " \"'<>`\\")
}
