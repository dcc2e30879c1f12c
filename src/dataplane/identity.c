/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing for all workers (identity.h). The ring on disk is the main thread's; what signs now is a
 * counted reference behind a mutex, which is held for as long as it takes to copy it. A key may be
 * dropped here while somebody signs with it.
 */
#include "dataplane/identity.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "pki/key_ring.h"

struct identity {
	char *dir;
	struct key_ring *ring;
	pthread_mutex_t mutex;
	struct token_key *current; /* under the mutex */
	struct err_text failure;   /* likewise; "": none */
};

int identity_make_folder(const struct config *config, struct err_text *err)
{
	const char *dir = config->identity.directory;
	struct passwd *user = NULL;
	struct stat st;

	if (!dir || stat(dir, &st) == 0)
		return 0;
	if (config->user && geteuid() == 0) {
		user = getpwnam(config->user);
		if (!user)
			return err_set(err, -ENOENT, "user: there is no '%s' on this host",
				       config->user);
	}
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_set(err, -errno, "identity.directory: can not make %s: %s", dir,
			       strerror(errno));
	if (user && chown(dir, user->pw_uid, user->pw_gid) < 0)
		return err_set(err, -errno, "identity.directory: can not give %s to %s: %s", dir,
			       config->user, strerror(errno));
	return 0;
}

static int64_t now_seconds(void)
{
	return (int64_t)(clock_realtime_ns() / NSEC_PER_SEC);
}

/* Which key signs from now on; said when it changes. */
static void choose_key(struct identity *identity)
{
	struct token_key *key = key_ring_current(identity->ring, now_seconds());
	struct token_key *before = identity->current;
	struct log_line line;

	/* Read again, a key is another object, but of the same name. */
	if (before && strcmp(before->jwk.kid, key->jwk.kid) == 0)
		return;
	pthread_mutex_lock(&identity->mutex);
	identity->current = token_key_ref(key);
	pthread_mutex_unlock(&identity->mutex);
	token_key_unref(before);
	log_begin(&line, LOG_INFO, "identity_key");
	log_str(&line, "kid", key->jwk.kid);
	log_str(&line, "algorithm", jwt_algorithm_name(key->jwk.algorithm));
	log_u64(&line, "published", key_ring_count(identity->ring));
	log_str(&line, "directory", identity->dir);
	log_end(&line);
}

int identity_open(const struct config_identity_keys *config, struct identity **ret,
		  struct err_text *err)
{
	static const enum jwt_algorithm algorithms[] = {
		[CONFIG_EDDSA] = JWT_EDDSA,
		[CONFIG_ES256] = JWT_ES256,
		[CONFIG_RS256] = JWT_RS256,
	};
	struct identity *identity;
	struct key_ring_params params = {
		.algorithm = algorithms[config->algorithm],
		.jwks_mode = config->jwks_mode,
		.rotate_every_s = (int64_t)(config->rotate_every_ms / 1000),
		.overlap_s = (int64_t)(config->overlap_ms / 1000),
	};
	int r;

	*ret = NULL;
	if (!config->directory)
		return 0;
	identity = calloc(1, sizeof(*identity));
	if (!identity)
		return err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&identity->mutex, NULL);
	identity->dir = strdup(config->directory);
	params.dir = identity->dir;
	r = identity->dir ? key_ring_open(&params, now_seconds(), &identity->ring, err)
			  : err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		identity_free(identity);
		return r;
	}
	choose_key(identity);
	*ret = identity;
	return 0;
}

void identity_free(struct identity *identity)
{
	if (!identity)
		return;
	token_key_unref(identity->current);
	key_ring_free(identity->ring);
	pthread_mutex_destroy(&identity->mutex);
	free(identity->dir);
	free(identity);
}

/* What keeps keys from being renewed, "" if nothing does: said once, until it works again. */
static void note_outcome(struct identity *identity, const struct err_text *err)
{
	bool known = identity->failure.text[0] != 0;

	pthread_mutex_lock(&identity->mutex);
	identity->failure = *err;
	pthread_mutex_unlock(&identity->mutex);
	if (!known && err->text[0])
		log_msg(LOG_WARNING, "identity_keys",
			"signing keys can not be renewed, those that are known stay in use: %s",
			err->text);
}

void identity_turn(struct identity *identity)
{
	struct key_ring_news news;
	struct err_text err = { "" };

	if (!identity)
		return;
	if (key_ring_turn(identity->ring, now_seconds(), &news, &err) == 0) {
		err.text[0] = 0;
		if (news.made || news.removed)
			log_msg(LOG_INFO, "identity_keys", "%s: %s; keys in its jwks.json: %zu",
				identity->dir,
				news.made ? "a new key signs when identity.overlap has passed"
					  : "an old key is gone",
				key_ring_count(identity->ring));
	}
	note_outcome(identity, &err);
	choose_key(identity);
}

size_t identity_token(struct identity *identity, const struct jwt_claims *claims,
		      char ret[TOKEN_BYTES_MAX])
{
	struct token_key *key;
	size_t len;

	pthread_mutex_lock(&identity->mutex);
	key = token_key_ref(identity->current);
	pthread_mutex_unlock(&identity->mutex);
	len = token_key_sign(key, claims, ret);
	token_key_unref(key);
	return len;
}

bool identity_failing(struct identity *identity, struct err_text *ret_why)
{
	if (!identity)
		return false;
	pthread_mutex_lock(&identity->mutex);
	*ret_why = identity->failure;
	pthread_mutex_unlock(&identity->mutex);
	return ret_why->text[0] != 0;
}
