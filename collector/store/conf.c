/* conf.c - see conf.h. */
#include "store/conf.h"

const struct conf_field store_fields[] = {
    CONF_ROW(struct store_conf, CONF_DURATION, "retention", retention_ns, "7d", "1m", "3650d",
             "Age, by its last commit, at which a partition is dropped."),
    CONF_ROW(struct store_conf, CONF_BYTES, "disk_max", disk_max, "0", "0", NULL,
             "Largest size of the store's files; beyond it the oldest partition is dropped. 0 means 80 % of the file system."),
    CONF_ROW(struct store_conf, CONF_BYTES, "free_min", free_min, "512MiB", "0", NULL,
             "Space that stays free on the file system; below it the oldest partition is dropped, and when none is left spans are "
             "refused. 0 turns it off. Partitions are dropped for the journal's next 64 MiB in any case."),
    CONF_ROW(struct store_conf, CONF_BYTES, "decisions_max", decisions_max, "2GiB", "0", NULL,
             "Largest size of what `why` knows of traces that were not kept; beyond it the oldest partition's goes, without its spans. "
             "A partition is closed when it has an eighth of it. 0: only the open partition's are kept."),
    CONF_ROW(struct store_conf, CONF_BYTES, "pins_max", pins_max, "1GiB", "0", NULL,
             "Largest size of the archive of pinned traces; beyond it a trace is not pinned."),
    CONF_ROW(struct store_conf, CONF_DURATION, "partition_age", roll_ns, "1h", "1s", "24h",
             "Age at which the open partition is closed and a new one begun."),
    CONF_ROW(struct store_conf, CONF_U64, "block_spans", block_rows, "20000", "1", "200000",
             "Spans at which a block is written."),
    CONF_ROW(struct store_conf, CONF_DURATION, "block_age", block_age_ns, "10s", "10ms", "5m",
             "Age at which a block is written that has not reached block_spans."),
};
const size_t store_fields_n = MG_COUNT(store_fields);
