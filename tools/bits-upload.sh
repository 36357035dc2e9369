#!/bin/sh
#
# Upload what a component built, and publish its images: see "-h". Every
# failure ends with status 1. Options come from the command line alone.
#
here=$(cd "$(dirname "$0")" && pwd) || exit 1
[ -z "$TRACE" ] || set -x
"$here/engbld.sh" bits-upload "$@" || exit 1
