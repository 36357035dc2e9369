#!/bin/sh
#
# Is this machine fit to build this component? Run from the component's directory.
# With -r: which machine it wants, as "PKGSRC-RELEASE IMAGE AGENT-IMAGE"; answered
# everywhere, from buildenv.maps beside this file.
#
# Off SmartOS there is nothing to check: images are made without the machine's help.
#
# ENGBLD_SKIP_VALIDATE_BUILDENV (not empty): no checks. Exit: 0 fit, or nothing to
# check; 1 unfit, or with -r no image is required.

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
	say "usage: validate-buildenv.sh [-r]"
	say "    -r  print the build machine that this component wants"
	exit 2
}

describe=
while getopts rh opt; do
	case $opt in
	r) describe=yes ;;
	*) usage ;;
	esac
done

if [ -n "$describe" ]; then
	required
	[ -n "$image" ] || exit 1
	release=$(look PKGSRC_MAP "$image")
	name=$(look SDC_MAP "$image")
	agent=$(look JENKINS_AGENT_MAP "$image")
	printf '%s\n' "$release${name:+ $name}${agent:+ $agent}"
	[ -n "$name" ] || say "nothing is known of image $image"
	[ -n "$agent" ] || say "no agent image is known for ${name:-it} ($image)"
	exit 0
fi

if [ -n "$ENGBLD_SKIP_VALIDATE_BUILDENV" ]; then
	say "validate-buildenv: not checked, ENGBLD_SKIP_VALIDATE_BUILDENV is set"
	exit 0
fi
if [ "$(uname -s)" != SunOS ]; then
	say "validate-buildenv: not SmartOS, nothing to check"
	exit 0
fi

. "$tools/buildenv-checks.sh"
