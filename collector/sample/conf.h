/* conf.h - the `sampling` section, but for the decision times (live/conf.h). */
#pragma once
#include "conf/conf.h"
#include "conf/yaml.h"

struct sample_conf {
    bool enabled;                     /* sampling.enabled, true; false: keep everything, add nothing */
    bool sample_on_first_match;       /* sampling.sample_on_first_match, false: the first policy that samples decides, as soon as it matches */
    const struct yaml *policies;      /* sampling.policies: the list of the OpenTelemetry Collector's tail_sampling; NULL: none, keep all */
    const struct yaml *classes;       /* sampling.classes; NULL: the built-in ones, an empty list: none */
    double floor_traces_per_second;   /* sampling.floor.traces_per_second, 5; 0: no floor */
    uint64_t floor_bytes_per_day;     /* sampling.floor.bytes_per_day, 1GiB */
    uint64_t verdicts_bytes;          /* sampling.verdicts_bytes, 32MiB: memory for verdicts that late spans follow */
    bool overload;                    /* sampling.overload, true: the ladder's first two steps */
};
extern const struct conf_field sample_fields[];
extern const size_t sample_fields_n;

/* Head sampling: what SDKs are told. */
enum head_mode { HEAD_STATIC, HEAD_ADAPTIVE };
struct head_conf {
    int mode;                         /* sampling.head.mode, static|adaptive */
    struct str file;                  /* sampling.head.strategies_file: Jaeger's strategies; empty: none */
    uint64_t reload_ns;               /* sampling.head.reload_interval, 10s: how often the file is looked at; 0: only on SIGHUP */
    double default_probability;       /* sampling.head.default_probability, 1: without a file, and p0 of the file */
    const struct yaml *overrides;     /* sampling.head.overrides: [{service, operation, class, probability, target_samples_per_second}] */
    double target;                    /* sampling.head.target_samples_per_second, 1: adaptive, by service and operation */
    double tolerance;                 /* sampling.head.delta_tolerance, 0.3 */
    uint64_t interval_ns;             /* sampling.head.calculation_interval, 1m */
    uint64_t buckets;                 /* sampling.head.aggregation_buckets, 10 */
    uint64_t used_buckets;            /* sampling.head.calculation_buckets, 1 */
    double initial_probability;       /* sampling.head.initial_sampling_probability, 0.001 */
    double min_probability;           /* sampling.head.min_sampling_probability, 0.00001 */
    double min_samples_per_second;    /* sampling.head.min_samples_per_second, 0.016666666666666666: lower bound handed to clients */
    uint64_t operations_max;          /* sampling.head.operations_max, 2000: services x operations that are followed */
};
extern const struct conf_field head_fields[];
extern const size_t head_fields_n;
