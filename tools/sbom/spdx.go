package sbom

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/lock"
	"github.com/TritonDataCenter/engbld/tools/survey"
)

const noAssertion = "NOASSERTION"

// WriteSPDX writes the bill of materials of an image as SPDX 2.3 JSON: the image
// contains its packages, these depend on each other, and it descends from the
// image it is based on.
func WriteSPDX(w io.Writer, s Subject) error {
	if err := s.check(); err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(s.spdx())
}

func (s *Subject) spdx() *spdx.Document {
	im, m := s.Image, s.Image.Manifest
	published, _ := s.time()
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: m.NameVersion(),
		DocumentNamespace: project + "/spdx/" + derive(m.UUID(), "spdx"),
		DocumentComment:   "Made from the image's package database. Files that belong to no package are not listed.",
		CreationInfo:      &spdx.CreationInfo{Creators: []common.Creator{{CreatorType: "Tool", Creator: "engbld"}}, Created: published},
	}
	relate := func(a common.ElementID, kind string, b common.ElementID) {
		doc.Relationships = append(doc.Relationships, &spdx.Relationship{
			RefA: common.DocElementID{ElementRefID: a}, RefB: common.DocElementID{ElementRefID: b}, Relationship: kind})
	}
	image := imagePackage(m)
	if s.SHA256 != "" {
		image.PackageChecksums = append(image.PackageChecksums, common.Checksum{Algorithm: common.SHA256, Value: s.SHA256})
	}
	image.PackageFileName = s.FileName
	doc.Packages = append(doc.Packages, image)
	relate("DOCUMENT", common.TypeRelationshipDescribe, image.PackageSPDXIdentifier)
	if s.Origin != nil {
		base := imagePackage(s.Origin)
		doc.Packages = append(doc.Packages, base)
		relate(image.PackageSPDXIdentifier, common.TypeRelationshipDescendantOf, base.PackageSPDXIdentifier)
	}
	archives, others := s.archives(), map[string]bool{}
	for i := range im.Packages {
		p := &im.Packages[i]
		pkg, refs := s.spdxPackage(p, archives[p.Name])
		for _, r := range refs {
			others[r] = true
		}
		doc.Packages = append(doc.Packages, pkg)
		relate(image.PackageSPDXIdentifier, common.TypeRelationshipContains, pkg.PackageSPDXIdentifier)
	}
	for i := range im.Packages {
		for _, r := range im.Packages[i].Requires {
			relate(packageID(im.Packages[i].Name), common.TypeRelationshipDependsOn, packageID(r))
		}
	}
	for name := range others {
		doc.OtherLicenses = append(doc.OtherLicenses, &spdx.OtherLicense{
			LicenseIdentifier: refPrefix + identifier(name), LicenseName: survey.Plain(name),
			ExtractedText: "The license that pkgsrc calls " + survey.Plain(name) + "; its text is in pkgsrc's directory licenses.",
		})
	}
	slices.SortFunc(doc.OtherLicenses, func(a, b *spdx.OtherLicense) int { return cmp.Compare(a.LicenseIdentifier, b.LicenseIdentifier) })
	return doc
}

func packageID(name string) common.ElementID {
	return common.ElementID("Package-" + identifier(name))
}

func imagePackage(m *imgmanifest.Manifest) *spdx.Package {
	p := &spdx.Package{
		PackageName: m.Name(), PackageSPDXIdentifier: common.ElementID("Image-" + m.UUID()), PackageVersion: m.Version(),
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion,
		PackageCopyrightText: noAssertion, PackageDescription: m.Description(), PrimaryPackagePurpose: "CONTAINER",
		PackageExternalReferences: []*spdx.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: imagePurl(m)}},
	}
	var home string
	if raw, ok := m.Get("homepage"); ok && json.Unmarshal(raw, &home) == nil && survey.WebAddress(home) {
		p.PackageHomePage = home
	}
	for _, f := range m.Files() {
		if imgmanifest.ValidSHA1(f.SHA1) {
			p.PackageChecksums = append(p.PackageChecksums, common.Checksum{Algorithm: common.SHA1, Value: f.SHA1})
		}
	}
	return p
}

func (s *Subject) spdxPackage(p *survey.Package, a *lock.Package) (*spdx.Package, []string) {
	out := &spdx.Package{
		PackageName: survey.Plain(p.Base), PackageSPDXIdentifier: packageID(p.Name), PackageVersion: survey.Plain(p.Version),
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion,
		PackageCopyrightText: noAssertion, PackageSummary: survey.Plain(p.Comment),
		PackageExternalReferences: []*spdx.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: s.purl(p)}},
	}
	if p.Path != "" {
		out.PackageSourceInfo = "pkgsrc " + survey.Plain(p.Path)
	}
	if survey.WebAddress(p.Homepage) {
		out.PackageHomePage = p.Homepage
	}
	if t, err := time.Parse("2006-01-02 15:04:05 -0700", strings.TrimSpace(p.Built)); err == nil {
		out.BuiltDate = t.UTC().Format("2006-01-02T15:04:05Z")
	}
	if a != nil {
		out.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: a.SHA256}}
		if u := archiveURL(a.Repository, p.Name); u != "" {
			out.PackageDownloadLocation = u
		}
	}
	expr, refs, ok := expression(p.License)
	if ok {
		out.PackageLicenseDeclared = expr
		out.PackageLicenseComments = "pkgsrc: " + survey.Plain(p.License)
	} else if p.License != "" {
		out.PackageLicenseComments = "pkgsrc, not understood: " + survey.Plain(p.License)
	}
	return out, refs
}
