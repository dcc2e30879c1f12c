/* SPDX-License-Identifier: Apache-2.0 */
/* See failing_alloc.h. */
#include "lib/failing_alloc.h"

#include <errno.h>
#include <stddef.h>

#include <openssl/kdf.h>
#include <openssl/ssl.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_secret_alloc(size_t size);
EVP_CIPHER_CTX *__real_EVP_CIPHER_CTX_new(void);
EVP_MD_CTX *__real_EVP_MD_CTX_new(void);
EVP_KDF_CTX *__real_EVP_KDF_CTX_new(EVP_KDF *kdf);
SSL *__real_SSL_new(SSL_CTX *ctx);
BIO *__real_BIO_new(const BIO_METHOD *method);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_secret_alloc(size_t size);
EVP_CIPHER_CTX *__wrap_EVP_CIPHER_CTX_new(void);
EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void);
EVP_KDF_CTX *__wrap_EVP_KDF_CTX_new(EVP_KDF *kdf);
SSL *__wrap_SSL_new(SSL_CTX *ctx);
BIO *__wrap_BIO_new(const BIO_METHOD *method);

static bool armed, suspended, failed;
static unsigned long count, fail_at;
static enum failing_alloc_mode fail_mode;

void failing_alloc_arm(unsigned long n, enum failing_alloc_mode mode)
{
	count = 0;
	fail_at = n;
	fail_mode = mode;
	failed = false;
	suspended = false;
	armed = true;
}

bool failing_alloc_disarm(void)
{
	armed = false;
	return failed;
}

void failing_alloc_suspend(bool value)
{
	suspended = value;
}

unsigned long failing_alloc_count(void)
{
	return count;
}

static bool fails(void)
{
	if (!armed || suspended)
		return false;
	count++;
	if (!fail_at || count < fail_at || (count > fail_at && fail_mode == FAILING_ALLOC_ONE))
		return false;
	failed = true;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_secret_alloc(size_t size)
{
	return fails() ? NULL : __real_secret_alloc(size);
}

EVP_CIPHER_CTX *__wrap_EVP_CIPHER_CTX_new(void)
{
	return fails() ? NULL : __real_EVP_CIPHER_CTX_new();
}

EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void)
{
	return fails() ? NULL : __real_EVP_MD_CTX_new();
}

EVP_KDF_CTX *__wrap_EVP_KDF_CTX_new(EVP_KDF *kdf)
{
	return fails() ? NULL : __real_EVP_KDF_CTX_new(kdf);
}

SSL *__wrap_SSL_new(SSL_CTX *ctx)
{
	return fails() ? NULL : __real_SSL_new(ctx);
}

BIO *__wrap_BIO_new(const BIO_METHOD *method)
{
	return fails() ? NULL : __real_BIO_new(method);
}
