#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "http/pool.h"

static void grow_to(struct pool *pool, struct buf *body, size_t len, uint64_t hint)
{
    pool_grow(pool, body, len - body->len, hint);
    while (body->len < len)
        buf_put(body, "x", 1);
}

/* Never more than a doubling step beyond what came, whatever was declared. */
static void test_growth(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { size_t len; uint64_t hint; size_t limit, room_max; } cases[] = {
        { 1, 60000000, 64000000, 4096 },
        { 1, 0, 64000000, 4096 },
        { 5000, 0, 64000000, 10000 },
        { 5000, 9000, 64000000, 9000 },  /* the hint is nearer than twice */
        { 5000, 60000000, 64000000, 10000 },
        { 5000, 100, 64000000, 10000 },  /* a hint that was wrong */
        { 5000, 0, 6000, 6000 },
        { 6000, 0, 6000, 6000 },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct pool pool = {0};
        struct buf body;
        buf_init(&body, cases[i].limit);
        grow_to(&pool, &body, cases[i].len, cases[i].hint);
        assert_true(body.room <= cases[i].room_max);
        assert_int_equal(body.len, cases[i].len);
        assert_false(body.failed);
        buf_fini(&body);
        pool_fini(&pool);
    }
}

/* A body that grows gets exactly what was foretold, also where a buffer would double by itself. */
static void test_room_is_foretold(void **state)
{
    (void)state;
    static const struct {
        size_t len, more;
        uint64_t hint;
        size_t limit, room;
    } cases[] = {
        {0, 0, 0, 64000, 0},
        {0, 1, 0, 64000, 4096},
        {0, 1, 100, 64000, 100},
        {0, 1, 100, 50, 50},
        {3000, 1000, 0, 64000, 6000},
        {3000, 3000, 0, 64000, 6000},
        {3000, 3001, 0, 64000, 12002},
        {3000, 3001, 7000, 64000, 7000},
        {3000, 3001, 60000, 64000, 12002},
        {3000, 3001, 5000, 64000, 12002},
        {3000, 3001, 0, 7000, 7000},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct pool pool = {0};
        struct buf body;
        buf_init(&body, cases[i].limit);
        if (cases[i].len)
            grow_to(&pool, &body, cases[i].len, 0);
        size_t room = pool_room(&body, cases[i].more, cases[i].hint);
        if (room != cases[i].room)
            fail_msg("row %zu: %zu", i, room);
        pool_grow(&pool, &body, cases[i].more, cases[i].hint);
        assert_int_equal(body.room, room);
        assert_int_equal(body.limit, cases[i].limit);
        assert_false(body.failed);
        buf_fini(&body);
        pool_fini(&pool);
    }
}

/* A small body never gets, and is never charged with, a large buffer. */
static void test_reuse_is_bounded(void **state)
{
    (void)state;
    static const struct {
        size_t kept, want;
        bool is_reused;
    } cases[] = {{9999, 10000, false},
                 {10000, 10000, true},
                 {20000, 10000, true},
                 {20001, 10000, false},
                 {POOL_BYTES_MAX, 10000, false}};
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct pool pool = {0};
        struct buf kept, body;
        buf_init(&kept, cases[i].kept);
        assert_int_equal(buf_reserve(&kept, cases[i].kept), MG_OK);
        assert_int_equal(kept.room, cases[i].kept);
        pool_give(&pool, &kept);
        assert_int_equal(pool.n, 1);
        buf_init(&body, cases[i].want);
        pool_grow(&pool, &body, cases[i].want, cases[i].want);
        if (body.room != (cases[i].is_reused ? cases[i].kept : cases[i].want))
            fail_msg("row %zu: %zu", i, body.room);
        buf_fini(&body);
        pool_fini(&pool);
    }
}

static void test_reuse_keeps_the_bytes(void **state)
{
    (void)state;
    struct pool pool = {0};
    struct buf large, body;
    buf_init(&large, 1 << 20);
    grow_to(&pool, &large, 50000, 0);
    char *memory = large.ptr;
    pool_give(&pool, &large);
    assert_null(large.ptr);
    assert_int_equal(pool.n, 1);
    buf_init(&body, 50000); /* a smaller limit than the buffer had */
    buf_put(&body, "abc", 3);
    pool_grow(&pool, &body, 40000, 0);
    assert_ptr_equal(body.ptr, memory);
    assert_memory_equal(body.ptr, "abc", 3);
    assert_int_equal(body.limit, 50000);
    buf_fini(&body);
    pool_fini(&pool);
}

static void test_limits(void **state)
{
    (void)state;
    struct pool pool = {0};
    for (size_t i = 0; i < POOL_BUFS_MAX + 8; i++) {
        struct buf body;
        buf_init(&body, 1 << 20);
        assert_int_equal(buf_reserve(&body, 5000), MG_OK);
        pool_give(&pool, &body);
    }
    assert_int_equal(pool.n, POOL_BUFS_MAX);
    pool_fini(&pool);
    for (size_t i = 0; i < 4; i++) {
        struct buf body;
        buf_init(&body, 1 << 24);
        assert_int_equal(buf_reserve(&body, 3000000), MG_OK);
        pool_give(&pool, &body);
    }
    assert_true(pool.bytes <= POOL_BYTES_MAX);
    assert_int_equal(pool.n, 2);
    struct buf tiny;
    buf_init(&tiny, 100);
    buf_put(&tiny, "x", 1);
    pool_give(&pool, &tiny); /* not worth keeping */
    assert_int_equal(pool.n, 2);
    pool_fini(&pool);
}

static void test_decay(void **state)
{
    (void)state;
    struct pool pool = {0};
    for (size_t i = 0; i < 8; i++) {
        struct buf body;
        buf_init(&body, 1 << 20);
        assert_int_equal(buf_reserve(&body, 5000 + i), MG_OK);
        pool_give(&pool, &body);
    }
    unsigned rounds = 0;
    assert_true(pool_decay(&pool));
    assert_int_equal(pool.n, 8); /* not idle for a whole period yet */
    while (pool_decay(&pool))
        rounds++;
    assert_int_equal(pool.n, 0);
    assert_int_equal(pool.bytes, 0);
    assert_true(rounds >= 3); /* by halves */
    assert_false(pool_decay(&pool));
    pool_fini(&pool);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_room_is_foretold),
        cmocka_unit_test(test_reuse_is_bounded),
        cmocka_unit_test(test_reuse_keeps_the_bytes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_decay),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
