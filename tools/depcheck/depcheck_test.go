package depcheck

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/TritonDataCenter/engbld/"

func forTests(pkg string) bool {
	return slices.ContainsFunc(tests, func(p string) bool { return pkg == p || strings.HasPrefix(pkg, p+"/") })
}

// TestImportsPointDown reads the imports of every file that is no test.
func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	rank := map[string]int{}
	for i, line := range order {
		for _, p := range line {
			if rank[p] != 0 {
				t.Errorf("%s stands twice in order", p)
			}
			rank[p] = i + 1
		}
	}
	missing := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "testdata" || name == "deps" || strings.HasPrefix(name, ".") && path != root) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || filepath.Dir(path) == root {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		if forTests(pkg) {
			return nil
		}
		if rank[pkg] == 0 {
			missing[pkg] = true
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			to, ours := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module)
			switch {
			case !ours:
			case forTests(to):
				t.Errorf("%s imports %s, which is for tests", path, to)
			case rank[to] >= rank[pkg]:
				t.Errorf("%s imports %s, which is not below %s", path, to, pkg)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for p := range missing {
		t.Errorf("%s stands nowhere in order", p)
	}
	for _, p := range slices.Concat(append(order, tests)...) {
		if files, err := filepath.Glob(filepath.Join(root, p, "*.go")); err != nil || len(files) == 0 {
			t.Errorf("order names %s, which is not there", p)
		}
	}
}
