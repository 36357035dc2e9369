package install

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/fstree"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
)

// TestRefusals does what messages.txt of the fixture records: the same commands
// are refused, for the same reasons, and leave the tree as it was.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		policy string
		before []string // installed first
		add    string
		kind   fault.Kind
		want   []string // in the message
	}{
		{"unknown key", "never", nil, "otherkey", fault.Policy, []string{"otherkey-1.0", "unable to verify signature", "49b7e87a773c8c86"}},
		{"cut short", "never", nil, "truncated", fault.Step, []string{"truncated-1.0", "cut short"}},
		{"changed after signing", "never", nil, "badsig", fault.Policy, []string{"badsig-1.0", "invalid signature of block 0"}},
		{"other order", "never", nil, "misorder", fault.Step, []string{"misorder-1.0", "do not match", "share/misorder/a.txt", "share/misorder/b.txt"}},
		{"missing dependency", "never", nil, "nodeps", fault.Network, []string{`no package found for "absent>=3"`, "nodeps-1.0 needs it"}},
		{"missing package", "never", nil, "absent", fault.Network, []string{`no package found for "absent"`}},
		{"same file", "never", []string{"gsed"}, "clash", fault.Step, []string{"clash-1.0 conflicts with gsed-4.9nb1", "bin/gsed"}},
		{"conflict by list", "never", []string{"gsed"}, "antigsed", fault.Step, []string{"antigsed-1.0 conflicts with \"gsed-[0-9]*\"", "gsed-4.9nb1 is installed"}},
		{"conflict by range", "never", []string{"fileutils"}, "coreutils", fault.Step, []string{"coreutils-9.5nb1 conflicts with \"fileutils-[0-9]*\"", "fileutils-4.1 is installed"}},
		{"conflict of the installed one", "never", []string{"coreutils"}, "fileutils", fault.Step, []string{"installed package coreutils-9.5nb1 conflicts with \"fileutils-[0-9]*\"", "fileutils-4.1"}},
		{"unsigned", "always", nil, "badsize", fault.Policy, []string{"badsize-1.0", "signature"}},
		{"circle", "never", nil, "cycle-a", fault.Step, []string{"cycle-a-1.0 needs cycle-b-1.0 needs cycle-a-1.0"}},
		{"foreign command", "never", nil, "svcdemo", fault.Policy, []string{"svcdemo-1.0: +INSTALL line ", "svccfg import"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if len(tt.before) > 0 {
				r.add(r.installer(repo2024), tt.before...)
			}
			r.verify(tt.policy)
			before := r.listing()
			err := r.installer(repo2024).Add(t.Context(), []string{tt.add})
			if err == nil {
				t.Fatal("not refused")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if k := fault.KindOf(err); k != tt.kind {
				t.Errorf("kind %d, want %d: %v", k, tt.kind, err)
			}
			if tt.kind == fault.Policy && tt.name == "foreign command" && !strings.Contains(fault.Hint(err), "svcdemo:svccfg-import") {
				t.Errorf("hint %q", fault.Hint(err))
			}
			if diff := cmp.Diff(before, r.listing()); diff != "" {
				t.Errorf("the tree was changed: %s", diff)
			}
		})
	}
}

// TestDelete does the deletions that messages.txt records.
func TestDelete(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(r.tree.WriteFile("opt/local/bin/tool", nil, 0o755)) // an empty directory would go too
	start := r.listing()
	in := r.installer(repo2024)
	r.add(in, "fileutils")
	r.must(in.Delete(t.Context(), []string{"fileutils"}))
	r.must(in.Finish(t.Context()))
	after := r.listing()
	delete(after, "/opt/local/pkg") // the directory of the database stays
	if diff := cmp.Diff(start, after); diff != "" {
		t.Errorf("(-before +after): %s", diff)
	}
	r.add(in, "coreutils", "gsed", "keeper")
	for arg, want := range map[string]string{
		"keeper":      "package keeper-1.0 is marked as not for deletion",
		"gettext-lib": "package gettext-lib-0.22.5 is still required by coreutils-9.5nb1, gsed-4.9nb1",
		"absent":      `no package "absent" is installed`,
	} {
		if err := in.Delete(t.Context(), []string{arg}); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	r.must(in.Delete(t.Context(), []string{"gsed", "coreutils", "gettext-lib", "libiconv"}))
	if got := in.Installed(); !slices.Equal(got, []string{"gmp-6.3.0nb1", "keeper-1.0"}) {
		t.Errorf("left: %q", got)
	}
}

// TestTaken are packages that the genuine tools install too, with or without a
// word.
func TestTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.installer(repo2024)
	r.add(in, "badmd5")
	if want := []string{"badmd5-1.0: share/badmd5/data.txt differs from its record in the packing list"}; !slices.Equal(want, r.story.warn) {
		t.Errorf("warnings %q, want %q", r.story.warn, want)
	}
	r.add(in, "zstdpkg") // which pkg_install of 2017 cannot read
	if got := in.Installed(); !slices.Equal(got, []string{"badmd5-1.0", "zstdpkg-1.0"}) {
		t.Errorf("installed: %q", got)
	}
}

// TestReinstall replaces a package by itself: nothing is different but what the
// run itself tells.
func TestReinstall(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.add(r.installer(repo2024), "gsed", "sudo", "openssl", "dbsvc", "bash", "keeper", "execdemo")
	before := r.listing()
	in := r.installer(repo2024)
	r.add(in, "gsed", "sudo", "openssl", "dbsvc", "bash", "keeper", "execdemo")
	after := r.listing()
	// openssl's directories were there when its new record was counted.
	for p := range after {
		if _, had := before[p]; !had && !strings.HasSuffix(p, "/+PREEXISTING") {
			t.Errorf("new: %s", p)
		}
	}
	for p, l := range before {
		if after[p] != l {
			t.Errorf("%s is now %s", l, after[p])
		}
	}
	for _, c := range in.Changes() {
		if c.Name != c.Old || c.Auto {
			t.Errorf("change %+v", c)
		}
	}
}

// TestKeepMarks checks that a replaced package stays what it was.
func TestKeepMarks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.installer(repo2024)
	r.add(in, "gsed")
	r.add(in, "gettext-lib", "gsed")
	for name, auto := range map[string]bool{"gettext-lib-0.22.5": true, "libiconv-1.17": true, "gsed-4.9nb1": false} {
		rec, err := in.DB().Record(name)
		r.must(err)
		if rec.Automatic != auto {
			t.Errorf("%s automatic: %v", name, rec.Automatic)
		}
	}
	rec, err := in.DB().Record("gettext-lib-0.22.5")
	r.must(err)
	if !slices.Equal(rec.RequiredBy, []string{"gsed-4.9nb1"}) {
		t.Errorf("required by %q", rec.RequiredBy)
	}
}

func TestDependentsRefuse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.before()
	// Something wants exactly the old openssl.
	contents := "@cwd /opt/local\n@name picky-1.0\n@pkgdep openssl<3.3.2\n"
	r.must(r.tree.MkdirAll("opt/local/pkg/picky-1.0", 0o755))
	r.must(r.tree.WriteFile("opt/local/pkg/picky-1.0/+CONTENTS", []byte(contents), 0o644))
	r.must(r.tree.WriteFile("opt/local/pkg/picky-1.0/+COMMENT", []byte("picky\n"), 0o444))
	r.must(appendFile(r.tree, "opt/local/pkg/openssl-3.3.1nb2/+REQUIRED_BY", "picky-1.0\n"))
	err := r.installer(repo2024).Add(t.Context(), []string{"openssl"})
	if err == nil || !strings.Contains(err.Error(), `dependency "openssl<3.3.2" of picky-1.0 is fulfilled by openssl-3.3.1nb2, but not by openssl-3.3.2`) {
		t.Errorf("%v", err)
	}
	// An upgrade of everything, which is forced, only warns.
	r.story = story{}
	r.must(r.installer(repo2024).FullUpgrade(t.Context()))
	if !strings.Contains(strings.Join(r.story.warn, "\n"), "dependency \"openssl<3.3.2\" of picky-1.0") {
		t.Errorf("warnings: %q", r.story.warn)
	}
}

func TestSMFSite(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.installer(repo2024, accept("svcdemo:svccfg-site"))
	r.add(in, "svcdemo")
	want, err := r.tree.ReadFile("opt/local/lib/svc/manifest/svcdemo.xml", maxSmall)
	r.must(err)
	got, err := r.tree.ReadFile("var/svc/manifest/site/svcdemo.xml", maxSmall)
	r.must(err)
	if string(got) != string(want) {
		t.Errorf("manifest %q", got)
	}
	if len(r.story.warn) != 1 || !strings.Contains(r.story.warn[0], "first boot") {
		t.Errorf("warnings: %q", r.story.warn)
	}
}

func TestMachineArch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	err := r.installer(repo2015, func(o *Options) { o.MachineArch = "x86_64" }).Add(t.Context(), []string{"patch"})
	if err == nil || !strings.Contains(err.Error(), "is for i386, the target is x86_64") {
		t.Errorf("%v", err)
	}
	r.add(r.installer(repo2024), "gsed")
	err = r.installer(repo2015).Add(t.Context(), []string{"patch"})
	if err == nil || !strings.Contains(err.Error(), "is for i386, the target is x86_64") {
		t.Errorf("what is installed tells: %v", err)
	}
}

func TestPolicyOverride(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.verify("always")
	r.add(r.installer(repo2024, func(o *Options) { o.Policy = "never" }), "badsize")
	r.verify("sometimes")
	if _, err := New(t.Context(), Options{Root: r.tree, Spool: r.spool}); err == nil {
		t.Error("unknown policy accepted")
	}
}

func TestParseAccept(t *testing.T) {
	t.Parallel()
	acc, err := ParseAccept([]string{"a:exec,unexec b>=2:install-script", " c:svccfg-site"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		pkg    string
		action Action
		want   bool
	}{
		{"a-1.0", ActionExec, true}, {"a-1.0", ActionUnexec, true}, {"a-1.0", ActionInstall, false}, {"aa-1.0", ActionExec, false},
		{"b-1.0", ActionInstall, false}, {"b-2.0", ActionInstall, true}, {"c-1", ActionSMF, true}, {"c-1", ActionSMFSite, true},
	} {
		if got := acc.allows(tt.pkg, tt.action); got != tt.want {
			t.Errorf("%s %s: %v", tt.pkg, tt.action, got)
		}
	}
	for _, bad := range []string{"a", ":exec", "a:", "a:everything", "a:exec,", "a{:exec"} {
		if _, err := ParseAccept([]string{bad}); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestSameBytes installs twice: the trees are equal to the last byte and time.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	var first map[string]string
	for range 3 {
		r := newRig(t)
		r.before()
		in := r.installer(repo2024)
		r.must(in.FullUpgrade(t.Context()))
		r.add(in, "coreutils", "gsed", "dbsvc", "bash")
		got := map[string]string{}
		r.must(r.tree.Walk(func(p string, n *fstree.Node) error {
			got[p] = n.MTime.Time().String() + " " + sum(t, n)
			return nil
		}))
		if first == nil {
			first = got
		} else if diff := cmp.Diff(first, got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestMissingByFile: without a database of files a complete one is made.
func TestMissingByFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.before()
	file := "opt/local/pkg/" + pkgdb.ByFile
	want, err := r.tree.ReadFile(file, 1<<20)
	r.must(err)
	r.must(r.tree.Remove(file))
	in := r.installer(repoBefore)
	r.must(in.Finish(t.Context()))
	got, err := r.tree.ReadFile(file, 1<<20)
	r.must(err)
	if string(got) != string(want) {
		t.Error("the database made anew differs")
	}
}

func TestInfoIndex(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.installer(repo2024)
	o := func(name string) *owner {
		return &owner{pkg: name + "-1.0", prefix: "/opt/local", script: &script{data: map[string][]string{"INFO": {"info/" + name + ".info"}}}}
	}
	r.must(r.tree.MkdirAll("opt/local/info", 0o755))
	for _, name := range []string{"one", "two"} {
		text := "INFO-DIR-SECTION Tools\nSTART-INFO-DIR-ENTRY\n* " + name + ": (" + name + ").  The tool.\nEND-INFO-DIR-ENTRY\n"
		r.must(r.tree.WriteFile("opt/local/info/"+name+".info", []byte(text), 0o644))
	}
	// Without the program nothing happens.
	r.must(in.infoFiles(o("one"), false))
	if _, err := r.tree.Stat("opt/local/info/dir"); err == nil {
		t.Error("an index without the program")
	}
	r.must(r.tree.WriteFile(infoTool, []byte("#!/bin/sh\n"), 0o755))
	check := func(want string) {
		t.Helper()
		got, err := readOptional(r.tree, "opt/local/info/dir", maxSmall)
		r.must(err)
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Error(diff)
		}
	}
	r.must(in.infoFiles(o("two"), false))
	r.must(in.infoFiles(o("one"), false))
	both := infoHead + "\nTools\n* one: (one).  The tool.\n* two: (two).  The tool.\n"
	check(both)
	r.must(in.infoFiles(o("two"), false)) // again
	check(both)
	r.must(in.infoFiles(o("one"), true))
	check(infoHead + "\nTools\n* two: (two).  The tool.\n")
	r.must(in.infoFiles(o("two"), true))
	check("") // the last entry takes the index with it
}

func TestInfoEntries(t *testing.T) {
	t.Parallel()
	info := func(section, name, text string) string {
		return "This is " + name + ".info.\n\nINFO-DIR-SECTION " + section + "\nSTART-INFO-DIR-ENTRY\n* " + name + ": (" + name + ").  " + text + "\n      more of it.\nEND-INFO-DIR-ENTRY\n"
	}
	text := infoHead
	for _, f := range []string{info("Libraries", "gmp", "Numbers."), info("Basics", "sed", "Editor."), info("Libraries", "abc", "Letters.")} {
		for _, e := range readInfoEntries(f) {
			text = addInfo(text, e)
		}
	}
	want := infoHead + "\nLibraries\n* abc: (abc).  Letters.\n      more of it.\n* gmp: (gmp).  Numbers.\n      more of it.\n\nBasics\n* sed: (sed).  Editor.\n      more of it.\n"
	if diff := cmp.Diff(want, text); diff != "" {
		t.Fatal(diff)
	}
	text = dropInfo(text, "gmp")
	text = dropInfo(text, "sed")
	want = infoHead + "\nLibraries\n* abc: (abc).  Letters.\n      more of it.\n"
	if diff := cmp.Diff(want, text); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(infoHead, dropInfo(text, "abc")); diff != "" {
		t.Fatal(diff)
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.installer(repo2024)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.Add(ctx, []string{"gsed"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := in.Add(t.Context(), []string{"gsed"}); err != nil {
		t.Fatal(err)
	}
	if err := in.Delete(ctx, []string{"gsed"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestLongInfo gives texts that would take hours if each line cost a step for each
// other one.
func TestLongInfo(t *testing.T) {
	t.Parallel()
	const n = 1_000_000
	more := strings.Repeat(" more\n", n)
	entries := readInfoEntries("START-INFO-DIR-ENTRY\n* a: (x). b\n" + more + "* c: (x). d\n")
	if len(entries) != 2 || entries[0].text != "* a: (x). b\n"+more || entries[1] != (infoEntry{"Miscellaneous", "* c: (x). d\n"}) {
		t.Errorf("%d entries", len(entries))
	}
	got := dropInfo("* Menu:\n\nA\n* y: (y). z\n\nB\n* a: (x). b\n\n"+strings.Repeat("S\n\n", n)+"C\n* z: (y). z\n", "x")
	if want := "* Menu:\n\nA\n* y: (y). z\n\nC\n* z: (y). z\n"; got != want {
		t.Errorf("got %d bytes: %.200q", len(got), got)
	}
}
