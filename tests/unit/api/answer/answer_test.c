/* One answer over a server in memory; the job runs in the test's thread, when the test says so. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "api/answer/answer.h"
#include "base/mem.h"
/* lib/model has another wire_end. */
#define wire_end wire_fin
#include "unit/http/wire.h"
#undef wire_end

/* --- what stands in for the pool -------------------------------------------------------------- */

static struct {
    struct query_job *job;
    bool is_full;
    int n_pauses;
} pool;

enum mg_err query_submit(struct query_pool *unused, struct query_job *job)
{
    (void)unused;
    if (pool.is_full)
        return MG_E_BUSY;
    pool.job = job;
    return MG_OK;
}

void query_pause(struct query *query)
{
    (void)query;
    pool.n_pauses++;
}

void query_resume(struct query *query)
{
    (void)query;
    pool.n_pauses--;
}

/* --- a job ------------------------------------------------------------------------------------ */

struct work {
    struct query_answer answer; /* first */
    size_t n;                   /* letters, with a flush after each KiB, then: */
    enum mg_err err;
    const char *text; /* of err */
    const char *type; /* NULL: the usual one */
};
static unsigned n_released;

static enum mg_err produce(struct query_answer *answer, struct query *query, struct mg_why *why)
{
    struct work *work = MG_CONTAINER(answer, struct work, answer);

    (void)query;
    if (work->type) {
        http_pipe_head(answer->pipe, 200, work->type);
        http_pipe_header(answer->pipe, STR("x-a"), STR("b"));
    }
    for (size_t i = 1; i <= work->n; i++) {
        buf_put_char(&answer->out, 'a');
        if (i % 1024 == 0)
            MG_TRY(query_answer_flush(answer));
    }
    return work->err ? mg_fail(why, work->err, "%s", work->text) : MG_OK;
}

static void put_failure(struct query_answer *answer, enum mg_err err, const char *message)
{
    buf_printf(&answer->out, "<%s: %s>", mg_err_name(err), message);
}

static void release(struct query_answer *answer)
{
    n_released++;
    query_answer_fini(answer);
    mem_free(MG_CONTAINER(answer, struct work, answer));
}

/* --- asked for -------------------------------------------------------------------------------- */

static void begin(struct wire *wire, const struct work *work, enum mg_err err)
{
    struct work *copy = MEM_NEW(struct work);
    struct mg_why why = {"that is wrong"};

    memset(&pool, 0, sizeof pool);
    n_released = 0;
    wire_init(wire);
    wire_start(wire);
    wire_send(wire, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n", 32);
    *copy = *work;
    struct query_answer_options options = copy->answer.options;
    options.name = "search";
    options.produce = produce;
    options.release = release;
    query_answer_init(&copy->answer, &options);
    pool.is_full = err == MG_E_BUSY;
    query_answer_start(&copy->answer, NULL, wire->later[0], pool.is_full ? MG_OK : err, &why);
}

/* Nothing of the end is on the wire before the job is released. */
static void finish(struct wire *wire)
{
    if (pool.job) {
        assert_string_equal(pool.job->name, "search");
        assert_int_equal(n_released, 0);
        pool.job->run(pool.job, NULL);
    }
    assert_int_equal(n_released, 1);
    assert_int_equal(pool.n_pauses, 0);
    wire_round(wire);
}

static void is_said(const struct wire *wire, const char *text)
{
    if (!wire_has(wire, text))
        fail_msg("no '%s' in: %.*s", text, (int)MG_MIN(wire->out.len, (size_t)2000), wire->out.ptr);
}

#define OWN                                                                                        \
    .answer.options = {                                                                            \
        .failure_type = "text/own", .put_failure = put_failure, .memory_max = 1 << 20}

static void answers(void **state)
{
    static const struct {
        struct work work;
        enum mg_err before; /* of the parameters; E_BUSY: the pool's */
        const char *want[4];
        bool has_hint;
    } rows[] = {
        {{OWN},
         0,
         {"200 OK\r\n", "Content-Type: application/json\r\n", "Content-Length: 0\r\n"},
         0},
        {{OWN, .n = 3}, 0, {"200 OK\r\n", "Content-Length: 3\r\n", "\r\n\r\naaa"}, 0},
        {{OWN, .n = 3, .type = "a/b"}, 0, {"200 OK\r\n", "Content-Type: a/b\r\n", "x-a: b\r\n"}, 0},
        {{OWN, .n = 200000, .type = "a/b"}, 0, {"200 OK\r\n", "chunked", "x-a: b\r\n"}, 0},

        {{OWN}, MG_E_FORMAT, {"400 ", "text/own\r\n", "\r\n\r\n<E_FORMAT: that is wrong>"}, 0},
        {{OWN}, MG_E_BUSY, {"503 ", "text/own\r\n", "\r\n\r\n<E_BUSY: too many queries"}, true},
        {{OWN, .err = MG_E_ABSENT, .text = "gone"}, 0, {"404 ", "\r\n\r\n<E_ABSENT: gone>"}, 0},
        {{OWN, .err = MG_E_RATE, .text = ""}, 0, {"429 ", "\r\n\r\n<E_RATE: above the"}, true},
        {{OWN, .n = 65535, .err = MG_E_TIMEOUT, .text = "slow"}, 0, {"504 ", "\r\n\r\n<E_T"}, 0},
        {{OWN, .n = 9, .type = "a/b", .err = MG_E_IO, .text = "x"}, 0, {"500 ", "text/own\r\n"}, 0},

        {{.n = 3}, 0, {"200 OK\r\n", "application/json\r\n"}, 0},
        {{.n = 9, .err = MG_E_ABSENT, .text = "gone"}, 0, {"404 ", "text/plain", "\r\ngone\n"}, 0},
        {{.n = 0}, MG_E_FORMAT, {"400 ", "text/plain", "\r\nthat is wrong\n"}, 0},
        {{.n = 0}, MG_E_BUSY, {"503 ", "text/plain", "\r\ntoo many queries are"}, true},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct wire wire;
        begin(&wire, &rows[i].work, rows[i].before);
        finish(&wire);
        for (size_t k = 0; k < 4 && rows[i].want[k]; k++)
            is_said(&wire, rows[i].want[k]);
        assert_int_equal(wire_has(&wire, "retry-after: "), rows[i].has_hint);
        if (rows[i].work.err)
            assert_false(wire_has(&wire, "aaa") || wire_has(&wire, "x-a"));
        wire_fini(&wire);
    }
}

/* A piece is on its way: the answer is broken, not short. */
static void a_late_failure(void **state)
{
    struct work works[] = {{OWN, .n = 65536, .err = MG_E_TIMEOUT, .text = "slow"},
                           {.n = 65536, .err = MG_E_TIMEOUT, .text = "slow"}};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(works); i++) {
        struct wire wire;
        begin(&wire, &works[i], MG_OK);
        finish(&wire);
        assert_null(wire.conn); /* cut */
        assert_false(wire_has(&wire, "slow") || wire_has(&wire, "\r\n0\r\n\r\n"));
        wire_fini(&wire);
    }
}

/* Without a flush only so much may come together. */
static enum mg_err produce_at_once(struct query_answer *answer, struct query *query,
                                   struct mg_why *why)
{
    (void)query, (void)why;
    for (size_t i = 0; i < 8 * 1000 + 2 * QUERY_PIECE_BYTES + 1; i++)
        buf_put_char(&answer->out, 'a');
    return MG_OK;
}

static void too_much_at_once(void **state)
{
    static const struct {
        size_t memory_max;
        const char *want;
    } rows[] = {{1001, "200 OK"}, {1000, "413 "}, {0, "413 "}};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct wire wire;
        struct work work = {OWN};
        work.answer.options.memory_max = rows[i].memory_max;
        begin(&wire, &work, MG_OK);
        MG_CONTAINER(pool.job, struct query_answer, job)->options.produce = produce_at_once;
        finish(&wire);
        is_said(&wire, rows[i].want);
        wire_fini(&wire);
    }
}

static void an_asker_who_goes(void **state)
{
    struct wire wire;

    (void)state;
    begin(&wire, &(struct work){OWN, .n = 200000}, MG_OK);
    assert_false(pool.job->is_gone(pool.job));
    wire_reset(&wire);
    assert_true(pool.job->is_gone(pool.job));
    finish(&wire);
    assert_int_equal(wire.out.len, 0);
    wire_fini(&wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(a_late_failure),
        cmocka_unit_test(too_much_at_once),
        cmocka_unit_test(an_asker_who_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
