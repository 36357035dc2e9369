// Package plan is what a build is going to do: its steps in order, what each
// takes in, whether that is there already, and why a step runs or does not.
//
// A plan is made by the engine from the very list it runs; this package only
// holds and shows it.
package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// State says what becomes of a step.
type State string

// The states of steps.
const (
	Run  State = "run"
	Skip State = "skip" // not wanted by this request
	Done State = "done" // the same inputs were built before, and the result is there
)

// Place says where an input is.
type Place string

// The places of inputs.
const (
	Cached Place = "cached"   // on this machine
	Stored Place = "stored"   // in ENGBLD_INPUTS
	Fetch  Place = "to fetch" // on a server
	Local  Place = "local"    // a file or directory of this machine
	Open   Place = "open"     // which one is decided when the step runs
)

// Plan is the whole.
type Plan struct {
	Name    string `json:"name"`             // of the flavor or component
	Version string `json:"version"`          // of the image
	Out     string `json:"out"`              // directory of the results
	Lock    string `json:"lock,omitempty"`   // file that pins the inputs
	Digest  string `json:"digest,omitempty"` // of request and all inputs; known with a lock only
	Image   string `json:"image,omitempty"`  // uuid, where it was built already
	Steps   []Step `json:"steps"`
}

// Step is one step.
type Step struct {
	Name   string  `json:"name"`
	State  State   `json:"state"`
	Why    string  `json:"why"`
	Inputs []Input `json:"inputs,omitempty"`
}

// Input is something a step takes in.
type Input struct {
	Kind   string `json:"kind"` // image, package, component, vulnerabilities
	Name   string `json:"name"`
	Digest string `json:"digest,omitempty"` // ALGORITHM:HEX
	Size   int64  `json:"size,omitempty"`   // bytes
	Place  Place  `json:"place"`
	From   string `json:"from,omitempty"` // address or directory
}

// JSON writes the plan for programs.
func (p *Plan) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(p)
}

// Text writes the plan for people.
func (p *Plan) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", p.Name, p.Version)
	if p.Digest != "" {
		fmt.Fprintf(&b, "plan sha256:%s\n", p.Digest)
	}
	if p.Image != "" {
		fmt.Fprintf(&b, "nothing to do: image %s was built from the same inputs\n", p.Image)
	}
	for i, s := range p.Steps {
		fmt.Fprintf(&b, "%2d %-9s  %-4s  %s\n", i+1, s.Name, s.State, s.Why)
		width := 0
		for _, in := range s.Inputs {
			width = max(width, len(in.Kind)+1+len(in.Name))
		}
		for _, in := range s.Inputs {
			line := fmt.Sprintf("%*s%-*s  %-8s  %s", 20, "", width, in.Kind+" "+in.Name, in.Place, short(in.Digest))
			fmt.Fprintf(&b, "%s\n", strings.TrimRight(line, " "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// short shows enough of a digest to tell it from others; --json has it whole.
func short(digest string) string {
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok || len(hex) <= 16 {
		return digest
	}
	return algorithm + ":" + hex[:16]
}
