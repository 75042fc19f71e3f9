/* SPDX-License-Identifier: Apache-2.0 */
/* base/list.h - intrusive doubly linked list. A node is on one list or on none; removing a node
 * that is on none is allowed. Owns nothing. */
#ifndef SN_BASE_LIST_H
#define SN_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct sn_list {
	struct sn_list *next;
	struct sn_list *prev;
};

static inline void sn_list_init(struct sn_list *l)
{
	l->next = l->prev = l;
}

static inline bool sn_list_empty(const struct sn_list *l)
{
	return l->next == l;
}

static inline void sn_list_insert_after(struct sn_list *at, struct sn_list *node)
{
	node->prev = at;
	node->next = at->next;
	at->next->prev = node;
	at->next = node;
}

static inline void sn_list_push_front(struct sn_list *l, struct sn_list *node)
{
	sn_list_insert_after(l, node);
}

static inline void sn_list_push_back(struct sn_list *l, struct sn_list *node)
{
	sn_list_insert_after(l->prev, node);
}

/* Takes the node off its list; the node is then a list of its own ("on none"). */
static inline void sn_list_del(struct sn_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = node->prev = node;
}

/* First node, or NULL. */
static inline struct sn_list *sn_list_first(const struct sn_list *l)
{
	return l->next == l ? NULL : l->next;
}

static inline struct sn_list *sn_list_last(const struct sn_list *l)
{
	return l->prev == l ? NULL : l->prev;
}

#define sn_list_entry(node, type, member) sn_container_of(node, type, member)
/* Safe against removal of the current node. */
#define sn_list_each(l, it, tmp)                                                                   \
	for (struct sn_list *it = (l)->next, *tmp = it->next; it != (l); it = tmp, tmp = it->next)

#endif
