/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every hard maximum of the program that no configuration can lift. Units end the names.
 */
#ifndef SALLYPORT_LIMITS_LIMITS_H
#define SALLYPORT_LIMITS_LIMITS_H

#define WORKERS_MAX	       256
#define LISTENERS_MAX	       256
#define LISTENER_NAME_MAX      64      /* bytes */
#define CONNECTIONS_MAX	       1000000 /* a listener */
#define UPSTREAM_ADDRESSES_MAX 8
#define CONFIG_FILE_BYTES_MAX  (1024 * 1024)
#define PEM_FILE_BYTES_MAX     (16 * 1024 * 1024)
#define ROOTS_MAX	       4096
#define RULES_MAX	       4096
#define ALPN_PROTOCOLS_MAX     16
#define USER_BYTES_MAX	       32 /* what useradd allows */
#define LOG_RATE_MAX	       1000000
#define AUDIT_QUEUE_KIB_MIN    64
#define AUDIT_QUEUE_KIB_MAX    (1024 * 1024)
#define AUDIT_RECORD_BYTES_MAX (16 * 1024) /* a record that is longer says that it is cut */
#define NETWORKS_MAX	       256	   /* in one list of the configuration */
#define ACCEPTS_PER_SECOND_MAX 1000000
#define PENALTY_SOURCES_MAX    (16 * 1024 * 1024)
#define ADMIN_UIDS_MAX	       64

/* The control plane: what servers may make us hold, and how often they are asked. */
#define CERTIFICATES_MAX	  256
#define CERTIFICATE_NAME_MAX	  64 /* bytes */
#define CONTROL_ANSWER_BYTES_MAX  (1024 * 1024)
#define CONSUL_QUERIES_PER_SECOND 2	      /* however fast the answers come */
#define CREDENTIAL_FILE_BYTES_MAX (64 * 1024) /* tokens, secret ids */

/* Of one certificate of an agent. */
#define LAYOUTS_MAX	     16
#define LAYOUT_TEMPLATES_MAX 32	 /* of one layout */
#define LAYOUT_FILE_NAME_MAX 128 /* bytes */
#define HOOKS_MAX	     16
#define HOOK_ARGUMENTS_MAX   64

#define HEALTH_CONDITIONS_MAX 512
#define HEALTH_WORKER_MS      2000 /* a worker that takes longer to answer is silent */
/* What an operator may ask of running workers at once. */
#define CONN_LIST_MAX	  100000 /* connections told of in one answer; the others are counted */
#define CONN_SLICE	  256	 /* looked at by a worker before it serves its traffic again */
#define CONN_REQUESTS_MAX 8	 /* answers in the making */

/* Limits of clients by name: clients.h. */
#define CLIENT_LIMITS_MAX 4096 /* entries of the configuration … */
#define CLIENT_GLOBS_MAX  256  /* … of these patterns: each new client is held against all */
#define CLIENT_GROUPS_MAX 256
#define CLIENT_SERIES_MAX 200		  /* with metrics of their own */
#define CLIENT_ORDERS_MAX 64		  /* limits by order of an operator */
#define CLIENTS_IDLE_MAX  16384		  /* remembered without a connection */
#define CLIENT_RATE_MIN	  10000ULL	  /* bytes a second */
#define CLIENT_RATE_MAX	  100000000000ULL /* … */
/* A burst holds two records, so that one moves while another is earned; and what is earned while
 * threads sleep. By default what is earned in CLIENT_BURST_MS. */
#define CLIENT_BURST_MIN    (32 * 1024ULL) /* bytes */
#define CLIENT_BURST_MAX    (64ULL << 30)
#define CLIENT_BURST_MS	    100
#define CLIENT_BURST_MS_MIN 10
/* A connection's turn at the limit: what is earned in so long, a record at least. Threads wake up
 * late by less than that, as a rule, so that nobody's turn is taken by who wakes up first. */
#define CLIENT_SLOT_MS	      10
#define CLIENT_SLOT_BYTES_MIN (16 * 1024)
/* What a connection may move though its client's allowance is used up: a heartbeat gets through. */
#define CLIENT_FLOOR_BYTES 1024
#define CLIENT_FLOOR_MS	   1000

/* What a peer may make us hold or do before it has proved who it is. */
#define HANDSHAKE_BYTES_MAX	   (128 * 1024) /* all handshake bytes one peer may send */
#define HANDSHAKE_RECORDS_MAX	   64
#define HANDSHAKE_MEMORY_BYTES	   (64 * 1024) /* that one in flight is taken to hold */
#define CERTIFICATE_LIST_BYTES_MAX (64 * 1024)
#define CERTIFICATE_DEPTH_MAX	   8	 /* intermediates between leaf and root */
#define VERIFIED_PEERS_MAX	   16384 /* that a context remembers */
#define VERIFIED_PEER_BYTES_MAX	   2048	 /* of names; who has more is verified each time */
#define PEER_NAMES_MAX		   64	 /* subject alternative names looked at */
#define PEER_NAME_BYTES_MAX	   512
#define PEER_DN_BYTES_MAX	   8000 /* of the whole subject, as a broker would print it */

/* From a certificate's name to a principal (kafka/principal_rules.h). */
#define PRINCIPAL_RULES_MAX	 256
#define PRINCIPAL_RULE_BYTES_MAX 4096
#define PRINCIPAL_STEPS_MAX	 100000	 /* of all rules for one name */
#define PRINCIPAL_MATCH_KIB_MAX	 16384	 /* that one match may take for a moment */
#define PRINCIPAL_READ_STEPS_MAX 1000000 /* to read the rules of one text */
#define ISSUER_PATTERNS_MAX	 64	 /* of one rule about issuers, of a kind */

#define PROXY_HEADER_BYTES_MAX (16 * 1024) /* of the PROXY protocol, sent or received */

/* What a Kafka broker is told of a client, and may answer to it. */
#define PRINCIPAL_BYTES_MAX    8000
#define TOKEN_BYTES_MAX	       (24 * 1024)
#define KAFKA_ANSWER_BYTES_MAX 8192 /* one answer without its length */
/* A token is not made for longer, whatever the certificate says: a broker counts in nanoseconds. */
#define TOKEN_SECONDS_MAX ((int64_t)50 * 366 * 86400)
#define TOKEN_KEYS_MAX	  16 /* of one folder, old and new ones */

/* One turn of the relay for one connection, so that a fast pair does not starve the others. */
#define RELAY_TURN_BYTES_MAX (1024 * 1024)
#define RELAY_BATCH_BYTES    (256 * 1024)
#define PIPE_BYTES	     (1024 * 1024)     /* asked for: see dataplane/pipe_pool.c */
#define PIPE_BYTES_MIN	     (64 * 1024)       /* a smaller pipe is not spliced through */
#define LINGER_BYTES_MAX     (4 * 1024 * 1024) /* read and thrown away after our last alert */

/* What a start may take for finding out which record layer is the cheaper (tls/ktls_calibrate.h).
 */
#define KTLS_CALIBRATION_MS_MAX 500

/* RFC 8446 4.6.3: a peer may ask for new keys at will; each costs us a derivation and an answer. */
#define KEY_UPDATES_BURST    16
#define KEY_UPDATE_REFILL_MS 1000
/* RFC 8446 5.5: 2^24.5 full records a key for AES-GCM; re-keyed well before. */
#define AES_GCM_RECORDS_MAX (1ULL << 24)
/* Empty or one-byte records in a row that carry no data forward. */
#define EMPTY_RECORDS_MAX 1024

/* An HTTP server for operators (admin/http.h): what its clients may hold. A connection is one
 * request: so long from accept to its last byte, and so long again for the answer. */
#define HTTP_CONNECTIONS_MAX   64
#define HTTP_CONNECTION_BYTES  (16 * 1024) /* request line, headers, and their bookkeeping */
#define HTTP_CONNECTION_MS_MAX 5000

#endif
