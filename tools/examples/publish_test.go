package examples

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/TritonDataCenter/engbld/tools/e2e/checkout"
)

// TestPublish does what the jobs of an origin image, an agent and a component do one
// after the other: upload to the object store, publish on the image server, both the
// sandbox's.
func TestPublish(t *testing.T) {
	t.Parallel()
	agent := example(t, "agent", filepath.Join(t.TempDir(), "sdc-config-agent"), plain)
	c := example(t, "monorepo", filepath.Join(t.TempDir(), "shop"), plain)
	c.noXMLLint()
	servers := []string{"ENGBLD_SANDBOX_DIR=" + t.TempDir(), "ENGBLD_BITS_UPLOAD_LOCAL=", "ENGBLD_DEST_OUT_PATH=/public/builds",
		"ENGBLD_BITS_UPLOAD_IMGAPI=true", "TIMESTAMP=" + checkout.StampTime}

	eng := checkout.New(t, "eng")
	uuid, _, _ := strings.Cut(eng.Run(t, servers, "make", flavor+"-buildimage bits-upload"), "\n")
	if uuid != world.origin {
		t.Fatalf("the origin image is %q this time, want %q", uuid, world.origin)
	}
	agent.Run(t, append(servers, sha1(t)), "make", agentGoals...)
	c.make(servers, ciGoals...)

	list := eng.Run(t, servers, "tools/updates-imgadm", "--channel", "dev", "list", "-H", "-o", "uuid,name,version")
	found := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		if f := strings.Fields(line); len(f) == 3 {
			found[f[1]] = f[0] + " " + f[2]
		}
	}
	stamp := c.stamp()
	for _, s := range []string{"shop-api", "shop-web"} {
		if want := c.image(s).m.UUID + " " + stamp; found[s] != want {
			t.Errorf("%s is published as %q, want %q", s, found[s], want)
		}
	}
	if !strings.HasSuffix(found["config-agent"], " "+agent.stamp()) {
		t.Errorf("the agent is published as %q", found["config-agent"])
	}
	if t.Failed() {
		t.Logf("published:\n%s", list)
	}
}
