#!/bin/sh
#
# Runs engbld with the arguments given: the program of these very sources, built
# when it is not there yet. Every recipe and every script of this directory comes
# through here. With the one argument --engbld-path it prints where the program is.
#
#   ENGBLD_CACHE_DIR	where programs are kept; default the user's cache directory
#   ENGBLD_GO		the go command; default go
#   ENGBLD_PREBUILT_DIR, ENGBLD_PREBUILT_URL
#			without Go: where engbld-OS-ARCH is; it must be the one in
#			tools/SHA256SUMS, which release tags have
#
# Nothing is written below this directory. Programs are kept by a hash of their
# sources, so all checkouts share them, and get their name when they are complete,
# so any number of processes may do this at once.
#
# Exit: the program's; 5 if a prebuilt program is not what it should be, 6 if this
# machine can neither build nor fetch one.

case $0 in
*/*) here=${0%/*} ;;
*) here=. ;;
esac
root=$(CDPATH= cd "$here/.." && pwd -P) || exit 6

fail() { # STATUS ERROR HINT...
	status=$1
	printf 'error: %s\n' "$2" >&2
	shift 2
	for line; do printf 'hint:  %s\n' "$line" >&2; done
	exit "$status"
}

# The cache. A home that is not this user's (sudo) is left alone.
private=
if [ -n "$ENGBLD_CACHE_DIR" ]; then
	cache=$ENGBLD_CACHE_DIR
elif [ -n "$XDG_CACHE_HOME" ] && [ -O "$XDG_CACHE_HOME" ]; then
	cache=$XDG_CACHE_HOME/engbld
elif [ -n "$HOME" ] && [ -O "$HOME" ]; then
	cache=$HOME/.cache/engbld
else
	cache=${TMPDIR:-/tmp}/engbld-$(id -u)
	private=yes
	(umask 077 && mkdir -p "$cache") 2>/dev/null
	[ -O "$cache" ] && [ ! -h "$cache" ] && chmod 700 "$cache" ||
		fail 6 "no cache directory: $cache is not ours" "set HOME or ENGBLD_CACHE_DIR"
fi
case $cache in
/*) ;;
*) cache=$PWD/$cache ;;
esac
ENGBLD_CACHE_DIR=$cache
ENGBLD_ROOT=$root
export ENGBLD_CACHE_DIR ENGBLD_ROOT

if command -v sha256sum >/dev/null 2>&1; then
	sha256() { sha256sum "$@"; }
elif command -v digest >/dev/null 2>&1; then
	sha256() { digest -a sha256 "$@"; }
else
	sha256() { shasum -a 256 "$@"; }
fi

# What the program is made of, one name a line; more of find's words may follow.
# What builds leave behind in images is none of it.
sources() {
	find go.mod go.sum images tools \( -name testdata -o -name mk -o -name buildimage -o -name examples \
		-o -name make_stamps -o -name '.engbld-*' -o -name '*.lock' \) -prune \
		-o -type f ! -name '*_test.go' ! -name '*.sh' "$@"
}

# The program's key is the hash of its sources. Reading them all each time would be
# too slow, so it is remembered under what the directory entries say of them.
cd "$root" || exit 6
machine=$(uname -sm)
# A find that cannot print them says so (a hash has no such letters).
note=$({ { printf '%s\n' "$root $machine"; sources -printf '%p %s %T@ %C@\n' 2>/dev/null || echo no >&3; } | sha256; } 3>&1)
case $note in
'' | *no*) note= ;;
*) note=$cache/src/${note%% *} ;;
esac
key=
[ -n "$note" ] && [ -r "$note" ] && read -r key <"$note"
if [ -z "$key" ]; then
	key=$({ echo "$machine"; sources -print | LC_ALL=C sort; sources -print | LC_ALL=C sort | xargs cat; } | sha256)
	key=${key%% *}
	[ ${#key} -eq 64 ] || fail 6 "hashing the sources in $root did not work" "install sha256sum"
	if [ -n "$note" ] && mkdir -p "$cache/src" 2>/dev/null; then
		printf '%s\n' "$key" >"$note.$$" && mv -f "$note.$$" "$note"
	fi
fi
cd - >/dev/null || exit 6
dir=$cache/bin/$key
bin=$dir/engbld
whole=$dir/size # written when the program was on the disk

# A program that lost something, when the power went off, say, is built again: a
# shell takes an empty one for a script that does nothing, and does that well. This
# starts no process, unless the program was written after its size: cache copied?
good() {
	[ -x "$bin" ] && [ -s "$bin" ] && [ -r "$whole" ] || return 1
	if [ "$bin" -nt "$whole" ]; then
		size=
		read -r size <"$whole"
		[ "$(($(wc -c <"$bin")))" = "$size" ] || return 1
		touch "$whole" 2>/dev/null
	fi
	first=
	IFS= read -r first <"$bin"
	[ -n "$first" ] # without zeros, which shells leave out
}

clean_up() { rm -f "$dir/.engbld-new.$$" "$dir/.engbld-size.$$"; [ -z "$locked" ] || rm -rf "$dir/.engbld-lock"; }

# One build at a time, so that make -j does not do the same work several times; it
# would be safe without. A lock whose owner is gone counts for nothing.
lock() {
	locked=
	tries=0
	while [ $tries -lt 300 ] && ! good; do
		if mkdir "$dir/.engbld-lock" 2>/dev/null; then
			locked=yes
			echo "$$ $(uname -n)" >"$dir/.engbld-lock/owner"
			return
		fi
		owner=
		[ -r "$dir/.engbld-lock/owner" ] && read -r owner host <"$dir/.engbld-lock/owner"
		if [ -n "$owner" ] && [ "$host" = "$(uname -n)" ] && ! kill -0 "$owner" 2>/dev/null; then
			rm -rf "$dir/.engbld-lock"
			continue
		fi
		sleep 1
		tries=$((tries + 1))
	done
}

build() {
	echo "engbld: building the program from $root (once for these sources)" >&2
	if [ -n "$private" ]; then
		: "${GOCACHE:=$cache/go-build}" "${GOPATH:=$cache/go}"
		export GOCACHE GOPATH
	fi
	(cd "$root" && GOOS= GOARCH= GOFLAGS= GOWORK=off GO111MODULE=on CGO_ENABLED=0 "$go" build -mod=readonly \
		-trimpath -buildvcs=false -o "$dir/.engbld-new.$$" ./tools/engbld) </dev/null >&2
}

prebuilt() {
	case $(uname -s) in
	SunOS) name=engbld-illumos ;;
	*) name=engbld-$(uname -s | tr '[:upper:]' '[:lower:]') ;;
	esac
	case $(uname -m) in
	x86_64 | amd64 | i86pc) name=$name-amd64 ;;
	aarch64 | arm64) name=$name-arm64 ;;
	*) name=$name-$(uname -m) ;;
	esac
	want=$(sed -n "s/^\([0-9a-f]\{64\}\)[ *]*$name\$/\1/p" "$root/tools/SHA256SUMS" 2>/dev/null)
	[ -n "$want" ] || fail 6 "no prebuilt program can be trusted: $root/tools/SHA256SUMS does not name $name" \
		"check out a release tag, or install Go"
	if [ -n "$ENGBLD_PREBUILT_DIR" ]; then
		from=$ENGBLD_PREBUILT_DIR/$name
		cp "$from" "$dir/.engbld-new.$$" || fail 6 "no prebuilt program $from"
	else
		. "$root/tools/redact.sh"
		from=$(public "${ENGBLD_PREBUILT_URL%/}/$name")
		# Passwords are in no argument, which all users of the machine see, and
		# curl's own words repeat parts of them.
		said=$(printf '%s\n' "${ENGBLD_PREBUILT_URL%/}/$name" | sed 's/[\\"]/\\&/g; s/.*/url = "&"/' |
			curl -fsSL --retry 2 --max-time 600 --max-filesize 500000000 -o "$dir/.engbld-new.$$" --config - 2>&1)
		result=$?
		if [ $result -ne 0 ]; then
			[ "$from" != "${ENGBLD_PREBUILT_URL%/}/$name" ] || [ -z "$said" ] || printf '%s\n' "$said" >&2
			fail 5 "fetching the prebuilt program $from did not work (curl ended with $result)"
		fi
	fi
	got=$(sha256 "$dir/.engbld-new.$$")
	[ "${got%% *}" = "$want" ] || fail 5 "$from has sha256 ${got%% *}, not $want as in tools/SHA256SUMS"
	chmod 755 "$dir/.engbld-new.$$"
}

if ! good; then
	mkdir -p "$dir" || fail 6 "no place for the program: $dir" "set ENGBLD_CACHE_DIR to a directory that can be written"
	trap clean_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	lock
	if ! good; then
		go=${ENGBLD_GO:-go}
		if command -v "$go" >/dev/null 2>&1 && build; then
			:
		elif [ -n "$ENGBLD_PREBUILT_DIR$ENGBLD_PREBUILT_URL" ]; then
			prebuilt
		elif command -v "$go" >/dev/null 2>&1; then
			fail 6 "building engbld in $root did not work, for the reason above"
		else
			fail 6 "engbld is written in Go, and there is no \"$go\" on PATH" \
				"install Go (see go.mod for the version), or name one with ENGBLD_GO" \
				"or take a prebuilt program: ENGBLD_PREBUILT_DIR or ENGBLD_PREBUILT_URL"
		fi
		# Its name and its size come when it is on the disk.
		sync "$dir/.engbld-new.$$" 2>/dev/null || sync 2>/dev/null
		rm -f "$whole" && mv -f "$dir/.engbld-new.$$" "$bin" && echo "$(($(wc -c <"$bin")))" >"$dir/.engbld-size.$$" &&
			mv -f "$dir/.engbld-size.$$" "$whole" && good || fail 6 "putting the program at $bin did not work"
		# A program has some 20 MB: the newest are kept.
		ls -t "$cache/bin" | sed 1,20d | while read -r old; do rm -rf "${cache:?}/bin/$old"; done
		ls -t "$cache/src" 2>/dev/null | sed 1,500d | while read -r old; do rm -f "${cache:?}/src/$old"; done
	fi
	clean_up
	trap - EXIT HUP INT TERM
fi

if [ "$*" = --engbld-path ]; then
	printf '%s\n' "$bin"
	exit 0
fi
exec "$bin" "$@"
