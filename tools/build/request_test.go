package build

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

func goodRequest() Request {
	return Request{
		Name: "x", Prefix: "x-zfs", Version: "master-20260101T000000Z-g0000000",
		Base:      "41bd4100-eb86-409a-85b0-e649aadf6f62",
		Manifest:  json.RawMessage(`{"name":"x","version":"1"}`),
		Timestamp: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Platform: DefaultPlatform,
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	r := goodRequest()
	if err := r.Check(); err != nil {
		t.Fatalf("a good request: %v", err)
	}
	for _, c := range []struct {
		name string
		mend func(*Request)
		want string
	}{
		{"name leads elsewhere", func(r *Request) { r.Name = "../x" }, `name "../x"`},
		{"prefix missing", func(r *Request) { r.Prefix = "" }, "image prefix"},
		{"version with a slash", func(r *Request) { r.Version = "a/b" }, `version "a/b"`},
		{"no base", func(r *Request) { r.Base = "" }, "no base image"},
		{"upper-case base", func(r *Request) { r.Base = strings.ToUpper(r.Base) }, "no lower-case uuid"},
		{"manifest no JSON", func(r *Request) { r.Manifest = json.RawMessage(`{"name":`) }, "manifest: "},
		{"manifest empty", func(r *Request) { r.Manifest = nil }, "manifest: "},
		{"manifest without version", func(r *Request) { r.Manifest = json.RawMessage(`{"name":"x"}`) }, "no version"},
		{"package with a blank", func(r *Request) { r.Packages = []string{"a b"} }, `package "a b"`},
		{"package with a path", func(r *Request) { r.Packages = []string{"../x"} }, `package "../x"`},
		{"platform", func(r *Request) { r.Platform = "yesterday" }, `platform "yesterday"`},
		{"time", func(r *Request) { r.Timestamp = time.Time{} }, "no timestamp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := goodRequest()
			c.mend(&r)
			err := r.Check()
			if fault.KindOf(err) != fault.Usage || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a usage error with %q", err, c.want)
			}
		})
	}
}

func TestEncodeIsCanonical(t *testing.T) {
	t.Parallel()
	a, b := goodRequest(), goodRequest()
	a.Manifest = json.RawMessage(`{"name":"x", "version":"1","tags":{"b":1,"a":12345678901234567890}}`)
	b.Manifest = json.RawMessage("{\n\"tags\":{\"a\":12345678901234567890,\"b\":1},\"version\":\"1\",\"name\":\"x\"}")
	b.Packages = []string{}
	b.Timestamp = b.Timestamp.In(time.FixedZone("x", 3600))
	ea, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	eb, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if string(ea) != string(eb) {
		t.Errorf("equal requests differ:\n%s\n%s", ea, eb)
	}
	if !strings.Contains(string(ea), "12345678901234567890") {
		t.Errorf("a number lost digits: %s", ea)
	}
}

func TestSplitPackages(t *testing.T) {
	t.Parallel()
	got := SplitPackages(" curl,gsed  patch\tsudo\n")
	if want := []string{"curl", "gsed", "patch", "sudo"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseTimestamp(t *testing.T) {
	t.Parallel()
	got, err := ParseTimestamp("20260102T030405Z")
	if err != nil || !got.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := ParseTimestamp("2026-01-02"); fault.KindOf(err) != fault.Usage || fault.Hint(err) == "" {
		t.Errorf("got %v, want a usage error with a hint", err)
	}
}
