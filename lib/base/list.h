/* list.h - intrusive doubly linked ring. A list field's comment says what it links:
 * `struct list idle; ` with comment `conn.idle_link`. A link that is not in a list is zeroed. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

struct list { struct list *next, *prev; };

static inline void list_init(struct list *head) { head->next = head->prev = head; }
static inline bool list_empty(const struct list *head) { return !head->next || head->next == head; }
static inline bool list_linked(const struct list *link) { return link->next != NULL; }
static inline void list_add_last(struct list *head, struct list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}
static inline void list_add_first(struct list *head, struct list *link)
{
    list_add_last(head->next, link);
}
static inline void list_remove(struct list *link) /* a link in no list is fine */
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}
#define LIST_FIRST(head, type, member) \
    (list_empty(head) ? NULL : MG_CONTAINER((head)->next, type, member))
#define LIST_EACH(head, link) for (struct list *link = (head)->next; link != (head); link = link->next)
