package imgmanifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Item codes and overall codes, as the image server names them (spec
// imgapi.md sections 10 and 12).
const (
	CodeMissing    = "MissingParameter"
	CodeInvalid    = "Invalid"
	CodeNotAllowed = "NotAllowed"

	CodeExtra      = "InvalidParameter" // overall: fields that may not be there
	CodeValidation = "ValidationFailed" // overall: fields that are wrong
)

// Item is one problem of a manifest.
type Item struct {
	Field   string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
}

// ValidationError holds all problems Validate found. Code is CodeExtra if
// there are fields that may not be there, which are then the only ones
// listed, else CodeValidation.
type ValidationError struct {
	Code  string
	Items []Item
}

// Summary is the server's message: what is wrong, and the fields, without
// the reasons.
func (e *ValidationError) Summary() string {
	names := make([]string, len(e.Items))
	for i, item := range e.Items {
		names[i] = item.Field
	}
	if e.Code == CodeExtra {
		return "invalid extra parameters: " + strings.Join(names, ", ")
	}
	return "invalid image data: " + strings.Join(names, ", ")
}

// Error names each field and what is wrong with it.
func (e *ValidationError) Error() string {
	if e.Code == CodeExtra {
		return "image manifest: " + e.Summary()
	}
	parts := make([]string, len(e.Items))
	for i, item := range e.Items {
		why := item.Message
		if why == "" {
			why = map[string]string{CodeMissing: "missing", CodeNotAllowed: "not allowed"}[item.Code]
		}
		if why == "" {
			why = "invalid"
		}
		parts[i] = item.Field + ": " + why
	}
	return "image manifest: " + strings.Join(parts, "; ")
}

var (
	uuidForm      = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	nameForm      = regexp.MustCompile(`^[A-Za-z0-9._/ -]+$`)
	versionForm   = regexp.MustCompile(`^[A-Za-z0-9._/+-]+$`)
	publishedForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d\d\d)?Z$`)
	sha1Form      = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// Types, OSes and Compressions are what the fields of these names may hold.
func Types() []string {
	return []string{"zone-dataset", "lx-dataset", "zvol", "lxd", "docker", "other"}
}
func OSes() []string { // see Types
	return []string{"smartos", "linux", "windows", "bsd", "illumos", "other"}
}
func Compressions() []string { return []string{"gzip", "bzip2", "xz", "none"} } // see Types

// ValidUUID says whether s is a uuid as the image server takes it: lower-case
// hex in groups of 8-4-4-4-12.
func ValidUUID(s string) bool { return uuidForm.MatchString(s) }

// ValidSHA1 says whether s is a SHA-1 in lower-case hex.
func ValidSHA1(s string) bool { return sha1Form.MatchString(s) }

// Validate checks the manifest by the rules of schema v2 and returns a
// *ValidationError with every problem, or nil.
func (m *Manifest) Validate() error {
	if extra := m.extraFields(); len(extra) > 0 {
		return &ValidationError{CodeExtra, extra}
	}
	c := checker{m: m}
	c.identity()
	c.texts()
	c.enums()
	c.flags()
	c.files()
	c.requirements()
	c.lists()
	c.zvol()
	if len(c.items) > 0 {
		return &ValidationError{CodeValidation, c.items}
	}
	return nil
}

var zvolFields = [...]string{"nic_driver", "disk_driver", "cpu_type", "image_size"}

func (m *Manifest) extraFields() (items []Item) {
	kind := m.Type()
	for _, name := range m.Keys() {
		known := slices.Contains(fieldOrder[:], name)
		switch {
		case slices.Contains(zvolFields[:], name):
			known = kind == "zvol"
		case name == "inherited_directories":
			known = kind == "zone-dataset"
		}
		if !known {
			items = append(items, Item{Field: name, Code: CodeNotAllowed})
		}
	}
	return items
}

type checker struct {
	m     *Manifest
	items []Item
}

func (c *checker) bad(name, format string, args ...any) {
	c.items = append(c.items, Item{name, CodeInvalid, fmt.Sprintf(format, args...)})
}

func (c *checker) missing(name string) {
	c.items = append(c.items, Item{Field: name, Code: CodeMissing})
}

// get decodes an optional field; it reports a wrong type and then, like an
// absent field, returns false.
func get[T any](c *checker, name, want string) (v T, ok bool) {
	raw, ok := c.m.Get(name)
	if !ok {
		return v, false
	}
	if string(raw) == "null" || json.Unmarshal(raw, &v) != nil {
		c.bad(name, "must be %s", want)
		return v, false
	}
	return v, true
}

func required[T any](c *checker, name, want string) (v T, ok bool) {
	if _, there := c.m.Get(name); !there {
		c.missing(name)
		return v, false
	}
	return get[T](c, name, want)
}

func (c *checker) identity() {
	if v, ok := required[int](c, "v", "a number"); ok && v < 0 {
		c.bad("v", "must not be negative")
	}
	if s, ok := required[string](c, "uuid", "a string"); ok && !ValidUUID(s) {
		c.bad("uuid", "%q is not a uuid", s)
	}
	for _, name := range []string{"owner", "origin"} {
		if s, ok := get[string](c, name, "a string"); ok && !ValidUUID(s) {
			c.bad(name, "%q is not a uuid", s)
		}
	}
	if s, ok := required[string](c, "name", "a string"); ok && (!nameForm.MatchString(s) || len(s) > 1024) {
		c.bad("name", "%q: 1 to 1024 of letters, digits, blanks and ._/-", clip(s))
	}
	if s, ok := required[string](c, "version", "a string"); ok && (!versionForm.MatchString(s) || len(s) > 512) {
		c.bad("version", "%q: 1 to 512 of letters, digits and ._/+-", clip(s))
	}
	if s, ok := get[string](c, "published_at", "a string"); ok && !publishedForm.MatchString(s) {
		c.bad("published_at", "%q is not of the form YYYY-MM-DDTHH:MM:SSZ", clip(s))
	}
}

func (c *checker) texts() {
	if s, ok := get[string](c, "description", "a string"); ok && len(s) > 10240 {
		c.bad("description", "longer than 10240")
	}
	for _, name := range []string{"homepage", "eula"} {
		s, ok := get[string](c, name, "a string")
		if !ok {
			continue
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(s) > 1024 {
			c.bad(name, "%q is not an http or https address of at most 1024 bytes", clip(s))
		}
	}
	for _, name := range []string{"urn", "state"} {
		get[string](c, name, "a string")
	}
}

func (c *checker) enums() {
	if s, ok := required[string](c, "type", "a string"); ok && !slices.Contains(Types(), s) {
		c.bad("type", "invalid image type, %q, must be one of: %s", clip(s), strings.Join(Types(), ", "))
	}
	if s, ok := required[string](c, "os", "a string"); ok && !slices.Contains(OSes(), s) {
		c.bad("os", "invalid image os, %q, must be one of: %s", clip(s), strings.Join(OSes(), ", "))
	}
}

func (c *checker) flags() {
	for _, name := range []string{"public", "generate_passwords"} {
		get[bool](c, name, "true or false")
	}
	if raw, ok := c.m.Get("disabled"); ok &&
		!slices.Contains([]string{"true", "false", `"true"`, `"false"`}, string(raw)) {
		c.bad("disabled", "must be true or false")
	}
	if icon, ok := get[bool](c, "icon", "true or false"); ok && icon {
		c.bad("icon", "icon missing contentMD5")
	}
}

func (c *checker) files() {
	list, ok := get[[]map[string]json.RawMessage](c, "files", "a list of objects")
	if !ok {
		return
	}
	limit := 1
	if c.m.Type() == "lxd" {
		limit = 2
	}
	if len(list) > limit {
		c.bad("files", "%d entries, at most %d", len(list), limit)
		return
	}
	for i := range list {
		if why := fileProblem(list[i]); why != "" {
			c.bad("files", "entry %d: %s", i, why)
		}
	}
}

func fileProblem(entry map[string]json.RawMessage) string {
	known := []string{"sha1", "size", "compression", "dataset_guid", "digest", "uncompressedDigest", "stor"}
	for _, key := range slices.Sorted(maps.Keys(entry)) {
		if !slices.Contains(known, key) {
			return fmt.Sprintf("unknown field %q", clip(key))
		}
	}
	var f File
	raw, err := json.Marshal(entry)
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	switch {
	case err != nil:
		return "a field has the wrong type"
	case !ValidSHA1(f.SHA1):
		return fmt.Sprintf("sha1 %q is not 40 hex digits", clip(f.SHA1))
	case f.Size <= 0:
		return "size must be greater than 0"
	case !slices.Contains(Compressions(), f.Compression):
		return fmt.Sprintf("compression %q, must be one of: %s", clip(f.Compression), strings.Join(Compressions(), ", "))
	}
	return ""
}

func (c *checker) requirements() {
	req, ok := get[map[string]json.RawMessage](c, "requirements", "an object")
	if !ok {
		return
	}
	ram := make(map[string]int64)
	for _, key := range slices.Sorted(maps.Keys(req)) {
		name, raw := "requirements."+key, req[key]
		var why string
		switch key {
		case "networks":
			why = objectsOf(raw, "name", "description")
		case "brand":
			why = isString(raw)
		case "ssh_key":
			if s := string(raw); s != "true" && s != "false" {
				why = "must be true or false"
			}
		case "min_ram", "max_ram":
			var n int64
			if json.Unmarshal(raw, &n) != nil || string(raw) == "null" || n < 0 {
				why = "must be a number of MiB"
			}
			ram[key] = n
		case "min_platform", "max_platform":
			why = platforms(raw)
		case "bootrom":
			if s := string(raw); s != `"bios"` && s != `"uefi"` {
				why = "must be bios or uefi"
			} else if string(req["brand"]) != `"bhyve"` {
				why = "only with brand bhyve"
			}
		default:
			why = "unknown requirement"
		}
		if why != "" {
			c.bad(name, "%s", why)
		}
	}
	if least, ok := ram["min_ram"]; ok {
		if most, ok := ram["max_ram"]; ok && least > most {
			c.bad("requirements.max_ram", "less than min_ram")
		}
	}
}

func platforms(raw json.RawMessage) string {
	var stamps map[string]string
	if json.Unmarshal(raw, &stamps) != nil || len(stamps) == 0 {
		return "must be an object of platform stamps, not empty"
	}
	for _, key := range slices.Sorted(maps.Keys(stamps)) {
		if err := stamp(stamps[key]); err != nil {
			return err.Error()
		}
	}
	return ""
}

func (c *checker) lists() {
	if acl, ok := get[[]string](c, "acl", "a list of uuids"); ok && slices.ContainsFunc(acl, func(s string) bool { return !ValidUUID(s) }) {
		c.bad("acl", "must be a list of uuids")
	}
	if raw, ok := c.m.Get("users"); ok {
		if why := objectsOf(raw, "name"); why != "" {
			c.bad("users", "%s", why)
		}
	}
	get[[]string](c, "inherited_directories", "a list of strings")
	get[[]string](c, "channels", "a list of strings")
	if tags, ok := c.m.Get("tags"); ok {
		if len(tags) > 100<<10 {
			c.bad("tags", "longer than 100 KiB")
		} else if tags[0] != '{' {
			c.bad("tags", "must be an object")
		}
	}
	if traits, ok := get[map[string]json.RawMessage](c, "traits", "an object"); ok {
		for _, key := range slices.Sorted(maps.Keys(traits)) {
			if first := traits[key][0]; !strings.ContainsRune(`"tf[`, rune(first)) {
				c.bad("traits", "%q must be a string, a boolean or a list", clip(key))
			}
		}
	}
	if list, ok := get[[]string](c, "billing_tags", "a list of strings"); ok &&
		slices.ContainsFunc(list, func(s string) bool { return len(s) > 128 }) {
		c.bad("billing_tags", "an entry is longer than 128")
	}
}

func (c *checker) zvol() {
	if c.m.Type() != "zvol" {
		return
	}
	for _, name := range zvolFields[:3] {
		required[string](c, name, "a string")
	}
	raw, ok := c.m.Get("image_size")
	if !ok {
		c.missing("image_size")
		return
	}
	var n json.Number // takes a number and a string that holds one
	if json.Unmarshal(raw, &n) != nil {
		c.bad("image_size", "must be a number of MiB")
	} else if v, err := n.Int64(); err != nil || v <= 0 {
		c.bad("image_size", "must be a number of MiB")
	}
}

func isString(raw json.RawMessage) string {
	if raw[0] != '"' {
		return "must be a string"
	}
	return ""
}

// objectsOf checks a list of objects that have exactly the given string fields.
func objectsOf(raw json.RawMessage, names ...string) string {
	want := "must be a list of objects with exactly " + strings.Join(names, " and ")
	var list []map[string]json.RawMessage
	if string(raw) == "null" || json.Unmarshal(raw, &list) != nil {
		return want
	}
	for _, entry := range list {
		if len(entry) != len(names) {
			return want
		}
		for _, name := range names {
			if v, ok := entry[name]; !ok || isString(v) != "" {
				return want
			}
		}
	}
	return ""
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
