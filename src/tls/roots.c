/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trusted roots. Parsing a certificate costs a hundred times as much as hashing its bytes, and a
 * new snapshot (a renewed certificate, a rule) has nearly always the roots of the one before it, as
 * have listeners of one another. So those that are in use are found by a SHA-256 of all the bytes
 * that they were made of, and shared. The bytes that are hashed are those that are parsed: they are
 * read once. Only what was found good is in the list, and it leaves it with its last user. Where
 * the bytes differ, certificates that are the same are taken, by their own SHA-256, from sets that
 * were used last: what changes is one root of many.
 *
 * What a set of roots is for (purpose, names, depth) is the context's, not the set's. A set never
 * changes after it was made: libcrypto has a lock for those who look something up in it.
 */
#include "tls/roots.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/list.h"
#include "base/util.h"
#include "limits/limits.h"
#include "tls/library.h"
#include "tls/pem.h"

#define ISSUERS_NAME "the issuers' roots"

#define RECENT_MAX 8 /* sets that a new one takes certificates from */

struct member {
	uint8_t digest[SHA256_BYTES]; /* of its DER */
	X509 *certificate;	      /* the store's */
};

struct roots {
	struct list_node node;
	unsigned int refs; /* under the mutex */
	uint8_t digest[SHA256_BYTES];
	X509_STORE *store;
	OSSL_LIB_CTX *library;
	struct member *members; /* in order of their digests */
	size_t count;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct list_node in_use = { &in_use, &in_use }; /* who was asked for last is the last */

/* References to those that were used last. */
struct recent {
	struct roots *sets[RECENT_MAX];
	size_t count;
};

/* One file, or the text that came from elsewhere. */
struct piece {
	const char *name;
	const char *text; /* of the params; NULL: `file` */
	struct pem_file file;
};

struct pieces {
	struct piece *items;
	size_t count;
};

static const char *bytes_of(const struct piece *piece, size_t *ret_len)
{
	*ret_len = piece->text ? strlen(piece->text) : piece->file.len;
	return piece->text ? piece->text : (const char *)piece->file.bytes;
}

static void pieces_fini(struct pieces *pieces)
{
	for (size_t i = 0; i < pieces->count; i++)
		pem_file_fini(&pieces->items[i].file);
	free(pieces->items);
}

#define cleanup_pieces __attribute__((cleanup(pieces_fini)))

static int read_pieces(const struct tls_context_params *params, struct pieces *ret,
		       struct err_text *err)
{
	int r = 0;

	ret->items = calloc(params->root_file_count + 1, sizeof(*ret->items));
	if (!ret->items)
		return -ENOMEM;
	for (size_t i = 0; !r && i < params->root_file_count; i++) {
		struct piece *piece = &ret->items[ret->count++];

		piece->name = params->root_files[i];
		r = pem_read_file(piece->name, &piece->file, err);
	}
	if (!r && params->roots_pem)
		ret->items[ret->count++] =
			(struct piece){ .name = ISSUERS_NAME, .text = params->roots_pem };
	if (!r && !ret->count)
		r = err_set(err, PEM_FAULT, "no file of trusted roots is given");
	return r;
}

static void free_hash(EVP_MD_CTX **hash)
{
	EVP_MD_CTX_free(*hash);
}

/* Each with its length before it, so that no two sequences of pieces are the same bytes. */
static int digest_pieces(const struct pieces *pieces, uint8_t ret[SHA256_BYTES])
{
	__attribute__((cleanup(free_hash))) EVP_MD_CTX *hash = EVP_MD_CTX_new();
	bool ok = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL);

	for (size_t i = 0; ok && i < pieces->count; i++) {
		size_t len;
		const char *bytes = bytes_of(&pieces->items[i], &len);
		uint64_t length = len;

		ok = EVP_DigestUpdate(hash, &length, sizeof(length)) &&
		     EVP_DigestUpdate(hash, bytes, len);
	}
	return ok && EVP_DigestFinal_ex(hash, ret, NULL) ? 0 : -ENOMEM;
}

static int by_digest(const void *a, const void *b)
{
	return memcmp(((const struct member *)a)->digest, ((const struct member *)b)->digest,
		      SHA256_BYTES);
}

/* The certificate of these bytes; parsed, if nobody has it. */
static X509 *make_certificate(const uint8_t *der, long der_bytes, void *arg)
{
	const struct recent *recent = arg;
	const struct member *found = NULL;
	struct member key;

	if (recent->count &&
	    !EVP_Digest(der, (size_t)der_bytes, key.digest, NULL, EVP_sha256(), NULL))
		return NULL;
	for (size_t i = 0; i < recent->count && !found; i++)
		found = bsearch(&key, recent->sets[i]->members, recent->sets[i]->count, sizeof(key),
				by_digest);
	if (!found)
		return d2i_X509(NULL, &der, der_bytes);
	return X509_up_ref(found->certificate) ? found->certificate : NULL;
}

/* Adds one piece's certificates; *roots counts those that can end a chain. */
static int add_piece(X509_STORE *store, const struct piece *piece, struct recent *recent,
		     size_t *total, size_t *roots, struct err_text *err)
{
	cleanup_certificates STACK_OF(X509) *certificates = NULL;
	size_t len;
	const char *bytes = bytes_of(piece, &len);
	int r = pem_parse_certificates_by(piece->name, bytes, len, ROOTS_MAX - *total,
					  make_certificate, recent, &certificates, err);

	if (r)
		return r;
	for (int i = 0; i < sk_X509_num(certificates); i++) {
		X509 *certificate = sk_X509_value(certificates, i);

		if (!X509_STORE_add_cert(store, certificate))
			return err_set(err, PEM_FAULT, "%s: certificate number %d: %s", piece->name,
				       i + 1, pem_crypto_reason());
		*roots += X509_self_signed(certificate, 0) == 1;
	}
	*total += (size_t)sk_X509_num(certificates);
	return 0;
}

static int fill(X509_STORE *store, const struct pieces *pieces, struct recent *recent,
		struct err_text *err)
{
	size_t total = 0, roots = 0;
	int r = 0;

	for (size_t i = 0; !r && i < pieces->count; i++)
		r = add_piece(store, &pieces->items[i], recent, &total, &roots, err);
	/* Intermediates are welcome beside their root, for peers that do not send them; alone they
	 * end no chain, and nobody would ever be let in. */
	if (!r && !roots)
		r = err_set(err, PEM_FAULT, "%s: holds no root (no self-signed certificate)",
			    pieces->items[0].name);
	return r;
}

/* For those that come later. */
static int note_members(struct roots *roots)
{
	cleanup_certificates STACK_OF(X509) *all = X509_STORE_get1_all_certs(roots -> store);
	size_t count = all ? (size_t)sk_X509_num(all) : 0;

	roots->members = all ? calloc(count, sizeof(*roots->members)) : NULL;
	if (!roots->members)
		return -ENOMEM;
	for (; roots->count < count; roots->count++) {
		struct member *member = &roots->members[roots->count];

		member->certificate = sk_X509_value(all, (int)roots->count);
		if (!X509_digest(member->certificate, EVP_sha256(), member->digest, NULL))
			return -ENOMEM;
	}
	qsort(roots->members, count, sizeof(*roots->members), by_digest);
	return 0;
}

static void recent_fini(struct recent *recent)
{
	for (size_t i = 0; i < recent->count; i++)
		roots_unref(recent->sets[i]);
}

#define cleanup_recent __attribute__((cleanup(recent_fini)))

/* Under the mutex. */
static struct roots *search(const uint8_t digest[SHA256_BYTES])
{
	for (struct list_node *it = in_use.prev; it != &in_use; it = it->prev) {
		struct roots *roots = container_of(it, struct roots, node);

		if (!memcmp(roots->digest, digest, SHA256_BYTES))
			return roots;
	}
	return NULL;
}

/* A reference, or NULL and where else to look for certificates. */
static struct roots *find(const uint8_t digest[SHA256_BYTES], struct recent *ret)
{
	struct list_node *it;
	struct roots *found;

	pthread_mutex_lock(&mutex);
	found = search(digest);
	if (found) {
		found->refs++;
		list_remove(&found->node);
		list_append(&in_use, &found->node);
	}
	for (it = in_use.prev; !found && it != &in_use && ret->count < RECENT_MAX; it = it->prev) {
		ret->sets[ret->count] = container_of(it, struct roots, node);
		ret->sets[ret->count++]->refs++;
	}
	pthread_mutex_unlock(&mutex);
	return found;
}

static int make(const struct pieces *pieces, const uint8_t digest[SHA256_BYTES],
		struct recent *recent, struct roots **ret, struct err_text *err)
{
	struct roots *roots = calloc(1, sizeof(*roots));
	int r;

	if (!roots)
		return -ENOMEM;
	list_init(&roots->node);
	roots->refs = 1;
	memcpy(roots->digest, digest, SHA256_BYTES);
	roots->store = X509_STORE_new();
	r = roots->store ? fill(roots->store, pieces, recent, err) : -ENOMEM;
	if (!r)
		r = note_members(roots);
	if (r) {
		roots_unref(roots);
		return r;
	}
	roots->library = tls_library(roots->store);
	/* Two threads may come here with the same: then there are two for a while. */
	pthread_mutex_lock(&mutex);
	list_append(&in_use, &roots->node);
	pthread_mutex_unlock(&mutex);
	*ret = roots;
	return 0;
}

int roots_get(const struct tls_context_params *params, struct roots **ret, struct err_text *err)
{
	cleanup_pieces struct pieces pieces = { 0 };
	cleanup_recent struct recent recent = { .count = 0 };
	uint8_t digest[SHA256_BYTES];
	int r = read_pieces(params, &pieces, err);

	if (!r)
		r = digest_pieces(&pieces, digest);
	if (!r) {
		struct roots *found = find(digest, &recent);

		if (found)
			*ret = found;
		else
			r = make(&pieces, digest, &recent, ret, err);
	}
	return r == PEM_FAULT ? TLS_CONTEXT_FAULT_ROOTS : r;
}

void roots_unref(struct roots *roots)
{
	bool last;

	if (!roots)
		return;
	pthread_mutex_lock(&mutex);
	last = --roots->refs == 0;
	if (last)
		list_remove(&roots->node);
	pthread_mutex_unlock(&mutex);
	if (!last)
		return;
	X509_STORE_free(roots->store);
	free(roots->members);
	free(roots);
}

X509_STORE *roots_store(const struct roots *roots)
{
	return roots->store;
}

OSSL_LIB_CTX *roots_library(const struct roots *roots)
{
	return roots->library;
}
