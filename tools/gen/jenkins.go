package gen

import (
	"bytes"
	"fmt"

	"github.com/TritonDataCenter/engbld/tools/flavor"
)

// jenkinsfile writes images/Jenkinsfile (spec flavors.md, "Jenkins"): a switch and
// a stage for each flavor, all off by default.
func jenkinsfile(set *flavor.Set) ([]byte, error) {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("// Code generated from the flavor files by \"make gen\"; DO NOT EDIT.\n\n")
	p("@Library('jenkins-joylib@v1.0.8') _\n\n")
	p("pipeline {\n\n    agent none\n\n")
	p("    options {\n        buildDiscarder(logRotator(numToKeepStr: '30'))\n        timestamps()\n    }\n\n")
	p("    parameters {\n")
	for _, f := range set.Flavors {
		p("        booleanParam(\n            name: '%s',\n            defaultValue: false,\n", f.JenkinsParam())
		p("            description: 'Build %s'\n        )\n", f.Name)
	}
	p("    }\n\n    stages {\n")
	for _, f := range set.Flavors {
		label := fmt.Sprintf("image_ver: '%s'", f.BuildOn.ImageVer)
		if f.BuildOn.Platform != "" {
			label += fmt.Sprintf(", pi: '%s'", f.BuildOn.Platform)
		}
		p("        stage('%s') {\n", f.Name)
		p("            agent {\n                node {\n                    label joyCommonLabels(%s)\n                }\n            }\n", label)
		p("            when {\n                beforeAgent true\n                environment name: '%s', value: 'true'\n            }\n", f.JenkinsParam())
		p("            steps {\n                sh('''\nset -o errexit\nset -o pipefail\nexport TRACE=1\n")
		p("make clean distclean\nexport ENGBLD_BITS_UPLOAD_IMGAPI=true\n")
		for _, e := range f.BuildOn.Env {
			p("export %s\n", e)
		}
		p("make print-BRANCH print-STAMP %s-\"buildimage bits-upload\"\n''')\n", f.Name)
		p("            }\n        }\n")
	}
	p("    }\n\n    post {\n        always {\n            joySlackNotifications()\n        }\n    }\n}\n")
	return b.Bytes(), nil
}
