# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What of the package lists is missing. Sourced by whatever installs: deploy/local/up, tests/run, bench/run.

# packages_missing FILE...: the packages of these lists (a line each: PACKAGE [COMMAND]) that neither dpkg nor, for one with a
# COMMAND, PATH has.
packages_missing() {
	local package command
	cat "$@" | sed 's/#.*//' | sort -u | while read -r package command; do
		[[ -n $package ]] || continue
		[[ -n $command ]] && command -v "$command" >/dev/null 2>&1 && continue
		[[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
	done
}

# packages_install LOG PACKAGE...: installs them, or says how, and ends the script where that failed.
packages_install() {
	local log=$1
	shift
	[[ $# -gt 0 ]] || return 0
	echo "installing: $*"
	if [[ $(id -u) != 0 ]]; then
		echo "${0##*/}: not root, so install these yourself and start again: apt-get install $*" >&2
		exit 2
	fi
	export DEBIAN_FRONTEND=noninteractive
	# Slim images lack the directory, and Java's alternatives fail to install without it.
	mkdir -p /usr/share/man/man1
	if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		echo "${0##*/}: the packages could not be installed; the whole log is $log" >&2
		exit 1
	fi
}
