/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits by order: for an emergency an operator gives a client or a group other limits than the
 * configuration has, for a while. They outlast reloads, not the process. A bounded list that the
 * table of clients (clients.h) owns and guards.
 */
#ifndef SALLYPORT_LIMITS_CLIENT_ORDERS_H
#define SALLYPORT_LIMITS_CLIENT_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

struct client_limits;

/* Which of the limits an order is about; the others stay the configuration's. */
enum client_order_field {
	CLIENT_ORDER_PRODUCE = 1 << 0, /* rate and burst */
	CLIENT_ORDER_CONSUME = 1 << 1,
	CLIENT_ORDER_CONNECTIONS = 1 << 2,
	CLIENT_ORDER_CONNECTION_RATE = 1 << 3,
	CLIENT_ORDER_HANDSHAKE_RATE = 1 << 4,
};

struct client_order {
	struct client_order *next;
	bool of_group;
	unsigned int fields; /* enum client_order_field */
	const struct client_limits *limits;
	uint64_t expires_ns; /* monotonic; UINT64_MAX: never */
	const char *name;
};

/* Adds what `fields` says to an earlier order of the same name, or makes one; `expires_ns` is the
 * whole order's from then on. 0, -ENOMEM, or -ENOSPC: CLIENT_ORDERS_MAX are there. */
int client_orders_set(struct client_order **orders, const char *name, bool of_group,
		      unsigned int fields, const struct client_limits *limits, uint64_t expires_ns);
/* Takes it out of the list, for client_order_free(). NULL: there is none. */
struct client_order *client_orders_take(struct client_order **orders, const char *name,
					bool of_group);
/* The first that has run off, taken out of the list, or NULL. */
struct client_order *client_orders_take_expired(struct client_order **orders, uint64_t now_ns);
/* Changes `limits` as the order of this name says, if there is one. */
void client_orders_apply(const struct client_order *orders, const char *name, bool of_group,
			 struct client_limits *limits);
void client_order_free(struct client_order *order);   /* NULL is fine */
void client_orders_free(struct client_order *orders); /* the whole list; NULL is fine */

#endif
