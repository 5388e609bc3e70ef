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

static void test_reuse_keeps_the_bytes(void **state)
{
    (void)state;
    struct pool pool = {0};
    struct buf large, body;
    buf_init(&large, 1 << 20);
    grow_to(&pool, &large, 100000, 0);
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
        cmocka_unit_test(test_reuse_keeps_the_bytes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_decay),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
