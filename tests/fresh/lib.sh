# SPDX-License-Identifier: Apache-2.0
# Clean roots of Debian for tests: made by debootstrap (minbase), whose packages are kept, and entered in mount, host name and pid
# namespaces of their own; the network is this machine's. Needs root. What is passed on from this machine: where packages come from
# (apt, Maven settings, extra CA certificates, DNS). To be called in "if" or with "&&", where "set -e" is off: steps are chained by hand.

# The first Debian archive this machine's apt knows, whichever of the two formats names it.
fresh_archive() {
	{
		sed -n 's/^URIs:[[:space:]]*//p' /etc/apt/sources.list.d/*.sources 2>/dev/null
		sed -n 's/^deb[[:space:]]\+\(\[[^]]*\][[:space:]]*\)\?\([^[:space:]]*\).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null
	} | tr ' ' '\n' | awk '/\/debian\/?$/ && !found { found = 1; print }' # reads to the end: pipefail
}

# fresh_make_root SUITE WORK: WORK/root.
fresh_make_root() {
	local suite=$1 work=$2 mirror base cache=${SALLYPORT_CACHE:-$HOME/.cache/sallyport}/fresh
	base=$cache/$suite.tar
	mkdir -p "$cache"
	mirror=$(fresh_archive)
	[[ -n $mirror ]] || { echo "no Debian archive in this machine's apt sources" >&2; return 1; }
	if [[ ! -f $base ]]; then
		debootstrap --variant=minbase --make-tarball="$base.new" "$suite" "$work/bootstrap" "$mirror" &&
			mv "$base.new" "$base" || return 1
	fi
	debootstrap --variant=minbase --unpack-tarball="$base" "$suite" "$work/root" "$mirror" &&
		printf 'deb %s %s main\ndeb %s %s-updates main\n' "$mirror" "$suite" "$mirror" "$suite" >"$work/root/etc/apt/sources.list"
}

# fresh_pass_on ROOT: what tells the ordinary clients where packages are, and nothing else of this machine.
fresh_pass_on() {
	local root=$1 file
	cp -L /etc/resolv.conf "$root/etc/resolv.conf" &&
		printf '127.0.0.1 localhost fresh\n' >"$root/etc/hosts" || return 1
	for file in /etc/apt/apt.conf.d/*; do
		grep -qE 'Acquire|proxy' "$file" && cp "$file" "$root/etc/apt/apt.conf.d/"
	done
	mkdir -p "$root/usr/local/share/ca-certificates" "$root/root/.m2"
	cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
	for file in /etc/maven/settings.xml "$HOME/.m2/settings.xml"; do
		[[ ! -f $file ]] || cp "$file" "$root/root/.m2/settings.xml"
	done
}

fresh_mount_devices() {
	local root=$1 dev=$1/dev node
	mount --bind "$root" "$root" && mount -t tmpfs -o mode=755 tmpfs "$dev" || return 1
	for node in null zero full random urandom tty; do
		touch "$dev/$node" && mount --bind "/dev/$node" "$dev/$node" || return 1
	done
	mkdir "$dev/shm" "$dev/pts" &&
		ln -s /proc/self/fd "$dev/fd" &&
		ln -s /proc/self/fd/0 "$dev/stdin" &&
		ln -s /proc/self/fd/1 "$dev/stdout" &&
		ln -s /proc/self/fd/2 "$dev/stderr" &&
		ln -s pts/ptmx "$dev/ptmx" &&
		mount -t devpts -o newinstance,mode=620,ptmxmode=666,gid=5 devpts "$dev/pts" &&
		mount -t tmpfs tmpfs "$dev/shm" &&
		mount -t sysfs -o ro sysfs "$root/sys"
}

# fresh_inside ROOT COMMAND: in the root, with mounts, processes and the host name its own.
fresh_inside() {
	unshare --mount --uts --pid --fork --kill-child --mount-proc="$1/proc" \
		bash -c 'echo fresh >/proc/sys/kernel/hostname && exec "$@"' inside \
		chroot "$1" /usr/bin/env -i HOME=/root TERM=dumb LANG=C.UTF-8 CI="${CI:-}" \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		${GOPROXY:+GOPROXY="$GOPROXY"} bash -c "$2"
}
