/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X.509 building (certificate.h). Extensions are made from structs and never from OpenSSL's
 * configuration strings, in which a name with a comma could add what nobody asked for.
 * No state; any thread.
 */
#include "pki/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "base/util.h"
#include "pki/key.h"

#define SERIAL_BYTES	 16
#define KEY_ID_BYTES	 20  /* RFC 7093 2 method 1: 160 bits of SHA-256 */
#define BACKDATE_SECONDS 300 /* clocks of peers may be a little behind ours */
#define DAY_SECONDS	 86400

/* Bits of the extension keyUsage as RFC 5280 4.2.1.3 numbers them. */
enum key_usage_bit { DIGITAL_SIGNATURE = 0, KEY_ENCIPHERMENT = 2, KEY_CERT_SIGN = 5, CRL_SIGN = 6 };

int pki_cn_check(const char *cn, struct err_text *err)
{
	const unsigned char *s = (const unsigned char *)cn;
	size_t len = strlen(cn), characters = 0, n;

	for (size_t i = 0; i < len; i += n, characters++) {
		n = utf8_sequence(s + i, len - i);
		if (!n)
			return err_set(err, -EINVAL, "the CN is not UTF-8");
		if (s[i] < 0x20 || s[i] == 0x7f || (n == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0))
			return err_set(err, -EINVAL, "the CN has a control character in it");
	}
	if (characters < 1 || characters > PKI_CN_CHARACTERS_MAX)
		return err_set(err, -EINVAL, "a CN has 1 to %d characters, this one %zu",
			       PKI_CN_CHARACTERS_MAX, characters);
	return 0;
}

static bool is_dns_name(const char *text)
{
	const char *name = strncmp(text, "*.", 2) == 0 ? text + 2 : text;

	return name[0] && name[0] != '.' && strlen(text) <= 253 && !strstr(name, "..") &&
	       !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789._-")];
}

static bool is_uri(const char *text)
{
	size_t scheme = strcspn(text, ":");

	if (!scheme || !text[scheme] || !text[scheme + 1] || strlen(text) > 2048)
		return false;
	for (const char *s = text; *s; s++)
		if (*s <= ' ' || (unsigned char)*s >= 0x7f)
			return false;
	return true;
}

int pki_san_parse(const char *text, struct pki_san *ret, struct err_text *err)
{
	struct in6_addr address;

	if (strncmp(text, "dns:", 4) == 0) {
		if (!is_dns_name(text + 4))
			return err_set(err, -EINVAL, "'%s' is not a DNS name", text + 4);
		*ret = (struct pki_san){ PKI_SAN_DNS, text + 4 };
		return 0;
	}
	if (strncmp(text, "ip:", 3) == 0) {
		if (inet_pton(AF_INET, text + 3, &address) != 1 &&
		    inet_pton(AF_INET6, text + 3, &address) != 1)
			return err_set(err, -EINVAL, "'%s' is not an IP address", text + 3);
		*ret = (struct pki_san){ PKI_SAN_IP, text + 3 };
		return 0;
	}
	if (strncmp(text, "uri:", 4) == 0) {
		if (!is_uri(text + 4))
			return err_set(err, -EINVAL, "'%s' is not a URI", text + 4);
		*ret = (struct pki_san){ PKI_SAN_URI, text + 4 };
		return 0;
	}
	return err_set(err, -EINVAL, "'%s': dns:NAME, ip:ADDRESS or uri:URI is expected", text);
}

/* All functions that fill a certificate return 1 or 0 as OpenSSL's do. */

static int set_serial(X509 *cert)
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *number = NULL;
	int ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return 0;
	/* Positive, and always of full length. */
	bytes[0] = (bytes[0] & 0x7f) | 0x40;
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return ok;
}

X509_NAME *pki_name_new(const char *cn)
{
	X509_NAME *name = X509_NAME_new();

	if (name && X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
					       (const unsigned char *)cn, -1, -1, 0))
		return name;
	X509_NAME_free(name);
	return NULL;
}

static int set_name(X509 *cert, const char *cn)
{
	X509_NAME *name = pki_name_new(cn);
	int ok = name && X509_set_subject_name(cert, name);

	X509_NAME_free(name);
	return ok;
}

/* `issuer` NULL: nothing to cut to. */
static int set_validity(X509 *cert, const struct pki_subject *subject, const X509 *issuer)
{
	time_t now = (time_t)(clock_realtime_ns() / NSEC_PER_SEC);
	time_t end = now + (subject->seconds ? (time_t)subject->seconds
					     : (time_t)subject->days * DAY_SECONDS);

	if (issuer) {
		int64_t issuer_end = pki_time_seconds(X509_get0_notAfter(issuer));

		if (issuer_end < end)
			end = (time_t)issuer_end;
	}
	return ASN1_TIME_set(X509_getm_notBefore(cert), now - BACKDATE_SECONDS) &&
	       ASN1_TIME_set(X509_getm_notAfter(cert), end);
}

static int add_basic_constraints(X509 *cert, bool ca)
{
	BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
	int ok;

	if (!bc)
		return 0;
	bc->ca = ca ? 0xff : 0;
	ok = X509_add1_ext_i2d(cert, NID_basic_constraints, bc, 1, X509V3_ADD_DEFAULT);
	BASIC_CONSTRAINTS_free(bc);
	return ok == 1;
}

static int add_key_usage(X509 *cert, enum key_usage_bit first, enum key_usage_bit second)
{
	ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
	int ok = bits && ASN1_BIT_STRING_set_bit(bits, first, 1) &&
		 ASN1_BIT_STRING_set_bit(bits, second, 1) &&
		 X509_add1_ext_i2d(cert, NID_key_usage, bits, 1, X509V3_ADD_DEFAULT) == 1;

	ASN1_BIT_STRING_free(bits);
	return ok;
}

static int add_extended_usage(X509 *cert, enum pki_usage usage)
{
	EXTENDED_KEY_USAGE *eku = EXTENDED_KEY_USAGE_new();
	int ok = eku != NULL;

	if (ok && (usage & PKI_USAGE_SERVER))
		ok = sk_ASN1_OBJECT_push(eku, OBJ_nid2obj(NID_server_auth)) > 0;
	if (ok && (usage & PKI_USAGE_CLIENT))
		ok = sk_ASN1_OBJECT_push(eku, OBJ_nid2obj(NID_client_auth)) > 0;
	ok = ok && X509_add1_ext_i2d(cert, NID_ext_key_usage, eku, 0, X509V3_ADD_DEFAULT) == 1;
	EXTENDED_KEY_USAGE_free(eku);
	return ok;
}

static int add_key_ids(X509 *cert, const X509 *issuer)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	ASN1_OCTET_STRING *own = ASN1_OCTET_STRING_new();
	const ASN1_OCTET_STRING *issuer_id = NULL;
	AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
	unsigned int len;
	int ok = own && authority && X509_pubkey_digest(cert, EVP_sha256(), digest, &len) &&
		 ASN1_OCTET_STRING_set(own, digest, KEY_ID_BYTES) &&
		 X509_add1_ext_i2d(cert, NID_subject_key_identifier, own, 0, X509V3_ADD_DEFAULT);

	issuer_id = issuer ? X509_get0_subject_key_id((X509 *)issuer) : own;
	if (ok && issuer_id) {
		authority->keyid = ASN1_OCTET_STRING_dup(issuer_id);
		ok = authority->keyid && X509_add1_ext_i2d(cert, NID_authority_key_identifier,
							   authority, 0, X509V3_ADD_DEFAULT) == 1;
	}
	ASN1_OCTET_STRING_free(own);
	AUTHORITY_KEYID_free(authority);
	return ok;
}

static GENERAL_NAME *general_name(const struct pki_san *san)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *value;

	if (!name)
		return NULL;
	if (san->kind == PKI_SAN_IP) {
		value = (ASN1_STRING *)a2i_IPADDRESS(san->value);
	} else {
		value = (ASN1_STRING *)ASN1_IA5STRING_new();
		if (value && !ASN1_STRING_set(value, san->value, -1)) {
			ASN1_STRING_free(value);
			value = NULL;
		}
	}
	if (!value) {
		GENERAL_NAME_free(name);
		return NULL;
	}
	GENERAL_NAME_set0_value(name,
				san->kind == PKI_SAN_DNS  ? GEN_DNS
				: san->kind == PKI_SAN_IP ? GEN_IPADD
							  : GEN_URI,
				value);
	return name;
}

GENERAL_NAMES *pki_sans_new(const struct pki_san *sans, size_t count)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = names != NULL;

	for (size_t i = 0; ok && i < count; i++) {
		GENERAL_NAME *name = general_name(&sans[i]);

		ok = name && sk_GENERAL_NAME_push(names, name) > 0;
		if (!ok)
			GENERAL_NAME_free(name);
	}
	if (ok)
		return names;
	GENERAL_NAMES_free(names);
	return NULL;
}

static int add_sans(X509 *cert, const struct pki_san *sans, size_t count)
{
	GENERAL_NAMES *names = pki_sans_new(sans, count);
	int ok = names != NULL;

	if (ok && count)
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) ==
		     1;
	GENERAL_NAMES_free(names);
	return ok;
}

static int fill(X509 *cert, const struct pki_subject *subject, EVP_PKEY *key, const X509 *issuer)
{
	return X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
	       set_name(cert, subject->cn) && set_validity(cert, subject, issuer) &&
	       X509_set_pubkey(cert, key) &&
	       X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) &&
	       add_basic_constraints(cert, issuer == NULL);
}

/* Gives the certificate back, or frees it and says what failed. */
static X509 *finished(X509 *cert, int ok, const char *doing, struct err_text *err)
{
	if (ok)
		return cert;
	X509_free(cert);
	pki_openssl_error(err, -EIO, doing);
	return NULL;
}

X509 *pki_root_new(const struct pki_subject *subject, EVP_PKEY *key, struct err_text *err)
{
	X509 *cert = X509_new();
	int ok = cert && fill(cert, subject, key, NULL) &&
		 add_key_usage(cert, KEY_CERT_SIGN, CRL_SIGN) && add_key_ids(cert, NULL) &&
		 add_sans(cert, subject->sans, subject->san_count) &&
		 X509_sign(cert, key, pki_key_digest(key)) > 0;

	return finished(cert, ok, "making a root certificate", err);
}

X509 *pki_leaf_new(const struct pki_subject *subject, EVP_PKEY *key, X509 *issuer,
		   EVP_PKEY *issuer_key, struct err_text *err)
{
	bool rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
	X509 *cert = X509_new();
	/* Only RSA keys encipher, and only in the oldest suites of TLS 1.2. */
	int ok = cert && fill(cert, subject, key, issuer) &&
		 add_key_usage(cert, DIGITAL_SIGNATURE,
			       rsa ? KEY_ENCIPHERMENT : DIGITAL_SIGNATURE) &&
		 add_extended_usage(cert, subject->usage) && add_key_ids(cert, issuer) &&
		 add_sans(cert, subject->sans, subject->san_count) &&
		 X509_sign(cert, issuer_key, pki_key_digest(issuer_key)) > 0;

	return finished(cert, ok, "making a certificate", err);
}

int pki_serial_text(const X509 *certificate, char ret[PKI_SERIAL_TEXT_BYTES])
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
	const uint8_t *bytes = ASN1_STRING_get0_data(serial);
	int len = ASN1_STRING_length(serial);

	if (len < 1 || len > (PKI_SERIAL_TEXT_BYTES - 1) / 2)
		return -EINVAL;
	for (int i = 0; i < len; i++)
		snprintf(ret + (ptrdiff_t)2 * i, 3, "%02x", bytes[i]);
	return 0;
}

int64_t pki_time_seconds(const ASN1_TIME *time)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(time, &tm))
		return INT64_MIN;
	return (int64_t)timegm(&tm);
}

void pki_time_text(int64_t seconds, char ret[PKI_TIME_TEXT_BYTES])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(ret, PKI_TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(ret, PKI_TIME_TEXT_BYTES, "unknown");
}
