/* Spans whose clocks are far off: in blocks of their own, found all the same (collector/README.md R7). */
#include "unit/store/store_rig.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "store/tools.h"

enum { HOUR = 3600 };

/* Seconds from the receive time. */
static void put_at(struct rig *rig, const int64_t *offsets, size_t n, uint64_t trace)
{
    struct span spans[16];

    for (size_t i = 0; i < n; i++) {
        rig_span(++rig->spans, trace, &spans[i]);
        spans[i].start_ns = RIG_WALL + (uint64_t)(offsets[i] * (int64_t)RIG_SECOND);
        spans[i].end_ns = spans[i].start_ns + 500;
        if (i)
            memcpy(spans[i].parent_id, spans[0].span_id, 8);
    }
    rig_put_spans(rig, spans, n);
}

static void commit(struct rig *rig)
{
    size_t done = rig->n_done;

    store_hurry(rig->store);
    rig_turn(rig);
    assert_true(rig->n_done > done);
}

static size_t blocks_of(struct rig *rig, struct block_info *out)
{
    struct store_view *view = store_view_new(rig->store);
    const struct block_info *blocks;
    size_t n = store_view_blocks(view, &blocks);

    memcpy(out, blocks, n * sizeof *out);
    store_view_free(&view);
    return n;
}

static void no_line(void *owner, struct str line)
{
    (void)owner;
    (void)line;
}

static const int64_t long_ago = -53 * 365 * 24 * (int64_t)HOUR, far_ahead = 76 * 365 * 24 * (int64_t)HOUR;

static void strays_do_not_widen_the_ordinary_block(void **state)
{
    struct rig *rig = *state;
    const int64_t offsets[] = { 0, long_ago, 1, far_ahead, 2 };
    struct block_info blocks[4];

    put_at(rig, offsets, 5, 1);
    put_at(rig, (int64_t[]){ 3 }, 1, 2);
    commit(rig);
    assert_int_equal(blocks_of(rig, blocks), 2);
    assert_true(blocks[0].is_stray); /* newest start first */
    assert_int_equal(blocks[0].rows, 2);
    assert_int_equal(blocks[0].start_max_ns, RIG_WALL + (uint64_t)far_ahead * RIG_SECOND);
    assert_int_equal(blocks[0].number, 2);
    assert_false(blocks[1].is_stray);
    assert_int_equal(blocks[1].rows, 4);
    assert_int_equal(blocks[1].start_min_ns, RIG_WALL);
    assert_int_equal(blocks[1].start_max_ns, RIG_WALL + 3 * RIG_SECOND);
    assert_int_equal(rig_find(rig, 1), 2); /* both runs have the trace */
    assert_int_equal(rig_find(rig, 2), 1);
    rig_expect(rig, 1, 6);
    assert_int_equal(rig->stored, 6);
    rig_reopen(rig);
    rig_expect(rig, 1, 6);
    rig_roll(rig, 5);
    rig_retain(rig);
    rig_reopen(rig); /* the index keeps the flag */
    assert_int_equal(blocks_of(rig, blocks), 3);
    assert_true(blocks[0].is_stray && !blocks[1].is_stray && !blocks[2].is_stray);
    assert_true(rig_find(rig, 1) >= 2);
    rig_abandon(rig);
    assert_int_equal(store_check_dir(rig->store_dir, no_line, NULL, &rig->why), MG_OK);
    rig_open(rig);
}

static void the_window_has_edges(void **state)
{
    static const struct { int64_t offset; bool is_stray; } cases[] = {
        { 0, false }, { -HOUR, false }, { -HOUR - 1, true }, { 600, false }, { 601, true }, { -HOUR + 1, false }, { 599, false },
        { 1000000, true }, { -1000000, true },
    };
    struct rig *rig = *state;
    struct block_info blocks[16];

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        put_at(rig, &cases[i].offset, 1, i + 1);
        commit(rig);
        assert_int_equal(blocks_of(rig, blocks), 1);
        if (blocks[0].is_stray != cases[i].is_stray)
            fail_msg("%lld s", (long long)cases[i].offset);
        rig_abandon(rig);
        rig_anew(rig);
    }
}

static void a_search_looks_at_strays_when_they_may_match(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    static const struct { uint64_t from, to; unsigned may; } cases[] = {
        { 0, UINT64_MAX, 2 }, /* everything */
        { RIG_WALL, RIG_WALL + 10 * RIG_SECOND, 2 },   /* today: the ordinary one, and the stray one that spans it */
        { 0, RIG_WALL - UINT64_C(63072000) * RIG_SECOND, 1 },                 /* long ago: the strays */
        { RIG_WALL + UINT64_C(31536000) * RIG_SECOND, UINT64_MAX, 1 },            /* far ahead: the strays */
    };

    put_at(rig, (int64_t[]){ 0, long_ago, far_ahead }, 3, 1);
    commit(rig);
    struct store_view *view = store_view_new(rig->store);
    size_t n = store_view_blocks(view, &blocks);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct span_filter filter = { .start_min_ns = cases[i].from, .start_max_ns = cases[i].to, .duration_max_ns = UINT64_MAX };
        unsigned may = 0;
        for (size_t k = 0; k < n; k++) {
            bool one;
            assert_int_equal(store_view_may_match(view, &blocks[k], &filter, &one), MG_OK);
            may += one;
        }
        assert_int_equal(may, cases[i].may);
    }
    store_view_free(&view);
}

static void a_failed_commit_stores_strays_once(void **state)
{
    struct rig *rig = *state;

    put_at(rig, (int64_t[]){ 0, long_ago, 1, far_ahead }, 4, 1);
    for (uint64_t n = 1; rig->n_done == 0; n++) {
        kv_fault_at(n);
        store_hurry(rig->store);
        rig_turn(rig);
        kv_fault_at(0);
        rig_move_mono(30 * RIG_SECOND);
    }
    rig_expect(rig, 1, 4);
    assert_int_equal(rig->stored, 4);
    rig_reopen(rig);
    rig_expect(rig, 1, 4);
}

static void many_strays_make_several_blocks(void **state)
{
    struct rig *rig = *state;
    struct block_info blocks[64];
    size_t strays = 0;

    RIG_SET(rig, block_rows, 10);
    for (unsigned i = 0; i < 20; i++)
        put_at(rig, (int64_t[]){ 0, long_ago, far_ahead, 1 }, 4, i + 1);
    commit(rig);
    size_t n = blocks_of(rig, blocks);
    for (size_t i = 0; i < n; i++) {
        strays += blocks[i].is_stray;
        assert_true(blocks[i].rows >= 10);
    }
    assert_true(strays >= 3 && n - strays >= 3);
    rig_expect(rig, 1, 80);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(strays_do_not_widen_the_ordinary_block), T(the_window_has_edges), T(a_search_looks_at_strays_when_they_may_match),
        T(a_failed_commit_stores_strays_once), T(many_strays_make_several_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
