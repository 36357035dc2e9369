package sbom

import (
	"encoding/json"
	"io"
	"path"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/redact"
	"github.com/TritonDataCenter/engbld/tools/survey"
)

// Types of the statements, as in-toto and SLSA name them.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://slsa.dev/provenance/v1"

	// BuildType says how external parameters and dependencies are to be read:
	// the request of tools/build and the inputs of tools/lock, or, where nothing
	// was recorded, what the manifest says.
	BuildType = project + "/image-build/v1"
)

// Statement is an in-toto statement with a SLSA provenance predicate.
type Statement struct {
	Type          string       `json:"_type"`
	Subject       []Descriptor `json:"subject"`
	PredicateType string       `json:"predicateType"`
	Predicate     Predicate    `json:"predicate"`
}

// Descriptor names a thing by its digests.
type Descriptor struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

// Predicate is SLSA provenance v1.
type Predicate struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// BuildDefinition is what was asked for, and from what.
type BuildDefinition struct {
	BuildType            string         `json:"buildType"`
	ExternalParameters   any            `json:"externalParameters"`
	InternalParameters   map[string]any `json:"internalParameters,omitempty"`
	ResolvedDependencies []Descriptor   `json:"resolvedDependencies"`
}

// RunDetails say what did it, and what else came of it.
type RunDetails struct {
	Builder struct {
		ID string `json:"id"`
	} `json:"builder"`
	Metadata struct {
		InvocationID string `json:"invocationId"`
	} `json:"metadata"`
	Byproducts []Descriptor `json:"byproducts,omitempty"`
}

// WriteProvenance writes the statement of an image.
func WriteProvenance(w io.Writer, s Subject) error {
	st, err := Provenance(s)
	if err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(st)
}

// Provenance states how an image was made: in full where its build was recorded,
// else as far as the manifest tells.
func Provenance(s Subject) (*Statement, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	m := s.Image.Manifest
	st := &Statement{Type: StatementType, PredicateType: PredicateType, Subject: s.subjects()}
	d := &st.Predicate.BuildDefinition
	d.BuildType = BuildType
	d.ResolvedDependencies = s.dependencies()
	if r := s.Record; r != nil {
		d.ExternalParameters = request(r.Build.Request)
		d.InternalParameters = map[string]any{"plan": r.Build.Plan, "writer": r.Build.Writer, "sandbox": r.Build.Sandbox}
	} else {
		d.ExternalParameters = fromManifest(m)
	}
	run := &st.Predicate.RunDetails
	run.Builder.ID = project
	run.Metadata.InvocationID = "urn:uuid:" + m.UUID()
	if r := s.Record; r != nil {
		for _, o := range r.Build.Outputs {
			if o.Name != s.FileName {
				run.Byproducts = append(run.Byproducts, Descriptor{Name: o.Name, Digest: map[string]string{"sha256": o.SHA256}})
			}
		}
	}
	return st, nil
}

// subjects are the image's files.
func (s *Subject) subjects() []Descriptor {
	m := s.Image.Manifest
	name := s.FileName
	if name == "" {
		name = m.UUID()
	}
	d := Descriptor{Name: name, Digest: map[string]string{}, Annotations: map[string]any{"uuid": m.UUID(), "image": m.NameVersion()}}
	for _, f := range m.Files() {
		if imgmanifest.ValidSHA1(f.SHA1) {
			d.Digest["sha1"] = f.SHA1
		}
	}
	sha256 := s.SHA256
	if r := s.Record; r != nil && sha256 == "" {
		for _, o := range r.Build.Outputs {
			if o.Name == s.FileName {
				sha256 = o.SHA256
			}
		}
	}
	if sha256 != "" {
		d.Digest["sha256"] = sha256
	}
	return []Descriptor{d}
}

// request is what was asked for, without the directories of the machine that
// built it: where a component's files were says nothing about them.
func request(text string) any {
	var fields map[string]any
	if json.Unmarshal([]byte(text), &fields) != nil {
		return map[string]any{"request": text}
	}
	if component, ok := fields["component"].(map[string]any); ok {
		for k, v := range component {
			if name, ok := v.(string); ok && name != "" {
				component[k] = path.Base(name)
			}
		}
	}
	return fields
}

func fromManifest(m *imgmanifest.Manifest) map[string]any {
	p := map[string]any{"name": m.Name(), "version": m.Version(), "timestamp": m.PublishedAt()}
	if o := m.Origin(); o != "" {
		p["base"] = o
	}
	return p
}

func (s *Subject) dependencies() []Descriptor {
	m := s.Image.Manifest
	list := []Descriptor{}
	if git, ok := sourceCommit(m); ok {
		list = append(list, Descriptor{Name: "source", URI: s.source(git), Digest: map[string]string{"gitCommit": git}})
	}
	if s.Record == nil {
		if o := s.Origin; o != nil {
			d := Descriptor{Name: o.NameVersion(), URI: "urn:uuid:" + o.UUID(), Digest: map[string]string{}}
			for _, f := range o.Files() {
				if imgmanifest.ValidSHA1(f.SHA1) {
					d.Digest["sha1"] = f.SHA1
				}
			}
			list = append(list, d)
		} else if o := m.Origin(); o != "" {
			list = append(list, Descriptor{Name: "base image", URI: "urn:uuid:" + o})
		}
		return list
	}
	r := s.Record
	for _, i := range r.Images {
		list = append(list, Descriptor{Name: i.String(), URI: "urn:uuid:" + i.UUID, Digest: map[string]string{"sha1": i.SHA1},
			Annotations: map[string]any{"streamSha256": i.Stream}})
	}
	for _, c := range r.Components {
		list = append(list, Descriptor{Name: "component files", Annotations: map[string]any{"path": path.Base(c.Path), "treeSha256": c.Digest}})
	}
	for i := range r.Packages {
		p := &r.Packages[i]
		d := Descriptor{Name: p.FullName(), URI: archiveURL(p.Repository, p.FullName()), Digest: map[string]string{"sha256": p.SHA256}}
		if p.SignedBy != "" {
			d.Annotations = map[string]any{"signedBy": p.SignedBy}
		}
		list = append(list, d)
	}
	if v := r.Vulnerabilities; v != nil {
		d := Descriptor{Name: "pkg-vulnerabilities", Digest: map[string]string{"sha256": v.SHA256}}
		if survey.WebAddress(v.URL) {
			d.URI = v.URL
		}
		list = append(list, d)
	}
	return list
}

// source is the address of the sources at a commit.
func (s *Subject) source(commit string) string {
	repo := project
	if s.Record != nil {
		var req struct {
			SourceRepo string `json:"source_repo"`
		}
		if json.Unmarshal([]byte(s.Record.Build.Request), &req) == nil {
			// Records of old may have more in it.
			if source := redact.Repository(req.SourceRepo); survey.WebAddress(source) {
				repo = strings.TrimSuffix(source, "/")
			}
		}
	}
	return "git+" + repo + "@" + commit
}

// sourceCommit is the commit that the manifest's tags name.
func sourceCommit(m *imgmanifest.Manifest) (string, bool) {
	var git string
	if json.Unmarshal(m.Tags()["git"], &git) != nil || (len(git) != 40 && len(git) != 64) || strings.Trim(git, "0123456789abcdef") != "" {
		return "", false
	}
	return git, true
}
