/* SPDX-License-Identifier: Apache-2.0 */
/* A list of few (client_orders.h); whoever owns it has it locked. */
#include "limits/client_orders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "limits/clients.h"

/* An order with what its pointers lead to. */
struct stored {
	struct client_order order;
	struct client_limits limits;
	char name[];
};

static struct client_order **find(struct client_order **orders, const char *name, bool of_group)
{
	while (*orders && ((*orders)->of_group != of_group || strcmp((*orders)->name, name) != 0))
		orders = &(*orders)->next;
	return orders;
}

static void copy_fields(struct client_limits *to, const struct client_limits *from,
			unsigned int fields)
{
	static const unsigned int bits[CLIENT_DIRECTION_COUNT] = {
		[CLIENT_PRODUCE] = CLIENT_ORDER_PRODUCE,
		[CLIENT_CONSUME] = CLIENT_ORDER_CONSUME,
	};

	for (int i = 0; i < CLIENT_DIRECTION_COUNT; i++) {
		if (!(fields & bits[i]))
			continue;
		to->rate[i] = from->rate[i];
		to->burst[i] = from->burst[i];
	}
	if (fields & CLIENT_ORDER_CONNECTIONS)
		to->connections = from->connections;
	if (fields & CLIENT_ORDER_CONNECTION_RATE)
		to->connections_per_second = from->connections_per_second;
	if (fields & CLIENT_ORDER_HANDSHAKE_RATE)
		to->handshakes_per_second = from->handshakes_per_second;
}

static struct client_order *make(const char *name, bool of_group)
{
	size_t len = strlen(name) + 1;
	struct stored *stored = calloc(1, sizeof(*stored) + len);

	if (!stored)
		return NULL;
	memcpy(stored->name, name, len);
	stored->order = (struct client_order){
		.of_group = of_group,
		.limits = &stored->limits,
		.name = stored->name,
	};
	return &stored->order;
}

int client_orders_set(struct client_order **orders, const char *name, bool of_group,
		      unsigned int fields, const struct client_limits *limits, uint64_t expires_ns)
{
	struct client_order *order = *find(orders, name, of_group);
	size_t count = 0;

	for (struct client_order *each = *orders; each; each = each->next)
		count++;
	if (!order && count == CLIENT_ORDERS_MAX)
		return -ENOSPC;
	if (!order) {
		order = make(name, of_group);
		if (!order)
			return -ENOMEM;
		order->next = *orders;
		*orders = order;
	}
	copy_fields(&container_of(order, struct stored, order)->limits, limits, fields);
	order->fields |= fields;
	order->expires_ns = expires_ns;
	return 0;
}

static struct client_order *take(struct client_order **slot)
{
	struct client_order *order = *slot;

	if (order)
		*slot = order->next;
	return order;
}

struct client_order *client_orders_take(struct client_order **orders, const char *name,
					bool of_group)
{
	return take(find(orders, name, of_group));
}

struct client_order *client_orders_take_expired(struct client_order **orders, uint64_t now_ns)
{
	while (*orders && (*orders)->expires_ns > now_ns)
		orders = &(*orders)->next;
	return take(orders);
}

void client_orders_apply(const struct client_order *orders, const char *name, bool of_group,
			 struct client_limits *limits)
{
	for (; orders; orders = orders->next)
		if (orders->of_group == of_group && strcmp(orders->name, name) == 0)
			copy_fields(limits, orders->limits, orders->fields);
}

void client_order_free(struct client_order *order)
{
	if (order)
		free(container_of(order, struct stored, order));
}

void client_orders_free(struct client_order *orders)
{
	while (orders) {
		struct client_order *next = orders->next;

		client_order_free(orders);
		orders = next;
	}
}
