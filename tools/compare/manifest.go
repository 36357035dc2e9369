package compare

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/TritonDataCenter/engbld/tools/imgmanifest"
	"github.com/TritonDataCenter/engbld/tools/survey"
)

// manifests compares two manifests field by field; an image without one has
// none of the fields.
func manifests(a, b *survey.Image) []FieldChange {
	out := []FieldChange{}
	if a.Manifest == nil || b.Manifest == nil {
		return out // a bare stream says nothing about fields
	}
	old, new := flatten(a.Manifest), flatten(b.Manifest)
	for _, k := range union(old, new) {
		if old[k] != new[k] {
			out = append(out, FieldChange{k, old[k], new[k]})
		}
	}
	return out
}

// maxField bounds the dotted path of a field that is divided further. Without it
// one long name would be in the path of each of thousands of fields below it.
const maxField = 1024

// flatten maps the dotted path of every leaf to its JSON.
func flatten(m *imgmanifest.Manifest) map[string]string {
	out := map[string]string{}
	for key, raw := range m.All() {
		leaves(out, key, raw)
	}
	return out
}

func leaves(out map[string]string, path string, raw json.RawMessage) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(path) > maxField:
	case len(raw) > 2 && raw[0] == '{':
		var fields map[string]json.RawMessage
		if json.Unmarshal(raw, &fields) == nil && len(fields) > 0 {
			for k, v := range fields {
				leaves(out, path+"."+k, v)
			}
			return
		}
	case len(raw) > 2 && raw[0] == '[':
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
			for i, v := range list {
				leaves(out, path+"."+strconv.Itoa(i), v)
			}
			return
		}
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) == nil {
		raw = b.Bytes()
	}
	out[path] = string(raw)
}
