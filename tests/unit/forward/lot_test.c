/* lot_test.c - what a lot writes, against the writer of whole requests (model/otlp_write.h). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "forward/lot.h"
#include "model/otlp_write.h"
#include "stock.h"

enum { ANY = 1 << 30 };

struct fixture {
    struct lot lot;
    struct stock stock;
    struct arena arena;
    struct buf span, got, want;
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);

    lot_init(&f->lot);
    stock_init(&f->stock);
    buf_init(&f->span, SIZE_MAX);
    buf_init(&f->got, SIZE_MAX);
    buf_init(&f->want, SIZE_MAX);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    lot_fini(&f->lot);
    stock_fini(&f->stock);
    arena_fini(&f->arena);
    buf_fini(&f->span);
    buf_fini(&f->got);
    buf_fini(&f->want);
    mem_free(f);
    return 0;
}

/* Resource `r` and scope `s` are one letter each, as schema URLs. */
static struct span span_of(struct fixture *f, uint64_t id, char r, char s)
{
    struct span span = { .start_ns = id, .end_ns = id + 1, .name = STR("op"), .trace_state = STR(""), .status_message = STR(""),
                         .events = STR(""), .links = STR(""), .unknown = STR(""),
                         .resource = arena_printf(&f->arena, "\x1a\x01%c", r), .scope = arena_printf(&f->arena, "\x1a\x01%c", s) };

    put_le64(span.trace_id, 7);
    put_le64(span.span_id, id);
    return span;
}

static bool add(struct fixture *f, struct span span, size_t bytes_max)
{
    const struct row *row = stock_fragment(&f->stock, &span, 1, true).last;

    buf_clear(&f->span);
    otlp_write_span(&f->span, &span);
    return lot_add(&f->lot, row, segment_of(row)->epoch, buf_str(&f->span), bytes_max);
}

static void check_written(struct fixture *f, const struct span *const *want, size_t n)
{
    size_t bound = f->lot.bytes;

    buf_clear(&f->got);
    buf_clear(&f->want);
    lot_write(&f->lot, &f->got);
    otlp_write_request(&f->want, want, n);
    assert_int_equal(f->got.len, f->want.len);
    assert_memory_equal(f->got.ptr, f->want.ptr, f->got.len);
    assert_true(f->got.len <= bound);
    assert_int_equal(f->lot.n, 0);
    assert_int_equal(f->lot.bytes, 0);
}

static void equal_resources_and_scopes_stand_together(void **state)
{
    struct fixture *f = *state;
    /* Symbols rise in the order of first use, and groups are written in their order. */
    const struct span a = span_of(f, 1, 'A', 'x'), b = span_of(f, 2, 'B', 'x'), c = span_of(f, 3, 'A', 'y'),
                      d = span_of(f, 4, 'B', 'x'), e = span_of(f, 5, 'A', 'x');
    const struct span *const want[] = { &e, &a, &c, &d, &b };

    for (unsigned round = 0; round < 2; round++) { /* an emptied lot is as a new one */
        assert_true(add(f, a, ANY) && add(f, b, ANY) && add(f, c, ANY) && add(f, d, ANY) && add(f, e, ANY));
        assert_int_equal(f->lot.n, 5);
        check_written(f, want, MG_COUNT(want));
    }
}

static void an_empty_lot_writes_nothing(void **state)
{
    struct fixture *f = *state;

    check_written(f, NULL, 0);
}

static void the_limit_is_kept_at_below_and_above(void **state)
{
    struct fixture *f = *state;
    const struct span a = span_of(f, 1, 'A', 'x'), b = span_of(f, 2, 'A', 'x'), c = span_of(f, 3, 'B', 'x');
    const struct span *const both[] = { &b, &a };
    size_t one, two;

    assert_true(add(f, a, ANY));
    one = f->lot.bytes;
    assert_true(add(f, b, ANY));
    two = f->lot.bytes;
    check_written(f, both, 2);
    assert_true(add(f, a, one));
    assert_false(add(f, b, two - 1));
    assert_int_equal(f->lot.n, 1);
    assert_int_equal(f->lot.bytes, one);
    assert_false(add(f, c, two)); /* its group needs a head */
    assert_int_equal(f->lot.n, 1);
    assert_true(add(f, b, two));
    check_written(f, both, 2);
}

static void an_empty_lot_takes_any_span(void **state)
{
    struct fixture *f = *state;
    const struct span a = span_of(f, 1, 'A', 'x');
    const struct span *const want[] = { &a };

    assert_true(add(f, a, 1));
    assert_false(add(f, a, 1));
    check_written(f, want, 1);
}

static void many_groups_are_all_found_again(void **state)
{
    struct fixture *f = *state;
    enum { GROUPS = 9000 };
    const uint8_t *at, *end;
    struct wire_field field;
    size_t groups = 0;

    for (uint64_t i = 0; i < 2 * GROUPS; i++) {
        struct span span = span_of(f, i + 1, 'A', 'x');
        span.resource = arena_printf(&f->arena, "\x1a\x08%08llu", (unsigned long long)i % GROUPS);
        assert_true(add(f, span, ANY));
    }
    lot_write(&f->lot, &f->got);
    at = wire_begin(buf_str(&f->got));
    end = wire_end(buf_str(&f->got));
    while (wire_next(&at, end, &field) == 1)
        groups++;
    assert_ptr_equal(at, end);
    assert_int_equal(groups, GROUPS);
}

static void equal_symbols_of_two_epochs_do_not_meet(void **state)
{
    struct fixture *f = *state;
    const struct span a = span_of(f, 1, 'A', 'x'), b = span_of(f, 2, 'B', 'y');
    struct stock other;
    const struct row *row;

    stock_init(&other);
    row = stock_fragment(&other, &b, 1, true).last; /* symbols 1 and 2, as those of a */
    assert_true(add(f, a, ANY));
    buf_clear(&f->span);
    otlp_write_span(&f->span, &b);
    assert_true(lot_add(&f->lot, row, segment_of(row)->epoch, buf_str(&f->span), ANY));
    assert_int_equal(f->lot.groups.n, 2);
    lot_write(&f->lot, &f->got);
    stock_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(equal_resources_and_scopes_stand_together, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_lot_writes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_limit_is_kept_at_below_and_above, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_lot_takes_any_span, setup, teardown),
        cmocka_unit_test_setup_teardown(many_groups_are_all_found_again, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_symbols_of_two_epochs_do_not_meet, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
