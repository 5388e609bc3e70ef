/* The merged run and the index of a sealed partition: what they hold, how they are searched, and that damage is not believed. */
#include "unit/store/store_rig.h"

#include <stdlib.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/hash.h"

/* --- searching a run -------------------------------------------------------------------------------- */

static void make_run(struct buf *out, const uint32_t *fingerprints, uint32_t n)
{
    uint8_t bytes[16] = { 0 };

    buf_init(out, 1 << 24);
    put_le32(bytes + 8, 1);
    put_le32(bytes + 12, n);
    buf_put(out, bytes, 16);
    for (uint32_t i = 0; i < n; i++) {
        put_le32(bytes, fingerprints[i]);
        put_le32(bytes + 4, i + 1);
        buf_put(out, bytes, 8);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static void expect_place(const struct merged_run *run, const uint32_t *fingerprints, uint32_t n, uint32_t wanted)
{
    uint32_t want = 0;

    while (want < n && fingerprints[want] < wanted)
        want++;
    if (merged_run_seek(run, wanted) != want)
        fail_msg("%u among %u: %u, not %u", wanted, n, merged_run_seek(run, wanted), want);
}

static void every_place_is_found(void **state)
{
    struct random random;
    uint32_t fingerprints[3000];
    struct merged_run run;
    struct buf bytes;

    (void)state;
    random_init(&random, 7);
    /* Even, and as uneven as a peer's choice of ids can make them. */
    for (unsigned round = 0; round < 60; round++) {
        uint32_t n = (uint32_t)random_below(&random, round < 30 ? 20 : MG_COUNT(fingerprints));
        for (uint32_t i = 0; i < n; i++)
            fingerprints[i] = round % 3 == 0   ? (uint32_t)random_u64(&random)
                              : round % 3 == 1 ? (uint32_t)random_below(&random, 50)
                                               : UINT32_MAX - (uint32_t)random_below(&random, 2000);
        if (n)
            qsort(fingerprints, n, sizeof *fingerprints, by_value);
        make_run(&bytes, fingerprints, n);
        assert_true(merged_run_open(buf_str(&bytes), &run));
        for (uint32_t i = 0; i < n; i += 1 + n / 40) {
            expect_place(&run, fingerprints, n, fingerprints[i]);
            expect_place(&run, fingerprints, n, fingerprints[i] + 1);
            expect_place(&run, fingerprints, n, fingerprints[i] - 1);
        }
        expect_place(&run, fingerprints, n, 0);
        expect_place(&run, fingerprints, n, UINT32_MAX);
        buf_fini(&bytes);
    }
}

static void a_run_of_a_wrong_length_is_none(void **state)
{
    uint32_t fingerprints[] = { 1, 2, 3 };
    struct merged_run run;
    struct buf bytes;

    (void)state;
    make_run(&bytes, fingerprints, 3);
    for (size_t len = 0; len < bytes.len; len++)
        assert_false(merged_run_open(str_n(bytes.ptr, len), &run));
    assert_true(merged_run_open(buf_str(&bytes), &run));
    buf_put_char(&bytes, 0);
    assert_false(merged_run_open(buf_str(&bytes), &run));
    bytes.len--;
    bytes.ptr[8] = 2;
    assert_false(merged_run_open(buf_str(&bytes), &run));
    bytes.ptr[8] = 1;
    bytes.ptr[15] = (char)0xff;
    assert_false(merged_run_open(buf_str(&bytes), &run));
    buf_fini(&bytes);
}

/* --- what sealing writes ---------------------------------------------------------------------------- */

static size_t find(struct rig *rig, uint64_t trace, uint32_t *at, size_t room)
{
    struct store_view *view = store_view_new(rig->store);
    uint8_t id[16] = { 0 };
    size_t n;

    put_be64(id + 8, trace);
    n = store_view_find(view, id, at, room);
    store_view_free(&view);
    return n;
}

/* Three blocks in the first partition; trace 1 is in two of them. */
static void make_sealed(struct rig *rig)
{
    rig_commit(rig, 10);
    rig_commit(rig, 10);
    rig->spans = 0;
    rig_put(rig, 5, 5); /* late spans of trace 1: the same ones, for all this test cares */
    store_hurry(rig->store);
    rig_turn(rig);
    rig->spans = 20;
    rig_roll(rig, 10);
    rig_retain(rig);
    assert_true(rig_partition(rig, 0)->is_sealed);
}

static void sealing_merges_the_runs_and_keeps_them(void **state)
{
    struct rig *rig = *state;
    struct merged_run run;
    struct buf bytes, block_run;
    uint32_t at[8];

    make_sealed(rig);
    assert_true(rig_value(rig, 0, TABLE_RUN, STR("\xff\xff\xff\xff"), &bytes));
    assert_true(merged_run_open(buf_str(&bytes), &run));
    assert_int_equal(run.n, 5);
    for (uint32_t i = 1; i < run.n; i++)
        assert_true(merged_run_fingerprint(&run, i - 1) <= merged_run_fingerprint(&run, i));
    assert_int_equal(hash64(bytes.ptr + 8, bytes.len - 8, 4), get_le64(bytes.ptr));
    assert_true(rig_value(rig, 0, TABLE_RUN, STR("\x00\x00\x00\x02"), &block_run));
    assert_int_equal(block_run.len, 8);
    buf_fini(&block_run);
    buf_fini(&bytes);
    assert_false(rig_value(rig, 1, TABLE_RUN, STR("\xff\xff\xff\xff"), &bytes));
    buf_fini(&bytes);
    assert_int_equal(find(rig, 1, at, 8), 2);
    assert_int_equal(find(rig, 3, at, 8), 1);
    assert_int_equal(find(rig, 5, at, 8), 1); /* the open one */
    assert_int_equal(find(rig, 99, at, 8), 0);
    assert_int_equal(find(rig, 1, at, 1), 1); /* no more than there is room for */
}

static void a_start_reads_the_index(void **state)
{
    struct rig *rig = *state;
    struct partition before;
    struct catalog *catalog = catalog_new();
    struct arena arena = { 0 };
    struct str *services;

    make_sealed(rig);
    before = *rig_partition(rig, 0);
    before.blocks.at = mem_copy(before.blocks.at, before.blocks.n * sizeof *before.blocks.at);
    rig_abandon(rig);
    /* A start that read summaries would leave this block out. */
    rig_change(rig, 1, TABLE_SUM, STR("\x00\x00\x00\x02"), STR("\x01"));
    rig_open(rig);
    const struct partition *after = rig_partition(rig, 0);
    assert_true(after->is_sealed && after->says_sealed);
    assert_null(after->env);
    assert_int_equal(after->blocks.n, 3);
    assert_int_equal(after->spans, before.spans);
    assert_int_equal(after->traces, before.traces);
    assert_int_equal(after->last_block, 3);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(&after->blocks.at[i], &before.blocks.at[i], sizeof before.blocks.at[i]);
    store_catalog(rig->store, catalog);
    assert_int_equal(catalog_services(catalog, &arena, &services), 6); /* traces 1 to 6 */
    catalog_free(&catalog);
    arena_fini(&arena);
    mem_free(before.blocks.at);
}

static void flip(struct buf *value) { value->ptr[value->len - 1] ^= 1; }
static void cut(struct buf *value) { value->len--; }
static void head(struct buf *value) { value->len = 15; }
static void empty(struct buf *value) { value->len = 0; }
static void grow(struct buf *value) { put_le32(value->ptr + 12, 0xffffffff); }

static void a_damaged_index_is_not_believed(void **state)
{
    static void (*const damages[])(struct buf *) = { flip, cut, head, empty, grow };
    struct rig *rig = *state;

    make_sealed(rig);
    for (size_t i = 0; i < MG_COUNT(damages); i++) {
        struct buf bytes;
        assert_true(rig_value(rig, 0, TABLE_META, STR("index"), &bytes));
        rig_abandon(rig);
        damages[i](&bytes);
        rig_change(rig, 1, TABLE_META, STR("index"), buf_str(&bytes));
        rig_open(rig);
        assert_int_equal(rig_partition(rig, 0)->blocks.n, 3);
        assert_int_equal(rig_partition(rig, 0)->spans, 25);
        buf_fini(&bytes);
        rig_anew((rig_abandon(rig), rig));
        make_sealed(rig);
    }
}

static void a_malformed_merged_run_is_not_needed(void **state)
{
    static void (*const damages[])(struct buf *) = { cut, head, empty, grow };
    struct rig *rig = *state;
    uint32_t at[8];

    make_sealed(rig);
    for (size_t i = 0; i < MG_COUNT(damages); i++) {
        struct buf bytes;
        assert_true(rig_value(rig, 0, TABLE_RUN, STR("\xff\xff\xff\xff"), &bytes));
        rig_abandon(rig);
        damages[i](&bytes);
        rig_change(rig, 1, TABLE_RUN, STR("\xff\xff\xff\xff"), buf_str(&bytes));
        rig_open(rig);
        assert_int_equal(find(rig, 1, at, 8), 2);
        buf_fini(&bytes);
        rig_anew((rig_abandon(rig), rig));
        make_sealed(rig);
    }
}

/* An index is bytes of a file: every cut and every changed byte is refused, and nothing changes. */
static void every_cut_and_every_flip_of_an_index_is_refused(void **state)
{
    struct rig *rig = *state;
    struct buf bytes;

    make_sealed(rig);
    assert_true(rig_value(rig, 0, TABLE_META, STR("index"), &bytes));
    for (size_t i = 0; i < bytes.len; i++) {
        struct partition scratch = { .names = catalog_new() };
        assert_int_equal(sealed_index_read(str_n(bytes.ptr, i), &scratch), MG_E_FORMAT);
        bytes.ptr[i] ^= 0x10;
        assert_int_equal(sealed_index_read(buf_str(&bytes), &scratch), MG_E_FORMAT);
        bytes.ptr[i] ^= 0x10;
        assert_int_equal(scratch.blocks.n, 0);
        catalog_free(&scratch.names);
    }
    buf_fini(&bytes);
}

/* With a checksum that is right: numbers that do not rise, a catalogue that is cut. */
static void an_index_that_does_not_fit_together_is_refused(void **state)
{
    static const struct { size_t at; uint8_t to; } cases[] = { { 16 + 28, 0 }, { 16 + 32 + 28, 1 }, { 16 + 28, 9 }, { 12, 4 }, { 12, 2 } };
    struct rig *rig = *state;
    struct buf bytes;

    make_sealed(rig);
    assert_true(rig_value(rig, 0, TABLE_META, STR("index"), &bytes));
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct partition scratch = { .names = catalog_new() };
        char old = bytes.ptr[cases[i].at];
        bytes.ptr[cases[i].at] = (char)cases[i].to;
        put_le64(bytes.ptr, hash64(bytes.ptr + 8, bytes.len - 8, 5));
        if (sealed_index_read(buf_str(&bytes), &scratch) != MG_E_FORMAT)
            fail_msg("case %zu", i);
        bytes.ptr[cases[i].at] = old;
        VEC_FINI(&scratch.blocks);
        catalog_free(&scratch.names);
    }
    buf_fini(&bytes);
}

static void a_partition_left_unsealed_gets_both_at_the_start(void **state)
{
    struct rig *rig = *state;
    struct buf bytes;
    uint32_t at[8];

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_reopen(rig);
    assert_true(rig_partition(rig, 0)->is_sealed);
    assert_true(rig_value(rig, 0, TABLE_RUN, STR("\xff\xff\xff\xff"), &bytes));
    buf_fini(&bytes);
    assert_true(rig_value(rig, 0, TABLE_META, STR("index"), &bytes));
    buf_fini(&bytes);
    assert_int_equal(find(rig, 2, at, 8), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_place_is_found), cmocka_unit_test(a_run_of_a_wrong_length_is_none),
        T(sealing_merges_the_runs_and_keeps_them), T(a_start_reads_the_index), T(a_damaged_index_is_not_believed),
        T(a_malformed_merged_run_is_not_needed), T(every_cut_and_every_flip_of_an_index_is_refused),
        T(an_index_that_does_not_fit_together_is_refused), T(a_partition_left_unsealed_gets_both_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
