package version

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// readTSV returns the rows of a recording of pkg_admin's pmatch and pkg_info
// (pkg_install 20170419); the first line is a comment.
func readTSV(t testing.TB, name string) [][]string {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 3 {
			t.Fatalf("%s: %q has %d fields", name, line, len(fields))
		}
		rows = append(rows, fields)
	}
	return rows
}

func relation(c int) string { return [...]string{"<", "=", ">"}[c+1] }

func TestCompareAsRecorded(t *testing.T) {
	t.Parallel()
	rows := readTSV(t, "versions.tsv")
	if len(rows) < 40 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, r := range rows {
		if got := relation(Compare(r[0], r[2])); got != r[1] {
			t.Errorf("%s %s %s, want %s", r[0], got, r[2], r[1])
		}
		if got, want := Compare(r[2], r[0]), -Compare(r[0], r[2]); got != want {
			t.Errorf("Compare(%s, %s) = %d, want %d", r[2], r[0], got, want)
		}
	}
}

func TestMatchAsRecorded(t *testing.T) {
	t.Parallel()
	rows := readTSV(t, "patterns.tsv")
	if len(rows) < 40 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, r := range rows {
		got, err := Match(r[0], r[1])
		if want := r[2] == "yes" || r[2] == "1" || r[2] == "match"; err != nil || got != want {
			t.Errorf("Match(%s, %s) = %v, %v, want %s", r[0], r[1], got, err, r[2])
		}
	}
}

func TestHugeNumbers(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("9", 500)
	if Compare(huge, "1.0") <= 0 || Compare(huge+".1", huge+".2") >= 0 {
		t.Error("huge numbers do not compare as huge")
	}
}

func TestMatchMore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, pkg string
		want         bool
	}{
		{"", "", true},
		{"", "a-1", false},
		{"foo>=1", "foo", false},  // no version at all
		{"foo<", "foo-0", false},  // nothing is older than nothing but alpha and the like
		{"foo<", "foo-rc1", true}, //
		{">=1", "-2", true},
		{"foo-[!a-z]*", "foo-1", true},
		{"foo-[]a]", "foo-]", true},
		{"foo-[1", "foo-[1", true}, // never closed: itself
		{"foo-[1-]", "foo--", true},
		{`foo-\*`, "foo-*", true},
		{`foo-\*`, "foo-1", false},
		{"*", ".x-1", false},
		{"?x-1", ".x-1", false},
		{"[.]x-1", ".x-1", false},
		{".*", ".x-1", true},
		{"a}-[0-9]*", "a}-1", true},
		{"a,b", "a,b-1", true},
		{"{}foo", "foo-1", true},
		{"*-*-*-*", "a-b-c", false},
		{"{foo>1,foo<1}", "foo-0.5", true},
		{"foo>1<=2", "foo-2", true},
		{"foo>1<=2", "foo-2nb1", false},
	} {
		if got, err := Match(tt.pattern, tt.pkg); err != nil || got != tt.want {
			t.Errorf("Match(%q, %q) = %v, %v, want %v", tt.pattern, tt.pkg, got, err, tt.want)
		}
	}
}

func TestBadPatterns(t *testing.T) {
	t.Parallel()
	for _, p := range []string{
		"foo{a", "{{a,b}", "{a,b}{",
		strings.Repeat("{a,b}", 30),
		strings.Repeat("x", maxPattern+1),
		"{" + strings.Repeat("{", maxPattern-10),
	} {
		if ok, err := Match(p, "xyz"); ok || (err != nil && !errors.Is(err, ErrPattern)) {
			t.Errorf("Match(%.40q) = %v, %v", p, ok, err)
		}
		if _, err := Match(p, "foo"); strings.HasPrefix(p, "foo") && err == nil {
			t.Errorf("Match(%.40q) found nothing wrong", p)
		}
	}
	if _, err := Match("*"+strings.Repeat("{a,b}", 30), "c"); err == nil {
		t.Error("2^30 alternatives were taken")
	}
	if ok, err := Match(strings.Repeat("{a,a}", 30), strings.Repeat("a", 30)); !ok || err != nil {
		t.Errorf("an early match among many alternatives: %v, %v", ok, err)
	}
}

func TestBest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern string
		names   []string
		want    string
	}{
		{"foo", []string{"foo-1.0", "foo-1.1", "foo-1.0nb9"}, "foo-1.1"},
		{"foo", []string{"foo-1.0.0", "foo-1.0", "foo-1"}, "foo-1"},
		{"foo", []string{"bar-1"}, ""},
		{"{foo,bar}>=1", []string{"foo-2", "bar-2", "bar-1"}, "bar-2"},
		{"coreutils-8.23nb2", []string{"coreutils-8.23nb2", "coreutils-9"}, "coreutils-8.23nb2"},
		{"coreutils<9", []string{"coreutils-8.23nb2", "coreutils-9"}, "coreutils-8.23nb2"},
	} {
		got, ok, err := Best(tt.pattern, tt.names)
		if got != tt.want || ok != (tt.want != "") || err != nil {
			t.Errorf("Best(%q) = %q, %v, %v, want %q", tt.pattern, got, ok, err, tt.want)
		}
	}
	if _, _, err := Best("{", []string{"foo-1"}); err == nil {
		t.Error("Best took unbalanced braces")
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		"py310-six-1.16": {"py310-six", "1.16"}, "foo": {"foo", ""}, "foo-": {"foo", ""}, "-1": {"", "1"},
	} {
		if n, v := Split(in); n != want[0] || v != want[1] {
			t.Errorf("Split(%q) = %q, %q", in, n, v)
		}
	}
}

// TestIndex asks an index and all names one by one the same.
func TestIndex(t *testing.T) {
	t.Parallel()
	names := []string{"foo-1.0", "foo-1.1", "foo-1.1", "foo-bar-1.0", "foobar-2", "fo-1", "foo", "foo-", "-1", "", "bar-1", "bar-1.0",
		"a-1", "a-b-c", "a}-1", "foo-[1", `foo\-1`, "foo*-1", "foo<1", ".x-1", "php83-x-1.0", "php84-x-1.0nb1", "php84-x-1.0", "\xff-1"}
	patterns := []string{"foo", "foo-1.0", "foo>=1", "foo>1<2", "foo<", "foo-[0-9]*", "foo*", "*", "*-1", "", "?oo", "[f]oo-1*", "{foo,bar}",
		"{foo,bar}>=1", "php{83,84}-x-[0-9]*", "{php{83,84}-x,foo}>=0", "{a,a,a}-1", "{,foo}-1", "foo{", "foo{a", "{", "}", "a}", "{a,b}{", "{{a,b}",
		`foo\*`, `foo\-1`, "foo-[1", "-", "-1", "zzz", "\xff", "f{o,oo}-[0-9]*", "{f,foo}*", strings.Repeat("x", maxPattern+1),
		"{" + strings.Repeat("foo,", maxLookups) + "bar}", strings.Repeat("{a,b}", 13), ".x", "<1", "foo<1", "foo-bar>=1"}
	for _, r := range readTSV(t, "patterns.tsv") {
		patterns, names = append(patterns, r[0]), append(names, r[1])
	}
	for _, names := range [][]string{names, nil} {
		x := NewIndex(names)
		for _, p := range patterns {
			want, wantOK, wantErr := Best(p, names)
			got, ok, err := x.Best(p, NewBudget(1<<30))
			if got != want || ok != wantOK || (err == nil) != (wantErr == nil) {
				t.Errorf("%.40q: %q, %v, %v; want %q, %v, %v", p, got, ok, err, want, wantOK, wantErr)
			}
			checkCandidates(t, x, p, names)
		}
	}
}

// checkCandidates sees that no name that counts is missing, and none is there twice.
func checkCandidates(t *testing.T, x *Index, pattern string, names []string) {
	t.Helper()
	seen := map[string]bool{}
	for name := range x.Candidates(pattern) {
		if seen[name] {
			t.Errorf("%.40q: %q comes twice", pattern, name)
		}
		seen[name] = true
	}
	for _, name := range names {
		if ok, err := Match(pattern, name); (ok || err != nil) && !seen[name] {
			t.Errorf("%.40q: %q is missing: %v, %v", pattern, name, ok, err)
		}
	}
}

// TestIndexLooksAtFew counts what is looked at among many names.
func TestIndexLooksAtFew(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 30000 {
		names = append(names, fmt.Sprintf("pkg%d-1.%d", i, i%7))
	}
	x := NewIndex(names)
	for _, p := range []string{"pkg7>=1", "pkg29999-[0-9]*", "pkg12", "pkg{1,2,3}>=1<2", "none-[0-9]*", "pkg100-1.2"} {
		n := 0
		for range x.Candidates(p) {
			n++
		}
		if n > 3 {
			t.Errorf("%s: %d names were looked at", p, n)
		}
	}
}

// TestSteps gives patterns just within and beyond what one match may take.
func TestSteps(t *testing.T) {
	t.Parallel()
	within := "{" + strings.Repeat("x,", 50) + "}*[" + strings.Repeat("a", 3000)
	beyond := "{" + strings.Repeat(",", 1000) + "}*[" + strings.Repeat("a", 3000)
	for _, tt := range []struct {
		pattern, name string
		good          bool
	}{
		{within, "xb-z", true},
		{beyond, "b-z", false},
		{"*" + strings.Repeat("a*", 500) + "b", strings.Repeat("a", 600), true},
		{"*" + strings.Repeat("a", 2000) + "b", strings.Repeat("a", 60000), false},
		{"*" + strings.Repeat("[", 3000) + "a", strings.Repeat("z", 300), true},
		{strings.Repeat("[", 3000) + `\]`, strings.Repeat("[", 3001), false},
		{"{" + strings.Repeat("firefox{,-bin,-gtk1,-gtk2}-[0-9]*,", 60) + "x}", "thunderbird-1", true},
	} {
		ok, err := Match(tt.pattern, tt.name)
		if ok || (err == nil) != tt.good || err != nil && !errors.Is(err, ErrPattern) {
			t.Errorf("%.30q: %v, %v", tt.pattern, ok, err)
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	b := NewBudget(100)
	for i := range 100 {
		if ok, err := b.Match("foo-[0-9]*", "bar-1"); ok || err != nil {
			t.Fatalf("match %d: %v, %v", i, ok, err)
		}
	}
	for range 2 {
		if _, err := b.Match("foo", "bar-1"); !errors.Is(err, ErrPattern) || !strings.Contains(err.Error(), "100 steps") {
			t.Errorf("%v", err)
		}
	}
	if _, err := NewBudget(30).Match("{foo,bar,"+strings.Repeat("x", 100)+"}", "bar-1"); err == nil || !strings.Contains(err.Error(), "30 steps") {
		t.Errorf("within one match: %v", err)
	}
}

// FuzzIndex checks that an index misses nothing.
func FuzzIndex(f *testing.F) {
	for _, r := range readTSV(f, "patterns.tsv") {
		f.Add(r[0], r[1], "foo-1")
	}
	f.Fuzz(func(t *testing.T, pattern, a, b string) {
		names := []string{a, b, "foo-1"}
		checkCandidates(t, NewIndex(names), pattern, names)
	})
}

// FuzzCompare checks that versions are ordered: antisymmetric and transitive.
func FuzzCompare(f *testing.F) {
	for _, r := range readTSV(f, "versions.tsv") {
		f.Add(r[0], r[2], "1.0")
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if Compare(a, b) != -Compare(b, a) || Compare(a, a) != 0 {
			t.Errorf("%q and %q have no order", a, b)
		}
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Errorf("%q <= %q <= %q, but not the first and the last", a, b, c)
		}
	})
}

// FuzzMatch checks that no pattern takes long or is both good and bad.
func FuzzMatch(f *testing.F) {
	f.Add("{,,,}*[aaa", "aab-1")
	f.Add(`*[[\]*[a-\]]`, "[[]-1")
	for _, r := range readTSV(f, "patterns.tsv") {
		f.Add(r[0], r[1])
	}
	f.Fuzz(func(t *testing.T, pattern, pkg string) {
		if ok, err := Match(pattern, pkg); ok && err != nil {
			t.Errorf("a match with error %v", err)
		}
		if !strings.ContainsAny(pattern, `{}<>*?[]\`) && len(pattern) <= maxPattern {
			if ok, err := Match(pattern, pattern); !ok || err != nil {
				t.Errorf("%q does not match itself: %v, %v", pattern, ok, err)
			}
		}
	})
}
