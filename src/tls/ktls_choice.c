/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision of `ktls: auto` (ktls_choice.h). What is compared is one full record and one small
 * message together: bulk is where most time goes, and acknowledgements and fetches come with it. A
 * difference counts if it is there in all rounds but one, and more than noise: on a busy machine
 * the choice must not be a matter of luck. Where it does not count, facts stand, and the kernel
 * does the work. No state.
 */
#include "tls/ktls_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a difference that counts, in thousandths of what our own record layer costs. */
#define CLEAR_PERMILLE 50
#define AGREEING_MIN   (KTLS_ROUNDS - 1)

/* What the kernel costs more (less: negative) than our own record layer. */
struct difference {
	long permille; /* median */
	bool clear;
};

bool ktls_has_suites(const struct ktls_support *support, uint16_t version, unsigned int suites)
{
	const bool *ciphers = version == TLS_VERSION_1_3 ? support->cipher13 : support->cipher12;
	bool all = support->ulp;

	for (unsigned int i = 0; i < TLS_CIPHER_COUNT; i++)
		all = all && (ciphers[i] || !(suites & 1U << i));
	return all;
}

bool ktls_is_fit(const struct ktls_support *support, uint16_t version, unsigned int suites,
		 struct err_text *ret_why)
{
	bool all = ktls_has_suites(support, version, suites);

	if (!support->ulp)
		err_set(ret_why, 0, "the kernel has no TLS (%s)", support->why);
	else if (!all)
		err_set(ret_why, 0, "the kernel's TLS lacks a cipher (%s)", support->why);
	else if (version != TLS_VERSION_1_3)
		err_set(ret_why, 0, "the kernel has TLS and every cipher");
	else if (!support->rekey)
		err_set(ret_why, 0,
			"the kernel's TLS can not change keys (Linux 6.14 can), so that a peer's "
			"KeyUpdate would end its connection");
	else
		err_set(ret_why, 0, "the kernel has TLS, every cipher, and can change keys");
	return all && (version != TLS_VERSION_1_3 || support->rekey);
}

static int compare_longs(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

static long median(const long values[KTLS_ROUNDS])
{
	long sorted[KTLS_ROUNDS];

	memcpy(sorted, values, sizeof(sorted));
	qsort(sorted, KTLS_ROUNDS, sizeof(sorted[0]), compare_longs);
	return sorted[KTLS_ROUNDS / 2];
}

static uint64_t in_round(const struct ktls_costs *costs, enum ktls_direction direction,
			 enum ktls_way way, int round)
{
	/* The relay splices bulk only. */
	enum ktls_way small = way == KTLS_WAY_SPLICE ? KTLS_WAY_COPY : way;

	return (uint64_t)costs->ns[direction][KTLS_LARGE][way][round] +
	       costs->ns[direction][KTLS_SMALL][small][round];
}

static struct difference difference_of(const uint64_t own[KTLS_ROUNDS],
				       const uint64_t kernel[KTLS_ROUNDS])
{
	struct difference difference;
	long permille[KTLS_ROUNDS];
	int agreeing = 0;

	for (int i = 0; i < KTLS_ROUNDS; i++)
		permille[i] = own[i] ? ((long)kernel[i] - (long)own[i]) * 1000 / (long)own[i] : 0;
	difference.permille = median(permille);
	for (int i = 0; i < KTLS_ROUNDS; i++)
		agreeing += difference.permille < 0 ? permille[i] < 0 : permille[i] > 0;
	difference.clear = labs(difference.permille) >= CLEAR_PERMILLE && agreeing >= AGREEING_MIN;
	return difference;
}

/* Adds a direction to the sums, by rounds. */
static void add(const struct ktls_costs *costs, enum ktls_direction direction, enum ktls_way way,
		uint64_t own[KTLS_ROUNDS], uint64_t kernel[KTLS_ROUNDS])
{
	/* Not every kernel has every way; nor is there a pipe for everybody. */
	if (!costs->ns[direction][KTLS_LARGE][way][0])
		way = KTLS_WAY_COPY;
	for (int i = 0; i < KTLS_ROUNDS; i++) {
		own[i] += in_round(costs, direction, KTLS_WAY_OWN, i);
		kernel[i] += in_round(costs, direction, way, i);
	}
}

static struct difference in_direction(const struct ktls_costs *costs, enum ktls_direction direction,
				      enum ktls_way way)
{
	uint64_t own[KTLS_ROUNDS] = { 0 }, kernel[KTLS_ROUNDS] = { 0 };

	add(costs, direction, way, own, kernel);
	return difference_of(own, kernel);
}

static struct difference together(const struct ktls_costs *costs, const struct ktls_ways *ways)
{
	uint64_t own[KTLS_ROUNDS] = { 0 }, kernel[KTLS_ROUNDS] = { 0 };

	add(costs, KTLS_SENDING, ways->sending, own, kernel);
	add(costs, KTLS_RECEIVING, ways->receiving, own, kernel);
	return difference_of(own, kernel);
}

#define DIFFERENCE_TEXT_BYTES 40

static const char *say(const struct difference *difference, char ret[DIFFERENCE_TEXT_BYTES])
{
	if (!difference->clear)
		return "about the same";
	snprintf(ret, DIFFERENCE_TEXT_BYTES, "%ld %% %s", (labs(difference->permille) + 5) / 10,
		 difference->permille < 0 ? "less" : "more");
	return ret;
}

static bool is_dearer(const struct difference *kernel)
{
	return kernel->clear && kernel->permille > 0;
}

enum ktls_use ktls_choose(const struct ktls_costs *costs, const struct ktls_ways *ways,
			  struct err_text *ret_why)
{
	char text[3][DIFFERENCE_TEXT_BYTES];
	struct difference sending, receiving, both;

	if (!costs->measured) {
		err_set(ret_why, 0, "the kernel is fit; not measured: %s",
			costs->why.text[0] ? costs->why.text : "nobody has asked for it");
		return KTLS_USE_BOTH;
	}
	sending = in_direction(costs, KTLS_SENDING, ways->sending);
	receiving = in_direction(costs, KTLS_RECEIVING, ways->receiving);
	err_set(ret_why, 0, "measured: sending in the kernel costs %s, receiving %s",
		say(&sending, text[0]), say(&receiving, text[1]));
	if (!is_dearer(&receiving) && !is_dearer(&sending))
		return KTLS_USE_BOTH;
	if (!is_dearer(&sending))
		return KTLS_USE_SENDING;
	if (is_dearer(&receiving))
		return KTLS_USE_NONE;
	/* Receiving alone is not given to the kernel. */
	both = together(costs, ways);
	err_set(ret_why, 0, "measured: sending in the kernel costs %s, receiving %s, together %s",
		say(&sending, text[0]), say(&receiving, text[1]), say(&both, text[2]));
	return is_dearer(&both) ? KTLS_USE_NONE : KTLS_USE_BOTH;
}

uint32_t ktls_cost(const struct ktls_costs *costs, enum ktls_direction direction,
		   enum ktls_size size, enum ktls_way way)
{
	long ns[KTLS_ROUNDS];

	for (int i = 0; i < KTLS_ROUNDS; i++)
		ns[i] = costs->ns[direction][size][way][i];
	return (uint32_t)median(ns);
}

const char *ktls_use_name(enum ktls_use use)
{
	switch (use) {
	case KTLS_USE_BOTH:
		return "ktls";
	case KTLS_USE_SENDING:
		return "ktls_send";
	default:
		return "aead";
	}
}

const char *ktls_way_name(enum ktls_way way)
{
	static const char *const names[KTLS_WAY_COUNT] = {
		[KTLS_WAY_OWN] = "aead",
		[KTLS_WAY_COPY] = "ktls",
		[KTLS_WAY_UNPADDED] = "unpadded",
		[KTLS_WAY_SPLICE] = "spliced",
	};

	return names[way];
}
