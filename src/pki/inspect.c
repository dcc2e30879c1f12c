/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inspection of certificate files (inspect.h). Everything is looked at, so that one run tells all;
 * what a peer would refuse is an error, what is merely unwise a warning. Any thread.
 */
#include "pki/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/util.h"
#include "limits/limits.h"
#include "pki/certificate.h"

/* NIST SP 800-57: 112 bits are RSA-2048 and up. SHA-1 signatures have less than 80. */
#define SECURITY_BITS_MIN 112
#define DAY_SECONDS	  86400

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
	finding->file = in->file;
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

/* The file's bytes in a BIO that is wiped when freed (it may hold a key), or NULL and an error. */
static BIO *read_file(struct inspection *in, struct stat *ret_stat)
{
	cleanup_close int fd = open(in->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char bytes[8192];
	size_t total = 0;
	ssize_t n = 0;
	BIO *bio;

	if (fd < 0 || fstat(fd, ret_stat) < 0) {
		add(in, true, "can not open it: %s", strerror(errno));
		return NULL;
	}
	if (S_ISDIR(ret_stat->st_mode)) {
		add(in, true, "this is a directory; a file is expected");
		return NULL;
	}
	bio = BIO_new(BIO_s_secmem());
	while (bio && total <= PEM_FILE_BYTES_MAX && (n = read(fd, bytes, sizeof(bytes))) > 0) {
		if (BIO_write(bio, bytes, (int)n) != n)
			break;
		total += (size_t)n;
	}
	if (bio && n == 0 && total <= PEM_FILE_BYTES_MAX) {
		OPENSSL_cleanse(bytes, sizeof(bytes));
		return bio;
	}
	if (total > PEM_FILE_BYTES_MAX)
		add(in, true, "larger than %d bytes", PEM_FILE_BYTES_MAX);
	else
		add(in, true, "can not read it: %s", n < 0 ? strerror(errno) : "no memory");
	OPENSSL_cleanse(bytes, sizeof(bytes));
	BIO_free(bio);
	return NULL;
}

static bool contains(BIO *bio, const char *text)
{
	char *bytes;
	long len = BIO_get_mem_data(bio, &bytes);

	return len > 0 && memmem(bytes, (size_t)len, text, strlen(text));
}

/* Says why a file has no certificate in it; DER starts with a SEQUENCE of two length bytes. */
static void explain_no_certificate(struct inspection *in, BIO *bio)
{
	char *bytes;
	long len = BIO_get_mem_data(bio, &bytes);

	if (len == 0)
		add(in, true, "the file is empty");
	else if (len > 2 && (uint8_t)bytes[0] == 0x30 && (uint8_t)bytes[1] == 0x82)
		add(in, true, "this is DER, PEM is expected: openssl x509 -inform der -in %s",
		    in->file);
	else if (contains(bio, "PRIVATE KEY-----"))
		add(in, true, "there is a private key in it and no certificate");
	else if (contains(bio, "CERTIFICATE REQUEST-----"))
		add(in, true, "this is a request for a certificate, not a certificate");
	else
		add(in, true, "there is no PEM certificate in it");
}

/* All certificates of a PEM file; NULL after an error that has been added. */
static STACK_OF(X509) * read_certificates(struct inspection *in)
{
	STACK_OF(X509) *certs = NULL;
	unsigned long reason;
	struct stat st;
	X509 *cert;
	BIO *bio = read_file(in, &st), *view;
	char *bytes;
	long len;

	if (!bio)
		return NULL;
	len = BIO_get_mem_data(bio, &bytes);
	view = BIO_new_mem_buf(bytes, (int)len);
	certs = sk_X509_new_null();
	while (certs && view && sk_X509_num(certs) < ROOTS_MAX &&
	       (cert = PEM_read_bio_X509(view, NULL, NULL, NULL)))
		sk_X509_push(certs, cert);
	reason = ERR_peek_last_error();
	if (certs && ERR_GET_REASON(reason) != PEM_R_NO_START_LINE && reason) {
		add(in, true, "certificate %d in it is broken: %s", sk_X509_num(certs) + 1,
		    ERR_reason_error_string(reason));
		sk_X509_pop_free(certs, X509_free);
		certs = NULL;
	} else if (certs && sk_X509_num(certs) == 0) {
		explain_no_certificate(in, bio);
		sk_X509_free(certs);
		certs = NULL;
	}
	if (certs && in->about == PKI_ABOUT_ROOTS && contains(bio, "PRIVATE KEY-----"))
		add(in, false, "there is a private key in it, which has no place among roots");
	ERR_clear_error();
	BIO_free(view);
	BIO_free(bio);
	return certs;
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
			add(in, false,
			    "%s has not issued the one before it: order is leaf, its "
			    "issuer, and so on",
			    what);
	}
	if (sk_X509_num(certs) - 1 > CERTIFICATE_DEPTH_MAX)
		add(in, false, "%d certificates after the leaf: many peers stop at %d",
		    sk_X509_num(certs) - 1, CERTIFICATE_DEPTH_MAX);
	ERR_clear_error();
}

/* Refuses to ask anybody for a pass phrase. */
static int no_pass_phrase(char *buf, int size, int rwflag, void *arg)
{
	bool *asked = arg;

	(void)buf;
	(void)size;
	(void)rwflag;
	*asked = true;
	return -1;
}

static void check_key(struct inspection *in, X509 *leaf)
{
	EVP_PKEY *key = NULL;
	bool asked = false;
	struct stat st;
	BIO *bio = read_file(in, &st);

	if (!bio)
		return;
	if (st.st_mode & 0007)
		add(in, true,
		    "everybody on this host may read or write it (mode %04o): chmod 600 %s",
		    (unsigned int)st.st_mode & 07777, in->file);
	else if (st.st_mode & 0070)
		add(in, false, "its group may read or write it (mode %04o)",
		    (unsigned int)st.st_mode & 07777);
	if (contains(bio, "PRIVATE KEY-----"))
		key = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, &asked);
	else
		add(in, true, "there is no PEM private key in it");
	if (!key && asked)
		add(in, true,
		    "the key has a pass phrase, and nobody to type it: openssl pkey -in %s "
		    "-out FILE makes one without",
		    in->file);
	else if (!key && in->findings->errors == 0)
		add(in, true, "can not read the key: %s",
		    ERR_reason_error_string(ERR_peek_last_error()));
	if (key && leaf && X509_check_private_key(leaf, key) != 1)
		add(in, true, "the key is not the certificate's");
	ERR_clear_error();
	EVP_PKEY_free(key);
	BIO_free(bio);
}

bool pki_inspect_identity(const char *certificate_file, const char *key_file, bool is_server,
			  struct pki_identity *ret, struct pki_findings *findings)
{
	struct inspection in = inspection(findings, PKI_ABOUT_CERTIFICATE, certificate_file);
	struct inspection key_in = inspection(findings, PKI_ABOUT_KEY, key_file);
	STACK_OF(X509) *certs = read_certificates(&in);
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
	return leaf != NULL;
}

size_t pki_inspect_roots(const char *file, struct pki_findings *findings)
{
	struct inspection in = inspection(findings, PKI_ABOUT_ROOTS, file);
	STACK_OF(X509) *certs = read_certificates(&in);
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
	return count;
}
