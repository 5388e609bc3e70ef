#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include "base/mem.h"
#include "base/queue.h"
#include "row/epoch.h"

#define SECOND ((uint64_t)1000000000)

static struct str number_text(char room[16], unsigned i)
{
    return str_n(room, (size_t)snprintf(room, 16, "s%u", i));
}

static void test_empty_string_is_symbol_0(void **state)
{
    struct epoch *epoch = epoch_new(0);

    (void)state;
    assert_int_equal(epoch_intern(epoch, STR("")), 0);
    assert_int_equal(epoch_intern(epoch, (struct str){ 0 }), 0);
    assert_int_equal(epoch_find(epoch, STR("")), 0);
    assert_int_equal(epoch_symbols(epoch), 0);
    assert_int_equal(epoch_text(epoch, 0).len, 0);
    assert_true(epoch_is_utf8(epoch, 0));
    assert_int_equal(epoch_intern_shape(epoch, NULL, 0), 0);
    assert_int_equal(epoch_shape(epoch, 0)->n, 0);
    assert_int_equal(epoch_shapes(epoch), 0);
    epoch_unref(&epoch);
    assert_null(epoch);
    epoch_unref(&epoch);
}

static void test_equal_bytes_have_one_symbol(void **state)
{
    static const struct { struct str bytes; uint32_t want; bool is_utf8; } rows[] = {
        { STR_INIT("a"), 1, true },     { STR_INIT("b"), 2, true },
        { STR_INIT("a"), 1, true },     { STR_INIT("a\0"), 3, true },
        { STR_INIT("a\0b"), 4, true },  { STR_INIT("\0"), 5, true },
        { STR_INIT("\xff"), 6, false }, { STR_INIT("\xc3\xa9"), 7, true },
        { STR_INIT("\xc3"), 8, false }, { STR_INIT("\xff"), 6, false },
        { STR_INIT("ab"), 9, true },    { STR_INIT("a\0b"), 4, true },
    };
    struct epoch *epoch = epoch_new(0);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        bool is_known = rows[i].want <= epoch_symbols(epoch);
        assert_int_equal(epoch_find(epoch, rows[i].bytes), is_known ? rows[i].want : 0);
        assert_int_equal(epoch_intern(epoch, rows[i].bytes), rows[i].want);
        assert_int_equal(epoch_find(epoch, rows[i].bytes), rows[i].want);
        assert_true(str_eq(epoch_text(epoch, rows[i].want), rows[i].bytes));
        assert_int_equal(epoch_is_utf8(epoch, rows[i].want), rows[i].is_utf8);
    }
    assert_int_equal(epoch_find(epoch, STR("absent")), 0);
    assert_int_equal(epoch_symbols(epoch), 9);
    epoch_unref(&epoch);
}

static void test_nothing_moves(void **state)
{
    enum { N = 200000 };
    struct epoch *epoch = epoch_new(0);
    const char **at = mem_alloc((N + 1) * sizeof *at);
    char room[16];

    (void)state;
    for (unsigned i = 1; i <= N; i++) {
        assert_int_equal(epoch_intern(epoch, number_text(room, i)), i);
        at[i] = epoch_text(epoch, i).ptr;
    }
    for (unsigned i = 1; i <= N; i++) {
        assert_ptr_equal(epoch_text(epoch, i).ptr, at[i]);
        assert_true(str_eq(epoch_text(epoch, i), number_text(room, i)));
        assert_int_equal(epoch_find(epoch, number_text(room, i)), i);
    }
    mem_free(at);
    epoch_unref(&epoch);
}

static void test_sizes_around_the_chunks(void **state)
{
    static const size_t sizes[] = { 1,    511,   512,   513,    4095,   4096,
                                    4097, 32768, 32769, 262144, 262145, 3000000 };
    struct epoch *epoch = epoch_new(0);
    char *bytes = mem_alloc(3000000);

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        memset(bytes, 'a' + (int)round, 3000000);
        for (size_t i = 0; i < MG_COUNT(sizes); i++) {
            size_t before = epoch_bytes(epoch);
            uint32_t symbol = epoch_intern(epoch, str_n(bytes, sizes[i]));
            assert_int_equal(symbol, round * MG_COUNT(sizes) + i + 1);
            assert_true(str_eq(epoch_text(epoch, symbol), str_n(bytes, sizes[i])));
            assert_int_equal(epoch_bytes(epoch) - before, sizes[i] + 40);
        }
    }
    mem_free(bytes);
    epoch_unref(&epoch);
}

static void test_shapes(void **state)
{
    static const struct shape_attr a[] = { { 1, VALUE_STRING }, { 2, VALUE_INT } };
    static const struct shape_attr other_order[] = { { 2, VALUE_INT }, { 1, VALUE_STRING } };
    static const struct shape_attr other_type[] = { { 1, VALUE_STRING }, { 2, VALUE_BOOL } };
    static const struct shape_attr other_key[] = { { 1, VALUE_STRING }, { 3, VALUE_INT } };
    static const struct shape_attr no_key[] = { { 0, VALUE_EMPTY } };
    static const struct { const struct shape_attr *attrs; uint32_t n, want; } rows[] = {
        { a, 2, 1 }, { a, 1, 2 }, { a, 2, 1 }, { other_order, 2, 3 }, { other_type, 2, 4 },
        { other_key, 2, 5 }, { no_key, 1, 6 }, { no_key, 1, 6 }, { a, 0, 0 }, { a, 1, 2 },
    };
    struct epoch *epoch = epoch_new(0);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        size_t before = epoch_bytes(epoch);
        bool is_known = rows[i].want <= epoch_shapes(epoch);
        assert_int_equal(epoch_intern_shape(epoch, rows[i].attrs, rows[i].n), rows[i].want);
        const struct shape *shape = epoch_shape(epoch, rows[i].want);
        assert_int_equal(shape->n, rows[i].n);
        for (uint32_t k = 0; k < rows[i].n; k++) {
            assert_int_equal(shape->attrs[k].key, rows[i].attrs[k].key);
            assert_int_equal(shape->attrs[k].type, rows[i].attrs[k].type);
        }
        assert_int_equal(epoch_bytes(epoch) - before, is_known ? 0 : 36 + 8 * rows[i].n);
    }
    assert_int_equal(epoch_shapes(epoch), 6);
    epoch_unref(&epoch);
}

/* The padding behind a type must not tell shapes apart. */
static void test_shape_padding_is_ignored(void **state)
{
    struct shape_attr x, y;
    struct epoch *epoch = epoch_new(0);

    (void)state;
    memset(&x, 0x00, sizeof x);
    memset(&y, 0xff, sizeof y);
    x.key = y.key = 7;
    x.type = y.type = VALUE_INT;
    assert_int_equal(epoch_intern_shape(epoch, &x, 1), epoch_intern_shape(epoch, &y, 1));
    epoch_unref(&epoch);
}

static void test_notes_belong_to_symbols(void **state)
{
    struct epoch *epoch = epoch_new(0);
    uint32_t a = epoch_intern(epoch, STR("a")), b = epoch_intern(epoch, STR("b"));

    (void)state;
    assert_int_equal(*epoch_note(epoch, 0), 0);
    *epoch_note(epoch, a) = 5;
    *epoch_note(epoch, 0) = 6;
    assert_int_equal(*epoch_note(epoch, a), 5);
    assert_int_equal(*epoch_note(epoch, b), 0);
    assert_int_equal(*epoch_note(epoch, 0), 6);
    assert_true(str_eq(epoch_text(epoch, a), STR("a")));
    epoch_unref(&epoch);
}

static void test_full_by_age(void **state)
{
    static const struct { uint64_t born, now; bool want; } rows[] = {
        { 0, 0, false },
        { 0, 600 * SECOND - 1, false },
        { 0, 600 * SECOND, true },
        { 0, 600 * SECOND + 1, true },
        { 5, 600 * SECOND + 4, false },
        { 5, 600 * SECOND + 5, true },
        { 5, 4, false }, /* a clock before birth is no age */
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct epoch *epoch = epoch_new(rows[i].born);
        assert_int_equal(epoch_is_full(epoch, rows[i].now), rows[i].want);
        epoch_unref(&epoch);
    }
}

static void test_full_by_bytes(void **state)
{
    struct epoch *epoch = epoch_new(0);
    size_t limit = (size_t)16 << 20, fits = limit - epoch_bytes(epoch) - 40;
    char *bytes = mem_zero(1, fits);

    (void)state;
    (void)epoch_intern(epoch, str_n(bytes, fits - 1 - 42));
    assert_int_equal(epoch_bytes(epoch), limit - 43);
    assert_false(epoch_is_full(epoch, 0));
    (void)epoch_intern(epoch, STR("ab"));
    assert_int_equal(epoch_bytes(epoch), limit - 1);
    assert_false(epoch_is_full(epoch, 0));
    (void)epoch_intern(epoch, STR("c"));
    assert_true(epoch_is_full(epoch, 0));
    epoch_unref(&epoch);

    epoch = epoch_new(0);
    (void)epoch_intern(epoch, str_n(bytes, fits));
    assert_int_equal(epoch_bytes(epoch), limit);
    assert_true(epoch_is_full(epoch, 0));
    mem_free(bytes);
    epoch_unref(&epoch);
}

static void test_full_by_shapes(void **state)
{
    struct epoch *epoch = epoch_new(0);

    (void)state;
    for (uint32_t i = 1; i < 65536; i++)
        assert_int_equal(epoch_intern_shape(epoch, &(struct shape_attr){ i, VALUE_INT }, 1), i);
    assert_false(epoch_is_full(epoch, 0));
    (void)epoch_intern_shape(epoch, &(struct shape_attr){ 0, VALUE_INT }, 1);
    assert_true(epoch_is_full(epoch, 0));
    assert_int_equal(epoch_intern_shape(epoch, &(struct shape_attr){ 9, VALUE_BOOL }, 1), 65537);
    assert_int_equal(epoch_intern_shape(epoch, &(struct shape_attr){ 9, VALUE_INT }, 1), 9);
    epoch_unref(&epoch);
}

static void test_idle_epoch_is_small(void **state)
{
    struct epoch *epochs[16];
    size_t before = mallinfo2().uordblks;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(epochs); i++) {
        epochs[i] = epoch_new(0);
        (void)epoch_intern(epochs[i], STR("one"));
        (void)epoch_intern_shape(epochs[i], &(struct shape_attr){ 1, VALUE_INT }, 1);
    }
    assert_true(mallinfo2().uordblks - before < MG_COUNT(epochs) * 65536);
    for (size_t i = 0; i < MG_COUNT(epochs); i++)
        epoch_unref(&epochs[i]);
}

/* --- another thread reads what was handed over, while the loop goes on ---------------------- */

struct message {
    struct queue_item item; /* first */
    struct epoch *epoch;    /* counted */
    uint32_t symbol, shape;
    unsigned number;
};

static void *reader(void *argument)
{
    struct queue *queue = argument;
    bool closed = false;
    uintptr_t bad = 0;

    while (!closed) {
        struct queue_item *item = queue_take(queue, UINT64_MAX, &closed);
        while (item) {
            struct message *m = (struct message *)item;
            char room[16];
            item = item->next;
            const struct shape *shape = epoch_shape(m->epoch, m->shape);
            bad += !str_eq(epoch_text(m->epoch, m->symbol), number_text(room, m->number));
            bad += !epoch_is_utf8(m->epoch, m->symbol) || shape->n != 1 ||
                   shape->attrs[0].key != m->symbol || m->symbol > epoch_symbols(m->epoch);
            epoch_unref(&m->epoch);
            mem_free(m);
        }
    }
    return (void *)bad;
}

static void test_readers_beside_the_loop(void **state)
{
    struct queue *queue = queue_new(0);
    pthread_t thread;
    void *bad;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, reader, queue), 0);
    for (unsigned round = 0; round < 4; round++) {
        struct epoch *epoch = epoch_new(0);
        for (unsigned i = 0; i < 5000; i++) {
            char room[16];
            struct message *m = MEM_NEW(struct message);
            m->epoch = epoch_ref(epoch);
            m->number = i;
            m->symbol = epoch_intern(epoch, number_text(room, i));
            m->shape = epoch_intern_shape(epoch, &(struct shape_attr){ m->symbol, VALUE_INT }, 1);
            *epoch_note(epoch, m->symbol) = i;
            assert_true(queue_push(queue, &m->item));
        }
        epoch_unref(&epoch);
    }
    queue_close(queue);
    assert_int_equal(pthread_join(thread, &bad), 0);
    assert_null(bad);
    queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_string_is_symbol_0),
        cmocka_unit_test(test_equal_bytes_have_one_symbol),
        cmocka_unit_test(test_nothing_moves),
        cmocka_unit_test(test_sizes_around_the_chunks),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_shape_padding_is_ignored),
        cmocka_unit_test(test_notes_belong_to_symbols),
        cmocka_unit_test(test_full_by_age),
        cmocka_unit_test(test_full_by_bytes),
        cmocka_unit_test(test_full_by_shapes),
        cmocka_unit_test(test_idle_epoch_is_small),
        cmocka_unit_test(test_readers_beside_the_loop),
    };
    return cmocka_run_group_tests_name("row.epoch", tests, NULL, NULL);
}
