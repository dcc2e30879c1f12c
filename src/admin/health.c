/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of conditions (health.h): one array under one mutex, since there are few of them and
 * they change rarely. Any thread.
 */
#include "admin/health.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "limits/limits.h"

struct health {
	pthread_mutex_t mutex;
	struct health_condition conditions[HEALTH_CONDITIONS_MAX];
	size_t count;
	uint64_t round[HEALTH_KIND_COUNT]; /* sweeps so far */
};

static const struct {
	const char *name;
	enum health_severity severity;
	const char *meaning, *remedy;
} kinds[HEALTH_KIND_COUNT] = {
#define X(suffix, name, severity, meaning, remedy)                                                 \
	[HEALTH_##suffix] = { name, HEALTH_##severity, meaning, remedy },
	HEALTH_KINDS(X)
#undef X
};

_Static_assert(HEALTH_KIND_COUNT <= 32, "kinds are bits of a uint32_t");

const char *health_kind_name(enum health_kind kind)
{
	return kinds[kind].name;
}

enum health_severity health_kind_severity(enum health_kind kind)
{
	return kinds[kind].severity;
}

const char *health_kind_meaning(enum health_kind kind)
{
	return kinds[kind].meaning;
}

const char *health_kind_remedy(enum health_kind kind)
{
	return kinds[kind].remedy;
}

const char *health_severity_name(enum health_severity severity)
{
	static const char *const names[] = { "note", "degraded", "failing" };

	return names[severity];
}

struct health *health_new(void)
{
	struct health *health = calloc(1, sizeof(*health));

	if (health)
		pthread_mutex_init(&health->mutex, NULL);
	return health;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	pthread_mutex_destroy(&health->mutex);
	free(health);
}

/* Notes are not told: what they say stands in the log from the start. */
static bool is_told(const struct health_condition *c)
{
	return kinds[c->kind].severity != HEALTH_NOTE;
}

static void log_condition(struct log_line *line, const struct health_condition *c,
			  const char *state)
{
	log_str(line, "condition", kinds[c->kind].name);
	log_str(line, "state", state);
	log_str(line, "severity", health_severity_name(kinds[c->kind].severity));
	log_str(line, "subject", c->subject[0] ? c->subject : NULL);
}

static void log_begins(const struct health_condition *c)
{
	struct log_line line;

	if (!is_told(c))
		return;
	log_begin(&line, LOG_WARNING, "condition");
	log_condition(&line, c, "begins");
	log_str(&line, "detail", c->detail[0] ? c->detail : NULL);
	log_str(&line, "msg", kinds[c->kind].meaning);
	log_end(&line);
}

static void log_is_over(const struct health_condition *c)
{
	uint64_t now_ns = clock_realtime_ns();
	struct log_line line;

	if (!is_told(c))
		return;
	log_begin(&line, LOG_INFO, "condition");
	log_condition(&line, c, "over");
	log_seconds(&line, "seconds", now_ns - MIN(c->since_ns, now_ns));
	log_end(&line);
}

/* All below: with the mutex held. */
static struct health_condition *find(struct health *health, enum health_kind kind,
				     const char *subject)
{
	for (size_t i = 0; i < health->count; i++) {
		struct health_condition *c = &health->conditions[i];

		if (c->kind == kind && strcmp(c->subject, subject) == 0)
			return c;
	}
	return NULL;
}

static void drop(struct health *health, struct health_condition *c)
{
	log_is_over(c);
	*c = health->conditions[--health->count];
}

void health_set(struct health *health, enum health_kind kind, const char *subject, const char *fmt,
		...)
{
	struct health_condition *c, fresh = { .kind = kind };
	va_list ap;

	snprintf(fresh.subject, sizeof(fresh.subject), "%s", subject);
	va_start(ap, fmt);
	vsnprintf(fresh.detail, sizeof(fresh.detail), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&health->mutex);
	c = find(health, kind, fresh.subject);
	if (c) {
		memcpy(c->detail, fresh.detail, sizeof(c->detail));
		c->round = health->round[kind];
	} else if (health->count < HEALTH_CONDITIONS_MAX) {
		fresh.since_ns = clock_realtime_ns();
		fresh.round = health->round[kind];
		health->conditions[health->count++] = fresh;
		log_begins(&fresh);
	}
	pthread_mutex_unlock(&health->mutex);
}

void health_clear(struct health *health, enum health_kind kind, const char *subject)
{
	struct health_condition *c;

	pthread_mutex_lock(&health->mutex);
	c = find(health, kind, subject);
	if (c)
		drop(health, c);
	pthread_mutex_unlock(&health->mutex);
}

void health_sweep(struct health *health, uint32_t which)
{
	pthread_mutex_lock(&health->mutex);
	for (size_t i = health->count; i-- > 0;) {
		struct health_condition *c = &health->conditions[i];

		if ((which & (1u << c->kind)) && c->round != health->round[c->kind])
			drop(health, c);
	}
	for (int i = 0; i < HEALTH_KIND_COUNT; i++)
		if (which & (1u << i))
			health->round[i]++;
	pthread_mutex_unlock(&health->mutex);
}

static int compare(const void *a, const void *b)
{
	const struct health_condition *x = a, *y = b;

	if (kinds[x->kind].severity != kinds[y->kind].severity)
		return kinds[x->kind].severity < kinds[y->kind].severity ? 1 : -1;
	if (x->since_ns != y->since_ns)
		return x->since_ns < y->since_ns ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return strcmp(x->subject, y->subject);
}

size_t health_list(struct health *health, struct health_condition *ret, size_t max,
		   enum health_severity *ret_worst)
{
	size_t count;

	*ret_worst = HEALTH_NOTE;
	pthread_mutex_lock(&health->mutex);
	count = health->count;
	qsort(health->conditions, count, sizeof(health->conditions[0]), compare);
	if (count)
		*ret_worst = kinds[health->conditions[0].kind].severity;
	memcpy(ret, health->conditions, MIN(count, max) * sizeof(*ret));
	pthread_mutex_unlock(&health->mutex);
	return count;
}
