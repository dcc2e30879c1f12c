/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of secret memory (secret.h). Chunks of SECRET_CHUNK_BYTES come from mmap and are kept for
 * the life of the process; each size class has a free list threaded through its free (wiped) slots.
 * One mutex: secrets are made and freed once a connection, not once a record.
 */
#include "base/secret.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"

#define SECRET_CHUNK_BYTES ((size_t)64 * 1024)
#define SECRET_CLASS_MIN   64 /* bytes of the smallest class; each next one doubles */
#define SECRET_CLASSES	   5  /* 64, 128, 256, 512, 1024 */

struct free_slot {
	struct free_slot *next;
};

static pthread_mutex_t secret_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct free_slot *free_slots[SECRET_CLASSES];
static bool all_locked = true;

static size_t class_of(size_t size)
{
	size_t class = 0;

	while (((size_t)SECRET_CLASS_MIN << class) < size)
		class ++;
	return class;
}

static int chunk_add(size_t class)
{
	size_t slot_bytes = (size_t)SECRET_CLASS_MIN << class;
	uint8_t *chunk = mmap(NULL, SECRET_CHUNK_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (chunk == MAP_FAILED)
		return -1;
	madvise(chunk, SECRET_CHUNK_BYTES, MADV_DONTDUMP);
	madvise(chunk, SECRET_CHUNK_BYTES, MADV_WIPEONFORK);
	/* Lock page by page as they are touched: a locked page is resident, and idle ones should
	 * not be. */
	if (mlock2(chunk, SECRET_CHUNK_BYTES, MLOCK_ONFAULT) < 0)
		all_locked = false;
	/* Threaded from the end, so that the lowest address is handed out first and pages are
	 * touched late. */
	for (size_t at = SECRET_CHUNK_BYTES; at >= slot_bytes; at -= slot_bytes) {
		struct free_slot *slot = (struct free_slot *)(chunk + at - slot_bytes);

		slot->next = free_slots[class];
		free_slots[class] = slot;
	}
	return 0;
}

void *secret_alloc(size_t size)
{
	struct free_slot *slot;
	size_t class;

	if (!size || size > SECRET_BYTES_MAX)
		return NULL;
	class = class_of(size);
	pthread_mutex_lock(&secret_mutex);
	if (!free_slots[class])
		chunk_add(class);
	slot = free_slots[class];
	if (slot) {
		free_slots[class] = slot->next;
		slot->next = NULL;
	}
	pthread_mutex_unlock(&secret_mutex);
	return slot;
}

void secret_free(void *p, size_t size)
{
	struct free_slot *slot = p;
	size_t class;

	if (!p)
		return;
	class = class_of(size);
	secret_wipe(p, (size_t)SECRET_CLASS_MIN << class);
	pthread_mutex_lock(&secret_mutex);
	slot->next = free_slots[class];
	free_slots[class] = slot;
	pthread_mutex_unlock(&secret_mutex);
}

void secret_wipe(void *p, size_t size)
{
	explicit_bzero(p, size);
}

bool secret_locked(void)
{
	bool locked;

	pthread_mutex_lock(&secret_mutex);
	locked = all_locked;
	pthread_mutex_unlock(&secret_mutex);
	return locked;
}
