/* Why a trace was kept: decisions out of live and store, their names, and what a trace says about
 * its first one. Live, store and rules are stood in for, so that each row of a table is one mix of
 * what they know. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/clock.h"
#include "query/private.h"
#include "sample/rules.h"

#define SECOND UINT64_C(1000000000)
enum { STORED = 80, FRAGMENTS = 8, BLOCKS = 4 };

/* --- what stands in for others ---------------------------------------------------------------- */

struct block_reader {
    struct block_fragment fragments[FRAGMENTS];
    uint32_t n;
};

static struct {
    struct live_rows rows;
    struct store_decision stored[STORED];
    size_t n_stored;
    enum mg_err err;
    struct block_info infos[BLOCKS];
    struct block_reader blocks[BLOCKS];
    size_t n_blocks;
    unsigned n_texts, n_names; /* asked for */
    unsigned n_found;          /* answers of live that were not given back */
} fake;

void live_lookup(struct live *live, const uint8_t (*trace_ids)[16], size_t n,
                 struct live_found *out)
{
    (void)live;
    (void)trace_ids;
    *out = (struct live_found){.traces = mem_copy(&fake.rows, sizeof fake.rows), .n = n};
    if (fake.rows.votes.len)
        out->traces[0].votes.ptr = mem_copy(fake.rows.votes.ptr, fake.rows.votes.len);
    fake.n_found++;
}

void live_found_fini(struct live_found *found)
{
    if (!found->traces)
        return;
    if (found->traces[0].votes.len)
        mem_free((char *)(uintptr_t)found->traces[0].votes.ptr);
    mem_free(found->traces);
    *found = (struct live_found){0};
    fake.n_found--;
}

struct store_view *store_view_new(struct store *store)
{
    (void)store;
    return (struct store_view *)&fake;
}

void store_view_free(struct store_view **view)
{
    *view = NULL;
}

enum mg_err store_view_decisions(struct store_view *view, const uint8_t trace_id[16],
                                 struct arena *arena, struct store_decision *out, size_t room,
                                 size_t *n, struct mg_why *why)
{
    (void)view;
    (void)trace_id;
    (void)arena;
    if (fake.err)
        return mg_fail(why, fake.err, "the store says no");
    *n = MG_MIN(room, fake.n_stored);
    memcpy(out, fake.stored, *n * sizeof *out);
    return MG_OK;
}

size_t store_view_blocks(const struct store_view *view, const struct block_info **blocks)
{
    (void)view;
    *blocks = fake.infos;
    return fake.n_blocks;
}

size_t store_view_find_most(const struct store_view *view)
{
    (void)view;
    return fake.n_blocks;
}

size_t store_view_find(struct store_view *view, const uint8_t trace_id[16], uint32_t *at,
                       size_t room)
{
    (void)view;
    (void)trace_id;
    for (uint32_t i = 0; i < fake.n_blocks && i < room; i++)
        at[i] = i;
    return fake.n_blocks;
}

enum mg_err store_view_open(struct store_view *view, const struct block_info *block,
                            struct block_reader **reader, struct mg_why *why)
{
    (void)view;
    (void)why;
    *reader = &fake.blocks[block - fake.infos];
    return MG_OK;
}

uint32_t block_find(struct block_reader *reader, const uint8_t trace_id[16], uint32_t *first)
{
    (void)trace_id;
    *first = 0;
    return reader->n;
}

enum mg_err block_fragment_info(struct block_reader *reader, uint32_t number,
                                struct block_fragment *out)
{
    *out = reader->fragments[number];
    return MG_OK;
}

enum mg_err block_decode(struct block_reader *reader, uint32_t fragment, struct arena *arena,
                         struct span **spans, uint32_t *n, struct mg_why *why)
{
    (void)reader;
    (void)fragment;
    (void)why;
    *spans = ARENA_NEW(arena, struct span);
    *n = 1;
    return MG_OK;
}

/* Generations 1 and 2 are known, 4 is damaged, every other one has gone. */
bool store_rules_get(struct store *store, uint32_t generation, struct buf *text)
{
    (void)store;
    fake.n_texts++;
    if (generation == 1 || generation == 2)
        buf_printf(text, "rules %u", generation);
    else if (generation == 4)
        buf_put_text(text, "damaged");
    return generation == 1 || generation == 2 || generation == 4;
}

enum mg_err sample_text_name(struct str text, unsigned policy, struct buf *name)
{
    static const char *const names[] = {"errors", "slow", "tenth",
                                        "health"}; /* the last one a class */

    fake.n_names++;
    if (!str_starts(text, STR("rules ")))
        return MG_E_FORMAT;
    if (policy >= 1 && policy <= MG_COUNT(names))
        buf_printf(name, "%s%c", names[policy - 1], text.ptr[6]);
    return MG_OK;
}

/* --- a query ---------------------------------------------------------------------------------- */

static const uint8_t some_id[16] = {7};

struct ask {
    struct query_job job;
    void (*on_query)(struct ask *ask, struct query *query);
    enum mg_err err;
    struct mg_why why;
    struct buf text;
};

static void run(struct query_job *job, struct query *query)
{
    struct ask *ask = MG_CONTAINER(job, struct ask, job);

    ask->on_query(ask, query);
}

static uint64_t clock_step; /* what every look at the clock costs */
static uint64_t mono(void)
{
    static uint64_t now;

    return now += clock_step;
}

static void ask_of(struct ask *ask, uint64_t memory_max,
                   void (*on_query)(struct ask *, struct query *))
{
    const struct query_conf conf = {.threads = 1,
                                    .queue_max = 1,
                                    .timeout_ns = 1000,
                                    .memory_max = memory_max,
                                    .traces_max = 10};
    struct metric_registry *metrics = metric_registry_new();
    const struct query_options options = {.conf = &conf, .metrics = metrics, .mono_ns = mono};
    struct query_pool *pool = query_pool_new(&options);

    ask->job.name = "why";
    ask->job.run = run;
    ask->on_query = on_query;
    buf_init(&ask->text, 1 << 20);
    assert_int_equal(query_submit(pool, &ask->job), MG_OK);
    query_pool_free(&pool); /* runs it to its end */
    metric_registry_free(&metrics);
    buf_put_char(&ask->text, '\0');
    assert_int_equal(fake.n_found, 0);
}

/* "kept 12 policy errors1 errors1:yes,slow1:no (5)": verdict, time, reason, policy, votes, spans.
 */
static void put_decision(struct buf *out, const struct query_decision *decision)
{
    buf_printf(out, "; %s %llu %s", decision->outcome.verdict == VERDICT_KEPT ? "kept" : "dropped",
               (unsigned long long)decision->wall_ns,
               decision->outcome.reason ? reason_name(decision->outcome.reason) : "-");
    if (decision->policy[0])
        buf_printf(out, " %s", decision->policy);
    for (size_t i = 0; i < decision->n_votes; i++)
        buf_printf(out, "%s%s:%s", i ? "," : " ", decision->votes[i].policy,
                   vote_name(decision->votes[i].vote));
    if (decision->spans)
        buf_printf(out, " (%u)", decision->spans);
}

static void on_why(struct ask *ask, struct query *query)
{
    static const char *const states[] = {[WHY_UNKNOWN] = "unknown",
                                         [WHY_PENDING] = "pending",
                                         [WHY_DROPPED] = "dropped",
                                         [WHY_KEPT] = "kept"};
    struct query_why why;

    if ((ask->err = query_why(query, some_id, &why, &ask->why)) != MG_OK)
        return;
    query_let_go(query); /* nothing of the answer may be live's */
    buf_put_text(&ask->text, states[why.state]);
    if (why.is_waiting)
        buf_put_text(&ask->text, ", some wait");
    for (size_t i = 0; i < why.n; i++)
        put_decision(&ask->text, &why.decisions[i]);
    if (why.is_cut)
        buf_put_text(&ask->text, "; and more");
}

static void assert_why(const char *what, const char *want)
{
    struct ask ask = {0};

    ask_of(&ask, 1 << 20, on_why);
    if (ask.err || strcmp(ask.text.ptr, want) != 0)
        fail_msg("%s: %s\ngot  %s\nwant %s", what, ask.why.text, ask.text.ptr, want);
    buf_fini(&ask.text);
}

/* --- words ------------------------------------------------------------------------------------ */

static uint64_t word(enum verdict verdict, enum reason reason, uint8_t policy, uint32_t rules)
{
    return outcome_pack(&(struct outcome){.verdict = verdict,
                                          .trigger = TRIGGER_ROOT,
                                          .reason = reason,
                                          .policy = policy,
                                          .threshold = verdict == VERDICT_KEPT ? 0 : OT_NEVER,
                                          .rules = rules});
}
#define KEPT(reason, policy, rules) word(VERDICT_KEPT, (reason), (policy), (rules))
#define GONE(reason, policy, rules) word(VERDICT_DROPPED, (reason), (policy), (rules))
#define BY_ERRORS                   KEPT(REASON_POLICY, 1, 1)
#define BY_SLOW                     KEPT(REASON_POLICY, 2, 1)
#define BY_NOBODY                   GONE(REASON_NO_POLICY, 0, 1)
#define NO_SENSE                    (UINT64_C(1) << 63 | 1)

static void stored(uint64_t outcome, bool is_kept, uint64_t wall_ns, uint64_t position,
                   uint32_t rows)
{
    fake.stored[fake.n_stored++] = (struct store_decision){.outcome = outcome,
                                                           .is_kept = is_kept,
                                                           .wall_ns = wall_ns,
                                                           .position = position,
                                                           .rows = rows};
}

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    clock_step = 0;
    return 0;
}

/* --- why -------------------------------------------------------------------------------------- */

static void what_nobody_knows_is_unknown(void **state)
{
    (void)state;
    assert_why("nothing", "unknown");
}

static void rows_that_wait_are_told_beside_what_was_decided(void **state)
{
    (void)state;
    fake.rows = (struct live_rows){.n = 3, .is_pending = true};
    assert_why("alone", "pending, some wait");
    stored(BY_ERRORS, true, 12, 5, 4);
    assert_why("kept before", "kept, some wait; kept 12 policy errors1 (4)");
    fake.rows.outcome = BY_SLOW;
    fake.rows.decided_wall_ns = 20;
    assert_why("kept twice", "kept, some wait; kept 20 policy slow1; kept 12 policy errors1 (4)");
    fake.n_stored = 0;
    assert_why("kept, not stored", "kept, some wait; kept 20 policy slow1");
    stored(BY_NOBODY, false, 12, 0, 0);
    fake.rows.outcome = fake.rows.decided_wall_ns = 0;
    assert_why("dropped before", "dropped, some wait; dropped 12 no_policy");
    stored(BY_ERRORS, true, 11, 5, 4);
    assert_why("kept first",
               "kept, some wait; dropped 12 no_policy; kept 11 policy errors1 (4)");
    fake.n_stored = 0;
    fake.rows = (struct live_rows){
        .n = 3, .is_pending = true, .outcome = BY_NOBODY, .decided_wall_ns = 9};
    assert_why("dropped, not stored", "dropped, some wait; dropped 9 no_policy");
    fake.rows = (struct live_rows){.n = 3, .outcome = BY_NOBODY, .decided_wall_ns = 9};
    assert_why("none wait", "dropped; dropped 9 no_policy");
}

static void one_decision_decides(void **state)
{
    static const struct {
        enum verdict verdict;
        enum reason reason;
        uint8_t policy;
        uint32_t rules, rows;
        const char *want;
    } rows[] = {
        {VERDICT_KEPT, REASON_POLICY, 1, 1, 4, "kept; kept 12 policy errors1 (4)"},
        {VERDICT_KEPT, REASON_POLICY, 3, 2, 4, "kept; kept 12 policy tenth2 (4)"},
        {VERDICT_KEPT, REASON_CLASS, 4, 1, 4, "kept; kept 12 class health1 (4)"},
        {VERDICT_KEPT, REASON_FLOOR_SLOW, 0, 1, 4, "kept; kept 12 floor_slow (4)"},
        {VERDICT_KEPT, REASON_NO_RULES, 0, 1, 4, "kept; kept 12 no_rules (4)"},
        {VERDICT_DROPPED, REASON_NO_POLICY, 0, 1, 0, "dropped; dropped 12 no_policy"},
        {VERDICT_DROPPED, REASON_DROP, 2, 1, 0, "dropped; dropped 12 drop slow1"},
        {VERDICT_DROPPED, REASON_OVERLOAD, 0, 1, 0, "dropped; dropped 12 overload"},
        /* names that are not known */
        {VERDICT_KEPT, REASON_POLICY, 1, 3, 4, "kept; kept 12 policy (4)"},
        {VERDICT_KEPT, REASON_POLICY, 1, 4, 4, "kept; kept 12 policy (4)"},
        {VERDICT_KEPT, REASON_POLICY, 5, 1, 4, "kept; kept 12 policy (4)"},
        {VERDICT_KEPT, REASON_POLICY, 255, 2, 4, "kept; kept 12 policy (4)"},
        {VERDICT_KEPT, REASON_POLICY, 1, 0, 4, "kept; kept 12 policy (4)"},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        fake.n_stored = 0;
        stored(word(rows[i].verdict, rows[i].reason, rows[i].policy, rows[i].rules),
               rows[i].verdict == VERDICT_KEPT, 12, 5, rows[i].rows);
        assert_why(rows[i].want, rows[i].want);
    }
}

static void a_word_that_says_nothing_leaves_the_verdict(void **state)
{
    (void)state;
    stored(0, true, 12, 5, 4);
    assert_why("an old block", "kept; kept 12 - (4)");
    stored(NO_SENSE, true, 11, 4, 1);
    stored(NO_SENSE, false, 10, 0, 0);
    assert_why("no outcome packs to it", "kept; kept 12 - (4); kept 11 - (1); dropped 10 -");
    fake.n_stored = 0;
    fake.rows = (struct live_rows){.n = 3, .decided_wall_ns = 9};
    assert_why("not stored yet", "kept; kept 9 -");
}

static void some_kept_is_kept(void **state)
{
    (void)state;
    stored(BY_NOBODY, false, 20, 0, 0);
    stored(BY_ERRORS, true, 12, 5, 4);
    assert_why("dropped later", "kept; dropped 20 no_policy; kept 12 policy errors1 (4)");
    fake.n_stored = 0;
    stored(BY_ERRORS, true, 20, 5, 4);
    stored(BY_NOBODY, false, 12, 0, 0);
    assert_why("dropped before", "kept; kept 20 policy errors1 (4); dropped 12 no_policy");
    fake.n_stored = 0;
    stored(BY_NOBODY, false, 20, 0, 0);
    stored(BY_NOBODY, false, 12, 0, 0);
    assert_why("never kept", "dropped; dropped 20 no_policy; dropped 12 no_policy");
}

/* Live's decision, when it was made, what the store has, and whether it is that one. */
static void a_decision_on_its_way_to_the_store_is_told_once(void **state)
{
    const struct {
        uint64_t made, made_ns, has, has_ns;
        bool is_kept, is_same;
    } rows[] = {
        {BY_ERRORS, 100, BY_ERRORS, 100, true, true},
        {BY_ERRORS, 100, BY_ERRORS, 5000, true, true},
        {BY_ERRORS, 100, BY_ERRORS, 99, true,
         false}, /* an earlier one, which late spans followed */
        {BY_ERRORS, 100, BY_SLOW, 5000, true, false},
        {BY_ERRORS, 100, BY_NOBODY, 5000, false, false},
        {0, 100, 0, 100, true, true}, /* sampling is off */
        {0, 100, 0, 99, true, false},
        {0, 100, BY_ERRORS, 99, true, false},
        /* the store has the seconds of what is dropped */
        {BY_NOBODY, 7 * SECOND + 9, BY_NOBODY, 7 * SECOND, false, true},
        {BY_NOBODY, 7 * SECOND, BY_NOBODY, 7 * SECOND, false, true},
        {BY_NOBODY, 7 * SECOND + 9, BY_NOBODY, 6 * SECOND, false, false},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct ask ask = {0};
        fake.n_stored = 0;
        stored(rows[i].has, rows[i].is_kept, rows[i].has_ns, 5, 0);
        fake.rows =
            (struct live_rows){.n = 2, .outcome = rows[i].made, .decided_wall_ns = rows[i].made_ns};
        ask_of(&ask, 1 << 20, on_why);
        assert_int_equal(ask.err, MG_OK);
        if ((strchr(ask.text.ptr, ';') == strrchr(ask.text.ptr, ';')) != rows[i].is_same)
            fail_msg("row %zu: %s", i, ask.text.ptr);
        buf_fini(&ask.text);
    }
}

static void rows_that_were_dropped_wait_in_the_ring_too(void **state)
{
    (void)state;
    fake.rows = (struct live_rows){.n = 2, .outcome = BY_NOBODY, .decided_wall_ns = 30};
    assert_why("dropped, not stored", "dropped; dropped 30 no_policy");
}

/* How many the store has, whether live has one more, and how many are told. */
static void the_newest_sixteen_are_told_and_that_there_are_more(void **state)
{
    static const struct {
        unsigned stored;
        bool has_live;
        unsigned told;
        bool is_cut;
    } rows[] = {
        {0, true, 1, false},  {15, false, 15, false}, {15, true, 16, false}, {16, false, 16, false},
        {16, true, 16, true}, {17, false, 16, true},  {17, true, 16, true},  {STORED, true, 16, true},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct ask ask = {0};
        char last[32];
        size_t n = 0;

        fake.n_stored = 0;
        for (unsigned k = 0; k < rows[i].stored; k++)
            stored(BY_ERRORS, true, 1000 - k, 1000 - k, 1);
        fake.rows = (struct live_rows){0};
        if (rows[i].has_live)
            fake.rows = (struct live_rows){.n = 2, .outcome = BY_SLOW, .decided_wall_ns = 2000};
        ask_of(&ask, 1 << 20, on_why);
        assert_int_equal(ask.err, MG_OK);
        for (const char *at = ask.text.ptr; (at = strstr(at, "; kept ")); at++)
            n++;
        assert_int_equal(n, rows[i].told);
        assert_int_equal(strstr(ask.text.ptr, "; and more") != NULL, rows[i].is_cut);
        assert_int_equal(strstr(ask.text.ptr, "kept; kept 2000 policy slow1") != NULL, rows[i].has_live);
        snprintf(last, sizeof last, "kept %u ", 1001 - (rows[i].told - rows[i].has_live));
        assert_int_equal(strstr(ask.text.ptr, last) != NULL, rows[i].told > rows[i].has_live);
        buf_fini(&ask.text);
    }
}

/* Live's and the store's are one decision: it takes one place. */
static void a_decision_met_twice_does_not_cut_the_list(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 16; k++)
        stored(BY_ERRORS, true, 1000 - k, 1000 - k, 1);
    fake.rows = (struct live_rows){.n = 2, .outcome = BY_ERRORS, .decided_wall_ns = 1000};
    struct ask ask = {0};
    ask_of(&ask, 1 << 20, on_why);
    assert_null(strstr(ask.text.ptr, "and more"));
    assert_non_null(strstr(ask.text.ptr, "kept 985 "));
    buf_fini(&ask.text);
}

static void votes_are_told_up_to_the_last_that_was_asked(void **state)
{
    static const struct {
        uint8_t bytes[2];
        size_t len;
        uint32_t rules;
        const char *want;
    } rows[] = {
        {{2}, 1, 1, "kept; kept 12 policy errors1 errors1:yes (4)"},
        {{1 | 2 << 2}, 1, 1, "kept; kept 12 policy errors1 errors1:no,slow1:yes (4)"},
        {{0 | 0 << 2 | 3 << 4},
         1,
         1,
         "kept; kept 12 policy errors1 errors1:not_asked,slow1:not_asked,tenth1:drop (4)"},
        {{0, 1},
         2,
         1,
         "kept; kept 12 policy errors1 "
         "errors1:not_asked,slow1:not_asked,tenth1:not_asked,health1:not_asked,:no (4)"},
        {{0}, 1, 1, "kept; kept 12 policy errors1 (4)"},
        {{0, 0}, 2, 1, "kept; kept 12 policy errors1 (4)"},
        {{0}, 0, 1, "kept; kept 12 policy errors1 (4)"},
        {{1 | 2 << 2}, 1, 3, "kept; kept 12 policy :no,:yes (4)"}, /* rules that have gone */
        {{1 | 2 << 2}, 1, 0, "kept; kept 12 policy :no,:yes (4)"},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        fake.n_stored = 0;
        stored(KEPT(REASON_POLICY, 1, rows[i].rules), true, 12, 5, 4);
        fake.stored[0].votes = str_n((const char *)rows[i].bytes, rows[i].len);
        assert_why("stored", rows[i].want);
    }
    fake.n_stored = 0;
    fake.rows = (struct live_rows){
        .n = 1, .outcome = BY_ERRORS, .decided_wall_ns = 9, .votes = STR("\x06")};
    assert_why("not stored yet", "kept; kept 9 policy errors1 errors1:yes,slow1:no");
}

static void a_name_is_looked_up_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        stored(BY_ERRORS, true, 100 - i, 100 - i, 1);
        fake.stored[i].votes = STR("\x06");
    }
    stored(KEPT(REASON_POLICY, 1, 3), true, 50, 50, 1); /* and so is one that is not there */
    stored(KEPT(REASON_POLICY, 1, 3), true, 49, 49, 1);
    struct ask ask = {0};
    ask_of(&ask, 1 << 20, on_why);
    assert_int_equal(ask.err, MG_OK);
    assert_int_equal(fake.n_texts, 2);
    assert_int_equal(fake.n_names, 2);
    buf_fini(&ask.text);
}

/* The store tells damage only when it found nothing else. */
static void damage_is_an_error_where_nothing_else_is_known(void **state)
{
    struct ask ask = {0};

    (void)state;
    fake.err = MG_E_FORMAT;
    ask_of(&ask, 1 << 20, on_why);
    assert_int_equal(ask.err, MG_E_IO); /* not the asker's fault */
    assert_string_equal(ask.why.text, "the store says no");
    buf_fini(&ask.text);
    fake.rows = (struct live_rows){.n = 3, .is_pending = true};
    assert_why("live knows it", "pending, some wait");
    fake.rows = (struct live_rows){.n = 3, .outcome = BY_ERRORS, .decided_wall_ns = 9};
    assert_why("live knows why", "kept; kept 9 policy errors1");
}

static bool always_gone(const struct query_job *job)
{
    (void)job;
    return true;
}

static void what_ends_a_query_ends_this_one(void **state)
{
    struct ask late = {0}, large = {0}, left = {.job = {.is_gone = always_gone}};

    (void)state;
    stored(BY_ERRORS, true, 12, 5, 4);
    fake.stored[0].votes = STR("\x06\x06\x06\x06\x06\x06\x06\x06");
    ask_of(&large, 100, on_why);
    assert_int_equal(large.err, MG_E_TOO_BIG);
    ask_of(&left, 1 << 20, on_why);
    assert_int_equal(left.err, MG_E_IO);
    clock_step = 2000;
    ask_of(&late, 1 << 20, on_why);
    assert_int_equal(late.err, MG_E_TIMEOUT);
    buf_fini(&late.text);
    buf_fini(&large.text);
    buf_fini(&left.text);
}

/* --- what a trace says ------------------------------------------------------------------------ */

static uint64_t told;

static void on_trace(struct ask *ask, struct query *query)
{
    struct query_trace trace;

    if ((ask->err = query_trace(query, some_id, &trace, &ask->why)) != MG_OK)
        return;
    told = trace.outcome;
    buf_printf(&ask->text, "%zu %s", trace.n, trace.policy);
}

struct part {
    size_t block;
    uint64_t position, outcome;
};

static void assert_told(const struct part *parts, size_t n, uint64_t want, const char *text)
{
    struct ask ask = {0};

    fake.n_blocks = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        fake.blocks[i].n = 0;
    for (size_t i = 0; i < n; i++) {
        struct block_reader *block = &fake.blocks[parts[i].block];
        block->fragments[block->n++] = (struct block_fragment){
            .rows = 1, .position = parts[i].position, .outcome = parts[i].outcome};
        fake.n_blocks = MG_MAX(fake.n_blocks, parts[i].block + 1);
    }
    ask_of(&ask, 1 << 20, on_trace);
    assert_int_equal(ask.err, MG_OK);
    assert_string_equal(ask.text.ptr, text);
    assert_int_equal(told, want);
    buf_fini(&ask.text);
}
#define PARTS(...)                                                                                 \
    (const struct part[]){__VA_ARGS__}, MG_COUNT(((const struct part[]){__VA_ARGS__}))

/* Spans that the stand-in decodes are equal in every field: one is left. */
static void a_trace_tells_its_first_decision(void **state)
{
    (void)state;
    assert_told(PARTS({0, 5, BY_ERRORS}), BY_ERRORS, "1 errors1");
    assert_told(PARTS({0, 5, BY_ERRORS}, {0, 9, BY_SLOW}), BY_ERRORS, "1 errors1");
    assert_told(PARTS({0, 9, BY_SLOW}, {2, 5, BY_ERRORS}, {1, 7, BY_SLOW}), BY_ERRORS, "1 errors1");
    assert_told(PARTS({0, 5, KEPT(REASON_FLOOR_NEW, 0, 1)}), KEPT(REASON_FLOOR_NEW, 0, 1), "1 ");
    /* what is on its way to the store is newer than all that is there */
    fake.rows = (struct live_rows){.outcome = BY_SLOW};
    assert_told(PARTS({0, 5, BY_ERRORS}), BY_ERRORS, "1 errors1");
    assert_told(PARTS({0, 5, 0}), BY_SLOW, "1 slow1");
}

static void what_says_nothing_is_not_told(void **state)
{
    (void)state;
    assert_told(PARTS({0, 5, 0}), 0, "1 ");
    assert_told(PARTS({0, 5, 0}, {0, 9, BY_SLOW}), BY_SLOW, "1 slow1"); /* an old block before it */
    assert_told(PARTS({0, 5, NO_SENSE}, {0, 9, BY_SLOW}), BY_SLOW, "1 slow1");
    assert_told(PARTS({0, 5, BY_NOBODY}, {0, 9, BY_SLOW}), BY_SLOW, "1 slow1");
    assert_told(PARTS({0, 5, NO_SENSE}), 0, "1 ");
    assert_told(PARTS({0, 5, KEPT(REASON_POLICY, 1, 3)}), KEPT(REASON_POLICY, 1, 3), "1 ");
    fake.rows = (struct live_rows){.outcome = BY_NOBODY};
    assert_told(PARTS({0, 5, 0}), 0, "1 ");
    fake.rows = (struct live_rows){.n = 0, .is_pending = true};
    assert_told(PARTS({0, 5, 0}), 0, "1 ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {
        TEST(what_nobody_knows_is_unknown),
        TEST(rows_that_wait_are_told_beside_what_was_decided),
        TEST(one_decision_decides),
        TEST(a_word_that_says_nothing_leaves_the_verdict),
        TEST(some_kept_is_kept),
        TEST(a_decision_on_its_way_to_the_store_is_told_once),
        TEST(rows_that_were_dropped_wait_in_the_ring_too),
        TEST(the_newest_sixteen_are_told_and_that_there_are_more),
        TEST(a_decision_met_twice_does_not_cut_the_list),
        TEST(votes_are_told_up_to_the_last_that_was_asked),
        TEST(a_name_is_looked_up_once),
        TEST(damage_is_an_error_where_nothing_else_is_known),
        TEST(what_ends_a_query_ends_this_one),
        TEST(a_trace_tells_its_first_decision),
        TEST(what_says_nothing_is_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
