package flavor

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	uuidRE    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	nameRE    = regexp.MustCompile(`^triton-origin-(x86_64|multiarch|i386)-(\d{1,3}(?:\.\d{1,3}){2})$`)
	imageRE   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	buildRE   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9._-]*$`)
	releaseRE = regexp.MustCompile(`^20\d\dQ[1-4]$`)
	packageRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}$`)
	assignRE  = regexp.MustCompile(`^[A-Z][A-Z0-9_]*=[A-Za-z0-9_.,:/@+-]*$`)
	classRE   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	versionRE = regexp.MustCompile(`^\d{1,3}(\.\d{1,3}){1,3}$`)
)

// check finds what is wrong with the values of files that could be decoded.
func (l *loader) check(set *Set, where map[*Flavor]*source) {
	uuids := map[string]string{}
	l.buildEnv(set, uuids)
	names := map[string]bool{}
	for _, f := range set.Flavors {
		l.flavor(set, f, where[f], uuids)
		if names[f.Name] {
			l.problem(where[f], "name", "the name %q is used twice", f.Name)
		}
		names[f.Name] = true
	}
	if len(set.Flavors) == 0 {
		l.problem(l.envFile, "", "no flavor beside it")
	}
}

func (l *loader) flavor(set *Set, f *Flavor, src *source, uuids map[string]string) {
	dir := path.Dir(src.name)
	m := nameRE.FindStringSubmatch(f.Name)
	switch {
	case m == nil:
		l.problem(src, "name", "name: %q is not of the form triton-origin-ARCH-X.Y.Z", f.Name)
	case f.Name != dir:
		l.problem(src, "name", "name: %q stands in the directory %q", f.Name, dir)
	}
	l.text(src, "description", f.Description)
	l.match(src, "base.name", f.Base.Name, imageRE, "an image name")
	l.match(src, "base.version", f.Base.Version, imageRE, "an image version")
	l.uuid(src, "base.uuid", f.Base.UUID, f.Base.String(), uuids)
	if m != nil {
		if f.Base.Version != m[2] {
			l.problem(src, "base.version", "base.version: %q does not fit the name, which says %s", f.Base.Version, m[2])
		}
		if f.Pkgsrc.Arch != m[1] {
			l.problem(src, "pkgsrc.arch", "pkgsrc.arch: %q does not fit the name, which says %s", f.Pkgsrc.Arch, m[1])
		}
		if want := releaseOf(m[2]); f.Pkgsrc.Release != want {
			l.problem(src, "pkgsrc.release", "pkgsrc.release: %q does not fit version %s, which is of %s", f.Pkgsrc.Release, m[2], want)
		}
	}
	if _, ok := set.Release(f.Pkgsrc.Release); !ok && releaseRE.MatchString(f.Pkgsrc.Release) {
		l.problem(src, "pkgsrc.release", "pkgsrc.release: %q is not in images/buildenv.toml", f.Pkgsrc.Release)
		l.hintf("add [[pkgsrc]] release = %q to images/buildenv.toml", f.Pkgsrc.Release)
	}
	if len(f.Pkgsrc.Packages) == 0 {
		l.problem(src, "pkgsrc.packages", "pkgsrc.packages: no package")
	}
	l.packages(src, "pkgsrc.packages", f.Pkgsrc.Packages)
	l.stamp(src, "min_platform", f.MinPlatform)
	if f.Sdcnode != nil {
		l.sdcnode(src, "sdcnode", *f.Sdcnode)
	}
	l.match(src, "build_on.image_ver", f.BuildOn.ImageVer, versionRE, "a version")
	l.stamp(src, "build_on.platform", f.BuildOn.Platform)
	for _, e := range f.BuildOn.Env {
		l.match(src, "build_on.env", e, assignRE, "of the form NAME=value, without blanks or quotes")
	}
	for i, r := range f.Released {
		key := fmt.Sprintf("released.%d.", i)
		l.match(src, key+"version", r.Version, imageRE, "an image version")
		l.uuid(src, key+"uuid", r.UUID, f.Name+"@"+r.Version, uuids)
	}
	l.accepts(src, f.Accept)
	l.audit(src, f.Audit)
}

func (l *loader) audit(src *source, a Audit) {
	for _, c := range a.FailOn {
		l.match(src, "audit.fail_on", c, classRE, "a class of vulnerabilities such as remote-code-execution")
	}
	for i, x := range a.Accept {
		key := fmt.Sprintf("audit.accept.%d.", i)
		l.match(src, key+"package", x.Package, packageRE, "a package name")
		if x.Class != "" {
			l.match(src, key+"class", x.Class, classRE, "a class of vulnerabilities such as remote-code-execution")
		}
		if x.URL != "" {
			l.address(src, key+"url", x.URL)
		}
		l.text(src, key+"reason", x.Reason)
		if _, err := time.Parse(time.DateOnly, x.Expires); err != nil {
			l.problem(src, key+"expires", "%s: %q is not a day such as 2027-06-30", plain(key+"expires"), x.Expires)
		}
	}
}

func (l *loader) buildEnv(set *Set, uuids map[string]string) {
	src, e := l.envFile, &set.BuildEnv
	l.address(src, "homepage", e.Homepage)
	if e.Homepage != "" {
		l.text(src, "homepage", e.Homepage) // it is written into makefiles
	}
	l.address(src, "eol_packages_url", e.EOLPage)
	last := ""
	for i, r := range e.Pkgsrc {
		key := fmt.Sprintf("pkgsrc.%d.", i)
		l.match(src, key+"release", r.Name, releaseRE, "a release such as 2024Q4")
		if r.Name <= last {
			l.problem(src, key+"release", "pkgsrc.release: %q comes twice or after a younger one", r.Name)
		}
		last = r.Name
		if r.Agent != "" {
			l.uuid(src, key+"agent", r.Agent, "agent of "+r.Name, uuids)
		}
		l.packages(src, key+"packages", r.Packages)
	}
	l.match(src, "opt_tools.until", e.OptTools.Until, releaseRE, "a release such as 2024Q4")
	l.packages(src, "opt_tools.packages", e.OptTools.Packages)
	l.packages(src, "path.programs", e.Path.Programs)
	for i, m := range e.Images {
		key := fmt.Sprintf("image.%d.", i)
		l.match(src, key+"name", m.Name, imageRE, "an image name")
		l.match(src, key+"version", m.Version, imageRE, "an image version")
		l.uuid(src, key+"uuid", m.UUID, m.Name+"@"+m.Version, uuids)
		if _, ok := set.Release(m.Pkgsrc); !ok {
			l.problem(src, key+"pkgsrc", "image.pkgsrc: no [[pkgsrc]] has release %q", m.Pkgsrc)
		}
	}
	for i, n := range e.OldSdcnode {
		l.sdcnode(src, fmt.Sprintf("sdcnode.%d", i), n)
	}
	l.accepts(src, e.Accept)
}

func (l *loader) sdcnode(src *source, key string, n Sdcnode) {
	l.match(src, key+".build", n.Build, buildRE, "of the form NAME@VERSION")
	l.match(src, key+".image", n.Image, uuidRE, "a uuid")
}

func (l *loader) accepts(src *source, list []Accept) {
	for i, a := range list {
		key := fmt.Sprintf("accept.%d.", i)
		l.match(src, key+"package", a.Package, packageRE, "a package name")
		l.text(src, key+"action", a.Action)
		l.text(src, key+"reason", a.Reason)
	}
}

func (l *loader) packages(src *source, key string, list []string) {
	seen := map[string]bool{}
	for _, p := range list {
		l.match(src, key, p, packageRE, "a package name")
		if seen[p] {
			l.problem(src, key, "%s: %q comes twice", plain(key), p)
		}
		seen[p] = true
	}
}

// text wants one line that can stand in a makefile, a table and a manifest as it is.
func (l *loader) text(src *source, key, s string) {
	switch {
	case s == "":
		l.problem(src, key, "%s: missing or empty", plain(key))
	case len(s) > 256:
		l.problem(src, key, "%s: longer than 256 bytes", plain(key))
	case strings.ContainsAny(s, "\n\r\t\x00\"\\$#'`|<>"):
		l.problem(src, key, "%s: %q holds a character that has a meaning in makefiles or tables", plain(key), s)
	}
}

func (l *loader) match(src *source, key, s string, re *regexp.Regexp, what string) {
	switch {
	case s == "":
		l.problem(src, key, "%s: missing or empty", plain(key))
	case !re.MatchString(s):
		l.problem(src, key, "%s: %q is not %s", plain(key), s, what)
	}
}

// uuid wants a uuid in lower case that nothing else has.
func (l *loader) uuid(src *source, key, uuid, owner string, uuids map[string]string) {
	if uuid != "" && !uuidRE.MatchString(uuid) {
		l.hintf("uuids are written in lower case, as in %s", "41bd4100-eb86-409a-85b0-e649aadf6f62")
	}
	l.match(src, key, uuid, uuidRE, "a uuid")
	if other, ok := uuids[uuid]; ok && uuid != "" {
		l.problem(src, key, "%s: %s is already the uuid of %s", plain(key), uuid, other)
	}
	uuids[uuid] = owner
}

func (l *loader) stamp(src *source, key, s string) {
	if _, err := time.Parse("20060102T150405Z", s); s != "" && err != nil {
		l.problem(src, key, "%s: %q is not a time such as 20210826T002459Z", plain(key), s)
	}
}

func (l *loader) address(src *source, key, s string) {
	if u, err := url.Parse(s); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		l.problem(src, key, "%s: %q is not a web address", plain(key), s)
	}
}

// releaseOf returns the pkgsrc release of an image version: 24.4.1 is of 2024Q4.
func releaseOf(version string) string {
	p := strings.Split(version, ".")
	return fmt.Sprintf("20%02sQ%s", p[0], p[1])
}

// compareVersions compares dotted numbers.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(as) && i < len(bs); i++ {
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if x != y {
			return x - y
		}
	}
	return len(as) - len(bs)
}
