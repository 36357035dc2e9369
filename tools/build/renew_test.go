package build

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
)

// TestRenewedOnce gives packages that several of those to renew need.
func TestRenewedOnce(t *testing.T) {
	t.Parallel()
	layers := ""
	var all []string
	for i := 1; i <= 10; i++ { // each needs all of the next layer
		for j := range 8 {
			name := fmt.Sprintf("l%d.%d-1", i, j)
			all = append(all, name)
			layers += "PKGNAME=" + name + "\n"
			for k := range 8 {
				layers += fmt.Sprintf("DEPENDS=l%d.%d-[0-9]*\n", min(i+1, 10), k)
			}
			layers += "\n"
		}
	}
	for _, c := range []struct {
		name, summary string
		renew, want   []string
		err           string
	}{
		{"needed twice", "PKGNAME=a-1\nDEPENDS=b\nDEPENDS=c\n\nPKGNAME=b-1\nDEPENDS=x>=1\n\nPKGNAME=c-1\nDEPENDS=x\n\nPKGNAME=x-1\n\nPKGNAME=x-2\n",
			[]string{"a"}, []string{"a-1", "b-1", "c-1", "x-2"}, ""},
		{"to renew and needed", "PKGNAME=a-1\nDEPENDS=b>=1\n\nPKGNAME=b-1\n", []string{"a", "b"}, []string{"a-1", "b-1"}, ""},
		{"layers", layers, []string{"l1.0"}, append([]string{"l1.0-1"}, all[8:]...), ""},
		{"kept", "PKGNAME=a-1\nDEPENDS=b\n\nPKGNAME=b-2\n", []string{"a"}, []string{"a-1"}, "b-1"},
		{"none", "PKGNAME=a-1\nDEPENDS=b\n", []string{"a"}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for line := range strings.Lines(c.summary) {
				if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PKGNAME="); ok {
					write(t, filepath.Join(dir, name+".tgz"), name)
				}
			}
			write(t, filepath.Join(dir, "pkg_summary.gz"), c.summary)
			live, err := repository.OpenSet([]string{dir}, repository.Options{})
			if err != nil {
				t.Fatal(err)
			}
			p := &portable{opts: Options{Renew: c.renew}}
			if c.err != "" {
				p.pkgs.initial = []string{c.err}
			}
			fresh, err := p.renewed(t.Context(), live, nil)
			var got []string
			for _, one := range fresh {
				got = append(got, one.PkgName)
			}
			if slices.Sort(got); !slices.Equal(got, sorted(c.want)) || (err != nil) != (c.want == nil) {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
