package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/survey"
	"github.com/google/uuid"
)

// project is where the tool is found; identifiers of the tool begin with it.
const project = "https://github.com/TritonDataCenter/engbld"

// Subject is the image that is described.
type Subject struct {
	Image    *survey.Image         // with its manifest
	Origin   *imgmanifest.Manifest // of the image it is based on; nil: none, or not known
	FileName string                // of the image file; "" is the manifest's uuid
	SHA256   string                // of the image file, lower-case hex; "" where it is not at hand
	Record   *lock.Record          // what the build recorded; nil: nothing
}

// check refuses images that cannot be described deterministically.
func (s *Subject) check() error {
	m := s.Image.Manifest
	switch {
	case m == nil:
		return fault.WithHint(fault.Usage.Errorf("%s: a stream without a manifest", s.Image.Name), "name the image by its manifest or its uuid")
	case !imgmanifest.ValidUUID(m.UUID()):
		return fault.Usage.Errorf("%s: the manifest has no uuid", s.Image.Name)
	case s.Record != nil && s.Record.Build.Image != m.UUID():
		return fault.Drift.Errorf("the record beside image %s is of image %s", m.UUID(), s.Record.Build.Image)
	}
	if _, err := s.time(); err != nil {
		return fault.Usage.Errorf("%s: published_at: %w", s.Image.Name, err)
	}
	return nil
}

// time is when the image was published, to the second.
func (s *Subject) time() (string, error) {
	t, err := time.Parse(time.RFC3339, s.Image.Manifest.PublishedAt())
	if err != nil {
		return "", err
	}
	return t.UTC().Format("2006-01-02T15:04:05Z"), nil
}

// derive makes the uuid of a document about an image: version 5 (RFC 9562) of
// the image's uuid and the document's kind.
func derive(image, kind string) string {
	return uuid.NewSHA1(uuid.MustParse(image), []byte(kind)).String()
}

// purl is the package URL of a package. There is no registered type for pkgsrc,
// so it is a generic one in the namespace pkgsrc.
func (s *Subject) purl(p *survey.Package) string {
	u := "pkg:generic/pkgsrc/" + purlEscape(p.Base)
	if p.Version != "" {
		u += "@" + purlEscape(p.Version)
	}
	sep := "?"
	for _, q := range [][2]string{{"arch", s.Image.Arch}, {"release", s.Image.Release}} { // in the order of their names
		if q[1] != "" {
			u += sep + q[0] + "=" + purlEscape(q[1])
			sep = "&"
		}
	}
	return u
}

// imagePurl is the package URL of an image.
func imagePurl(m *imgmanifest.Manifest) string {
	return "pkg:generic/triton-image/" + purlEscape(m.Name()) + "@" + purlEscape(m.Version()) + "?uuid=" + purlEscape(m.UUID())
}

// purlEscape writes all but unreserved characters as %XX.
func purlEscape(s string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_', c == '~':
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

// identifier makes a string of letters, digits, "." and "-" that no other
// string gives: one with other characters gets a part of its digest.
func identifier(s string) string {
	ok := func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}
	clean := strings.Map(ok, s)
	if clean == s {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return clean + "-" + hex.EncodeToString(sum[:6])
}

// archives are the record's entries for installed packages, by their full names:
// what came with the base image is not in it.
func (s *Subject) archives() map[string]*lock.Package {
	m := map[string]*lock.Package{}
	if s.Record != nil {
		for i := range s.Record.Packages {
			m[s.Record.Packages[i].FullName()] = &s.Record.Packages[i]
		}
	}
	return m
}
