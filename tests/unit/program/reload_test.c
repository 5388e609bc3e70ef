/* What a reload takes and what it leaves as it was at the start, for every row of the program. */
#include "program/private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf/value.h"
#include "unit/base/assert_str.h"

/* Sections that are filled without a look at whether rows fit together. */
static enum mg_err fill(struct settings *out, const struct settings *like, const char *const *sets, size_t n)
{
    const struct conf_source source = { .sets = sets, .n_sets = n };

    *out = (struct settings){ 0 };
    memcpy(out->sections, like->sections, sizeof out->sections);
    for (size_t i = 0; i < SETTINGS_SECTIONS; i++)
        out->sections[i].target = (char *)out + ((char *)like->sections[i].target - (const char *)like);
    return conf_load(&out->conf, out->sections, SETTINGS_SECTIONS, &source, NULL);
}

struct check {
    const struct settings *started;
    size_t kept, taken;
};

static void note(void *owner, const char *key)
{
    buf_printf(owner, "%s", key);
}

/* Loads the row with another value than it has; false: not with this one. */
static bool load_changed(struct settings *now, const struct settings *started, const char *key, const char *value)
{
    struct buf set, changed;
    bool is_changed = false;

    if (!value)
        return false;
    buf_init(&set, 4096);
    buf_init(&changed, 4096);
    buf_printf(&set, "%s=%s", key, value);
    buf_put_char(&set, '\0');
    if (fill(now, started, (const char *const[]){ set.ptr }, 1) == MG_OK) {
        conf_changed(started->conf, now->conf, note, &changed);
        is_changed = str_eq(buf_str(&changed), str_of(key));
    }
    if (!is_changed)
        settings_fini(now);
    buf_fini(&set);
    buf_fini(&changed);
    return is_changed;
}

static void load_any_change(struct settings *now, const struct settings *started, const char *key, const struct conf_field *field)
{
    static const char *const values[] = { "true", "false", "1", "2", "10", "1s", "2m", "64KiB", "2MiB", "0.5", "127.0.0.1:1", "[other]", "other" };
    struct str rest = str_of(field->choices), choice;

    while (str_cut(&rest, '|', &choice)) {
        char *text = str_text(choice);
        bool is_changed = load_changed(now, started, key, text);
        mem_free(text);
        if (is_changed)
            return;
    }
    if (load_changed(now, started, key, field->min) || load_changed(now, started, key, field->max))
        return;
    for (size_t i = 0; i < MG_COUNT(values); i++)
        if (load_changed(now, started, key, values[i]))
            return;
    fail_msg("%s: no other value found", key);
}

static bool has_value_of(const struct settings *a, const struct settings *b, const struct conf_field *field)
{
    struct conf_value one, two;

    for (size_t i = 0; i < SETTINGS_SECTIONS; i++) {
        const struct conf_section *section = &a->sections[i];
        if (field < section->fields || field >= section->fields + section->n_fields)
            continue;
        conf_value_read(field, section->target, &one);
        conf_value_read(field, b->sections[i].target, &two);
        return conf_value_eq(field, &one, &two);
    }
    fail_msg("%s is of no section", field->name);
    return false;
}

static void check_row(void *owner, const char *key, const char *variable, const struct conf_field *field)
{
    struct check *check = owner;
    struct settings now;
    struct buf keys;

    (void)variable;
    buf_init(&keys, 4096);
    load_any_change(&now, check->started, key, field);
    reload_keep_started(&now, check->started, &keys);
    if (!str_eq(buf_str(&keys), field->needs_restart ? str_of(key) : STR("")))
        fail_msg("%s, which %s: told '%.*s'", key, field->needs_restart ? "needs a restart" : "can be reloaded", STR_ARG(buf_str(&keys)));
    if (has_value_of(&now, check->started, field) != field->needs_restart)
        fail_msg("%s: the value of %s is in force", key, field->needs_restart ? "the reload" : "the start");
    assert_string_equal(conf_origin(now.conf, key), field->needs_restart ? "default" : "--set");
    check->kept += field->needs_restart;
    check->taken += !field->needs_restart;
    settings_fini(&now);
    buf_fini(&keys);
}

static void every_row_stays_or_is_taken_as_it_says(void **state)
{
    struct settings *started = *state;
    struct check check = { .started = started };

    conf_keys(started->sections, SETTINGS_SECTIONS, check_row, &check);
    assert_true(check.kept > 50 && check.taken > 50);
}

static const struct { const char *key; bool needs_restart; } spots[] = {
    { "data_dir", true }, { "threads", true }, { "listen.otlp_grpc", true }, { "listen.jaeger_binary", true }, { "tls.cert", true },
    { "tls.min_version", true }, { "tls.doors", true }, { "http.reset_max", true }, { "journal.durability", true },
    { "live.ring_bytes", true }, { "query.threads", true }, { "kafka.brokers", true }, { "kafka.properties", true },
    { "exporters.otlp.endpoint", true }, { "exporters.zipkin.headers", true }, { "exporters.elasticsearch.insecure", true },
    { "exporters.elasticsearch.templates", true }, { "exporters.otlp.protocol", true }, { "exporters.kafka.topic", true },
    { "exporters.kafka.timeout", true },
    { "auth.tokens", false }, { "auth.open_doors", false }, { "cors.origins", false }, { "ingest.rules", false }, { "ingest.body_bytes_max", false },
    { "live.trace_spans_max", false }, { "sampling.enabled", false }, { "sampling.policies", false }, { "sampling.head.mode", false },
    { "store.retention", false }, { "query.timeout", false }, { "query.traces_max", false }, { "ui.dir", false }, { "zipkin.limit", false },
    { "exporters.otlp.take", false }, { "exporters.otlp.queue_bytes", false }, { "exporters.kafka.in_flight", false },
    { "exporters.zipkin.retry_for", false }, { "log.level", false }, { "log.format", false },
};

struct spot { const char *key; const struct conf_field *found; };

static void find_spot(void *owner, const char *key, const char *variable, const struct conf_field *field)
{
    struct spot *spot = owner;

    (void)variable;
    if (strcmp(key, spot->key) == 0)
        spot->found = field;
}

static void what_is_opened_at_the_start_needs_a_restart(void **state)
{
    const struct settings *started = *state;

    for (size_t i = 0; i < MG_COUNT(spots); i++) {
        struct spot spot = { .key = spots[i].key };
        conf_keys(started->sections, SETTINGS_SECTIONS, find_spot, &spot);
        if (!spot.found || spot.found->needs_restart != spots[i].needs_restart)
            fail_msg("%s", spots[i].key);
    }
}

static void several_are_told_in_the_order_of_the_page_and_each_time(void **state)
{
    static const char *const sets[] = { "query.traces_max=5", "kafka.group=g", "threads=2", "log.level=warn", "tls.cert=/c" };
    struct settings *started = *state, first, second;
    struct buf keys;

    buf_init(&keys, 4096);
    assert_int_equal(fill(&first, started, sets, MG_COUNT(sets)), MG_OK);
    reload_keep_started(&first, started, &keys);
    assert_str(buf_str(&keys), "threads, tls.cert, kafka.group");
    assert_int_equal(first.query.traces_max, 5);
    assert_int_equal(first.top.threads, started->top.threads);
    assert_int_equal(first.tls.cert.len, 0);
    /* The next reload finds them in the file again, and still not in force. */
    buf_clear(&keys);
    assert_int_equal(fill(&second, started, sets, MG_COUNT(sets)), MG_OK);
    reload_keep_started(&second, &first, &keys);
    assert_str(buf_str(&keys), "threads, tls.cert, kafka.group");
    settings_fini(&second);
    /* And when they are what they were there is nothing to tell. */
    buf_clear(&keys);
    assert_int_equal(fill(&second, started, NULL, 0), MG_OK);
    reload_keep_started(&second, &first, &keys);
    assert_int_equal(keys.len, 0);
    assert_int_not_equal(second.query.traces_max, 5);
    settings_fini(&second);
    settings_fini(&first);
    buf_fini(&keys);
}

static int setup(void **state)
{
    struct settings *started = MEM_NEW(struct settings);

    *state = started;
    *started = (struct settings){ 0 };
    return settings_load(started, NULL, NULL, 0, NULL) == MG_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct settings *started = *state;

    settings_fini(started);
    mem_free(started);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_stays_or_is_taken_as_it_says),
        cmocka_unit_test(what_is_opened_at_the_start_needs_a_restart),
        cmocka_unit_test(several_are_told_in_the_order_of_the_page_and_each_time),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
