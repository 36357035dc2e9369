#!/bin/sh
#
# What Makefile.defs must know of the work tree and the machine, asked in one go,
# as words "KEY:VALUE" (a VALUE may be empty):
#
#   b  branch: the part of its name before the first slash; on a detached HEAD
#      BRANCH_NAME, else the only branch at HEAD, else "detached"; empty outside git.
#      Git's rules for names admit nearly all that a shell and make act upon: what is
#      neither letter, digit nor one of ._+- is a dash here
#   d  commit, with "-dirty" where tracked files differ; empty without one
#   t  now in UTC; only with the argument "now"
#   u  operating system    i  user id    a  an awk
#
# It never fails: what cannot be told is empty.

commit=`git describe --all --long --dirty --always 2>/dev/null`
commit=${commit##*-g}

ref=`git symbolic-ref -q HEAD 2>/dev/null`
case $ref in
refs/*/*)
	branch=${ref#refs/*/}
	branch=${branch%%/*}
	;;
*)
	branch=
	if [ -n "$commit" ]; then
		branch=${BRANCH_NAME%%/*}
		if [ -z "$branch" ]; then
			for ref in `git for-each-ref --points-at HEAD --format='%(refname)' refs/heads refs/remotes 2>/dev/null`; do
				case $ref in
				refs/remotes/*/HEAD) continue ;;
				refs/remotes/*) ref=${ref#refs/remotes/*/} ;;
				*) ref=${ref#refs/heads/} ;;
				esac
				if [ -n "$branch" ] && [ "$branch" != "$ref" ]; then
					branch=detached
					break
				fi
				branch=$ref
			done
			branch=${branch%%/*}
		fi
		branch=${branch:-detached}
	fi
	;;
esac
case $branch in
*[!ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-]*)
	branch=`printf %s "$branch" | LC_ALL=C tr -c 'A-Za-z0-9._+-' -`
	;;
esac

now=
[ "$1" = now ] && now=`date -u +%Y%m%dT%H%M%SZ`

if command -v gawk >/dev/null 2>&1; then
	awk=gawk
elif command -v nawk >/dev/null 2>&1; then
	awk=nawk
else
	awk=awk
fi

if [ -x /usr/bin/id ]; then
	id=`/usr/bin/id -u`
else
	id=`id -u`
fi

printf '%s\n' "b:$branch d:$commit t:$now u:`uname -s` i:$id a:$awk"
