package gen

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/flavor"
)

// maps writes tools/buildenv.maps, one entry a line: bash can source it, sed can
// take an entry out of it.
func maps(set *flavor.Set) ([]byte, error) {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("%s", header)
	p("# What build machine an image wants: its pkgsrc release (PKGSRC_MAP), its name\n")
	p("# (SDC_MAP), the jenkins-agent image to build on (JENKINS_AGENT_MAP, where one is\n")
	p("# known), and the packages a machine of that release must have. Bash can source\n")
	p("# this; there is one entry a line for everybody else.\n\n")
	p("declare -A PKGSRC_MAP SDC_MAP JENKINS_AGENT_MAP\n\n")
	known := set.Known()
	for _, k := range known {
		p("SDC_MAP[%s]=%s\n", k.UUID, k)
	}
	p("\n")
	for _, k := range known {
		p("PKGSRC_MAP[%s]=%s\n", k.UUID, k.Pkgsrc)
	}
	p("\n")
	for _, k := range known {
		if k.Agent != "" {
			p("JENKINS_AGENT_MAP[%s]=%s\n", k.UUID, k.Agent)
		}
	}
	p("\n")
	for _, r := range set.BuildEnv.Pkgsrc {
		if len(r.Packages) > 0 {
			p("PKGSRC_PKGS_%s=\"%s\"\n", r.Name, strings.Join(r.Packages, " "))
		}
	}
	o := set.BuildEnv.OptTools
	p("\n# In /opt/tools, before %s; and programs on PATH.\n", o.Until)
	p("OPT_TOOLS_PKGS=\"%s\"\n", strings.Join(o.Packages, " "))
	p("OPT_TOOLS_UNTIL=%s\n", o.Until)
	p("PATH_PROGRAMS=\"%s\"\n", strings.Join(set.BuildEnv.Path.Programs, " "))
	return b.Bytes(), nil
}
