/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of successes. A third of a handshake goes into finding out what was found out when the
 * same client came last; this remembers it. What makes that safe:
 *
 * - It belongs to one context, whose roots never change: other roots, or any other change of the
 *   configuration, are another context with an empty table. Contexts may share their roots
 *   (roots.h), never this.
 * - The key is a SHA-256 of the exact bytes of all certificates that were sent and of the
 *   parameters of the verification. Nobody can make two lists with one key.
 * - Only success is kept, and only of a peer that went on to prove that it has the private key:
 *   nobody fills the table with certificates of others, and no failure is ever remembered.
 * - Time is not remembered but compared: an entry is worth nothing outside of the time that all
 *   certificates of its chain have in common. Then, as in all cases of doubt, the verification is
 *   done in full, and it is that which refuses.
 * - Only a list that is exactly the beginning of the chain is kept, so that one certificate has
 *   not as many keys as there are lists that begin with it.
 *
 * The peer's own signature of this handshake (CertificateVerify) is libssl's to check, each time.
 * Whatever else has to be asked anew for each handshake (revocation, say) has its place where
 * handshake_callbacks.c calls this, after a hit as after a verification; a list of revoked
 * certificates that is part of the verification itself would have to be part of the key.
 *
 * How long a handshake takes tells its peer if it was here before. It knows that, or it has the
 * certificate of somebody who was, which is no secret of ours.
 *
 * Shared by all workers. A set of places has a lock that is held for the compare of a few words
 * and never waited for: who finds it taken verifies in full, or does not keep.
 */
#include "tls/verified.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "base/util.h"
#include "limits/limits.h"

#define WAYS  16 /* places in a set */
#define SETS  (VERIFIED_PEERS_MAX / WAYS)
#define LOCKS 64

static_assert(SETS % LOCKS == 0 && SETS <= 65536, "two bytes of a key choose the set");

struct place {
	struct verified_proof proof;
	struct peer *peer; /* one reference; NULL: empty */
};

struct verified {
	EVP_MD *sha256; /* found once: looking for it is dearer than using it */
	pthread_mutex_t locks[LOCKS];
	struct place places[SETS][WAYS];
};

int verified_new(struct verified **ret)
{
	struct verified *verified = calloc(1, sizeof(*verified));

	if (!verified)
		return -ENOMEM;
	verified->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!verified->sha256) {
		free(verified);
		return -ENOMEM;
	}
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_init(&verified->locks[i], NULL);
	*ret = verified;
	return 0;
}

void verified_free(struct verified *verified)
{
	if (!verified)
		return;
	for (int set = 0; set < SETS; set++)
		for (int way = 0; way < WAYS; way++)
			peer_free(verified->places[set][way].peer);
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&verified->locks[i]);
	EVP_MD_free(verified->sha256);
	free(verified);
}

/* With its length before it, so that no two sequences of pieces are the same bytes. */
static bool add(EVP_MD_CTX *hash, const void *bytes, size_t len)
{
	uint64_t length = len;

	return EVP_DigestUpdate(hash, &length, sizeof(length)) &&
	       EVP_DigestUpdate(hash, bytes, len);
}

static bool add_certificate(EVP_MD_CTX *hash, X509 *certificate)
{
	unsigned char *der = NULL;
	int len = i2d_X509(certificate, &der);
	bool ok = len > 0 && add(hash, der, (size_t)len);

	OPENSSL_free(der);
	return ok;
}

static bool add_names(EVP_MD_CTX *hash, X509_VERIFY_PARAM *param)
{
	char *address = X509_VERIFY_PARAM_get1_ip_asc(param);
	bool ok = true;
	const char *host;

	for (int i = 0; ok && (host = X509_VERIFY_PARAM_get0_host(param, i)); i++)
		ok = add(hash, host, strlen(host));
	ok = ok && add(hash, "", 0); /* no name is taken for an address */
	if (ok && address)
		ok = add(hash, address, strlen(address));
	OPENSSL_free(address);
	return ok;
}

/* Most of these never change in a context; that is not for this file to know. The purpose can not
 * be read from OpenSSL before 3.5: it is the context's role. */
static bool add_parameters(EVP_MD_CTX *hash, X509_VERIFY_PARAM *param)
{
	const uint64_t numbers[] = {
		X509_VERIFY_PARAM_get_flags(param),
		X509_VERIFY_PARAM_get_hostflags(param),
		(uint64_t)X509_VERIFY_PARAM_get_depth(param),
		(uint64_t)X509_VERIFY_PARAM_get_auth_level(param),
	};

	return add(hash, numbers, sizeof(numbers)) && add_names(hash, param);
}

bool verified_key(const struct verified *verified, X509_STORE_CTX *store,
		  struct verified_proof *proof)
{
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	/* That the list begins with the leaf is libssl's habit; all that follows rests on it. */
	bool ok = hash && sk_X509_num(sent) > 0 &&
		  sk_X509_value(sent, 0) == X509_STORE_CTX_get0_cert(store) &&
		  EVP_DigestInit_ex2(hash, verified->sha256, NULL);

	/* What fails here is no failure of the handshake, and no address is an error in the eyes of
	 * get1_ip_asc(). */
	ERR_set_mark();
	for (int i = 0; ok && i < sk_X509_num(sent); i++)
		ok = add_certificate(hash, sk_X509_value(sent, i));
	ok = ok && add_parameters(hash, X509_STORE_CTX_get0_param(store)) &&
	     EVP_DigestFinal_ex(hash, proof->key, NULL);
	ERR_pop_to_mark();
	EVP_MD_CTX_free(hash);
	return ok;
}

static struct place *set_of(struct verified *verified, const struct verified_proof *proof,
			    pthread_mutex_t **ret_lock)
{
	size_t set = (proof->key[0] | (size_t)proof->key[1] << 8) % SETS;

	*ret_lock = &verified->locks[set % LOCKS];
	return verified->places[set];
}

static struct place *place_of(struct place *set, const struct verified_proof *proof)
{
	for (int way = 0; way < WAYS; way++)
		if (set[way].peer && !memcmp(set[way].proof.key, proof->key, VERIFIED_KEY_BYTES))
			return &set[way];
	return NULL;
}

static int64_t moment_of(X509_STORE_CTX *store)
{
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(store);

	if (X509_VERIFY_PARAM_get_flags(param) & X509_V_FLAG_USE_CHECK_TIME)
		return X509_VERIFY_PARAM_get_time(param);
	return time(NULL);
}

struct peer *verified_find(struct verified *verified, const struct verified_proof *proof,
			   X509_STORE_CTX *store)
{
	pthread_mutex_t *lock;
	struct place *set = set_of(verified, proof, &lock), *place;
	int64_t now = moment_of(store);
	struct peer *peer = NULL;

	if (pthread_mutex_trylock(lock))
		return NULL;
	place = place_of(set, proof);
	if (place && now >= place->proof.not_before && now < place->proof.not_after)
		peer = peer_ref(place->peer);
	pthread_mutex_unlock(lock);
	return peer;
}

static bool seconds_of(const ASN1_TIME *when, int64_t *ret)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(when, &tm) != 1)
		return false;
	*ret = timegm(&tm);
	return true;
}

bool verified_times(X509_STORE_CTX *store, struct verified_proof *proof)
{
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
	int count = sk_X509_num(chain);

	if (count < 1 || sk_X509_num(sent) > count)
		return false;
	proof->not_before = INT64_MIN;
	proof->not_after = INT64_MAX;
	for (int i = 0; i < count; i++) {
		X509 *certificate = sk_X509_value(chain, i);
		int64_t from, to;

		if (i < sk_X509_num(sent) && X509_cmp(sk_X509_value(sent, i), certificate))
			return false;
		if (!seconds_of(X509_get0_notBefore(certificate), &from) ||
		    !seconds_of(X509_get0_notAfter(certificate), &to))
			return false;
		proof->not_before = MAX(proof->not_before, from);
		proof->not_after = MIN(proof->not_after, to);
	}
	return true;
}

/* An empty one; else the one that the key names, which nobody can choose. */
static struct place *place_for(struct place *set, const struct verified_proof *proof)
{
	for (int way = 0; way < WAYS; way++)
		if (!set[way].peer)
			return &set[way];
	return &set[proof->key[2] % WAYS];
}

void verified_keep(struct verified *verified, const struct verified_proof *proof, struct peer *peer)
{
	pthread_mutex_t *lock;
	struct place *set = set_of(verified, proof, &lock), *place;
	struct peer *old;

	if (peer->bytes > VERIFIED_PEER_BYTES_MAX || pthread_mutex_trylock(lock))
		return;
	place = place_of(set, proof);
	if (!place)
		place = place_for(set, proof);
	old = place->peer;
	place->proof = *proof;
	place->peer = peer_ref(peer);
	pthread_mutex_unlock(lock);
	peer_free(old);
}
