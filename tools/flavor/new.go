package flavor

import (
	"fmt"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fault"
)

// New is what is known of a flavor that is to be made.
type New struct {
	Version string // such as 25.4.0
	Arch    string // of pkgsrc; "": what the base's name tells
	Base    Base
}

// Name is the new flavor's name.
func (n New) Name() (string, error) {
	arch, err := n.arch()
	if err != nil {
		return "", err
	}
	name := "triton-origin-" + arch + "-" + n.Version
	switch m := nameRE.FindStringSubmatch(name); {
	case m == nil && nameRE.MatchString("triton-origin-x86_64-"+n.Version):
		return "", fault.WithHint(fault.Usage.Errorf("%q is no architecture of pkgsrc", arch), "x86_64, i386 or multiarch")
	case m == nil:
		return "", fault.WithHint(fault.Usage.Errorf("%q is not a version such as 25.4.0", n.Version), "it is that of the base image")
	}
	if !releaseRE.MatchString(n.Release()) {
		return "", fault.Usage.Errorf("version %s is of no quarter: the second number is 1 to 4", n.Version)
	}
	return name, nil
}

func (n New) arch() (string, error) {
	if n.Arch != "" {
		return n.Arch, nil
	}
	for part := range strings.SplitSeq(n.Base.Name, "-") {
		switch part {
		case "64":
			return "x86_64", nil
		case "32":
			return "i386", nil
		case "multiarch":
			return "multiarch", nil
		}
	}
	return "", fault.WithHint(fault.Usage.Errorf("the name of the base image %s does not tell its architecture", n.Base), "--arch x86_64")
}

// Release is the pkgsrc release the version belongs to.
func (n New) Release() string {
	if p := strings.Split(n.Version, "."); len(p) < 2 {
		return ""
	}
	return releaseOf(n.Version)
}

// Text writes the flavor file. The packages and the agent to build on are those
// of the youngest flavor, which is as good a guess as any.
func (n New) Text(set *Set) (string, error) {
	name, err := n.Name()
	if err != nil {
		return "", err
	}
	if n.Base.Version != n.Version {
		return "", fault.WithHint(fault.Usage.Errorf("the base image %s is %s, not a %s", n.Base.UUID, n.Base, n.Version),
			"name the image of that version, or make the flavor %s", n.Base.Version)
	}
	for _, f := range set.Flavors {
		if f.Name == name {
			return "", fault.Usage.Errorf("the flavor %s is there already", name)
		}
	}
	arch, err := n.arch()
	if err != nil {
		return "", err
	}
	like := set.Flavors[len(set.Flavors)-1]
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# What is particular to this image. After a change: make gen.\nname = %q\n", name)
	p("description = %q\n\n", fmt.Sprintf("Triton/Manta component origin image based on %s %s", arch, n.Version))
	p("# The image that this one is an increment of.\n[base]\nname = %q\nversion = %q\nuuid = %q\n\n", n.Base.Name, n.Base.Version, n.Base.UUID)
	p("[pkgsrc]\nrelease = %q\narch = %q\nupgrade = true # everything the base has is upgraded first\npackages = %s\n\n", n.Release(), arch, list(like.Pkgsrc.Packages))
	p("# The Jenkins agent that builds this image: an older one, as none runs this image before it is made.\n[build_on]\nimage_ver = %q\n", like.BuildOn.ImageVer)
	if like.BuildOn.Platform != "" {
		p("platform = %q\n", like.BuildOn.Platform)
	}
	if len(like.BuildOn.Env) > 0 {
		p("env = %s\n", list(like.BuildOn.Env))
	}
	return b.String(), nil
}

func list(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, fmt.Sprintf("%q", w))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
