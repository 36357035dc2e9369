package lock

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/pelletier/go-toml/v2"
)

// FileName is what the lock of a flavor is called, beside its flavor.toml.
const FileName = "flavor.lock"

// SandboxFileName is what the lock for builds in the sandbox is called.
const SandboxFileName = "flavor.sandbox.lock"

const (
	format      = 1
	maxText     = 16 << 20
	maxPackages = 20000
	maxImages   = 100
)

// Lock names all inputs of an image.
type Lock struct {
	Format          int         `toml:"format"` // 1
	Name            string      `toml:"name"`   // of the flavor or component
	Wants           Wants       `toml:"wants"`
	Images          []Image     `toml:"image"` // the base's chain, the one without an origin first
	Components      []Component `toml:"component,omitempty"`
	Keyring         *Keyring    `toml:"keyring,omitempty"`
	Vulnerabilities *File       `toml:"vulnerabilities,omitempty"`
	Packages        []Package   `toml:"package,omitempty"` // in the order in which they are installed
	Removed         []Removed   `toml:"removed,omitempty"`
	Known           []Index     `toml:"known,omitempty"` // what the resolver must know besides: packages that supersede others
}

// Wants is what was asked for when the lock was made; where something else is
// asked for the lock is stale.
type Wants struct {
	Base     string   `toml:"base"` // uuid
	Upgrade  bool     `toml:"upgrade"`
	Audit    bool     `toml:"audit"`
	Packages []string `toml:"packages"`
	Accept   []string `toml:"accept"`
}

// Image is one image of the base's chain.
type Image struct {
	UUID    string `toml:"uuid"`
	Name    string `toml:"name"`
	Version string `toml:"version"`
	SHA1    string `toml:"sha1"`          // of the file as published
	Size    int64  `toml:"size"`          // of the file as published, bytes
	Stream  string `toml:"stream_sha256"` // of the stream it unpacks to
}

// Component is a tree of a component's files.
type Component struct {
	Path   string `toml:"path"`
	Digest string `toml:"tree_sha256"` // of everything about the tree that an image shows
}

// Keyring is what packages are verified with.
type Keyring struct {
	Path string   `toml:"path"` // in the base image
	Keys []string `toml:"keys"` // fingerprints of the primary keys, sorted
}

// File is a file with its place.
type File struct {
	URL    string `toml:"url"`
	Size   int64  `toml:"size"`
	SHA256 string `toml:"sha256"`
}

// Package is an archive that is installed.
type Package struct {
	Name       string `toml:"name"` // without version
	Version    string `toml:"version"`
	Step       string `toml:"step"`               // upgrade or packages
	Replaces   string `toml:"replaces,omitempty"` // full name of what was there before
	Automatic  bool   `toml:"automatic,omitempty"`
	Size       int64  `toml:"size"`
	SHA256     string `toml:"sha256"`
	Repository string `toml:"repository"`          // address of its directory, without secrets
	SignedBy   string `toml:"signed_by,omitempty"` // fingerprint of the key
	Index
}

// Index is what the repository's summary says of a package (spec pkgsrc.md section
// 2.1), as far as the resolver reads it.
type Index struct {
	PkgName    string   `toml:"pkgname,omitempty"` // full name; in Package it is Name-Version
	PkgPath    string   `toml:"pkgpath,omitempty"`
	BuildDate  string   `toml:"build_date,omitempty"`
	Depends    []string `toml:"depends,omitempty"`
	Conflicts  []string `toml:"conflicts,omitempty"`
	Supersedes []string `toml:"supersedes,omitempty"`
}

// Removed is an installed package that goes.
type Removed struct {
	Name string `toml:"name"` // full name
}

// FullName is name and version.
func (p *Package) FullName() string { return p.Name + "-" + p.Version }

// String returns name@version.
func (i *Image) String() string { return i.Name + "@" + i.Version }

var (
	uuidRE   = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	sha1RE   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sha256RE = regexp.MustCompile(`^[0-9a-f]{64}$`)
	pkgRE    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.,+~-]{0,248}$`)
)

// Parse reads a lock; unknown keys, missing digests and doubled packages are errors.
func Parse(raw []byte) (*Lock, error) {
	l := &Lock{}
	if err := decode(raw, l); err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return l, nil
}

// Read reads the lock in a file; fs.ErrNotExist where there is none. A lock that
// cannot be read is fault.Drift.
func Read(name string) (*Lock, error) {
	raw, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	l, err := Parse(raw)
	if err != nil {
		return nil, fault.WithHint(fault.Drift.Errorf("%s: %w", name, err), "remove it, and make it anew: engbld lock FLAVOR")
	}
	return l, nil
}

func readBounded(name string) ([]byte, error) {
	raw, err := bounded.ReadFile(name, maxText)
	if errors.Is(err, bounded.ErrUnfit) {
		err = fault.Drift.Wrap(err)
	}
	return raw, err
}

func decode(raw []byte, v any) error {
	if len(raw) > maxText {
		return fmt.Errorf("%d bytes, at most %d are read", len(raw), maxText)
	}
	err := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields().Decode(v)
	var strict *toml.StrictMissingError
	var at *toml.DecodeError
	switch {
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		line, col := strict.Errors[0].Position()
		return fmt.Errorf("%d:%d: unknown key %q", line, col, strings.Join(strict.Errors[0].Key(), "."))
	case errors.As(err, &at):
		line, col := at.Position()
		return fmt.Errorf("%d:%d: %s", line, col, strings.TrimPrefix(at.Error(), "toml: "))
	}
	return err
}

func (l *Lock) check() error {
	switch {
	case l.Format != format:
		return fmt.Errorf("format %d is not known, only %d", l.Format, format)
	case !uuidRE.MatchString(l.Wants.Base):
		return fmt.Errorf("wants.base: %q is no uuid", l.Wants.Base)
	case len(l.Images) == 0 || len(l.Images) > maxImages:
		return fmt.Errorf("%d images in the base's chain", len(l.Images))
	case len(l.Packages) > maxPackages:
		return fmt.Errorf("%d packages, at most %d are read", len(l.Packages), maxPackages)
	}
	for _, i := range l.Images {
		if !uuidRE.MatchString(i.UUID) || !sha1RE.MatchString(i.SHA1) || !sha256RE.MatchString(i.Stream) || i.Size <= 0 {
			return fmt.Errorf("image %q: uuid, sha1, size or stream_sha256 is missing or malformed", i.UUID)
		}
	}
	if last := l.Images[len(l.Images)-1].UUID; last != l.Wants.Base {
		return fmt.Errorf("the base is %s, but the last image %s", l.Wants.Base, last)
	}
	for _, c := range l.Components {
		if !sha256RE.MatchString(c.Digest) {
			return fmt.Errorf("component %q: tree_sha256 %q", c.Path, c.Digest)
		}
	}
	if v := l.Vulnerabilities; v != nil && (!sha256RE.MatchString(v.SHA256) || v.Size < 0) {
		return fmt.Errorf("vulnerabilities: sha256 %q or size %d", v.SHA256, v.Size)
	}
	seen := map[string]bool{}
	for _, p := range l.Packages {
		switch name := p.FullName(); {
		case !pkgRE.MatchString(name) || p.Name == "" || p.Version == "":
			return fmt.Errorf("package %q: not a package's name", name)
		case !sha256RE.MatchString(p.SHA256) || p.Size <= 0:
			return fmt.Errorf("package %s: sha256 or size is missing or malformed", name)
		case seen[name]:
			return fmt.Errorf("package %s comes twice", name)
		default:
			seen[name] = true
		}
	}
	for _, k := range l.Known {
		if !pkgRE.MatchString(k.PkgName) {
			return fmt.Errorf("known package %q: not a package's name", k.PkgName)
		}
	}
	return nil
}

// Stale lists in what ways other wants differ from those the lock was made for;
// none: the lock holds.
func (l *Lock) Stale(w Wants) (why []string) {
	have := l.Wants
	if have.Base != w.Base {
		why = append(why, fmt.Sprintf("the base image is now %s, the lock is for %s", w.Base, have.Base))
	}
	for _, b := range []struct {
		what      string
		have, now bool
	}{{"upgrading first", have.Upgrade, w.Upgrade}, {"the audit", have.Audit, w.Audit}} {
		if b.have != b.now {
			why = append(why, fmt.Sprintf("%s is now %s, the lock is for %s", b.what, onOff(b.now), onOff(b.have)))
		}
	}
	if !slices.Equal(have.Packages, w.Packages) {
		why = append(why, difference("packages", have.Packages, w.Packages))
	}
	if !slices.Equal(have.Accept, w.Accept) {
		why = append(why, difference("accepted actions", have.Accept, w.Accept))
	}
	return why
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// difference says how two lists differ.
func difference(what string, have, now []string) string {
	var parts []string
	for _, s := range now {
		if !slices.Contains(have, s) {
			parts = append(parts, "+"+s)
		}
	}
	for _, s := range have {
		if !slices.Contains(now, s) {
			parts = append(parts, "-"+s)
		}
	}
	if len(parts) == 0 {
		return what + " stand in another order now"
	}
	return what + " differ: " + strings.Join(parts, " ")
}

// Changes compares two locks for people: what is new in now, one line each.
func Changes(was, now *Lock) (lines []string) {
	if was == nil {
		return nil
	}
	lines = was.Stale(now.Wants)
	for i, img := range now.Images {
		if i < len(was.Images) && was.Images[i].UUID == img.UUID && was.Images[i] != img {
			lines = append(lines, fmt.Sprintf("image %s: another file", img.UUID))
		}
	}
	old := map[string]Package{}
	for _, p := range was.Packages {
		old[p.Name] = p
	}
	for _, p := range now.Packages {
		o, ok := old[p.Name]
		delete(old, p.Name)
		switch {
		case !ok:
			lines = append(lines, fmt.Sprintf("+ %s", p.FullName()))
		case o.Version != p.Version:
			lines = append(lines, fmt.Sprintf("%s -> %s", o.FullName(), p.Version))
		case o.SHA256 != p.SHA256:
			lines = append(lines, fmt.Sprintf("%s: another archive (%.12s -> %.12s)", p.FullName(), o.SHA256, p.SHA256))
		}
	}
	for _, p := range was.Packages {
		if _, gone := old[p.Name]; gone {
			lines = append(lines, fmt.Sprintf("- %s", p.FullName()))
		}
	}
	if a, b := was.Vulnerabilities, now.Vulnerabilities; a != nil && b != nil && a.SHA256 != b.SHA256 {
		lines = append(lines, fmt.Sprintf("vulnerabilities: another list (%.12s -> %.12s)", a.SHA256, b.SHA256))
	}
	return lines
}
