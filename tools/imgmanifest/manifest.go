package imgmanifest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
)

// ZeroUUID is the owner that a standalone image server gives every image
// (spec imgapi.md section 6).
const ZeroUUID = "00000000-0000-0000-0000-000000000000"

// Manifest is one image manifest: an ordered list of fields. The zero value is
// empty and ready to use. It is not safe for use by several goroutines while
// one of them changes it.
type Manifest struct {
	fields []field
}

type field struct {
	name  string
	value json.RawMessage // canonical, not indented
}

// File is an entry of the field files.
type File struct {
	SHA1        string `json:"sha1"`                   // lower-case hex, of the file as it is stored
	Size        int64  `json:"size"`                   // bytes, of the file as it is stored
	Compression string `json:"compression"`            // gzip, bzip2, xz or none
	DatasetGUID string `json:"dataset_guid,omitempty"` // optional
}

// fieldOrder is the order of fields in responses of the image server (spec
// imgapi.md section 10).
var fieldOrder = [...]string{
	"v", "uuid", "owner", "name", "version", "state", "disabled", "public", "published_at", "type", "os", "files",
	"acl", "description", "homepage", "eula", "icon", "urn", "requirements", "users", "generate_passwords",
	"inherited_directories", "origin", "nic_driver", "disk_driver", "cpu_type", "image_size", "tags",
	"billing_tags", "traits", "error", "channels",
}

// Keys returns the names of all fields, in the order they have.
func (m *Manifest) Keys() []string {
	keys := make([]string, len(m.fields))
	for i, f := range m.fields {
		keys[i] = f.name
	}
	return keys
}

// All yields the names and values of all fields, in the order they have.
func (m *Manifest) All() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for _, f := range m.fields {
			if !yield(f.name, f.value) {
				return
			}
		}
	}
}

// Get returns a field's value as JSON, and whether the field exists. The
// value must not be changed.
func (m *Manifest) Get(name string) (json.RawMessage, bool) {
	for _, f := range m.fields {
		if f.name == name {
			return f.value, true
		}
	}
	return nil, false
}

// Set gives a field a value, at the end if it is new. The value is anything
// encoding/json can write; a json.RawMessage keeps its order of names.
func (m *Manifest) Set(name string, value any) error {
	raw, ok := value.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(value); err != nil {
			return fmt.Errorf("manifest field %q: %w", name, err)
		}
	}
	canon, err := canonical(raw)
	if err != nil {
		return fmt.Errorf("manifest field %q: %w", name, err)
	}
	for i := range m.fields {
		if m.fields[i].name == name {
			m.fields[i].value = canon
			return nil
		}
	}
	m.fields = append(m.fields, field{name, canon})
	return nil
}

// Delete removes fields; names that are not there are no error.
func (m *Manifest) Delete(names ...string) {
	m.fields = slices.DeleteFunc(m.fields, func(f field) bool { return slices.Contains(names, f.name) })
}

// Clone returns a copy that shares nothing that can change.
func (m *Manifest) Clone() *Manifest { return &Manifest{slices.Clone(m.fields)} }

// decode puts a field into v; false if it is absent, null or of another type.
func (m *Manifest) decode(name string, v any) bool {
	raw, ok := m.Get(name)
	return ok && !bytes.Equal(raw, []byte("null")) && json.Unmarshal(raw, v) == nil
}

// String returns the value of a field that holds a string, else "".
func (m *Manifest) text(name string) string {
	var s string
	if !m.decode(name, &s) {
		return ""
	}
	return s
}

// UUID, Name, Version, Type, OS, Origin, State, Owner, Description and
// PublishedAt return the field of that name, "" where it is absent or no
// string.
func (m *Manifest) UUID() string        { return m.text("uuid") }
func (m *Manifest) Name() string        { return m.text("name") }         // see UUID
func (m *Manifest) Version() string     { return m.text("version") }      // see UUID
func (m *Manifest) Type() string        { return m.text("type") }         // see UUID
func (m *Manifest) OS() string          { return m.text("os") }           // see UUID
func (m *Manifest) Origin() string      { return m.text("origin") }       // see UUID
func (m *Manifest) State() string       { return m.text("state") }        // see UUID
func (m *Manifest) Owner() string       { return m.text("owner") }        // see UUID
func (m *Manifest) Description() string { return m.text("description") }  // see UUID
func (m *Manifest) PublishedAt() string { return m.text("published_at") } // see UUID

// NameVersion returns NAME@VERSION, as people name images.
func (m *Manifest) NameVersion() string { return m.Name() + "@" + m.Version() }

// Public says whether the image is public; absent is false.
func (m *Manifest) Public() bool {
	var b bool
	return m.decode("public", &b) && b
}

// Files returns the field files, empty where it is absent or not a list of
// file entries.
func (m *Manifest) Files() []File {
	var files []File
	if !m.decode("files", &files) {
		return nil
	}
	return files
}

// Channels returns the channels the image is in, in the order it was added.
func (m *Manifest) Channels() []string {
	var channels []string
	if !m.decode("channels", &channels) {
		return nil
	}
	return channels
}

// Tags returns the tags, values as JSON.
func (m *Manifest) Tags() map[string]json.RawMessage {
	var tags map[string]json.RawMessage
	if !m.decode("tags", &tags) {
		return nil
	}
	return tags
}

// Requirements returns the field requirements, values as JSON.
func (m *Manifest) Requirements() map[string]json.RawMessage {
	var req map[string]json.RawMessage
	if !m.decode("requirements", &req) {
		return nil
	}
	return req
}

// MinPlatform returns requirements.min_platform: the least platform stamp for
// each SDC version ("7.0").
func (m *Manifest) MinPlatform() map[string]string {
	var min map[string]string
	if raw, ok := m.Requirements()["min_platform"]; !ok || json.Unmarshal(raw, &min) != nil {
		return nil
	}
	return min
}

// Sandbox says whether the image was made from, or is one of, the sandbox's
// stand-ins: it has the tag sandbox, true (or "true").
func (m *Manifest) Sandbox() bool {
	v := string(m.Tags()["sandbox"])
	return v == "true" || v == `"true"`
}

// Encode writes the manifest in its canonical form.
func (m *Manifest) Encode() []byte {
	var out bytes.Buffer
	// Indent fails on invalid JSON only, and values are checked when they are set.
	_ = json.Indent(&out, m.compact(m.sorted()), "", "  ")
	out.WriteByte('\n')
	return out.Bytes()
}

// MarshalJSON writes the manifest with its fields in the order they have.
func (m *Manifest) MarshalJSON() ([]byte, error) { return m.compact(m.fields), nil }

// UnmarshalJSON reads a manifest as Parse does.
func (m *Manifest) UnmarshalJSON(data []byte) error {
	p, err := Parse(data)
	if err == nil {
		*m = *p
	}
	return err
}

func (m *Manifest) compact(fields []field) []byte {
	out := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(appendString(out, f.name), ':'), f.value...)
	}
	return append(out, '}')
}

// sorted returns the fields in the order of fieldOrder, unknown ones last, in
// the order of their names.
func (m *Manifest) sorted() []field {
	rank := make(map[string]int, len(fieldOrder))
	for i, name := range fieldOrder {
		rank[name] = i + 1
	}
	out := slices.Clone(m.fields)
	slices.SortStableFunc(out, func(a, b field) int {
		ra, rb := rank[a.name], rank[b.name]
		switch {
		case ra == 0 && rb == 0:
			return cmp.Compare(a.name, b.name)
		case ra == 0:
			return 1
		case rb == 0:
			return -1
		}
		return cmp.Compare(ra, rb)
	})
	return out
}
