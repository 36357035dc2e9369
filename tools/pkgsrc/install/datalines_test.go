package install

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// lines makes the owner of data lines "# TAG: fields".
func lines(pkg string, text ...string) *owner {
	data := map[string][]string{}
	for _, l := range text {
		tag, fields, _ := strings.Cut(strings.TrimPrefix(l, "# "), ": ")
		data[tag] = append(data[tag], fields)
	}
	return &owner{pkg, "/opt/local/pkg/" + pkg, "/opt/local", &script{data: data}}
}

// TestDataLines does lines in a rig and looks at what is there then.
func TestDataLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		before map[string]string // files, by path
		lines  []string
		want   map[string]string // mode, owner and size by path; "" where nothing is
		gone   bool              // deinstalled again
	}{
		{"empty example", nil, []string{"# FILE: etc/empty.conf c /dev/null 0600 root staff"},
			map[string]string{"/opt/local/etc/empty.conf": "0600 root:staff size=0", "/opt/local/pkg.refcount/files/opt/local/etc/empty.conf/+PERMISSIONS": "0644 root:root size=16"}, false},
		{"empty example, removed", nil, []string{"# FILE: etc/empty.conf c /dev/null"},
			map[string]string{"/opt/local/etc/empty.conf": "", "/opt/local/pkg.refcount": ""}, true},
		{"existing file stays", map[string]string{"/opt/local/etc/x": "mine", "/opt/local/share/x": "theirs"}, []string{"# FILE: etc/x c share/x 0400"},
			map[string]string{"/opt/local/etc/x": "0644 root:root size=4", "/opt/local/pkg.refcount/files/opt/local/etc/x/+PREEXISTING": "0644 root:root size=7"}, false},
		{"existing file stays when removed", map[string]string{"/opt/local/etc/x": "same", "/opt/local/share/x": "same"}, []string{"# FILE: etc/x c share/x"},
			map[string]string{"/opt/local/etc/x": "0644 root:root size=4"}, true},
		{"copy goes when removed", map[string]string{"/opt/local/share/x": "same"}, []string{"# FILE: etc/x c share/x"},
			map[string]string{"/opt/local/etc/x": "", "/opt/local/pkg.refcount": ""}, true},
		{"example without set-id", map[string]string{"/opt/local/share/x!4777": "x"}, []string{"# FILE: etc/x c share/x!4777"},
			map[string]string{"/opt/local/etc/x": "0755 root:root size=1"}, false},
		{"no example", nil, []string{"# FILE: etc/x c share/x", "# FILE: etc/y c"},
			map[string]string{"/opt/local/etc/x": "", "/opt/local/pkg.refcount/files/opt/local/etc/x/demo-1": "0644 root:root size=22", "/opt/local/pkg.refcount/files/opt/local/etc/y": ""}, false},
		{"without the flag", map[string]string{"/opt/local/share/x": "x"}, []string{"# FILE: etc/x f share/x", "# DIR: etc/d o"},
			map[string]string{"/opt/local/etc/x": "", "/opt/local/etc/d": "", "/opt/local/pkg.refcount": ""}, false},
		{"rc.d script", map[string]string{"/opt/local/share/x": "x"}, []string{"# FILE: etc/rc.d/x cr share/x", "# FILE: etc/y crf share/x"},
			map[string]string{"/opt/local/etc/rc.d/x": "", "/opt/local/etc/y": "0644 root:root size=1", "/opt/local/pkg.refcount/files/opt/local/etc/rc.d/x/demo-1": "0644 root:root size=22"}, false},
		{"directory", nil, []string{"# DIR: /var/x/y mo 0710 nobody staff"},
			map[string]string{"/var/x": "0755 root:root", "/var/x/y": "0710 nobody:staff", "/opt/local/pkg.refcount/dirs/var/x/y/+PERMISSIONS": "0644 root:root size=18"}, false},
		{"directory and parents go", nil, []string{"# DIR: /srv/x/y mo"}, map[string]string{"/srv": "", "/opt/local/pkg.refcount": ""}, true},
		{"directory that was there stays", map[string]string{"/srv/x/file!0644": ""}, []string{"# DIR: /srv/x m"},
			map[string]string{"/srv/x": "0755 root:root"}, true},
		{"set-id behind the owner", map[string]string{"/opt/local/bin/x": "x"}, []string{"# PERMS: bin/x 4511 nobody staff", "# PERMS: bin 0700"},
			map[string]string{"/opt/local/bin/x": "4511 nobody:staff size=1", "/opt/local/bin": "0755 root:root"}, false},
		{"shells", map[string]string{"/opt/local/bin/sh1": "", "/opt/local/bin/sh": ""}, []string{"# SHELL: bin/sh1", "# SHELL: bin/sh", "# SHELL: /bin/absolute", "# SHELL: bin/none"},
			map[string]string{"/etc/shells": "0644 root:root size=55"}, false},
		{"shells go", map[string]string{"/opt/local/bin/sh1": ""}, []string{"# SHELL: bin/sh1"}, map[string]string{"/etc/shells": "0644 root:root size=18"}, true},
		{"accounts stay, counters go", nil, []string{"# GROUP: g", "# USER: u:g"},
			map[string]string{"/etc/group": "0644 root:root size=70", "/opt/local/pkg.refcount": ""}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			for p, text := range tt.before {
				r.must(r.tree.MkdirAll(p[:strings.LastIndexByte(p, '/')], 0o755))
				r.must(r.tree.WriteFile(p, []byte(text), 0o644))
				if strings.Contains(p, "!4777") {
					n, err := r.tree.Stat(p)
					r.must(err)
					n.SetPerm(0o4777)
				}
			}
			in := r.installer(repo2024)
			o := lines("demo-1", tt.lines...)
			r.must(in.preInstall(o))
			r.must(in.postInstall(o))
			if tt.gone {
				r.must(in.deinstall(o))
				r.must(in.postDeinstall(o))
			}
			got, listing := map[string]string{}, r.listing()
			for p := range tt.want {
				got[p] = ""
				if l := listing[p]; l != "" {
					f := strings.Fields(l)
					got[p] = strings.Join(f[1:3], " ")
					if f[0] == "f" {
						got[p] += " " + f[4]
					}
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSharedObjects: what two packages count stays until the second one goes.
func TestSharedObjects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.installer(repo2024)
	a, b := lines("a-1", "# DIR: /srv/both m"), lines("b-1", "# DIR: /srv/both m")
	r.must(in.preInstall(a))
	r.must(in.preInstall(b))
	r.must(r.tree.WriteFile("/srv/both/file", nil, 0o644))
	r.must(in.postDeinstall(a))
	if !in.counters.counted("dirs", "/srv/both", "b-1") {
		t.Error("the second counter is gone")
	}
	r.must(r.tree.Remove("/srv/both/file"))
	r.must(in.postDeinstall(b))
	if _, err := r.tree.Stat("/srv"); err == nil {
		t.Error("the directory is still there")
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		lines  []string
		passwd string // appended
		group  string
		warn   int
		err    string
	}{
		{"with ids", []string{"# GROUP: db:907", "# USER: db:db:907:Data base, Inc.:/var/db:/bin/sh"}, "db:x:907:907:Data base, Inc.:/var/db:/bin/sh\n", "db::907:\n", 0, ""},
		{"defaults", []string{"# GROUP: demo", "# USER: demo:demo", "# USER: other:staff"}, "demo:x:2:13:demo user:/nonexistent:/usr/bin/false\nother:x:3:10:demo other user:/nonexistent:/usr/bin/false\n", "demo::13:\n", 0, ""},
		{"there already", []string{"# GROUP: staff:10", "# USER: daemon:other:1"}, "", "", 0, ""},
		{"there with another id", []string{"# GROUP: staff:11", "# USER: daemon:other:77"}, "", "", 2, ""},
		{"group's id is taken", []string{"# GROUP: new:10"}, "", "", 0, "group new: id 10 belongs to staff"},
		{"user's id is taken", []string{"# USER: new:staff:1"}, "", "", 0, "user new: id 1 belongs to daemon"},
		{"no such group", []string{"# USER: new:nothing"}, "", "", 0, `user new: no group "nothing"`},
		{"no id", []string{"# GROUP: new:-5"}, "", "", 0, `group new: id "-5" is no number`},
		{"incomplete lines", []string{"# USER: alone", "# USER: :staff"}, "", "", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			passwd, err := r.tree.ReadFile("/etc/passwd", maxSmall)
			r.must(err)
			group, err := r.tree.ReadFile("/etc/group", maxSmall)
			r.must(err)
			in := r.installer(repo2024)
			err = in.preInstall(lines("demo-1", tt.lines...))
			if tt.err != "" {
				if err == nil || err.Error() != tt.err || fault.KindOf(err) != fault.Step {
					t.Errorf("%v, want %s", err, tt.err)
				}
				return
			}
			r.must(err)
			for file, want := range map[string]string{"/etc/passwd": string(passwd) + tt.passwd, "/etc/group": string(group) + tt.group} {
				got, err := r.tree.ReadFile(file, maxSmall)
				r.must(err)
				if diff := cmp.Diff(want, string(got)); diff != "" {
					t.Errorf("%s: %s", file, diff)
				}
			}
			if len(r.story.warn) != tt.warn {
				t.Errorf("warnings: %q", r.story.warn)
			}
		})
	}
}
