package sums

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/bounded"
	"github.com/TritonDataCenter/engbld/tools/newfile"
)

// Names of the two files in a directory.
const (
	ListName      = "SHA256SUMS"
	SignatureName = ListName + ".sig"
)

const (
	maxFiles = 100_000
	maxList  = 64 << 20
)

// Sum is one file.
type Sum struct {
	Name   string // slash separated, below the directory
	SHA256 string // lower-case hex
}

// Make reads all files of dir.
func Make(ctx context.Context, dir string) ([]Sum, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	names, err := files(root)
	if err != nil {
		return nil, err
	}
	list := make([]Sum, 0, len(names))
	for _, name := range names {
		sum, err := hash(ctx, root, name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		list = append(list, Sum{name, sum})
	}
	return list, nil
}

func files(root *os.Root) (names []string, err error) {
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case !d.Type().IsRegular() || name == ListName || name == SignatureName:
		case len(names) == maxFiles:
			return fmt.Errorf("more than %d files", maxFiles)
		default:
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

func hash(ctx context.Context, root *os.Root, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// Encode writes a list as sha256sum does: a name with a line end, a carriage
// return or a backslash has them written \n, \r, \\, and its line begins with a
// backslash.
func Encode(list []Sum) []byte {
	var b bytes.Buffer
	escape := strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`)
	for _, s := range list {
		name := escape.Replace(s.Name)
		if name != s.Name {
			b.WriteByte('\\')
		}
		fmt.Fprintf(&b, "%s  %s\n", s.SHA256, name)
	}
	return b.Bytes()
}

// Parse reads a list. Names that lead out of the directory are errors.
func Parse(raw []byte) ([]Sum, error) {
	var list []Sum
	seen := map[string]bool{}
	if len(raw) > 0 && raw[len(raw)-1] != '\n' {
		return nil, fmt.Errorf("the last line has no end")
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n") {
		if len(raw) == 0 {
			break
		}
		s, ok := parseLine(line)
		switch {
		case !ok:
			return nil, fmt.Errorf("line %d is no sum: %.200q", i+1, line)
		case !fs.ValidPath(s.Name) || s.Name == "." || path.Clean(s.Name) != s.Name:
			return nil, fmt.Errorf("line %d: the name %.200q leads out of the directory", i+1, s.Name)
		case seen[s.Name]:
			return nil, fmt.Errorf("line %d: %.200q comes twice", i+1, s.Name)
		case len(list) == maxFiles:
			return nil, fmt.Errorf("more than %d files", maxFiles)
		}
		seen[s.Name] = true
		list = append(list, s)
	}
	return list, nil
}

func parseLine(line string) (Sum, bool) {
	rest, escaped := strings.CutPrefix(line, `\`)
	if len(rest) < 67 || rest[64] != ' ' || (rest[65] != ' ' && rest[65] != '*') || strings.Trim(rest[:64], "0123456789abcdef") != "" {
		return Sum{}, false
	}
	s := Sum{Name: rest[66:], SHA256: rest[:64]}
	if !escaped {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s.Name); i++ {
		c := s.Name[i]
		if c == '\\' {
			if i++; i == len(s.Name) {
				return Sum{}, false
			}
			switch s.Name[i] {
			case '\\':
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			default:
				return Sum{}, false
			}
		}
		b.WriteByte(c)
	}
	s.Name = b.String()
	return s, true
}

// Write makes the list of a directory and gives it its name when it is complete.
// A signature of another list, which would no longer fit, is removed.
func Write(ctx context.Context, dir string) ([]Sum, error) {
	list, err := Make(ctx, dir)
	if err != nil {
		return nil, err
	}
	raw := Encode(list)
	name := path.Join(dir, ListName)
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, raw) {
		return list, nil
	}
	if err := os.Remove(path.Join(dir, SignatureName)); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return list, newfile.Write(name, raw, 0o666)
}

// Problem is a file that is not as its directory's list says.
type Problem struct {
	Name string
	What string // missing, differs, not listed
}

// Check compares a directory with its list.
func Check(ctx context.Context, dir string) (list []Sum, problems []Problem, err error) {
	raw, err := bounded.ReadFile(path.Join(dir, ListName), maxList)
	if err != nil {
		return nil, nil, err
	}
	if list, err = Parse(raw); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", ListName, err)
	}
	have, err := Make(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	sums := map[string]string{}
	for _, s := range have {
		sums[s.Name] = s.SHA256
	}
	for _, s := range list {
		switch got, ok := sums[s.Name]; {
		case !ok:
			problems = append(problems, Problem{s.Name, "missing"})
		case got != s.SHA256:
			problems = append(problems, Problem{s.Name, "differs"})
		}
		delete(sums, s.Name)
	}
	for _, s := range have {
		if _, ok := sums[s.Name]; ok {
			problems = append(problems, Problem{s.Name, "not listed"})
		}
	}
	return list, problems, nil
}
