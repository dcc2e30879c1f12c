/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inspection of certificate files (inspect.h). Everything is looked at, so that one run tells all;
 * what a peer would refuse is an error, what is merely unwise a warning. Any thread.
 */
#include "pki/inspect.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "limits/limits.h"
#include "pki/certificate.h"
#include "tls/pem.h"

/* NIST SP 800-57: 112 bits are RSA-2048 and up. SHA-1 signatures have less than 80. */
#define SECURITY_BITS_MIN 112

struct inspection {
	struct pki_findings *findings;
	enum pki_finding_about about;
	const char *file;
	int64_t now;
};

static void add(struct inspection *in, bool error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void add(struct inspection *in, bool error, const char *fmt, ...)
{
	struct pki_finding *finding;
	va_list ap;

	in->findings->errors += error;
	if (in->findings->count == PKI_FINDINGS_MAX)
		return;
	finding = &in->findings->items[in->findings->count++];
	finding->about = in->about;
	finding->error = error;
	va_start(ap, fmt);
	vsnprintf(finding->text, sizeof(finding->text), fmt, ap);
	va_end(ap);
}

static struct inspection inspection(struct pki_findings *findings, enum pki_finding_about about,
				    const char *file)
{
	return (struct inspection){ findings, about, file,
				    (int64_t)(clock_realtime_ns() / NSEC_PER_SEC) };
}

const char *pki_openssl_version(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}

/* All certificates of a PEM file; NULL after an error that has been added. */
static STACK_OF(X509) * read_certificates(struct inspection *in, size_t max)
{
	struct err_text err = { "no memory" };
	STACK_OF(X509) *certs = NULL;

	if (pem_load_certificates(in->file, max, &certs, &err) == 0)
		return certs;
	add(in, true, "%s", err.text);
	return NULL;
}

static void certificate_cn(const X509 *cert, char *ret, size_t size)
{
	const X509_NAME *name = X509_get_subject_name(cert);
	unsigned char *utf8 = NULL;
	int at = -1, last = -1, len;

	ret[0] = 0;
	while ((at = X509_NAME_get_index_by_NID((X509_NAME *)name, NID_commonName, at)) >= 0)
		last = at;
	if (last < 0)
		return;
	len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)));
	if (len > 0)
		snprintf(ret, size, "%.*s", len, utf8);
	for (char *c = ret; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	OPENSSL_free(utf8);
	ERR_clear_error();
}

/* `error`: whether a certificate outside its dates is one, or only worth a warning. */
static void check_dates(struct inspection *in, const X509 *cert, const char *what, bool error)
{
	int64_t from = pki_time_seconds(X509_get0_notBefore(cert));
	int64_t to = pki_time_seconds(X509_get0_notAfter(cert));
	char text[PKI_TIME_TEXT_BYTES];

	if (from > in->now) {
		pki_time_text(from, text);
		add(in, error, "%s is not valid before %s", what, text);
	}
	if (to <= in->now) {
		pki_time_text(to, text);
		add(in, error, "%s has expired at %s", what, text);
	} else if (to - in->now < (to - from) / 10) {
		pki_time_text(to, text);
		add(in, false, "%s expires soon, at %s: less than a tenth of its life is left",
		    what, text);
	}
}

static void check_strength(struct inspection *in, X509 *cert, const char *what, bool signature_too)
{
	EVP_PKEY *key = X509_get0_pubkey(cert);
	int bits, digest = 0;

	if (!key) {
		add(in, true, "%s has a public key that OpenSSL does not know", what);
		ERR_clear_error();
		return;
	}
	if (EVP_PKEY_get_security_bits(key) < SECURITY_BITS_MIN)
		add(in, true, "%s has a weak key (%s, %d bits)", what, EVP_PKEY_get0_type_name(key),
		    EVP_PKEY_get_bits(key));
	/* The signature of a root says nothing: nobody checks it. */
	if (signature_too && X509_get_signature_info(cert, &digest, NULL, &bits, NULL) == 1 &&
	    bits < SECURITY_BITS_MIN)
		add(in, true, "%s is signed with a weak digest (%s)", what, OBJ_nid2sn(digest));
	ERR_clear_error();
}

static void check_leaf(struct inspection *in, X509 *leaf, bool is_server)
{
	int purpose = is_server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT;
	void *names;

	check_dates(in, leaf, "the certificate", true);
	check_strength(in, leaf, "the certificate", true);
	if (X509_check_ca(leaf))
		add(in, false, "the first certificate is a CA's: the leaf comes first");
	else if (X509_check_purpose(leaf, purpose, 0) != 1)
		add(in, true,
		    "the certificate is not for %s use (key usage, extended key usage): "
		    "peers refuse it",
		    is_server ? "server" : "client");
	if (!is_server)
		return;
	names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	if (!names)
		add(in, false,
		    "the certificate has no alternative names: clients look there for "
		    "the server's name, not in the CN");
	GENERAL_NAMES_free(names);
}

static void check_chain(struct inspection *in, STACK_OF(X509) * certs)
{
	char what[64];

	for (int i = 1; i < sk_X509_num(certs); i++) {
		X509 *cert = sk_X509_value(certs, i);

		snprintf(what, sizeof(what), "certificate %d of the chain", i + 1);
		check_dates(in, cert, what, true);
		check_strength(in, cert, what, !(X509_get_extension_flags(cert) & EXFLAG_SS));
		if (X509_check_issued(cert, sk_X509_value(certs, i - 1)) != X509_V_OK)
			add(in, true,
			    "%s has not signed the one before it: the order is leaf, its issuer, "
			    "and so on",
			    what);
	}
	ERR_clear_error();
}

static void check_key(struct inspection *in, X509 *leaf)
{
	struct err_text err = { "no memory" };
	EVP_PKEY *key = NULL;

	if (pem_load_key(in->file, &key, &err) != 0) {
		add(in, true, "%s", err.text);
		return;
	}
	if (leaf && X509_check_private_key(leaf, key) != 1)
		add(in, true, "%s: not the key of the certificate", in->file);
	ERR_clear_error();
	EVP_PKEY_free(key);
}

bool pki_inspect_identity(const char *certificate_file, const char *key_file, bool is_server,
			  struct pki_identity *ret, struct pki_findings *findings)
{
	struct inspection in = inspection(findings, PKI_ABOUT_CERTIFICATE, certificate_file);
	struct inspection key_in = inspection(findings, PKI_ABOUT_KEY, key_file);
	STACK_OF(X509) *certs = read_certificates(&in, CERTIFICATE_DEPTH_MAX + 2);
	X509 *leaf = certs ? sk_X509_value(certs, 0) : NULL;

	if (leaf) {
		check_leaf(&in, leaf, is_server);
		check_chain(&in, certs);
		certificate_cn(leaf, ret->cn, sizeof(ret->cn));
		ret->not_after = pki_time_seconds(X509_get0_notAfter(leaf));
		ret->chain_count = (size_t)sk_X509_num(certs) - 1;
	}
	check_key(&key_in, leaf);
	sk_X509_pop_free(certs, X509_free);
	ERR_clear_error();
	return leaf != NULL;
}

size_t pki_inspect_roots(const char *file, struct pki_findings *findings)
{
	struct inspection in = inspection(findings, PKI_ABOUT_ROOTS, file);
	STACK_OF(X509) *certs = read_certificates(&in, ROOTS_MAX);
	size_t count = certs ? (size_t)sk_X509_num(certs) : 0;
	char what[300], cn[200];

	for (size_t i = 0; i < count; i++) {
		X509 *cert = sk_X509_value(certs, (int)i);

		certificate_cn(cert, cn, sizeof(cn));
		snprintf(what, sizeof(what), "root %zu (%s)", i + 1, cn[0] ? cn : "no CN");
		/* An old root next to good ones harms nobody. */
		check_dates(&in, cert, what, count == 1);
		check_strength(&in, cert, what, false);
		if (!X509_check_ca(cert))
			add(&in, false,
			    "%s is not a CA's certificate: only itself is trusted by it", what);
	}
	sk_X509_pop_free(certs, X509_free);
	ERR_clear_error();
	return count;
}
