/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and credentials (credential.h). What an issuer answers is looked at as a peer would: is
 * it for our key, within its time, and does its chain end at a root that is trusted? Texts with the
 * key in them are wiped. No state; any thread.
 */
#include "pki/credential.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/util.h"
#include "limits/limits.h"
#include "tls/pem.h"

struct pki_request {
	EVP_PKEY *key;
	char *csr;
};

static void free_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

#define cleanup_key __attribute__((cleanup(free_key)))

/* Takes the BIO; the text ends with NUL. NULL without memory, or if it is NULL. */
static char *text_of(BIO *bio)
{
	char *bytes = NULL, *text = NULL;
	long len = bio ? BIO_get_mem_data(bio, &bytes) : -1;

	if (len >= 0)
		text = strndup(len ? bytes : "", (size_t)len);
	BIO_free(bio);
	return text;
}

/* --- requests --- */

static int add_names(X509_REQ *csr, const struct pki_subject *subject)
{
	STACK_OF(X509_EXTENSION) *extensions = NULL;
	GENERAL_NAMES *names;
	int ok;

	if (!subject->san_count)
		return 1;
	names = pki_sans_new(subject->sans, subject->san_count);
	ok = names &&
	     X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) ==
		     1 &&
	     X509_REQ_add_extensions(csr, extensions);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	GENERAL_NAMES_free(names);
	return ok;
}

static char *csr_new(EVP_PKEY *key, const struct pki_subject *subject)
{
	X509_REQ *csr = X509_REQ_new();
	X509_NAME *name = pki_name_new(subject->cn);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;

	if (csr && name && bio && X509_REQ_set_version(csr, X509_REQ_VERSION_1) &&
	    X509_REQ_set_subject_name(csr, name) && X509_REQ_set_pubkey(csr, key) &&
	    add_names(csr, subject) && X509_REQ_sign(csr, key, pki_key_digest(key)) > 0 &&
	    PEM_write_bio_X509_REQ(bio, csr))
		text = text_of(TAKE_PTR(bio));
	BIO_free(bio);
	X509_NAME_free(name);
	X509_REQ_free(csr);
	return text;
}

int pki_request_new(enum pki_key_type type, const struct pki_subject *subject,
		    struct pki_request **ret, struct err_text *err)
{
	struct pki_request *request = calloc(1, sizeof(*request));

	if (!request)
		return err_set(err, -ENOMEM, "out of memory");
	request->key = pki_key_new(type, err);
	if (request->key) {
		request->csr = csr_new(request->key, subject);
		if (!request->csr)
			pki_openssl_error(err, -EIO, "making a signing request");
	}
	if (!request->csr) {
		pki_request_free(request);
		return -EIO;
	}
	*ret = request;
	return 0;
}

void pki_request_free(struct pki_request *request)
{
	if (!request)
		return;
	EVP_PKEY_free(request->key);
	free(request->csr);
	free(request);
}

const char *pki_request_csr(const struct pki_request *request)
{
	return request->csr;
}

EVP_PKEY *pki_request_key(const struct pki_request *request)
{
	return request->key;
}

/* --- certificates as texts --- */

static int parse(const char *what, const char *pem, STACK_OF(X509) * *ret, struct err_text *err)
{
	int r = pem_parse_certificates(what, pem, strlen(pem), ROOTS_MAX, ret, err);

	return r == PEM_FAULT ? PKI_FAULT_UNREADABLE : r;
}

static bool has(STACK_OF(X509) * stack, const X509 *certificate)
{
	for (int i = 0; i < sk_X509_num(stack); i++)
		if (X509_cmp(sk_X509_value(stack, i), certificate) == 0)
			return true;
	return false;
}

static int merge(STACK_OF(X509) * into, STACK_OF(X509) * from)
{
	for (int i = 0; i < sk_X509_num(from); i++) {
		X509 *certificate = sk_X509_value(from, i);

		if (has(into, certificate))
			continue;
		if (!X509_up_ref(certificate) || !sk_X509_push(into, certificate))
			return -ENOMEM;
	}
	return 0;
}

static char *pem_of(STACK_OF(X509) * stack)
{
	BIO *bio = BIO_new(BIO_s_mem());

	for (int i = 0; bio && i < sk_X509_num(stack); i++)
		if (!PEM_write_bio_X509(bio, sk_X509_value(stack, i)))
			BIO_free(TAKE_PTR(bio));
	return text_of(bio);
}

static bool is_root(X509 *certificate)
{
	return X509_self_signed(certificate, 0) == 1;
}

int pki_merge_certificates(const char *const *pems, size_t count, char **ret, size_t *ret_roots,
			   struct err_text *err)
{
	cleanup_certificates STACK_OF(X509) *all = sk_X509_new_null();
	size_t roots = 0;
	char *text;
	int r = all ? 0 : -ENOMEM;

	for (size_t i = 0; i < count && r == 0; i++) {
		cleanup_certificates STACK_OF(X509) *some = NULL;

		r = parse("the CA's certificates", pems[i], &some, err);
		if (r == 0)
			r = merge(all, some);
	}
	if (r)
		return r;
	for (int i = 0; i < sk_X509_num(all); i++)
		roots += is_root(sk_X509_value(all, i));
	text = pem_of(all);
	if (!text)
		return -ENOMEM;
	*ret = text;
	*ret_roots = roots;
	return 0;
}

/* --- credentials --- */

/* Orders `pool` so that each certificate has signed the one before; what is not part of the chain,
 * and roots, stay outside. */
static STACK_OF(X509) * chain_of(X509 *leaf, STACK_OF(X509) * pool)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *last = leaf;

	for (int i = 0; chain && i < sk_X509_num(pool); i++) {
		X509 *candidate = sk_X509_value(pool, i);

		if (is_root(candidate) || has(chain, candidate) ||
		    X509_check_issued(candidate, last) != X509_V_OK)
			continue;
		if (sk_X509_num(chain) == CERTIFICATE_DEPTH_MAX)
			break;
		if (!X509_up_ref(candidate) || !sk_X509_push(chain, candidate)) {
			sk_X509_pop_free(chain, X509_free);
			return NULL;
		}
		last = candidate;
		i = -1; /* its own issuer may stand before it */
	}
	return chain;
}

static int check_time(X509 *certificate, const char *what, struct err_text *err)
{
	int64_t now = (int64_t)(clock_realtime_ns() / NSEC_PER_SEC);
	int64_t from = pki_time_seconds(X509_get0_notBefore(certificate));
	int64_t until = pki_time_seconds(X509_get0_notAfter(certificate));
	char text[PKI_TIME_TEXT_BYTES];

	if (until <= now) {
		pki_time_text(until, text);
		return err_set(err, PKI_FAULT_TIME, "%s expired at %s", what, text);
	}
	if (from > now + PKI_AHEAD_SECONDS) {
		pki_time_text(from, text);
		return err_set(err, PKI_FAULT_TIME,
			       "%s is not valid before %s: is a clock wrong, ours or the issuer's?",
			       what, text);
	}
	return 0;
}

/* The leaf and its chain against the roots. Time has been looked at, with more patience. */
static int check_trust(X509 *leaf, STACK_OF(X509) * chain, const char *roots_pem,
		       struct err_text *err)
{
	cleanup_certificates STACK_OF(X509) *roots = NULL;
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int r = store && ctx ? parse("the trusted roots", roots_pem, &roots, err) : -ENOMEM;

	for (int i = 0; r == 0 && i < sk_X509_num(roots); i++)
		r = X509_STORE_add_cert(store, sk_X509_value(roots, i)) ? 0 : -ENOMEM;
	if (r == 0 && !X509_STORE_CTX_init(ctx, store, leaf, chain))
		r = -ENOMEM;
	if (r == 0) {
		X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx),
					    X509_V_FLAG_NO_CHECK_TIME);
		if (X509_verify_cert(ctx) != 1)
			r = err_set(err, PKI_FAULT_UNTRUSTED,
				    "it chains to none of the trusted roots: %s",
				    X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
	return r;
}

static int check(X509 *leaf, STACK_OF(X509) * chain, EVP_PKEY *key, const char *roots_pem,
		 struct err_text *err)
{
	int r;

	if (key && X509_check_private_key(leaf, key) != 1) {
		ERR_clear_error();
		return err_set(err, PKI_FAULT_KEY,
			       "the certificate is not for the key it is to go "
			       "with");
	}
	r = check_time(leaf, "the certificate", err);
	for (int i = 0; r == 0 && i < sk_X509_num(chain); i++)
		r = check_time(sk_X509_value(chain, i), "a certificate of its chain", err);
	return r == 0 && roots_pem ? check_trust(leaf, chain, roots_pem, err) : r;
}

static void last_cn(const X509_NAME *name, char *ret, size_t size)
{
	int at = -1, last = -1;
	unsigned char *text = NULL;

	while ((at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0)
		last = at;
	ret[0] = 0;
	if (last >= 0 && ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(
							    X509_NAME_get_entry(name, last))) >= 0)
		snprintf(ret, size, "%s", (const char *)text);
	OPENSSL_free(text);
	ERR_clear_error();
}

static int64_t end_of(X509 *certificate)
{
	return pki_time_seconds(X509_get0_notAfter(certificate));
}

/* Nobody takes the leaf any more when one of those above it has ended, the root too, if it is in
 * `pool`. */
static int64_t first_end(X509 *leaf, STACK_OF(X509) * chain, STACK_OF(X509) * pool)
{
	X509 *last = leaf;
	int64_t end = end_of(leaf);

	for (int i = 0; i < sk_X509_num(chain); i++) {
		last = sk_X509_value(chain, i);
		end = MIN(end, end_of(last));
	}
	for (int i = 0; i < sk_X509_num(pool); i++) {
		X509 *candidate = sk_X509_value(pool, i);

		if (is_root(candidate) && X509_check_issued(candidate, last) == X509_V_OK)
			end = MIN(end, end_of(candidate));
	}
	return end;
}

static int fill(struct pki_credential *c, X509 *leaf, STACK_OF(X509) * chain, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	c->refs = 1;
	if (bio && PEM_write_bio_X509(bio, leaf))
		c->certificate_pem = text_of(TAKE_PTR(bio));
	BIO_free(bio);
	c->chain_pem = pem_of(chain);
	c->key_pem = text_of(pki_key_pem(key, NULL));
	last_cn(X509_get_subject_name(leaf), c->cn, sizeof(c->cn));
	last_cn(X509_get_issuer_name(leaf), c->issuer_cn, sizeof(c->issuer_cn));
	if (pki_serial_text(leaf, c->serial) < 0)
		c->serial[0] = 0;
	c->not_before = pki_time_seconds(X509_get0_notBefore(leaf));
	return c->certificate_pem && c->chain_pem && c->key_pem ? 0 : -ENOMEM;
}

/* `certificates`: the leaf first, then what may belong to its chain. */
static int make(STACK_OF(X509) * certificates, EVP_PKEY *key, const char *roots_pem,
		struct pki_credential **ret, struct err_text *err)
{
	X509 *leaf = sk_X509_value(certificates, 0);
	cleanup_certificates STACK_OF(X509) *chain = chain_of(leaf, certificates);
	struct pki_credential *credential;
	int r = chain ? check(leaf, chain, key, roots_pem, err) : -ENOMEM;

	if (r)
		return r;
	credential = calloc(1, sizeof(*credential));
	if (!credential)
		return -ENOMEM;
	credential->not_after = first_end(leaf, chain, certificates);
	r = fill(credential, leaf, chain, key);
	if (r) {
		pki_credential_unref(credential);
		return r;
	}
	*ret = credential;
	return 0;
}

int pki_credential_new(const struct pki_request *request, const char *certificate_pem,
		       const char *chain_pem, const char *roots_pem, struct pki_credential **ret,
		       struct err_text *err)
{
	cleanup_certificates STACK_OF(X509) *certificates = NULL, *chain = NULL;
	int r = parse("the certificate", certificate_pem, &certificates, err);

	if (r == 0 && chain_pem && chain_pem[0])
		r = parse("the issuer's chain", chain_pem, &chain, err);
	if (r == 0 && chain)
		r = merge(certificates, chain);
	return r ? r : make(certificates, request->key, roots_pem, ret, err);
}

int pki_credential_parse(const char *certificates_pem, const char *key_pem, const char *roots_pem,
			 struct pki_credential **ret, struct err_text *err)
{
	cleanup_certificates STACK_OF(X509) *certificates = NULL;
	cleanup_key EVP_PKEY *key = NULL;
	int r = parse("the certificate", certificates_pem, &certificates, err);

	if (r == 0)
		r = pem_parse_key("the key", key_pem, strlen(key_pem), &key, err);
	if (r)
		return r == PEM_FAULT ? PKI_FAULT_UNREADABLE : r;
	return make(certificates, key, roots_pem, ret, err);
}

int pki_credential_load(const char *certificate_file, const char *key_file,
			struct pki_credential **ret, struct err_text *err)
{
	cleanup_certificates STACK_OF(X509) *certificates = NULL;
	cleanup_key EVP_PKEY *key = NULL;
	int r = pem_load_certificates(certificate_file, CERTIFICATE_DEPTH_MAX + 2, &certificates,
				      err);

	if (r == 0)
		r = pem_load_key(key_file, &key, err);
	if (r)
		return r == PEM_FAULT ? PKI_FAULT_UNREADABLE : r;
	return make(certificates, key, NULL, ret, err);
}

int pki_credential_check(const struct pki_credential *credential, const char *roots_pem,
			 struct err_text *err)
{
	cleanup_certificates STACK_OF(X509) *leaf = NULL, *chain = NULL;
	int r = parse("the certificate", credential->certificate_pem, &leaf, err);

	if (r == 0 && credential->chain_pem[0])
		r = parse("its chain", credential->chain_pem, &chain, err);
	return r ? r : check(sk_X509_value(leaf, 0), chain, NULL, roots_pem, err);
}

struct pki_credential *pki_credential_ref(struct pki_credential *credential)
{
	__atomic_add_fetch(&credential->refs, 1, __ATOMIC_RELAXED);
	return credential;
}

void pki_credential_unref(struct pki_credential *credential)
{
	if (!credential || __atomic_sub_fetch(&credential->refs, 1, __ATOMIC_ACQ_REL))
		return;
	free(credential->certificate_pem);
	free(credential->chain_pem);
	if (credential->key_pem)
		secret_wipe(credential->key_pem, strlen(credential->key_pem));
	free(credential->key_pem);
	free(credential);
}
