/* conf.c - see conf.h. */
#include "live/conf.h"
#include <unistd.h>

const struct conf_field live_fields[] = {
    CONF_ROW(struct live_conf, CONF_BYTES, "ring_bytes", ring_bytes, "0", "0", "1TiB",
             "Memory for spans that are not yet in the store; 0 means a quarter of memory, at most 1 GiB. Values below 16 MiB count as 16 MiB.",
             CONF_NEEDS_RESTART),
    CONF_ROW(struct live_conf, CONF_U64, "trace_spans_max", trace_spans_max, "60000", "1", "60000",
             "Undecided spans at which a trace is decided early."),
};
const size_t live_fields_n = MG_COUNT(live_fields);

const struct conf_field decision_fields[] = {
    CONF_ROW(struct decision_conf, CONF_DURATION, "root_grace", root_grace_ns, "2s", "0", "1h",
             "Time a trace waits for late spans after its root span came."),
    CONF_ROW(struct decision_conf, CONF_DURATION, "decision_wait", decision_wait_ns, "30s", "0", "1h",
             "Time after its first span at which a trace without a root is decided."),
};
const size_t decision_fields_n = MG_COUNT(decision_fields);

uint64_t live_ring_bytes(const struct live_conf *conf)
{
    const uint64_t least = 16u << 20, most = 1u << 30;
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    if (conf->ring_bytes == 0)
        return MG_MAX(least, MG_MIN(most, memory / 4));
    return MG_MAX(least, conf->ring_bytes);
}
