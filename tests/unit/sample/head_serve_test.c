/* Who asks, the table to look at, answers of bounded length, and threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/log.h"
#include "unit/sample/head_rig.h"

/* --- who asked ------------------------------------------------------------------------------------ */

static void test_asked(void **state)
{
    struct head_rig rig;
    char name[16];

    (void)state;
    rig_open(&rig);
    rig_start(&rig, RIG_SETS(STATIC));
    (void)rig_told(&rig, "early"); /* before anything was seen of it */
    rig_count(&rig, rig_row(&rig, "early", "/x", ""), 1);
    rig_count(&rig, rig_row(&rig, "silent", "/x", ""), 1);
    rig_pass(&rig, 2);
    assert_true(rig_row_of(&rig, "early", "")->is_followed);
    assert_false(rig_row_of(&rig, "silent", "")->is_followed);
    rig_pass(&rig, 118);
    assert_true(rig_row_of(&rig, "early", "")->is_followed);
    rig_pass(&rig, 1);
    assert_false(rig_row_of(&rig, "early", "")->is_followed); /* two intervals ago */
    (void)rig_told(&rig, "silent");
    assert_true(rig_row_of(&rig, "silent", "")->is_followed);
    assert_false(rig_row_of(&rig, "", "")->is_followed);
    /* names that somebody made up are not remembered without end */
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "n%u", i);
        (void)rig_told(&rig, name);
    }
    rig_count(&rig, rig_row(&rig, "n0", "/x", ""), 1);
    rig_count(&rig, rig_row(&rig, "n4999", "/x", ""), 1);
    rig_pass(&rig, 1);
    assert_true(rig_row_of(&rig, "n0", "")->is_followed);
    assert_false(rig_row_of(&rig, "n4999", "")->is_followed); /* there was no room; it will ask again */
    (void)rig_told(&rig, "n4999");
    assert_true(rig_row_of(&rig, "n4999", "")->is_followed);
    /* too old ones make room */
    rig_pass(&rig, 180);
    (void)rig_told(&rig, "new");
    rig_count(&rig, rig_row(&rig, "new", "/x", ""), 1);
    rig_pass(&rig, 1);
    assert_true(rig_row_of(&rig, "new", "")->is_followed);
    rig_close(&rig);
}

/* --- the table to look at ------------------------------------------------------------------------- */

/* Whom a rate limit is told is listed with it; an operation that is named for all services takes its place. */
static void test_effective_tells_rate_limits(void **state)
{
    static const char file[] = "{\"default_strategy\": {\"type\": \"ratelimiting\", \"param\": 3}, \"service_strategies\": ["
                               "{\"service\": \"bar\", \"type\": \"ratelimiting\", \"param\": 7}, {\"service\": \"foo\", \"type\": \"probabilistic\", \"param\": 0.5},"
                               "{\"service\": \"mix\", \"type\": \"ratelimiting\", \"param\": 5, \"operation_strategies\": ["
                               "{\"operation\": \"/a\", \"type\": \"probabilistic\", \"param\": 0.25}]}]}";
    static const struct { const char *service; int limit; } rows[] = { { "", 3 }, { "bar", 7 }, { "foo", -1 }, { "mix", -1 } };
    struct head_rig rig;

    (void)state;
    for (unsigned named = 0; named < 2; named++) {
        rig_open(&rig);
        rig_write(rig.file, file);
        if (named)
            rig_start(&rig, RIG_SETS(STATIC, FILE_KEY, "head.overrides=[{operation: /poll, probability: 0.01}]"));
        else
            rig_start(&rig, RIG_SETS(STATIC, FILE_KEY));
        for (size_t i = 0; i < MG_COUNT(rows); i++) {
            const struct head_row *row = rig_row_of(&rig, rows[i].service, "");
            struct strategy told;
            head_strategy(rig.head, str_of(rows[i].service), &rig.arena, &told);
            assert_non_null(row);
            assert_int_equal(row->is_limit, !named && rows[i].limit >= 0);
            assert_int_equal(row->is_limit, told.type == STRATEGY_RATE_LIMITING && told.n_operations == 0);
            if (row->is_limit) {
                assert_int_equal(row->max_traces_per_second, rows[i].limit);
                assert_int_equal(row->max_traces_per_second, told.max_traces_per_second);
            }
        }
        rig_close(&rig);
    }
}

/* What a new file and new overrides come to can be looked at before any root has come; rows of which roots came say how many. */
static void test_effective_lists_what_was_written(void **state)
{
    static const struct { const char *service, *operation, *source; double probability; bool is_counted; } rows[] = {
        { "", "", "file", 0.5, false },
        { "", "/all", "file", 0.25, false },
        { "", "/everywhere", "override", 0.75, false },
        { "", "GET /health", "class", 0.1, false },
        { "cart", "", "override", 0.125, false },
        { "limit", "", "file", 0.5, false },
        { "odd", "", "file", 0.5, false },
        { "ops", "", "file", 0.7, true },
        { "ops", "/all", "file", 0.1, false },
        { "ops", "/own", "file", 0.2, true },
        { "ops", "/seen", "file", 0.7, true },
        { "plain", "", "file", 0.8, false },
        { "plain", "/pay", "override", 1, false },
    };
    struct head_rig rig;
    struct head_row *listed;
    size_t n;

    (void)state;
    rig_open(&rig);
    rig_write(rig.file, rig_full_file);
    rig_start(&rig, RIG_SETS(STATIC, FILE_KEY, "head.overrides=[{service: cart, probability: 0.125}, {service: plain, operation: /pay, probability: 1}, "
                                               "{operation: /everywhere, probability: 0.75}]"));
    for (unsigned pass = 0; pass < 2; pass++) {
        head_effective(rig.head, &rig.arena, &listed, &n);
        assert_int_equal(n, pass ? MG_COUNT(rows) : MG_COUNT(rows) - 1); /* nobody wrote /seen down */
        for (size_t i = 0; i < MG_COUNT(rows); i++) {
            const struct head_row *row = rig_row_of(&rig, rows[i].service, rows[i].operation);
            bool is_seen = pass && rows[i].is_counted;
            if (!row && !pass && strcmp(rows[i].operation, "/seen") == 0)
                continue;
            if (!row || strcmp(row->source, rows[i].source) != 0 || row->probability != rows[i].probability || row->is_followed)
                fail_msg("%s %s: %s %g", rows[i].service, rows[i].operation, row ? row->source : "-", row ? row->probability : -1);
            assert_int_equal(isnan(row->samples_per_second), !is_seen);
        }
        rig_count(&rig, rig_row(&rig, "ops", "/own", ""), 6);
        rig_count(&rig, rig_row(&rig, "ops", "/seen", ""), 6);
        rig_pass(&rig, 60);
    }
    assert_true(rig_row_of(&rig, "ops", "/own")->samples_per_second == 0.1);
    assert_true(rig_metric(&rig, "meshglass_sampling_services") == 1);
    assert_int_equal(rig_reload(&rig, RIG_SETS(STATIC), &(struct mg_why){ "" }), MG_OK);
    assert_null(rig_row_of(&rig, "plain", "")); /* what nobody names any more is not listed */
    assert_non_null(rig_row_of(&rig, "ops", "/own"));
    rig_close(&rig);
}

/* --- answers of bounded length -------------------------------------------------------------------- */

enum { ANSWER_MAX = 4 << 20 };

/* The answer's JSON at its longest; operations in order, each once. */
static size_t answer_bytes(const struct strategy *told)
{
    size_t bytes = 500;

    for (size_t i = 0; i < told->n_operations; i++) {
        struct str name = told->operations[i].name;
        assert_true(i == 0 || str_cmp(told->operations[i - 1].name, name) < 0);
        bytes += sizeof "{\"operation\":\"\",\"probabilisticSampling\":{\"samplingRate\":0.016666666666666666}}," + name.len;
        for (size_t k = 0; k < name.len; k++)
            bytes += (uint8_t)name.ptr[k] < 0x20 ? 5 : 0;
    }
    return bytes;
}

static size_t count_starting(const struct strategy *told, const char *prefix, double probability)
{
    size_t n = 0;

    for (size_t i = 0; i < told->n_operations; i++)
        n += str_starts(told->operations[i].name, str_of(prefix)) && (probability < 0 || told->operations[i].probability == probability);
    return n;
}

static void write_operations(const char *path, const char *service, size_t n)
{
    struct buf text;

    buf_init(&text, 5 << 20);
    buf_printf(&text, "{\"service_strategies\":[{\"service\":\"%s\",\"type\":\"probabilistic\",\"param\":0.5,\"operation_strategies\":[", service);
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s{\"operation\":\"f%05zu\",\"type\":\"probabilistic\",\"param\":0.25}", i ? "," : "", i);
    buf_put_text(&text, "]}]}");
    buf_put_char(&text, 0);
    rig_write(path, text.ptr);
    buf_fini(&text);
}

/* 20,000 operations of the file and 50,000 that came, of which 100 come often. */
static void test_more_operations_than_an_answer_holds(void **state)
{
    enum { SEEN = 50000, OFTEN = 100, WRITTEN = 20000 };
    struct head_rig rig;
    struct strategy told;
    struct head_row *listed;
    char name[48];
    size_t n;

    (void)state;
    rig_open(&rig);
    write_operations(rig.file, "crowd", WRITTEN);
    rig_start(&rig, RIG_SETS(ADAPTIVE, FILE_KEY, "head.operations_max=50000", "head.initial_sampling_probability=0.5"));
    for (unsigned i = 0; i < SEEN; i++) {
        (void)snprintf(name, sizeof name, "%c%05u a name as long as they are", i % (SEEN / OFTEN) == 7 ? 'b' : 'a', i);
        rig_count(&rig, rig_row(&rig, "crowd", name, ""), name[0] == 'b' ? 1000 : 1);
    }
    (void)rig_told(&rig, "crowd"); /* it follows */
    rig_pass(&rig, 60);
    head_effective(rig.head, &rig.arena, &listed, &n);
    assert_int_equal(n, 2 + SEEN + WRITTEN); /* with the two defaults: none is missing here */
    head_strategy(rig.head, STR("crowd"), &rig.arena, &told);
    assert_in_range(answer_bytes(&told), ANSWER_MAX * 3 / 4, ANSWER_MAX);
    assert_in_range(told.n_operations, WRITTEN + OFTEN + 1000, SEEN + WRITTEN - 1000);
    assert_int_equal(count_starting(&told, "f", 0.25), WRITTEN); /* those that somebody named */
    assert_int_equal(count_starting(&told, "b", -1), OFTEN);     /* and those that come often */
    head_strategy(rig.head, STR("other"), &rig.arena, &told);
    assert_int_equal(told.n_operations, 0);
    rig_close(&rig);
}

static void test_100000_operations_for_all_services(void **state)
{
    enum { N = 50000 };
    struct head_rig rig;
    struct strategy told;
    struct buf text;

    (void)state;
    rig_open(&rig);
    buf_init(&text, 5 << 20);
    buf_put_text(&text, "{\"default_strategy\":{\"operation_strategies\":[");
    for (size_t i = 0; i < N; i++)
        buf_printf(&text, "%s{\"operation\":\"d%05zu\",\"type\":\"probabilistic\",\"param\":0.25}", i ? "," : "", i);
    buf_put_text(&text, "]}}");
    buf_put_char(&text, 0);
    rig_write(rig.file, text.ptr);
    buf_fini(&text);
    rig_start(&rig, RIG_SETS(ADAPTIVE, FILE_KEY, "head.operations_max=50000"));
    for (unsigned i = 0; i < N; i++) { /* each byte of these becomes six */
        char name[64];
        (void)snprintf(name, sizeof name, "%05u\1\2\3\4\5\6\7\1\2\3\4\5\6\7\1\2\3\4\5\6\7\1\2\3\4\5\6\7\1\2\3\4\5\6\7", i);
        rig_count(&rig, rig_row(&rig, "crowd", name, ""), 1);
    }
    rig_pass(&rig, 60);
    head_strategy(rig.head, STR("crowd"), &rig.arena, &told);
    assert_in_range(answer_bytes(&told), ANSWER_MAX * 3 / 4, ANSWER_MAX);
    assert_in_range(count_starting(&told, "d", 0.25), 1000, N - 1000);
    assert_true(count_starting(&told, "0", -1) > 1000);
    head_strategy(rig.head, STR("other"), &rig.arena, &told);
    assert_in_range(answer_bytes(&told), ANSWER_MAX / 4, ANSWER_MAX / 2 + 1000);
    rig_close(&rig);
}

/* --- threads -------------------------------------------------------------------------------------- */

enum { COUNTED_NAMES = 40 };
struct crowd {
    struct head_rig *rig;
    const struct row *rows[2 * COUNTED_NAMES];
    atomic_bool is_over;
    atomic_uint asked;
};

static void *count_for_ever(void *owner)
{
    struct crowd *crowd = owner;

    for (size_t i = 0; !atomic_load(&crowd->is_over); i++)
        rig_count(crowd->rig, crowd->rows[i % MG_COUNT(crowd->rows)], 1);
    return NULL;
}

static void *ask_for_ever(void *owner)
{
    struct crowd *crowd = owner;
    struct arena arena = { 0 };

    while (!atomic_load(&crowd->is_over)) {
        struct strategy told;
        struct head_row *rows;
        size_t n;
        head_strategy(crowd->rig->head, STR("a"), &arena, &told);
        if (told.n_operations > COUNTED_NAMES || (told.n_operations > 0 && told.operations[0].name.ptr[0] != '/'))
            abort();
        head_strategy(crowd->rig->head, STR("never seen"), &arena, &told);
        head_effective(crowd->rig->head, &arena, &rows, &n);
        if (n == 0 || rows[0].service.len != 0)
            abort();
        head_overload(crowd->rig->head, 0.5);
        arena_reset(&arena);
        atomic_fetch_add(&crowd->asked, 1);
    }
    arena_fini(&arena);
    return NULL;
}

/* Live counts, loops ask, the main thread calculates, forgets and reloads. */
static void test_threads(void **state)
{
    struct crowd crowd = { 0 };
    struct head_rig rig;
    struct mg_why why;
    pthread_t threads[3];

    (void)state;
    rig_open(&rig);
    rig_start(&rig, RIG_SETS(ADAPTIVE, "head.calculation_interval=1s", "head.aggregation_buckets=1", "head.operations_max=30"));
    crowd.rig = &rig;
    for (unsigned i = 0; i < COUNTED_NAMES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "/%u", i);
        crowd.rows[i] = rig_row(&rig, "a", name, "probabilistic 0.001");
        crowd.rows[COUNTED_NAMES + i] = rig_row(&rig, "b", name, "ot=th:8");
    }
    assert_int_equal(pthread_create(&threads[0], NULL, count_for_ever, &crowd), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, ask_for_ever, &crowd), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, ask_for_ever, &crowd), 0);
    for (unsigned i = 0; i < 300 || atomic_load(&crowd.asked) < 100; i++) {
        rig_pass(&rig, 1 + i % 2);
        if (i % 50 == 49)
            assert_int_equal(rig_reload(&rig, RIG_SETS(ADAPTIVE, "head.calculation_interval=1s", "head.aggregation_buckets=1",
                                                       i % 100 == 99 ? "head.operations_max=10" : "head.operations_max=60"), &why), MG_OK);
    }
    atomic_store(&crowd.is_over, true);
    for (size_t i = 0; i < MG_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(rig_metric(&rig, "meshglass_sampling_roots_beyond_total") > 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asked),
        cmocka_unit_test(test_effective_tells_rate_limits),
        cmocka_unit_test(test_effective_lists_what_was_written),
        cmocka_unit_test(test_more_operations_than_an_answer_holds),
        cmocka_unit_test(test_100000_operations_for_all_services),
        cmocka_unit_test(test_threads),
    };

    log_configure(LOG_ERROR, LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
