package buildenv_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/buildenv"
)

// machine is a recorded one; see testdata/README.md.
type machine struct {
	commands map[string]*buildenv.Output
	files    map[string]string
	programs map[string]bool
	rooms    map[string]buildenv.Room
	dir      string // the component's: real files
	ran      map[string]int
	env      []string // of the last make
}

func load(t *testing.T, name, dir string) *machine {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".machine"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err = filepath.Abs(filepath.Join("testdata", dir))
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{map[string]*buildenv.Output{}, map[string]string{}, map[string]bool{}, map[string]buildenv.Room{}, dir, map[string]int{}, nil}
	var cmd *buildenv.Output
	var file string
	for line := range strings.Lines(string(data)) {
		mark, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case mark == "$":
			cmd, file = &buildenv.Output{}, ""
			m.commands[rest] = cmd
		case mark == "<":
			cmd, file = nil, rest
		case mark == "x":
			m.programs[rest] = true
		case mark == "room":
			f := strings.Fields(rest)
			free, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			m.rooms[f[0]] = buildenv.Room{At: f[0], Free: free, Writable: len(f) == 2}
		case mark == "exit" && cmd != nil:
			if cmd.Status, err = strconv.Atoi(rest); err != nil {
				t.Fatal(err)
			}
		case mark == "err:" && cmd != nil:
			cmd.Stderr += rest + "\n"
		case cmd != nil:
			cmd.Stdout += line
		case file != "":
			m.files[file] += line
		default:
			t.Fatalf("%s: %q", name, line)
		}
	}
	return m
}

func (m *machine) Run(_ context.Context, c buildenv.Cmd) (buildenv.Output, error) {
	key := strings.Join(c.Args, " ")
	m.ran[key]++
	if strings.HasSuffix(c.Args[0], "make") {
		m.env = c.Env
	}
	if o := m.commands[key]; o != nil {
		return *o, nil
	}
	return buildenv.Output{}, fmt.Errorf("running %s: %w", key, fs.ErrNotExist)
}

func (m *machine) ReadFile(name string) ([]byte, error) {
	if s, ok := m.files[name]; ok {
		return []byte(s), nil
	}
	if strings.HasPrefix(name, m.dir) {
		return os.ReadFile(name)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (m *machine) Executable(name string) bool { return m.programs[name] }

func (m *machine) Room(dir string) (buildenv.Room, error) {
	if r, ok := m.rooms[dir]; ok {
		return r, nil
	}
	return buildenv.Room{}, fmt.Errorf("nothing of %s exists", dir)
}
