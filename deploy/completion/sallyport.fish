# SPDX-License-Identifier: Apache-2.0
# Completion of sallyport for fish; a test keeps it equal to --help.

function __sallyport_verb -d 'Whether one of these verbs is on the command line'
    set -l words (commandline -opc)
    test (count $words) -ge 2; and contains -- $words[2] $argv
end

function __sallyport_no_verb
    test (count (commandline -opc)) -lt 2
end

set -l admin agent status conns limits kill reload renew upgrade drain log-level
set -l filter conns kill

complete -c sallyport -f
complete -c sallyport -s h -l help -d 'Show the page of the command'
complete -c sallyport -n __sallyport_no_verb -s V -l version -d 'Show versions'

complete -c sallyport -n __sallyport_no_verb -a proxy -d 'Run the proxy of a configuration'
complete -c sallyport -n __sallyport_no_verb -a agent -d 'Certificates on disk for other programs'
complete -c sallyport -n __sallyport_no_verb -a check -d 'Find every mistake in a configuration'
complete -c sallyport -n __sallyport_no_verb -a probe -d 'Say what this host and its kernel can do'
complete -c sallyport -n __sallyport_no_verb -a dev -d 'An embedded CA for laptops and tests'
complete -c sallyport -n __sallyport_no_verb -a status -d 'Say whether the running proxy is well'
complete -c sallyport -n __sallyport_no_verb -a conns -d 'List the connections of the running proxy'
complete -c sallyport -n __sallyport_no_verb -a limits -d 'Show who is held back by limits, or change some for a while'
complete -c sallyport -n __sallyport_no_verb -a kill -d 'End connections of the running proxy'
complete -c sallyport -n __sallyport_no_verb -a reload -d 'Make the running proxy read its files again'
complete -c sallyport -n __sallyport_no_verb -a renew -d 'Have certificates of the running proxy issued anew'
complete -c sallyport -n __sallyport_no_verb -a upgrade -d 'Have a new process take over from the running proxy'
complete -c sallyport -n __sallyport_no_verb -a drain -d 'Let the running proxy finish and stop'
complete -c sallyport -n __sallyport_no_verb -a log-level -d 'Show or change what the running proxy logs'
complete -c sallyport -n __sallyport_no_verb -a help -d 'Show the help of a verb'

complete -c sallyport -n '__sallyport_verb proxy agent' -s c -l config -r -F -d 'The configuration'
complete -c sallyport -n '__sallyport_verb check' -F
complete -c sallyport -n '__sallyport_verb agent' -a 'status renew'
complete -c sallyport -n '__sallyport_verb agent' -l once -d 'End when all is done'
complete -c sallyport -n '__sallyport_verb agent' -l deadline -x -a '60s 5m' -d 'Then give up'
complete -c sallyport -n '__sallyport_verb check' -l agent -d "An agent's configuration"
complete -c sallyport -n '__sallyport_verb check' -l schema -d 'Print every key'
complete -c sallyport -n '__sallyport_verb check probe dev' -l json -d 'Print JSON'

complete -c sallyport -n '__sallyport_verb dev' -a 'ca cert'
complete -c sallyport -n '__sallyport_verb dev' -l dir -r -F -d 'The directory of the CA'
complete -c sallyport -n '__sallyport_verb dev' -l cn -x -d 'Common name'
complete -c sallyport -n '__sallyport_verb dev' -l san -x -d 'Alternative names'
complete -c sallyport -n '__sallyport_verb dev' -l usage -x -a 'client server both' -d 'What it is for'
complete -c sallyport -n '__sallyport_verb dev' -l days -x -d 'Days of life'
complete -c sallyport -n '__sallyport_verb dev' -l key -x -a 'ec-p256 ec-p384 ed25519 rsa-2048 rsa-3072 rsa-4096' -d 'Type of the key'
complete -c sallyport -n '__sallyport_verb dev' -l name -x -d 'Base of the file names'
complete -c sallyport -n '__sallyport_verb dev' -l force -d 'Replace files'

complete -c sallyport -n "__sallyport_verb $admin" -l socket -r -F -d 'The admin socket of the proxy, or agent'
complete -c sallyport -n "__sallyport_verb $admin" -l json -d 'Print the answer as JSON'
complete -c sallyport -n "__sallyport_verb $filter" -l cn -x -d "CN of the peer's certificate"
complete -c sallyport -n "__sallyport_verb $filter" -l issuer -x -d 'CN of its issuer'
complete -c sallyport -n "__sallyport_verb $filter" -l serial -x -d 'Its serial number'
complete -c sallyport -n "__sallyport_verb $filter" -l principal -x -d 'What a Kafka broker is told that it is'
complete -c sallyport -n "__sallyport_verb $filter" -l listener -x -d 'Only of this listener'
complete -c sallyport -n '__sallyport_verb conns' -l state -x -a 'handshake connect relay linger' -d 'In these states'
complete -c sallyport -n '__sallyport_verb conns' -l transport -x -a 'ktls ktls_send aead plain' -d 'Of the TLS side'
complete -c sallyport -n '__sallyport_verb conns' -l sort -x -a 'age bytes idle stall' -d 'What comes first'
complete -c sallyport -n '__sallyport_verb conns' -l limit -x -d 'Show at most so many'
complete -c sallyport -n '__sallyport_verb limits' -a 'set clear'
complete -c sallyport -n '__sallyport_verb limits' -l at-limit -d 'Only who is held back now'
complete -c sallyport -n '__sallyport_verb limits' -l limit -x -d 'Show at most so many'
complete -c sallyport -n '__sallyport_verb limits' -l group -x -d 'A group instead of a client'
complete -c sallyport -n '__sallyport_verb limits' -l produce -x -a 'off 10MB/s' -d 'Bytes a second to the upstream'
complete -c sallyport -n '__sallyport_verb limits' -l consume -x -a 'off 10MB/s' -d 'Bytes a second from the upstream'
complete -c sallyport -n '__sallyport_verb limits' -l connections -x -d 'Live connections'
complete -c sallyport -n '__sallyport_verb limits' -l connections-per-second -x -d 'New connections'
complete -c sallyport -n '__sallyport_verb limits' -l handshakes-per-second -x -d 'Handshakes that end well'
complete -c sallyport -n '__sallyport_verb limits' -l for -x -a '10m 1h' -d 'It ends by itself'
complete -c sallyport -n '__sallyport_verb renew' -l all -d 'All of them'
complete -c sallyport -n '__sallyport_verb drain' -l at-once -d 'Live connections end now'
complete -c sallyport -n '__sallyport_verb log-level' -l for -x -a '10m 1h' -d 'Go back by itself'
complete -c sallyport -n '__sallyport_verb log-level' -a 'error warning info debug'
complete -c sallyport -n '__sallyport_verb help' -a 'proxy agent check probe dev status conns limits kill reload renew upgrade drain log-level help'
