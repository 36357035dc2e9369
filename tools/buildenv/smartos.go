package buildenv

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/finding"
	"github.com/TritonDataCenter/engbld/tools/flavor"
)

// imageServer is where build machines' images come from (spec engbld-interface.md
// section 5.1).
const imageServer = "https://updates.tritondatacenter.com?channel=experimental"

const skipAll = "ENGBLD_SKIP_VALIDATE_BUILDENV"

// smartos makes the ten checks of spec engbld-interface.md section 4.2.
type smartos struct {
	ctx      context.Context
	opts     Options
	set      *flavor.Set
	comp     *Component // nil: no component here
	unknown  bool       // make could not be asked
	required *Required  // nil: no image is required
	release  string     // of this machine's pkgsrc, "" unknown
	platform string     // of this machine, "" unknown
	report   *finding.Report
}

func (c *smartos) run() {
	c.pkgsrcRelease()
	c.pkgsrcPackages()
	c.privileges()
	c.dataset()
	c.path()
	c.buildPlatform()
	c.optTools()
	c.uploadTools()
	c.submodules()
	c.workTree()
}

func (c *smartos) add(check string, v finding.Verdict, what, why, mend string) {
	c.report.Add(finding.Finding{Check: check, Verdict: v, What: what, Why: why, Mend: mend})
}

func (c *smartos) ok(check, format string, args ...any) {
	c.add(check, finding.OK, fmt.Sprintf(format, args...), "", "")
}

// skipped adds a skip if the variable is set.
func (c *smartos) skipped(check, variable string) bool {
	if c.opts.Getenv(variable) == "" {
		return false
	}
	c.add(check, finding.Skip, variable+" is set", "", "")
	return true
}

// out runs a program and returns its stdout; a status other than 0 is an error.
func (c *smartos) out(args ...string) (string, error) {
	o, err := c.opts.System.Run(c.ctx, Cmd{Dir: c.opts.Dir, Args: args})
	if err != nil {
		return "", err
	}
	if o.Status != 0 {
		return o.Stdout, fmt.Errorf("%s: exit status %d: %s", strings.Join(args, " "), o.Status, lastLines(o.Stderr, 3))
	}
	return o.Stdout, nil
}

func (c *smartos) pkgsrcRelease() {
	const id = "pkgsrc-release"
	why := "what is compiled against this machine's libraries does not find the same ones in the image"
	r := c.required
	switch {
	case c.skipped(id, "ENGBLD_SKIP_VALIDATE_BUILD_PKGSRC"):
	case c.unknown:
		c.add(id, finding.Skip, "what the component requires is not known, as make could not be asked", "", "")
	case r == nil:
		c.ok(id, "no image is required, so any release will do")
	case r.Pkgsrc == "":
		c.add(id, finding.Fail, fmt.Sprintf("nothing is known of image %s (%s)", r.Image, r.By), why,
			"set "+r.By+" to an image that \"engbld flavor list\" or images/buildenv.toml knows, or add this one there")
	case c.release == "":
		c.add(id, finding.Fail, "/etc/pkgsrc_version names no release; "+r.Pkgsrc+" is required", why, c.otherMachine())
	case c.release != r.Pkgsrc:
		c.add(id, finding.Fail, fmt.Sprintf("this machine has %s, %s requires %s", c.release, r.Name, r.Pkgsrc), why, c.otherMachine())
	default:
		c.ok(id, "%s, as %s requires", c.release, r.Name)
	}
}

// otherMachine is how to get the machine that is required.
func (c *smartos) otherMachine() string {
	switch r := c.required; {
	case r == nil:
		return "build in a zone of a jenkins-agent image"
	case r.Agent != "":
		return fmt.Sprintf("build in a zone of the jenkins-agent image %s:\nimgadm import -S '%s' %[1]s", r.Agent, imageServer)
	case r.Pkgsrc == "":
		return "build in a zone of a jenkins-agent image; " + r.Unknown()
	default:
		return fmt.Sprintf("build in a zone whose pkgsrc is %s; %s", r.Pkgsrc, r.Unknown())
	}
}

func (c *smartos) pkgsrcPackages() {
	const id = "pkgsrc-packages"
	why := "the component's own recipes call what is in them"
	if c.skipped(id, "ENGBLD_SKIP_VALIDATE_BUILD_PKGSRC") {
		return
	}
	if c.release == "" {
		c.add(id, finding.Fail, "/etc/pkgsrc_version names no release, so which packages are needed is not known", why, c.otherMachine())
		return
	}
	r, ok := c.set.Release(c.release)
	if len(r.Packages) == 0 {
		c.ok(id, "no list is known for %s, nothing to check%s", c.release, map[bool]string{false: " (nor is the release)"}[ok])
		return
	}
	c.packages(id, "/opt/local/bin/pkgin", r.Packages, why)
}

// packages checks that pkgin's list of installed packages has all of wants.
func (c *smartos) packages(id, pkgin string, wants []string, why string) {
	list, err := c.out(pkgin, "list")
	if err != nil {
		c.add(id, finding.Fail, err.Error(), why, pkgin+" list")
		return
	}
	if missing := missingPackages(list, wants); len(missing) > 0 {
		c.add(id, finding.Fail, fmt.Sprintf("not installed, of what is needed: %s", strings.Join(missing, " ")), why,
			c.pfexec()+pkgin+" -y install "+strings.Join(missing, " "))
		return
	}
	c.ok(id, "%d packages are installed", len(wants))
}

// missingPackages returns those of wants that pkgin's list lacks. A want is the
// name of a package, or a name with a version; the version may have another
// revision (nbN) unless it names one. A name is the whole name: pcregrep is no grep.
func missingPackages(list string, wants []string) []string {
	versions := map[string][]string{}
	for line := range strings.Lines(list) {
		f := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ';' || r == '\t' || r == '\n' })
		if len(f) > 0 {
			name, version := cutVersion(f[0])
			versions[name] = append(versions[name], version)
		}
	}
	var missing []string
	for _, want := range wants {
		name, version := cutVersion(want)
		found := false
		for _, v := range versions[name] {
			if version == "" || v == version || !strings.Contains(version, "nb") && strings.HasPrefix(v, version+"nb") {
				found = true
			}
		}
		if !found {
			missing = append(missing, want)
		}
	}
	return missing
}

// cutVersion cuts name-version at the last dash that a digit follows.
func cutVersion(s string) (name, version string) {
	i := strings.LastIndexByte(s, '-')
	if i <= 0 || i+1 == len(s) || s[i+1] < '0' || s[i+1] > '9' {
		return s, ""
	}
	return s[:i], s[i+1:]
}

func (c *smartos) pfexec() string {
	if c.isRoot() {
		return ""
	}
	return "pfexec "
}

func (c *smartos) isRoot() bool {
	uid, err := c.out("/usr/bin/id", "-u")
	return err == nil && strings.TrimSpace(uid) == "0"
}

// unless weakens a failure where all goals are ours, so that it is known what they
// do, and none is in these. A goal of the component's own may lead to any other.
func (c *smartos) unless(goals ...string) (finding.Verdict, string) {
	if len(c.opts.Goals) == 0 {
		return finding.Fail, ""
	}
	ours := []string{"all", "bits-upload", "bits-upload-latest", "buildimage", "check", "clean", "distclean", "docs",
		"prepublish", "prepush", "publish", "release", "show-buildenv", "test"}
	for _, have := range c.opts.Goals {
		if !slices.Contains(ours, have) && !strings.HasPrefix(have, "print-") || slices.Contains(goals, have) {
			return finding.Fail, ""
		}
	}
	return finding.Warn, " (not needed for: " + strings.Join(c.opts.Goals, " ") + ")"
}

func (c *smartos) privileges() {
	const id, profile = "privileges", "Primary Administrator"
	if c.isRoot() {
		c.ok(id, "root")
		return
	}
	profiles, err := c.out("/usr/bin/profiles")
	for line := range strings.Lines(profiles) {
		if strings.TrimSpace(line) == profile {
			c.ok(id, "the profile %q", profile)
			return
		}
	}
	v, note := c.unless("buildimage", "bits-upload", "bits-upload-latest")
	what := fmt.Sprintf("neither root nor the profile %q%s", profile, note)
	if err != nil {
		what += "\n" + err.Error()
	}
	c.add(id, v, what, "recipes call pfexec to give files to root, and the native engine to mount and snapshot",
		"as root: usermod -P '"+profile+"' "+orelse(c.opts.Getenv("LOGNAME"), "USER"))
}

func (c *smartos) dataset() {
	const id = "dataset"
	zone, err := c.out("/usr/bin/zonename")
	zone = strings.TrimSpace(zone)
	why := "the native engine receives base images into it"
	switch {
	case err != nil:
		c.add(id, finding.Fail, err.Error(), why, "/usr/bin/zonename")
		return
	case zone == "global":
		c.ok(id, "the global zone needs none of its own")
		return
	}
	name := "zones/" + zone + "/data"
	if list, err := c.out("/usr/sbin/zfs", "list", "-H", "-o", "name", name); err != nil || strings.TrimSpace(list) != name {
		v, note := c.unless("buildimage", "bits-upload", "bits-upload-latest")
		c.add(id, v, "there is no dataset "+name+note, why,
			"make the zone anew, with \"delegate_dataset\": true in what vmadm create reads; a zone keeps what it was made with")
		return
	}
	c.ok(id, "%s", name)
}

func (c *smartos) path() {
	const id, want = "path", "/opt/local/bin"
	why := "the system's own tools of the same names do not know what recipes ask of pkgsrc's"
	later := map[string]bool{"/usr/bin": true, "/usr/sbin": true, "/bin": true, "/sbin": true, "/opt/tools/bin": true}
	var before []string
	for _, dir := range filepath.SplitList(c.opts.Getenv("PATH")) {
		if dir == "" {
			continue
		}
		switch dir = path.Clean(dir); {
		case dir == want && len(before) == 0:
			c.ok(id, "%s comes first", want)
			return
		case dir == want:
			c.add(id, finding.Fail, fmt.Sprintf("%s comes after %s", want, strings.Join(before, ", ")), why, "PATH="+want+":$PATH; export PATH")
			return
		case later[dir]:
			before = append(before, dir)
		}
	}
	c.add(id, finding.Fail, want+" is not on it", why, "PATH="+want+":$PATH; export PATH")
}

func (c *smartos) buildPlatform() {
	const id = "platform"
	switch {
	case c.skipped(id, "ENGBLD_SKIP_VALIDATE_BUILD_PLATFORM"):
		return
	case c.unknown:
		c.add(id, finding.Skip, "BUILD_PLATFORM is not known, as make could not be asked", "", "")
		return
	case c.comp == nil || c.comp.Platform == "":
		c.ok(id, "BUILD_PLATFORM is empty, any platform will do")
		return
	case c.platform == c.comp.Platform:
		c.ok(id, "%s", c.platform)
		return
	}
	want := c.comp.Platform
	mend := "build on a server (or bhyve guest) that runs platform " + want + ", or take another BUILD_PLATFORM\nafter Makefile.defs is included, or set ENGBLD_SKIP_VALIDATE_BUILD_PLATFORM=true"
	what := fmt.Sprintf("this is %s, BUILD_PLATFORM is %s", orelse(c.platform, "of no known platform"), want)
	switch {
	// Both are times of the same length: YYYYMMDDThhmmssZ.
	case len(c.platform) != len(want) || c.platform < want:
		c.add(id, finding.Fail, what, "what the component takes for granted may be missing here", mend)
	case len(c.comp.Illumos) > 0:
		c.add(id, finding.Fail, what+" and older", "what is compiled here may need functions that the older platform lacks ("+c.comp.Illumos[0].String()+")", mend)
	default:
		c.add(id, finding.Warn, what+" and older", "nothing is compiled, so nothing is bound to this platform", mend)
	}
}

func (c *smartos) optTools() {
	const id, pkgin = "opt-tools", "/opt/tools/bin/pkgin"
	why := "git, npm and java of the build come from there, so that the component may have others in /opt/local"
	t := c.set.BuildEnv.OptTools
	switch {
	case c.release != "" && t.Until != "" && c.release >= t.Until:
		c.add(id, finding.Skip, "/opt/tools is not needed from "+t.Until+" on", "", "")
	case !c.opts.System.Executable(pkgin):
		c.add(id, finding.Fail, "there is no "+pkgin, why, c.otherMachine())
	default:
		c.packages(id, pkgin, t.Packages, why)
	}
}

func (c *smartos) uploadTools() {
	const id = "upload-tools"
	var missing []string
	programs := c.set.BuildEnv.Path.Programs
	for _, p := range programs {
		if _, ok := look(c.opts.System, c.opts.Getenv("PATH"), p); !ok {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		c.ok(id, "%d programs are on PATH", len(programs))
		return
	}
	v, note := c.unless("bits-upload", "bits-upload-latest", "publish")
	c.add(id, v, "not on PATH: "+strings.Join(missing, " ")+note, "components' own recipes upload and publish with them",
		"npm install -g manta (mmd5 mmkdir mput msign); updates-imgadm comes with imgapi-cli, whose bin directory belongs on PATH")
}

func (c *smartos) submodules() {
	const id = "submodules"
	if c.skipped(id, "ENGBLD_SKIP_VALIDATE_SUBMODULES") {
		return
	}
	status, err := c.out("git", "submodule", "status")
	if err != nil {
		c.add(id, finding.Warn, "cannot be told: "+err.Error(), "what is built from them may not be what is recorded", "git submodule status")
		return
	}
	var off, conflict []string
	n := 0
	for line := range strings.Lines(status) {
		f := strings.Fields(strings.TrimLeft(line, " +-U"))
		if line == "" || len(f) < 2 {
			continue
		}
		n++
		switch line[0] {
		case '+':
			off = append(off, f[1])
		case 'U':
			conflict = append(conflict, f[1])
		}
	}
	var what []string
	mend := "git submodule update " + strings.Join(off, " ") + "\nor, if it is meant so: git add " + strings.Join(off, " ")
	if len(off) > 0 {
		what = append(what, "off the recorded commit: "+strings.Join(off, " "))
	}
	if len(conflict) > 0 {
		what = append(what, "in conflict: "+strings.Join(conflict, " "))
		if mend = "git add " + strings.Join(conflict, " ") + ", after the conflict is resolved"; len(off) > 0 {
			mend += "\ngit submodule update " + strings.Join(off, " ")
		}
	}
	if len(what) > 0 {
		c.add(id, finding.Fail, strings.Join(what, "; "), "what is built cannot be found again by the commit in its name", mend)
		return
	}
	c.ok(id, "%d, none off its recorded commit", n)
}

func (c *smartos) workTree() {
	workTree(c.ctx, c.opts, c.report)
}

// workTree warns of changed files; both kinds of machine want to know.
func workTree(ctx context.Context, opts Options, report *finding.Report) {
	f := finding.Finding{Check: "work-tree", Verdict: finding.OK, What: "clean"}
	o, err := opts.System.Run(ctx, Cmd{Dir: opts.Dir, Args: []string{"git", "status", "--porcelain", "--untracked-files=no"}})
	switch n := strings.Count(o.Stdout, "\n"); {
	case err != nil:
		f.Verdict, f.What = finding.Skip, err.Error()
	case o.Status != 0:
		f.Verdict, f.What = finding.Skip, "no git checkout: "+lastLines(o.Stderr, 1)
	case n > 0:
		f.Verdict = finding.Warn
		f.What = fmt.Sprintf("%d changed files: the STAMP ends in -dirty", n)
		f.Why = "what is built cannot be found again by the commit in its name, and bits-upload refuses it"
		f.Mend = "git commit, or ENGBLD_BITS_UPLOAD_ALLOW_DIRTY=true"
	}
	report.Add(f)
}

// releaseOf returns the release of /etc/pkgsrc_version, "" if there is none.
func releaseOf(sys System) string {
	data, err := sys.ReadFile("/etc/pkgsrc_version")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "release:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// platformOf returns what follows the underscore of "uname -v": joyent_STAMP.
func platformOf(ctx context.Context, sys System) string {
	o, err := sys.Run(ctx, Cmd{Args: []string{"uname", "-v"}})
	if err != nil || o.Status != 0 {
		return ""
	}
	_, stamp, _ := strings.Cut(strings.TrimSpace(o.Stdout), "_")
	return stamp
}

func unameS(ctx context.Context, sys System) (string, error) {
	o, err := sys.Run(ctx, Cmd{Args: []string{"uname", "-s"}})
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(o.Stdout), nil
}

func orelse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
