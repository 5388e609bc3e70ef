/* dynamic.h - a sampler that gives each kind of traffic its own rate, so that a goal of traces/s is met and rare kinds are not lost: the
 * EMA throughput sampler as Refinery documents it.
 *
 *   - name: by-route
 *     type: dynamic
 *     dynamic: {goal_throughput_per_sec: 100, initial_sampling_rate: 10, adjustment_interval: 15s, weight: 0.5, max_keys: 500,
 *               age_out_value: 0.5, burst_multiple: 2, burst_detection_delay: 3,
 *               field_list: [http.route, http.status_code], use_trace_length: false}
 *
 * A trace's key is the distinct values of the fields over its spans (span attributes, else resource attributes; `root.KEY`: of the entry
 * span alone), sorted, each value cut at 256 bytes; beyond max_keys the rate of the rest. Every adjustment_interval (log time) the counts move
 * into an exponential moving average, and goal x interval is shared among keys by the logarithm of their counts; what a key does not use goes
 * to the others. burst_multiple: an early adjustment when the counts run away from the average.
 * The rate 1 in N of a key is a threshold (ot.h): keep is R >= T, so a decision depends on the trace id alone.
 *
 * One thread, time given. */
#pragma once
#include "base/str.h"
#include "model/ot.h"

struct dynamic_conf {
    double goal;                        /* traces/s, > 0 */
    double initial_rate;                /* 1 in N, before the first adjustment; 10 */
    uint64_t interval_ns;               /* 15s */
    double weight;                      /* 0..1, 0.5 */
    uint32_t max_keys;                  /* 500 */
    double age_out;                     /* 0..1, 0.5: averages below it are forgotten */
    double burst_multiple;              /* 2; 0: off */
    uint32_t burst_delay;               /* 3 intervals after the start */
};
struct dynamic;
struct dynamic *dynamic_new(const struct dynamic_conf *conf);
void dynamic_free(struct dynamic **dynamic);
/* Counts a trace with this key and says the threshold in force for it. */
uint64_t dynamic_threshold(struct dynamic *dynamic, struct str key, uint64_t log_ns);
size_t dynamic_keys(const struct dynamic *dynamic);
