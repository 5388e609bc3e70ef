/* conf.h - the `ingest` section. */
#pragma once
#include "conf/conf.h"

struct ingest_conf {
    uint64_t body_bytes_max; /* ingest.body_bytes_max, 64MiB, before and after inflating */
    uint64_t wait_ns;        /* ingest.wait, 5s: a request waits so long for memory before it is refused */
    struct conf_list rules;  /* ingest.rules (attribute/attribute.h); whoever loads the rows compiles them */
};
extern const struct conf_field ingest_fields[];
extern const size_t ingest_fields_n;
