/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL 3.0 and 3.1 look through all that they can do for each public key that they read: every
 * kind of key, every decoder, and, because all methods are in one table, every cipher. That is a
 * fifth of a handshake for each certificate of the peer. From 3.2 on the outcome is kept. Where it
 * is not, sessions get a library context of their own that can do what our TLS uses, and little
 * else.
 *
 * Its only provider is made here, and does nothing itself: it hands out the default provider's
 * algorithms (of the default library context, where they go on living) and leaves some out. What
 * it leaves out follows from the policy in context.c: ciphers of other suites, exchanges of other
 * groups, keys that no peer of ours can have. Digests and signatures, which decide if a
 * certificate is good, are all there. Kinds of keys that only a CA could have (SM2, say) are not,
 * so who has such a root gets the default library; an intermediate with such a key below another
 * root is refused, as it is where OpenSSL was built without them.
 *
 * Own keys and roots are read with the default library; OpenSSL hands their keys over on first use,
 * once. Because other providers (FIPS, PKCS#11, TPM) may have keys and promises that must not be
 * gone around, all this is only done where the default provider is alone, and where it knows each
 * name below. In all other cases the default library does it, as from 3.2 on: dearer, no less good.
 *
 * Made once, by whoever makes the first context; then only read. Lives as long as the process.
 */
#include "tls/library.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "base/util.h"

#define VERSION_THAT_KEEPS 0x30200000UL
#define NAMES_MAX	   8

struct choice {
	int operation;
	const char *names[NAMES_MAX];	      /* first names, as the default provider has them */
	OSSL_ALGORITHM algorithms[NAMES_MAX]; /* those of the default provider */
};

static struct choice choices[] = {
	{ OSSL_OP_CIPHER, { "AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305" } },
	{ OSSL_OP_MAC, { "HMAC" } },
	{ OSSL_OP_KDF, { "HKDF", "TLS13-KDF", "TLS1-PRF" } },
	{ OSSL_OP_KEYEXCH, { "ECDH", "X25519" } },
	/* HMAC: libssl signs its Finished with it. */
	{ OSSL_OP_KEYMGMT, { "EC", "RSA", "RSA-PSS", "ED25519", "X25519", "HMAC" } },
	{ OSSL_OP_DECODER, { "EC", "RSA", "RSA-PSS", "ED25519" } },
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_PROVIDER *all; /* the default provider */
static OSSL_LIB_CTX *library;

/* Of the decoders only those that read a certificate's key. */
static bool is_for_certificates(const OSSL_ALGORITHM *decoder)
{
	return strstr(decoder->property_definition, "input=der") &&
	       strstr(decoder->property_definition, "structure=SubjectPublicKeyInfo");
}

static bool is_called(const OSSL_ALGORITHM *algorithm, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(algorithm->algorithm_names, name, len) &&
	       (algorithm->algorithm_names[len] == ':' || !algorithm->algorithm_names[len]);
}

static const OSSL_ALGORITHM *find(const OSSL_ALGORITHM *at, int operation, const char *name)
{
	for (; at && at->algorithm_names; at++)
		if (is_called(at, name) &&
		    (operation != OSSL_OP_DECODER || is_for_certificates(at)))
			return at;
	return NULL;
}

/* False: the default provider is not the one that was expected. */
static bool choose(struct choice *choice)
{
	int uncached = 0;
	const OSSL_ALGORITHM *algorithms =
		OSSL_PROVIDER_query_operation(all, choice->operation, &uncached);

	/* The last place stays empty: it ends the table. */
	for (int i = 0; i < NAMES_MAX - 1 && choice->names[i]; i++) {
		const OSSL_ALGORITHM *found = find(algorithms, choice->operation, choice->names[i]);

		if (!found)
			return false;
		choice->algorithms[i] = *found;
	}
	return !uncached;
}

static const OSSL_ALGORITHM *query(void *ctx, int operation, int *uncached)
{
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		if (choices[i].operation == operation) {
			*uncached = 0;
			return choices[i].algorithms;
		}
	}
	return OSSL_PROVIDER_query_operation(all, operation, uncached);
}

static int get_capabilities(void *ctx, const char *capability, OSSL_CALLBACK *callback, void *arg)
{
	return OSSL_PROVIDER_get_capabilities(all, capability, callback, arg);
}

/* The algorithms are given the default provider's context, which is theirs. */
static int start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
		 const OSSL_DISPATCH **ret, void **ret_ctx)
{
	static const OSSL_DISPATCH functions[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query },
		{ OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities },
		{ 0, NULL },
	};

	*ret = functions;
	*ret_ctx = OSSL_PROVIDER_get0_provider_ctx(all);
	return 1;
}

static int note_other(OSSL_PROVIDER *provider, void *ret)
{
	if (strcmp(OSSL_PROVIDER_get0_name(provider), "default"))
		*(bool *)ret = true;
	return 1;
}

static bool is_default_alone(void)
{
	bool has_other = false;

	return OSSL_PROVIDER_do_all(NULL, note_other, &has_other) && !has_other &&
	       OSSL_PROVIDER_available(NULL, "default") &&
	       !EVP_default_properties_is_fips_enabled(NULL);
}

static void make(void)
{
	if (OpenSSL_version_num() >= VERSION_THAT_KEEPS || !is_default_alone())
		return;
	all = OSSL_PROVIDER_load(NULL, "default");
	if (!all)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
		if (!choose(&choices[i]))
			return;
	library = OSSL_LIB_CTX_new();
	if (library && OSSL_PROVIDER_add_builtin(library, "sallyport", start) &&
	    OSSL_PROVIDER_load(library, "sallyport"))
		return;
	OSSL_LIB_CTX_free(library);
	library = NULL;
}

static bool has_usual_key(X509 *certificate)
{
	static const char *const kinds[] = { "EC", "RSA", "RSA-PSS", "ED25519" };
	const EVP_PKEY *key = X509_get0_pubkey(certificate);

	for (size_t i = 0; key && i < ARRAY_SIZE(kinds); i++)
		if (EVP_PKEY_is_a(key, kinds[i]))
			return true;
	return false;
}

OSSL_LIB_CTX *tls_library(X509_STORE *roots)
{
	STACK_OF(X509) * certificates;
	bool usual;

	pthread_once(&once, make);
	if (!library)
		return NULL;
	certificates = X509_STORE_get1_all_certs(roots);
	usual = certificates;
	for (int i = 0; i < sk_X509_num(certificates); i++)
		usual = usual && has_usual_key(sk_X509_value(certificates, i));
	sk_X509_pop_free(certificates, X509_free);
	return usual ? library : NULL;
}
