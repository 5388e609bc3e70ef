#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "base/mem.h"
#include "row/segment.h"

#define ROOM (SEGMENT_BYTES - sizeof(struct segment))

/* A row of the wanted size whose optional part is filled up with bytes. */
static struct row *row_of(size_t bytes, uint64_t start_ns)
{
    struct row *row = mem_zero(1, bytes);

    row->bytes = (uint32_t)bytes;
    row->start_ns = start_ns;
    if (bytes > sizeof *row) {
        size_t len = bytes - sizeof *row;
        row->has = ROW_HAS_UNKNOWN;
        /* Where the length's own size changes by the subtraction, a pad remains. */
        (void)put_varint(row->payload, len - varint_len(len));
    }
    return row;
}

static void test_segments_are_aligned(void **state)
{
    struct epoch *epoch = epoch_new(0);
    struct segment *segments[5];

    (void)state;
    segment_pool_trim(0);
    for (unsigned i = 0; i < 5; i++) {
        segments[i] = segment_new(epoch, 200);
        assert_int_equal((uintptr_t)segments[i] % SEGMENT_BYTES, 0);
        assert_int_equal(segments[i]->room, ROOM);
        assert_int_equal(segments[i]->mapped, SEGMENT_BYTES);
        assert_ptr_equal(segments[i]->epoch, epoch);
        memset(segment_rows(segments[i]), 0xaa, ROOM); /* All of it is ours. */
    }
    for (unsigned i = 0; i < 5; i++)
        segment_unref(&segments[i]);
    assert_null(segments[0]);
    segment_unref(&segments[0]);
    epoch_unref(&epoch);
    segment_pool_trim(0);
}

static void test_filled_to_the_last_byte(void **state)
{
    static const struct { size_t last; bool fits; } rows[] = {
        { 96, true }, { 104, true }, { 112, true }, { 120, true }, { 128, false }, { 4096, false },
    };
    struct epoch *epoch = epoch_new(0);
    struct row *row = row_of(1000, 5);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct segment *segment = segment_new(epoch, 96);
        size_t left = ROOM, n = 0;
        for (; left >= 1000 + 120 + 96; left -= 1000, n++) {
            struct row *copy = segment_add(segment, row);
            assert_non_null(copy);
            assert_ptr_equal(segment_of(copy), segment);
            assert_memory_equal(copy, row, 1000);
        }
        struct row *filler = row_of(left - 120, 5), *last = row_of(rows[i].last, 5);
        assert_non_null(segment_add(segment, filler));
        n++;
        struct row *copy = segment_add(segment, last);
        assert_int_equal(copy != NULL, rows[i].fits);
        assert_int_equal(segment->live.rows, n + rows[i].fits);
        assert_int_equal(segment->live.held, segment->live.rows);
        if (copy)
            assert_ptr_equal(segment_of(copy), segment);
        mem_free(filler);
        mem_free(last);
        segment_unref(&segment);
    }
    mem_free(row);
    epoch_unref(&epoch);
    segment_pool_trim(0);
}

static void test_oversize(void **state)
{
    static const struct { size_t bytes; bool is_oversize; } rows[] = {
        { ROOM - ROOM % 8 - 8, false }, { ROOM - ROOM % 8, false }, { ROOM - ROOM % 8 + 8, true },
        { SEGMENT_BYTES, true },        { SEGMENT_BYTES + 8, true }, { 5 * SEGMENT_BYTES, true },
    };
    struct epoch *epoch = epoch_new(0);

    (void)state;
    segment_pool_trim(0);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct row *row = row_of(rows[i].bytes, 1), *small = row_of(96, 1);
        struct segment *segment = segment_new(epoch, rows[i].bytes);
        assert_int_equal((uintptr_t)segment % SEGMENT_BYTES, 0);
        assert_int_equal(segment->mapped > SEGMENT_BYTES, rows[i].is_oversize);
        struct row *copy = segment_add(segment, row);
        assert_non_null(copy);
        assert_ptr_equal(segment_of(copy), segment);
        assert_memory_equal(copy, row, rows[i].bytes);
        if (rows[i].is_oversize) /* A second row could not find its segment. */
            assert_null(segment_add(segment, small));
        segment_unref(&segment);
        assert_int_equal(segment_pool_bytes(), SEGMENT_BYTES); /* Only the ordinary one. */
        mem_free(row);
        mem_free(small);
    }
    epoch_unref(&epoch);
    segment_pool_trim(0);
}

static void test_published_is_what_readers_see(void **state)
{
    struct epoch *epoch = epoch_new(0);
    struct segment *segment = segment_new(epoch, 96);
    struct row *rows[] = { row_of(96, 50), row_of(104, 10), row_of(96, 70) };
    const char *end;

    (void)state;
    const struct row *first = segment_first(segment, &end);
    assert_ptr_equal(first, end);
    assert_true(atomic_load(&segment->start_min_ns) > atomic_load(&segment->start_max_ns));
    (void)segment_add(segment, rows[0]);
    (void)segment_add(segment, rows[1]);
    first = segment_first(segment, &end);
    assert_ptr_equal(first, end);
    segment_publish(segment);
    (void)segment_add(segment, rows[2]);
    first = segment_first(segment, &end);
    assert_int_equal(end - (const char *)first, 200);
    assert_int_equal(first->start_ns, 50);
    assert_int_equal(row_after(first)->start_ns, 10);
    assert_ptr_equal(row_after(row_after(first)), end);
    segment_publish(segment);
    assert_int_equal(atomic_load(&segment->start_min_ns), 10);
    assert_int_equal(atomic_load(&segment->start_max_ns), 70);
    segment_unref(&segment);
    epoch_unref(&epoch);
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        mem_free(rows[i]);
}

static void test_last_reference_frees(void **state)
{
    struct epoch *epoch = epoch_new(0);
    struct segment *segment = segment_new(epoch, 96), *reader = segment_ref(segment);

    (void)state;
    segment_pool_trim(0);
    epoch_unref(&epoch); /* The segment keeps the epoch. */
    segment_unref(&segment);
    assert_int_equal(segment_pool_bytes(), 0);
    assert_int_equal(epoch_symbols(reader->epoch), 0);
    segment_unref(&reader);
    assert_int_equal(segment_pool_bytes(), SEGMENT_BYTES);
    segment_pool_trim(0);
}

static void test_reused_segment_is_as_new(void **state)
{
    struct epoch *epoch = epoch_new(0);
    struct row *row = row_of(96, 9);
    struct segment *segment = segment_new(epoch, 96), *was = segment;
    const char *end;

    (void)state;
    segment_pool_trim(0);
    (void)segment_add(segment, row);
    segment_publish(segment);
    segment->live.sealed = true;
    segment_unref(&segment);
    segment = segment_new(epoch, 96);
    assert_ptr_equal(segment, was);
    assert_int_equal(segment_pool_bytes(), 0);
    const struct row *first = segment_first(segment, &end);
    assert_ptr_equal(first, end);
    assert_false(segment->live.sealed);
    assert_int_equal(segment->live.rows + segment->live.used, 0);
    assert_true(atomic_load(&segment->start_min_ns) == UINT64_MAX);
    segment_unref(&segment);
    mem_free(row);
    epoch_unref(&epoch);
    segment_pool_trim(0);
}

static void test_pool_is_bounded(void **state)
{
    static const struct { size_t keep, want; } trims[] = {
        { SIZE_MAX, 32 << 20 }, { 32 << 20, 32 << 20 }, { (32 << 20) - 1, 31 << 20 },
        { 3 << 20, 3 << 20 },   { 1, 0 },               { 0, 0 },
    };
    struct epoch *epoch = epoch_new(0);
    struct segment *segments[40];

    (void)state;
    segment_pool_trim(0);
    for (unsigned i = 0; i < 40; i++)
        segments[i] = segment_new(epoch, 96);
    for (unsigned i = 0; i < 40; i++) {
        segment_unref(&segments[i]);
        assert_int_equal(segment_pool_bytes(), MG_MIN(i + 1, 32u) * SEGMENT_BYTES);
    }
    for (size_t i = 0; i < MG_COUNT(trims); i++) {
        segment_pool_trim(trims[i].keep);
        assert_int_equal(segment_pool_bytes(), trims[i].want);
    }
    epoch_unref(&epoch);
}

/* --- readers beside live -------------------------------------------------------------------- */

#define THREAD_ROWS 4000

static void *reader(void *argument)
{
    struct segment *segment = argument;
    uintptr_t bad = 0;
    size_t n = 0;

    while (n < THREAD_ROWS) {
        const char *end;
        const struct row *row = segment_first(segment, &end);
        for (n = 0; (const char *)row < end; row = row_after(row), n++)
            bad += row->start_ns != n + 1 || segment_of(row) != segment ||
                   !row_is_sound(row, segment->epoch);
        if (n)
            bad += atomic_load(&segment->start_min_ns) > 1 ||
                   atomic_load(&segment->start_max_ns) < n;
    }
    segment_unref(&segment);
    return (void *)bad;
}

static void test_readers_beside_live(void **state)
{
    struct epoch *epoch = epoch_new(0);
    struct segment *segment = segment_new(epoch, 96);
    pthread_t threads[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, segment_ref(segment)), 0);
    for (unsigned i = 1; i <= THREAD_ROWS; i++) {
        struct row *row = row_of(i % 2 ? 96 : 200, i);
        assert_non_null(segment_add(segment, row));
        mem_free(row);
        if (i % 7 == 0 || i == THREAD_ROWS)
            segment_publish(segment);
        if (i % 100 == 0) { /* The epoch goes on as well. */
            char text[8];
            put_le64(text, i);
            (void)epoch_intern(epoch, str_n(text, 8));
        }
    }
    segment_unref(&segment);
    epoch_unref(&epoch);
    for (unsigned i = 0; i < 2; i++) {
        void *bad;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    segment_pool_trim(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments_are_aligned),
        cmocka_unit_test(test_filled_to_the_last_byte),
        cmocka_unit_test(test_oversize),
        cmocka_unit_test(test_published_is_what_readers_see),
        cmocka_unit_test(test_last_reference_frees),
        cmocka_unit_test(test_reused_segment_is_as_new),
        cmocka_unit_test(test_pool_is_bounded),
        cmocka_unit_test(test_readers_beside_live),
    };
    return cmocka_run_group_tests_name("row.segment", tests, NULL, NULL);
}
