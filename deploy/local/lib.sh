# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034 # half of the variables are for who sources it
#
# What up, down and status share: where things are, how progress and errors are said, and the processes that up leaves
# running. Sourced, never run.
#
# A process of ours is known by a pid file with three words: pid, start time, boot id. The last two make sure that a pid
# which the system has given to somebody else since is never signalled.

local_home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$local_home/../.." && pwd)
state=${SALLYPORT_LOCAL_DIR:-$local_home/state}

# A command that fails where none may must not end the script in silence.
set -E
unexpected() {
	printf '%s: line %s of %s failed unexpectedly: %s\n' "${0##*/}" "$1" "${BASH_SOURCE[1]}" "${BASH_COMMAND%%$'\n'*}" >&2
}
trap 'unexpected "$LINENO"' ERR

# What up makes in the state directory, and so all that down removes from it.
state_files=(run log pki pki.tmp identity kafka vault admin.sock sallyport.yaml client.properties kcat.conf kcat-guest.conf
	settings .sallyport-local)

bold='' red='' green='' plain='' tty=''
if [[ -t 1 && ${TERM-dumb} != dumb ]]; then
	tty=yes
	if [[ -z ${NO_COLOR-} ]]; then
		bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
	fi
fi

# ---- progress and errors ----------------------------------------------------------------------------------------------

step_number=0
step_total=0
step_open=''
step_text=''
step_start=0

step() {
	step_number=$((step_number + 1))
	step_text="[$step_number/$step_total] $1"
	step_start=$SECONDS
	step_open=yes
	printf '%s ...' "$step_text"
}

# step_end [WORD]: closes the line. Seconds are told where there were any.
step_end() {
	local took=$((SECONDS - step_start))
	[[ -z $tty ]] || printf '\r\e[K%s ...' "$step_text"
	printf ' %s%s%s' "$green" "${1:-done}" "$plain"
	((took == 0)) || printf ' (%d s)' "$took"
	printf '\n'
	step_open=''
}

# die MESSAGE [HINT...]: the message on stderr, then what to do, one hint a line; exits 1.
die() {
	if [[ -n $step_open ]]; then
		printf ' %sfailed%s\n' "$red" "$plain"
		step_open=''
	fi
	printf '%s: %s\n' "${0##*/}" "$1" >&2
	shift
	(($# == 0)) || printf '  %s\n' "$@" >&2
	exit 1
}

# die_with_log LOG MESSAGE [HINT...]
die_with_log() {
	local log=$1
	shift
	if [[ -n $step_open ]]; then
		printf ' %sfailed%s\n' "$red" "$plain"
		step_open=''
	fi
	if [[ -s $log ]]; then
		printf -- '---- the last lines of %s:\n' "$log" >&2
		grep -v '^[[:space:]]*$' "$log" | tail -n 15 | cut -c 1-700 >&2
		printf -- '----\n' >&2
	fi
	die "$@"
}

# A signal that ends us waits while a process has been started and is not noted yet: nobody could stop it.
held='' signal_code=''

on_signal() {
	signal_code=$1
	[[ -n $held ]] || exit "$1"
}

release_signals() {
	held=''
	[[ -z $signal_code ]] || exit "$signal_code"
}

# run_logged LOG COMMAND...: runs it with its output in LOG and shows that time passes: on a terminal the seconds and the
# last line of the log, elsewhere a dot now and then. The command runs in the background, so that an interrupt stops it at
# once (child_pid is what the trap kills).
child_pid=''

run_logged() {
	local log=$1 rc=0 ticks=0
	shift
	held=yes
	"$@" >>"$log" 2>&1 </dev/null 7>&- 8>&- 9>&- &
	child_pid=$!
	release_signals
	while kill -0 "$child_pid" 2>/dev/null; do
		sleep 0.1
		ticks=$((ticks + 1))
		((ticks % 10 == 0)) || continue
		if [[ -n $tty ]]; then
			show_ticker "$log"
		elif ((ticks % 100 == 0)); then
			printf '.'
		fi
	done
	wait "$child_pid" || rc=$?
	child_pid=''
	return "$rc"
}

show_ticker() {
	local width last
	width=$(tput cols 2>/dev/null || echo 80)
	last=$(tail -n 1 "$1" 2>/dev/null | tr -d '\000-\037')
	last=" $((SECONDS - step_start)) s  $last"
	local room=$((width - ${#step_text} - 5))
	((room > 10)) || room=10
	printf '\r\e[K%s ...%s' "$step_text" "${last:0:room}"
}

# ---- processes --------------------------------------------------------------------------------------------------------

# The two that follow are asked in loops, and give their answer in REPLY: no process is made, and no command substitution,
# in which bash 5.2 may trip over a trap.

# proc_start PID: start time of a process in ticks since boot: field 22 of its stat, counted after the name, which may hold
# anything.
proc_start() {
	local stat
	read -r -d '' stat 2>/dev/null <"/proc/$1/stat" || [[ -n ${stat-} ]] || return 1
	# shellcheck disable=SC2086 # its words
	set -- ${stat##*) }
	REPLY=${20}
	[[ $1 != Z ]]
}

boot_id=unknown
read -r boot_id 2>/dev/null </proc/sys/kernel/random/boot_id || true

# proc_spawn NAME COMMAND...: starts it detached, with its output in log/NAME.log.
proc_spawn() {
	local name=$1 pid
	shift
	mkdir -p "$state/run" "$state/log"
	printf -- '---- %(%Y-%m-%dT%H:%M:%SZ)T starting: %s\n' -1 "$*" >>"$state/log/$name.log"
	held=yes
	setsid "$@" >>"$state/log/$name.log" 2>&1 </dev/null 7>&- 8>&- 9>&- &
	pid=$!
	disown
	proc_start "$pid" || REPLY=gone
	printf '%s %s %s\n' "$pid" "$REPLY" "$boot_id" >"$state/run/$name.pid"
	release_signals
}

# group_lives PID: whether any process is left of the group that PID leads. What a shell was waiting for outlives it.
group_lives() {
	local file stat
	for file in /proc/[0-9]*/stat; do
		stat=''
		read -r -d '' stat 2>/dev/null <"$file" || [[ -n $stat ]] || continue
		# shellcheck disable=SC2086 # its words: state, parent, group
		set -- "$1" ${stat##*) }
		[[ $4 != "$1" || $2 == Z ]] || return 0
	done
	return 1
}

# proc_pid NAME: the pid if our process of that name runs.
proc_pid() {
	local pid start boot
	read -r pid start boot 2>/dev/null <"$state/run/$1.pid" || return 1
	[[ $boot == "$boot_id" ]] || return 1
	if proc_start "$pid"; then
		[[ $REPLY == "$start" ]] && REPLY=$pid
	else
		# A front door that was upgraded is of the same group as the one that was started.
		[[ $1 == door ]] && group_lives "$pid" && REPLY=$pid
	fi
}

# proc_stop NAME SECONDS: SIGTERM to its group, and SIGKILL if it is still there after that time. Returns 1 if it was not
# running.
proc_stop() {
	local name=$1 tries=$(($2 * 10)) pid
	if ! proc_pid "$name"; then
		rm -f "$state/run/$name.pid"
		return 1
	fi
	pid=$REPLY
	# Perhaps it has not got as far as to have a group of its own.
	kill -TERM -- "-$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null || true
	while proc_pid "$name" || group_lives "$pid"; do
		if ((tries-- <= 0)); then
			printf '%s: the %s (pid %s) did not stop in %s s and was killed\n' "${0##*/}" "$name" "$pid" "$2" >&2
			kill -KILL -- "-$pid" 2>/dev/null || true
			break
		fi
		sleep 0.1
	done
	rm -f "$state/run/$name.pid"
}

# wait_for NAME SECONDS COMMAND...: polls until the command succeeds; 1 if the process NAME ended, 2 if time is up.
wait_for() {
	local name=$1 until=$((SECONDS + $2)) ticks=0
	shift 2
	until "$@"; do
		proc_pid "$name" || return 1
		((SECONDS <= until)) || return 2
		sleep 0.1
		ticks=$((ticks + 1))
		if [[ -n $tty ]] && ((ticks % 10 == 0)); then
			show_ticker "$state/log/$name.log"
		fi
	done
}

# ---- the state directory ----------------------------------------------------------------------------------------------

state_setting() {
	[[ ! -e $state/settings ]] || sed -n "s/^$1=//p" "$state/settings"
}

# Only one of us at a time works in one checkout. The lock is on this directory itself, so there is no file to leave behind;
# what we start must not inherit descriptor 9 (nor 7 and 8, where up keeps its own output).
state_lock() {
	exec 9<"$local_home"
	flock -n 9 || die "another up or down is at work in this checkout" "wait for it to end, then try again"
}
