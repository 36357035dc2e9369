package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// bench is what the rows share.
type bench struct {
	config
	stderr io.Writer
	exe    string // this program
	temp   *newfile.Dir
	tmp    string // its name; in memory, removed at the end
	dir    string // inputs, kept
	engbld string // the program under test
	sum    string // the test tool for checksums, "" without a C compiler
}

func newBench(ctx context.Context, c config, stderr io.Writer) (*bench, error) {
	b := &bench{config: c, stderr: stderr}
	var err error
	if b.exe, err = os.Executable(); err != nil {
		return nil, err
	}
	size := "full"
	if c.Short {
		size = "short"
	}
	b.dir = filepath.Join(c.Cache, "inputs-"+fixtureVersion, size)
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return nil, err
	}
	if b.temp, err = temporary(); err != nil {
		return nil, err
	}
	b.tmp = b.temp.Name
	b.engbld = filepath.Join(b.tmp, "engbld")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", b.engbld, "./tools/engbld")
	build.Dir = c.Root
	if out, err := build.CombinedOutput(); err != nil {
		b.close()
		return nil, fmt.Errorf("building engbld: %w\n%s", err, tail(string(out)))
	}
	if cc, err := exec.LookPath("cc"); err == nil {
		tool := filepath.Join(b.tmp, "fletcher4")
		if exec.CommandContext(ctx, cc, "-O2", "-o", tool, filepath.Join(c.Root, "tools/bench/testdata/fletcher4.c")).Run() == nil {
			b.sum = tool
		}
	}
	return b, nil
}

func (b *bench) close() { b.temp.Remove() }

// scale makes sizes smaller in short mode.
func (b *bench) scale(n int64) int64 {
	if b.Short {
		return n / 10
	}
	return n
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// quote makes a word of a line of shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

const mb = 1 << 20

func (b *bench) rows() []row {
	var rows []row
	rows = append(rows, b.writeRows()...)
	rows = append(rows, b.baseRows()...)
	rows = append(rows, b.installRow())
	rows = append(rows, b.buildRows()...)
	rows = append(rows, b.makeRows()...)
	rows = append(rows, b.uploadRow())
	rows = append(rows, b.growthRows()...)
	return rows
}

// emptyBase is the stream of a zone without files, for increments.
func (b *bench) emptyBase(ctx context.Context) (string, error) {
	g := growthInput{Dir: b.dir, Files: 1, Bytes: 100}
	return g.stream(), g.make(ctx)
}

func (b *bench) writeRows() []row {
	content := bulk{Path: b.path("mixed.bin"), Files: int(b.scale(6000)), Bytes: b.scale(200 * mb), Seed: 1}
	raw, ours, theirs := filepath.Join(b.tmp, "raw.zfs"), filepath.Join(b.tmp, "ours"), filepath.Join(b.tmp, "theirs")
	in := writeInput{Content: content, Out: ours}
	// The raw stream comes first: it is what the anchors work on.
	prepare := func(ctx context.Context) error {
		var err error
		if in.Base, err = b.emptyBase(ctx); err != nil {
			return err
		}
		if err := content.make(); err != nil {
			return err
		}
		if fileSize(raw) > 0 {
			return nil
		}
		plain := in
		plain.Out, plain.Gzip = raw, false
		_, err = b.self(ctx, 2, "write", plain)
		return err
	}
	run := func(cpus int, zip bool) func(ctx context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			i := in
			i.Gzip = zip
			return b.self(ctx, cpus, "write", i)
		}
	}
	pigz := side{"pigz -p2", prepare, func(ctx context.Context) (sample, error) {
		s, err := shell(ctx, "", nil, "command -v pigz >/dev/null || exit 127; pigz -p2 -c "+quote(raw)+" > "+quote(theirs))
		s.Size = fileSize(theirs)
		return s, missingTool(err, "pigz")
	}}
	sum := side{"cat + fletcher-4 in C", prepare, func(ctx context.Context) (sample, error) {
		if b.sum == "" {
			return sample{}, &missingError{"cc is not installed"}
		}
		return shell(ctx, "", nil, onOneCPU()+" sh -c 'cat < "+raw+" > "+theirs+" && "+b.sum+" < "+raw+"' > /dev/null")
	}}
	return []row{
		{name: "write-gzip", ours: side{"write an increment of 200 MB, gzip", prepare, run(2, true)}, anchor: pigz,
			target: "<= 0.4 x time, <= 1.02 x size", judge: ratioAtMost(0.4, 1.02)},
		{name: "write-plain", ours: side{"the same without compression, 1 CPU", prepare, run(1, false)}, anchor: sum,
			target: "<= 1.3 x", judge: ratioAtMost(1.3, 0)},
	}
}

// onOneCPU keeps what follows on one CPU, where the system has a command for it.
func onOneCPU() string {
	if _, err := exec.LookPath("taskset"); err == nil {
		return "taskset -c 0"
	}
	return ""
}

// missingTool turns the shell's answer for what is not there into a skip.
func missingTool(err error, tool string) error {
	if err == nil {
		return nil
	}
	if _, lookErr := exec.LookPath(tool); lookErr != nil {
		return &missingError{tool + " is not installed"}
	}
	return err
}

func (b *bench) bigBase() base {
	return base{Dir: b.path("base-1g"), UUID: "0be4c000-0000-4000-8000-000000001000",
		Content: bulk{Path: b.path("base-1g.bin"), Files: int(b.scale(50_000)), Bytes: b.scale(1000 * mb), Seed: 2}}
}

func (b *bench) baseRows() []row {
	img := b.bigBase()
	cache := filepath.Join(b.dir, ".engbld-cache")
	in := baseInput{Source: img.Dir, UUID: img.UUID, Cache: cache}
	run := func(ctx context.Context) (sample, error) { return b.self(ctx, 2, "base", in) }
	cold := func(ctx context.Context) error {
		if err := img.make(ctx); err != nil {
			return err
		}
		return os.RemoveAll(cache)
	}
	warm := func(ctx context.Context) error {
		if fileSize(filepath.Join(cache, "warm")) > 0 {
			return nil
		}
		if err := cold(ctx); err != nil {
			return err
		}
		if _, err := run(ctx); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(cache, "warm"), []byte("yes\n"), 0o644)
	}
	gzip := side{"gzip -dc", func(ctx context.Context) error { return img.make(ctx) }, func(ctx context.Context) (sample, error) {
		return shell(ctx, "", nil, "gzip -dc < "+quote(img.file())+" > /dev/null")
	}}
	return []row{
		{name: "base-cold", ours: side{"read and index a base of 1 GB, 50,000 files", cold, run}, anchor: gzip,
			target: "<= 1.0 x", judge: ratioAtMost(1, 0)},
		{name: "base-warm", ours: side{"the same, index cached", warm, run},
			target: "<= 50 ms", judge: func(ours, _ sample) verdict {
				return verdict{fmt.Sprintf("%.0f ms", ours.Seconds*1000), ours.Seconds <= 0.05}
			}},
	}
}

func (b *bench) installRow() row {
	p := packages{Dir: b.path("packages-60m"), N: 20, Files: int(b.scale(4000)), Bytes: b.scale(120 * mb), Seed: 3}
	prepare := func(context.Context) error { return p.make() }
	return row{name: "install", ours: side{"install 60 MB of signed packages", prepare, func(ctx context.Context) (sample, error) {
		s, err := b.self(ctx, 2, "install", installInput{p})
		s.Size = dirSize(p.signed())
		return s, err
	}}, anchor: side{"tar xzf of all of them to memory", prepare, func(ctx context.Context) (sample, error) {
		dir := filepath.Join(b.tmp, "untarred")
		defer os.RemoveAll(dir)
		return shell(ctx, "", nil, "mkdir "+quote(dir)+"; for f in "+quote(p.plain())+"/*.tgz; do tar xzf \"$f\" -C "+quote(dir)+"; done")
	}}, target: "<= 1.2 x", judge: ratioAtMost(1.2, 0)}
}
