/* kit.c - see kit.h. */
#include "kit.h"

void kit_open(struct kit *kit, int partitions)
{
    *kit = (struct kit){ 0 };
    log_configure(LOG_ERROR + 1, LOG_LOGFMT);
    rig_open(&kit->rig);
    mock_open(&kit->mock);
    mock_topic(&kit->mock, TOPIC, partitions);
    kit->topics[0] = STR(TOPIC);
    kit->conf = (struct consume_conf){ .brokers = kit->mock.brokers, .topics = { kit->topics, 1 }, .group = STR("g"), .in_flight_bytes = 1 << 20,
                                       .properties = { kit->properties, 0 } };
    kit_property(kit, "heartbeat.interval.ms=200"); /* by which a member learns of a rebalance */
    kit_property(kit, "session.timeout.ms=4500");   /* a second less is how long this broker waits for other members */
}

void kit_property(struct kit *kit, const char *row)
{
    kit->properties[kit->conf.properties.n++] = str_of(row);
}

enum mg_err kit_try(struct kit *kit, struct mg_why *why)
{
    metric_registry_free(&kit->registry);
    kit->registry = metric_registry_new();
    return consume_new(&kit->consume, &(struct consume_options){ .conf = &kit->conf, .metrics = kit->registry }, why);
}

void kit_start(struct kit *kit)
{
    struct mg_why why = { "" };

    if (kit_try(kit, &why) != MG_OK)
        fail_msg("%s", why.text);
    kit_go(kit);
}

void kit_go(struct kit *kit)
{
    consume_start(kit->consume, &kit->rig.doors, 1);
    assert_true(kit->consume->has_thread);
}

void kit_stop(struct kit *kit)
{
    consume_stop(kit->consume, 2000);
    consume_free(&kit->consume);
    assert_null(kit->consume);
}

void kit_close(struct kit *kit)
{
    if (kit->consume)
        kit_stop(kit);
    metric_registry_free(&kit->registry);
    mock_close(&kit->mock);
    rig_close(&kit->rig);
}

void kit_put_text(struct kit *kit, int32_t partition, struct str value)
{
    mock_put(&kit->mock, TOPIC, &(struct mock_put){ .key = STR("key"), .value = value, .partition = partition, .has_header = true });
}

uint8_t kit_put(struct kit *kit, int32_t partition, unsigned spans)
{
    struct buf body;
    uint8_t trace = (uint8_t)++kit->n;

    otlp_named_body(&body, trace, spans, 0);
    kit_put_text(kit, partition, buf_str(&body));
    buf_fini(&body);
    return trace;
}

uint64_t kit_metric(struct kit *kit, enum consume_metric row, unsigned i)
{
    return metric_get(kit->consume->metrics, row, i, 0);
}

uint64_t kit_gauge(struct kit *kit, const char *name)
{
    struct buf text;
    struct str rest, line, key, value;
    uint64_t found = UINT64_MAX;

    buf_init(&text, 1 << 20);
    metric_write(kit->registry, METRIC_TEXT_0_0_4, &text);
    rest = buf_str(&text);
    while (str_cut(&rest, '\n', &line))
        if (str_split_at(line, ' ', &key, &value) && str_eq(key, str_of(name)))
            assert_int_equal(str_u64(value, &found), MG_OK);
    buf_fini(&text);
    return found;
}

struct gauge { struct kit *kit; const char *name; uint64_t value; };

static bool is_so(void *owner)
{
    const struct gauge *gauge = owner;

    return kit_gauge(gauge->kit, gauge->name) == gauge->value;
}

void kit_until_gauge(struct kit *kit, const char *name, uint64_t value)
{
    struct gauge gauge = { kit, name, value };

    rig_run(&kit->rig, is_so, &gauge);
}

struct wish { struct kit *kit; enum consume_metric row; unsigned i; uint64_t value; };

static bool is_reached(void *owner)
{
    const struct wish *wish = owner;

    return kit_metric(wish->kit, wish->row, wish->i) >= wish->value;
}

void kit_until(struct kit *kit, enum consume_metric row, unsigned i, uint64_t value)
{
    struct wish wish = { kit, row, i, value };

    rig_run(&kit->rig, is_reached, &wish);
}

struct commit { struct kit *kit; int32_t partition; int64_t offset; };

static bool is_committed(void *owner)
{
    const struct commit *commit = owner;

    return mock_committed(&commit->kit->mock, "g", TOPIC, commit->partition) == commit->offset;
}

void kit_until_committed(struct kit *kit, int32_t partition, int64_t offset)
{
    struct commit commit = { kit, partition, offset };

    rig_run(&kit->rig, is_committed, &commit);
}

struct waiting { struct kit *kit; size_t n; };

static bool is_waiting(void *owner)
{
    const struct waiting *waiting = owner;

    return waiting->kit->rig.ingest->waiting >= waiting->n;
}

void kit_until_waiting(struct kit *kit, size_t n)
{
    struct waiting waiting = { kit, n };

    rig_run(&kit->rig, is_waiting, &waiting);
}
