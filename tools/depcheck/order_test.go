package depcheck

// order lists all packages, lowest first. A package may import those in lines
// above its own. Packages in one line do not know each other.
var order = [][]string{
	{"tools/fault", "tools/redact"},
	{"tools/filelock", "tools/owned"},
	{"tools/newfile"},
	{ // what knows nothing of the others
		"images", "tools/bounded", "tools/cores", "tools/finding", "tools/fstree", "tools/gunzip",
		"tools/pkgsrc/plist", "tools/pkgsrc/version", "tools/plan", "tools/process", "tools/rest", "tools/sandbox/loopback", "tools/stamp", "tools/unxz",
	},
	{ // single formats, and tools without any
		"tools/bits", "tools/fetch", "tools/flavor", "tools/imagefile", "tools/imgmanifest", "tools/makefile", "tools/native",
		"tools/pkgsrc/sniff", "tools/sandbox/mantaserver", "tools/sshsign", "tools/stylecheck", "tools/sums", "tools/ui", "tools/untar", "tools/zstream",
	},
	{ // what is made of them
		"tools/agent", "tools/buildenv", "tools/dataset", "tools/gen", "tools/imgapi", "tools/lock", "tools/manta",
		"tools/pkgsrc/archive", "tools/pkgsrc/repository", "tools/prebuilt", "tools/sandbox",
	},
	{"tools/component", "tools/imgstore", "tools/inspect", "tools/pkgsrc/audit", "tools/pkgsrc/pkgdb", "tools/release"},
	{"tools/imgadm", "tools/pkgsrc/install", "tools/survey"},
	{"tools/build", "tools/compare", "tools/pkgcmd", "tools/sbom"},
	{"tools/report"},
	{"tools/app"},
	{"targets", "tools/bench", "tools/engbld", "tools/fuzz"}, // programs
}

// tests lists what only tests import, with the packages below it.
var tests = []string{
	"tools/bits/storetest", "tools/depcheck", "tools/e2e", "tools/examples", "tools/frontdoor", "tools/mk", "tools/oracle",
	"tools/sandbox/mantaserver/cut",
}
