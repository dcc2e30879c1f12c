#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Sets up in Vault or OpenBao, and in Consul, what Sallyport takes its certificates from: the same as the Terraform modules in
# deploy/terraform, for people without Terraform. It reads what is there, writes only what differs, and says which; a second run
# changes nothing. A root CA that is there is never replaced. Secrets are on no command line.
set -euo pipefail

usage() {
	cat <<'END'
usage: setup.sh root --path MOUNT --root-ca-common-name CN --broker-allowed-domains LIST --client-allowed-domains LIST [OPTION...]
       setup.sh consul --key KEY --primary MOUNT [--secondary MOUNT]... [--replace]
  root    a root CA of its own at MOUNT (such as kafka-pki/root-a), with a role for brokers and one for clients, a policy for
          each, and AppRoles if asked for
  consul  the key that says which roots are in force; --replace: also where it says something else already
  both    --dry-run: say what would be done, and do nothing
          LIST is of names with commas between; a * in a name stands for anything

  --broker-role NAME (broker)  --broker-ttl T (72h)  --broker-max-ttl T (720h)  --broker-allow-ip-sans
  --client-role NAME (client)  --client-ttl T (24h)  --client-max-ttl T (168h)  --client-allowed-uri-sans LIST
  --root-ttl T (87600h)        of the root's certificate, and the longest life of any other
  --root-key-type ec | rsa (ec)  --root-key-bits N (256)
  --crl-expiry T (72h)         a CRL is made anew --crl-grace-period T (12h) before it ends
  --delta-crl-interval T (15m) how often a delta CRL may be made
  --vault-root-url URL         how certificates name the CA and its CRLs ($VAULT_ADDR)
  --approle NAME               AppRoles NAME-broker and NAME-client; where they are there, this root's policies are added,
                               so that they may sign with the root before and the one after a rotation
  --approle-path MOUNT (approle)  --token-ttl T (1h)  --token-max-ttl T (24h)  --secret-id-ttl T (0: it does not end)

  Environment, as for vault and consul themselves: VAULT_ADDR, VAULT_TOKEN (or ~/.vault-token), VAULT_NAMESPACE, VAULT_CACERT,
  VAULT_CLIENT_CERT, VAULT_CLIENT_KEY (or with BAO_ for VAULT_); CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT,
  CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY. Needs curl and jq. Exit code: 0, 1 (it failed), 2 (a wrong argument).
END
}

fail() {
	printf 'setup.sh: %s\n' "$1" >&2
	shift
	(($# == 0)) || printf '  %s\n' "$@" >&2
	exit 1
}

usage_error() {
	printf 'setup.sh: %s (setup.sh --help tells more)\n' "$1" >&2
	exit 2
}

# ---- options ----------------------------------------------------------------------------------------------------------

declare -A option=(
	[broker-role]=broker [broker-ttl]=72h [broker-max-ttl]=720h [broker-allow-ip-sans]=false
	[client-role]=client [client-ttl]=24h [client-max-ttl]=168h [client-allowed-uri-sans]=
	[root-ttl]=87600h [root-key-type]=ec [root-key-bits]=256 [crl-expiry]=72h [crl-grace-period]=12h
	[delta-crl-interval]=15m [vault-root-url]= [approle]= [approle-path]=approle [token-ttl]=1h [token-max-ttl]=24h
	[secret-id-ttl]=0 [path]= [root-ca-common-name]= [broker-allowed-domains]= [client-allowed-domains]=
)
declare -A consul_option=([key]= [primary]=)
secondaries=()
replace=''
dry_run=''

parse_root() {
	local name
	while (($#)); do
		name=${1#--}
		case $1 in
		--dry-run) dry_run=yes ;;
		--broker-allow-ip-sans) option[$name]=true ;;
		--*)
			[[ -v option[$name] ]] || usage_error "unknown option '$1'"
			[[ -n ${2-} ]] || usage_error "$1 needs a value"
			option[$name]=$2
			shift
			;;
		*) usage_error "unknown argument '$1'" ;;
		esac
		shift
	done
	for name in path root-ca-common-name broker-allowed-domains client-allowed-domains; do
		[[ -n ${option[$name]} ]] || usage_error "--$name is missing"
	done
	check_mount --path "${option[path]}"
	for name in broker-ttl broker-max-ttl client-ttl client-max-ttl root-ttl crl-expiry crl-grace-period delta-crl-interval \
		token-ttl token-max-ttl secret-id-ttl; do
		[[ ${option[$name]} =~ ^(0|([0-9]+[smhd])+)$ ]] || usage_error "--$name: '${option[$name]}' is no time such as 90m or 72h"
	done
	[[ ${option[root-key-bits]} =~ ^[0-9]+$ ]] || usage_error "--root-key-bits: '${option[root-key-bits]}' is no number"
	for name in broker-role client-role approle; do
		[[ ${option[$name]} =~ ^[A-Za-z0-9._-]*$ ]] || usage_error "--$name: '${option[$name]}' is no plain name"
	done
}

parse_consul() {
	while (($#)); do
		case $1 in
		--dry-run) dry_run=yes ;;
		--replace) replace=yes ;;
		--key | --primary | --secondary)
			[[ -n ${2-} ]] || usage_error "$1 needs a value"
			[[ $1 == --key ]] || check_mount "$1" "$2"
			if [[ $1 == --secondary ]]; then secondaries+=("$2"); else consul_option[${1#--}]=$2; fi
			shift
			;;
		*) usage_error "unknown argument '$1'" ;;
		esac
		shift
	done
	[[ -n ${consul_option[key]} ]] || usage_error "--key is missing"
	[[ -n ${consul_option[primary]} ]] || usage_error "--primary is missing"
	[[ ${consul_option[key]} =~ ^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$ ]] ||
		usage_error "--key: '${consul_option[key]}' is no plain path (no slash at its ends)"
	local mount seen=" ${consul_option[primary]} "
	for mount in "${secondaries[@]}"; do
		[[ $seen != *" $mount "* ]] || usage_error "--secondary: $mount is named twice"
		seen+="$mount "
	done
}

check_mount() {
	[[ $2 =~ ^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$ ]] || usage_error "$1: '$2' is no plain path (no slash at its ends)"
}

# ---- requests ---------------------------------------------------------------------------------------------------------

http_status='' http_body=''

# http BASE HEADER METHOD PATH [BODY]: sets http_status and http_body; fails if there is no answer at all.
http() {
	local base=$1 header=$2 method=$3 path=$4 body=${5-} out
	local args=(-sS --connect-timeout 10 --max-time 60 -X "$method" -w '\n%{http_code}' "${curl_options[@]}")
	[[ -z $body ]] || args+=(-H 'Content-Type: application/json' --data-binary @-)
	out=$(curl "${args[@]}" -H @<(printf '%s\n' "$header") "$base$path" 2>&1 < <(printf %s "$body")) ||
		fail "$base does not answer ($(grep -m 1 '^curl: ' <<<"$out"))" "check the address, the network and the CA file"
	http_status=${out##*$'\n'}
	http_body=${out%$'\n'*}
}

# What the server says is wrong, in one line.
server_words() {
	jq -r '[.errors[]?] | map(gsub("\\s+"; " ")) | join("; ")' <<<"$http_body" 2>/dev/null || printf '%.300s' "$http_body"
}

vault_setup() {
	local file
	vault_addr=${VAULT_ADDR:-${BAO_ADDR:-}}
	[[ -n $vault_addr ]] || fail "VAULT_ADDR is not set" \
		"set it to where Vault or OpenBao is, such as https://vault.example.com:8200"
	vault_addr=${vault_addr%/}
	vault_token=${VAULT_TOKEN:-${BAO_TOKEN:-}}
	[[ -n $vault_token || ! -r ${HOME:-/root}/.vault-token ]] || vault_token=$(<"${HOME:-/root}/.vault-token")
	[[ -n $vault_token ]] || fail "there is no token for Vault" "set VAULT_TOKEN, or log in with: vault login"
	curl_options=()
	file=${VAULT_NAMESPACE:-${BAO_NAMESPACE:-}} && [[ -z $file ]] || curl_options+=(-H "X-Vault-Namespace: $file")
	file=${VAULT_CACERT:-${BAO_CACERT:-}} && [[ -z $file ]] || curl_options+=(--cacert "$file")
	file=${VAULT_CLIENT_CERT:-${BAO_CLIENT_CERT:-}} && [[ -z $file ]] || curl_options+=(--cert "$file")
	file=${VAULT_CLIENT_KEY:-${BAO_CLIENT_KEY:-}} && [[ -z $file ]] || curl_options+=(--key "$file")
}

# vault METHOD PATH [JSON]: done, or there is nothing there (404, for GET only); anything else ends the run with its cause.
vault() {
	http "$vault_addr" "X-Vault-Token: $vault_token" "$1" "/v1/$2" "${3-}"
	case $http_status in
	2??) ;;
	404) [[ $1 == GET ]] || fail "$1 $2: no such thing (HTTP 404): $(server_words)" "are VAULT_ADDR and VAULT_NAMESPACE right?" ;;
	403) fail "the token may not $1 $2 (HTTP 403): $(server_words)" "use one whose policy allows that" ;;
	503) fail "Vault at $vault_addr is sealed (HTTP 503)" "unseal it, then run this again" ;;
	307) fail "$vault_addr is a standby that sends elsewhere" "set VAULT_ADDR to the active server" ;;
	*) fail "$1 $2 failed (HTTP $http_status): $(server_words)" ;;
	esac
}

vault_check() {
	http "$vault_addr" '' GET /v1/sys/health
	case $http_status in
	200 | 429 | 472 | 473) ;;
	501) fail "Vault at $vault_addr is not initialised (HTTP 501)" "initialise and unseal it, then run this again" ;;
	503) fail "Vault at $vault_addr is sealed (HTTP 503)" "unseal it, then run this again" ;;
	*) fail "what is at $vault_addr is no Vault, or is unwell (HTTP $http_status on sys/health)" "check VAULT_ADDR" ;;
	esac
	http "$vault_addr" "X-Vault-Token: $vault_token" GET /v1/auth/token/lookup-self
	[[ $http_status != 403 ]] || fail "Vault does not take the token (HTTP 403)" "it may have ended or been revoked: log in again"
}

# ---- what is there, and what shall be ---------------------------------------------------------------------------------

kept=0 written=0

say() {
	printf '  %-12s %s\n' "$1" "$2"
}

keep() {
	kept=$((kept + 1))
	say ok "$1"
}

# write VERB WHAT METHOD PATH JSON
write() {
	written=$((written + 1))
	if [[ -n $dry_run ]]; then
		say "would $1" "$2"
	else
		vault "$3" "$4" "$5"
		say "${1%e}ed" "$2"
	fi
}

# differences CURRENT WANTED: "key: old -> new" of each setting that differs, one a line. Times are compared as seconds, lists
# as sets.
differences() {
	jq -rn --argjson current "$1" --argjson wanted "$2" '
		def seconds: [scan("([0-9]+)([smhd])") | (.[0] | tonumber) * {s: 1, m: 60, h: 3600, d: 86400}[.[1]]] | add;
		def plain: if type == "string" and test("^([0-9]+[smhd])+$") then seconds
			elif type == "array" then sort elif . == "0" then 0 else . end;
		def short: tojson | if length > 100 then .[:97] + "..." else . end;
		$wanted | to_entries[] | . as $w | ($current[$w.key]) as $c | select(($c | plain) != ($w.value | plain)) |
		"\($w.key): \($c | short) -> \($w.value | short)"'
}

# ensure WHAT PATH WANTED [CURRENT]: the settings at PATH are the WANTED ones.
ensure() {
	local what=$1 path=$2 wanted=$3 current=${4-} found
	if [[ -z $current ]]; then
		vault GET "$path"
		current=null
		[[ $http_status != 200 ]] || current=$(jq -c '.data' <<<"$http_body")
	fi
	if [[ $current == null ]]; then
		write create "$what" POST "$path" "$wanted"
		return
	fi
	found=$(differences "$current" "$wanted")
	if [[ -z $found ]]; then
		keep "$what"
	else
		write change "$what (${found//$'\n'/, })" POST "$path" "$wanted"
	fi
}

# list TEXT: names with commas between as JSON.
list() {
	jq -cn --arg text "$1" '[$text | split(",")[] | gsub("^\\s+|\\s+$"; "") | select(. != "")]'
}

# ---- root -------------------------------------------------------------------------------------------------------------

ensure_mount() {
	local path=${option[path]} type limits
	limits=$(jq -cn --arg max "${option[root-ttl]}" '{max_lease_ttl: $max}')
	vault GET sys/mounts
	type=$(jq -r --arg path "$path/" '.data[$path].type // ""' <<<"$http_body")
	case $type in
	'')
		write create "mount $path" POST "sys/mounts/$path" \
			"$(jq -cn --argjson config "$limits" '{type: "pki", description: "Root CA for Kafka", config: $config}')"
		;;
	pki) ensure "mount $path" "sys/mounts/$path/tune" "$limits" ;;
	*) fail "something of the type '$type' is mounted at $path" "choose another --path" ;;
	esac
}

# A root that is there stays, whatever else is asked for: who trusts it must not find another one in its place.
ensure_root() {
	local path=${option[path]} cn=${option[root-ca-common-name]} found
	vault GET "$path/ca/pem"
	if [[ $http_body != *CERTIFICATE* ]]; then
		write create "root CA '$cn'" POST "$path/root/generate/internal" "$(jq -cn --arg cn "$cn" --arg ttl "${option[root-ttl]}" \
			--arg type "${option[root-key-type]}" --argjson bits "${option[root-key-bits]}" \
			'{common_name: $cn, exclude_cn_from_sans: true, ttl: $ttl, key_type: $type, key_bits: $bits, format: "pem"}')"
		return
	fi
	found=$(openssl x509 -noout -subject -nameopt sname,sep_multiline,utf8 <<<"$http_body" 2>/dev/null |
		sed -n 's/^ *CN=//p' || true)
	[[ -z $found || $found == "$cn" ]] ||
		fail "$path has a root CA named '$found', not '$cn', and a root is never replaced" "choose another --path for a new one"
	keep "root CA '$cn'"
}

ensure_urls() {
	local path=${option[path]}
	ensure "URLs in certificates" "$path/config/urls" "$(jq -cn --arg base "${option[vault-root-url]}/v1/$path" \
		'{issuing_certificates: ["\($base)/ca"], crl_distribution_points: ["\($base)/crl"], ocsp_servers: ["\($base)/ocsp"]}')"
}

ensure_crl() {
	ensure "CRL and delta CRL" "${option[path]}/config/crl" "$(jq -cn --arg expiry "${option[crl-expiry]}" \
		--arg grace "${option[crl-grace-period]}" --arg delta "${option[delta-crl-interval]}" \
		'{disable: false, expiry: $expiry, auto_rebuild: true, auto_rebuild_grace_period: $grace,
		enable_delta: true, delta_rebuild_interval: $delta}')"
}

# Brokers have host names, and are clients of each other; clients have any name, and are no servers. Certificates are stored,
# since only such can be revoked by their serial number.
ensure_role() {
	local kind=$1 server=false hosts=false
	[[ $kind == client ]] || server=true hosts=true
	ensure "role ${option[$kind-role]}" "${option[path]}/roles/${option[$kind-role]}" "$(jq -cn \
		--argjson domains "$(list "${option[$kind-allowed-domains]}")" --argjson uris "$(list "${option[$kind-allowed-uri-sans]-}")" \
		--arg ttl "${option[$kind-ttl]}" --arg max "${option[$kind-max-ttl]}" --argjson ip "${option[$kind-allow-ip-sans]-false}" \
		--argjson server "$server" --argjson hosts "$hosts" \
		'{allowed_domains: $domains, allow_bare_domains: true, allow_glob_domains: true, allow_subdomains: $hosts,
		allow_localhost: false, allow_any_name: false, enforce_hostnames: $hosts, require_cn: true, allow_ip_sans: $ip,
		allowed_uri_sans: $uris, server_flag: $server, client_flag: true, key_type: "any",
		key_usage: ["DigitalSignature", "KeyAgreement", "KeyEncipherment"], ttl: $ttl, max_ttl: $max, no_store: false}')"
}

# policy_name KIND
policy_name() {
	printf '%s-%s' "${option[path]//\//-}" "$1"
}

# To sign with this role, and to look after one's own token. The CA, its chain and its CRLs are public.
policy_text() {
	local path
	printf 'path "%s/sign/%s" {\n  capabilities = ["update"]\n}\n' "${option[path]}" "${option[$1-role]}"
	for path in lookup-self:read renew-self:update revoke-self:update; do
		printf 'path "auth/token/%s" {\n  capabilities = ["%s"]\n}\n' "${path%:*}" "${path#*:}"
	done
}

ensure_policy() {
	local name
	name=$(policy_name "$1")
	ensure "policy $name" "sys/policies/acl/$name" "$(jq -cn --arg text "$(policy_text "$1")" '{policy: ($text + "\n")}')"
}

ensure_approle_method() {
	local mount=${option[approle-path]} type
	vault GET sys/auth
	type=$(jq -r --arg path "$mount/" '.data[$path].type // ""' <<<"$http_body")
	case $type in
	'') write create "auth method $mount" POST "sys/auth/$mount" '{"type":"approle"}' ;;
	approle) keep "auth method $mount" ;;
	*) fail "an auth method of the type '$type' is at $mount" "choose another --approle-path" ;;
	esac
}

ensure_approle() {
	local name=${option[approle]}-$1 path current=null policies
	path=auth/${option[approle-path]}/role/$name
	vault GET "$path"
	[[ $http_status != 200 ]] || current=$(jq -c .data <<<"$http_body")
	policies=$(jq -cn --argjson current "$current" --arg ours "$(policy_name "$1")" \
		'($current.token_policies // []) + [$ours] | unique')
	ensure "AppRole $name" "$path" "$(jq -cn --argjson policies "$policies" --arg ttl "${option[token-ttl]}" \
		--arg max "${option[token-max-ttl]}" --arg secret "${option[secret-id-ttl]}" \
		'{token_policies: $policies, token_no_default_policy: true, token_ttl: $ttl, token_max_ttl: $max,
		bind_secret_id: true, secret_id_ttl: $secret}')" "$current"
}

setup_root() {
	vault_setup
	: "${option[vault-root-url]:=$vault_addr}"
	option[vault-root-url]=${option[vault-root-url]%/}
	printf '%s at %s:\n' "${option[path]}" "$vault_addr"
	vault_check
	ensure_mount
	ensure_root
	ensure_urls
	ensure_crl
	local kind
	for kind in broker client; do
		ensure_role "$kind"
		ensure_policy "$kind"
	done
	if [[ -n ${option[approle]} ]]; then
		ensure_approle_method
		ensure_approle broker
		ensure_approle client
	fi
}

# ---- consul -----------------------------------------------------------------------------------------------------------

consul_setup() {
	consul_addr=${CONSUL_HTTP_ADDR:-http://127.0.0.1:8500}
	[[ $consul_addr == *://* ]] || consul_addr=http://$consul_addr
	consul_addr=${consul_addr%/}
	consul_token=${CONSUL_HTTP_TOKEN-}
	curl_options=()
	[[ -z ${CONSUL_CACERT-} ]] || curl_options+=(--cacert "$CONSUL_CACERT")
	[[ -z ${CONSUL_CLIENT_CERT-} ]] || curl_options+=(--cert "$CONSUL_CLIENT_CERT")
	[[ -z ${CONSUL_CLIENT_KEY-} ]] || curl_options+=(--key "$CONSUL_CLIENT_KEY")
}

# consul METHOD PATH [BODY]: as vault().
consul() {
	http "$consul_addr" "${consul_token:+X-Consul-Token: $consul_token}" "$1" "/v1/$2" "${3-}"
	case $http_status in
	200) ;;
	404) [[ $1 == GET ]] || fail "$1 $2: there is no such thing (HTTP 404)" "is CONSUL_HTTP_ADDR right?" ;;
	403) fail "the token may not $1 $2 (HTTP 403): $http_body" "set CONSUL_HTTP_TOKEN to one that may" ;;
	*) fail "$1 $2 failed (HTTP $http_status): ${http_body:0:300}" ;;
	esac
}

# The key is written only if nobody has written it since it was read.
setup_consul() {
	local key=${consul_option[key]} index=0 wanted current=''
	wanted=$(jq -cn --arg primary "${consul_option[primary]}" '{primary_issuer: $primary, secondary_issuers: $ARGS.positional}' \
		--args "${secondaries[@]}")
	consul_setup
	printf '%s at %s:\n' "$key" "$consul_addr"
	consul GET "kv/$key"
	if [[ $http_status == 200 ]]; then
		index=$(jq '.[0].ModifyIndex' <<<"$http_body")
		current=$(jq -r '.[0].Value // "" | @base64d' <<<"$http_body")
		if [[ $(jq -cS . <<<"$current" 2>/dev/null) == "$(jq -cS . <<<"$wanted")" ]]; then
			keep "key $key"
			return
		fi
		[[ -n $replace ]] || fail "$key says something else already: ${current:0:300}" \
			"a rotation may be under way; if that shall be replaced by $wanted, add --replace"
	fi
	written=1
	if [[ -n $dry_run ]]; then
		say "would write" "key $key: $wanted"
		return
	fi
	consul PUT "kv/$key?cas=$index" "$wanted"
	[[ $http_body == true* ]] || fail "somebody else has written $key meanwhile; nothing was changed" \
		"look at it, then run this again"
	say written "key $key: $wanted"
}

# -----------------------------------------------------------------------------------------------------------------------

for program in curl jq; do
	command -v "$program" >/dev/null || fail "$program not found" "install it with: apt-get install $program"
done
case ${1-} in
root | consul)
	verb=$1
	shift
	[[ " $* " != *" --help "* ]] || { usage; exit 0; }
	"parse_$verb" "$@"
	"setup_$verb"
	;;
-h | --help) usage && exit 0 ;;
*) usage_error "the first argument is root or consul" ;;
esac
if [[ -n $dry_run ]]; then
	printf '%d to be written, %d as they should be\n' "$written" "$kept"
else
	printf '%d written, %d as they should be\n' "$written" "$kept"
fi
