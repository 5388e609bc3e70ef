#include "send/private.h"

enum {
#define METRIC_ID(id) SEND_METRIC_##id
#define METRIC METRIC_ENUM
#include "send/metrics.def"
#undef METRIC
};
static const struct metric_row rows[] = {
#define METRIC METRIC_TABLE
#include "send/metrics.def"
#undef METRIC
};

struct metric_set *send_metrics_register(struct metric_registry *registry)
{
    return metric_register(registry, rows, MG_COUNT(rows));
}

void send_count(struct send *send, enum outcome outcome, uint64_t spans, uint64_t batches)
{
    struct send_stats *stats = &send->shared.stats;
    uint64_t *const sums[OUT_COUNT] = {
        [OUT_SENT] = &stats->sent_spans,
        [OUT_REFUSED] = &stats->refused_spans,
        [OUT_QUEUE_FULL] = &stats->dropped_full_spans,
        [OUT_TOO_OLD] = &stats->dropped_old_spans,
        [OUT_DISK] = &stats->dropped_disk_spans,
    };
    metric_add(send->metrics, SEND_METRIC_spans, send->label, outcome, spans);
    metric_add(send->metrics, SEND_METRIC_batches, send->label, outcome, batches);
    pthread_mutex_lock(&send->shared.lock);
    *sums[outcome] += spans;
    stats->batches += batches;
    pthread_mutex_unlock(&send->shared.lock);
}

void send_count_attempt(struct send *send, uint64_t ns, bool is_retry)
{
    metric_observe(send->metrics, SEND_METRIC_send_seconds, send->label, 0, ns);
    if (!is_retry)
        return;
    metric_add(send->metrics, SEND_METRIC_retries, send->label, 0, 1);
    pthread_mutex_lock(&send->shared.lock);
    send->shared.stats.retries++;
    pthread_mutex_unlock(&send->shared.lock);
}

void send_gauges(struct send *send, const struct send_stats *stats)
{
    struct metric_set *set = send->metrics;
    uint64_t now = send->wall_ns(), oldest = stats->oldest_wall_ns;
    double age = oldest && oldest < now ? (double)(now - oldest) / 1e9 : 0;
    metric_set_gauge(set, SEND_METRIC_queue_bytes, send->label, 0, (double)stats->queued_bytes);
    metric_set_gauge(set, SEND_METRIC_queue_batches, send->label, 0, (double)stats->queued_batches);
    metric_set_gauge(set, SEND_METRIC_oldest_seconds, send->label, 0, age);
}
