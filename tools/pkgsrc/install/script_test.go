package install

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/TritonDataCenter/engbld/tools/pkgsrc/plist"
)

// frame is a script in the shape that packages have: settings, helpers, the
// driver, the lines of data. The parts in between are the tests' own.
func usual(extra, data string) string {
	return `#!/bin/sh
#
# Example lines that are no data, as they are indented:
#	# FILE: etc/decoy c share/decoy

SELF="$0"
PKGNAME="$1"
STAGE="$2"
shift 2

CAT="/usr/bin/cat"
CHMOD="/usr/bin/chmod"
ECHO="echo"
ENV_CMD="/usr/bin/env"
MKDIR="/usr/bin/mkdir -p"
PWD_CMD="/bin/pwd"
SED="/usr/bin/sed"
SH="/bin/sh"
TEST="test"
IGNORED="*[~#] *.OLD */.old"

HERE=` + "`${PWD_CMD}`" + `
: ${PKG_METADATA_DIR=${HERE}}
: ${PKG_DBDIR=${PKG_METADATA_DIR%/*}}
LOCALBASE="/opt/local"
case ${PKG_PREFIX} in
${LOCALBASE}/*)	VIEW="${PKG_PREFIX#${LOCALBASE}/}" ;;
*)		VIEW="" ;;
esac
case "${PKG_CONFIG:-YES}" in
[Yy][Ee][Ss]|[Oo][Nn]|1)
	_PKG_CONFIG=yes
	;;
[Nn][Oo]|0)
	_PKG_CONFIG=no
	;;
esac

case "${STAGE},$1" in
UNPACK,|UNPACK,+DIRS)
	${CAT} > ./+DIRS << 'EOF'
#!/bin/sh
# whatever; with 'quotes" and $(things) in it
EOF
	${SED} -n "/^\# DIR: /p" ${SELF} >> ./+DIRS
	${CHMOD} +x ./+DIRS
	;;
esac
case "${STAGE},$1" in
UNPACK,|UNPACK,+USERGROUP)
	${CAT} > ./+USERGROUP << 'EOF'
#!/bin/sh
EOF
	${SED} -n "/^\# GROUP: /p" "${SELF}" >> ./+USERGROUP
	${SED} -n "/^\# USER: /p" "${SELF}" >> ./+USERGROUP
	${CHMOD} +x ./+USERGROUP
	;;
esac

case ${STAGE} in
PRE-INSTALL)
	#
	# comments, and a driver that goes over several lines
	#
	${SH} ${SELF} ${PKGNAME} UNPACK
	${TEST} ! -x ./+USERGROUP ||
		{ ./+USERGROUP ADD ${PKG_METADATA_DIR}
		  if ./+USERGROUP CHECK-ADD ${PKG_METADATA_DIR}; then
			:
		  else
			exit 1
		  fi; }
	${TEST} ! -x ./+DIRS ||
		./+DIRS ADD ${PKG_METADATA_DIR}
        ;;

POST-INSTALL)
	${TEST} ! -x ./+FILES || \
		./+FILES ADD ${PKG_METADATA_DIR}
  ${TEST} ! -x ./+OCAML_FINDLIB_REGISTER ||
    ./+OCAML_FINDLIB_REGISTER ADD ${PKG_METADATA_DIR}
	;;
esac
` + extra + `
case ${STAGE} in
POST-INSTALL)
	if [ "${PKG_INSTALLATION_TYPE}" = "overwrite" ]; then
		${ENV_CMD} PKG_PREFIX="${PKG_PREFIX}" \
			$0 ${PKGNAME} VIEW-INSTALL
        fi
	;;
esac

exit 0

` + data
}

// line is the number of the first line that holds text.
func line(src, text string) int {
	return strings.Count(src[:strings.Index(src, text)], "\n") + 1
}

func TestReadScript(t *testing.T) {
	t.Parallel()
	data := "# DIR: etc/demo m\n# GROUP: demo:907\n# USER: demo:demo:907:Demo user\n# DIR: /var/demo mo 0700 demo demo\n"
	src := usual("", data)
	s := readScript("demo-1.0", "+INSTALL", "/opt/local", []byte(src))
	if len(s.findings) > 0 {
		t.Errorf("findings in the usual frame: %v", s.findings)
	}
	want := []unpacked{
		{"+DIRS", []byte("#!/bin/sh\n# whatever; with 'quotes\" and $(things) in it\n# DIR: etc/demo m\n# DIR: /var/demo mo 0700 demo demo\n")},
		{"+USERGROUP", []byte("#!/bin/sh\n# GROUP: demo:907\n# USER: demo:demo:907:Demo user\n")},
	}
	if diff := cmp.Diff(want, s.helpers, cmp.AllowUnexported(unpacked{})); diff != "" {
		t.Errorf("helpers: %s", diff)
	}
	if diff := cmp.Diff(map[string][]string{
		"DIR":   {"etc/demo m", "/var/demo mo 0700 demo demo"},
		"GROUP": {"demo:907"},
		"USER":  {"demo:demo:907:Demo user"},
	}, s.data); diff != "" {
		t.Errorf("data: %s", diff)
	}
}

// TestForeignCommands plants commands in the usual frame: each is found, by
// line; what is harmless is not.
func TestForeignCommands(t *testing.T) {
	t.Parallel()
	post := func(text string) string {
		return "\ncase ${STAGE} in\nPOST-INSTALL)\n" + text + "\n;;\nesac\n"
	}
	for _, tt := range []struct {
		name, extra string
		want        string // text of the line that is found, "" for none
		action      Action
	}{
		{"nothing", "", "", ""},
		{"message", post("\techo 'hello'\n\t${ECHO} \"to you\" > /dev/null"), "", ""},
		{"here-document", post("cat <<EOF\nstart it with svcadm; rm -rf /\nEOF"), "", ""},
		{"looks only", post("if [ -f /etc/x ] && grep -q x /etc/x; then echo yes; fi"), "", ""},
		{"smf", post("[ ! -x /usr/sbin/svccfg ] || /usr/sbin/svccfg import ${PKG_PREFIX}/lib/svc/manifest/x.xml"),
			"[ ! -x /usr/sbin/svccfg ] || /usr/sbin/svccfg import ${PKG_PREFIX}/lib/svc/manifest/x.xml", ActionSMF},
		{"smf, as services have it", post("cat <<EOF\nadvice\nEOF\n\tfor svc in default; do\n\t\tcat <<EOF\n\tsvcadm enable ${svc}\nEOF\n\tdone\n\tif [ -z \"${PKG_SKIP_SMF}\" ]; then\n\t\t/usr/sbin/svccfg import ${PKG_PREFIX}/lib/svc/manifest/x.xml\n\telse\n\t\techo skipped\n\tfi"),
			"/usr/sbin/svccfg import ${PKG_PREFIX}/lib/svc/manifest/x.xml", ActionSMF},
		{"program", post("\t${PKG_PREFIX}/bin/glib-compile-schemas ${PKG_PREFIX}/share/glib"), "${PKG_PREFIX}/bin/glib-compile-schemas ${PKG_PREFIX}/share/glib", ActionInstall},
		{"outside of any stage", "touch /tmp/x\n", "touch /tmp/x", ActionInstall},
		{"behind and", post("true && ln -s a b"), "true && ln -s a b", ActionInstall},
		{"in an else", post("if [ -f x ]; then :\nelse\n\tmv x y\nfi"), "mv x y", ActionInstall},
		{"in a pipe", post("echo x | crontab -"), "echo x | crontab -", ActionInstall},
		{"into a file", post("echo x >> /etc/hosts"), "echo x >> /etc/hosts", ActionInstall},
		{"here-document into a file", post("${CAT} > /etc/motd <<EOF\nhi\nEOF"), "${CAT} > /etc/motd <<EOF", ActionInstall},
		{"unpacks a stranger", post("${CAT} > ./+EVIL << 'EOF'\nrm -rf /\nEOF"), "${CAT} > ./+EVIL << 'EOF'", ActionInstall},
		{"unpacks what is not done", post("${CAT} > ./+OCAML_FINDLIB_REGISTER << 'EOF'\n# whatever\nEOF"), "${CAT} > ./+OCAML_FINDLIB_REGISTER << 'EOF'", ActionInstall},
		{"calls a stranger", post("./+EVIL ADD"), "./+EVIL ADD", ActionInstall},
		{"substitution", post("X=`rm -rf /opt`"), "X=`rm -rf /opt`", ActionInstall},
		{"substitution in quotes", post("echo \"$(reboot)\""), "echo \"$(reboot)\"", ActionInstall},
		{"substitution in a default", post(": ${X=`reboot`}"), ": ${X=`reboot`}", ActionInstall},
		{"substitution in a here-document", post("cat <<EOF\n`reboot`\nEOF"), "cat <<EOF\n`reboot`", ActionInstall},
		{"function", post("work() {\n\tchown -R x /opt\n}\nwork"), "chown -R x /opt", ActionInstall},
		{"unknown variable as a command", post("${WHATEVER} x"), "${WHATEVER} x", ActionInstall},
		{"eval", post("eval \"$X\""), "eval \"$X\"", ActionInstall},
		{"another script", post("${SH} ./other.sh"), "${SH} ./other.sh", ActionInstall},
		{"writes with sed", post("${SED} -i s/a/b/ /etc/x"), "${SED} -i s/a/b/ /etc/x", ActionInstall},
		{"database of pkg_install in another package", post("${PKG_TOOLS}/pkg_admin rebuild"), "${PKG_TOOLS}/pkg_admin rebuild", ActionInstall},
		{"not shell", "echo 'unfinished\n", "#!/bin/sh", ActionInstall},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src := usual(tt.extra, "")
			got := readScript("demo-1.0", "+INSTALL", "/opt/local", []byte(src)).findings
			if tt.want == "" {
				if len(got) > 0 {
					t.Errorf("found %v", got)
				}
				return
			}
			text, _, _ := strings.Cut(tt.want, "\n")
			want := Finding{"demo-1.0", "+INSTALL", line(src, tt.want), text, tt.action}
			if tt.name == "not shell" && len(got) == 1 {
				got[0].Line, got[0].Text = 1, "#!/bin/sh"
			}
			if diff := cmp.Diff([]Finding{want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestPackageTools reads a script as pkg_install has: it makes the database.
func TestPackageTools(t *testing.T) {
	t.Parallel()
	src := `#!/bin/sh
PKGNAME="$1"
STAGE="$2"
PKG_DBDIR="/opt/local/pkg"
TOOLS="/opt/local/sbin"
MKDIR="/bin/mkdir -p"
case ${STAGE} in
PRE-INSTALL)
	[ -d ${PKG_DBDIR} ] || ${MKDIR} ${PKG_DBDIR}
	;;
POST-INSTALL)
	[ -f ${PKG_DBDIR}/pkgdb.byfile.db ] || ${TOOLS}/pkg_admin rebuild
	;;
esac
`
	if f := readScript("pkg_install-20241208", "+INSTALL", "/opt/local", []byte(src)).findings; len(f) > 0 {
		t.Errorf("found %v", f)
	}
	if f := readScript("other-1.0", "+INSTALL", "/opt/local", []byte(src)).findings; len(f) != 2 {
		t.Errorf("in another package: found %v", f)
	}
}

func TestReadSteps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cmd  string
		want string // steps, "" for not usual
	}{
		{"mkdir -p '/opt/local'/var/x", "mkdir[-p /opt/local/var/x]"},
		{"/bin/mkdir -p /a && /bin/chmod 0755 /a", "mkdir[-p /a]&& chmod[0755 /a]"},
		{"rm -f /a /b; true", "rm[-f /a /b] true[]"},
		{"ln -sf ../x '/opt/local'/y", "ln[-sf ../x /opt/local/y]"},
		{"echo \"D='/opt/local'\" >> /x", "echo[D='/opt/local']>>/x"},
		{"touch /x 2>/dev/null || true", "touch[/x]|| true[]"},
		{"cp /a /b", "cp[/a /b]"},
		{"[ -d /a ] || mkdir -p /a", "[[-d /a ]]|| mkdir[-p /a]"},
		{"test ! -f /a && touch /a", "test[! -f /a]&& touch[/a]"},
		{"[ -d /a", ""},
		{"[ 1 -lt 2 ]", ""},
		{"rm -rf /a", ""},
		{"rm -f /a/*", ""},
		{"echo `id`", ""},
		{"echo $HOME", ""},
		{"echo x | sh", ""},
		{"chmod u+s /a", ""},
		{"chmod", ""},
		{"/opt/local/bin/update /x", ""},
		{"touch /x &", ""},
		{"if true; then touch /x; fi", ""},
		{"touch /x &&", ""},
		{"echo 'open", ""},
		{"", ""},
	} {
		steps, ok := readSteps(tt.cmd)
		var got strings.Builder
		for i, s := range steps {
			if i > 0 {
				got.WriteByte(' ')
			}
			fmt.Fprintf(&got, "%s%v", s.name, s.args)
			if s.to != "" {
				got.WriteString(map[bool]string{true: ">>", false: ">"}[s.append] + s.to)
			}
			got.WriteString(s.next)
		}
		if ok != (tt.want != "") || ok && got.String() != tt.want {
			t.Errorf("%q: %q, %v; want %q", tt.cmd, got.String(), ok, tt.want)
		}
	}
}

// TestSteps does commands in a rig and looks at the tree.
func TestSteps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cmd    string
		want   string // mode, owner and size (or target) of /t, "" where it is not
		failed bool
	}{
		{"mkdir -p /t/u", "0755 root:root", false},
		{"mkdir /none/t", "", true},
		{"mkdir /t && rmdir /t", "", false},
		{"mkdir -p /t/u; rmdir /t", "0755 root:root", true},
		{"mkdir -p /t/u; rmdir -p /t/u", "", false},
		{"echo a b > /t && echo c >> /t", "0644 root:root size=6", false},
		{"echo a > /t; chmod 4711 /t; chown nobody:staff /t; chmod 2755 /t", "2755 nobody:staff size=2", false},
		{"touch /t && chgrp staff /t && chown nobody /t", "0644 nobody:staff size=0", false},
		{"touch /t && chown somebody /t", "0644 root:root size=0", true},
		{"rm /t", "", true},
		{"rm -f /t", "", false},
		{"rm -f /etc", "", true},
		{"cp /etc/passwd /t", "0644 root:root size=101", false},
		{"mkdir /t && cp /etc/passwd /t && [ -f /t/passwd ]", "0755 root:root", false},
		{"cp /none /t || touch /t", "0644 root:root size=0", false},
		{"ln -s a /t && ln -s b /t", "-> a", true},
		{"ln -s a /t && ln -sf b /t", "-> b", false},
		{"ln /etc/passwd /t", "0644 root:root size=101", false},
		{"test -d /none && touch /t", "", true},
		{"[ ! -e /none ] && [ -s /etc/passwd ] && [ -d /etc ] && touch /t", "0644 root:root size=0", false},
		{"false || true && touch /t", "0644 root:root size=0", false},
		{"true || false && touch /t", "0644 root:root size=0", false},
	} {
		t.Run(tt.cmd, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			in := r.installer(repo2024)
			steps, ok := readSteps(tt.cmd)
			if !ok {
				t.Fatal("not a usual form")
			}
			if err := in.run(steps); (err != nil) != tt.failed {
				t.Errorf("%v", err)
			}
			got := ""
			if f := strings.Fields(r.listing()["/t"]); len(f) > 0 {
				switch f[0] {
				case "d":
					got = strings.Join(f[1:3], " ")
				case "f":
					got = strings.Join(append(f[1:3], f[4]), " ")
				default:
					got = strings.Join(f[3:], " ")
				}
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// laughs is a variable that doubles itself.
func laughs(times int) string {
	return "a=xxxxxxxxxxxxxxxx\n" + strings.Repeat("a=$a$a\n", times)
}

// manyHelpers unpacks helpers that each take all data lines.
func manyHelpers(n, data int) string {
	var b strings.Builder
	for i := range n {
		name := "+" + strings.Repeat("A", i+1)
		fmt.Fprintf(&b, "cat > %s <<'E'\nE\nsed -n '/^# DIR: /p' $0 >> %s\n", name, name)
	}
	return b.String() + strings.Repeat("# DIR: a m\n", data)
}

// TestReadScriptBounds gives scripts that write more than they are long: past a
// bound they cannot be read, at a line; below it nothing is different.
func TestReadScriptBounds(t *testing.T) {
	t.Parallel()
	within := laughs(12) + "echo $a\n" // 64 KiB
	for _, tt := range []struct {
		name, src string
		line      int // of the finding, 0 for none
	}{
		{"within one word", within, 0},
		{"over one word", laughs(13), 14},
		{"far over", laughs(40), 14},
		{"within the whole", within + strings.Repeat("echo $a\n", 50), 0},
		{"over the whole", within + strings.Repeat("echo $a\n", 100), 76},
		{"one line", "a=" + strings.Repeat("x", 4096) + "\necho " + strings.Repeat("$a", 100), 2},
		{"here-document", "a=" + strings.Repeat("x", 4096) + "\ncase x in S)\ncat <<E\n" + strings.Repeat("$a\n", 100) + "E\n;;\nesac\n", 3},
		{"many settings", strings.Repeat("A=\"$PKGNAME/${PKG_PREFIX}/share\"\nB=$A/x\n", 10000), 0},
		{"data lines", manyHelpers(100, 10000), 39 * 3},
	} {
		s := readScript("demo-1.0", "+INSTALL", "/opt/local", []byte(tt.src))
		size := 0
		for _, h := range s.helpers {
			size += len(h.body)
		}
		for _, m := range s.messages {
			size += len(m.text)
		}
		if limit := maxWritten + len(tt.src); size > limit {
			t.Errorf("%s: %d bytes of %d", tt.name, size, len(tt.src))
		}
		var got Finding
		if n := len(s.findings); n > 0 {
			got = s.findings[n-1]
		}
		if got.Line != tt.line || got.Line > 0 && got.Action != ActionInstall {
			t.Errorf("%s: last finding %.200v, want line %d", tt.name, got, tt.line)
		}
	}
	if s := readScript("demo-1.0", "+INSTALL", "/opt/local", []byte(usual("", "# DIR: a m\n")+laughs(40))); len(s.findings) != 1 || len(s.helpers)+len(s.messages)+len(s.data) > 0 {
		t.Errorf("behind the usual frame: %+v", s)
	}
}

// TestReadExecsBound puts a long prefix into many commands.
func TestReadExecsBound(t *testing.T) {
	t.Parallel()
	long := "@cwd /" + strings.Repeat("x", 4000) + "\n@name x-1\n"
	one := "@exec true" + strings.Repeat(" %D", 150) + "\n" // some 600 KB
	for _, tt := range []struct{ lines, run int }{{20, 20}, {100, 27}} {
		l, err := plist.Parse([]byte(long + strings.Repeat(one, tt.lines)))
		if err != nil {
			t.Fatal(err)
		}
		execs, findings := readExecs("x-1", plist.Exec, l)
		if len(execs) != tt.run || len(findings) != tt.lines-tt.run {
			t.Errorf("%d commands: %d to run, %d found; want %d to run", tt.lines, len(execs), len(findings), tt.run)
		}
	}
}

// TestDataLinesBound gives as many data lines as are taken, and one more.
func TestDataLinesBound(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{maxData: maxData, maxData + 1: 0} {
		s := readScript("demo-1.0", "+INSTALL", "/opt/local", []byte(usual("", strings.Repeat("# DIR: a m\n", n))))
		if got := len(s.data["DIR"]); got != want || (len(s.findings) == 0) != (want > 0) || (len(s.helpers) == 0) != (want == 0) {
			t.Errorf("%d lines: %d are taken, findings %v", n, got, s.findings)
		}
	}
}

// TestInfoBound gives an info file with as many menu entries as a large one has,
// and with far more, for an index of a large system.
func TestInfoBound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		entries int
		want    string
	}{{150, ""}, {2000, "info file /opt/local/info/x.info: its 2000 entries and an index of"}} {
		r := newRig(t)
		in := r.installer(repo2024)
		r.must(r.tree.MkdirAll("opt/local/info", 0o755))
		r.must(r.tree.WriteFile(infoTool, []byte("x"), 0o755))
		r.must(r.tree.WriteFile("opt/local/info/dir", []byte(infoHead+"\nOthers\n"+strings.Repeat("* a line: (of another).\n", 10000)), 0o644))
		r.must(r.tree.WriteFile("opt/local/info/x.info", []byte("START-INFO-DIR-ENTRY\n"+strings.Repeat("* x: (x).\n", tt.entries)+"END-INFO-DIR-ENTRY\n"), 0o644))
		o := &owner{pkg: "x-1", prefix: "/opt/local", script: &script{data: map[string][]string{"INFO": {"info/x.info"}}}}
		if err := in.infoFiles(o, false); fmt.Sprint(err) != "<nil>" && tt.want == "" || tt.want != "" && !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%d entries: %v", tt.entries, err)
		}
	}
}

// TestBraces holds the ends found in one pass against those looked for one by one.
func TestBraces(t *testing.T) {
	t.Parallel()
	const letters, length = `{}\\a`, 7
	for number := range 1 << (2 * length) {
		var b strings.Builder
		for i := range length {
			b.WriteByte(letters[number>>(2*i)&3])
		}
		text := b.String()
		ends := braces(text, 0)
		for i := 0; i < len(text); i++ {
			switch want := balanced(text[i:], '{', '}'); {
			case text[i] == '\\':
				i++
			case text[i] == '{' && want < 0 && ends[i] != 0, text[i] == '{' && want >= 0 && ends[i] != i+want:
				t.Fatalf("%q at %d: %d, want %d", text, i, ends[i], want)
			}
		}
	}
	vars := map[string]string{"a": "1"}
	for in, want := range map[string]string{
		"${ ${a} ${a": "${ 1 ${a", "${${a}${a}": "${11", "${a} ${a${a} ${a}x": "1 ${a1 1x",
	} {
		if got, _ := resolve(in, vars); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestReadScriptLinear reads scripts of the greatest size, made so that one look
// at a line for each other line would take minutes.
func TestReadScriptLinear(t *testing.T) {
	t.Parallel()
	rep := strings.Repeat
	var settings strings.Builder
	for i := range 45000 {
		fmt.Fprintf(&settings, "v%d=\n", i)
	}
	for name, src := range map[string]string{
		"commands of a function": "f() {\n" + settings.String() + rep(":\n", 45000) + "}\n",
		"open braces":            "case x in S)\ncat <<E\n" + rep("${", maxScript/2-100) + "\nE\n;;\nesac\n",
		"data lines":             "cat > +DIRS <<'E'\nE\n" + rep("sed -n '/^# X: /p' $0 >> +DIRS\n", 15000) + rep("\n", 400000),
		"findings":               rep("touch x\n", 90000),
		"nested substitutions":   rep("x=$(echo ", 15000) + rep(")", 15000),
		"nested defaults":        ": " + rep("${x:-`", 15000) + rep("}", 15000),
		"here-documents":         rep("cat <<E\n", 15000) + rep("E\n", 15000),
		"many functions":         rep("f() { f; }\n", 20000),
		"backquotes":             "case x in S)\ncat <<E\n" + rep("`${", 300000) + "\nE\n;;\nesac\n",
	} {
		if len(src) > maxScript {
			t.Fatalf("%s: %d bytes", name, len(src))
		}
		s := readScript("demo-1.0", "+INSTALL", "/opt/local", []byte(src))
		if len(s.findings) > maxFindings {
			t.Errorf("%s: %d findings", name, len(s.findings))
		}
	}
}

func FuzzReadScript(f *testing.F) {
	f.Add("f() {\na=\nb=\n:\n:\n}\n")
	f.Add("case x in S)\ncat <<E\n${${${x}${ ${y}\nE\n;;\nesac\n")
	f.Add(laughs(14))
	f.Add(manyHelpers(2, 3))
	f.Add(usual("cat <<EOF\n$(x)\nEOF\n", "# DIR: a m\n"))
	f.Add("case x in a|b) echo ${x#${y}} ;; esac\nf() { \"$@\"; }\n")
	f.Add("mkdir -p '/a' && ln -s \"$b\" `c` > d 2>&1 <<-\\E\n\tE\n")
	f.Fuzz(func(t *testing.T, src string) {
		s := readScript("x-1", "+INSTALL", "/opt/local", []byte(src))
		for _, x := range s.findings {
			if x.Line < 1 || x.Line > strings.Count(src, "\n")+1 {
				t.Errorf("line %d of %q", x.Line, src)
			}
		}
		readSteps(src)
	})
}
