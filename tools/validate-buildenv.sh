#!/bin/sh
#
# Is this machine fit to build this component? Run from the component's directory.
# With -r: which machine it wants, as "PKGSRC-RELEASE IMAGE AGENT-IMAGE"; answered
# everywhere, from buildenv.maps beside this file.
#
# The checks are "engbld doctor --validate": all of them on SmartOS; elsewhere only
# whether the component must be compiled on illumos, and that is left out where
# engbld cannot be run. ENGBLD_SKIP_VALIDATE_BUILDENV (not empty): no checks.
#
# Exit: 0 fit, or nothing to check; 1 unfit, or with -r no image is required.

case $0 in
*/*) tools=${0%/*} ;;
*) tools=. ;;
esac
maps=$tools/buildenv.maps

say() { printf '%s\n' "$*" >&2; }

# The make that may have started this one left its flags; only the variables of its
# command line are wanted here.
case $MAKEFLAGS in
*' -- '*) MAKEFLAGS=" -- ${MAKEFLAGS#* -- }" ;;
*) MAKEFLAGS= ;;
esac
export MAKEFLAGS

# ask NAME...: NAME=VALUE lines from the component's makefile.
ask() {
	for name; do
		shift
		set -- "$@" "print-$name"
	done
	"${ENGBLD_MAKE:-make}" ${ENGBLD_MAKEFILE:+-f "$ENGBLD_MAKEFILE"} -s --no-print-directory "$@"
}

# look MAP UUID: the entry, or nothing.
look() { sed -n "s/^$1\[$2\]=//p" "$maps"; }

# The image the component wants the machine to be, in $image.
required() {
	answer=$(ask BASE_IMAGE_UUID) || {
		say "error: asking the Makefile for BASE_IMAGE_UUID did not work, for the reason above"
		exit 1
	}
	image=${answer#BASE_IMAGE_UUID=}
	if [ -z "$image" ]; then
		answer=$(ask NODE_PREBUILT_IMAGE 2>/dev/null)
		image=${answer#NODE_PREBUILT_IMAGE=}
	fi
	case $image in
	*[!0-9a-f-]*)
		say "error: \"$image\" is not the uuid of an image"
		exit 1
		;;
	esac
}

usage() {
	say "usage: validate-buildenv.sh [-r] [--goals GOALS]"
	say "    -r             print the build machine that this component wants"
	say "    --goals GOALS  of make; what they do not need is no failure"
	exit 2
}

describe=
goals=
while [ $# -gt 0 ]; do
	case $1 in
	-r) describe=yes ;;
	--goals)
		[ $# -gt 1 ] || usage
		goals=$2
		shift
		;;
	*) usage ;;
	esac
	shift
done

if [ -n "$describe" ]; then
	required
	[ -n "$image" ] || {
		say "no build machine is required: neither BASE_IMAGE_UUID nor NODE_PREBUILT_IMAGE is set here"
		exit 1
	}
	release=$(look PKGSRC_MAP "$image")
	name=$(look SDC_MAP "$image")
	agent=$(look JENKINS_AGENT_MAP "$image")
	printf '%s\n' "$release${name:+ $name}${agent:+ $agent}"
	# As engbld doctor says it.
	none="no agent image is known: no jenkins-agent image is known for"
	if [ -z "$name" ]; then
		say "nothing is known of image $image; $none it"
	elif [ -z "$agent" ]; then
		say "$none $name ($image)"
	fi
	exit 0
fi

if [ -n "$ENGBLD_SKIP_VALIDATE_BUILDENV" ]; then
	say "validate-buildenv: not checked, ENGBLD_SKIP_VALIDATE_BUILDENV is set"
	exit 0
fi

if [ "$(uname -s)" = SunOS ]; then
	exec sh "$tools/engbld.sh" doctor --validate --goals "$goals"
fi

# A plain component needs neither Go nor a prebuilt program here. Without them, a
# program from before will do.
status=6
if command -v "${ENGBLD_GO:-go}" >/dev/null 2>&1 || [ -n "$ENGBLD_PREBUILT_DIR$ENGBLD_PREBUILT_URL" ] ||
	sh "$tools/engbld.sh" --engbld-path >/dev/null 2>&1; then
	sh "$tools/engbld.sh" doctor --validate --goals "$goals"
	status=$?
fi
case $status in
5 | 6) # the launcher has no program
	say "validate-buildenv: not SmartOS, nothing to check"
	say "validate-buildenv: left out, as engbld cannot be run: whether this must be compiled on illumos"
	exit 0
	;;
esac
exit "$status"
