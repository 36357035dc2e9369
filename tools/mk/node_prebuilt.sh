#!/bin/sh
#
# node_prebuilt.sh find | install: what Makefile.node_prebuilt.* needs a shell
# for. Settings come from the environment (NP_*), set there.
#
# find prints the name of the newest archive ("-" if there is none) and, of a
# Manta directory, the path of the latest build. install puts the archive
# beside NP_INSTALL, unpacks it there and links the executables; what was there
# before goes when the new one is complete.
#

. "${0%/*}/../redact.sh"

die() {
	echo "error: prebuilt node: $*" >&2
	exit 1
}

get() { # URL, further curl arguments first
	$NP_CURL -fsSL --connect-timeout 30 "$@"
}

pick() { # the last of the names on stdin that match
	grep "^$NP_PATTERN\$" | LC_ALL=C sort | tail -1
}

find_archive() { # sets base, at (what base is to be put behind), real
	real='' base='' at=''
	case $NP_DIR in
	'')
		real=$(get --max-time 60 "$NP_URL$NP_URL_DIR") || return 0
		[ -n "$real" ] || return 0
		base=$(get --max-time 60 "$NP_URL$real/sdcnode" |
		    sed -n 's/.*"name"[ 	]*:[ 	]*"\([^"]*\)".*/\1/p' | pick)
		at=$NP_URL$real/sdcnode/
		;;
	http*)
		base=$(get --max-time 60 "$NP_DIR" | tr '<>' '\n\n' |
		    sed -n 's/.*[hH][rR][eE][fF]="\([^"]*\)".*/\1/p' | sed 's,.*/,,' | pick)
		at=${NP_DIR%/}/
		;;
	*)
		base=$(ls "$NP_DIR" 2>/dev/null | pick)
		at=${NP_DIR%/}/
		;;
	esac
}

# A Manta object comes with its MD5; gzip carries a checksum of its own.
check() { # FILE HEADERS
	gzip -t "$1" 2>/dev/null || die "$shown is damaged: gzip does not read it"
	want=$(sed -n 's/^[Cc]ontent-[Mm][Dd]5:[ 	]*//p' "$2" 2>/dev/null | tr -d '\r' | tail -1)
	[ -n "$want" ] && command -v openssl >/dev/null 2>&1 || return 0
	have=$(openssl dgst -md5 -binary "$1" | openssl base64) || return 0
	[ "$want" = "$have" ] || die "$shown is damaged: its MD5 is $have, not $want"
}

install_node() {
	[ "${NP_INSTALL##*/}" = node ] ||
	    die "NODE_INSTALL must end in node, as the archive's directory does; it is \"$NP_INSTALL\""
	from=$NP_TARBALL
	if [ -z "$from" ]; then
		find_archive
		[ -n "$base" ] || die "nothing named \"$NP_PATTERN\" in $(public "${NP_DIR:-$NP_URL$NP_URL_DIR}")"
		from=$at$base
	fi
	shown=$(public "$from")
	parent=$(dirname "$NP_INSTALL")
	work=$parent/.engbld-node
	mkdir -p "$parent" "$NP_BUILD" && rm -rf "$work" && mkdir "$work" || exit 1
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP

	case $from in
	http*)
		archive=$parent/${shown##*/}
		if [ ! -f "$archive" ]; then
			echo "prebuilt node: $shown"
			get --retry 3 -D "$work/headers" -o "$work/archive" "$from" ||
			    die "cannot fetch $shown"
			check "$work/archive" "$work/headers"
			mv "$work/archive" "$archive" || exit 1
		fi
		;;
	*)
		archive=$from
		;;
	esac

	tar=${NP_TAR:-tar}
	case $archive in
	/*) path=$archive ;;
	*) path=$PWD/$archive ;;
	esac
	(CDPATH= cd "$work" && $tar -xzf "$path") || die "cannot unpack $archive"
	[ -x "$work/node/bin/node" ] || die "$archive holds no node/bin/node"

	rm -rf "$NP_INSTALL" "$NP_BUILD"/prebuilt-node-* "$NP_BUILD"/prebuilt-npm-* &&
	mv "$work/node" "$NP_INSTALL" || exit 1
	bin=$NP_TOP/$NP_INSTALL/bin
	if [ -e "$bin/node-waf" ]; then
		ln -fs "$bin/node-waf" "$NP_WAF_LINK" || exit 1
	fi
	ln -fs "$bin/npm" "$NP_NPM_LINK" && ln -fs "$bin/node" "$NP_NODE_LINK"
}

case $1 in
find)
	find_archive
	echo "${base:--} $real"
	;;
install)
	install_node
	;;
*)
	die "usage: node_prebuilt.sh find | install"
	;;
esac
