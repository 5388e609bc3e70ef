/* head.c - see head.h; the other parts are in head_private.h.
 *
 *   live ──head_count──▶ throughput (counters of slots)
 *                             │ head_tick, main thread: new slots become operations; after an interval what was counted becomes a
 *                             ▼ measure and, in mode adaptive, the next probability
 *                        operations ──▶ head_table, immutable ──▶ head_strategy, head_effective: any thread */
#include "sample/head.h"
#include "base/clock.h"
#include "sample/head_private.h"

static const struct metric_row metric_rows[] = {
#define METRIC METRIC_TABLE
#include "sample/metrics.def"
#undef METRIC
};

enum mg_err head_new(struct head **out, const struct head_options *options, struct mg_why *why)
{
    MG_AUTO(head_rules_free) struct head_rules *rules = NULL;
    struct strategies *strategies;
    struct file_stamp stamp;
    struct head *head;

    MG_TRY(head_rules_new(&rules, options->conf, options->sampling, why));
    MG_TRY(head_load_first(rules, &strategies, &stamp, why));
    head = MEM_NEW(struct head);
    head->own.strategies = strategies;
    head->own.stamp = stamp;
    head->state_path = options->state_path;
    head->mono_ns = options->mono_ns ? options->mono_ns : clock_mono_ns;
    head->metrics = metric_register(options->metrics, metric_rows, MG_COUNT(metric_rows));
    head->throughput = throughput_new(rules->conf.operations_max);
    head->own.rules = MG_STEAL(rules);
    pthread_mutex_init(&head->shared.lock, NULL);
    head_overload(head, 1);
    head->own.looked_ns = head->mono_ns();
    head_begin_interval(head, head->own.looked_ns);
    head_log_warnings(head->own.rules, strategies);
    head_restore(head);
    head_make_table(head, head->own.looked_ns);
    *out = head;
    return MG_OK;
}

void head_free(struct head **pointer)
{
    struct head *head = MG_STEAL(*pointer);

    if (!head)
        return;
    head_follow_fini(head);
    head_serve_fini(head);
    throughput_free(&head->throughput);
    strategies_free(&head->own.strategies);
    head_rules_free(&head->own.rules);
    mem_free(head);
}

enum mg_err head_reload(struct head *head, const struct head_conf *conf, const struct sample_conf *sampling, struct mg_why *why)
{
    MG_AUTO(head_rules_free) struct head_rules *rules = NULL;
    struct strategies *strategies;
    struct file_stamp stamp;

    MG_TRY(head_rules_new(&rules, conf, sampling, why));
    MG_TRY(head_load_first(rules, &strategies, &stamp, why));
    head_rules_free(&head->own.rules);
    head->own.rules = MG_STEAL(rules);
    strategies_free(&head->own.strategies);
    head->own.strategies = strategies;
    head->own.stamp = stamp;
    throughput_limit(head->throughput, head->own.rules->conf.operations_max);
    head_follow_rules(head);
    head_log_warnings(head->own.rules, strategies);
    head_make_table(head, head->mono_ns());
    return MG_OK;
}

/* --- the tick -------------------------------------------------------------------------------------- */

void head_tick(struct head *head)
{
    uint64_t now_ns = head->mono_ns(), beyond = throughput_beyond(head->throughput);
    double factor = head_factor(head);

    head->own.round.factor_min = MG_MIN(head->own.round.factor_min, factor);
    head->own.round.factor_max = MG_MAX(head->own.round.factor_max, factor);
    metric_set_gauge(head->metrics, HEAD_factor, 0, 0, factor);
    metric_add(head->metrics, HEAD_beyond, 0, 0, beyond - head->own.beyond);
    head->own.beyond = beyond;
    head_follow_slots(head);
    head_look_at_file(head, now_ns);
    if (now_ns - head->own.began_ns >= head->own.rules->conf.interval_ns)
        head_calculate(head, now_ns);
    if (head->own.is_changed)
        head_make_table(head, now_ns);
}

/* --- other threads -------------------------------------------------------------------------------- */

void head_count(struct head *head, const struct row *root, const struct epoch *epoch)
{
    if (row_is_root(root))
        throughput_count(head->throughput, root, epoch);
}

void head_overload(struct head *head, double factor)
{
    uint64_t bits;

    memcpy(&bits, &factor, sizeof bits);
    atomic_store_explicit(&head->factor, bits, memory_order_relaxed);
}

double head_factor(const struct head *head)
{
    uint64_t bits = atomic_load_explicit(&head->factor, memory_order_relaxed);
    double factor;

    memcpy(&factor, &bits, sizeof factor);
    return factor;
}
