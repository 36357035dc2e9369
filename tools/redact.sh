# public ADDRESS prints it without what is secret: user name, password, query and
# fragment, as tools/redact has it. To be sourced.
public() (
	rest=$1 scheme='' odd=''
	case $rest in
	//*) scheme=// rest=${rest#//} ;;
	/* | .*)
		printf '%s\n' "$rest"
		exit
		;;
	*://*)
		scheme=${rest%%://*}
		case $scheme in
		*[!A-Za-z0-9+.-]*) scheme='' ;;
		*)
			rest=${rest#*://}
			scheme=$scheme://
			;;
		esac
		;;
	esac
	host=${rest%%[/?#]*} path=${rest%%[?#]*}
	remote=${host##*@}
	# What is no port may be the begin of a password. HOST:PATH has no port.
	if [ -n "$scheme" ]; then
		no_port "$remote" && odd=yes
	else
		case $remote in *:*) odd=yes ;; esac
	fi
	case $odd${rest#"$path"} in
	yes*@*)
		printf '%s...\n' "$scheme"
		exit
		;;
	esac
	if [ -n "$odd" ] || [ "$remote" != "$host" ]; then
		path=${path##*@}
	fi
	host=${path%%/*}
	if [ -n "$scheme" ] && no_port "$host"; then
		path=${host%:*}:...${path#"$host"}
	fi
	printf '%s\n' "$scheme$path"
)

no_port() { # HOST:WHAT, WHAT being no number
	case $1 in
	*']') return 1 ;;
	*:*[!0-9]*) case ${1##*:} in *[!0-9]*) return 0 ;; esac ;;
	esac
	return 1
}
