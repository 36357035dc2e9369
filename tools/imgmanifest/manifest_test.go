package imgmanifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

func load(t testing.TB) *Manifest {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "base.json"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func parse(t testing.TB, s string) *Manifest {
	t.Helper()
	m, err := Parse([]byte(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return m
}

func TestServerManifestIsUnchanged(t *testing.T) {
	t.Parallel()
	m := load(t)
	raw, err := os.ReadFile(filepath.Join("testdata", "base.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Encode(); !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(raw)) {
		t.Errorf("encoded:\n%s", got)
	}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	if m.NameVersion() != "minimal-64-lts@24.4.1" || !m.Sandbox() || len(m.Channels()) != 5 || m.Public() ||
		m.Files()[0].Size != 148193 || m.MinPlatform()["7.0"] != "20210826T002459Z" || m.State() != "active" {
		t.Errorf("fields are read wrongly: %+v", m)
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	t.Parallel()
	m := parse(t, `{"zz":{"b":1.50,"a":[true,null,"\u003c\u00e9"]},"name":"n","v":2,"aa":1e3}`)
	want := `{
  "v": 2,
  "name": "n",
  "aa": 1e3,
  "zz": {
    "b": 1.50,
    "a": [
      true,
      null,
      "<é"
    ]
  }
}
`
	if got := string(m.Encode()); got != want {
		t.Errorf("encoded:\n%s", got)
	}
	raw, err := json.Marshal(m)
	if err != nil || !strings.HasPrefix(string(raw), `{"zz":`) {
		t.Errorf("order is lost: %s, %v", raw, err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"empty", "", "unexpected EOF"},
		{"cut", `{"v":2`, "unexpected EOF"},
		{"list", `[]`, "not a JSON object"},
		{"null", `null`, "not a JSON object"},
		{"two values", `{} {}`, "something follows"},
		{"trailing text", `{}x`, "something follows"},
		{"name twice", `{"v":2,"v":2}`, `name "v" twice`},
		{"name twice inside", `{"tags":{"a":1,"a":2}}`, `name "a" twice`},
		{"same name escaped", `{"v":2,"\u0076":2}`, `name "v" twice`},
		{"bad UTF-8", "{\"a\":\"\xff\"}", "not valid UTF-8"},
		{"deep", strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested deeper"},
		{"large", `{"a":"` + strings.Repeat("x", MaxSize) + `"}`, "more than"},
		{"comma at the end", `{"a":1,}`, ""},
		{"bad number", `{"a":01}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

const good = `{"v":2,"uuid":"41bd4100-eb86-409a-85b0-e649aadf6f62","name":"n","version":"1","type":"zone-dataset","os":"smartos"`

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"minimal", good + `}`, ""},
		{"nothing", `{}`, "v: missing; uuid: missing; name: missing; version: missing; type: missing; os: missing"},
		{"extra field", good + `,"creator_uuid":"x","name2":1}`, "invalid extra parameters: creator_uuid, name2"},
		{"extra before the rest", `{"zz":1}`, "invalid extra parameters: zz"},
		{"os", strings.Replace(good, "smartos", "plan9", 1) + `}`, `os: invalid image os, "plan9", must be one of: smartos, linux, windows, bsd, illumos, other`},
		{"uuid in upper case", strings.Replace(good, "41bd", "41BD", 1) + `}`, "is not a uuid"},
		{"name with a star", strings.Replace(good, `"n"`, `"n*"`, 1) + `}`, "name:"},
		{"version with a blank", strings.Replace(good, `"1"`, `"1 2"`, 1) + `}`, "version:"},
		{"long version", strings.Replace(good, `"1"`, `"`+strings.Repeat("1", 513)+`"`, 1) + `}`, "version:"},
		{"v is text", strings.Replace(good, `"v":2`, `"v":"2"`, 1) + `}`, "v: must be a number"},
		{"description too long", good + `,"description":"` + strings.Repeat("x", 10241) + `"}`, "description: longer than 10240"},
		{"homepage", good + `,"homepage":"ftp://x"}`, "homepage:"},
		{"published_at with an offset", good + `,"published_at":"2024-01-02T03:04:05+01:00"}`, "published_at:"},
		{"published_at with milliseconds", good + `,"published_at":"2024-01-02T03:04:05.123Z"}`, ""},
		{"origin", good + `,"origin":"x"}`, "origin:"},
		{"icon", good + `,"icon":true}`, "icon: icon missing contentMD5"},
		{"two files", good + `,"files":[{},{}]}`, "files: 2 entries, at most 1"},
		{"file", good + `,"files":[{"sha1":"zz","size":1,"compression":"gzip"}]}`, "files: entry 0: sha1"},
		{"empty file", good + `,"files":[{"sha1":"0123456789012345678901234567890123456789","size":0,"compression":"gzip"}]}`, "size must be"},
		{"compression", good + `,"files":[{"sha1":"0123456789012345678901234567890123456789","size":1,"compression":"zip"}]}`, "compression"},
		{"requirement unknown", good + `,"requirements":{"cpu":1}}`, "requirements.cpu: unknown requirement"},
		{"platform", good + `,"requirements":{"min_platform":{"7.0":"20110826T002459Z"}}}`, "requirements.min_platform:"},
		{"platform empty", good + `,"requirements":{"min_platform":{}}}`, "requirements.min_platform:"},
		{"ram", good + `,"requirements":{"min_ram":2,"max_ram":1}}`, "less than min_ram"},
		{"networks", good + `,"requirements":{"networks":[{"name":"net0"}]}}`, "exactly name and description"},
		{"bootrom", good + `,"requirements":{"bootrom":"uefi"}}`, "only with brand bhyve"},
		{"users", good + `,"users":[{"name":"root","uid":0}]}`, "exactly name"},
		{"generate_passwords", good + `,"generate_passwords":"true"}`, "generate_passwords:"},
		{"disabled as text", good + `,"disabled":"true"}`, ""},
		{"tags list", good + `,"tags":[]}`, "tags: must be an object"},
		{"tags too long", good + `,"tags":{"a":"` + strings.Repeat("x", 101<<10) + `"}}`, "tags: longer"},
		{"traits", good + `,"traits":{"a":1}}`, "traits:"},
		{"billing tag", good + `,"billing_tags":["` + strings.Repeat("x", 129) + `"]}`, "billing_tags:"},
		{"zvol without drivers", strings.Replace(good, "zone-dataset", "zvol", 1) + `}`, "nic_driver: missing; disk_driver: missing; cpu_type: missing; image_size: missing"},
		{"zvol with size as text", strings.Replace(good, "zone-dataset", "zvol", 1) + `,"nic_driver":"virtio","disk_driver":"virtio","cpu_type":"host","image_size":"10240"}`, ""},
		{"drivers without zvol", good + `,"nic_driver":"virtio"}`, "invalid extra parameters: nic_driver"},
		{"acl", good + `,"acl":["x"]}`, "acl:"},
		{"null", good + `,"public":null}`, "public: must be true or false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := parse(t, tt.in).Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			var v *ValidationError
			if err != nil && !errors.As(err, &v) {
				t.Errorf("%T is no ValidationError", err)
			}
		})
	}
}

func input(t testing.TB, given string) BuildInput {
	return BuildInput{
		Given:       parse(t, given),
		Origin:      load(t),
		File:        File{SHA1: "0123456789012345678901234567890123456789", Size: 42},
		PublishedAt: time.Date(2026, 11, 23, 9, 8, 7, 654, time.FixedZone("x", 3600)),
		Floor:       "20181206T011455Z",
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	m, err := Build(input(t, `{"name":"n","version":"1","description":"d \"q\" <x>","tags":{"b":"2","a":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	id := m.UUID()
	want := `{
  "v": 2,
  "uuid": "` + id + `",
  "owner": "00000000-0000-0000-0000-000000000000",
  "name": "n",
  "version": "1",
  "published_at": "2026-11-23T08:08:07Z",
  "type": "zone-dataset",
  "os": "smartos",
  "files": [
    {
      "sha1": "0123456789012345678901234567890123456789",
      "size": 42,
      "compression": "gzip"
    }
  ],
  "description": "d \"q\" <x>",
  "requirements": {
    "min_platform": {
      "7.0": "20210826T002459Z"
    },
    "networks": [
      {
        "name": "net0",
        "description": "public"
      }
    ]
  },
  "origin": "41bd4100-eb86-409a-85b0-e649aadf6f62",
  "tags": {
    "b": "2",
    "a": true,
    "sandbox": true
  }
}
`
	if got := string(m.Encode()); got != want {
		t.Errorf("manifest:\n%s", got)
	}
	if !ValidUUID(id) || id[14] != '8' || DeriveUUID(m) != id {
		t.Errorf("uuid %s", id)
	}
}

func TestBuildIsDeterministicAndDependsOnAll(t *testing.T) {
	t.Parallel()
	const given = `{"name":"n","version":"1"}`
	build := func(change func(*BuildInput)) string {
		in := input(t, given)
		if change != nil {
			change(&in)
		}
		m, err := Build(in)
		if err != nil {
			t.Fatal(err)
		}
		return string(m.Encode())
	}
	first := build(nil)
	for range 20 {
		if build(nil) != first {
			t.Fatal("two runs differ")
		}
	}
	// Spelling does not matter, content does.
	if got := build(func(in *BuildInput) { in.Given = parse(t, "{ \"name\" :\n\"\\u006e\",\"version\":\"1\"}") }); got != first {
		t.Error("another spelling of the same fields gives another manifest")
	}
	changes := map[string]func(*BuildInput){
		"sha1": func(in *BuildInput) { in.File.SHA1 = strings.Repeat("a", 40) },
		"name": func(in *BuildInput) { in.Given = parse(t, `{"name":"m","version":"1"}`) },
		"time": func(in *BuildInput) { in.PublishedAt = in.PublishedAt.Add(time.Second) },
	}
	for name, change := range changes {
		if other := parse(t, build(change)); other.UUID() == parse(t, first).UUID() {
			t.Errorf("%s does not change the uuid", name)
		}
	}
}

func TestBuildMinPlatform(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, given string
		change      func(*BuildInput)
		want        string // requirements
	}{
		{"the base's is later", "", nil, `{"min_platform":{"7.0":"20210826T002459Z"},"networks":[{"name":"net0","description":"public"}]}`},
		{"the floor is later", "", func(in *BuildInput) { in.Floor = "20230101T000000Z" },
			`{"min_platform":{"7.0":"20230101T000000Z"},"networks":[{"name":"net0","description":"public"}]}`},
		{"set by the flavor", "", func(in *BuildInput) { in.MinPlatform = "20190101T000000Z" },
			`{"min_platform":{"7.0":"20190101T000000Z"},"networks":[{"name":"net0","description":"public"}]}`},
		{"given", `,"requirements":{"min_platform":{"7.0":"20150101T000000Z"}}`, func(in *BuildInput) { in.MinPlatform = "20190101T000000Z" },
			`{"min_platform":{"7.0":"20150101T000000Z"}}`},
		{"other requirements given", `,"requirements":{"brand":"joyent"}`, nil,
			`{"min_platform":{"7.0":"20210826T002459Z"},"brand":"joyent"}`},
		{"nothing anywhere", "", func(in *BuildInput) { in.Floor = ""; in.Origin.Delete("requirements") }, `{}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := input(t, `{"name":"n","version":"1"`+tt.given+`}`)
			if tt.change != nil {
				tt.change(&in)
			}
			m, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := m.Get("requirements"); string(got) != tt.want {
				t.Errorf("requirements %s, want %s", got, tt.want)
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, given, want string }{
		{"no name", `{"version":"1"}`, "name: missing"},
		{"a uuid", `{"name":"n","version":"1","uuid":"x"}`, `"uuid" cannot be given`},
		{"unknown field", `{"name":"n","version":"1","x":1}`, "invalid extra parameters: x"},
		{"tags are a list", `{"name":"n","version":"1","tags":[]}`, "tags: must be an object"},
		{"requirements are text", `{"name":"n","version":"1","requirements":"x"}`, "requirements: must be an object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Build(input(t, tt.given))
			if err == nil || !strings.Contains(err.Error(), tt.want) || fault.KindOf(err) != fault.Usage {
				t.Errorf("error %v (kind %d), want %q", err, fault.KindOf(err), tt.want)
			}
		})
	}
}

func TestBuildLeavesOutWhatServersSet(t *testing.T) {
	t.Parallel()
	m, err := Build(input(t, `{"name":"n","version":"1","icon":true,"state":"active","channels":["dev"],"owner":"11111111-2222-3333-4444-555555555555"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"icon", "state", "channels"} {
		if _, ok := m.Get(name); ok {
			t.Errorf("%s is there", name)
		}
	}
	if m.Owner() != "11111111-2222-3333-4444-555555555555" {
		t.Errorf("owner %s", m.Owner())
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good + `}`))
	f.Add(load(f).Encode())
	f.Add([]byte(`{"requirements":{"min_platform":{"7.0":"x"}},"files":[{}],"tags":{"a":{"b":[1,2]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		_ = m.Validate()
		_, _, _ = m.MinPlatform(), m.Files(), m.Sandbox()
		once := m.Encode()
		again, err := Parse(once)
		if err != nil {
			if len(once) > MaxSize {
				return // indentation made it larger
			}
			t.Fatalf("what was written cannot be read: %v\n%s", err, once)
		}
		if !bytes.Equal(again.Encode(), once) {
			t.Fatalf("written twice:\n%s\n%s", once, again.Encode())
		}
	})
}
