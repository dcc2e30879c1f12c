# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What fetch, broker and tool share: where Kafka's jars live and which Java runs them. Sourced, never run. Sets
#   kafka_home     this directory
#   kafka_version  from pom.xml, the only place that names it
#   kafka_lib      the directory of jars: ${SALLYPORT_CACHE:-~/.cache/sallyport}/kafka/VERSION/lib
# and defines kafka_fail, kafka_java, kafka_have_jars and kafka_need_jars.

kafka_home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
kafka_version=$(sed -n 's:.*<kafka\.version>\(.*\)</kafka\.version>.*:\1:p' "$kafka_home/pom.xml")
kafka_cache=${SALLYPORT_CACHE:-${HOME:-/root}/.cache/sallyport}/kafka
kafka_lib=$kafka_cache/$kafka_version/lib

kafka_fail() {
	printf 'kafka: %s\n' "$@" >&2
	exit 1
}

# Prints the java program to use. Kafka 4 needs Java 17; an older one fails later with a class version error that names
# neither the cause nor the remedy, so it is asked first.
kafka_java() {
	local java=${JAVA_HOME:+$JAVA_HOME/bin/java} version
	[[ -n $java && -x $java ]] || java=$(command -v java) ||
		kafka_fail "no java found; Kafka $kafka_version needs Java 17 or newer" \
			"install it with: apt-get install default-jre-headless"
	version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\)\.*.*/\1/p')
	version=${version%%$'\n'*}
	if [[ -n $version ]] && ((version < 17)); then
		kafka_fail "$java is Java $version; Kafka $kafka_version needs Java 17 or newer" \
			"install it with: apt-get install default-jre-headless, or point JAVA_HOME at one"
	fi
	printf '%s\n' "$java"
}

# The jars are there, and are those of jars.sha256 (of which fetch left a copy when it had verified them).
kafka_have_jars() {
	cmp -s -- "$kafka_lib/.complete" "$kafka_home/jars.sha256"
}

kafka_need_jars() {
	kafka_have_jars ||
		kafka_fail "Kafka's jars are not in $kafka_lib" "fetch them with: $kafka_home/fetch"
}
