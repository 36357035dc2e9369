#
# The checks of a SmartOS build machine; validate-buildenv.sh reads this, with its
# functions and variables. All are made, and their failures told, before it ends.
#
# ENGBLD_ALTROOT goes in front of the machine's absolute paths; for tests.

alt=$ENGBLD_ALTROOT
failed=0

# bad WHAT MEND: one failure.
bad() {
	failed=$((failed + 1))
	say "error: $1"
	[ -z "$2" ] || say "hint:  $2"
}

# has_package LIST NAME: NAME, with or without a version, stands in pkgin's list.
has_package() {
	printf '%s\n' "$1" | while read -r installed rest; do
		case $installed in
		"$2" | "$2"-[0-9]*) echo yes && break ;;
		esac
	done
}

# packages PKGIN WANTED MEND: each is installed.
packages() {
	list=$("$alt$1" list 2>/dev/null)
	missing=
	for package in $2; do
		[ -n "$(has_package "$list" "$package")" ] || missing="$missing $package"
	done
	[ -z "$missing" ] || bad "packages are missing:$missing" "$1 in$missing"
}

required
release=$(sed -n 's/^release: *\([0-9Q]*\).*/\1/p' "$alt/etc/pkgsrc_version" 2>/dev/null)

# 1, 2: pkgsrc
if [ -z "$ENGBLD_SKIP_VALIDATE_BUILD_PKGSRC" ]; then
	if [ -z "$image" ]; then
		say "validate-buildenv: no image is required, so any pkgsrc release will do"
	else
		want=$(look PKGSRC_MAP "$image")
		name=$(look SDC_MAP "$image")
		agent=$(look JENKINS_AGENT_MAP "$image")
		if [ -z "$want" ]; then
			bad "image $image is not known" "see tools/buildenv.maps in deps/eng for those that are"
		elif [ "$want" != "$release" ]; then
			bad "this machine has pkgsrc ${release:-(none)}, but $name wants $want" \
				"build in a zone of image ${agent:-$image}"
		fi
	fi
	if [ -z "$release" ]; then
		bad "there is no pkgsrc release in /etc/pkgsrc_version"
	else
		packages /opt/local/bin/pkgin "$(sed -n "s/^PKGSRC_PKGS_$release=\"\(.*\)\"/\1/p" "$maps")"
	fi
fi

# 3: privileges
if [ "$(id -u)" != 0 ] && ! profiles 2>/dev/null | grep -q '^ *Primary Administrator *$'; then
	bad "this user may not do what a build does" "usermod -P 'Primary Administrator' $(id -un)"
fi

# 4: a dataset of its own
zone=$(zonename)
if [ "$zone" != global ] && ! zfs list -H -o name "zones/$zone/data" >/dev/null 2>&1; then
	bad "there is no dataset zones/$zone/data" "vmadm update $zone, with delegate_dataset, or a new zone with it"
fi

# 5: PATH
before=
seen=
oldifs=$IFS
IFS=:
for dir in $PATH; do
	case $dir in
	/opt/local/bin) seen=yes ;;
	/usr/bin | /usr/sbin | /bin | /sbin | /opt/tools/bin) [ -n "$seen" ] || before="$before $dir" ;;
	esac
done
IFS=$oldifs
if [ -z "$seen" ]; then
	bad "/opt/local/bin is not on PATH" 'PATH=/opt/local/bin:$PATH'
elif [ -n "$before" ]; then
	bad "on PATH, /opt/local/bin comes after$before" 'PATH=/opt/local/bin:$PATH'
fi

# 6: platform
if [ -z "$ENGBLD_SKIP_VALIDATE_BUILD_PLATFORM" ]; then
	answer=$(ask BUILD_PLATFORM 2>/dev/null)
	want=${answer#BUILD_PLATFORM=}
	have=$(uname -v)
	have=${have#*_}
	if [ -n "$want" ] && [ "$want" != "$have" ]; then
		bad "this machine's platform is $have, not $want" "set ENGBLD_SKIP_VALIDATE_BUILD_PLATFORM if you know better"
	fi
fi

# 7: /opt/tools
until=$(sed -n 's/^OPT_TOOLS_UNTIL=//p' "$maps")
if [ -n "$release" ] && [ "$(printf '%s\n' "$release" "$until" | LC_ALL=C sort | head -n 1)" != "$until" ]; then
	if [ -x "$alt/opt/tools/bin/pkgin" ]; then
		packages /opt/tools/bin/pkgin "$(sed -n 's/^OPT_TOOLS_PKGS="\(.*\)"/\1/p' "$maps")"
	else
		bad "there is no second pkgsrc in /opt/tools" "see the guide to build zones"
	fi
fi

# 8: programs
missing=
for program in $(sed -n 's/^PATH_PROGRAMS="\(.*\)"/\1/p' "$maps"); do
	command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
[ -z "$missing" ] || bad "programs are not on PATH:$missing" "npm install -g manta; git clone of imgapi-cli for updates-imgadm"

# 9, 10: the work tree
if [ -z "$ENGBLD_SKIP_VALIDATE_SUBMODULES" ]; then
	off=$(git submodule status 2>/dev/null | sed -n 's/^[+U][0-9a-f]* \([^ ]*\).*/\1/p' | tr '\n' ' ')
	[ -z "$off" ] || bad "submodules are not at their recorded commits: $off" "git submodule update --init"
fi
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] ||
	say "warning: the work tree has uncommitted changes"

[ "$failed" -eq 0 ] || {
	say "validate-buildenv: $failed checks failed; ENGBLD_SKIP_VALIDATE_BUILDENV=true skips them all"
	exit 1
}
exit 0
