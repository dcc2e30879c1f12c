# SPDX-License-Identifier: Apache-2.0
# Completion of sallyport for bash. Needs nothing but bash; a test keeps it equal to --help.

_sallyport_words() {
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_sallyport_files() {
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

# What may follow an option; fails for those that take no value.
_sallyport_value() {
	case $1 in
	-c | --config | --socket | --dir) _sallyport_files "$2" ;;
	--sort) _sallyport_words "age bytes idle stall" "$2" ;;
	--state) _sallyport_words "handshake connect relay linger" "$2" ;;
	--transport) _sallyport_words "ktls ktls_send aead plain" "$2" ;;
	--usage) _sallyport_words "client server both" "$2" ;;
	--key) _sallyport_words "ec-p256 ec-p384 ed25519 rsa-2048 rsa-3072 rsa-4096" "$2" ;;
	--for) _sallyport_words "10m 1h" "$2" ;;
	--deadline) _sallyport_words "60s 5m" "$2" ;;
	--produce | --consume) _sallyport_words "off 1MB/s 10MB/s 100MB/s" "$2" ;;
	--connections | --connections-per-second | --handshakes-per-second | --group) COMPREPLY=() ;;
	--cn | --issuer | --serial | --principal | --listener | --limit | --san | --days | --name) COMPREPLY=() ;;
	*) return 1 ;;
	esac
}

_sallyport_options() {
	case $1 in
	proxy) echo "-c --config" ;;
	agent) echo "-c --config --once --deadline --socket --json" ;;
	check) echo "--agent --json --schema" ;;
	probe) echo "--json" ;;
	dev) echo "--dir --cn --san --usage --days --key --name --force --json" ;;
	status | reload | upgrade) echo "--socket --json" ;;
	conns) echo "--cn --issuer --serial --principal --listener --state --transport --sort --limit --socket --json" ;;
	limits)
		echo "--at-limit --limit --group --produce --consume --connections --connections-per-second"
		echo "--handshakes-per-second --for --socket --json"
		;;
	kill) echo "--cn --issuer --serial --principal --listener --socket --json" ;;
	renew) echo "--all --socket --json" ;;
	drain) echo "--at-once --socket --json" ;;
	log-level) echo "--for --socket --json" ;;
	esac
	echo "-h --help"
}

_sallyport() {
	local verbs="proxy agent check probe dev status conns limits kill reload renew upgrade drain log-level help"
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}

	COMPREPLY=()
	if [[ $COMP_CWORD -eq 1 ]]; then
		_sallyport_words "$verbs -h --help -V --version" "$word"
	elif _sallyport_value "$before" "$word"; then
		:
	elif [[ $word == -* ]]; then
		_sallyport_words "$(_sallyport_options "$verb")" "$word"
	else
		case $verb in
		agent) [[ $COMP_CWORD -ne 2 ]] || _sallyport_words "status renew" "$word" ;;
		check) _sallyport_files "$word" ;;
		dev) [[ $COMP_CWORD -ne 2 ]] || _sallyport_words "ca cert" "$word" ;;
		limits) [[ $COMP_CWORD -ne 2 ]] || _sallyport_words "set clear" "$word" ;;
		log-level) _sallyport_words "error warning info debug" "$word" ;;
		help) _sallyport_words "$verbs" "$word" ;;
		esac
	fi
}

complete -F _sallyport sallyport
