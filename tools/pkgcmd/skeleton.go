package pkgcmd

import (
	"fmt"
	"strings"

	"github.com/TritonDataCenter/engbld/tools/fstree"
)

// The files of a minimal system: what package scripts look accounts and shells
// up in, in the form of illumos.
var skeletonFiles = []struct {
	name string
	mode uint32
	text string
}{
	{"etc/group", 0o644, "root::0:\nother::1:\nbin::2:root,daemon\nsys::3:root,bin,adm\nadm::4:root,daemon\n" +
		"staff::10:\ndaemon::12:root\nsysadmin::14:\nnobody::60001:\nnoaccess::60002:\n"},
	{"etc/passwd", 0o644, "root:x:0:0:Super-User:/root:/usr/bin/bash\ndaemon:x:1:1::/:/usr/bin/false\n" +
		"bin:x:2:2::/:/usr/bin/false\nsys:x:3:3::/:/usr/bin/false\nadm:x:4:4:Admin:/var/adm:/usr/bin/false\n" +
		"nobody:x:60001:60001:NFS Anonymous Access User:/:/usr/bin/false\nnoaccess:x:60002:60002:No Access User:/:/usr/bin/false\n"},
	{"etc/shadow", 0o400, "root:*LK*:::::::\ndaemon:NP:::::::\nbin:NP:::::::\nsys:NP:::::::\nadm:NP:::::::\n" +
		"nobody:*LK*:::::::\nnoaccess:*LK*:::::::\n"},
	{"etc/shells", 0o644, "/usr/bin/bash\n/usr/bin/ksh\n/usr/bin/sh\n/sbin/sh\n"},
}

var skeletonDirs = []struct {
	name string
	mode uint32
}{
	{"etc", 0o755}, {"opt", 0o755}, {"opt/local", 0o755}, {"opt/local/bin", 0o755}, {"opt/local/sbin", 0o755}, {"opt/local/etc", 0o755},
	{"tmp", 0o1777}, {"var", 0o755}, {"var/db", 0o755}, {"var/run", 0o755}, {"var/tmp", 0o1777},
}

const skeletonKeyring = "/opt/local/etc/gnupg/pkgsrc.gpg"

// skeleton puts a minimal system into an empty tree: its packages come from the
// given repositories and must be signed by the keyring, if there is one.
func skeleton(tree *fstree.Tree, repos []string, keyring []byte) error {
	for _, d := range skeletonDirs {
		if _, err := tree.Mkdir(d.name, d.mode, 0, 0); err != nil {
			return err
		}
	}
	for _, f := range skeletonFiles {
		if err := tree.WriteFile(f.name, []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	conf := []string{"CHECK_OSABI=no", "CHECK_OS_VERSION=no"}
	if keyring != nil {
		conf = append(conf, "GPG_KEYRING_VERIFY="+skeletonKeyring)
		if err := tree.MkdirAll("opt/local/etc/gnupg", 0o755); err != nil {
			return err
		}
		if err := tree.WriteFile(skeletonKeyring, keyring, 0o644); err != nil {
			return err
		}
	}
	if len(repos) > 0 {
		conf = append(conf, "PKG_PATH="+strings.Join(repos, ";"))
	}
	policy := "never"
	if keyring != nil {
		policy = "always"
	}
	conf = append(conf, "VERIFIED_INSTALLATION="+policy)
	return tree.WriteFile("opt/local/etc/pkg_install.conf", fmt.Appendln(nil, strings.Join(conf, "\n")), 0o644)
}
