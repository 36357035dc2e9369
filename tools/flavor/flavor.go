package flavor

import (
	"fmt"
	"sort"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// Flavor is one origin image that can be built.
type Flavor struct {
	Name        string     `toml:"name"`
	Description string     `toml:"description"`
	MinPlatform string     `toml:"min_platform,omitempty"` // YYYYMMDDThhmmssZ; empty: as the base
	Base        Base       `toml:"base"`
	Pkgsrc      Pkgsrc     `toml:"pkgsrc"`
	Sdcnode     *Sdcnode   `toml:"sdcnode,omitempty"` // nil: no compatible build is known
	BuildOn     BuildOn    `toml:"build_on"`
	Released    []Released `toml:"released,omitempty"` // oldest first
	Accept      []Accept   `toml:"accept,omitempty"`   // beside those in BuildEnv
	Audit       Audit      `toml:"audit,omitempty"`
}

// Audit is the policy for known vulnerabilities: a build fails on those of some
// classes, unless they are accepted. Without classes they are only reported.
type Audit struct {
	FailOn []string      `toml:"fail_on,omitempty"` // classes; "any" is every class
	Accept []AuditAccept `toml:"accept,omitempty"`
}

// AuditAccept lets findings of one package stand until a day.
type AuditAccept struct {
	Package string `toml:"package"`         // without version
	Class   string `toml:"class,omitempty"` // empty: every class
	URL     string `toml:"url,omitempty"`   // empty: every entry
	Reason  string `toml:"reason"`
	Expires string `toml:"expires"` // YYYY-MM-DD, the last day
}

// Base is the image a flavor is an increment of.
type Base struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	UUID    string `toml:"uuid"`
}

// String returns name@version.
func (b Base) String() string { return b.Name + "@" + b.Version }

// Pkgsrc says what is installed, from which release.
type Pkgsrc struct {
	Release  string   `toml:"release"`  // 2024Q4
	Arch     string   `toml:"arch"`     // x86_64 or multiarch
	Upgrade  bool     `toml:"upgrade"`  // full-upgrade before anything is added
	Packages []string `toml:"packages"` // in this order; NAME or NAME-VERSION
}

// Sdcnode is the build of node for zones that runs on a flavor, and the image it
// was built on (a component's NODE_PREBUILT_IMAGE).
type Sdcnode struct {
	Build string `toml:"build"`
	Image string `toml:"image"`
}

// BuildOn chooses the Jenkins agent that builds a flavor.
type BuildOn struct {
	ImageVer string   `toml:"image_ver"`
	Platform string   `toml:"platform,omitempty"` // platform image stamp, or empty
	Env      []string `toml:"env,omitempty"`      // NAME=value, exported for the build
}

// Released is an image of a flavor that components may build on.
type Released struct {
	Version string `toml:"version"`
	UUID    string `toml:"uuid"`
}

// Accept names an action of a package that the portable engine cannot do
// faithfully and that may be left out all the same.
type Accept struct {
	Package string `toml:"package"`
	Action  string `toml:"action"`
	Reason  string `toml:"reason"`
}

// Version returns the last part of the name, 24.4.1.
func (f *Flavor) Version() string { return f.Name[strings.LastIndexByte(f.Name, '-')+1:] }

// JenkinsParam returns the name of the pipeline's switch for f, BUILD_24_4_1.
func (f *Flavor) JenkinsParam() string {
	return "BUILD_" + strings.ReplaceAll(f.Version(), ".", "_")
}

// AgentLabels returns the labels of a Jenkins agent for components that build on f.
func (f *Flavor) AgentLabels() string {
	return fmt.Sprintf("image_ver:%s && pkgsrc_arch:%s", f.Version(), f.Pkgsrc.Arch)
}

// BuildEnv is what belongs to no single flavor (buildenv.toml).
type BuildEnv struct {
	Homepage   string    `toml:"homepage"`         // of origin images
	EOLPage    string    `toml:"eol_packages_url"` // shown by the audit
	Pkgsrc     []Release `toml:"pkgsrc"`           // oldest first
	OptTools   OptTools  `toml:"opt_tools"`
	Path       Path      `toml:"path"`
	Images     []Image   `toml:"image"`
	OldSdcnode []Sdcnode `toml:"sdcnode,omitempty"` // for images that are no flavors
	Accept     []Accept  `toml:"accept,omitempty"`
}

// Release is a pkgsrc release.
type Release struct {
	Name     string   `toml:"release"`
	Agent    string   `toml:"agent,omitempty"`    // uuid of the jenkins-agent image, or empty
	Packages []string `toml:"packages,omitempty"` // on a build machine; none: not checked
}

// OptTools is the second pkgsrc of a build machine, below /opt/tools.
type OptTools struct {
	Until    string   `toml:"until"` // release from which on it is not needed
	Packages []string `toml:"packages"`
}

// Path lists the programs of a build machine that come from no package.
type Path struct {
	Programs []string `toml:"programs"`
}

// Image is an image that components build on and that is no flavor.
type Image struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	UUID    string `toml:"uuid"`
	Pkgsrc  string `toml:"pkgsrc"`
}

// Set is everything the flavor files say. It does not change once loaded.
type Set struct {
	Flavors  []*Flavor // by version, as upstream lists them
	BuildEnv BuildEnv
}

// Names returns the flavors' names in order.
func (s *Set) Names() []string {
	names := make([]string, len(s.Flavors))
	for i, f := range s.Flavors {
		names[i] = f.Name
	}
	return names
}

// Lookup finds a flavor by its name, or by its version alone. An unknown one is an
// error of kind fault.Usage that names the nearest or lists all.
func (s *Set) Lookup(name string) (*Flavor, error) {
	for _, f := range s.Flavors {
		if f.Name == name || f.Version() == name {
			return f, nil
		}
	}
	err := fault.Usage.Errorf("unknown flavor %q", name)
	if near := nearest(name, s.Names()); near != "" {
		return nil, fault.WithHint(err, "did you mean %s?", near)
	}
	return nil, fault.WithHint(err, "the flavors are: %s", strings.Join(s.Names(), " "))
}

// Release returns what is known of a pkgsrc release.
func (s *Set) Release(name string) (Release, bool) {
	for _, r := range s.BuildEnv.Pkgsrc {
		if r.Name == name {
			return r, true
		}
	}
	return Release{}, false
}

// Accepts returns the accepted actions for f: everybody's, then its own.
func (s *Set) Accepts(f *Flavor) []Accept {
	return append(append([]Accept(nil), s.BuildEnv.Accept...), f.Accept...)
}

// Known is an image that a component may name as its BASE_IMAGE_UUID.
type Known struct {
	UUID    string
	Name    string
	Version string
	Pkgsrc  string
	Agent   string  // uuid of the jenkins-agent image, empty where none is known
	Flavor  *Flavor // the flavor it is the base or a release of, or nil
	Origin  bool    // a released image of Flavor, not its base
}

// String returns name@version.
func (k Known) String() string { return k.Name + "@" + k.Version }

// Known returns all images: of each pkgsrc release those that are no flavors, then
// each flavor's base and its released images.
func (s *Set) Known() []Known {
	var all []Known
	for _, i := range s.BuildEnv.Images {
		all = append(all, Known{UUID: i.UUID, Name: i.Name, Version: i.Version, Pkgsrc: i.Pkgsrc})
	}
	for _, f := range s.Flavors {
		all = append(all, Known{UUID: f.Base.UUID, Name: f.Base.Name, Version: f.Base.Version, Pkgsrc: f.Pkgsrc.Release, Flavor: f})
		for _, r := range f.Released {
			all = append(all, Known{UUID: r.UUID, Name: f.Name, Version: r.Version, Pkgsrc: f.Pkgsrc.Release, Flavor: f, Origin: true})
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Pkgsrc < all[j].Pkgsrc })
	for i := range all {
		r, _ := s.Release(all[i].Pkgsrc)
		all[i].Agent = r.Agent
	}
	return all
}
