/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From libssl's many ways to say no to the few that people count and act on. Tables only; the
 * handshake they write into belongs to the caller's thread.
 */
#include <stdarg.h>
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "base/util.h"
#include "tls/handshake_impl.h"
#include "tls/record.h"

static const char *const names[TLS_REFUSAL_COUNT] = {
	[TLS_REFUSAL_NONE] = "none",
	[TLS_REFUSAL_NO_CERTIFICATE] = "no_certificate",
	[TLS_REFUSAL_UNKNOWN_CA] = "unknown_ca",
	[TLS_REFUSAL_SELF_SIGNED] = "self_signed",
	[TLS_REFUSAL_EXPIRED] = "expired",
	[TLS_REFUSAL_NOT_YET_VALID] = "not_yet_valid",
	[TLS_REFUSAL_WRONG_PURPOSE] = "wrong_purpose",
	[TLS_REFUSAL_WEAK_KEY] = "weak_key",
	[TLS_REFUSAL_NAME_CONSTRAINT] = "name_constraint",
	[TLS_REFUSAL_PATH_LENGTH] = "path_length",
	[TLS_REFUSAL_CHAIN_TOO_LONG] = "chain_too_long",
	[TLS_REFUSAL_BAD_CERTIFICATE] = "bad_certificate",
	[TLS_REFUSAL_BAD_SIGNATURE] = "bad_signature",
	[TLS_REFUSAL_REVOKED] = "revoked",
	[TLS_REFUSAL_NAME_MISMATCH] = "name_mismatch",
	[TLS_REFUSAL_VERSION] = "version",
	[TLS_REFUSAL_NO_SHARED_CIPHER] = "no_shared_cipher",
	[TLS_REFUSAL_NO_SHARED_GROUP] = "no_shared_group",
	[TLS_REFUSAL_ALPN] = "alpn",
	[TLS_REFUSAL_SNI] = "sni",
	[TLS_REFUSAL_TOO_LARGE] = "too_large",
	[TLS_REFUSAL_PEER_ALERT] = "peer_alert",
	[TLS_REFUSAL_PROTOCOL] = "protocol",
	[TLS_REFUSAL_NO_MEMORY] = "no_memory",
};

const char *tls_refusal_name(enum tls_refusal refusal)
{
	return refusal < TLS_REFUSAL_COUNT ? names[refusal] : "unknown";
}

struct row {
	int code;
	enum tls_refusal refusal;
};

static const struct row verify_rows[] = {
	{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, TLS_REFUSAL_UNKNOWN_CA },
	{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, TLS_REFUSAL_UNKNOWN_CA },
	{ X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, TLS_REFUSAL_UNKNOWN_CA },
	{ X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, TLS_REFUSAL_UNKNOWN_CA },
	{ X509_V_ERR_CERT_UNTRUSTED, TLS_REFUSAL_UNKNOWN_CA },
	{ X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, TLS_REFUSAL_SELF_SIGNED },
	{ X509_V_ERR_CERT_HAS_EXPIRED, TLS_REFUSAL_EXPIRED },
	{ X509_V_ERR_CERT_NOT_YET_VALID, TLS_REFUSAL_NOT_YET_VALID },
	{ X509_V_ERR_INVALID_PURPOSE, TLS_REFUSAL_WRONG_PURPOSE },
	{ X509_V_ERR_EE_KEY_TOO_SMALL, TLS_REFUSAL_WEAK_KEY },
	{ X509_V_ERR_CA_KEY_TOO_SMALL, TLS_REFUSAL_WEAK_KEY },
	{ X509_V_ERR_CA_MD_TOO_WEAK, TLS_REFUSAL_WEAK_KEY },
	{ X509_V_ERR_PERMITTED_VIOLATION, TLS_REFUSAL_NAME_CONSTRAINT },
	{ X509_V_ERR_EXCLUDED_VIOLATION, TLS_REFUSAL_NAME_CONSTRAINT },
	{ X509_V_ERR_SUBTREE_MINMAX, TLS_REFUSAL_NAME_CONSTRAINT },
	{ X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, TLS_REFUSAL_NAME_CONSTRAINT },
	{ X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, TLS_REFUSAL_NAME_CONSTRAINT },
	{ X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, TLS_REFUSAL_NAME_CONSTRAINT },
	{ X509_V_ERR_PATH_LENGTH_EXCEEDED, TLS_REFUSAL_PATH_LENGTH },
	{ X509_V_ERR_CERT_CHAIN_TOO_LONG, TLS_REFUSAL_CHAIN_TOO_LONG },
	{ X509_V_ERR_CERT_SIGNATURE_FAILURE, TLS_REFUSAL_BAD_SIGNATURE },
	{ X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE, TLS_REFUSAL_BAD_SIGNATURE },
	{ X509_V_ERR_CERT_REVOKED, TLS_REFUSAL_REVOKED },
	{ X509_V_ERR_HOSTNAME_MISMATCH, TLS_REFUSAL_NAME_MISMATCH },
	{ X509_V_ERR_IP_ADDRESS_MISMATCH, TLS_REFUSAL_NAME_MISMATCH },
	{ X509_V_ERR_OUT_OF_MEM, TLS_REFUSAL_NO_MEMORY },
};

static const struct row ssl_rows[] = {
	{ SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, TLS_REFUSAL_NO_CERTIFICATE },
	{ SSL_R_BAD_SIGNATURE, TLS_REFUSAL_BAD_SIGNATURE },
	{ SSL_R_EE_KEY_TOO_SMALL, TLS_REFUSAL_WEAK_KEY },
	{ SSL_R_CA_KEY_TOO_SMALL, TLS_REFUSAL_WEAK_KEY },
	{ SSL_R_CA_MD_TOO_WEAK, TLS_REFUSAL_WEAK_KEY },
	{ SSL_R_DH_KEY_TOO_SMALL, TLS_REFUSAL_WEAK_KEY },
	{ SSL_R_UNKNOWN_CERTIFICATE_TYPE, TLS_REFUSAL_BAD_CERTIFICATE },
	{ SSL_R_UNABLE_TO_FIND_PUBLIC_KEY_PARAMETERS, TLS_REFUSAL_BAD_CERTIFICATE },
	{ SSL_R_UNSUPPORTED_PROTOCOL, TLS_REFUSAL_VERSION },
	{ SSL_R_UNKNOWN_PROTOCOL, TLS_REFUSAL_VERSION },
	{ SSL_R_WRONG_SSL_VERSION, TLS_REFUSAL_VERSION },
	{ SSL_R_VERSION_TOO_LOW, TLS_REFUSAL_VERSION },
	{ SSL_R_VERSION_TOO_HIGH, TLS_REFUSAL_VERSION },
	{ SSL_R_INAPPROPRIATE_FALLBACK, TLS_REFUSAL_VERSION },
	{ SSL_R_NO_SHARED_CIPHER, TLS_REFUSAL_NO_SHARED_CIPHER },
	{ SSL_R_NO_CIPHERS_AVAILABLE, TLS_REFUSAL_NO_SHARED_CIPHER },
	{ SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, TLS_REFUSAL_NO_SHARED_CIPHER },
	{ SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, TLS_REFUSAL_NO_SHARED_CIPHER },
	{ SSL_R_NO_SUITABLE_KEY_SHARE, TLS_REFUSAL_NO_SHARED_GROUP },
	{ SSL_R_NO_SHARED_GROUPS, TLS_REFUSAL_NO_SHARED_GROUP },
	{ SSL_R_NO_SUITABLE_GROUPS, TLS_REFUSAL_NO_SHARED_GROUP },
	{ SSL_R_NO_APPLICATION_PROTOCOL, TLS_REFUSAL_ALPN },
	{ SSL_R_EXCESSIVE_MESSAGE_SIZE, TLS_REFUSAL_TOO_LARGE },
	{ SSL_R_DATA_LENGTH_TOO_LONG, TLS_REFUSAL_TOO_LARGE },
	{ SSL_R_ENCRYPTED_LENGTH_TOO_LONG, TLS_REFUSAL_TOO_LARGE },
	{ SSL_R_PACKET_LENGTH_TOO_LONG, TLS_REFUSAL_TOO_LARGE },
};

void handshake_refuse(struct tls_handshake *hs, enum tls_refusal refusal, const char *fmt, ...)
{
	va_list args;

	if (hs->refusal != TLS_REFUSAL_NONE)
		return;
	hs->refusal = refusal;
	va_start(args, fmt);
	vsnprintf(hs->detail, sizeof(hs->detail), fmt, args);
	va_end(args);
}

static enum tls_refusal look_up(const struct row *rows, size_t count, int code,
				enum tls_refusal otherwise)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].code == code)
			return rows[i].refusal;
	return otherwise;
}

void handshake_refuse_certificate(struct tls_handshake *hs, int verify_error, int depth)
{
	handshake_refuse(hs,
			 look_up(verify_rows, ARRAY_SIZE(verify_rows), verify_error,
				 TLS_REFUSAL_BAD_CERTIFICATE),
			 "%s (certificate %d of the chain, the peer's own being 0)",
			 X509_verify_cert_error_string(verify_error), depth);
}

static bool refuse_from_error(struct tls_handshake *hs, unsigned long error)
{
	const char *text = ERR_reason_error_string(error);
	int reason = ERR_GET_REASON(error);
	enum tls_refusal refusal;

	if (reason == ERR_R_MALLOC_FAILURE) {
		handshake_refuse(hs, TLS_REFUSAL_NO_MEMORY, "out of memory");
		return true;
	}
	if (ERR_GET_LIB(error) != ERR_LIB_SSL)
		return false;
	if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
		handshake_refuse(hs, TLS_REFUSAL_PEER_ALERT, "the peer ended it: %s",
				 tls_alert_name((uint8_t)(reason - SSL_AD_REASON_OFFSET)));
		return true;
	}
	refusal = look_up(ssl_rows, ARRAY_SIZE(ssl_rows), reason, TLS_REFUSAL_PROTOCOL);
	if (refusal == TLS_REFUSAL_PROTOCOL)
		return false;
	handshake_refuse(hs, refusal, "%s", text ? text : "no reason given");
	return true;
}

void handshake_refuse_from_queue(struct tls_handshake *hs)
{
	unsigned long error, first = ERR_peek_error();
	const char *text = first ? ERR_reason_error_string(first) : NULL;
	bool named = false;

	while (!named && (error = ERR_get_error()))
		named = refuse_from_error(hs, error);
	ERR_clear_error();
	if (!named && SSL_get_shutdown(hs->ssl) & SSL_RECEIVED_SHUTDOWN)
		handshake_refuse(hs, TLS_REFUSAL_PEER_ALERT, "the peer ended it: %s",
				 tls_alert_name(TLS_ALERT_CLOSE_NOTIFY));
	handshake_refuse(hs, TLS_REFUSAL_PROTOCOL, "%s", text ? text : "no reason given");
}
