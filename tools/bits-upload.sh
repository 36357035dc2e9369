#!/bin/sh
#
# Upload what a component built, and publish its images: see "-h". Every
# failure ends with status 1. Options come from the command line alone.
#
self=$0
while [ -h "$self" ]; do # on PATH there may be a link to this
	link=$(LC_ALL=C ls -ld "$self") || exit 1
	link=${link#*"$self -> "}
	case $link in
	/*) self=$link ;;
	*) self=$(dirname "$self")/$link ;;
	esac
done
here=$(CDPATH= cd "$(dirname "$self")" && pwd) || exit 1
[ -z "$TRACE" ] || set -x
"$here/engbld.sh" bits-upload "$@" || exit 1
