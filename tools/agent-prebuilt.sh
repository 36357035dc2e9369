#!/bin/sh
#
# Build or download an agent, and unpack it for an image: see "-h". Usage errors
# end with status 2, other failures with 1.
#
here=$(CDPATH= cd "$(dirname "$0")" && pwd) || exit 1
[ -z "$TRACE" ] || set -x
"$here/engbld.sh" agent-prebuilt "$@"
case $? in
0) exit 0 ;;
2) exit 2 ;;
*) exit 1 ;;
esac
