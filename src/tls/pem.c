/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads PEM files whole, once, or texts, with every way to be wrong told apart. The bytes of a file
 * are wiped after use, whether they held a key or not. Called from where contexts are made, never
 * by a worker.
 */
#include "tls/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/secret.h"
#include "base/util.h"
#include "limits/limits.h"

void pem_file_fini(struct pem_file *file)
{
	if (file->bytes)
		secret_wipe(file->bytes, file->len);
	free(file->bytes);
}

#define cleanup_file __attribute__((cleanup(pem_file_fini)))

static int read_all(int fd, size_t room, struct pem_file *ret)
{
	while (ret->len < room) {
		ssize_t n = read(fd, ret->bytes + ret->len, room - ret->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		ret->len += (size_t)n;
	}
	return 0;
}

int pem_read_file(const char *file, struct pem_file *ret, struct err_text *err)
{
	cleanup_close int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	size_t room;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, PEM_FAULT, "%s: %s", file, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, PEM_FAULT, "%s: not a regular file", file);
	if (st.st_size > PEM_FILE_BYTES_MAX)
		return err_set(err, PEM_FAULT, "%s: larger than %d MiB", file,
			       PEM_FILE_BYTES_MAX >> 20);
	room = (size_t)st.st_size + 1; /* one more, to see that it does not grow meanwhile */
	ret->mode = st.st_mode;
	ret->bytes = malloc(room);
	if (!ret->bytes)
		return -ENOMEM;
	r = read_all(fd, room, ret);
	if (r)
		return err_set(err, PEM_FAULT, "%s: %s", file, strerror(-r));
	if (ret->len == room)
		return err_set(err, PEM_FAULT, "%s: changes while it is read", file);
	if (!ret->len)
		return err_set(err, PEM_FAULT, "%s: empty", file);
	return 0;
}

const char *pem_crypto_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return reason ? reason : "unknown reason";
}

static bool at_end(void)
{
	unsigned long e = ERR_peek_last_error();

	return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

struct maker {
	X509 *(*make)(const uint8_t *der, long der_bytes, void *arg);
	void *arg;
};

/* NULL: the reason, or the end, is in libcrypto's queue. */
static X509 *next_certificate(BIO *bio, const struct maker *maker)
{
	unsigned char *der = NULL;
	long bytes;
	X509 *certificate;

	if (!PEM_bytes_read_bio(&der, &bytes, NULL, PEM_STRING_X509, bio, NULL, NULL))
		return NULL;
	certificate = maker->make(der, bytes, maker->arg);
	OPENSSL_free(der);
	return certificate;
}

static int read_certificates(const char *file, BIO *bio, size_t max, const struct maker *maker,
			     STACK_OF(X509) * certificates, struct err_text *err)
{
	for (;;) {
		X509 *certificate;
		int count = sk_X509_num(certificates);

		ERR_clear_error();
		certificate = next_certificate(bio, maker);
		if (!certificate && at_end() && count > 0)
			break;
		if (!certificate && at_end()) {
			ERR_clear_error();
			return err_set(err, PEM_FAULT, "%s: holds no PEM certificate", file);
		}
		if (!certificate)
			return err_set(err, PEM_FAULT, "%s: certificate number %d: %s", file,
				       count + 1, pem_crypto_reason());
		if ((size_t)count == max) {
			X509_free(certificate);
			return err_set(err, PEM_FAULT, "%s: more than %zu certificates", file, max);
		}
		if (!sk_X509_push(certificates, certificate)) {
			X509_free(certificate);
			return -ENOMEM;
		}
	}
	ERR_clear_error();
	return 0;
}

int pem_parse_certificates_by(const char *name, const char *pem, size_t bytes, size_t max,
			      X509 *(*make)(const uint8_t *der, long der_bytes, void *arg),
			      void *arg, STACK_OF(X509) * *ret, struct err_text *err)
{
	const struct maker maker = { make, arg };
	STACK_OF(X509) *certificates = sk_X509_new_null();
	BIO *bio = bytes <= PEM_FILE_BYTES_MAX ? BIO_new_mem_buf(pem, (int)bytes) : NULL;
	int r = bio && certificates ? read_certificates(name, bio, max, &maker, certificates, err)
				    : -ENOMEM;

	BIO_free(bio);
	if (r) {
		sk_X509_pop_free(certificates, X509_free);
		return r;
	}
	*ret = certificates;
	return 0;
}

void pem_certificates_free(STACK_OF(X509) * *certificates)
{
	sk_X509_pop_free(*certificates, X509_free);
}

static X509 *parse(const uint8_t *der, long der_bytes, void *arg)
{
	return d2i_X509(NULL, &der, der_bytes);
}

int pem_parse_certificates(const char *name, const char *pem, size_t bytes, size_t max,
			   STACK_OF(X509) * *ret, struct err_text *err)
{
	return pem_parse_certificates_by(name, pem, bytes, max, parse, NULL, ret, err);
}

int pem_load_certificates(const char *file, size_t max, STACK_OF(X509) * *ret, struct err_text *err)
{
	cleanup_file struct pem_file contents = { 0 };
	int r = pem_read_file(file, &contents, err);

	return r ? r
		 : pem_parse_certificates(file, (const char *)contents.bytes, contents.len, max,
					  ret, err);
}

/* Nobody is there to type a password. */
static int refuse_password(char *buf, int size, int writing, void *data)
{
	*(bool *)data = true;
	return -1;
}

int pem_parse_key(const char *name, const char *pem, size_t bytes, EVP_PKEY **ret,
		  struct err_text *err)
{
	BIO *bio = bytes <= PEM_FILE_BYTES_MAX ? BIO_new_mem_buf(pem, (int)bytes) : NULL;
	bool encrypted = false;
	EVP_PKEY *key;

	if (!bio)
		return -ENOMEM;
	ERR_clear_error();
	key = PEM_read_bio_PrivateKey(bio, NULL, refuse_password, &encrypted);
	BIO_free(bio);
	if (!key && encrypted) {
		ERR_clear_error();
		return err_set(err, PEM_FAULT,
			       "%s: the key is encrypted with a password; a key without one is "
			       "needed (openssl pkey -in FILE -out FILE)",
			       name);
	}
	if (!key)
		return err_set(err, PEM_FAULT, "%s: holds no PEM private key (%s)", name,
			       pem_crypto_reason());
	ERR_clear_error();
	*ret = key;
	return 0;
}

int pem_load_key(const char *file, EVP_PKEY **ret, struct err_text *err)
{
	cleanup_file struct pem_file contents = { 0 };
	int r = pem_read_file(file, &contents, err);

	if (r)
		return r;
	if (contents.mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH))
		return err_set(err, PEM_FAULT,
			       "%s: others than its owner may read or change it (mode %04o): "
			       "chmod 600 %s",
			       file, (unsigned int)(contents.mode & 07777), file);
	return pem_parse_key(file, (const char *)contents.bytes, contents.len, ret, err);
}
