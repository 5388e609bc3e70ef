/* Which key was meant: distances, and typical mistakes against keys as the collector has them. */
#include "conf/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "unit/base/assert_str.h"

static void distances_are_counted_up_to_a_bound(void **state)
{
    static const struct {
        const char *a, *b;
        size_t most, want;
    } cases[] = {
        {"", "", 0, 0},
        {"abc", "abc", 0, 0},
        {"abc", "", 3, 3},
        {"", "abc", 3, 3},
        {"", "abc", 2, 3},
        {"retention", "retension", 3, 1},
        {"retention", "retenton", 3, 1},
        {"retention", "rettention", 3, 1},
        {"retention", "retentoin", 3, 1}, /* swapped: one, not two */
        {"otlp", "otpl", 1, 1},
        {"ab", "ba", 1, 1},
        {"ab", "ba", 0, 1},
        {"abcd", "badc", 2, 2},
        {"abcd", "badc", 1, 2},
        {"ca", "abc", 3, 3}, /* a pair that was swapped is not changed again */
        {"kitten", "sitting", 9, 3},
        {"kitten", "sitting", 3, 3},
        {"kitten", "sitting", 2, 3},
        {"abcdefgh", "ijklmnop", 2, 3},
        {"abcdefgh", "ijklmnop", 64, 8},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str a = str_of(cases[i].a), b = str_of(cases[i].b);
        if (nearest_distance(a, b, cases[i].most) != cases[i].want ||
            nearest_distance(b, a, cases[i].most) != cases[i].want)
            fail_msg("%s, %s, %zu: %zu and %zu", cases[i].a, cases[i].b, cases[i].most,
                     nearest_distance(a, b, cases[i].most), nearest_distance(b, a, cases[i].most));
    }
}

static void long_texts_are_cut(void **state)
{
    static char far[1 << 16], near[NEAREST_BYTES_MAX + 1];

    (void)state;
    memset(far, 'a', sizeof far);
    memset(near, 'a', sizeof near);
    assert_int_equal(nearest_distance(str_n(far, sizeof far), str_n(near, NEAREST_BYTES_MAX), 3),
                     0);
    assert_int_equal(
        nearest_distance(str_n(far, sizeof far), str_n(near, NEAREST_BYTES_MAX - 1), 3), 1);
    assert_int_equal(nearest_distance(str_n(far, sizeof far), STR(""), NEAREST_BYTES_MAX),
                     NEAREST_BYTES_MAX);
    assert_int_equal(nearest_distance((struct str){0}, (struct str){0}, 0), 0);
}

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
        cmocka_unit_test(distances_are_counted_up_to_a_bound),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(typos_find_what_was_meant),
        cmocka_unit_test(strange_keys_get_a_known_one),
        cmocka_unit_test(without_rows_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
