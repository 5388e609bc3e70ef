/* conf.h - the `live` section and the decision times of `sampling`. */
#pragma once
#include "conf/conf.h"

struct live_conf {
    uint64_t ring_bytes;        /* live.ring_bytes; 0: a quarter of memory, at most 1 GiB */
    uint64_t trace_spans_max;   /* live.trace_spans_max, 60000: a trace with more undecided spans is decided early */
};
struct decision_conf {
    uint64_t root_grace_ns;     /* sampling.root_grace, 2s */
    uint64_t decision_wait_ns;  /* sampling.decision_wait, 30s */
};
extern const struct conf_field live_fields[];
extern const size_t live_fields_n;
extern const struct conf_field decision_fields[];
extern const size_t decision_fields_n;
uint64_t live_ring_bytes(const struct live_conf *conf); /* the value in force */
