package lock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// Record is what a build leaves behind: its inputs, what it was asked, and what
// came out.
type Record struct {
	Lock
	Build Build `toml:"build"`
}

// Build is how an image was made.
type Build struct {
	Image   string   `toml:"image"`    // uuid
	Writer  string   `toml:"writer"`   // version of what writes images
	Plan    string   `toml:"plan"`     // digest of request and inputs
	Request string   `toml:"request"`  // canonical JSON
	EOLPage string   `toml:"eol_page"` // shown in the audit
	Sandbox bool     `toml:"sandbox"`
	Outputs []Output `toml:"output"`
}

// Output is a finished file.
type Output struct {
	Name   string `toml:"name"`
	Size   int64  `toml:"size"`
	SHA256 string `toml:"sha256"`
}

var outputRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]{0,250}$`)

// Encode writes the record in its one form.
func (r *Record) Encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# How image %s was made. \"engbld verify\" makes it again from this.\n", r.Build.Image)
	r.body(&b)
	w := &writer{&b}
	w.table("[build]")
	w.key("image", r.Build.Image)
	w.key("writer", r.Build.Writer)
	w.key("plan", r.Build.Plan)
	w.key("request", r.Build.Request)
	w.key("eol_page", r.Build.EOLPage)
	w.key("sandbox", r.Build.Sandbox)
	for _, o := range r.Build.Outputs {
		w.table("[[build.output]]")
		w.key("name", o.Name)
		w.key("size", o.Size)
		w.key("sha256", o.SHA256)
	}
	return b.Bytes()
}

// ParseRecord reads a record.
func ParseRecord(raw []byte) (*Record, error) {
	r := &Record{}
	if err := decode(raw, r); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	if !uuidRE.MatchString(r.Build.Image) || r.Build.Request == "" || len(r.Build.Outputs) == 0 {
		return nil, fmt.Errorf("no record of a build: image, request or output is missing")
	}
	for _, o := range r.Build.Outputs {
		if !outputRE.MatchString(o.Name) || !sha256RE.MatchString(o.SHA256) || o.Size < 0 {
			return nil, fmt.Errorf("output %q: name, sha256 or size is malformed", o.Name)
		}
	}
	return r, nil
}

// ReadRecord reads the record in a file; fs.ErrNotExist where there is none.
func ReadRecord(name string) (*Record, error) {
	raw, err := readBounded(name)
	if err != nil {
		return nil, err
	}
	r, err := ParseRecord(raw)
	if err != nil {
		return nil, fault.Drift.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// Records keeps records below a directory, by the uuids of their images.
type Records string

func (d Records) path(uuid string) string { return filepath.Join(string(d), uuid+".toml") }

// Get returns the record of an image; fs.ErrNotExist where there is none.
func (d Records) Get(uuid string) (*Record, error) {
	if d == "" || !uuidRE.MatchString(uuid) {
		return nil, fmt.Errorf("record of image %q: %w", uuid, fs.ErrNotExist)
	}
	r, err := ReadRecord(d.path(uuid))
	if err != nil {
		return nil, err
	}
	if r.Build.Image != uuid {
		return nil, fault.Drift.Errorf("%s is of image %s", d.path(uuid), r.Build.Image)
	}
	return r, nil
}

// Put keeps a record.
func (d Records) Put(r *Record) error {
	return d.put(d.path(r.Build.Image), r.Encode())
}

func (d Records) put(path string, raw []byte) error {
	if err := os.MkdirAll(string(d), 0o777); err != nil {
		return err
	}
	return newfile.Write(path, raw, 0o666)
}

// Timing is how long a step of a build took.
type Timing struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`
}

func (d Records) timings(uuid string) string { return filepath.Join(string(d), uuid+".timings.json") }

// PutTimings keeps how long the steps took, beside the record, which says nothing
// that differs from build to build.
func (d Records) PutTimings(uuid string, t []Timing) error {
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return d.put(d.timings(uuid), append(raw, '\n'))
}

// Timings returns how long the steps of an image's build took; fs.ErrNotExist where
// it is not known.
func (d Records) Timings(uuid string) ([]Timing, error) {
	if d == "" || !uuidRE.MatchString(uuid) {
		return nil, fmt.Errorf("timings of image %q: %w", uuid, fs.ErrNotExist)
	}
	raw, err := readBounded(d.timings(uuid))
	if err != nil {
		return nil, err
	}
	var t []Timing
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, fmt.Errorf("%s: %w", d.timings(uuid), err)
	}
	return t, nil
}
