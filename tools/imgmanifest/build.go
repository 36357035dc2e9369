package imgmanifest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// BuildInput is everything that decides about the manifest of a built image.
type BuildInput struct {
	Given       *Manifest // name, version and any further fields (BUILDIMAGE_MF)
	Origin      *Manifest // the base image's
	File        File      // the image file; an empty Compression is gzip
	PublishedAt time.Time // written without fractions, in UTC, unless Given has published_at
	MinPlatform string    // YYYYMMDDTHHMMSSZ that decides unless Given has one; "" lets base and floor decide
	Floor       string    // YYYYMMDDTHHMMSSZ: the image runs on no platform older than this; may be ""
	Sandbox     bool      // mark the image as made in the sandbox; an Origin with the mark does the same
}

const platformKey = "7.0" // the one SDC version in practice (spec imgapi.md section 10)

// inherited are the fields taken from the origin where they are not given
// (spec engbld-interface.md section 4.10, step 13). requirements has rules of
// its own.
var inherited = [...]string{
	"type", "os", "users", "billing_tags", "traits", "generate_passwords", "inherited_directories",
	"nic_driver", "disk_driver", "cpu_type", "image_size",
}

// computed are the fields Build decides alone; serverOwned are those an image
// server sets, left out if given.
var (
	computed    = [...]string{"uuid", "files", "origin"}
	serverOwned = [...]string{"state", "disabled", "activated", "channels", "icon", "error", "acl"}
)

// Build makes the manifest of an image: the given fields, defaults and fields
// inherited from the origin (spec engbld-interface.md section 4.10). Its uuid
// is derived from all the rest, so that the same image always has the same
// one. Errors are usage errors: they name the given field that is wrong.
func Build(in BuildInput) (*Manifest, error) {
	if in.Given == nil || in.Origin == nil {
		return nil, fault.Defect.Errorf("image manifest: given fields and origin are needed")
	}
	m := in.Given.Clone()
	for _, name := range computed {
		if _, ok := m.Get(name); ok {
			return nil, fault.Usage.Errorf("image manifest: %q cannot be given, the build computes it", name)
		}
	}
	m.Delete(serverOwned[:]...)
	set := setter{m: m}
	set.value("v", 2)
	set.fallback("owner", ZeroUUID)
	set.fallback("published_at", in.PublishedAt.UTC().Format("2006-01-02T15:04:05Z"))
	for _, name := range inherited {
		if raw, ok := in.Origin.Get(name); ok {
			set.fallback(name, raw)
		}
	}
	set.value("requirements", requirements(in))
	set.fallback("tags", json.RawMessage("{}"))
	if in.Sandbox || in.Origin.Sandbox() {
		set.value("tags", markSandbox(m))
	}
	set.value("origin", in.Origin.UUID())
	set.value("files", files(in.File))
	if set.err != nil {
		return nil, fault.Usage.Wrap(set.err)
	}
	set.value("uuid", DeriveUUID(m))
	if set.err != nil {
		return nil, fault.Defect.Wrap(set.err)
	}
	if err := m.Validate(); err != nil {
		return nil, fault.Usage.Wrap(err)
	}
	return m, nil
}

// DeriveUUID returns the uuid that belongs to a manifest: a version 8 UUID
// (RFC 9562) from the SHA-256 of its canonical form without the field uuid.
func DeriveUUID(m *Manifest) string {
	c := m.Clone()
	c.Delete("uuid")
	sum := sha256.Sum256(c.Encode())
	var id uuid.UUID
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// setter remembers the first error.
type setter struct {
	m   *Manifest
	err error
}

func (s *setter) value(name string, v any) {
	if s.err == nil {
		s.err = s.m.Set(name, v)
	}
}

func (s *setter) fallback(name string, v any) {
	if _, ok := s.m.Get(name); !ok {
		s.value(name, v)
	}
}

func files(f File) json.RawMessage {
	if f.Compression == "" {
		f.Compression = "gzip"
	}
	// As upstream: size, compression, sha1, in the server's order of names.
	raw, _ := json.Marshal([]File{f})
	return raw
}

// markSandbox returns the tags with sandbox set, the others in their order.
func markSandbox(m *Manifest) json.RawMessage {
	raw, _ := m.Get("tags")
	tags, err := Parse(raw)
	if err != nil {
		return raw // not an object: Validate says so
	}
	if tags.Set("sandbox", true) != nil {
		return raw
	}
	return tags.compact(tags.fields)
}

// requirements are the given ones, else the origin's; min_platform, unless
// given, is MinPlatform, else the later of the origin's and the floor.
func requirements(in BuildInput) json.RawMessage {
	raw, given := in.Given.Get("requirements")
	if !given {
		var ok bool
		if raw, ok = in.Origin.Get("requirements"); !ok {
			raw = json.RawMessage("{}")
		}
	}
	req, err := Parse(raw)
	if err != nil {
		return raw // not an object: Validate says so
	}
	if _, ok := req.Get("min_platform"); given && ok {
		return raw
	}
	least := maps.Clone(in.Origin.MinPlatform())
	if least == nil {
		least = make(map[string]string)
	}
	// Stamps have one length and one form, so they compare as text.
	least[platformKey] = max(least[platformKey], in.Floor)
	if in.MinPlatform != "" {
		least = map[string]string{platformKey: in.MinPlatform}
	}
	maps.DeleteFunc(least, func(_, stamp string) bool { return stamp == "" })
	if len(least) == 0 {
		return raw
	}
	var out []byte
	for _, key := range slices.Sorted(maps.Keys(least)) {
		out = append(append(appendString(append(out, ','), key), ':'), appendString(nil, least[key])...)
	}
	out[0] = '{'
	// min_platform keeps its place where the origin has it, else comes first.
	if _, ok := req.Get("min_platform"); !ok {
		req.fields = slices.Insert(req.fields, 0, field{name: "min_platform"})
	}
	if err := req.Set("min_platform", json.RawMessage(append(out, '}'))); err != nil {
		return raw
	}
	return req.compact(req.fields)
}

// stamp says whether s is a platform stamp the schema accepts.
func stamp(s string) error {
	if t, err := time.Parse("20060102T150405Z", s); err != nil || t.Year() < 2012 {
		return fmt.Errorf("%q is no platform stamp YYYYMMDDTHHMMSSZ of 2012 or later", s)
	}
	return nil
}
