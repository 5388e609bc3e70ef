#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/mem.h"
#include "sample.h"

struct fixture {
    struct arena arena;
    struct interner *interner;
    struct row_batch *batch;
};

static int begin(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);

    f->interner = interner_new();
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    row_batch_free(&f->batch);
    interner_free(&f->interner);
    arena_fini(&f->arena);
    mem_free(f);
    return 0;
}

/* One row a span; the batch stays until the end of the test. */
static const struct row *one_row(struct fixture *f, const struct span *span)
{
    interner_begin(f->interner, 0);
    sample_intern(f->interner, span);
    row_batch_free(&f->batch);
    f->batch = interner_end(f->interner);
    assert_int_equal(f->batch->n, 1);
    assert_int_equal(batch_first(f->batch)->bytes, f->batch->bytes);
    return batch_first(f->batch);
}

static void test_samples_come_back(void **state)
{
    struct fixture *f = *state;
    struct span span, back;

    for (unsigned round = 0; round < 3; round++) { /* the second finds every guess right */
        for (enum sample i = 0; i < SAMPLES; i++) {
            arena_reset(&f->arena);
            sample_span(&f->arena, i, &span);
            const struct row *row = one_row(f, &span);
            assert_int_equal((uintptr_t)row % 8, 0);
            assert_true(row_is_sound(row, f->batch->epoch));
            row_decode(row, f->batch->epoch, &f->arena, &back);
            assert_true(span_equal(&span, &back));
        }
    }
}

static void test_header(void **state)
{
    struct fixture *f = *state;
    static const struct { enum sample sample; unsigned has, kind, status; } rows[] = {
        { SAMPLE_NOTHING, 0, 0, 0 },
        { SAMPLE_PARTS, 255, SPAN_SERVER, STATUS_ERROR },
        { SAMPLE_KIND_254, 0, 254, 0 },
        { SAMPLE_KIND_255, ROW_HAS_WIDE, 255, 0 },
        { SAMPLE_KIND_256, ROW_HAS_WIDE, 255, 0 },
        { SAMPLE_KIND_NEGATIVE, ROW_HAS_WIDE, 255, 0 },
        { SAMPLE_STATUS_WIDE, ROW_HAS_WIDE, SPAN_SERVER, 255 },
        { SAMPLE_BOTH_WIDE, ROW_HAS_WIDE, 255, 255 },
    };

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct span span;
        sample_span(&f->arena, rows[i].sample, &span);
        const struct row *row = one_row(f, &span);
        assert_int_equal(row->has, rows[i].has);
        assert_int_equal(row->kind, rows[i].kind);
        assert_int_equal(row->status, rows[i].status);
        assert_null(row->prev);
        assert_int_equal(row->red_key, 0);
    }
}

static void test_smallest_row(void **state)
{
    struct fixture *f = *state;
    struct span span;

    sample_span(&f->arena, SAMPLE_NOTHING, &span);
    assert_int_equal(one_row(f, &span)->bytes, sizeof(struct row));
    span.dropped_attrs = 1;
    assert_int_equal(one_row(f, &span)->bytes, sizeof(struct row) + 8);
}

static void test_cursor(void **state)
{
    struct fixture *f = *state;
    struct span span;
    struct row_cursor cursor;
    struct row_value value;
    struct row_rest rest;

    sample_span(&f->arena, SAMPLE_PARTS, &span);
    span.attrs = sample_types;
    span.n_attrs = 5;
    const struct row *row = one_row(f, &span);
    const struct epoch *epoch = f->batch->epoch;
    row_values(row, epoch, &cursor);
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(row_next_value(&cursor, &value));
        assert_int_equal(value.type, sample_types[i].value.type);
        assert_true(str_eq(epoch_text(epoch, value.key), sample_types[i].key));
        assert_int_equal(value.is_symbol, value.type != VALUE_OTHER);
    }
    assert_false(row_next_value(&cursor, &value));
    assert_false(row_next_value(&cursor, &value));
    row_read_rest(&cursor, &rest);
    assert_int_equal(rest.dropped_events, 128);
    assert_true(rest.trace_state.is_symbol);
    assert_true(str_eq(epoch_text(epoch, rest.trace_state.symbol), STR("ot=th:8")));

    sample_span(&f->arena, SAMPLE_NOTHING, &span);
    row_values(one_row(f, &span), f->batch->epoch, &cursor);
    row_skip_values(&cursor);
    row_read_rest(&cursor, &rest);
    assert_true(rest.trace_state.is_symbol && rest.status_message.is_symbol);
    assert_int_equal(rest.trace_state.symbol, 0);
    assert_int_equal(rest.status_message.symbol, 0);
    assert_int_equal(rest.events.bytes + rest.links.len + rest.unknown.len, 0);
}

/* --- equality ------------------------------------------------------------------------------- */

static struct row_batch *all_samples(struct interner *interner, struct arena *arena, bool backwards)
{
    interner_begin(interner, 0);
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct span span;
        sample_span(arena, backwards ? SAMPLES - 1 - i : i, &span);
        sample_intern(interner, &span);
    }
    return interner_end(interner);
}

static const struct row *nth(const struct row_batch *batch, unsigned n)
{
    const struct row *row = batch_first(batch);

    while (n--)
        row = batch_next(row);
    return row;
}

static void test_equal_within_and_across_epochs(void **state)
{
    struct fixture *f = *state;
    struct interner *other = interner_new();
    struct row_batch *a = all_samples(f->interner, &f->arena, false);
    struct row_batch *b = all_samples(f->interner, &f->arena, true);
    struct row_batch *c = all_samples(other, &f->arena, true);

    assert_ptr_equal(a->epoch, b->epoch);
    assert_ptr_not_equal(a->epoch, c->epoch);
    for (unsigned i = 0; i < SAMPLES; i++) {
        for (unsigned k = 0; k < SAMPLES; k++) {
            const struct row *row = nth(a, i);
            unsigned at = SAMPLES - 1 - k;
            assert_int_equal(row_equal(row, a->epoch, nth(b, at), b->epoch), i == k);
            assert_int_equal(row_equal(row, a->epoch, nth(c, at), c->epoch), i == k);
        }
    }
    row_batch_free(&a);
    row_batch_free(&b);
    row_batch_free(&c);
    interner_free(&other);
}

/* Changes one thing in a span; the answer is whether there was such a thing. */
static bool change(struct span *span, struct attr *attrs, unsigned what)
{
    switch (what) {
    case 0: span->trace_id[15]++; break;
    case 1: span->span_id[0]++; break;
    case 2: span->parent_id[7]++; break;
    case 3: span->start_ns++; break;
    case 4: span->end_ns--; break;
    case 5: span->name = STR("other"); break;
    case 6: span->trace_state = STR("ot=th:9"); break;
    case 7: span->status_message = STR(""); break;
    case 8: span->kind++; break;
    case 9: span->status_code = -5; break;
    case 10: span->flags ^= 1; break;
    case 11: span->dropped_attrs++; break;
    case 12: span->dropped_events++; break;
    case 13: span->dropped_links++; break;
    case 14: span->events = STR("\x5a\x00"); break;
    case 15: span->links = STR(""); break;
    case 16: span->unknown = STR("\xa0\x06\x02"); break;
    case 17: span->resource = STR("\x1a\x01r"); break;
    case 18: span->scope = STR(""); break;
    case 19: span->n_attrs--; break;
    case 20: attrs[0].key = STR("S"); break;
    case 21: attrs[0].value.str = STR("Text"); break;
    case 22: attrs[1].value.type = VALUE_STRING; break;
    case 23: attrs[5].value.i++; break;
    case 24: attrs[8].value.d = 0.0; break;
    case 25: attrs[10].value.b = false; break;
    case 26: attrs[4].value.raw = STR("\x0a\x01o\x18\x06"); break;
    default: return false;
    }
    return true;
}

static void test_every_field_counts(void **state)
{
    struct fixture *f = *state;
    struct interner *other = interner_new();
    struct attr attrs[MG_COUNT(sample_types)];
    struct span span, changed;

    sample_span(&f->arena, SAMPLE_PARTS, &span);
    span.attrs = sample_types;
    span.n_attrs = MG_COUNT(sample_types);
    const struct row *row = one_row(f, &span);
    for (unsigned what = 0;; what++) {
        memcpy(attrs, sample_types, sizeof attrs);
        changed = span;
        changed.attrs = attrs;
        if (!change(&changed, attrs, what))
            break;
        for (unsigned k = 0; k < 2; k++) {
            struct interner *interner = k ? other : f->interner;
            interner_begin(interner, 0);
            sample_intern(interner, &changed);
            sample_intern(interner, &span);
            struct row_batch *batch = interner_end(interner);
            assert_false(row_equal(row, f->batch->epoch, nth(batch, 0), batch->epoch));
            assert_true(row_equal(row, f->batch->epoch, nth(batch, 1), batch->epoch));
            row_batch_free(&batch);
        }
    }
    interner_free(&other);
}

/* What live sets does not make a row another one. */
static void test_place_does_not_count(void **state)
{
    struct fixture *f = *state;
    struct span span;

    sample_span(&f->arena, SAMPLE_TYPES, &span);
    const struct row *row = one_row(f, &span);
    struct row *copy = mem_copy(row, row->bytes);
    copy->prev = row;
    copy->record = 77;
    copy->red_key = 5;
    assert_true(row_equal(row, f->batch->epoch, copy, f->batch->epoch));
    mem_free(copy);
}

/* --- soundness ------------------------------------------------------------------------------ */

static void damage(struct row *row, unsigned what)
{
    switch (what) {
    case 0: row->bytes = 88; break;
    case 1: row->bytes -= 1; break;
    case 2: row->bytes -= 8; break;
    case 3: row->name = 1000000; break;
    case 4: row->resource = 1000000; break;
    case 5: row->scope = 1000000; break;
    case 6: row->shape = 1000000; break;
    case 7: row->has |= 512; break;
    case 8: row->kind = 255; break;
    case 9: row->status = 255; break;
    case 10: row->has |= ROW_HAS_WIDE; break;
    case 11: memset(row->payload, 0xff, row->bytes - sizeof *row); break;
    case 12: row->payload[1] = 0x7e; break;  /* symbol 63 */
    case 13: row->payload[1] = 0x7f; break;  /* 63 bytes stand here */
    case 14: row->has &= (uint16_t)~ROW_HAS_EVENTS; break;
    case 15: row->shape = 0; break;
    case 16: ((uint8_t *)row)[row->bytes - 1] = 1; break; /* the pad */
    case 17: row->bytes = 0; break;
    case 18: row->payload[0] = 0; break;     /* events, of no byte */
    case 19: row->payload[0] = 5; break;     /* more than there are */
    }
}

static void test_damage_is_seen(void **state)
{
    struct fixture *f = *state;
    struct span span;

    sample_span(&f->arena, SAMPLE_PARTS, &span);
    span.attrs = sample_keys + 1; /* begins with a symbol, behind the length of events */
    span.n_attrs = 1;
    span.links = STR("\x6a\x07\x0a\x05links");
    for (unsigned what = 0; what < 20; what++) {
        const struct row *row = one_row(f, &span);
        struct row *copy = mem_copy(row, row->bytes);
        assert_true(row_is_sound(copy, f->batch->epoch));
        damage(copy, what);
        if (row_is_sound(copy, f->batch->epoch))
            fail_msg("damage %u is not seen", what);
        mem_free(copy);
    }
}

/* Any damaged byte of the payload: no reading beyond the row (the address sanitizer watches). */
static void test_flipped_bytes_stay_inside(void **state)
{
    struct fixture *f = *state;
    struct span span;

    for (enum sample i = 0; i < SAMPLE_VALUE_1024; i++) {
        sample_span(&f->arena, i, &span);
        const struct row *row = one_row(f, &span);
        for (size_t at = offsetof(struct row, shape); at < row->bytes; at++) {
            for (unsigned x = 1; x < 256; x += 63) {
                struct row *copy = mem_copy(row, row->bytes);
                ((uint8_t *)copy)[at] ^= (uint8_t)x;
                (void)row_is_sound(copy, f->batch->epoch);
                mem_free(copy);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_samples_come_back, begin, end),
        cmocka_unit_test_setup_teardown(test_header, begin, end),
        cmocka_unit_test_setup_teardown(test_smallest_row, begin, end),
        cmocka_unit_test_setup_teardown(test_cursor, begin, end),
        cmocka_unit_test_setup_teardown(test_equal_within_and_across_epochs, begin, end),
        cmocka_unit_test_setup_teardown(test_every_field_counts, begin, end),
        cmocka_unit_test_setup_teardown(test_place_does_not_count, begin, end),
        cmocka_unit_test_setup_teardown(test_damage_is_seen, begin, end),
        cmocka_unit_test_setup_teardown(test_flipped_bytes_stay_inside, begin, end),
    };
    return cmocka_run_group_tests_name("row.row", tests, NULL, NULL);
}
