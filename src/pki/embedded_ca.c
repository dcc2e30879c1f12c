/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded CA (embedded_ca.h): certificate.c makes, store.c keeps. The index line comes before
 * the files: a certificate that exists is always in the index, whatever is interrupted. All under
 * the directory's lock. Any thread, any process.
 */
#include "pki/embedded_ca.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"
#include "pki/store.h"

#define CA_CERTIFICATE "ca.crt"
#define CA_KEY	       "ca.key"
#define INDEX	       "index.jsonl"

struct issuer {
	X509 *certificate;
	EVP_PKEY *key;
};

static void issuer_fini(struct issuer *issuer)
{
	X509_free(issuer->certificate);
	EVP_PKEY_free(issuer->key);
}

void embedded_ca_file_name(const char *cn, char *ret, size_t size)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789._-@+";
	size_t used = 0;

	/* A leading dot would hide the file, or be "..". A leading dash reads as an option. */
	for (; *cn && used + 1 < size; cn++, used++)
		ret[used] = strchr(safe, *cn) && (used || (*cn != '.' && *cn != '-')) ? *cn : '_';
	ret[used] = 0;
}

/* The base name that files get; refuses what would not stay in the directory. */
static int file_base(const struct embedded_ca_request *request, char ret[EMBEDDED_CA_NAME_MAX + 1],
		     struct err_text *err)
{
	char safe[EMBEDDED_CA_NAME_MAX + 2];

	embedded_ca_file_name(request->name ? request->name : request->subject.cn, safe,
			      sizeof(safe));
	if (request->name && (strcmp(safe, request->name) != 0 || !safe[0]))
		return err_set(err, -EINVAL,
			       "'%s' can not be a file name here: letters, digits and ._-@+, not "
			       "starting with '.' or '-', are",
			       request->name);
	if (strlen(safe) > EMBEDDED_CA_NAME_MAX)
		return err_set(err, -EINVAL, "a file name has at most %d bytes",
			       EMBEDDED_CA_NAME_MAX);
	if (strcasecmp(safe, "ca") == 0)
		return err_set(err, -EINVAL,
			       "the name 'ca' is the CA's own: give another one with --name");
	memcpy(ret, safe, strlen(safe) + 1);
	return 0;
}

static int check_request(const struct embedded_ca_request *request, struct err_text *err)
{
	const struct pki_subject *subject = &request->subject;

	if (!subject->seconds && (subject->days < 1 || subject->days > EMBEDDED_CA_DAYS_MAX))
		return err_set(err, -EINVAL, "a certificate lives 1 to %d days",
			       EMBEDDED_CA_DAYS_MAX);
	if (subject->san_count > PKI_SANS_MAX)
		return err_set(err, -EINVAL, "more than %d alternative names", PKI_SANS_MAX);
	return pki_cn_check(subject->cn, err);
}

/* `name` NULL: the certificate lies in no file. */
static int index_append(struct store *store, const char *kind, const char *cn, const char *name,
			const X509 *cert, struct err_text *err)
{
	char end[PKI_TIME_TEXT_BYTES], serial[PKI_SERIAL_TEXT_BYTES];
	cleanup_free char *line = NULL;
	size_t len;
	FILE *out = open_memstream(&line, &len);

	if (!out || pki_serial_text(cert, serial) < 0)
		return err_set(err, -ENOMEM, "no memory");
	pki_time_text(pki_time_seconds(X509_get0_notAfter(cert)), end);
	fprintf(out, "{\"serial\":\"%s\",\"cn\":", serial);
	json_write_string(out, cn);
	fprintf(out, ",\"not_after\":\"%s\",\"kind\":\"%s\"", end, kind);
	if (name)
		fprintf(out, ",\"file\":\"%s.crt\"", name);
	fputs("}\n", out);
	if (fclose(out) != 0)
		return err_set(err, -ENOMEM, "no memory");
	return store_append(store, INDEX, line, err);
}

/* Writes NAME.crt and NAME.key. The key first: a certificate without its key is of no use. */
static int write_pair(struct store *store, const char *name, X509 *cert, EVP_PKEY *key,
		      bool replace, struct err_text *err)
{
	char cert_name[EMBEDDED_CA_NAME_MAX + 8], key_name[EMBEDDED_CA_NAME_MAX + 8];
	BIO *cert_pem = BIO_new(BIO_s_mem()), *key_pem = pki_key_pem(key, err);
	char *cert_bytes, *key_bytes;
	int r = -EIO;

	snprintf(cert_name, sizeof(cert_name), "%s.crt", name);
	snprintf(key_name, sizeof(key_name), "%s.key", name);
	if (key_pem && cert_pem && PEM_write_bio_X509(cert_pem, cert)) {
		const struct store_file files[] = {
			{ key_name, 0600, NULL, (size_t)BIO_get_mem_data(key_pem, &key_bytes) },
			{ cert_name, 0644, NULL, (size_t)BIO_get_mem_data(cert_pem, &cert_bytes) },
		};
		struct store_file ready[] = { files[0], files[1] };

		ready[0].bytes = key_bytes;
		ready[1].bytes = cert_bytes;
		r = store_write(store, ready, ARRAY_SIZE(ready), replace, err);
	} else if (key_pem) {
		pki_openssl_error(err, r, "writing a certificate as PEM");
	}
	BIO_free(cert_pem);
	BIO_free(key_pem);
	return r;
}

static void fill_result(const struct embedded_ca_request *request, const char *name,
			const X509 *cert, struct embedded_ca_result *ret)
{
	*ret = (struct embedded_ca_result){ 0 };
	snprintf(ret->certificate_file, sizeof(ret->certificate_file), "%s/%s.crt", request->dir,
		 name);
	snprintf(ret->key_file, sizeof(ret->key_file), "%s/%s.key", request->dir, name);
	pki_serial_text(cert, ret->serial);
	ret->not_before = pki_time_seconds(X509_get0_notBefore(cert));
	ret->not_after = pki_time_seconds(X509_get0_notAfter(cert));
	ret->cut = (uint64_t)ret->not_after + 60 <
		   clock_realtime_ns() / NSEC_PER_SEC + request->subject.days * 86400ULL;
}

/* What is taken already is refused before anything is made or put in the index. */
static int check_free(const struct store *store, const struct embedded_ca_request *request,
		      const char *name, struct err_text *err)
{
	char file[EMBEDDED_CA_NAME_MAX + 8];
	static const char *const suffixes[] = { "crt", "key" };

	for (size_t i = 0; !request->replace && i < ARRAY_SIZE(suffixes); i++) {
		snprintf(file, sizeof(file), "%s.%s", name, suffixes[i]);
		if (store_has(store, file))
			return err_set(err, -EEXIST, "%s/%s exists already (--force replaces it)",
				       request->dir, file);
	}
	return 0;
}

static int create_in(struct store *store, const struct embedded_ca_request *request,
		     struct embedded_ca_result *ret, struct err_text *err)
{
	EVP_PKEY *key;
	X509 *cert;
	int r = check_free(store, request, "ca", err);

	if (r < 0)
		return r;
	key = pki_key_new(request->key_type, err);
	cert = key ? pki_root_new(&request->subject, key, err) : NULL;
	r = cert ? index_append(store, "ca", request->subject.cn, "ca", cert, err) : -EIO;
	if (r == 0)
		r = write_pair(store, "ca", cert, key, request->replace, err);
	if (r == 0)
		fill_result(request, "ca", cert, ret);
	X509_free(cert);
	EVP_PKEY_free(key);
	return r;
}

int embedded_ca_create(const struct embedded_ca_request *request, struct embedded_ca_result *ret,
		       struct err_text *err)
{
	struct store store = { .fd = -1 };
	int r = check_request(request, err);

	if (r == 0)
		r = store_open(&store, request->dir, true, err);
	if (r == 0)
		r = create_in(&store, request, ret, err);
	store_close(&store);
	return r;
}

static FILE *open_in(const struct store *store, const char *name, struct err_text *err, int *ret_r)
{
	int fd = openat(store->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

	if (file)
		return file;
	*ret_r = -errno;
	if (errno == ENOENT)
		err_set(err, -ENOENT, "%s holds no CA (no %s): make one with 'sallyport dev ca'",
			store->dir, name);
	else
		err_set(err, -errno, "can not open %s/%s: %s", store->dir, name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* A pass phrase is never asked for: this key has none. */
static int no_pass_phrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static int check_issuer(const struct store *store, const struct issuer *issuer,
			struct err_text *err)
{
	int64_t now = (int64_t)(clock_realtime_ns() / NSEC_PER_SEC);

	if (X509_check_private_key(issuer->certificate, issuer->key) != 1) {
		ERR_clear_error();
		return err_set(err, -EINVAL, "%s/" CA_KEY " is not the key of " CA_CERTIFICATE,
			       store->dir);
	}
	if (X509_check_ca(issuer->certificate) == 0)
		return err_set(err, -EINVAL, "%s/" CA_CERTIFICATE " is not a CA", store->dir);
	if (pki_time_seconds(X509_get0_notAfter(issuer->certificate)) <= now)
		return err_set(err, -EINVAL,
			       "the CA %s/" CA_CERTIFICATE " has expired: make a new one with "
			       "'sallyport dev ca --force'",
			       store->dir);
	return 0;
}

static int issuer_load(const struct store *store, struct issuer *ret, struct err_text *err)
{
	struct issuer issuer = { 0 };
	struct stat st;
	FILE *file;
	int r = 0;

	file = open_in(store, CA_CERTIFICATE, err, &r);
	if (!file)
		return r;
	issuer.certificate = PEM_read_X509(file, NULL, no_pass_phrase, NULL);
	fclose(file);
	file = open_in(store, CA_KEY, err, &r);
	if (file && fstat(fileno(file), &st) == 0 && (st.st_mode & 0077))
		r = err_set(err, -EPERM, "%s/" CA_KEY " is readable by others: chmod 600 it",
			    store->dir);
	if (file && r == 0)
		issuer.key = PEM_read_PrivateKey(file, NULL, no_pass_phrase, NULL);
	if (file)
		fclose(file);
	if (r == 0 && (!issuer.certificate || !issuer.key))
		r = pki_openssl_error(err, -EINVAL, "reading " CA_CERTIFICATE " and " CA_KEY);
	if (r == 0)
		r = check_issuer(store, &issuer, err);
	if (r == 0)
		*ret = issuer;
	else
		issuer_fini(&issuer);
	return r;
}

static int issue_in(struct store *store, const struct embedded_ca_request *request,
		    const char *name, struct embedded_ca_result *ret, struct err_text *err)
{
	struct issuer issuer = { 0 };
	EVP_PKEY *key;
	X509 *cert;
	int r = issuer_load(store, &issuer, err);

	if (r == 0)
		r = check_free(store, request, name, err);
	if (r < 0) {
		issuer_fini(&issuer);
		return r;
	}
	key = pki_key_new(request->key_type, err);
	cert = key ? pki_leaf_new(&request->subject, key, issuer.certificate, issuer.key, err)
		   : NULL;
	r = cert ? index_append(store, "leaf", request->subject.cn, name, cert, err) : -EIO;
	if (r == 0)
		r = write_pair(store, name, cert, key, request->replace, err);
	if (r == 0)
		fill_result(request, name, cert, ret);
	X509_free(cert);
	EVP_PKEY_free(key);
	issuer_fini(&issuer);
	return r;
}

int embedded_ca_issue(const struct embedded_ca_request *request, struct embedded_ca_result *ret,
		      struct err_text *err)
{
	char name[EMBEDDED_CA_NAME_MAX + 1];
	struct store store = { .fd = -1 };
	int r = check_request(request, err);

	if (r == 0)
		r = file_base(request, name, err);
	if (r == 0)
		r = store_open(&store, request->dir, false, err);
	if (r == 0)
		r = issue_in(&store, request, name, ret, err);
	store_close(&store);
	return r;
}

static char *certificate_text(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes, *text = NULL;
	long len;

	if (bio && PEM_write_bio_X509(bio, certificate)) {
		len = BIO_get_mem_data(bio, &bytes);
		text = strndup(bytes, (size_t)len);
	}
	BIO_free(bio);
	return text;
}

static int sign_in(struct store *store, const struct pki_subject *subject, EVP_PKEY *key,
		   char **ret_certificate, char **ret_root, struct err_text *err)
{
	struct issuer issuer = { 0 };
	cleanup_free char *certificate = NULL, *root = NULL;
	X509 *cert;
	int r = issuer_load(store, &issuer, err);

	if (r < 0)
		return r;
	cert = pki_leaf_new(subject, key, issuer.certificate, issuer.key, err);
	r = cert ? index_append(store, "leaf", subject->cn, NULL, cert, err) : -EIO;
	if (r == 0) {
		certificate = certificate_text(cert);
		root = certificate_text(issuer.certificate);
		r = certificate && root ? 0 : err_set(err, -ENOMEM, "no memory");
	}
	X509_free(cert);
	issuer_fini(&issuer);
	if (r < 0)
		return r;
	*ret_certificate = TAKE_PTR(certificate);
	*ret_root = TAKE_PTR(root);
	return 0;
}

int embedded_ca_sign(const char *dir, const struct pki_subject *subject, EVP_PKEY *key,
		     char **ret_certificate, char **ret_root, struct err_text *err)
{
	const struct embedded_ca_request request = { .dir = dir, .subject = *subject };
	struct store store = { .fd = -1 };
	int r = check_request(&request, err);

	if (r == 0)
		r = store_open(&store, dir, false, err);
	if (r == 0)
		r = sign_in(&store, subject, key, ret_certificate, ret_root, err);
	store_close(&store);
	return r;
}
