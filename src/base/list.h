/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive circular doubly linked list. The head is a list_node of its own. A node that is in
 * no list is linked to itself, so that list_remove() may be called on it at any time.
 */
#ifndef SALLYPORT_BASE_LIST_H
#define SALLYPORT_BASE_LIST_H

#include <stdbool.h>

struct list_node {
	struct list_node *next, *prev;
};

static inline void list_init(struct list_node *n)
{
	n->next = n->prev = n;
}

static inline bool list_empty(const struct list_node *head)
{
	return head->next == head;
}

static inline void list_append(struct list_node *head, struct list_node *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

static inline void list_remove(struct list_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define list_for_each_safe(it, tmp, head)                                                          \
	for (it = (head)->next, tmp = it->next; it != (head); it = tmp, tmp = it->next)

#endif
