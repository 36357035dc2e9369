#!/bin/sh
#
# buildimage-extract-pkg.sh ARCHIVE: unpack ARCHIVE (.tar.gz, .tgz, .tar.bz2,
# .tar.bz) in the current directory, with GNU tar where that has a name of its own.

case $1 in
*.tar.gz | *.tgz) how=z ;;
*.tar.bz2 | *.tar.bz) how=j ;;
*)
	echo "error: \"$1\" is no .tar.gz, .tgz, .tar.bz2 or .tar.bz archive" >&2
	exit 1
	;;
esac
if command -v gtar >/dev/null 2>&1; then
	exec gtar -x${how}f "$1"
fi
exec tar -x${how}f "$1"
