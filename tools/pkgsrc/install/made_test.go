package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fault"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/pkgdb"
	"github.com/TritonDataCenter/engbld/tools/pkgsrc/repository"
)

// made is a package of a test's own.
type made struct {
	name       string
	date       string   // of the build
	path       string   // PKGPATH; "" is made/NAME
	deps       []string // and conflicts: what goes into list and summary
	conflicts  []string
	supersedes []string
	files      []string // "NAME", "NAME=content", "NAME->target", "NAME==earlier"
	list       []string // further lines of the packing list, behind the files
	install    string
	deinstall  string
	machine    string
}

// makeRepo writes packages and their summary.
func makeRepo(t *testing.T, packages ...made) string {
	t.Helper()
	dir := t.TempDir()
	var summary strings.Builder
	for _, p := range packages {
		if err := os.WriteFile(filepath.Join(dir, p.name+".tgz"), p.archive(t), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&summary, "PKGNAME=%s\n", p.name)
		for _, d := range p.deps {
			fmt.Fprintf(&summary, "DEPENDS=%s\n", d)
		}
		for _, c := range p.conflicts {
			fmt.Fprintf(&summary, "CONFLICTS=%s\n", c)
		}
		for _, s := range p.supersedes {
			fmt.Fprintf(&summary, "SUPERSEDES=%s\n", s)
		}
		fmt.Fprintf(&summary, "COMMENT=made\nSIZE_PKG=1\n%sDESCRIPTION=\n\n", p.info())
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write([]byte(summary.String()))
	w.Close()
	if err := os.WriteFile(filepath.Join(dir, "pkg_summary.gz"), z.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (p *made) info() string {
	return fmt.Sprintf("BUILD_DATE=%s\nCATEGORIES=made\nMACHINE_ARCH=%s\nOPSYS=SunOS\nOS_VERSION=5.11\nPKGPATH=%s\nPKGTOOLS_VERSION=20091115\n",
		or(p.date, "2025-01-01 00:00:00 +0000"), or(p.machine, "x86_64"), or(p.path, "made/"+base(p.name)))
}

func (p *made) archive(t *testing.T) []byte {
	t.Helper()
	contents := "@cwd /opt/local\n@name " + p.name + "\n"
	for _, d := range p.deps {
		contents += "@pkgdep " + d + "\n"
	}
	for _, c := range p.conflicts {
		contents += "@pkgcfl " + c + "\n"
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	add := func(h tar.Header, text string) {
		h.Size, h.Mode, h.Uname, h.Gname = int64(len(text)), 0o644, "root", "root"
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var files []func()
	for _, f := range p.files {
		name, text, _ := strings.Cut(f, "=")
		h := tar.Header{Name: name}
		if n, target, ok := strings.Cut(f, "->"); ok {
			h, text = tar.Header{Name: n, Linkname: target, Typeflag: tar.TypeSymlink}, ""
		} else if n, target, ok := strings.Cut(f, "=="); ok {
			h, text = tar.Header{Name: n, Linkname: target, Typeflag: tar.TypeLink}, ""
		}
		contents += h.Name + "\n"
		files = append(files, func() { add(h, text) })
	}
	contents += strings.Join(append(slices.Clone(p.list), ""), "\n")
	for _, m := range [][2]string{{"+CONTENTS", contents}, {"+COMMENT", "made\n"}, {"+DESC", "made\n"}, {"+INSTALL", p.install}, {"+DEINSTALL", p.deinstall}, {"+BUILD_INFO", p.info()}} {
		if m[1] != "" {
			add(tar.Header{Name: m[0]}, m[1])
		}
	}
	for _, f := range files {
		f()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// made makes an installer for a repository of a test's own.
func (r *rig) made(packages ...made) *Installer {
	r.t.Helper()
	set, err := repository.OpenSet([]string{makeRepo(r.t, packages...)}, repository.Options{})
	r.must(err)
	return r.installer(repo2024, func(o *Options) { o.Repos = set })
}

func TestUpgrades(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		before []made // all are installed
		auto   []string
		conf   string // preferred.conf
		after  []made // the repository then
		want   []string
		auto2  []string // automatic in the end
		warn   string
		err    string
	}{
		{name: "nothing to do", before: []made{{name: "a-1"}}, after: []made{{name: "a-1"}}, want: []string{"a-1"}},
		{name: "newer", before: []made{{name: "a-1"}}, after: []made{{name: "a-2"}, {name: "a-1.5"}}, want: []string{"a-2"}},
		{name: "lower", before: []made{{name: "a-2"}}, after: []made{{name: "a-1"}}, want: []string{"a-1"}},
		{name: "another place", before: []made{{name: "a-1"}}, after: []made{{name: "a-2", path: "made/other"}}, want: []string{"a-1"}},
		{name: "the same place among two", before: []made{{name: "a-1", path: "x/a1"}}, after: []made{{name: "a-2", path: "x/a2"}, {name: "a-1.1", path: "x/a1"}}, want: []string{"a-1.1"}},
		{name: "gone from the repository", before: []made{{name: "a-1"}}, after: []made{{name: "b-1"}}, want: []string{"a-1"}},
		{name: "new dependency", before: []made{{name: "a-1"}}, after: []made{{name: "a-2", deps: []string{"b>=1"}}, {name: "b-1"}, {name: "b-2", deps: []string{"c-[0-9]*"}}, {name: "c-1"}},
			want: []string{"a-2", "b-2", "c-1"}, auto2: []string{"b-2", "c-1"}},
		{name: "marks stay", before: []made{{name: "a-1"}, {name: "b-1"}}, auto: []string{"b-1"}, after: []made{{name: "a-2"}, {name: "b-2"}}, want: []string{"a-2", "b-2"}, auto2: []string{"b-2"}},
		{name: "dependency at another place", before: []made{{name: "a-1"}, {name: "b-1", path: "x/b1"}}, auto: []string{"b-1"},
			after: []made{{name: "a-2", deps: []string{"b>=2"}}, {name: "b-2", path: "x/b2"}}, want: []string{"a-2", "b-2"}, auto2: []string{"b-2"}},
		{name: "missing dependency", before: []made{{name: "a-1"}}, after: []made{{name: "a-2", deps: []string{"b>=1"}}, {name: "b-1", deps: []string{"c>=1"}}},
			err: `upgrade: no package found for "c>=1": a-2 needs b-1 needs it`},
		{name: "pinned", before: []made{{name: "a-1"}, {name: "b-1"}, {name: "c-1"}}, conf: "# pins\na<2\nb=1.*\nc>2\n",
			after: []made{{name: "a-1.9"}, {name: "a-2"}, {name: "b-1.1"}, {name: "b-2"}, {name: "c-2"}}, want: []string{"a-1.9", "b-1.1", "c-1"}},
		{name: "superseded", before: []made{{name: "a-1"}, {name: "b-1"}}, auto: []string{"a-1"}, after: []made{{name: "new-1", supersedes: []string{"a-[0-9]*", "b<1"}}, {name: "a-2"}},
			want: []string{"b-1", "new-1"}, auto2: []string{"new-1"}},
		{name: "superseded by what is there", before: []made{{name: "a-1"}, {name: "new-1"}}, after: []made{{name: "new-1", supersedes: []string{"a-[0-9]*"}}}, want: []string{"new-1"}},
		{name: "superseding itself", before: []made{{name: "a-1"}}, after: []made{{name: "a-2", supersedes: []string{"a<2"}}}, want: []string{"a-2"}},
		{name: "conflict of an installed one", before: []made{{name: "a-1"}, {name: "b-1", conflicts: []string{"a>=2"}}}, after: []made{{name: "a-2"}}, want: []string{"a-2"}, warn: "b-1 conflicts with a-2 and is removed"},
		{name: "conflict that is over", before: []made{{name: "a-1"}, {name: "b-1", conflicts: []string{"a>=2"}}}, after: []made{{name: "a-2"}, {name: "b-2"}}, want: []string{"a-2", "b-2"}},
		{name: "conflict with an older one", before: []made{{name: "a-1"}, {name: "b-1"}}, after: []made{{name: "a-2", conflicts: []string{"b<2"}}, {name: "b-2"}}, want: []string{"a-2", "b-2"}},
		{name: "circle among installed ones", before: []made{{name: "a-1"}, {name: "b-1"}},
			after: []made{{name: "a-2", deps: []string{"b>=1"}}, {name: "b-2", deps: []string{"a>=1"}}}, want: []string{"a-2", "b-2"}},
		{name: "new circle", before: []made{{name: "a-1"}}, after: []made{{name: "a-2", deps: []string{"b>=1"}}, {name: "b-1", deps: []string{"c>=1"}}, {name: "c-1", deps: []string{"b>=1"}}},
			err: "packages need each other in a circle: c-1 needs b-1 needs c-1"},
		{name: "file moves to another package", before: []made{{name: "a-1", files: []string{"bin/x"}}, {name: "b-1"}},
			after: []made{{name: "a-2"}, {name: "b-2", files: []string{"bin/x"}, deps: []string{"a>=2"}}}, want: []string{"a-2", "b-2"}},
		{name: "same file", before: []made{{name: "a-1", files: []string{"bin/x"}}, {name: "b-1"}}, after: []made{{name: "b-2", files: []string{"bin/x"}}},
			err: "package b-2 conflicts with a-1: both have bin/x"},
		{name: "tools first", before: []made{{name: "a-1"}, {name: "pkgin-1"}, {name: "pkg_install-1"}, {name: "z-1"}},
			after: []made{{name: "a-2"}, {name: "pkgin-2", deps: []string{"z>=2"}}, {name: "pkg_install-2"}, {name: "z-2"}}, want: []string{"a-2", "pkg_install-2", "pkgin-2", "z-2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			in := r.made(tt.before...)
			for _, p := range tt.before {
				r.add(in, p.name)
			}
			for _, name := range tt.auto {
				r.must(r.tree.WriteFile("opt/local/pkg/"+name+"/+INSTALLED_INFO", []byte(pkgdb.Automatic), 0o644))
			}
			if tt.conf != "" {
				r.must(r.tree.MkdirAll("opt/local/etc/pkgin", 0o755))
				r.must(r.tree.WriteFile("opt/local/etc/pkgin/preferred.conf", []byte(tt.conf), 0o644))
			}
			r.story = story{}
			in = r.made(tt.after...)
			err := in.FullUpgrade(t.Context())
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("%v, want %s", err, tt.err)
				}
				return
			}
			r.must(err)
			r.must(in.Finish(t.Context()))
			if diff := cmp.Diff(tt.want, in.Installed()); diff != "" {
				t.Errorf("installed (-want +got): %s", diff)
			}
			var auto []string
			for _, name := range in.Installed() {
				rec, err := in.DB().Record(name)
				r.must(err)
				if rec.Automatic {
					auto = append(auto, name)
				}
			}
			if diff := cmp.Diff(tt.auto2, auto); diff != "" {
				t.Errorf("automatic (-want +got): %s", diff)
			}
			if got := strings.Join(r.story.warn, "\n"); got != tt.warn {
				t.Errorf("warnings %q", got)
			}
			if tt.name == "tools first" {
				var order []string
				for _, c := range in.Changes() {
					order = append(order, c.Name)
				}
				if diff := cmp.Diff([]string{"pkg_install-2", "z-2", "pkgin-2", "a-2"}, order); diff != "" {
					t.Errorf("order: %s", diff)
				}
			}
		})
	}
}

func TestMadePackages(t *testing.T) {
	t.Parallel()
	const foreign = "#!/bin/sh\ncase $2 in\nDEINSTALL)\n\treboot\n\t;;\nesac\n"
	for _, tt := range []struct {
		name   string
		before []made
		add    made
		accept string
		want   map[string]string // listing of paths, "" where nothing is
		err    string
		kind   fault.Kind
		warn   string
	}{
		{name: "foreign @exec", add: made{name: "a-1", files: []string{"x"}, list: []string{"@exec ldconfig %D"}}, kind: fault.Policy,
			err: "a-1: +CONTENTS line 4: @exec ldconfig %D: the portable engine does not run commands of packages"},
		{name: "two foreign places", add: made{name: "a-1", list: []string{"@exec one", "@exec two"}}, kind: fault.Policy,
			err: "a-1: +CONTENTS line 3: @exec one: the portable engine does not run commands of packages (and 1 more places)"},
		{name: "foreign @exec, accepted", add: made{name: "a-1", files: []string{"x=1"}, list: []string{"@exec ldconfig %D"}}, accept: "a:exec",
			want: map[string]string{"/opt/local/x": "f 0644 root:root /opt/local/x size=1 nlink=1"}, warn: "a-1: not run, as was accepted: @exec ldconfig %D"},
		{name: "foreign @unexec does not matter yet", add: made{name: "a-1", list: []string{"@unexec reboot"}}},
		{name: "foreign @unexec of the old one", before: []made{{name: "a-1", list: []string{"@unexec reboot"}}}, add: made{name: "a-2"}, kind: fault.Policy,
			err: "a-1: +CONTENTS line 3: @unexec reboot: the portable engine does not run commands of packages"},
		{name: "foreign +DEINSTALL of the old one", before: []made{{name: "a-1", deinstall: foreign}}, add: made{name: "a-2"}, kind: fault.Policy,
			err: "a-1: +DEINSTALL line 4: reboot: the portable engine does not run commands of packages"},
		{name: "foreign +DEINSTALL, accepted", before: []made{{name: "a-1", deinstall: foreign}}, add: made{name: "a-2"}, accept: "a:deinstall-script"},
		{name: "foreign +INSTALL, accepted", add: made{name: "a-1", install: "#!/bin/sh\nreboot\n"}, accept: "a:install-script",
			warn: "a-1: +INSTALL line 2: reboot: not run, as was accepted"},
		{name: "hard and symbolic links", before: []made{{name: "a-1", files: []string{"one=1", "two==one", "three->one"}}},
			add: made{name: "a-2", files: []string{"one->two", "three=3", "two==three"}},
			want: map[string]string{"/opt/local/one": "l root:root /opt/local/one -> two", "/opt/local/two": "f 0644 root:root /opt/local/two size=1 nlink=2",
				"/opt/local/three": "f 0644 root:root /opt/local/three size=1 nlink=2"}},
		{name: "a directory is in the way", before: []made{{name: "b-1", files: []string{"x/y"}}}, add: made{name: "a-1", files: []string{"x"}}, kind: fault.Step,
			err: "package a-1: +CONTENTS line 3: create /opt/local/x: is a directory"},
		{name: "a directory becomes a file", before: []made{{name: "a-1", files: []string{"x/y"}}}, add: made{name: "a-2", files: []string{"x=1"}},
			want: map[string]string{"/opt/local/x": "f 0644 root:root /opt/local/x size=1 nlink=1"}},
		{name: "out of the prefix", add: made{name: "a-1", files: []string{"../../etc/evil"}}, kind: fault.Step, err: "*"},
		{name: "below a link that leads away", add: made{name: "a-1", files: []string{"lnk->/tmp", "lnk/x"}}, kind: fault.Step,
			err: "package a-1: +CONTENTS line 4: mkdir opt/local/lnk: file already exists"},
		{name: "wrong machine", before: []made{{name: "b-1"}}, add: made{name: "a-1", machine: "sparc"}, kind: fault.Step, err: "package a-1 is for sparc, the target is x86_64"},
		{name: "shared directory", before: []made{{name: "b-1", list: []string{"@pkgdir share/both"}}, {name: "a-1", list: []string{"@pkgdir share/both"}, files: []string{"share/both/x"}}}, add: made{name: "a-2"},
			want: map[string]string{"/opt/local/share/both": "d 0755 root:root /opt/local/share/both", "/opt/local/share/both/x": ""}},
		{name: "empty directories go", before: []made{{name: "a-1", files: []string{"share/a/b/c/x"}}}, add: made{name: "a-2"}, want: map[string]string{"/opt/local/share": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			in := r.made(tt.before...)
			for _, p := range tt.before {
				r.add(in, p.name)
			}
			r.story = story{}
			set, err := repository.OpenSet([]string{makeRepo(t, tt.add)}, repository.Options{})
			r.must(err)
			in = r.installer(repo2024, accept(tt.accept), func(o *Options) { o.Repos = set })
			err = in.Add(t.Context(), []string{base(tt.add.name)})
			if tt.err != "" {
				if err == nil || tt.err != "*" && err.Error() != tt.err || fault.KindOf(err) != tt.kind {
					t.Errorf("%v, want %s", err, tt.err)
				}
				return
			}
			r.must(err)
			r.must(in.Finish(t.Context()))
			listing := r.listing()
			for p, want := range tt.want {
				got, _, _ := strings.Cut(listing[p], " sha256")
				if got != want {
					t.Errorf("%q, want %q", got, want)
				}
			}
			if got := strings.Join(r.story.warn, "\n"); got != tt.warn {
				t.Errorf("warnings %q", got)
			}
			// The database of files is what all records say.
			have, _, err := in.DB().Files()
			r.must(err)
			all, err := in.DB().Rebuild()
			r.must(err)
			if diff := cmp.Diff(all, have.Pairs()); diff != "" && len(all)+len(have.Pairs()) > 0 {
				t.Errorf("database of files (-records +ours): %s", diff)
			}
		})
	}
}

// TestDamagedByFile: a database of files that cannot be read is made anew.
func TestDamagedByFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.before()
	file := "opt/local/pkg/" + pkgdb.ByFile
	want, err := r.tree.ReadFile(file, 1<<20)
	r.must(err)
	r.must(r.tree.WriteFile(file, []byte("something else"), 0o644))
	r.story = story{}
	in := r.installer(repoBefore)
	r.must(in.Finish(t.Context()))
	got, err := r.tree.ReadFile(file, 1<<20)
	r.must(err)
	before, err := pkgdb.ReadByFile(want)
	r.must(err)
	after, err := pkgdb.ReadByFile(got)
	r.must(err)
	if diff := cmp.Diff(before, after); diff != "" || len(r.story.warn) != 1 {
		t.Errorf("not made anew: %q, %s", r.story.warn, diff)
	}
}
