package build

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/google/uuid"
)

// TimestampLayout is the form of TIMESTAMP and of platform stamps
// (spec engbld-interface.md section 3.1).
const TimestampLayout = "20060102T150405Z"

// DefaultPlatform is the platform stamp that builds ask for where nothing else
// is said (BUILD_PLATFORM, spec engbld-interface.md section 3.1).
const DefaultPlatform = "20181206T011455Z"

// Request is everything that decides what an image holds. Where the results go
// and where inputs come from is said in Options.
type Request struct {
	Name       string          `json:"name"`                  // of the flavor or component
	Prefix     string          `json:"prefix"`                // of the output files, usually NAME-zfs
	Version    string          `json:"version"`               // in the output files' names
	Base       string          `json:"base"`                  // uuid of the image to build on
	Manifest   json.RawMessage `json:"manifest"`              // BUILDIMAGE_MF: an object with at least name and version
	Packages   []string        `json:"packages"`              // for pkg_add -U, in this order
	Upgrade    bool            `json:"upgrade"`               // full-upgrade first
	Audit      bool            `json:"audit"`                 // write the vulnerability audit
	MOTD       bool            `json:"motd"`                  // write /etc/motd
	SourceRepo string          `json:"source_repo,omitempty"` // named in /etc/motd
	Timestamp  time.Time       `json:"timestamp"`             // of everything new in the image; published_at
	Platform   string          `json:"platform"`              // least min_platform, unless the manifest names one
	Accept     []string        `json:"accept,omitempty"`      // package actions that may be left out: PACKAGE:ACTION

	Component Component `json:"component"`
}

// Component says where the file tree of a component comes from. All parts are
// optional and laid over each other in this order; an origin image has none.
type Component struct {
	Stage   string `json:"stage,omitempty"`   // directory whose root/ goes over the image's root: unpacked agents
	Package string `json:"package,omitempty"` // archive whose root/ does
	Dir     string `json:"dir,omitempty"`     // directory that does itself
}

var (
	packageName = regexp.MustCompile(`^[A-Za-z0-9_.,+-]+$`) // spec engbld-interface.md section 4.10
	fileName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]*$`)
	fileVersion = regexp.MustCompile(`^[A-Za-z0-9_.+-]+$`) // outside of git a stamp begins with its dash
)

// Check returns the first thing that makes the request impossible, before any
// work is done. It is a usage error.
func (r *Request) Check() error {
	bad := func(format string, args ...any) error {
		return fault.Usage.Errorf("build request: "+format, args...)
	}
	for _, f := range []struct {
		what, value string
		form        *regexp.Regexp
	}{{"name", r.Name, fileName}, {"image prefix", r.Prefix, fileName}, {"version", r.Version, fileVersion}} {
		if !f.form.MatchString(f.value) || len(f.value) > 200 {
			return bad("%s %q cannot be part of a file name", f.what, f.value)
		}
	}
	if r.Base == "" {
		return fault.WithHint(bad("no base image is named"), "set BASE_IMAGE_UUID to the uuid of a triton-origin image")
	}
	if id, err := uuid.Parse(r.Base); err != nil || id.String() != r.Base {
		return bad("base image %q is no lower-case uuid", r.Base)
	}
	if _, err := r.fields(); err != nil {
		return err
	}
	if r.Timestamp.IsZero() {
		return bad("no timestamp")
	}
	if _, err := time.Parse(TimestampLayout, r.Platform); err != nil {
		return fault.WithHint(bad("platform %q is no platform stamp", r.Platform), "BUILD_PLATFORM looks like %s", DefaultPlatform)
	}
	if strings.ContainsFunc(r.SourceRepo, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return bad("source repository %q holds control characters", r.SourceRepo)
	}
	for _, p := range r.Packages {
		if !packageName.MatchString(p) {
			return bad("package %q: only letters, digits and -_.+ may be in its name", p)
		}
	}
	return nil
}

// fields returns the manifest's fields.
func (r *Request) fields() (map[string]json.RawMessage, error) {
	hint := "BUILDIMAGE_MF must be a JSON object with at least \"name\" and \"version\""
	var m map[string]json.RawMessage
	if err := json.Unmarshal(r.Manifest, &m); err != nil {
		return nil, fault.WithHint(fault.Usage.Errorf("build request: manifest: %w", err), "%s", hint)
	}
	for _, key := range []string{"name", "version"} {
		var s string
		if json.Unmarshal(m[key], &s) != nil || s == "" {
			return nil, fault.WithHint(fault.Usage.Errorf("build request: manifest has no %s", key), "%s", hint)
		}
	}
	return m, nil
}

// ImageName and ImageVersion are what the manifest calls the image.
func (r *Request) ImageName() string    { return r.field("name") }
func (r *Request) ImageVersion() string { return r.field("version") }

func (r *Request) field(key string) string {
	m, err := r.fields()
	if err != nil {
		return ""
	}
	var s string
	_ = json.Unmarshal(m[key], &s)
	return s
}

// Encode writes the request as canonical JSON: equal requests give equal bytes
// whatever the spelling of the manifest was.
func (r *Request) Encode() ([]byte, error) {
	c := *r
	m, err := r.fields()
	if err != nil {
		return nil, err
	}
	if c.Manifest, err = canonical(m); err != nil {
		return nil, err
	}
	c.Timestamp = c.Timestamp.UTC()
	if c.Packages == nil {
		c.Packages = []string{}
	}
	b, err := json.MarshalIndent(&c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the build request: %w", err)
	}
	return append(b, '\n'), nil
}

// canonical re-encodes fields with sorted keys at every level and numbers as written.
func canonical(m map[string]json.RawMessage) (json.RawMessage, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding the manifest: %w", err)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("encoding the manifest: %w", err)
	}
	return json.Marshal(v)
}

// ParseTimestamp reads a TIMESTAMP.
func ParseTimestamp(s string) (time.Time, error) {
	t, err := time.Parse(TimestampLayout, s)
	if err != nil {
		return time.Time{}, fault.WithHint(fault.Usage.Errorf("timestamp %q is not of the form YYYYMMDDThhmmssZ", s),
			"unset TIMESTAMP, or set it like %s", "20260102T030405Z")
	}
	return t, nil
}

// SplitPackages reads a list of packages separated by blanks or commas, as
// BUILDIMAGE_PKGSRC and -p give it.
func SplitPackages(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
}
