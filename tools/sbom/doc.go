// Package sbom writes bills of materials of images, as CycloneDX 1.6 and SPDX
// 2.3 in JSON, and statements of provenance, in-toto v1 with the SLSA v1
// predicate.
//
// What they list is the package database of the image; files of no package are
// summed up, not listed. The same image gives the same bytes: times are the
// manifest's published_at, identifiers derive from the image's uuid, nothing is
// random and nothing tells of the machine it runs on.
//
// pkgsrc has its own names for licenses, which do not tell "version 2 only" from
// "version 2 or later"; they become the SPDX identifier of the text they name,
// and the pkgsrc name stays beside it.
package sbom
