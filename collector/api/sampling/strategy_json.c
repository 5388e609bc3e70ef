/* strategy_json.c - one of the three shapes of strategy.h. Enums are strings: JavaScript reads no others. */
#include "api/sampling/strategy.h"
#include "codec/json_write.h"

static void put_probabilistic(struct json_writer *w, double probability)
{
    json_key_text(w, "probabilisticSampling");
    json_object(w);
    json_key_text(w, "samplingRate");
    json_put_double(w, probability);
    json_object_end(w);
}

static void put_limit(struct json_writer *w, int32_t max_traces_per_second)
{
    json_key_text(w, "rateLimitingSampling");
    json_object(w);
    json_key_text(w, "maxTracesPerSecond");
    json_put_i64(w, max_traces_per_second);
    json_object_end(w);
}

static void put_operations(struct json_writer *w, const struct strategy *strategy)
{
    json_key_text(w, "operationSampling");
    json_object(w);
    json_key_text(w, "defaultSamplingProbability");
    json_put_double(w, strategy->probability);
    json_key_text(w, "defaultLowerBoundTracesPerSecond");
    json_put_double(w, strategy->default_lower_bound);
    json_key_text(w, "perOperationStrategies");
    json_array(w);
    for (size_t i = 0; i < strategy->n_operations; i++) {
        if (!strategy_can_tell(&strategy->operations[i]))
            continue;
        json_object(w);
        json_key_text(w, "operation");
        json_put_str(w, strategy->operations[i].name);
        put_probabilistic(w, strategy->operations[i].probability);
        json_object_end(w);
    }
    json_array_end(w);
    json_key_text(w, "defaultUpperBoundTracesPerSecond");
    json_put_double(w, 0); /* nobody sets it, and clients expect it */
    json_object_end(w);
}

void strategy_json(struct buf *out, const struct strategy *strategy)
{
    bool is_limit = strategy_is_limit(strategy);
    struct json_writer w;

    json_writer_init(&w, out, 0);
    json_object(&w);
    json_key_text(&w, "strategyType");
    json_put_str(&w, is_limit ? STR("RATE_LIMITING") : STR("PROBABILISTIC"));
    if (is_limit)
        put_limit(&w, strategy->max_traces_per_second);
    else
        put_probabilistic(&w, strategy->probability);
    if (strategy->has_operations)
        put_operations(&w, strategy);
    json_object_end(&w);
}
