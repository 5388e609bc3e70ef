/* conf.c - see conf.h. */
#include "ingest/conf.h"

const struct conf_field ingest_fields[] = {
    CONF_ROW(struct ingest_conf, CONF_BYTES, "body_bytes_max", body_bytes_max, "64MiB", "1KiB", "1GiB",
             "Largest request body, before and after inflating."),
    CONF_ROW(struct ingest_conf, CONF_DURATION, "wait", wait_ns, "5s", "0", "8s",
             "Time a request waits for free memory before it is refused with a retry hint."),
    CONF_ROW(struct ingest_conf, CONF_LIST, "rules", rules, NULL, NULL, NULL,
             "Attribute rules, in their order: insert, update, upsert, delete, rename, hash, redact or drop, before spans are counted or stored."),
};
const size_t ingest_fields_n = MG_COUNT(ingest_fields);
