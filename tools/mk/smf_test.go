package mk_test

import (
	"os/exec"
	"strings"
	"testing"
)

const manifest = `<?xml version="1.0"?>
<!DOCTYPE service_bundle SYSTEM "/usr/share/lib/xml/dtd/service_bundle.dtd.1">
<service_bundle type="manifest" name="x">
<service name="site/x" type="service" version="1">
<create_default_instance enabled="true"/>
<exec_method type="method" name="start" exec="@@NODE@@ @@NODE@@ x" timeout_seconds="60"/>
</service>
</service_bundle>
`

func TestSMF(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "NODE_INSTALL = build/no|de\nSMF_MANIFESTS_IN = smf/a.xml.in\n"+head+"include "+mk+"Makefile.smf.defs\nSMF_MANIFESTS += smf/plain.xml\n"+
		"include "+mk+"Makefile.smf.targ\n"+tail)
	w.put("smf/a.xml.in", manifest)
	w.put("smf/plain.xml", strings.ReplaceAll(manifest, "@@", ""))
	if _, err := exec.LookPath("xmllint"); err != nil {
		w.stub("xmllint", "")
	}
	w.ok("check-manifests")
	if got := w.read("smf/a.xml"); strings.Count(got, "@@PREFIX@@/build/no|de/bin/node ") != 2 || strings.Contains(got, "@@NODE@@") {
		t.Errorf("the manifest made:\n%s", got)
	}
	w.ok("clean")
	if w.has("smf/a.xml") || !w.has("smf/plain.xml") {
		t.Error("clean removes what is made, and nothing else")
	}

	// A failed sed leaves nothing that would count as made.
	w.fails("Error", "smf/a.xml", "SED=sed s/")
	if w.has("smf/a.xml") || len(w.left()) > 0 {
		t.Errorf("a failed sed left a manifest, or %q", w.left())
	}
}

func TestSMFDefinition(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skip("xmllint is not installed")
	}
	valid := strings.ReplaceAll(manifest, "@@", "")
	tests := []struct{ name, from, to, says string }{
		{"as it is", "", "", ""},
		{"nested bundles", `<service name="site/x"`, `<service name="site/x"`, ""},
		{"everything", `<create_default_instance enabled="true"/>`, `<create_default_instance enabled="false"/><single_instance/>
			<restarter><service_fmri value="svc:/r"/></restarter>
			<dependency name="d" grouping="require_all" restart_on="none" type="service"><service_fmri value="svc:/a"/><service_fmri value="svc:/b"/></dependency>
			<dependent name="e" grouping="optional_all" restart_on="refresh" override="true"><service_fmri value="svc:/c"/></dependent>
			<method_context working_directory="/" project=":default"><method_credential user="u" privileges="basic"/>
			<method_environment><envvar name="A" value="b"/></method_environment></method_context>`, ""},
		{"lists", `</service>`, `<property_group name="p" type="application"><stability value="Evolving"/>
			<property name="l" type="astring"><astring_list><value_node value="1"/><value_node value="2"/></astring_list></property>
			<property name="empty" type="net_address_v4"/><propval name="v" type="uri" value="x"/></property_group>
			<instance name="i" enabled="true"/><stability value="Unstable"/>
			<template><common_name><loctext xml:lang="C">x</loctext></common_name><documentation><manpage title="x" section="1M"/></documentation>
			<pg_pattern name="p" type="t"><prop_pattern name="q" required="true"><cardinality min="1"/><choices><include_values type="values"/></choices></prop_pattern></pg_pattern>
			</template></service>`, ""},
		{"unknown element", `</service>`, `<bogus/></service>`, "bogus"},
		{"wrong order", `</service>`, `<single_instance/></service>`, "single_instance"},
		{"missing attribute", ` timeout_seconds="60"`, ``, "timeout_seconds"},
		{"wrong value", `type="method"`, `type="methods"`, "methods"},
		{"property without a type", `</service>`, `<property_group name="p" type="t"><propval name="v" value="x"/></property_group></service>`, "type"},
		{"the same in a profile", `service_bundle.dtd.1">`, `service_bundle.dtd.1" [<!ENTITY % profile "INCLUDE"><!ENTITY % manifest "IGNORE">]>`, ""},
	}
	for _, tt := range tests {
		w := newWorld(t, "SMF_MANIFESTS = m.xml\n"+head+"include "+mk+"Makefile.smf.defs\ninclude "+mk+"Makefile.smf.targ\n"+tail)
		w.put("m.xml", strings.Replace(valid, tt.from, tt.to, 1))
		if tt.says == "" {
			w.ok("check-manifests")
		} else {
			w.fails(tt.says, "check-manifests")
		}
	}
}
