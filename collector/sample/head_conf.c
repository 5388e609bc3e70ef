/* head_conf.c - the rows of `sampling.head`. */
#include "base/err.h"
#include "sample/conf.h"

#define ROW(type, key, field, def, min, max, help) CONF_ROW(struct head_conf, type, key, field, def, min, max, help)

const struct conf_field head_fields[] = {
    CONF_ROW_CHOICE(struct head_conf, "mode", mode, "static", "static|adaptive",
                    "Whether probabilities are those of the strategies file or follow the traffic of each operation."),
    ROW(CONF_STR, "strategies_file", file, "", NULL, NULL, "Jaeger's file of sampling strategies (JSON); empty is none."),
    ROW(CONF_DURATION, "reload_interval", reload_ns, "10s", "0", "1d",
        "How often the strategies file is looked at for changes; 0 is only on SIGHUP."),
    ROW(CONF_NUMBER, "default_probability", default_probability, "1", "0", "1",
        "Probability where nothing else says one: no override, class or strategy."),
    ROW(CONF_TREE, "overrides", overrides, NULL, NULL, NULL,
        "List of {service, operation, class, probability, target_samples_per_second}; the first that fits comes before all else."),
    ROW(CONF_NUMBER, "target_samples_per_second", target, "1", "0.0001", "1000000",
        "Mode adaptive: sampled traces a second of each service and operation."),
    ROW(CONF_NUMBER, "delta_tolerance", tolerance, "0.3", "0", "10", "Mode adaptive: deviation from the target that changes nothing; 0.3 is 30 %."),
    ROW(CONF_DURATION, "calculation_interval", interval_ns, "1m", "1s", "1h",
        "Mode adaptive: time between calculations; not less than the interval at which clients ask."),
    ROW(CONF_U64, "aggregation_buckets", buckets, "10", "1", "60", "Intervals without a root after which an operation is forgotten."),
    ROW(CONF_U64, "calculation_buckets", used_buckets, "1", "1", "60", "Mode adaptive: intervals that a rate is the weighted average of."),
    ROW(CONF_NUMBER, "initial_sampling_probability", initial_probability, "0.001", "0.000000001", "1",
        "Mode adaptive: probability of what has not been calculated yet."),
    ROW(CONF_NUMBER, "min_sampling_probability", min_probability, "0.00001", "0.000000001", "1",
        "Least probability that a calculation or the overload ladder comes to."),
    ROW(CONF_NUMBER, "min_samples_per_second", min_samples_per_second, "0.016666666666666666", "0", "1000",
        "Mode adaptive: sampled traces a second of each operation that clients take whatever the probability."),
    ROW(CONF_U64, "operations_max", operations_max, "2000", "1", "50000",
        "Services x operations that are followed; others are counted under their service's default."),
};
const size_t head_fields_n = MG_COUNT(head_fields);
