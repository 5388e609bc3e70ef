/* What a query sees: blocks newest first, a trace's blocks, readers, and the same list for as long as it looks. */
#include "unit/store/store_rig.h"

#include <pthread.h>
#include <stdio.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"

static void put_at(struct rig *rig, uint64_t number, uint64_t trace, uint64_t start_ns)
{
    struct span span;

    rig_span(number, trace, &span);
    span.start_ns = start_ns;
    span.end_ns = start_ns + 10;
    rig_put_spans(rig, &span, 1);
    store_hurry(rig->store);
    rig_turn(rig);
}

static void blocks_come_newest_first_over_all_partitions(void **state)
{
    static const struct { uint64_t start; bool roll; } blocks_in[] = { { 50, false }, { 70, false }, { 10, true }, { 70, false }, { 90, true } };
    static const struct { uint64_t start; uint32_t partition, number; } want[] = { { 90, 2, 1 }, { 70, 1, 2 }, { 70, 0, 2 }, { 50, 0, 1 }, { 10, 1, 1 } };
    struct rig *rig = *state;
    const struct block_info *blocks;

    for (size_t i = 0; i < MG_COUNT(blocks_in); i++) {
        if (blocks_in[i].roll)
            rig_move_wall(rig->conf.roll_ns);
        put_at(rig, i + 1, i + 1, blocks_in[i].start);
    }
    struct store_view *view = store_view_new(rig->store);
    assert_int_equal(store_view_blocks(view, &blocks), MG_COUNT(want));
    for (size_t i = 0; i < MG_COUNT(want); i++) {
        assert_int_equal(blocks[i].start_max_ns, want[i].start);
        assert_int_equal(blocks[i].start_min_ns, want[i].start);
        assert_int_equal(blocks[i].partition, want[i].partition);
        assert_int_equal(blocks[i].number, want[i].number);
        assert_int_equal(blocks[i].rows, 1);
    }
    store_view_free(&view);
    store_view_free(&view);
}

static void an_empty_store_has_an_empty_view(void **state)
{
    struct rig *rig = *state;
    struct store_view *view = store_view_new(rig->store);
    const struct block_info *blocks;
    uint8_t id[16] = { 1 };
    uint32_t at[1];

    assert_int_equal(store_view_blocks(view, &blocks), 0);
    assert_int_equal(store_view_find(view, id, at, 1), 0);
    store_view_free(&view);
}

static void a_view_does_not_change(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    uint8_t id[16] = { 0 };
    uint32_t at[8];

    put_at(rig, 1, 1, 10);
    struct store_view *view = store_view_new(rig->store);
    put_at(rig, 2, 1, 20); /* before the view's transaction begins: it could see it */
    put_be64(id + 8, 1);
    assert_int_equal(store_view_find(view, id, at, 8), 1);
    put_at(rig, 3, 1, 30);
    rig_expect_in(view, 1, 1);
    assert_int_equal(store_view_blocks(view, &blocks), 1);
    rig_expect(rig, 1, 3);
    store_view_free(&view);
}

static void a_trace_is_found_in_every_block_that_holds_it(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    struct block_reader *reader;
    uint8_t id[16] = { 0 };
    uint32_t at[16], first;

    for (uint64_t i = 1; i <= 12; i++) {
        if (i == 7)
            rig_move_wall(rig->conf.roll_ns);
        put_at(rig, i, i % 3, i * 100);
    }
    rig_retain(rig); /* one sealed, one open */
    struct store_view *view = store_view_new(rig->store);
    store_view_blocks(view, &blocks);
    for (uint64_t trace = 0; trace < 3; trace++) {
        put_be64(id + 8, trace);
        assert_int_equal(store_view_find(view, id, at, 16), 4);
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(store_view_open(view, &blocks[at[i]], &reader, NULL), MG_OK);
            assert_int_equal(block_find(reader, id, &first), 1);
        }
    }
    put_be64(id + 8, 77);
    assert_int_equal(store_view_find(view, id, at, 16), 0);
    put_be64(id + 8, 1);
    assert_int_equal(store_view_find(view, id, at, 2), 2); /* no more than there is room for */
    assert_int_equal(store_view_find(view, id, at, 0), 0);
    store_view_free(&view);
}

static void a_block_that_cannot_match_is_not_opened(void **state)
{
    static const struct { uint64_t from, to; const char *service; bool want; } cases[] = {
        { 0, UINT64_MAX, NULL, true }, { 200, 200, NULL, true }, { 201, UINT64_MAX, NULL, false }, { 0, 199, NULL, false },
        { 199, 201, NULL, true }, { 0, UINT64_MAX, "service-1", true }, { 0, UINT64_MAX, "service-2", false },
        { 0, UINT64_MAX, "", false },
    };
    struct rig *rig = *state;
    const struct block_info *blocks;

    put_at(rig, 1, 1, 200);
    struct store_view *view = store_view_new(rig->store);
    assert_int_equal(store_view_blocks(view, &blocks), 1);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct span_filter filter = { .start_min_ns = cases[i].from, .start_max_ns = cases[i].to, .duration_max_ns = UINT64_MAX };
        bool may;
        if (cases[i].service)
            filter.service = str_of(cases[i].service);
        assert_int_equal(store_view_may_match(view, &blocks[0], &filter, &may), MG_OK);
        assert_int_equal(may, cases[i].want);
    }
    store_view_free(&view);
}

/* What a search does with the blocks of a view: how many it opens, what it unpacks of them, what it finds. */
struct effort { unsigned opened, found; size_t unpacked; };

static bool on_found(void *owner, const uint8_t trace_id[16], uint64_t start_ns)
{
    (void)trace_id;
    (void)start_ns;
    ++*(unsigned *)owner;
    return true;
}

static struct effort search(struct store_view *view, const struct span_filter *filter)
{
    const struct block_info *blocks;
    size_t n = store_view_blocks(view, &blocks);
    struct effort effort = { 0 };
    struct block_reader *reader;
    bool may;

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(store_view_may_match(view, &blocks[i], filter, &may), MG_OK);
        if (!may)
            continue;
        assert_int_equal(store_view_open(view, &blocks[i], &reader, NULL), MG_OK);
        assert_int_equal(block_search(reader, filter, on_found, &effort.found, NULL), MG_OK);
        effort.opened++;
        effort.unpacked += block_memory(reader);
    }
    return effort;
}

/* Twelve blocks of twelve spans, the fifth block of another kind; one partition of two is sealed. */
static void put_attributed(struct rig *rig)
{
    for (unsigned block = 1; block <= 12; block++) {
        struct span spans[12];
        struct attr attrs[12][2];
        for (unsigned i = 0; i < 12; i++) {
            attrs[i][0] = (struct attr){ STR("method"), { .type = VALUE_STRING, .str = block == 5 ? STR("BREW") : i % 2 ? STR("GET") : STR("POST") } };
            attrs[i][1] = (struct attr){ STR("code"), { .type = VALUE_INT, .i = 200 + i % 3 + block } };
            rig_span(block * 100 + i, block, &spans[i]);
            spans[i].attrs = attrs[i];
            spans[i].n_attrs = 2;
        }
        if (block == 9)
            rig_move_wall(rig->conf.roll_ns);
        rig_put_spans(rig, spans, 12);
        store_hurry(rig->store);
        rig_turn(rig);
    }
    rig_retain(rig);
}

static void a_search_for_what_is_not_there_opens_no_block(void **state)
{
    static const struct { const char *service; struct filter_tag tag; unsigned opened, found; } cases[] = {
        { NULL, { .key = STR_INIT("method"), .value = STR_INIT("NOSUCH") }, 0, 0 },
        { NULL, { .key = STR_INIT("no.such.key"), .value = STR_INIT("GET") }, 0, 0 },
        { NULL, { .key = STR_INIT("no.such.key"), .op = TAG_EXISTS }, 0, 0 },
        { NULL, { .key = STR_INIT("code"), .op = TAG_AT_LEAST, .number = 900 }, 0, 0 },
        { NULL, { .key = STR_INIT("code"), .op = TAG_LESS, .number = 201 }, 0, 0 },
        { NULL, { .key = STR_INIT("code"), .value = STR_INIT("404") }, 0, 0 },
        { "service-1", { .key = STR_INIT("method"), .value = STR_INIT("BREW") }, 0, 0 }, /* of block 5, whose service is another */
        { "service-5", { .key = STR_INIT("method"), .value = STR_INIT("GET") }, 0, 0 },
        { NULL, { .key = STR_INIT("method"), .value = STR_INIT("BREW") }, 1, 1 },
        { NULL, { .key = STR_INIT("method"), .value = STR_INIT("GET") }, 11, 11 },
        { NULL, { .key = STR_INIT("code"), .op = TAG_AT_LEAST, .number = 214 }, 1, 1 },
        { NULL, { .key = STR_INIT("code"), .op = TAG_IS, .number = 201.5 }, 1, 0 }, /* inside a range: opened for nothing */
        { "service-1", { .key = STR_INIT("method"), .value = STR_INIT("POST") }, 2, 2 },
    };
    struct rig *rig = *state;

    put_attributed(rig);
    assert_int_equal(rig_partitions(rig), 2);
    struct store_view *view = store_view_new(rig->store);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct span_filter filter = { .tags = &cases[i].tag, .n_tags = 1, .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX };
        if (cases[i].service)
            filter.service = str_of(cases[i].service);
        struct effort effort = search(view, &filter);
        if (effort.opened != cases[i].opened || effort.found != cases[i].found || (effort.unpacked > 0) != (effort.opened > 0))
            fail_msg("case %zu: %u opened, %u found, %zu B", i, effort.opened, effort.found, effort.unpacked);
    }
    store_view_free(&view);
}

static void readers_are_cached_and_given_up(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    struct block_reader *reader, *again;

    for (uint64_t i = 1; i <= 20; i++)
        put_at(rig, i, i, i);
    struct store_view *view = store_view_new(rig->store);
    size_t n = store_view_blocks(view, &blocks);
    assert_int_equal(n, 20);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(store_view_open(view, &blocks[i], &reader, NULL), MG_OK);
            assert_int_equal(store_view_open(view, &blocks[i], &again, NULL), MG_OK);
            assert_ptr_equal(reader, again);
            assert_int_equal(block_n_rows(reader), 1);
        }
    rig_expect_in(view, 1, 20);
    store_view_free(&view);
}

static void cut_in_half(struct buf *value)
{
    value->len /= 2;
}

static void a_damaged_block_is_told_and_the_rest_goes_on(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    struct block_reader *reader;

    for (uint64_t i = 1; i <= 3; i++)
        put_at(rig, i, i, i);
    rig_abandon(rig);
    rig_change_block(rig, 1, TABLE_BLK, 2, cut_in_half);
    rig_open(rig);
    struct store_view *view = store_view_new(rig->store);
    assert_int_equal(store_view_blocks(view, &blocks), 3);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(store_view_open(view, &blocks[i], &reader, &rig->why), blocks[i].number == 2 ? MG_E_FORMAT : MG_OK);
    store_view_free(&view);
}

static void a_read_that_fails_is_told(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    struct block_reader *reader;
    const struct span_filter any = { .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX };
    bool may;

    put_at(rig, 1, 1, 1);
    for (uint64_t n = 1; n <= 2; n++) {
        struct store_view *view = store_view_new(rig->store);
        store_view_blocks(view, &blocks);
        kv_fault_at(n);
        assert_int_not_equal(store_view_may_match(view, &blocks[0], &any, &may), MG_OK);
        kv_fault_at(n);
        assert_int_equal(store_view_open(view, &blocks[0], &reader, &rig->why), n == 1 ? MG_E_IO : MG_OK);
        kv_fault_at(0);
        assert_int_equal(store_view_open(view, &blocks[0], &reader, &rig->why), MG_OK);
        store_view_free(&view);
    }
}

static void the_catalog_of_all_partitions_is_merged(void **state)
{
    struct rig *rig = *state;
    struct arena arena = { 0 };
    struct catalog *catalog = catalog_new();
    struct catalog_operation *operations;
    struct str *services;

    for (uint64_t i = 1; i <= 9; i++) {
        if (i % 4 == 0)
            rig_move_wall(rig->conf.roll_ns);
        put_at(rig, i, 1 + i % 2, i);
    }
    assert_int_equal(rig_partitions(rig), 3);
    rig_retain(rig);
    store_catalog(rig->store, catalog);
    assert_int_equal(catalog_services(catalog, &arena, &services), 2);
    assert_int_equal(catalog_operations(catalog, STR("service-2"), &arena, &operations), 5);
    assert_int_equal(operations[0].kind, SPAN_SERVER);
    catalog_free(&catalog);
    arena_fini(&arena);
}

/* --- beside the block thread ------------------------------------------------------------------------ */

struct reader {
    struct rig *rig;
    pthread_t thread;
    _Atomic bool *is_over;
    _Atomic uint64_t *committed; /* spans 1 to this are there */
    uint64_t rounds, faults;
};

static uint64_t spans_in(struct store_view *view, uint64_t *highest)
{
    const struct block_info *blocks;
    size_t n = store_view_blocks(view, &blocks);
    struct arena arena = { 0 };
    struct block_reader *reader;
    struct span *spans;
    uint64_t sum = 0;
    uint32_t rows;

    *highest = 0;
    for (size_t i = 0; i < n; i++) {
        if (store_view_open(view, &blocks[i], &reader, NULL) != MG_OK)
            return 0;
        sum += block_n_rows(reader);
        if (block_decode(reader, 0, &arena, &spans, &rows, NULL) != MG_OK)
            return 0;
        for (uint32_t k = 0; k < rows; k++)
            *highest = MG_MAX(*highest, get_be64(spans[k].span_id));
        arena_reset(&arena);
    }
    arena_fini(&arena);
    return sum;
}

static void *read_on(void *argument)
{
    struct reader *reader = argument;

    while (!*reader->is_over) {
        uint64_t before = *reader->committed, highest;
        struct store_view *view = store_view_new(reader->rig->store);
        uint64_t sum = spans_in(view, &highest);
        /* Each commit is whole: what was there before the view is in it, and nothing is half there. */
        if (sum < before || sum % 10 != 0 || highest > sum)
            reader->faults++;
        store_view_free(&view);
        struct catalog *catalog = catalog_new();
        store_catalog(reader->rig->store, catalog);
        catalog_free(&catalog);
        struct store_stats stats;
        store_stat(reader->rig->store, &stats);
        reader->rounds++;
    }
    return NULL;
}

static void views_beside_commits_rolls_and_sealing(void **state)
{
    struct rig *rig = *state;
    struct reader readers[3];
    _Atomic bool is_over = false;
    _Atomic uint64_t committed = 0;

    rig_start(rig);
    for (size_t i = 0; i < MG_COUNT(readers); i++) {
        readers[i] = (struct reader){ .rig = rig, .is_over = &is_over, .committed = &committed };
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    for (unsigned i = 1; i <= 60; i++) {
        rig_put(rig, 10, 5);
        if (i % 10 == 0)
            rig_move(rig->conf.roll_ns);
        store_flush(rig->store);
        committed = i * 10;
    }
    is_over = true;
    for (size_t i = 0; i < MG_COUNT(readers); i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].faults, 0);
    }
    rig_expect(rig, 1, 600);
    assert_int_equal(rig->n_done, 60);
}

/* Whatever the clocks of spans say, in several partitions. */
static void blocks_are_in_order_whatever_came(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    struct random random;
    struct span span;

    random_init(&random, 3);
    for (unsigned i = 0; i < 80; i++) {
        rig->rows.wall_s = (uint32_t)(rig_wall_ns() / RIG_SECOND);
        rig_span(i + 1, i + 1, &span);
        uint64_t pick = random_below(&random, 10);
        span.start_ns = pick == 0   ? random_below(&random, 1000)
                        : pick == 1 ? rig_wall_ns() * 2
                        : pick < 5  ? rig_wall_ns() - random_below(&random, 3600) * RIG_SECOND
                                    : rig_wall_ns();
        span.end_ns = span.start_ns + 1;
        rig_put_spans(rig, &span, 1);
        store_hurry(rig->store);
        rig_turn(rig);
        rig_move_wall(random_below(&random, 600) * RIG_SECOND);
    }
    assert_true(rig_partitions(rig) > 3);
    struct store_view *view = store_view_new(rig->store);
    size_t n = store_view_blocks(view, &blocks);
    assert_int_equal(n, 80);
    for (size_t i = 1; i < n; i++)
        assert_true(blocks[i - 1].start_max_ns >= blocks[i].start_max_ns);
    rig_expect_in(view, 1, 80);
    store_view_free(&view);
    for (uint64_t trace = 1; trace <= 80; trace++)
        assert_int_equal(rig_find(rig, trace), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(blocks_come_newest_first_over_all_partitions), T(an_empty_store_has_an_empty_view), T(a_view_does_not_change),
        T(a_trace_is_found_in_every_block_that_holds_it), T(a_block_that_cannot_match_is_not_opened),
        T(a_search_for_what_is_not_there_opens_no_block), T(readers_are_cached_and_given_up),
        T(a_damaged_block_is_told_and_the_rest_goes_on), T(a_read_that_fails_is_told), T(the_catalog_of_all_partitions_is_merged),
        T(views_beside_commits_rolls_and_sealing),
        T(blocks_are_in_order_whatever_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
