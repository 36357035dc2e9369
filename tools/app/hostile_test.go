package app

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/TritonDataCenter/engbld/tools/dataset"
	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// hostileTree has what an image might hold to harm those who look into it: links
// that lead out, also in steps, devices, and names that mean something to a
// terminal, a shell, a page or a ticket.
func hostileTree(t *testing.T, outside string, more bool) *fstree.Tree {
	t.Helper()
	tree := fstree.New(fstree.Time{Sec: 1})
	if _, err := tree.Mkdir("root", 0o755, 0, 0); err != nil {
		t.Fatal(err)
	}
	root, _ := tree.Lstat("root")
	file := func(s string) *fstree.Node {
		return &fstree.Node{Mode: fstree.TypeRegular | 0o4755, Content: fstree.Bytes([]byte(s))}
	}
	link := func(to string) *fstree.Node { return &fstree.Node{Mode: fstree.TypeSymlink | 0o777, Target: to} }
	for name, n := range map[string]*fstree.Node{
		"up": link("../../../../../.."), "out": link(outside), "chain1": link("chain2"), "chain2": link("chain3"), "chain3": link("up"),
		"loop": link("loop"), "victim": link(outside + "/canary"), "far": link("up" + outside + "/canary"), "odd": link("\x1b]0;owned\a\n<script>"),
		"null": {Mode: fstree.TypeChar | 0o666, Rdev: 13<<32 | 2}, "disk": {Mode: fstree.TypeBlock | 0o666, Rdev: 1}, "fifo": {Mode: fstree.TypeFifo | 0o666},
		"socket": {Mode: fstree.TypeSocket | 0o666},
	} {
		root.Add(name, n)
	}
	for i, name := range []string{"...", "..\n", "-rf", "~", "*", " ", "a b", `back\slash`, `"quote'`, "<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`,
		"\x1b[2J\x1b[31m", "\xff\xfe", "turn\u202eed", "`rm -rf`", "$(id)", "|pipe|", "[x](javascript:alert(1))", "@everyone", strings.Repeat("n", 255)} {
		name = strings.ReplaceAll(name, "/", "\u2215")
		dir := &fstree.Node{Mode: fstree.TypeDir | 0o755}
		dir.Add("canary", file(fmt.Sprint("inside", i, more)))
		root.Add(name, dir)
		if more {
			root.Add("new"+name[:min(len(name), 200)], file(name))
		}
	}
	for _, n := range []string{"<script>alert(2)<", "evil\u202e-1", "\x1b[31mred-2"} {
		p := "opt/local/pkg/" + n
		sub, err := tree.Sub("root")
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sub, _ := tree.Sub("root")
	if err := sub.MkdirAll("opt/local/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := sub.WriteFile("opt/local/etc/pkg_install.conf", []byte("PKG_DBDIR=/opt/local/pkg\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return tree
}

func writeStream(t *testing.T, name string, tree *fstree.Tree) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := dataset.WriteFull(context.Background(), f, tree, dataset.Options{ToGUID: 1, ToName: "zones/evil@final", Now: fstree.Time{Sec: 1}}); err != nil {
		t.Fatal(err)
	}
}

// TestHostileImage runs every verb that reads an image on hostile ones: nothing is
// written elsewhere, and nothing that is printed can move a cursor or be markup.
func TestHostileImage(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	canary := filepath.Join(outside, "canary")
	if err := os.WriteFile(canary, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeStream(t, filepath.Join(dir, "a.zfs"), hostileTree(t, outside, false))
	writeStream(t, filepath.Join(dir, "b.zfs"), hostileTree(t, outside, true))
	tame := func(what, text string) {
		t.Helper()
		for _, r := range text {
			if r != '\n' && (!unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar) {
				t.Errorf("%s prints the character %q", what, r)
				return
			}
		}
	}
	run := func(args ...string) string {
		t.Helper()
		var out, story bytes.Buffer
		env := Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &story, Now: time.Now, Dir: dir, Getenv: func(name string) string {
			return map[string]string{"ENGBLD_CACHE_DIR": filepath.Join(dir, "cache"), "ENGBLD_OFFLINE": "true"}[name]
		}}
		if code := Main(context.Background(), env, args); code != 0 {
			t.Errorf("engbld %q: exit code %d\n%s", args, code, story.String())
		}
		tame(args[1]+" on stderr", story.String())
		return out.String()
	}
	tame("diff", run("image", "diff", "--files", "a.zfs", "b.zfs"))
	tame("diff --json", run("image", "diff", "--json", "a.zfs", "b.zfs"))
	markdown := run("image", "diff", "--markdown", "a.zfs", "b.zfs")
	tame("diff --markdown", markdown)
	for _, line := range strings.Split(markdown, "\n") {
		code := strings.Split(line, "`")
		if len(code)%2 == 0 {
			t.Errorf("a line has code without end: %q", line)
		}
		for i := 0; i < len(code); i += 2 {
			if strings.ContainsAny(code[i], "<>[]@\\*~") {
				t.Errorf("a line has markup: %q", line)
			}
		}
	}
	tame("du", run("image", "du", "--all", "a.zfs"))
	tame("tree", run("image", "tree", "--depth", "0", "--packages", "a.zfs"))
	page := run("report", "b.zfs")
	tame("report", page)
	for _, bad := range []string{"<script", "<img", "onerror=\"", "href=\"javascript"} {
		if strings.Contains(page, bad) {
			t.Errorf("the report has %s", bad)
		}
	}
	run("image", "extract", "a.zfs", "tree")
	run("image", "extract", "--tar", "a.zfs", "tree.tar")
	if b, err := os.ReadFile(canary); err != nil || string(b) != "untouched" {
		t.Errorf("the file outside: %q, %v", b, err)
	}
	if names, err := os.ReadDir(outside); err != nil || len(names) != 1 {
		t.Errorf("files outside: %v, %v", names, err)
	}
	err := filepath.WalkDir(filepath.Join(dir, "tree"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket) != 0 {
			t.Errorf("%q was made", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
