package buildenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/flavor"
	"github.com/TritonDataCenter/engbld/tools/makefile"
	"github.com/TritonDataCenter/engbld/tools/redact"
)

// Component is what a component says of itself.
type Component struct {
	Dir      string
	Name     string
	Base     string // BASE_IMAGE_UUID
	Node     string // NODE_PREBUILT_IMAGE
	Platform string // BUILD_PLATFORM
	BitsDir  string // ENGBLD_BITS_DIR
	// Illumos says why it can be compiled on illumos only; empty where it can be
	// built anywhere.
	Illumos []Reason
}

// Reason is a place in the component and what it means.
type Reason struct {
	Where string `json:"where"` // file:line, or a file
	Text  string `json:"text"`
}

func (r Reason) String() string { return r.Where + ": " + r.Text }

// Required is the machine a component wants. Parts that are not known are empty.
type Required struct {
	Image  string `json:"image"`
	By     string `json:"by"` // the variable that names the image
	Name   string `json:"name,omitempty"`
	Pkgsrc string `json:"pkgsrc,omitempty"`
	Agent  string `json:"agent,omitempty"`
}

// Ask asks make, once, what the component in dir says of itself; a nil Component
// and no error: there is no makefile. A makefile that make cannot read is an error
// with make's own words.
func Ask(ctx context.Context, sys System, getenv func(string) string, dir string) (*Component, error) {
	system, err := unameS(ctx, sys)
	if err != nil {
		return nil, err
	}
	return ask(ctx, sys, getenv, dir, system == "SunOS")
}

// asked is everything that is wanted of make, in one go: each reading of a makefile
// runs programs.
func asked() []string {
	return []string{"NAME", "BASE_IMAGE_UUID", "NODE_PREBUILT_IMAGE", "BUILD_PLATFORM", "ENGBLD_BITS_DIR"}
}

// read reads the makefiles of the component in dir, without make: nothing but
// Illumos is known then. Without a makefile it returns nil.
func read(sys System, getenv func(string) string, dir string) *Component {
	mf := getenv("ENGBLD_MAKEFILE")
	if mf == "" && !hasMakefile(sys, dir) {
		return nil
	}
	return &Component{Dir: dir, Name: filepath.Base(dir), Illumos: illumos(sys, dir, mf)}
}

// ask reads the component in dir and asks make for the rest. Without a makefile it
// returns nil and no error; a makefile that make cannot read is an error with
// make's own words.
func ask(ctx context.Context, sys System, getenv func(string) string, dir string, sunos bool) (*Component, error) {
	c := read(sys, getenv, dir)
	if c == nil {
		return nil, nil
	}
	mf := getenv("ENGBLD_MAKEFILE")
	program := getenv("ENGBLD_MAKE")
	if program == "" {
		program = "make"
		if _, ok := look(sys, getenv("PATH"), "gmake"); ok && sunos { // make is another program there
			program = "gmake"
		}
	}
	args := []string{program}
	if mf != "" {
		args = append(args, "-f", mf)
	}
	args = append(args, "-s", "--no-print-directory")
	for _, name := range asked() {
		args = append(args, "print-"+name)
	}
	out, err := sys.Run(ctx, Cmd{Dir: dir, Args: args, Env: []string{"MAKEFLAGS=" + makeflags(getenv("MAKEFLAGS"))}})
	if err != nil {
		return c, fmt.Errorf("asking make for %s: %w", strings.Join(asked(), ", "), err)
	}
	if out.Status != 0 {
		said := lastLines(out.Stderr, 12)
		if said == "" {
			said = "it said nothing"
		}
		return c, fmt.Errorf("asking make for %s: exit status %d\n%s", strings.Join(asked(), ", "), out.Status, said)
	}
	values := map[string]string{}
	for line := range strings.Lines(out.Stdout) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok {
			values[name] = strings.TrimSpace(value)
		}
	}
	if v := values["NAME"]; v != "" {
		c.Name = v
	}
	c.Base, c.Node, c.Platform, c.BitsDir = values["BASE_IMAGE_UUID"], values["NODE_PREBUILT_IMAGE"], values["BUILD_PLATFORM"], values["ENGBLD_BITS_DIR"]
	return c, nil
}

// makeflags keeps the variables of the outer make's command line and drops its
// flags, of which -n or -j would make the inner one answer nothing or wait.
func makeflags(s string) string {
	if _, vars, ok := strings.Cut(" "+s, " -- "); ok {
		return " -- " + vars
	}
	return ""
}

func hasMakefile(sys System, dir string) bool {
	for _, n := range makefile.Names() {
		if _, err := sys.ReadFile(filepath.Join(dir, n)); err == nil {
			return true
		}
	}
	return false
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = append([]string{"..."}, lines[len(lines)-n:]...)
	}
	return redact.Text(strings.Join(lines, "\n"))
}

// required finds the machine c wants, nil if it names no image.
func required(set *flavor.Set, c *Component) *Required {
	if c == nil {
		return nil
	}
	r := &Required{Image: c.Base, By: "BASE_IMAGE_UUID"}
	if r.Image == "" {
		r.Image, r.By = c.Node, "NODE_PREBUILT_IMAGE"
	}
	if r.Image == "" {
		return nil
	}
	for _, k := range set.Known() {
		if k.UUID == r.Image {
			r.Name, r.Pkgsrc, r.Agent = k.String(), k.Pkgsrc, k.Agent
		}
	}
	return r
}

// Show returns the machine that the component in dir wants (show-buildenv,
// validate-buildenv.sh -r). The answer needs nothing of this machine but make. No
// required image is an error.
func Show(ctx context.Context, opts Options) (*Required, error) {
	opts = opts.withDefaults()
	set, err := opts.Flavors()
	if err != nil {
		return nil, err
	}
	system, err := unameS(ctx, opts.System)
	if err != nil {
		return nil, err
	}
	c, err := ask(ctx, opts.System, opts.Getenv, opts.Dir, system == "SunOS")
	if err != nil {
		return nil, fault.WithHint(err, "make print-BASE_IMAGE_UUID in %s shows the same", opts.Dir)
	}
	if c == nil {
		return nil, fault.WithHint(fmt.Errorf("%s has no makefile", opts.Dir), "run it in a component's directory")
	}
	r := required(set, c)
	if r == nil {
		return nil, fault.WithHint(fmt.Errorf("%s names neither BASE_IMAGE_UUID nor NODE_PREBUILT_IMAGE, so any machine will do", c.Name),
			"BASE_IMAGE_UUID = UUID in its Makefile")
	}
	return r, nil
}

// Line is the machine in upstream's form: PKGSRC NAME AGENT-IMAGE-UUID.
func (r *Required) Line() string {
	return strings.TrimRight(r.Pkgsrc+" "+r.Name+" "+r.Agent, " ")
}

// noAgent holds both phrases that people look for.
const noAgent = "no agent image is known: no jenkins-agent image is known for"

// Unknown says which part of the line is missing, "" if none is. The script
// validate-buildenv.sh says the same.
func (r *Required) Unknown() string {
	switch {
	case r.Name == "":
		return fmt.Sprintf("nothing is known of image %s; %s it", r.Image, noAgent)
	case r.Agent == "":
		return fmt.Sprintf("%s %s (%s)", noAgent, r.Name, r.Image)
	}
	return ""
}

// illumos finds why the component can be compiled on illumos only, from what its
// makefiles include and set in any branch: the branches for other systems are for
// development, their products are no illumos programs.
func illumos(sys System, dir, mf string) []Reason {
	tree, err := makefile.Open(dir, mf)
	if err != nil {
		return nil // make's own words are told instead
	}
	var all []Reason
	add := func(s makefile.Stmt, format string, args ...any) {
		all = append(all, Reason{tree.Where(s), fmt.Sprintf(format, args...)})
	}
	compiler := map[string]bool{}
	for _, s := range tree.Stmts {
		switch s.Kind {
		case makefile.Include:
			switch s.Eng {
			case "Makefile.node_prebuilt.defs":
				text := "npm install runs with a node for illumos, which goes into the image"
				if native := nativeModules(sys, dir); len(native) > 0 {
					text += "; native modules are compiled: " + strings.Join(native, ", ")
				}
				add(s, "%s", text)
			case "Makefile.node.defs":
				add(s, "node itself is compiled from source")
			case "Makefile.rust.defs":
				add(s, "Rust programs are compiled for the system that cargo runs on")
			case "Makefile.go_prebuilt.defs":
				add(s, "the Go toolchain that compiles its programs is one for illumos")
			case "Makefile.ctf.defs":
				add(s, "the CTF tools, for compiled C, are illumos programs")
			case "Makefile.agent_prebuilt.targ":
				if v, _ := tree.Value("AGENTS"); v != "" {
					add(s, "agents are compiled into the image: %s", v)
				}
			}
		case makefile.Assign:
			switch s.Name {
			case "CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS":
				if !compiler["set"] {
					compiler["set"] = true
					add(s, "C is compiled (%s is set)", s.Name)
				}
			}
		case makefile.Recipe:
			if tool := compilerIn(s.Text); tool != "" && !compiler[tool] {
				compiler[tool] = true
				add(s, "C is compiled (a recipe calls %s)", tool)
			}
		}
	}
	return all
}

// compilerIn returns the C compiler that a recipe line calls, "" if none.
func compilerIn(line string) string {
	for _, w := range strings.Fields(line) {
		w = strings.TrimLeft(w, "@-+(")
		switch w {
		case "$(CC)", "${CC}", "$(CXX)", "${CXX}", "gcc", "g++", "cc", "clang":
			return w
		}
	}
	return ""
}

// nativeModules returns the node modules known to hold native code that
// package.json asks for, and whatever package-lock.json says is compiled.
func nativeModules(sys System, dir string) []string {
	found := map[string]bool{}
	var pkg struct {
		Dependencies         map[string]json.RawMessage `json:"dependencies"`
		OptionalDependencies map[string]json.RawMessage `json:"optionalDependencies"`
	}
	if data, err := sys.ReadFile(filepath.Join(dir, "package.json")); err == nil && json.Unmarshal(data, &pkg) == nil {
		for _, m := range []string{
			"bcrypt", "buffertools", "contextify", "dtrace-provider", "iconv", "illumos_contract", "kstat", "leveldown",
			"libuuid", "lockfd", "microtime", "node-expat", "node-sass", "sqlite3", "statvfs", "ursa", "usb", "zsock",
			"zsock-async", "zutil",
		} {
			_, a := pkg.Dependencies[m]
			_, b := pkg.OptionalDependencies[m]
			if a || b {
				found[m] = true
			}
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var lock struct {
		Packages map[string]struct {
			Install bool `json:"hasInstallScript"`
			Gyp     bool `json:"gypfile"`
			Dev     bool `json:"dev"`
		} `json:"packages"`
	}
	if data, err := sys.ReadFile(filepath.Join(dir, "package-lock.json")); err == nil && json.Unmarshal(data, &lock) == nil {
		for name, p := range lock.Packages {
			if (p.Gyp || p.Install) && !p.Dev && name != "" {
				const dir = "node_modules/"
				if i := strings.LastIndex(name, dir); i >= 0 {
					name = name[i+len(dir):]
				}
				found[name] = true
			}
		}
	}
	names := make([]string, 0, len(found))
	for n := range found {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
