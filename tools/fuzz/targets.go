package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
)

// target is one fuzz function.
type target struct {
	Package string // import path
	Dir     string // of its sources
	Name    string
}

// key is what people call it.
func (t target) key() string {
	return path.Base(path.Dir(t.Package)) + "/" + path.Base(t.Package) + "." + t.Name
}

var function = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// find lists the targets of the module in the working directory.
func find(ctx context.Context, only *regexp.Regexp) ([]target, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the packages: %w\n%s", err, stderr.Bytes())
	}
	var targets []target
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return targets, nil
		} else if err != nil {
			return nil, fmt.Errorf("listing the packages: %w", err)
		}
		for _, name := range append(p.TestGoFiles, p.XTestGoFiles...) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			for _, m := range function.FindAllSubmatch(text, -1) {
				if t := (target{p.ImportPath, p.Dir, string(m[1])}); only.MatchString(t.key()) {
					targets = append(targets, t)
				}
			}
		}
	}
}
