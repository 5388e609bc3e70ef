#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include "codec/hash.h"
#include "codec/zip.h"
#include "model/otlp_scan.h"
#include "model/otlp_write.h"
#include "sample.h"

/* --- the scanner in front of an interner ---------------------------------------------------- */

static void on_resource(void *owner, struct str resource)
{
    interner_resource(owner, resource);
}
static void on_scope(void *owner, struct str scope)
{
    interner_scope(owner, scope);
}
static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    (void)ordinal;
    interner_span(owner, span);
}
static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    (void)ordinal;
}
static const struct span_visitor into_interner = { on_resource, on_scope, on_span, on_refused };

static struct row_batch *intern_body(struct interner *interner, struct otlp_scanner *scanner,
                                     struct str body)
{
    interner_begin(interner, 0);
    assert_int_equal(otlp_scan(scanner, body, &into_interner, interner, NULL), MG_OK);
    return interner_end(interner);
}

/* --- batches and epochs --------------------------------------------------------------------- */

static struct row_batch *intern_one(struct interner *interner, const struct span *span,
                                    uint64_t now_ns)
{
    interner_begin(interner, now_ns);
    sample_intern(interner, span);
    return interner_end(interner);
}

static void test_empty_batch(void **state)
{
    struct interner *interner = interner_new();

    (void)state;
    interner_begin(interner, 0);
    interner_resource(interner, STR("resource without spans"));
    interner_scope(interner, STR("scope without spans"));
    struct row_batch *batch = interner_end(interner);
    assert_int_equal(batch->n, 0);
    assert_int_equal(batch->bytes, 0);
    assert_int_equal(batch->epoch_growth, 0);
    assert_int_equal(epoch_symbols(batch->epoch), 0);
    row_batch_free(&batch);
    assert_null(batch);
    row_batch_free(&batch);
    interner_recycle(interner, &batch);
    interner_free(&interner);
    interner_free(&interner);
}

static void test_growth_is_charged_once(void **state)
{
    struct interner *interner = interner_new();
    struct arena arena = { 0 };
    struct span span;

    (void)state;
    sample_span(&arena, SAMPLE_TYPES, &span);
    struct row_batch *first = intern_one(interner, &span, 0);
    struct row_batch *second = intern_one(interner, &span, 0);
    assert_ptr_equal(first->epoch, second->epoch);
    assert_true(first->epoch_growth > 0);
    assert_int_equal(second->epoch_growth, 0);
    assert_int_equal(first->bytes, second->bytes);
    interner_recycle(interner, &first);
    interner_recycle(interner, &second);
    interner_free(&interner);
    arena_fini(&arena);
}

static void test_abort_forgets_rows_only(void **state)
{
    struct interner *interner = interner_new();
    struct arena arena = { 0 };
    struct span span;

    (void)state;
    sample_span(&arena, SAMPLE_PARTS, &span);
    interner_begin(interner, 0);
    sample_intern(interner, &span);
    interner_abort(interner);
    interner_begin(interner, 0);
    struct row_batch *batch = interner_end(interner);
    assert_int_equal(batch->n, 0);
    assert_int_equal(batch->bytes, 0);
    assert_int_equal(batch->bad_strings, 0);
    assert_true(epoch_find(batch->epoch, STR("GET /")) > 0);
    row_batch_free(&batch);
    interner_begin(interner, 0);
    interner_free(&interner); /* in the middle of a batch */
    arena_fini(&arena);
}

static void test_batches_are_reused(void **state)
{
    struct interner *interner = interner_new();
    struct arena arena = { 0 };
    struct span span;

    (void)state;
    sample_span(&arena, SAMPLE_PARTS, &span);
    struct row_batch *batch = intern_one(interner, &span, 0);
    const struct row_batch *was = batch;
    const char *rows = batch->rows;
    interner_recycle(interner, &batch);
    assert_null(batch);
    batch = intern_one(interner, &span, 0);
    assert_ptr_equal(batch, was);
    assert_ptr_equal(batch->rows, rows);
    assert_int_equal(batch->n, 1);
    assert_int_equal(batch->bad_strings, 0); /* nothing new */
    interner_recycle(interner, &batch);
    interner_decay(interner);
    interner_decay(interner);
    batch = intern_one(interner, &span, 0);
    assert_int_equal(batch->bad_strings, 1); /* a new epoch: the message is new again */
    row_batch_free(&batch);
    interner_free(&interner);
    arena_fini(&arena);
}

static void test_more_batches_than_the_pool_holds(void **state)
{
    struct interner *interner = interner_new();
    struct arena arena = { 0 };
    struct row_batch *batches[20];
    struct span span;

    (void)state;
    sample_span(&arena, SAMPLE_EVENTS_HUGE, &span); /* above the size that is kept */
    for (unsigned i = 0; i < MG_COUNT(batches); i++) {
        batches[i] = intern_one(interner, &span, 0);
        assert_int_equal(batches[i]->n, 1);
        if (i == 4)
            sample_span(&arena, SAMPLE_TYPES, &span);
    }
    for (unsigned i = 0; i < MG_COUNT(batches); i++)
        interner_recycle(interner, &batches[i]);
    interner_free(&interner);
    arena_fini(&arena);
}

static void test_full_epoch_is_left(void **state)
{
    static const struct { uint64_t now; bool is_new; } rows[] = {
        { 0, false }, { 599999999999, false }, { 600000000000, true },
        { 600000000001, false }, { 1199999999999, false }, { 1200000000000, true },
    };
    struct interner *interner = interner_new();
    struct arena arena = { 0 };
    struct span span, back;

    (void)state;
    sample_span(&arena, SAMPLE_TYPES, &span);
    struct row_batch *last = intern_one(interner, &span, 0);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct row_batch *batch = intern_one(interner, &span, rows[i].now);
        assert_int_equal(batch->epoch != last->epoch, rows[i].is_new);
        row_decode(batch_first(batch), batch->epoch, &arena, &back);
        assert_true(span_equal(&span, &back));
        assert_true(row_equal(batch_first(batch), batch->epoch, batch_first(last), last->epoch));
        row_batch_free(&last);
        last = batch;
    }
    interner_free(&interner);
    row_batch_free(&last); /* outlives its interner */
    arena_fini(&arena);
}

static void test_groups(void **state)
{
    static const struct { struct str resource, scope; } rows[] = {
        { STR_INIT("r1"), STR_INIT("s1") }, { STR_INIT("r1"), STR_INIT("s1") },
        { STR_INIT("r1"), STR_INIT("s2") }, { STR_INIT("r2"), STR_INIT("s2") },
        { STR_INIT(""), STR_INIT("s2") },   { STR_INIT("r1"), STR_INIT("") },
        { STR_INIT(""), STR_INIT("") },     { STR_INIT("s1"), STR_INIT("r1") },
    };
    struct interner *interner = interner_new();

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        struct span span = { .name = STR("n") };
        interner_begin(interner, 0);
        interner_span(interner, &span); /* without groups: none */
        for (size_t i = 0; i < MG_COUNT(rows); i++) {
            interner_resource(interner, rows[i].resource);
            interner_scope(interner, rows[i].scope);
            interner_span(interner, &span);
            interner_span(interner, &span);
        }
        struct row_batch *batch = interner_end(interner);
        const struct row *row = batch_first(batch);
        assert_int_equal(row->resource + row->scope, 0);
        for (size_t i = 0; i < MG_COUNT(rows) * 2; i++) {
            row = batch_next(row);
            assert_true(str_eq(epoch_text(batch->epoch, row->resource), rows[i / 2].resource));
            assert_true(str_eq(epoch_text(batch->epoch, row->scope), rows[i / 2].scope));
        }
        interner_recycle(interner, &batch);
    }
    interner_free(&interner);
}

static void test_bad_strings(void **state)
{
    static const struct { struct attr attr; unsigned want; } rows[] = {
        { { STR_INIT("k"), S_STR("fine") }, 0 },
        { { STR_INIT("\xff"), S_EMPTY }, 1 },
        { { STR_INIT("\xfe"), S_STR("\xfd") }, 2 },
        { { STR_INIT("\xfe"), S_STR("\xfd") }, 0 }, /* known */
        { { STR_INIT("b"), S_BYTES("\xfc") }, 0 },  /* no string */
        { { STR_INIT("b"), S_RAW(OTHER, "\xfb") }, 0 },
        { { STR_INIT("b"), S_RAW(ARRAY, "\xfa") }, 0 },
    };
    struct interner *interner = interner_new();

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct span span = { .attrs = &rows[i].attr, .n_attrs = 1, .resource = STR("\xf0") };
        struct row_batch *batch = intern_one(interner, &span, 0);
        assert_int_equal(batch->bad_strings, rows[i].want);
        row_batch_free(&batch);
    }
    struct arena arena = { 0 };
    struct str text = sample_fill(&arena, 1025, '\xff'); /* stands in the row */
    struct attr attr = { STR("long"), { .type = VALUE_STRING, .str = text } };
    struct span span = {
        .name = STR("\xf1"), .attrs = &attr, .n_attrs = 1, .trace_state = STR("\xf2")
    };
    struct row_batch *batch = intern_one(interner, &span, 0);
    assert_int_equal(batch->bad_strings, 3);
    row_batch_free(&batch);
    interner_free(&interner);
    arena_fini(&arena);
}

/* --- symbols or not ------------------------------------------------------------------------- */

static bool value_is_symbol(const struct row_batch *batch)
{
    struct row_cursor cursor;
    struct row_value value;

    row_values(batch_first(batch), batch->epoch, &cursor);
    assert_true(row_next_value(&cursor, &value));
    return value.is_symbol;
}

static void test_long_values_stand_in_the_row(void **state)
{
    static const struct { size_t len; bool want; } rows[] = {
        { 0, true },    { 1, true },     { 1023, true },
        { 1024, true }, { 1025, false }, { 100000, false },
    };
    struct interner *interner = interner_new();
    struct arena arena = { 0 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct attr attr = { STR("k"), { .type = VALUE_STRING } };
        struct span span = { .attrs = &attr, .n_attrs = 1 };
        attr.value.str = sample_fill(&arena, rows[i].len, 'x');
        for (unsigned again = 0; again < 2; again++) {
            struct row_batch *batch = intern_one(interner, &span, 0);
            assert_int_equal(value_is_symbol(batch), rows[i].want);
            row_batch_free(&batch);
        }
    }
    interner_free(&interner);
    arena_fini(&arena);
}

/* Interns `n` values, the first `n_new` of them new and the rest two of these in turn; tells
 * whether the key then still is one for the dictionary. */
static bool stays_symbol(unsigned n, unsigned n_new, struct str probe)
{
    struct interner *interner = interner_new();
    struct attr attr = { STR("k"), { .type = VALUE_STRING } };
    struct span span = { .attrs = &attr, .n_attrs = 1 };
    struct row_batch *batch;
    char text[16];

    for (unsigned i = 0; i < n; i++) {
        unsigned number = i < n_new ? i : i % 2;
        attr.value.str = str_n(text, (size_t)snprintf(text, sizeof text, "v%u", number));
        batch = intern_one(interner, &span, 0);
        row_batch_free(&batch);
    }
    attr.value.str = probe;
    batch = intern_one(interner, &span, 0);
    bool is_symbol = value_is_symbol(batch);
    row_batch_free(&batch);
    interner_free(&interner);
    return is_symbol;
}

static void test_keys_that_do_not_repeat_turn_raw(void **state)
{
    static const struct { unsigned n, n_new; bool want; } rows[] = {
        { 0, 0, true },      { 1, 1, true },      { 255, 255, true },  { 256, 256, false },
        { 256, 153, true },  { 256, 154, false }, { 255, 154, true },  { 257, 154, false },
        { 2000, 153, true }, { 2000, 2, true },   { 1000, 1000, false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        if (stays_symbol(rows[i].n, rows[i].n_new, STR("probe")) != rows[i].want)
            fail_msg("row %zu", i);
    assert_false(stays_symbol(256, 256, STR("v1"))); /* also a value that is known */
}

/* Right guesses count as values seen. */
static void test_guessed_values_count(void **state)
{
    struct interner *interner = interner_new();
    struct attr attr = { STR("k"), { .type = VALUE_STRING } };
    struct span span = { .attrs = &attr, .n_attrs = 1 };
    char text[16];

    (void)state;
    for (unsigned i = 0; i < 4000; i++) { /* every second value is new, every other repeats it */
        attr.value.str = str_n(text, (size_t)snprintf(text, sizeof text, "v%u", i / 2));
        struct row_batch *batch = intern_one(interner, &span, 0);
        assert_true(value_is_symbol(batch));
        interner_recycle(interner, &batch);
    }
    interner_free(&interner);
}

/* A raw key concerns no other, and a new epoch tries again. */
static void test_raw_is_per_key_and_epoch(void **state)
{
    struct interner *interner = interner_new();
    struct attr attrs[2] = { { STR("k"), { .type = VALUE_STRING } }, { STR("other"), S_STR("v") } };
    struct span span = { .attrs = attrs, .n_attrs = 2 }, back;
    struct row_cursor cursor;
    struct row_value value;
    struct arena arena = { 0 };
    char text[16];

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        attrs[0].value.str = str_n(text, (size_t)snprintf(text, sizeof text, "v%u", i));
        struct row_batch *batch = intern_one(interner, &span, 0);
        row_values(batch_first(batch), batch->epoch, &cursor);
        assert_true(row_next_value(&cursor, &value));
        assert_int_equal(value.is_symbol, i < 256);
        assert_true(row_next_value(&cursor, &value));
        assert_true(value.is_symbol);
        row_decode(batch_first(batch), batch->epoch, &arena, &back);
        assert_true(span_equal(&span, &back));
        assert_true(row_is_sound(batch_first(batch), batch->epoch));
        if (i >= 256)
            assert_int_equal(batch->epoch_growth, 0);
        interner_recycle(interner, &batch);
    }
    interner_decay(interner);
    struct row_batch *batch = intern_one(interner, &span, 0);
    assert_true(value_is_symbol(batch));
    row_batch_free(&batch);
    interner_free(&interner);
    arena_fini(&arena);
}

static void test_trace_states_that_do_not_repeat(void **state)
{
    struct interner *interner = interner_new();
    struct arena arena = { 0 };

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        char text[16];
        size_t len = (size_t)snprintf(text, sizeof text, "ot=rv:%u", i);
        struct span span = { .trace_state = str_n(text, len), .status_message = STR("same") }, back;
        struct row_batch *batch = intern_one(interner, &span, 0);
        assert_int_equal(batch->epoch_growth > 0, i < 256);
        row_decode(batch_first(batch), batch->epoch, &arena, &back);
        assert_true(span_equal(&span, &back));
        interner_recycle(interner, &batch);
    }
    interner_free(&interner);
    arena_fini(&arena);
}

/* --- wrong guesses -------------------------------------------------------------------------- */

static void random_attr(struct random *random, struct attr *attr)
{
    static const struct str texts[] = { STR_INIT(""), STR_INIT("a"), STR_INIT("b"), STR_INIT("ab"),
                                        STR_INIT("abcdefgh1"), STR_INIT("abcdefgh2") };

    attr->key = texts[random_below(random, MG_COUNT(texts))];
    attr->value = sample_types[random_below(random, MG_COUNT(sample_types))].value;
    if (attr->value.type == VALUE_STRING || attr->value.type == VALUE_BYTES)
        attr->value.str = texts[random_below(random, MG_COUNT(texts))];
}

static void test_any_order_of_spans(void **state)
{
    struct interner *interner = interner_new();
    struct arena arena = { 0 };
    struct random random;

    (void)state;
    random_init(&random, 1);
    for (unsigned i = 0; i < 20000; i++) {
        struct attr attrs[5];
        struct span span = { .attrs = attrs, .n_attrs = (uint32_t)random_below(&random, 6) }, back;
        span.name = random_below(&random, 2) ? STR("x") : STR("");
        span.resource = random_below(&random, 2) ? STR("x") : STR("");
        for (unsigned k = 0; k < span.n_attrs; k++)
            random_attr(&random, &attrs[k]);
        struct row_batch *batch = intern_one(interner, &span, 0);
        row_decode(batch_first(batch), batch->epoch, &arena, &back);
        assert_true(span_equal(&span, &back));
        assert_true(row_is_sound(batch_first(batch), batch->epoch));
        interner_recycle(interner, &batch);
        arena_reset(&arena);
    }
    interner_free(&interner);
    arena_fini(&arena);
}

/* One byte differs, anywhere, at every length around the steps of the comparison. */
static void test_almost_right_guesses(void **state)
{
    struct interner *interner = interner_new();
    struct arena arena = { 0 };
    char key[40], value[40];

    (void)state;
    for (size_t len = 1; len <= sizeof key; len++) {
        for (size_t at = 0; at < len; at++) {
            struct attr attr = { str_n(key, len), { .type = VALUE_BYTES } };
            struct span span = { .attrs = &attr, .n_attrs = 1 }, back;
            attr.value.str = str_n(value, len);
            memset(key, 'k', len);
            memset(value, 'v', len);
            for (unsigned step = 0; step < 3; step++) {
                struct row_batch *batch = intern_one(interner, &span, 0);
                row_decode(batch_first(batch), batch->epoch, &arena, &back);
                assert_true(span_equal(&span, &back));
                row_batch_free(&batch);
                (step ? key : value)[at] ^= 1;
            }
            arena_reset(&arena);
        }
    }
    interner_free(&interner);
    arena_fini(&arena);
}

/* --- the bound ------------------------------------------------------------------------------ */

struct forge { /* of one body: spans in one group, or each in its own */
    struct buf body, span, message;
    struct random random;
};

static void put_text_field(struct buf *out, uint32_t field, unsigned number, size_t len)
{
    char text[8] = { 0 };

    for (size_t i = 0; i < len; i++, number /= 255)
        text[i] = (char)(number % 255 + 1);
    wire_put_bytes(out, field, str_n(text, len));
}

static void put_ids(struct buf *out, unsigned number)
{
    char id[16] = { 1 };

    put_le32(id + 4, number);
    wire_put_bytes(out, 1, str_n(id, 16));
    wire_put_bytes(out, 2, str_n(id, 8));
}

/* A KeyValue from raw bytes. */
static void put_key_value(struct forge *f)
{
    wire_put_bytes(&f->span, 9, buf_str(&f->message));
    buf_clear(&f->message);
}

static void forge_plain(struct forge *f, unsigned i, unsigned n)
{
    (void)f, (void)i, (void)n;
}
static void forge_one_byte_more(struct forge *f, unsigned i, unsigned n)
{
    (void)i, (void)n;
    buf_put(&f->span, "\x50\x01", 2); /* a dropped count: the smallest payload */
}
static void forge_empty_attrs(struct forge *f, unsigned i, unsigned n)
{
    for (unsigned k = 0; k <= i * 8191 % n; k++)
        put_key_value(f);
}
static void forge_new_keys(struct forge *f, unsigned i, unsigned n, size_t len)
{
    for (unsigned k = 0; k < n; k++) {
        put_text_field(&f->message, 1, i * n + k, len);
        put_key_value(f);
    }
}
static void forge_keys_1(struct forge *f, unsigned i, unsigned n)
{
    forge_new_keys(f, i, n, 1);
}
static void forge_keys_2(struct forge *f, unsigned i, unsigned n)
{
    forge_new_keys(f, i, n, 2);
}
static void forge_keys_3(struct forge *f, unsigned i, unsigned n)
{
    forge_new_keys(f, i, n, 3);
}
static void put_value(struct forge *f, unsigned number, size_t len)
{
    struct buf value;

    buf_init(&value, 64);
    put_text_field(&value, 1, number, len);
    wire_put_bytes(&f->message, 2, buf_str(&value));
    buf_fini(&value);
}
static void forge_values(struct forge *f, unsigned i, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        put_value(f, i * n + k, 2);
        put_key_value(f);
    }
}
static void forge_keys_values(struct forge *f, unsigned i, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        put_text_field(&f->message, 1, i * n + k, 1);
        put_value(f, i * n + k, 1);
        put_key_value(f);
    }
}
static void forge_other(struct forge *f, unsigned i, unsigned n)
{
    for (unsigned k = 0; k < n; k++) { /* an unknown field in a KeyValue */
        put_text_field(&f->message, 1, i * n + k, 1);
        buf_put_char(&f->message, 0x18);
        buf_put_char(&f->message, (char)(k & 0x7f));
        put_key_value(f);
    }
}
static void forge_other_short(struct forge *f, unsigned i, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        buf_put_char(&f->message, (char)(0x18 + (k / 128 % 12) * 8));
        buf_put_char(&f->message, (char)((i + k) & 0x7f));
        put_key_value(f);
    }
}
static void forge_names(struct forge *f, unsigned i, unsigned n)
{
    (void)n;
    put_text_field(&f->span, 3, i, 2);
    put_text_field(&f->span, 5, i, 2);
    put_text_field(&f->message, 2, i, 2);
    wire_put_bytes(&f->span, 15, buf_str(&f->message));
    buf_clear(&f->message);
}
static void forge_shapes(struct forge *f, unsigned i, unsigned n)
{
    forge_names(f, i, n);
    for (unsigned bit = 0; bit < 6; bit++) { /* 64 shapes of six attributes without a key */
        if (i >> bit & 1)
            buf_put(&f->message, "\x12\x02\x10\x01", 4); /* true */
        put_key_value(f);
    }
}
/* An event with the time of its span; its rest is in the message. */
static void put_event(struct forge *f)
{
    struct buf event;

    buf_init(&event, SIZE_MAX);
    wire_put_fixed64(&event, 1, 0);
    buf_put_str(&event, buf_str(&f->message));
    wire_put_bytes(&f->span, 11, buf_str(&event));
    buf_fini(&event);
    buf_clear(&f->message);
}
static void forge_no_events(struct forge *f, unsigned i, unsigned n)
{
    (void)i;
    for (unsigned k = 0; k < n; k++)
        buf_put(&f->span, "\x5a\x00", 2);
}
static void forge_event_names(struct forge *f, unsigned i, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        put_text_field(&f->message, 2, i * n + k, 2);
        put_event(f);
    }
}
/* A head and a rest of their own. */
static void forge_event_heads(struct forge *f, unsigned i, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        put_text_field(&f->message, 2, i * n + k, 2);
        buf_put(&f->message, "\x1a\x00", 2);
        put_event(f);
    }
}
/* An `attributes` field more in the message. */
static void put_event_attr(struct forge *f, unsigned number, size_t key, size_t value)
{
    struct buf any, attr;

    buf_init(&any, SIZE_MAX);
    buf_init(&attr, SIZE_MAX);
    put_text_field(&attr, 1, number, key);
    if (value)
        put_text_field(&any, 1, number, value);
    wire_put_bytes(&attr, 2, buf_str(&any));
    wire_put_bytes(&f->message, 3, buf_str(&attr));
    buf_fini(&any);
    buf_fini(&attr);
}
static void forge_event_attrs(struct forge *f, unsigned i, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        put_event_attr(f, i * n + k, 2, 3);
    put_event(f);
}
static void forge_event_keys(struct forge *f, unsigned i, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        put_event_attr(f, i * n + k, 1 + (n > 255), 0);
        put_event(f);
    }
}
static void forge_event_keys_values(struct forge *f, unsigned i, unsigned n)
{
    for (unsigned k = 0; k < n; k++) {
        put_event_attr(f, i * n + k, 2, 3);
        put_event(f);
    }
}
static void forge_random(struct forge *f, unsigned i, unsigned n)
{
    unsigned count = (unsigned)random_below(&f->random, n);

    for (unsigned k = 0; k < count; k++) {
        size_t len = (size_t)random_below(&f->random, 4);
        if (len)
            put_text_field(&f->message, 1, (unsigned)random_u64(&f->random), len);
        if (random_below(&f->random, 2))
            put_value(f, (unsigned)random_u64(&f->random), 1 + (size_t)random_below(&f->random, 4));
        put_key_value(f);
    }
    if (random_below(&f->random, 2))
        forge_names(f, i, n);
}

static const struct {
    const char *name;
    void (*forge)(struct forge *f, unsigned i, unsigned n);
    unsigned spans, n;
    bool own_groups;
} bodies[] = {
    { "no span", forge_plain, 0, 0, false },
    { "one small span", forge_plain, 1, 0, false },
    { "small spans", forge_plain, 5000, 0, false },
    { "small spans with one byte more", forge_one_byte_more, 5000, 0, false },
    { "small spans, each its resource", forge_plain, 5000, 0, true },
    { "one empty attribute", forge_empty_attrs, 1, 1, false },
    { "4096 empty attributes", forge_empty_attrs, 1, 4096, false },
    { "many shapes of empty attributes", forge_empty_attrs, 1000, 4096, false },
    { "a new key of 1 byte", forge_keys_1, 1, 1, false },
    { "255 keys of 1 byte", forge_keys_1, 1, 255, false },
    { "keys of 1 byte in many spans", forge_keys_1, 255, 1, false },
    { "keys of 2 bytes", forge_keys_2, 16, 4000, false },
    { "one key of 2 bytes a span", forge_keys_2, 30000, 1, false },
    { "keys of 3 bytes", forge_keys_3, 64, 4000, false },
    { "new values", forge_values, 16, 4000, false },
    { "one new value a span", forge_values, 5000, 1, false },
    { "new keys with new values", forge_keys_values, 1, 255, false },
    { "unknown in attributes", forge_other, 1, 255, false },
    { "only unknown in attributes", forge_other_short, 1, 1500, false },
    { "only unknown in attributes, many", forge_other_short, 20, 4000, false },
    { "names, states, messages", forge_names, 30000, 0, false },
    { "names, states, messages, 1 span", forge_names, 1, 0, true },
    { "names, states, messages, groups", forge_names, 30000, 0, true },
    { "shapes", forge_shapes, 30000, 0, true },
    { "empty events", forge_no_events, 1, 1, false },
    { "empty events, one a span", forge_no_events, 5000, 1, false },
    { "many empty events", forge_no_events, 20, 4000, false },
    { "a new event of 1 name", forge_event_names, 1, 1, false },
    { "new names of events", forge_event_names, 16, 4000, false },
    { "one new name of an event a span", forge_event_names, 5000, 1, false },
    { "new heads and rests of events", forge_event_heads, 1, 255, false },
    { "many new heads and rests of events", forge_event_heads, 16, 4000, false },
    { "new keys in events", forge_event_keys, 1, 255, false },
    { "many new keys in events", forge_event_keys, 16, 4000, false },
    { "new keys and values in events", forge_event_keys_values, 16, 4000, false },
    { "new keys and values, 1 event a span", forge_event_keys_values, 60000, 1, false },
    { "an event of many new attributes", forge_event_attrs, 1, 60000, false },
    { "events of many new attributes", forge_event_attrs, 160, 400, false },
    { "anything", forge_random, 3000, 60, false },
    { "anything, in groups", forge_random, 3000, 20, true },
};

/* ResourceSpans and ScopeSpans around the spans, both with a schema_url when it is their own. */
static void close_group(struct forge *f, struct buf *spans, unsigned number, bool own)
{
    struct buf resource;

    buf_init(&resource, SIZE_MAX);
    if (own)
        put_text_field(spans, 3, number, 2);
    wire_put_bytes(&resource, 2, buf_str(spans));
    if (own)
        put_text_field(&resource, 3, number, 2);
    wire_put_bytes(&f->body, 1, buf_str(&resource));
    buf_fini(&resource);
    buf_clear(spans);
}

static void forge_body(struct forge *f, size_t which)
{
    struct buf spans;

    buf_init(&spans, SIZE_MAX);
    random_init(&f->random, which);
    for (unsigned i = 0; i < bodies[which].spans; i++) {
        put_ids(&f->span, i);
        bodies[which].forge(f, i, bodies[which].n);
        wire_put_bytes(&spans, 2, buf_str(&f->span));
        buf_clear(&f->span);
        if (bodies[which].own_groups)
            close_group(f, &spans, i, true);
    }
    if (spans.len)
        close_group(f, &spans, 0, false);
    buf_fini(&spans);
}

static void test_bound_holds_for_hostile_bodies(void **state)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct forge f = { 0 };

    (void)state;
    buf_init(&f.body, SIZE_MAX);
    buf_init(&f.span, SIZE_MAX);
    buf_init(&f.message, SIZE_MAX);
    for (size_t i = 0; i < MG_COUNT(bodies); i++) {
        struct interner *interner = interner_new();
        forge_body(&f, i);
        struct row_batch *batch = intern_body(interner, scanner, buf_str(&f.body));
        size_t cost = batch->bytes + batch->epoch_growth;
        assert_int_equal(batch->n, bodies[i].spans);
        if (cost > interner_bound(f.body.len))
            fail_msg("%s: %zu bytes become %zu", bodies[i].name, f.body.len, cost);
        if (getenv("MGTEST_BENCH"))
            print_message("%-36s %9zu B x %.2f\n", bodies[i].name, f.body.len,
                          (double)cost / (double)MG_MAX(f.body.len, (size_t)1));
        const struct row *row = batch_first(batch);
        for (unsigned k = 0; k < batch->n; k++, row = batch_next(row))
            assert_true(row_is_sound(row, batch->epoch));
        row_batch_free(&batch);
        interner_free(&interner);
        buf_clear(&f.body);
    }
    buf_fini(&f.body);
    buf_fini(&f.span);
    buf_fini(&f.message);
    otlp_scanner_free(&scanner);
}

static void test_bound_does_not_overflow(void **state)
{
    (void)state;
    assert_int_equal(interner_bound(0), 0);
    assert_true(interner_bound(1) > 1);
    assert_true(interner_bound(SIZE_MAX / 10) <= SIZE_MAX - 1);
    assert_true(interner_bound(SIZE_MAX / 10 + 1) == SIZE_MAX);
    assert_true(interner_bound(SIZE_MAX) == SIZE_MAX);
}

/* --- the corpus ----------------------------------------------------------------------------- */

struct corpus {
    struct buf text;
    VEC(struct str) bodies;
};

static bool file_read(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    char piece[65536];
    size_t n;

    if (!file)
        return false;
    while ((n = fread(piece, 1, sizeof piece, file)) > 0)
        buf_put(out, piece, n);
    fclose(file);
    return buf_err(out) == MG_OK;
}

/* Each record: length (4 bytes, big-endian), then an ExportTraceServiceRequest. */
static bool corpus_open(struct corpus *corpus)
{
    const char *folder = getenv("MGTEST_CORPORA");
    char path[1024];
    struct buf file;
    struct zip *zip = zip_new();

    *corpus = (struct corpus){ 0 };
    buf_init(&file, (size_t)64 << 20);
    buf_init(&corpus->text, (size_t)256 << 20);
    snprintf(path, sizeof path, "%s/astronomy-oteltraces.zst", folder ? folder : MGTEST_CORPORA);
    bool is_there = file_read(path, &file);
    if (is_there)
        assert_int_equal(zip_inflate(zip, ZIP_ZSTD, buf_str(&file), (size_t)256 << 20,
                                     &corpus->text, NULL), MG_OK);
    else
        print_message("no corpus at %s\n", path);
    for (size_t at = 0; at + 4 <= corpus->text.len;) {
        size_t len = get_be32(corpus->text.ptr + at);
        assert_true(len <= corpus->text.len - at - 4);
        VEC_PUSH(&corpus->bodies, str_n(corpus->text.ptr + at + 4, len));
        at += 4 + len;
    }
    buf_fini(&file);
    zip_free(&zip);
    return is_there;
}

static void corpus_close(struct corpus *corpus)
{
    buf_fini(&corpus->text);
    VEC_FINI(&corpus->bodies);
}

struct lossless {
    struct arena arena;
    const struct row_batch *batch;
    const struct row *row;
    unsigned n;
};

static void expect_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct lossless *l = owner;
    struct span back;

    (void)ordinal;
    assert_true(l->n < l->batch->n);
    assert_true(row_is_sound(l->row, l->batch->epoch));
    row_decode(l->row, l->batch->epoch, &l->arena, &back);
    assert_true(span_equal(span, &back));
    assert_true(row_equal(l->row, l->batch->epoch, l->row, l->batch->epoch));
    arena_reset(&l->arena);
    l->row = batch_next(l->row);
    l->n++;
}

static void ignore_group(void *owner, struct str group)
{
    (void)owner;
    (void)group;
}

static void test_corpus_is_lossless(void **state)
{
    static const struct span_visitor visitor = {
        ignore_group, ignore_group, expect_span, on_refused
    };
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct interner *interner = interner_new();
    struct corpus corpus;
    size_t spans = 0;

    (void)state;
    bool is_there = corpus_open(&corpus);
    for (size_t i = 0; i < corpus.bodies.n; i++) {
        struct str body = corpus.bodies.at[i];
        struct row_batch *batch = intern_body(interner, scanner, body);
        struct lossless l = { .batch = batch, .row = batch_first(batch) };
        assert_int_equal(otlp_scan(scanner, body, &visitor, &l, NULL), MG_OK);
        assert_int_equal(l.n, batch->n);
        assert_true(batch->bytes + batch->epoch_growth <= interner_bound(body.len));
        spans += l.n;
        interner_recycle(interner, &batch);
        arena_fini(&l.arena);
    }
    corpus_close(&corpus);
    interner_free(&interner);
    otlp_scanner_free(&scanner);
    if (!is_there)
        skip();
    assert_int_equal(spans, 64151);
}

/* --- figures -------------------------------------------------------------------------------- */

static void on_group_nothing(void *owner, struct str group)
{
    *(size_t *)owner += group.len;
}
static void on_span_nothing(void *owner, const struct span *span, uint32_t ordinal)
{
    (void)ordinal;
    *(size_t *)owner += span->n_attrs;
}
static const struct span_visitor into_nothing = {
    on_group_nothing, on_group_nothing, on_span_nothing, on_refused
};

static void bench_hashes(const struct corpus *corpus)
{
    static const size_t lengths[] = { 4, 8, 12, 16, 24, 40, 100, 600 };

    for (size_t i = 0; i < MG_COUNT(lengths); i++) {
        uint64_t sum = 0, times[3];
        times[0] = clock_thread_cpu_ns();
        for (size_t at = 0; at < 2000000; at++)
            sum += hash_bytes(corpus->text.ptr + at, lengths[i], sum);
        times[1] = clock_thread_cpu_ns();
        for (size_t at = 0; at < 2000000; at++)
            sum += hash64(corpus->text.ptr + at, lengths[i], sum);
        times[2] = clock_thread_cpu_ns();
        print_message("hash of %3zu B: hash_bytes %.1f ns, hash64 %.1f ns (%x)\n", lengths[i],
                      (double)(times[1] - times[0]) / 2e6, (double)(times[2] - times[1]) / 2e6,
                      (unsigned)(sum & 1));
    }
}

static void bench_round(const struct corpus *corpus, struct interner *interner,
                        struct otlp_scanner *scanner)
{
    size_t spans = 0, rows = 0, growth = 0, sum = 0;
    uint64_t start = clock_thread_cpu_ns();

    for (size_t i = 0; i < corpus->bodies.n; i++) {
        struct str body = corpus->bodies.at[i];
        assert_int_equal(otlp_scan(scanner, body, &into_nothing, &sum, NULL), MG_OK);
    }
    uint64_t scanned = clock_thread_cpu_ns();
    for (size_t i = 0; i < corpus->bodies.n; i++) {
        struct row_batch *batch = intern_body(interner, scanner, corpus->bodies.at[i]);
        spans += batch->n;
        rows += batch->bytes;
        growth += batch->epoch_growth;
        interner_recycle(interner, &batch);
    }
    uint64_t interned = clock_thread_cpu_ns();
    double scan_ns = (double)(scanned - start) / (double)spans;
    double both_ns = (double)(interned - scanned) / (double)spans;
    print_message("scan %.0f, scan+intern %.0f, intern %.0f ns/span; "
                  "row %.1f B, dictionary %.1f B/span\n",
                  scan_ns, both_ns, both_ns - scan_ns, (double)rows / (double)spans,
                  (double)growth / (double)spans);
}

static void test_bench(void **state)
{
    struct corpus corpus;

    (void)state;
    if (!getenv("MGTEST_BENCH") || !corpus_open(&corpus))
        skip();
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct interner *interner = interner_new();
    for (unsigned round = 0; round < 6; round++)
        bench_round(&corpus, interner, scanner);
    bench_hashes(&corpus);
    interner_free(&interner);
    otlp_scanner_free(&scanner);
    corpus_close(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_batch),
        cmocka_unit_test(test_growth_is_charged_once),
        cmocka_unit_test(test_abort_forgets_rows_only),
        cmocka_unit_test(test_batches_are_reused),
        cmocka_unit_test(test_more_batches_than_the_pool_holds),
        cmocka_unit_test(test_full_epoch_is_left),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_bad_strings),
        cmocka_unit_test(test_long_values_stand_in_the_row),
        cmocka_unit_test(test_keys_that_do_not_repeat_turn_raw),
        cmocka_unit_test(test_guessed_values_count),
        cmocka_unit_test(test_raw_is_per_key_and_epoch),
        cmocka_unit_test(test_trace_states_that_do_not_repeat),
        cmocka_unit_test(test_any_order_of_spans),
        cmocka_unit_test(test_almost_right_guesses),
        cmocka_unit_test(test_bound_holds_for_hostile_bodies),
        cmocka_unit_test(test_bound_does_not_overflow),
        cmocka_unit_test(test_corpus_is_lossless),
        cmocka_unit_test(test_bench),
    };
    return cmocka_run_group_tests_name("row.intern", tests, NULL, NULL);
}
