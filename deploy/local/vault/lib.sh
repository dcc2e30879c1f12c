# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # variables of lib.sh's and up's
#
# What `up --vault` does instead of asking the embedded CA: a real OpenBao (which speaks Vault's protocol) and a real Consul,
# set up by deploy/pki/setup.sh. Sourced by up after lib.sh, never run.
#
# Everything is in $state/vault: data of both, OpenBao's root token and unseal key (keys.json), and what the front door logs
# in with (role-id, secret-id). The two take six ports from $vault_port on, all on loopback, without TLS.

vault_home=$local_home/vault
vault_key=kafka/pki/issuers
vault_steps=4 # besides those without --vault

vault_url() { printf 'http://127.0.0.1:%d' "$vault_port"; }
consul_url() { printf 'http://127.0.0.1:%d' $((vault_port + 2)); }

# vault METHOD PATH [JSON]: the answer; fails where the server says no. The token comes from the file and is on no command line.
vault() {
	local token=''
	[[ ! -s $state/vault/keys.json ]] || token=$(jq -r '.root_token' "$state/vault/keys.json")
	curl -sS --fail-with-body --max-time 30 -X "$1" -H @<(printf 'X-Vault-Token: %s\n' "$token") --data-binary @- \
		"$(vault_url)/v1/$2" < <(printf %s "${3-}")
}

vault_fetch() {
	local log=$state/log/fetch-vault.log
	step 'OpenBao and Consul from pip and apt'
	: >"$log"
	run_logged "$log" "$vault_home/fetch" || die_with_log "$log" "OpenBao and Consul could not be fetched"
	mapfile -t vault_programs < <("$vault_home/fetch")
	step_end "in ${vault_programs[0]%/*/*}"
}

vault_configure() {
	# Data without the key to them (a run was interrupted just then) are of no use.
	[[ -s $state/vault/keys.json ]] || proc_pid openbao || rm -rf -- "$state/vault/openbao"
	(umask 077 && mkdir -p -- "$state/vault/openbao")
	jq -n --arg dir "$state/vault/openbao" --arg url "$(vault_url)" --argjson port "$vault_port" '{
		storage: {raft: {path: $dir, node_id: "one", performance_multiplier: "1"}},
		listener: [{tcp: {address: "127.0.0.1:\($port)", tls_disable: true}}],
		api_addr: $url, cluster_addr: "https://127.0.0.1:\($port + 1)"}' >"$state/vault/openbao.json"
	jq -n --arg dir "$state/vault/consul" --argjson port "$vault_port" '{
		server: true, bootstrap_expect: 1, data_dir: $dir, node_name: "one", bind_addr: "127.0.0.1", client_addr: "127.0.0.1",
		ports: {http: ($port + 2), server: ($port + 3), serf_lan: ($port + 4), serf_wan: ($port + 5), dns: -1, grpc: -1},
		connect: {enabled: false}, disable_update_check: true, performance: {raft_multiplier: 1}}' >"$state/vault/consul.json"
}

# vault_start NAME TITLE READY COMMAND...
vault_start() {
	local name=$1 title=$2 ready=$3 rc=0 log=$state/log/$1.log
	shift 3
	step "$title"
	if proc_pid "$name" && "$ready"; then
		step_end 'already up'
		return
	fi
	if ! proc_pid "$name"; then
		started+=("$name")
		proc_spawn "$name" "$@"
	fi
	wait_for "$name" 60 "$ready" || rc=$?
	case $rc in
	1) die_with_log "$log" "$title stopped" "the whole log: $log" ;;
	2) die_with_log "$log" "$title was not ready in 60 s" "the whole log: $log" ;;
	esac
	step_end
}

# Each time it starts it is sealed; the first time it has no keys yet.
openbao_ready() {
	local told
	can_connect "$vault_port" || return 1
	told=$(vault GET sys/seal-status 2>/dev/null) || return 1
	if [[ $(jq .initialized <<<"$told") == false ]]; then
		(umask 077 && vault PUT sys/init '{"secret_shares": 1, "secret_threshold": 1}' >"$state/vault/keys.json.tmp") || return 1
		mv -- "$state/vault/keys.json.tmp" "$state/vault/keys.json"
		told=$(vault GET sys/seal-status)
	fi
	if [[ $(jq .sealed <<<"$told") == true ]]; then
		vault PUT sys/unseal "$(jq '{key: .keys_base64[0]}' "$state/vault/keys.json")" >/dev/null || return 1
	fi
	vault GET sys/health >/dev/null 2>&1
}

# It has a leader, and takes writes.
consul_ready() {
	can_connect $((vault_port + 2)) &&
		curl -sS --fail --max-time 10 -X PUT "$(consul_url)/v1/kv/sallyport-local/ready" >/dev/null 2>&1
}

# Two roots, so that a rotation can be tried: the first issues, both are trusted. The key in Consul is the user's to change.
vault_setup() {
	local which log=$state/log/pki.log
	step 'roots, roles and policies'
	: >"$log"
	for which in a b; do
		run_logged "$log" setup_sh root --path "kafka-pki/root-$which" --root-ca-common-name "Sallyport local root ${which^}" \
			--broker-allowed-domains "localhost${host_name:+,$host_name}" --broker-allow-ip-sans \
			--client-allowed-domains 'svc-*' --approle local || die_with_log "$log" "OpenBao could not be set up"
	done
	if ! consul_value >/dev/null; then
		run_logged "$log" setup_sh consul --key "$vault_key" --primary kafka-pki/root-a --secondary kafka-pki/root-b ||
			die_with_log "$log" "Consul's key could not be written"
	fi
	step_end
}

setup_sh() {
	export VAULT_ADDR CONSUL_HTTP_ADDR VAULT_TOKEN
	VAULT_ADDR=$(vault_url) CONSUL_HTTP_ADDR=$(consul_url) VAULT_TOKEN=$(jq -r '.root_token' "$state/vault/keys.json")
	exec "$root/deploy/pki/setup.sh" "$@"
}

consul_value() {
	curl -sS --fail --max-time 10 "$(consul_url)/v1/kv/$vault_key?raw" 2>/dev/null
}

# What the front door logs in with, and certificates for the clients. The door asks for its own.
vault_certificates() {
	local name approle=auth/approle/role/local-broker log=$state/log/pki.log
	step 'certificates'
	if [[ ! -s $state/vault/secret-id ]]; then
		(
			umask 077 &&
				vault GET "$approle/role-id" | jq -er .data.role_id >"$state/vault/role-id" &&
				vault POST "$approle/secret-id" | jq -er .data.secret_id >"$state/vault/secret-id.tmp" &&
				mv -- "$state/vault/secret-id.tmp" "$state/vault/secret-id"
		) 2>>"$log" || die_with_log "$log" "OpenBao gave no secret id for the front door"
	fi
	if (($(cat "$state/pki/expires" 2>/dev/null || echo 0) > $(date +%s) + 86400)); then
		step_end 'all there'
		return
	fi
	rm -rf -- "$state/pki.tmp"
	mkdir -- "$state/pki.tmp"
	for name in "$client" ${guest:+"$guest"}; do
		vault_client_certificate "$name" "$state/pki.tmp" 2>>"$log" ||
			die_with_log "$log" "OpenBao issued no certificate for $name"
	done
	rm -rf -- "$state/pki"
	mv -- "$state/pki.tmp" "$state/pki"
	step_end
}

# vault_client_certificate NAME DIR: the roots, and certificate and key of a client from the root that issues now.
vault_client_certificate() {
	local name=$1 dir=$2 mounts told
	mapfile -t mounts < <(consul_value | jq -r '.primary_issuer, .secondary_issuers[]')
	told=$(vault POST "${mounts[0]}/issue/client" "$(jq -n --arg cn "$name" \
		'{common_name: $cn, key_type: "ec", key_bits: 256, ttl: "168h", private_key_format: "pkcs8"}')") || return 1
	jq -r .data.certificate <<<"$told" >"$dir/$name.crt"
	(umask 077 && jq -r .data.private_key <<<"$told" >"$dir/$name.key")
	# Java wants key and chain in one file.
	(umask 077 && cat "$dir/$name.key" "$dir/$name.crt" >"$dir/$name.pem")
	jq -r .data.expiration <<<"$told" >"$dir/expires"
	for told in "${mounts[@]}"; do
		vault GET "$told/ca/pem" && echo || return 1
	done >"$dir/ca.crt"
}

# The parts of the front door's configuration that differ.
vault_door_sources() {
	cat <<END
vault:                                # who issues certificates; OpenBao speaks the same
  address: $(vault_url)
  auth: { method: approle, role_id_file: vault/role-id, secret_id_file: vault/secret-id }
  persist: vault/kept
consul: { address: "$(consul_url)", key: $vault_key } # which of Vault's roots are in force
certificates:
  - { name: door, common_name: localhost, dns: [localhost${host_name:+, $host_name}], ip: [127.0.0.1], role: broker, ttl: 1h }
END
}

vault_summary() {
	cat <<END
    OpenBao           $(vault_url); root token and unseal key: vault/keys.json, log: log/openbao.log
    Consul            $(consul_url); log: log/consul.log

${bold}Rotate the root:${plain} a moment later the front door has a certificate of the other one; clients trust both.
  CONSUL_HTTP_ADDR=$(consul_url) $root/deploy/pki/setup.sh consul --key $vault_key --primary kafka-pki/root-b --secondary kafka-pki/root-a --replace
END
}

# vault_port_taken PORT BROKER_PORT: one of those, or of the two after the latter, is one of the six; says which in REPLY.
vault_port_taken() {
	for REPLY in "$1" "$2" $(($2 + 1)) $(($2 + 2)); do
		((REPLY < vault_port || REPLY > vault_port + 5)) || return 0
	done
	return 1
}

vault_check_ports() {
	local i what=(OpenBao "OpenBao's cluster" Consul "Consul's server" "Consul's gossip" "Consul's gossip")
	for i in "${!what[@]}"; do
		if ((i < 2)); then proc_pid openbao; else proc_pid consul; fi ||
			check_port $((vault_port + i)) "${what[i]}" --vault-port
	done
}

# All of it, in the steps that take the place of "certificates".
vault_up() {
	vault_fetch
	vault_configure
	vault_start openbao OpenBao openbao_ready "${vault_programs[0]}" server "-config=$state/vault/openbao.json"
	vault_start consul Consul consul_ready "${vault_programs[1]}" agent "-config-file=$state/vault/consul.json"
	vault_setup
	vault_certificates
}
