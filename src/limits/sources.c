/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live connections by source (sources.h): a hash table with chains, one short mutex. A source is
 * made with its first connection and freed with its last.
 */
#include "limits/sources.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define CHAINS 65536 /* untouched pages of it cost nothing */

struct source {
	struct source *next, **slot; /* `slot` is what points at us */
	struct in6_addr key;
	uint64_t scope, connections;
};

struct sources {
	struct source_masks masks;
	struct source_secret secret;
	pthread_mutex_t mutex;
	struct source *chains[CHAINS];
};

int sources_new(const struct source_masks *masks, struct sources **ret)
{
	struct sources *sources = calloc(1, sizeof(*sources));
	int r;

	if (!sources)
		return -ENOMEM;
	r = source_secret_make(&sources->secret);
	if (r < 0) {
		free(sources);
		return r;
	}
	sources->masks = *masks;
	pthread_mutex_init(&sources->mutex, NULL);
	*ret = sources;
	return 0;
}

void sources_configure(struct sources *sources, const struct source_masks *masks)
{
	pthread_mutex_lock(&sources->mutex);
	sources->masks = *masks;
	pthread_mutex_unlock(&sources->mutex);
}

void sources_free(struct sources *sources)
{
	if (!sources)
		return;
	pthread_mutex_destroy(&sources->mutex);
	free(sources);
}

static struct source *find_or_make(struct sources *sources, const struct source *wanted)
{
	struct source **slot =
		&sources->chains[(source_hash(&sources->secret, &wanted->key) ^ wanted->scope) %
				 CHAINS];
	struct source *source = *slot;

	for (; source; source = source->next)
		if (source->scope == wanted->scope &&
		    memcmp(&source->key, &wanted->key, sizeof(source->key)) == 0)
			return source;
	source = malloc(sizeof(*source));
	if (!source)
		return NULL;
	*source = *wanted;
	source->next = *slot;
	source->slot = slot;
	if (source->next)
		source->next->slot = &source->next;
	*slot = source;
	return source;
}

int sources_enter(struct sources *sources, uint64_t scope, const struct in6_addr *address,
		  uint64_t max, struct source **ret)
{
	struct source wanted = { .scope = scope }, *source;
	int r = 0;

	pthread_mutex_lock(&sources->mutex);
	wanted.key = source_key(address, &sources->masks);
	source = find_or_make(sources, &wanted);
	if (!source)
		r = -ENOMEM;
	else if (source->connections >= max)
		r = -EDQUOT;
	else
		source->connections++;
	pthread_mutex_unlock(&sources->mutex);
	if (r == 0)
		*ret = source;
	return r;
}

void sources_leave(struct sources *sources, struct source *source)
{
	if (!source)
		return;
	pthread_mutex_lock(&sources->mutex);
	if (--source->connections == 0) {
		*source->slot = source->next;
		if (source->next)
			source->next->slot = source->slot;
		free(source);
	}
	pthread_mutex_unlock(&sources->mutex);
}
