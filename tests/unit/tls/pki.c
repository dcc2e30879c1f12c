/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small certificate factory (pki.h). Not for anything but tests: it signs whatever it is told.
 */
#include "pki.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define NAMES_MAX    512
#define RSA_KEYS_MAX 4

static char folder[64];
static char *paths[NAMES_MAX];
static size_t path_count;
static EVP_PKEY *rsa_keys[RSA_KEYS_MAX];

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "test certificates: %s failed\n", what);
	ERR_print_errors_fp(stderr);
	abort();
}

static void free_rsa_keys(void)
{
	for (size_t i = 0; i < RSA_KEYS_MAX; i++)
		EVP_PKEY_free(rsa_keys[i]);
}

/* RSA keys take a second to find, so each size is found once and then shared. */
static EVP_PKEY *rsa_key(int bits)
{
	if (!rsa_keys[0]) {
		OPENSSL_init_crypto(0, NULL); /* so that its own end comes after ours */
		atexit(free_rsa_keys);
	}
	for (size_t i = 0; i < RSA_KEYS_MAX; i++) {
		if (!rsa_keys[i])
			rsa_keys[i] = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
		if (rsa_keys[i] && EVP_PKEY_get_bits(rsa_keys[i]) == bits) {
			EVP_PKEY_up_ref(rsa_keys[i]);
			return rsa_keys[i];
		}
	}
	return NULL;
}

static bool is_edwards(const char *kind)
{
	return !strcmp(kind, "ED25519") || !strcmp(kind, "ED448");
}

static EVP_PKEY *make_key(const char *kind)
{
	EVP_PKEY *key;

	if (!kind)
		kind = "P-256";
	if (!strncmp(kind, "RSA:", 4))
		key = rsa_key(atoi(kind + 4));
	else if (is_edwards(kind))
		key = EVP_PKEY_Q_keygen(NULL, NULL, kind);
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
	must(key, kind);
	return key;
}

static void add_extension(X509 *x, const struct pki_cert *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer ? issuer->x509 : x, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(ext && X509_add_ext(x, ext, -1), value);
	X509_EXTENSION_free(ext);
}

static void set_names(X509 *x, const struct pki_cert *issuer, const struct pki_spec *spec)
{
	X509_NAME *name = X509_get_subject_name(x);

	X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Tests", -1, -1,
				   0);
	if (spec->cn)
		must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
						(const unsigned char *)spec->cn, -1, -1, 0),
		     "CN");
	if (spec->raw_cn)
		must(X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
						(unsigned char *)spec->raw_cn, spec->raw_cn_bytes,
						-1, 0),
		     "raw CN");
	X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer->x509) : name);
}

static void set_serial(X509 *x, const struct pki_spec *spec)
{
	static long next = 4096;
	BIGNUM *bn = NULL;

	if (!spec->serial_hex) {
		ASN1_INTEGER_set(X509_get_serialNumber(x), ++next);
		return;
	}
	must(BN_hex2bn(&bn, spec->serial_hex), "serial");
	BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
	BN_free(bn);
}

static void add_raw_dns(X509 *x, const struct pki_spec *spec)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	ASN1_STRING_set(text, spec->raw_dns, spec->raw_dns_bytes);
	GENERAL_NAME_set0_value(name, GEN_DNS, text);
	sk_GENERAL_NAME_push(names, name);
	must(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0), "raw DNS name");
	GENERAL_NAMES_free(names);
}

static void add_extensions(X509 *x, const struct pki_cert *issuer, const struct pki_spec *spec)
{
	char basic[64] = "critical,CA:FALSE";

	if (spec->is_ca && spec->path_length)
		snprintf(basic, sizeof(basic), "critical,CA:TRUE,pathlen:%d",
			 spec->path_length == PKI_PATH_ZERO ? 0 : spec->path_length);
	else if (spec->is_ca)
		strcpy(basic, "critical,CA:TRUE");
	add_extension(x, issuer, NID_basic_constraints, basic);
	add_extension(x, issuer, NID_key_usage,
		      spec->is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
	add_extension(x, issuer, NID_subject_key_identifier, "hash");
	if (issuer)
		add_extension(x, issuer, NID_authority_key_identifier, "keyid");
	if (spec->san)
		add_extension(x, issuer, NID_subject_alt_name, spec->san);
	if (spec->raw_dns)
		add_raw_dns(x, spec);
	if (spec->usage)
		add_extension(x, issuer, NID_ext_key_usage, spec->usage);
	if (spec->constraints)
		add_extension(x, issuer, NID_name_constraints, spec->constraints);
}

void pki_make(struct pki_cert *ret, const struct pki_cert *issuer, const struct pki_spec *spec)
{
	X509 *x = X509_new();
	EVP_PKEY *key = make_key(spec->key), *signer = issuer ? issuer->key : key;
	bool dated = spec->starts_seconds || spec->ends_seconds;

	must(x, "X509_new");
	X509_set_version(x, X509_VERSION_3);
	set_serial(x, spec);
	X509_gmtime_adj(X509_getm_notBefore(x), dated ? spec->starts_seconds : -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), dated ? spec->ends_seconds : 86400);
	set_names(x, issuer, spec);
	X509_set_pubkey(x, key);
	add_extensions(x, issuer, spec);
	must(X509_sign(x, signer,
		       is_edwards(EVP_PKEY_get0_type_name(signer)) ? NULL : EVP_sha256()),
	     "sign");
	ret->x509 = x;
	ret->key = key;
}

void pki_cert_fini(struct pki_cert *cert)
{
	X509_free(cert->x509);
	EVP_PKEY_free(cert->key);
	memset(cert, 0, sizeof(*cert));
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static void remove_folder(void)
{
	nftw(folder, remove_one, 4, FTW_DEPTH | FTW_PHYS);
	while (path_count)
		free(paths[--path_count]);
}

const char *pki_folder(void)
{
	if (folder[0])
		return folder;
	strcpy(folder, "/tmp/sallyport-test-XXXXXX");
	must(mkdtemp(folder), "mkdtemp");
	atexit(remove_folder);
	return folder;
}

static const char *path_of(const char *name)
{
	must(path_count < NAMES_MAX, "path table");
	must(asprintf(&paths[path_count], "%s/%s", pki_folder(), name) > 0, "asprintf");
	return paths[path_count++];
}

static FILE *create(const char *path, int mode)
{
	FILE *f = fopen(path, "w");

	must(f && fchmod(fileno(f), (mode_t)mode) == 0, path);
	return f;
}

const char *pki_write_certs(const char *name, const struct pki_cert *const *certs, size_t count)
{
	const char *path = path_of(name);
	FILE *f = create(path, 0644);

	for (size_t i = 0; i < count; i++)
		must(PEM_write_X509(f, certs[i]->x509), path);
	fclose(f);
	return path;
}

const char *pki_write_key(const char *name, const struct pki_cert *cert)
{
	const char *path = path_of(name);
	FILE *f = create(path, 0600);

	must(PEM_write_PrivateKey(f, cert->key, NULL, NULL, 0, NULL, NULL), path);
	fclose(f);
	return path;
}

const char *pki_write_text(const char *name, const char *text, size_t len, int mode)
{
	const char *path = path_of(name);
	FILE *f = create(path, mode);

	must(fwrite(text, 1, len, f) == len, path);
	fclose(f);
	return path;
}
