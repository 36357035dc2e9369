package sbom

import (
	"io"
	"strconv"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/survey"
)

// WriteCycloneDX writes the bill of materials of an image as CycloneDX 1.6 JSON:
// the image, its packages with what they require, what it is based on, and the
// findings of its audit.
func WriteCycloneDX(w io.Writer, s Subject) error {
	if err := s.check(); err != nil {
		return err
	}
	bom := s.cycloneDX()
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
}

func (s *Subject) cycloneDX() *cdx.BOM {
	im, m := s.Image, s.Image.Manifest
	published, _ := s.time()
	bom := cdx.NewBOM()
	bom.SerialNumber = "urn:uuid:" + derive(m.UUID(), "cyclonedx")
	image := imageComponent(m)
	image.Properties = properties("engbld:bytes", strconv.FormatInt(im.Bytes, 10), "engbld:files", strconv.Itoa(im.Files),
		"pkgsrc:release", im.Release, "pkgsrc:arch", im.Arch)
	if s.SHA256 != "" {
		*image.Hashes = append(*image.Hashes, cdx.Hash{Algorithm: cdx.HashAlgoSHA256, Value: s.SHA256})
	}
	if s.Origin != nil {
		image.Pedigree = &cdx.Pedigree{Ancestors: &[]cdx.Component{*imageComponent(s.Origin)}}
	}
	bom.Metadata = &cdx.Metadata{
		Timestamp: published, Component: image,
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "engbld",
			ExternalReferences: &[]cdx.ExternalReference{{Type: cdx.ERTypeVCS, URL: project}}}}},
	}
	archives, ends := s.archives(), map[string]string{}
	for _, f := range im.Findings {
		if f.Class == survey.ClassEOL {
			ends[f.Package] = f.URL
		}
	}
	components := []cdx.Component{}
	all := []string{}
	dependencies := []cdx.Dependency{{Ref: image.BOMRef, Dependencies: &all}}
	for i := range im.Packages {
		p := &im.Packages[i]
		components = append(components, s.component(p, archives[p.Name], ends[p.Name]))
		all = append(all, ref(p.Name))
		needs := []string{}
		for _, r := range p.Requires {
			if r != p.Name {
				needs = append(needs, ref(r))
			}
		}
		dependencies = append(dependencies, cdx.Dependency{Ref: ref(p.Name), Dependencies: &needs})
	}
	bom.Components, bom.Dependencies = &components, &dependencies
	bom.Compositions = &[]cdx.Composition{{Aggregate: cdx.CompositionAggregateIncomplete, Assemblies: &[]cdx.BOMReference{cdx.BOMReference(image.BOMRef)}}}
	if v := vulnerabilities(im); len(v) > 0 {
		bom.Vulnerabilities = &v
	}
	return bom
}

// ref is the bom-ref of a package: different names give different ones.
func ref(name string) string { return "pkgsrc:" + purlEscape(name) }

func imageComponent(m *imgmanifest.Manifest) *cdx.Component {
	c := &cdx.Component{
		BOMRef: "image:" + m.UUID(), Type: cdx.ComponentTypeContainer, Name: m.Name(), Version: m.Version(),
		Description: m.Description(), PackageURL: imagePurl(m), Hashes: &[]cdx.Hash{},
	}
	for _, f := range m.Files() {
		if imgmanifest.ValidSHA1(f.SHA1) {
			*c.Hashes = append(*c.Hashes, cdx.Hash{Algorithm: cdx.HashAlgoSHA1, Value: f.SHA1})
		}
	}
	return c
}

func (s *Subject) component(p *survey.Package, a *lock.Package, end string) cdx.Component {
	c := cdx.Component{
		BOMRef: ref(p.Name), Type: cdx.ComponentTypeLibrary, Name: survey.Plain(p.Base), Version: survey.Plain(p.Version),
		Description: survey.Plain(p.Comment), Licenses: licenses(p.License), PackageURL: s.purl(p),
		Properties: properties("engbld:bytes", strconv.FormatInt(p.Bytes, 10), "engbld:files", strconv.Itoa(p.Files),
			"pkgsrc:automatic", automatic(p), "pkgsrc:license", p.License, "pkgsrc:pkgpath", p.Path, "pkgsrc:build-date", p.Built,
			"pkgsrc:end-of-life", end),
	}
	var refs []cdx.ExternalReference
	if a != nil {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: a.SHA256}}
		if u := archiveURL(a.Repository, p.Name); u != "" {
			refs = append(refs, cdx.ExternalReference{Type: cdx.ERTypeDistribution, URL: u, Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: a.SHA256}}})
		}
	}
	if survey.WebAddress(p.Homepage) {
		refs = append(refs, cdx.ExternalReference{Type: cdx.ERTypeWebsite, URL: p.Homepage})
	}
	if len(refs) > 0 {
		c.ExternalReferences = &refs
	}
	return c
}

// archiveURL is the address of a package's archive in a repository.
func archiveURL(repository, name string) string {
	u := strings.TrimSuffix(repository, "/") + "/" + name + ".tgz"
	if !survey.WebAddress(u) {
		return ""
	}
	return u
}

func automatic(p *survey.Package) string {
	if p.Automatic {
		return "true"
	}
	return ""
}

// properties makes name-value pairs; those without a value are left out.
func properties(pairs ...string) *[]cdx.Property {
	list := []cdx.Property{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			list = append(list, cdx.Property{Name: pairs[i], Value: survey.Plain(pairs[i+1])})
		}
	}
	return &list
}

func licenses(license string) *cdx.Licenses {
	expr, refs, ok := expression(license)
	switch {
	case license == "":
		return nil
	case !ok || len(refs) > 0:
		return &cdx.Licenses{{License: &cdx.License{Name: survey.Plain(license)}}}
	case strings.ContainsAny(expr, " ()"):
		return &cdx.Licenses{{Expression: expr}}
	}
	return &cdx.Licenses{{License: &cdx.License{ID: expr}}}
}

// vulnerabilities lists each entry of the audit once, with the packages it
// names. The end of maintenance is none.
func vulnerabilities(im *survey.Image) []cdx.Vulnerability {
	type key struct{ class, url string }
	at := map[key]int{}
	var list []cdx.Vulnerability
	for _, f := range im.Findings {
		if f.Class == survey.ClassEOL {
			continue
		}
		k := key{f.Class, f.URL}
		i, ok := at[k]
		if !ok {
			i = len(list)
			at[k] = i
			v := cdx.Vulnerability{ID: survey.Plain(f.URL), Description: survey.Plain(f.Class), Source: &cdx.Source{Name: "pkg-vulnerabilities"}, Affects: &[]cdx.Affects{}}
			if survey.WebAddress(f.URL) {
				v.Advisories = &[]cdx.Advisory{{URL: f.URL}}
				if j := strings.LastIndexByte(f.URL, '/'); j < len(f.URL)-1 {
					v.ID = f.URL[j+1:]
				}
			}
			list = append(list, v)
		}
		if im.Package(f.Package) != nil { // an audit may be older than the image
			*list[i].Affects = append(*list[i].Affects, cdx.Affects{Ref: ref(f.Package)})
		}
	}
	return list
}
