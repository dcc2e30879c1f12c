# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What bench/run and bench/vm do before they measure: install what is missing, build. Sourced, with the root of the project as
# working directory.

# shellcheck source=deploy/local/packages.sh
. deploy/local/packages.sh

# Debian's own: that is the one with matplotlib.
readonly PYTHON=/usr/bin/python3
readonly GHOSTUNNEL=github.com/ghostunnel/ghostunnel@v1.8.4
install=yes peers='' build=build arguments=()

# What the script's head says, and the options of all.
prepare_help() {
	sed -n '3,/^set /s/^# \{0,1\}//p' "bench/${0##*/}"
	[[ ! -x $PYTHON ]] || "$PYTHON" bench/lib/main.py --help
	exit 0
}

# prepare_options "$@": takes out what is for us; the others stay in arguments.
prepare_options() {
	while [[ $# -gt 0 ]]; do
		case $1 in
		--help | -h) prepare_help ;;
		--install-peers) peers=yes ;;
		--no-install) install='' ;;
		--build) build=${2:?--build needs a directory} && shift ;;
		--build=*) build=${1#*=} ;;
		*) arguments+=("$1") ;;
		esac
		shift
	done
	build=$(realpath -m -- "$build")
}

# Debian starts a service when it installs one; ours are started by hand, with ports of their own.
install_peers() {
	local policy=/usr/sbin/policy-rc.d missing status=0
	mapfile -t missing < <(packages_missing bench/peers.txt)
	[[ ${#missing[@]} -gt 0 ]] || return 0
	if [[ $(id -u) == 0 && ! -e $policy ]]; then
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
		(packages_install "$build.install.log" "${missing[@]}") || status=$?
		rm -f "$policy" "$build.install.log"
		trap - EXIT
		[[ $status -eq 0 ]] || exit "$status"
	else
		packages_install "$build.install.log" "${missing[@]}"
		rm -f "$build.install.log"
	fi
}

# Debian has no package of it. Without it the results name it as missing, and the rest goes on.
install_ghostunnel() {
	local go said
	[[ ! -x $build/peers/ghostunnel ]] && ! command -v ghostunnel >/dev/null || return 0
	if ! go=$(PATH=$PATH:/usr/local/go/bin command -v go); then
		echo "ghostunnel is not installed: it would be built by Go, which is not installed either" >&2
		return 0
	fi
	echo "building ghostunnel" >&2
	said=$(GOBIN=$build/peers GOFLAGS=-trimpath CGO_ENABLED=0 "$go" install "$GHOSTUNNEL" 2>&1) ||
		echo "ghostunnel is not installed: $(head -n 1 <<<"$said")" >&2
}

quiet_unless_it_fails() {
	local said
	said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2 && exit 1; }
}

# prepare_build LIST...: installs what the lists name, builds.
prepare_build() {
	local missing
	if [[ -n $install ]]; then
		mapfile -t missing < <(packages_missing "$@")
		packages_install "$build.install.log" "${missing[@]}"
		rm -f "$build.install.log"
	fi
	[[ -z $peers ]] || { install_peers && install_ghostunnel; }
	mapfile -t missing < <(packages_missing bench/peers.txt)
	[[ ${#missing[@]} -eq 0 ]] ||
		echo "peers that are not installed: ${missing[*]} (--install-peers installs them)" >&2
	if [[ ! -f $build/build.ninja ]]; then
		echo "building" >&2
		quiet_unless_it_fails meson setup "$build" -Dbench=true --buildtype=release
	elif [[ ! -x $build/bench/sallyport-load ]]; then
		quiet_unless_it_fails meson configure "$build" -Dbench=true
	fi
	ninja --quiet -C "$build" sallyport bench/sallyport-load bench/sallyport-bench-relay >&2 || exit 1
}
