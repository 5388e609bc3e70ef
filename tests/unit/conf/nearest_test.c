/* Which key was meant: typical mistakes against keys as the collector has them. */
#include "conf/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "unit/base/assert_str.h"

/* --- keys --- */

static uint64_t number;

#define KEY(key_)                                                                                  \
    {                                                                                              \
        .name = key_, .type = CONF_U64, .help = "A row."                                           \
    }
static const struct conf_field top[] = {KEY("data_dir"), KEY("threads")};
static const struct conf_field listening[] = {KEY("otlp_grpc"), KEY("otlp_http"), KEY("query_http"),
                                              KEY("zipkin")};
static const struct conf_field sampling[] = {
    KEY("root_grace"),         KEY("decision_wait"), KEY("enabled"),
    KEY("policies"),           KEY("classes"),       KEY("floor.traces_per_second"),
    KEY("floor.bytes_per_day")};
static const struct conf_field head[] = {KEY("mode"), KEY("strategies_file"),
                                         KEY("default_probability")};
static const struct conf_field store[] = {KEY("retention"), KEY("disk_max"), KEY("free_min")};
static const struct conf_field query[] = {KEY("threads"), KEY("timeout"), KEY("traces_max")};
static const struct conf_field export[] = {KEY("endpoint"), KEY("headers"), KEY("ca"),
                                           KEY("cert"),     KEY("key"),     KEY("insecure"),
                                           KEY("take"),     KEY("timeout"), KEY("retry_for")};
static const struct conf_field kafka[] = {KEY("brokers"), KEY("topic"), KEY("properties"),
                                          KEY("take"), KEY("timeout")};
static const struct conf_field logging[] = {KEY("level"), KEY("format")};
#define SECTION(prefix, rows)                                                                      \
    {                                                                                              \
        prefix, rows, MG_COUNT(rows), &number                                                      \
    }
static const struct conf_section sections[] = {
    SECTION("", top),
    SECTION("listen", listening),
    SECTION("sampling", sampling),
    SECTION("sampling.head", head),
    SECTION("store", store),
    SECTION("query", query),
    SECTION("exporters.otlp", export),
    SECTION("exporters.zipkin", export),
    SECTION("exporters.kafka", kafka),
    SECTION("log", logging),
};

static const struct {
    const char *typed, *row, *key; /* key: sections too; NULL: the same */
} typos[] = {
    /* letters, in the right section */
    {"store.retension", "store.retention", NULL},
    {"store.retentoin", "store.retention", NULL},
    {"store.diskmax", "store.disk_max", NULL},
    {"store.disc_max", "store.disk_max", NULL},
    {"treads", "threads", NULL},
    {"datadir", "data_dir", NULL},
    {"listen.otlp_gprc", "listen.otlp_grpc", NULL},
    {"listen.otlp-http", "listen.otlp_http", NULL},
    {"sampling.class", "sampling.classes", NULL},
    {"sampling.policy", "sampling.policies", NULL},
    {"exporters.otlp.header", "exporters.otlp.headers", NULL},
    {"exporters.otlp.Endpoint", "exporters.otlp.endpoint", NULL},
    {"exporters.kafka.broker", "exporters.kafka.brokers", NULL},
    /* the section near, though the same word is elsewhere */
    {"store.thread", "query.threads", NULL},
    {"exporters.kafka.timeuot", "exporters.kafka.timeout", NULL},
    {"exporters.zipkin.endpiont", "exporters.zipkin.endpoint", NULL},
    /* a word that is begun, or has too much */
    {"sampling.floor.traces", "sampling.floor.traces_per_second", NULL},
    {"store.retention_time", "store.retention", NULL},
    {"sampling.head.default", "sampling.head.default_probability", NULL},
    /* letters of the section */
    {"samplng.enabled", "sampling.enabled", NULL},
    {"exporters.otpl.endpoint", "exporters.otlp.endpoint", NULL},
    {"exporter.otlp.endpoint", "exporters.otlp.endpoint", NULL},
    {"exporters.zipkn.take", "exporters.zipkin.take", NULL},
    /* the section forgotten, or another one */
    {"retention", "store.retention", NULL},
    {"level", "log.level", NULL},
    {"otlp.endpoint", "exporters.otlp.endpoint", NULL},
    {"zipkin.endpoint", "exporters.zipkin.endpoint", NULL},
    {"store.decision_wait", "sampling.decision_wait", NULL},
    {"sampling.mode", "sampling.head.mode", NULL},
    {"store_retention", "store.retention", NULL},
    /* a section */
    {"stroe", "threads", "store"},
    {"exporters.otpl", "exporters.otlp.ca", "exporters.otlp"},
    {"sampling.haed", "sampling.head.mode", "sampling.head"},
    {"exporter", "store.retention", "exporters"},
    /* both parts: whole keys are compared */
    {"exporters.otpl.endpont", "exporters.otlp.endpoint", NULL},
    {"qeury.time_out", "query.timeout", NULL},
};

/* What has nothing to do with any key: one of them is named all the same, and it is a known one. */
static const char *const strange[] = {
    "",
    ".",
    "..",
    "x",
    "store.",
    ".retention.",
    "store..retention",
    "\xff\xfe",
    "store.q",
    "a.b.c.d.e.f",
    "exporters.",
    "-----------------------------------------------------------------"};

static bool is_known(const struct conf *conf, struct str key, bool with_sections)
{
    for (size_t i = 0; i < conf->n; i++) {
        struct str known = str_of(conf->entries[i].key);
        if (str_eq(known, key) ||
            (with_sections && key.len && str_starts(known, key) && known.ptr[key.len] == '.'))
            return true;
    }
    return false;
}

static void conf_make(struct conf *conf)
{
    *conf = (struct conf){0};
    conf_entries_init(conf, sections, MG_COUNT(sections));
}

static void conf_drop(struct conf *conf)
{
    mem_free(conf->entries);
    arena_fini(&conf->arena);
}

static void typos_find_what_was_meant(void **state)
{
    struct conf conf;

    (void)state;
    conf_make(&conf);
    for (size_t i = 0; i < MG_COUNT(typos); i++) {
        const char *key = typos[i].key ? typos[i].key : typos[i].row;
        struct str got = nearest_key(&conf, str_of(typos[i].typed), true);
        if (!str_eq(got, str_of(key)))
            fail_msg("%s: got %.*s, want %s", typos[i].typed, STR_ARG(got), key);
        got = nearest_key(&conf, str_of(typos[i].typed), false);
        if (typos[i].key ? !is_known(&conf, got, false) : !str_eq(got, str_of(typos[i].row)))
            fail_msg("%s, rows only: got %.*s, want %s", typos[i].typed, STR_ARG(got),
                     typos[i].row);
    }
    conf_drop(&conf);
}

static void strange_keys_get_a_known_one(void **state)
{
    struct conf conf;

    (void)state;
    conf_make(&conf);
    for (size_t i = 0; i < MG_COUNT(strange); i++) {
        assert_true(is_known(&conf, nearest_key(&conf, str_of(strange[i]), false), false));
        assert_true(is_known(&conf, nearest_key(&conf, str_of(strange[i]), true), true));
    }
    conf_drop(&conf);
}

static void without_rows_there_is_none(void **state)
{
    struct conf none = {0};

    (void)state;
    assert_int_equal(nearest_key(&none, STR("a"), true).len, 0);
    assert_int_equal(nearest_key(&none, STR(""), false).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typos_find_what_was_meant),
        cmocka_unit_test(strange_keys_get_a_known_one),
        cmocka_unit_test(without_rows_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
