/* The archive: traces that outlive retention. */
#include "unit/store/store_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <pthread.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"

static enum mg_err pin_numbers(struct rig *rig, uint64_t trace, uint64_t first, unsigned n)
{
    struct span spans[64];
    const struct span *at[64];

    for (unsigned i = 0; i < n; i++) {
        rig_span(first + i, trace, &spans[i]);
        at[i] = &spans[i];
    }
    return store_pin(rig->store, at, n, 0, &rig->why);
}

/* Every copy of the trace's spans that a look-up leads to: how many. */
static unsigned count_spans(struct rig *rig, uint64_t trace)
{
    struct store_view *view = store_view_new(rig->store);
    const struct block_info *blocks;
    struct arena arena = { 0 };
    struct block_reader *reader;
    struct span *spans;
    uint8_t id[16] = { 0 };
    uint32_t at[64], first, rows;
    unsigned n = 0;

    put_be64(id + 8, trace);
    (void)store_view_blocks(view, &blocks);
    size_t found = store_view_find(view, id, at, MG_COUNT(at));
    assert_true(found <= store_view_find_most(view));
    for (size_t i = 0; i < found; i++) {
        assert_int_equal(store_view_open(view, &blocks[at[i]], &reader, &rig->why), MG_OK);
        uint32_t fragments = block_find(reader, id, &first);
        for (uint32_t k = 0; k < fragments; k++) {
            assert_int_equal(block_decode(reader, first + k, &arena, &spans, &rows, &rig->why), MG_OK);
            n += rows;
        }
    }
    arena_fini(&arena);
    store_view_free(&view);
    return n;
}

static bool pins_exist(const struct rig *rig)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/pins.mdb", rig->store_dir);
    return access(path, F_OK) == 0;
}

static void a_pinned_trace_outlives_retention(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    struct store_stats stats;

    rig_commit(rig, 10);
    assert_false(pins_exist(rig));
    assert_int_equal(pin_numbers(rig, 1, 1, 5), MG_OK);
    assert_true(pins_exist(rig));
    assert_int_equal(count_spans(rig, 1), 10); /* both; the view of a trace joins equal ones */
    rig_roll(rig, 10);
    rig_retain(rig);
    RIG_SET(rig, disk_max, 1);
    store_retain(rig->store);
    rig_expect(rig, 11, 20); /* a search does not see the archive */
    assert_int_equal(count_spans(rig, 1), 5);
    assert_int_equal(count_spans(rig, 2), 0);
    rig_turn(rig);
    store_stat(rig->store, &stats);
    assert_int_equal(stats.pinned, 1);
    assert_true(stats.pins_bytes > 0 && stats.disk_bytes > stats.pins_bytes);
    RIG_SET(rig, disk_max, UINT64_C(1) << 40);
    rig_reopen(rig);
    assert_int_equal(count_spans(rig, 1), 5);
    struct store_view *view = store_view_new(rig->store);
    assert_int_equal(store_view_blocks(view, &blocks), 1);
    assert_int_equal(store_view_find_most(view), 2);
    store_view_free(&view);
    rig_expect(rig, 11, 20);
}

static void a_store_of_pins_alone_finds_them(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(pin_numbers(rig, 3, 1, 4), MG_OK);
    assert_int_equal(pin_numbers(rig, 4, 5, 6), MG_OK);
    assert_int_equal(pin_numbers(rig, 3, 1, 4), MG_OK); /* again is fine */
    assert_int_equal(count_spans(rig, 3), 8);
    assert_int_equal(count_spans(rig, 4), 6);
    rig_reopen(rig);
    assert_int_equal(count_spans(rig, 3), 8);
    assert_int_equal(pin_numbers(rig, 5, 20, 1), MG_OK);
    assert_int_equal(count_spans(rig, 5), 1);
    assert_int_equal(store_recovered(rig->store)->commit, 0); /* the archive is nobody's recovery */
}

static void every_field_comes_back(void **state)
{
    struct rig *rig = *state;
    struct arena arena = { 0 }, out = { 0 };
    struct random random;
    struct span spans[40], *got;
    const struct span *at[40];
    const struct block_info *blocks;
    struct block_reader *reader;
    uint32_t place, first, rows, matched = 0;

    random_init(&random, 5);
    for (unsigned i = 0; i < 40; i++) {
        random_span(&random, 1, &arena, &spans[i]);
        memset(spans[i].trace_id, 7, 16);
        put_be64(spans[i].span_id, i + 1); /* no duplicates */
        at[i] = &spans[i];
    }
    assert_int_equal(store_pin(rig->store, at, 40, 0, &rig->why), MG_OK);
    rig_reopen(rig);
    struct store_view *view = store_view_new(rig->store);
    (void)store_view_blocks(view, &blocks);
    assert_int_equal(store_view_find(view, spans[0].trace_id, &place, 1), 1);
    assert_int_equal(store_view_open(view, &blocks[place], &reader, &rig->why), MG_OK);
    assert_int_equal(block_find(reader, spans[0].trace_id, &first), 1);
    assert_int_equal(block_decode(reader, first, &out, &got, &rows, &rig->why), MG_OK);
    assert_int_equal(rows, 40);
    for (uint32_t i = 0; i < rows; i++)
        matched += span_equal(&got[i], &spans[i]);
    assert_int_equal(matched, 40);
    store_view_free(&view);
    arena_fini(&arena);
    arena_fini(&out);
}

static void what_cannot_be_pinned_is_refused(void **state)
{
    struct rig *rig = *state;
    struct span spans[2];
    const struct span *at[] = { &spans[0], &spans[1] };

    rig_span(1, 1, &spans[0]);
    rig_span(2, 2, &spans[1]);
    assert_int_equal(store_pin(rig->store, at, 0, 0, &rig->why), MG_E_FORMAT);
    assert_int_equal(store_pin(rig->store, at, 2, 0, &rig->why), MG_E_FORMAT);
    assert_int_equal(store_pin(rig->store, at, BLOCK_ROWS_MAX + 1, 0, &rig->why), MG_E_TOO_BIG);
    assert_false(pins_exist(rig));
}

static void the_archive_has_a_largest_size(void **state)
{
    struct rig *rig = *state;
    unsigned n = 0;

    RIG_SET(rig, pins_max, 100);
    assert_int_equal(pin_numbers(rig, 1, 1, 5), MG_E_TOO_BIG);
    assert_non_null(strstr(rig->why.text, "store.pins_max"));
    assert_false(pins_exist(rig));
    RIG_SET(rig, pins_max, 128 << 10);
    while (pin_numbers(rig, n + 1, 1, 5) == MG_OK)
        n++;
    assert_in_range(n, 2, 60);
    assert_true(pins_disk_bytes(rig->store) <= 2 * rig->conf.pins_max);
    assert_int_equal(count_spans(rig, n), 5);
    assert_int_equal(count_spans(rig, n + 1), 0);
    RIG_SET(rig, pins_max, 256 << 10);
    assert_int_equal(pin_numbers(rig, n + 1, 1, 5), MG_OK);
}

static void one_failure_loses_and_doubles_nothing(void **state)
{
    struct rig *rig = *state;
    uint64_t n = 0;
    unsigned pinned = 0;
    bool is_over = false;

    while (!is_over) {
        kv_fault_at(++n);
        enum mg_err err = pin_numbers(rig, n, 1, 5);
        is_over = kv_fault_calls() < n;
        kv_fault_at(0);
        assert_int_equal(count_spans(rig, n), err == MG_OK ? 5 : 0);
        pinned += err == MG_OK;
        if (n % 3 == 0)
            rig_reopen(rig);
        if (err != MG_OK) {
            assert_int_equal(pin_numbers(rig, n, 1, 5), MG_OK);
            pinned++;
        }
        assert_int_equal(count_spans(rig, n), 5);
    }
    assert_true(n > 5);
    rig_reopen(rig);
    assert_int_equal(rig->store->pins.index.n, pinned);
}

static void a_damaged_archive_is_set_aside(void **state)
{
    struct rig *rig = *state;
    struct store_stats stats;
    char path[128], rubbish[8192];

    rig_commit(rig, 10);
    assert_int_equal(pin_numbers(rig, 1, 1, 5), MG_OK);
    rig_abandon(rig);
    (void)snprintf(path, sizeof path, "%s/pins.mdb", rig->store_dir);
    int fd = open(path, O_WRONLY);
    memset(rubbish, 'x', sizeof rubbish);
    assert_int_equal(write(fd, rubbish, sizeof rubbish), sizeof rubbish);
    close(fd);
    rig_open(rig);
    store_stat(rig->store, &stats);
    assert_int_equal(stats.damaged, 1);
    rig_expect(rig, 1, 10);
    assert_int_equal(pin_numbers(rig, 2, 1, 5), MG_E_FORMAT);
    assert_non_null(strstr(rig->why.text, "pins.mdb"));
    assert_true(pins_exist(rig));
}

static void *pin_some(void *argument)
{
    struct rig *rig = argument;
    struct mg_why why;

    for (unsigned i = 0; i < 10; i++) {
        struct span span;
        const struct span *at = &span;
        rig_span(1, 1, &span);
        if (store_pin(rig->store, &at, 1, 0, &why) != MG_OK)
            return (void *)1;
    }
    return NULL;
}

static void several_threads_may_pin(void **state)
{
    struct rig *rig = *state;
    pthread_t threads[3];
    void *failed;

    struct span span;
    rig_span(1, 1, &span); /* its static resource is made once, before the threads */
    for (size_t i = 0; i < MG_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pin_some, rig), 0);
    for (size_t i = 0; i < MG_COUNT(threads); i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(count_spans(rig, 1), 30);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_pinned_trace_outlives_retention), T(a_store_of_pins_alone_finds_them), T(every_field_comes_back),
        T(what_cannot_be_pinned_is_refused), T(the_archive_has_a_largest_size), T(one_failure_loses_and_doubles_nothing),
        T(a_damaged_archive_is_set_aside), T(several_threads_may_pin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
