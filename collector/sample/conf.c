/* conf.c - the rows of the `sampling` section that tail sampling reads. */
#include "sample/conf.h"
#include "base/err.h"

#define ROW(type, key, field, def, min, max, help) CONF_ROW(struct sample_conf, type, key, field, def, min, max, help)

const struct conf_field sample_fields[] = {
    ROW(CONF_BOOL, "enabled", enabled, "true", NULL, NULL, "Decides which traces are kept; false keeps all and adds nothing to them."),
    ROW(CONF_BOOL, "sample_on_first_match", sample_on_first_match, "false", NULL, NULL,
        "The first policy that samples decides, as soon as its match cannot change any more."),
    ROW(CONF_TREE, "policies", policies, NULL, NULL, NULL,
        "Policies as the OpenTelemetry Collector's tail_sampling has them; without any, all traces are kept."),
    ROW(CONF_TREE, "classes", classes, NULL, NULL, NULL,
        "Classes of traffic with a probability each; without the key health checks at 10 % and metrics endpoints at 1 %, an empty list is none."),
    ROW(CONF_NUMBER, "floor.traces_per_second", floor_traces_per_second, "5", "0", NULL,
        "Traces a second that are kept whatever policies say: errors, the slowest, the first of a new operation; 0 is none."),
    ROW(CONF_BYTES, "floor.bytes_per_day", floor_bytes_per_day, "1GiB", NULL, NULL, "Bytes a day that the floor keeps at most."),
    ROW(CONF_BYTES, "verdicts_bytes", verdicts_bytes, "32MiB", "64KiB", NULL,
        "Memory for decisions that spans arriving later follow, 16 bytes a trace."),
    ROW(CONF_BOOL, "overload", overload, "true", NULL, NULL,
        "In overload fewer traces are kept, by their ids, before requests are refused."),
};
const size_t sample_fields_n = MG_COUNT(sample_fields);
