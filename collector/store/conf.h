/* conf.h - the `store` section. */
#pragma once
#include "conf/conf.h"
struct store_conf {
    uint64_t retention_ns;   /* store.retention, 7d: age (by last commit) at which a partition is unlinked */
    uint64_t disk_max;       /* store.disk_max, bytes; 0: 80 % of the file system at first start */
    uint64_t roll_ns;        /* store.partition_age, 1h */
    uint64_t block_rows;     /* store.block_spans, 20000 */
    uint64_t free_min;       /* store.free_min, 512MiB: bytes that stay free on the file system; 0: off */
    uint64_t decisions_max;  /* store.decisions_max, 2GiB: decisions about dropped traces; the oldest partition's go first.
                                An eighth closes the open partition; 0: only the open one's are kept */
    uint64_t pins_max;       /* store.pins_max, 1GiB: largest size of the archive */
    uint64_t block_age_ns;   /* store.block_age, 10s: a started block is committed after this time */
};
extern const struct conf_field store_fields[];
extern const size_t store_fields_n;
