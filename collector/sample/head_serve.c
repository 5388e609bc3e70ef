/* head_serve.c - the table of head sampling, and those who ask: see head_private.h.
 *
 * The table is made anew when anything in it has changed, and swapped under a lock that is held for a pointer. A service that asks before
 * anything was seen of it is remembered by its name, at most EARLY_MAX of them: else a new service counted as not asking
 * for the whole of its first poll. */
#include <stdlib.h>
#include "sample/head_private.h"

#define EARLY_MAX 1024

static int compare_seen(const void *a, const void *b)
{
    const struct head_subject *x = &(*(struct head_seen *const *)a)->subject, *y = &(*(struct head_seen *const *)b)->subject;
    int by_service = str_cmp(x->service, y->service);

    return by_service ? by_service : str_cmp(x->operation, y->operation);
}

static void collect_seen(struct head *head)
{
    void *service;
    struct str name;

    VEC_CLEAR(&head->own.seen);
    for (size_t i = 0; map_next(&head->own.services, &i, &name, &service);)
        VEC_PUSH(&head->own.seen, &((struct service *)service)->defaults.seen);
    for (size_t i = 0; i < head->own.by_slot.n; i++) {
        struct operation *operation = head->own.by_slot.at[i];
        if (operation && operation != &operation->service->defaults)
            VEC_PUSH(&head->own.seen, &operation->seen);
    }
    if (head->own.seen.n)
        qsort(head->own.seen.at, head->own.seen.n, sizeof *head->own.seen.at, compare_seen);
}

static void set_gauges(struct head *head)
{
    static const double bands[] = { 1, 0.1, 0.01, 0.001, 0.0001, 0 };
    size_t counts[MG_COUNT(bands)] = { 0 }, n = 0, followed = 0;

    for (size_t i = 0; i < head->own.seen.n; i++) {
        const struct head_seen *seen = head->own.seen.at[i];
        size_t band = 0;
        if (seen->subject.operation.len == 0)
            continue;
        while (seen->ruling.probability < bands[band])
            band++;
        counts[band]++;
        followed += seen->is_followed;
        n++;
    }
    for (unsigned i = 0; i < MG_COUNT(bands); i++)
        metric_set_gauge(head->metrics, HEAD_by_probability, i, 0, (double)counts[i]);
    metric_set_gauge(head->metrics, HEAD_operations, 0, 0, (double)n);
    metric_set_gauge(head->metrics, HEAD_followed, 0, 0, (double)followed);
    metric_set_gauge(head->metrics, HEAD_services, 0, 0, (double)head->own.services.n);
}

/* Services that asked before they were known; those that asked too long ago are forgotten. Under the lock. */
static void sweep_early(struct head *head, uint64_t now_ns)
{
    struct map kept = { 0 };
    struct str name;
    void *asked;

    for (size_t i = 0; map_next(&head->shared.early, &i, &name, &asked);) {
        struct follower *follower = head_table_follower(head->shared.table, name);
        uint64_t asked_ns = (uint64_t)(uintptr_t)asked - 1;
        if (follower)
            follower_note(follower, asked_ns);
        else if (now_ns < asked_ns + 2 * head->own.rules->conf.interval_ns)
            *map_put(&kept, name, NULL) = asked;
    }
    map_fini(&head->shared.early);
    head->shared.early = kept;
}

void head_make_table(struct head *head, uint64_t now_ns)
{
    struct head_table *table, *old;

    collect_seen(head);
    table = head_table_new(head->own.rules, head->own.strategies, head->own.seen.at, head->own.seen.n);
    pthread_mutex_lock(&head->shared.lock);
    old = head->shared.table;
    head->shared.table = table;
    if (head->shared.early.n)
        sweep_early(head, now_ns);
    pthread_mutex_unlock(&head->shared.lock);
    head_table_unref(&old);
    head->own.is_changed = false;
    set_gauges(head);
}

static struct head_table *table_ref(struct head *head)
{
    struct head_table *table;

    pthread_mutex_lock(&head->shared.lock);
    table = head_table_ref(head->shared.table);
    pthread_mutex_unlock(&head->shared.lock);
    return table;
}

void head_serve_fini(struct head *head)
{
    VEC_FINI(&head->own.seen);
    map_fini(&head->shared.early);
    head_table_unref(&head->shared.table);
    pthread_mutex_destroy(&head->shared.lock);
}

/* --- those who ask -------------------------------------------------------------------------------- */

/* The table, and a note that the service asked. */
static struct head_table *ask(struct head *head, struct str service)
{
    uint64_t now_ns = head->mono_ns();
    struct head_table *table;
    struct follower *follower;
    bool is_name = service.len > 0 && service.len <= THROUGHPUT_NAME_MAX;

    pthread_mutex_lock(&head->shared.lock);
    table = head_table_ref(head->shared.table);
    follower = head_table_follower(table, service);
    if (!follower && is_name && (head->shared.early.n < EARLY_MAX || map_find(&head->shared.early, service)))
        *map_put(&head->shared.early, service, NULL) = (void *)(uintptr_t)(now_ns + 1);
    pthread_mutex_unlock(&head->shared.lock);
    if (follower)
        follower_note(follower, now_ns);
    return table;
}

void head_strategy(struct head *head, struct str service, struct arena *arena, struct strategy *out)
{
    MG_AUTO(head_table_unref) struct head_table *table = ask(head, service);

    head_table_answer(table, service, head_factor(head), arena, out);
    metric_add(head->metrics, HEAD_requests, out->has_operations ? 2 : out->type == STRATEGY_RATE_LIMITING, 0, 1);
}

void head_effective(struct head *head, struct arena *arena, struct head_row **rows, size_t *n)
{
    MG_AUTO(head_table_unref) struct head_table *table = table_ref(head);

    head_table_rows(table, head_factor(head), head->mono_ns(), arena, rows, n);
}
