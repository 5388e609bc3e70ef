/* conf.c - the `query` section; the struct is in query.h. */
#include "query/query.h"

const struct conf_field query_fields[] = {
    CONF_ROW(struct query_conf, CONF_U64, "threads", threads, "4", "1", "64",
             "Queries that run at the same time; their threads exist only while there is work.", CONF_NEEDS_RESTART),
    CONF_ROW(struct query_conf, CONF_U64, "queue_max", queue_max, "64", "1", "100000",
             "Queries that may wait for a thread; more are refused."),
    CONF_ROW(struct query_conf, CONF_DURATION, "timeout", timeout_ns, "30s", "1ms", "1h",
             "Longest time of a query, its wait for a thread included."),
    CONF_ROW(struct query_conf, CONF_BYTES, "memory_max", memory_max, "512MiB", "1MiB", NULL,
             "Largest memory for the decoded spans of one query."),
    CONF_ROW(struct query_conf, CONF_BYTES, "scan_bytes_max", scan_bytes_max, "64GiB", "64KiB", NULL,
             "Largest size of the columns that one search may unpack."),
    CONF_ROW(struct query_conf, CONF_U64, "traces_max", traces_max, "10000", "1", "1000000",
             "Largest number of traces that a search may ask for."),
};
const size_t query_fields_n = MG_COUNT(query_fields);
