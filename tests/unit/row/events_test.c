#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "base/random.h"
#include "model/otlp_scan.h"
#include "model/otlp_write.h"
#include "row/events.h"
#include "sample.h"

enum form { SYMBOL, PIECES, WIRE }; /* of the first item */

struct fixture {
    struct arena arena;
    struct interner *interner;
    struct interner *raw; /* where rests, heads and the values of "k" do not repeat */
    struct row_batch *batch;
    struct buf events, rest;
};

static const uint64_t start_ns = 1700000000000000000;

/* --- making events -------------------------------------------------------------------------- */

static void put_event(struct buf *out, uint64_t time_ns, struct str rest)
{
    struct buf event;

    buf_init(&event, SIZE_MAX);
    wire_put_fixed64(&event, 1, time_ns);
    buf_put_str(&event, rest);
    wire_put_bytes(out, 11, buf_str(&event));
    buf_fini(&event);
}

static void put_attr(struct buf *out, struct str key, struct str value)
{
    struct buf key_value;

    buf_init(&key_value, SIZE_MAX);
    wire_put_bytes(&key_value, 1, key);
    wire_put_bytes(&key_value, 2, value);
    wire_put_bytes(out, 3, buf_str(&key_value));
    buf_fini(&key_value);
}

static void make_rest(struct buf *out, struct str name, struct str key, struct str value)
{
    buf_clear(out);
    wire_put_bytes(out, 2, name);
    put_attr(out, key, value);
}

static struct row_batch *intern(struct interner *interner, struct str events)
{
    struct span span = { .start_ns = start_ns, .events = events };

    interner_begin(interner, 0);
    sample_intern(interner, &span);
    return interner_end(interner);
}

static const struct row *row_of(struct fixture *f, struct interner *interner, struct str events)
{
    row_batch_free(&f->batch);
    f->batch = intern(interner, events);
    return batch_first(f->batch);
}

static void read_events(const struct row_batch *batch, struct row_events *out)
{
    struct row_cursor cursor;
    struct row_rest rest;

    row_values(batch_first(batch), batch->epoch, &cursor);
    row_skip_values(&cursor);
    row_read_rest(&cursor, &rest);
    *out = rest.events;
}

static enum form form_of(const struct row_batch *batch)
{
    struct row_events events;

    read_events(batch, &events);
    return (enum form)(*events.at & 3);
}

static void make_raw(struct fixture *f)
{
    for (unsigned i = 0; i < 2000; i++) {
        char text[16];
        struct str unique = str_n(text, (size_t)snprintf(text, sizeof text, "\x0a\x06%06u", i));
        buf_clear(&f->events);
        put_event(&f->events, 1, (struct str){ "\x12\x04head", 6 });
        make_rest(&f->rest, STR("head"), STR("k"), unique);
        put_event(&f->events, start_ns, buf_str(&f->rest));
        make_rest(&f->rest, unique, STR("other"), STR("\x0a\x05other"));
        put_event(&f->events, start_ns, buf_str(&f->rest));
        make_rest(&f->rest, unique, STR("another"), unique);
        put_event(&f->events, start_ns, buf_str(&f->rest));
        (void)row_of(f, f->raw, buf_str(&f->events));
    }
}

static int begin(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);

    f->interner = interner_new();
    f->raw = interner_new();
    buf_init(&f->events, SIZE_MAX);
    buf_init(&f->rest, SIZE_MAX);
    make_raw(f);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;

    row_batch_free(&f->batch);
    interner_free(&f->interner);
    interner_free(&f->raw);
    buf_fini(&f->events);
    buf_fini(&f->rest);
    arena_fini(&f->arena);
    mem_free(f);
    return 0;
}

/* --- what must hold for any bytes ----------------------------------------------------------- */

static void expect_back(struct fixture *f, const struct row_batch *batch, struct str events)
{
    struct row_events stands;
    struct span back;

    assert_true(row_is_sound(batch_first(batch), batch->epoch));
    assert_int_equal(row_events_bytes(batch_first(batch)), events.len);
    read_events(batch, &stands);
    assert_true(str_eq(row_events(&stands, &f->arena), events));
    row_decode(batch_first(batch), batch->epoch, &f->arena, &back);
    assert_true(str_eq(back.events, events));
    arena_reset(&f->arena);
}

static bool batches_equal(const struct row_batch *a, const struct row_batch *b)
{
    bool is_equal = row_equal(batch_first(a), a->epoch, batch_first(b), b->epoch);

    assert_int_equal(row_equal(batch_first(b), b->epoch, batch_first(a), a->epoch), is_equal);
    return is_equal;
}

/* One byte other, anywhere: the rows are not equal, in any form and any two epochs. */
static void expect_others_differ(struct fixture *f, const struct row_batch *const batches[3],
                                 struct str events)
{
    size_t step = 1 + events.len / 64;

    for (size_t at = 0; at < events.len; at += step) {
        char *copy = mem_copy(events.ptr, events.len);
        copy[at] ^= 1;
        struct str changed = str_n(copy, events.len);
        struct row_batch *mine = intern(f->interner, changed), *raw = intern(f->raw, changed);
        for (unsigned i = 0; i < 3; i++) {
            assert_false(batches_equal(batches[i], mine));
            assert_false(batches_equal(batches[i], raw));
        }
        row_batch_free(&mine);
        row_batch_free(&raw);
        mem_free(copy);
    }
}

static void expect_exact(struct fixture *f, struct str events, bool thorough)
{
    struct row_batch *first = intern(f->interner, events), *again = intern(f->interner, events);
    struct row_batch *raw = intern(f->raw, events);
    const struct row_batch *const all[] = { first, again, raw };

    for (unsigned i = 0; i < 3; i++) {
        if (events.len)
            expect_back(f, all[i], events);
        for (unsigned k = 0; k < 3; k++)
            assert_true(batches_equal(all[i], all[k]));
    }
    if (thorough)
        expect_others_differ(f, all, events);
    row_batch_free(&first);
    row_batch_free(&again);
    row_batch_free(&raw);
}

/* --- forms ---------------------------------------------------------------------------------- */

#define EIGHT "\0\0\x76\x9d\x6c\xb6\x97\x17"
#define TIME  "\x09" EIGHT
#define NAME  "\x12\x02" "ev"

static const struct {
    const char *name;
    struct str events;
    enum form form; /* in an epoch that knows nothing */
} made[] = {
    { "a name", STR_INIT("\x5a\x0d" TIME NAME), SYMBOL },
    { "no name", STR_INIT("\x5a\x0b" TIME "\x1a\x00"), SYMBOL },
    { "one byte behind the time", STR_INIT("\x5a\x0a" TIME "\x12"), SYMBOL },
    { "what is no message behind the time", STR_INIT("\x5a\x0d" TIME "\xff\xff\xff\xff"), SYMBOL },
    { "a count of dropped attributes", STR_INIT("\x5a\x0f" TIME NAME "\x20\x05"), SYMBOL },
    { "the time twice", STR_INIT("\x5a\x12" TIME TIME), SYMBOL },
    { "a field that is not known", STR_INIT("\x5a\x0d" TIME "\xa0\x06\x01\x00"), SYMBOL },
    { "two", STR_INIT("\x5a\x0d" TIME NAME "\x5a\x0d" TIME NAME), SYMBOL },
    { "nothing in it", STR_INIT("\x5a\x00"), WIRE },
    { "a time alone", STR_INIT("\x5a\x09" TIME), WIRE },
    { "no time", STR_INIT("\x5a\x0a\x12\x08nameless"), WIRE },
    { "the time last", STR_INIT("\x5a\x0d\x12\x02" "ev" TIME), WIRE },
    { "a field that is not known first", STR_INIT("\x5a\x0f\x28\x00" TIME NAME), WIRE },
    { "the time as a varint", STR_INIT("\x5a\x0d\x08" EIGHT NAME), WIRE },
    { "a long length", STR_INIT("\x5a\x8d\x00" TIME NAME), WIRE },
    { "a long tag", STR_INIT("\xda\x00\x0d" TIME NAME), WIRE },
    { "a long tag of the time", STR_INIT("\x5a\x0e\x89\x00" EIGHT NAME), WIRE },
    { "another field", STR_INIT("\x6a\x0d" TIME NAME), WIRE },
    { "another type", STR_INIT("\x58\x0d"), WIRE },
    { "an odd one before", STR_INIT("\x5a\x00\x5a\x0d" TIME NAME), WIRE },
    { "an odd one behind", STR_INIT("\x5a\x0d" TIME NAME "\x5a\x00"), SYMBOL },
    { "odd ones between",
          STR_INIT("\x5a\x0d" TIME NAME "\x5a\x00\x5a\x00\x5a\x0d" TIME NAME), SYMBOL },
    { "a cut one", STR_INIT("\x5a\x0e" TIME NAME), WIRE },
    { "a cut length", STR_INIT("\x5a"), WIRE },
    { "a cut one behind", STR_INIT("\x5a\x0d" TIME NAME "\x5a\x0d\x09"), SYMBOL },
    { "garbage", STR_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), WIRE },
    { "zeroes", STR_INIT("\0\0\0"), WIRE },
};

static void test_made_events(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < MG_COUNT(made); i++) {
        struct interner *fresh = interner_new();
        struct row_batch *batch = intern(fresh, made[i].events);
        if (form_of(batch) != made[i].form)
            fail_msg("%s: form %u", made[i].name, form_of(batch));
        row_batch_free(&batch);
        interner_free(&fresh);
        expect_exact(f, made[i].events, true);
    }
    expect_exact(f, STR(""), false);
}

/* Rests of attributes in every shape, in an epoch where rests go to pieces. */
static const struct str rests[] = {
    STR_INIT("\x12\x04head"),
    STR_INIT("\x12\x04head\x1a\x0a\x0a\x01k\x12\x05\x0a\x03val"),
    STR_INIT("\x12\x04head\x1a\x0b\x0a\x02ks\x12\x05\x0a\x03val"),
    STR_INIT("\x12\x04head\x1a\x0f\x0a\x06symbol\x12\x05\x0a\x03val\x20\x01"),
    STR_INIT("\x12\x04head\x1a\x07\x0a\x01k\x12\x02\x18\x05\x1a\x07\x0a\x01k\x12\x02\x18\x06"),
    STR_INIT("\x1a\x07\x0a\x01k\x12\x02\x18\x05\x12\x04head"),
    STR_INIT("\x1a\x05\x0a\x01k\x12\x00"),          /* an empty value */
    STR_INIT("\x1a\x06\x0a\x00\x12\x02\x10\x01"),   /* an empty key */
    STR_INIT("\x1a\x04\x0a\x00\x12\x00"),
    STR_INIT("\x1a\x00"),
    STR_INIT("\x1a\x03\x0a\x01k"),                  /* no value */
    STR_INIT("\x1a\x04\x12\x02\x18\x05"),           /* no key */
    STR_INIT("\x1a\x07\x12\x02\x18\x05\x0a\x01k"),  /* the value first */
    STR_INIT("\x1a\x09\x0a\x01k\x12\x02\x18\x05\x18\x01"), /* a third field */
    STR_INIT("\x1a\x87\x00\x0a\x01k\x12\x02\x18\x05"),     /* long lengths */
    STR_INIT("\x1a\x08\x0a\x81\x00k\x12\x02\x18\x05"),
    STR_INIT("\x1a\x08\x0a\x01k\x12\x82\x00\x18\x05"),
    STR_INIT("\x9a\x00\x07\x0a\x01k\x12\x02\x18\x05"),     /* a long tag */
    STR_INIT("\x1a\x07\x0a\x01k\x12\x03\x18\x05"),         /* cut inside */
    STR_INIT("\x1a\x7f\x0a\x01k\x12\x02\x18\x05"),         /* cut outside */
    STR_INIT("\x18\x07\x1a\x07\x0a\x01k\x12\x02\x18\x05"), /* field 3 of another type first */
    STR_INIT("\x20\x01\x1a\x07\x0a\x01k\x12\x02\x18\x05"
             "\x20\x01\x1a\x07\x0a\x01k\x12\x02\x18\x05\x20"), /* other fields around */
    STR_INIT("\x1b\x1c"), STR_INIT("\x00"), STR_INIT("\xff"),
};

static void test_made_rests(void **state)
{
    struct fixture *f = *state;
    static const uint64_t times[] = { 0, 1, UINT64_MAX, UINT64_C(1) << 63, start_ns - 1, start_ns,
                                      start_ns + 1, start_ns + 1000000 };

    for (size_t i = 0; i < MG_COUNT(rests); i++) {
        for (size_t k = 0; k < MG_COUNT(times); k++) {
            buf_clear(&f->events);
            put_event(&f->events, times[k], rests[i]);
            expect_exact(f, buf_str(&f->events), k == 5);
            put_event(&f->events, times[(k + 3) % MG_COUNT(times)],
                      rests[(i + 1) % MG_COUNT(rests)]);
            expect_exact(f, buf_str(&f->events), false);
        }
    }
}

/* A repeated event costs a few bytes. */
static void test_repeated_events_are_small(void **state)
{
    struct fixture *f = *state;
    char name[100];

    memset(name, 'n', sizeof name);
    make_rest(&f->rest, str_n(name, sizeof name), STR("key"), STR("\x0a\x05value"));
    buf_clear(&f->events);
    for (unsigned i = 0; i < 8; i++)
        put_event(&f->events, start_ns + i * 50, buf_str(&f->rest));
    const struct row *row = row_of(f, f->interner, buf_str(&f->events));
    assert_int_equal(form_of(f->batch), SYMBOL);
    assert_true(row->bytes <= sizeof *row + 32);
}

/* Among unique ones, an event with known pieces costs only what is new. */
static void test_pieces(void **state)
{
    struct fixture *f = *state;
    static const struct { struct str name, key, value; size_t most; } rows[] = {
        { STR_INIT("head"), STR_INIT("k"), STR_INIT("\x0a\x05value"), 40 },
        { STR_INIT("head"), STR_INIT("other"), STR_INIT("\x0a\x05other"), 16 },
        { STR_INIT("new name"), STR_INIT("other"), STR_INIT("\x0a\x05other"), 24 },
    };

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        make_rest(&f->rest, rows[i].name, rows[i].key, rows[i].value);
        for (unsigned again = 0; again < 2; again++) {
            buf_clear(&f->events);
            put_event(&f->events, start_ns, buf_str(&f->rest));
            const struct row *row = row_of(f, f->raw, buf_str(&f->events));
            if (form_of(f->batch) == WIRE || row->bytes > sizeof *row + rows[i].most)
                fail_msg("row %zu: form %u, %u bytes", i, form_of(f->batch), row->bytes);
            expect_back(f, f->batch, buf_str(&f->events));
        }
    }
}

/* Whether the rest becomes a symbol after `n` events of one name, the first `n_new` of them new and
 * the rest of them two in turn. */
static bool stays_symbol(struct fixture *f, unsigned n, unsigned n_new, bool with_attribute)
{
    struct interner *interner = interner_new();
    char text[16];

    for (unsigned i = 0; i <= n; i++) {
        unsigned number = i < n_new || i == n ? i : i % 2;
        struct str unique = str_n(text, (size_t)snprintf(text, sizeof text, "unique %u", number));
        buf_clear(&f->rest);
        if (with_attribute)
            make_rest(&f->rest, STR("name"), STR("k"), unique);
        else
            wire_put_bytes(&f->rest, 2, unique);
        buf_clear(&f->events);
        put_event(&f->events, start_ns + i, buf_str(&f->rest));
        (void)row_of(f, interner, buf_str(&f->events));
        expect_back(f, f->batch, buf_str(&f->events));
    }
    interner_free(&interner);
    return form_of(f->batch) == SYMBOL;
}

static void test_rests_that_do_not_repeat(void **state)
{
    struct fixture *f = *state;
    static const struct { unsigned n, n_new; bool want; } rows[] = {
        { 0, 0, true },     { 255, 255, true },   { 256, 256, false }, { 256, 153, true },
        { 256, 154, false }, { 2000, 153, true }, { 1000, 1000, false },
    };

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        assert_int_equal(stays_symbol(f, rows[i].n, rows[i].n_new, true), rows[i].want);
        assert_int_equal(stays_symbol(f, rows[i].n, rows[i].n_new, false), rows[i].want);
    }
}

/* Events of another name still are symbols then. */
static void test_raw_is_per_kind(void **state)
{
    struct fixture *f = *state;
    struct interner *interner = interner_new();
    char text[16];

    for (unsigned i = 0; i < 600; i++) {
        struct str unique = str_n(text, (size_t)snprintf(text, sizeof text, "unique %u", i));
        make_rest(&f->rest, STR("name"), STR("k"), unique);
        buf_clear(&f->events);
        put_event(&f->events, start_ns, buf_str(&f->rest));
        struct row_batch *batch = intern(interner, buf_str(&f->events));
        assert_int_equal(form_of(batch), i < 256 ? SYMBOL : PIECES);
        if (i >= 512) /* neither the rest nor the value of "k" */
            assert_int_equal(batch->epoch_growth, 0);
        row_batch_free(&batch);
        make_rest(&f->rest, STR("other"), STR("k"), STR("\x0a\x04same"));
        buf_clear(&f->events);
        put_event(&f->events, start_ns, buf_str(&f->rest));
        (void)row_of(f, interner, buf_str(&f->events));
        assert_int_equal(form_of(f->batch), SYMBOL);
    }
    interner_decay(interner); /* a new epoch tries again */
    make_rest(&f->rest, STR("name"), STR("k"), STR("\x0a\x04last"));
    buf_clear(&f->events);
    put_event(&f->events, start_ns, buf_str(&f->rest));
    (void)row_of(f, interner, buf_str(&f->events));
    assert_true(f->batch->epoch_growth > 0);
    interner_free(&interner);
}

/* --- limits --------------------------------------------------------------------------------- */

static struct str long_rest(struct fixture *f, size_t bytes)
{
    size_t name = bytes - (bytes < 130 ? 2 : bytes < 16387 ? 3 : 4);

    buf_clear(&f->rest);
    wire_put_bytes(&f->rest, 2, sample_fill(&f->arena, name, 'n'));
    assert_int_equal(f->rest.len, bytes);
    return buf_str(&f->rest);
}

static void test_long_events(void **state)
{
    struct fixture *f = *state;
    static const struct { size_t bytes; enum form form; } rows[] = {
        { 4084, SYMBOL }, /* 4096 as an event */
        { 4085, WIRE },   /* 4097: would become more than 64 times what is written */
        { 4096, WIRE },
        { 4097, PIECES }, /* not for the dictionary */
        { 100000, PIECES },
    };

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str rest = long_rest(f, rows[i].bytes);
        buf_clear(&f->events);
        put_event(&f->events, start_ns, rest);
        (void)row_of(f, f->interner, buf_str(&f->events));
        assert_int_equal(form_of(f->batch), rows[i].form);
        expect_exact(f, buf_str(&f->events), false);
        arena_reset(&f->arena);
    }
}

/* However well they repeat: a row does not become any amount of memory. */
static void test_rows_do_not_explode(void **state)
{
    struct fixture *f = *state;
    static const size_t rests_of[] = { 1, 10, 40, 200, 300, 500, 1000, 4000, 4096 };
    static const unsigned counts[] = { 1, 2, 4, 30, 100, 1000 };

    for (size_t i = 0; i < MG_COUNT(rests_of); i++) {
        struct str rest = rests_of[i] == 1 ? STR("\x12") : long_rest(f, rests_of[i]);
        for (size_t k = 0; k < MG_COUNT(counts); k++) {
            buf_clear(&f->events);
            for (unsigned n = 0; n < counts[k]; n++)
                put_event(&f->events, start_ns, rest);
            const struct row *row = row_of(f, f->interner, buf_str(&f->events));
            size_t written = row->bytes - sizeof *row;
            assert_true(row_events_bytes(row) <= MG_MAX((size_t)4096, written * 64));
            assert_true(written <= f->events.len + 16); /* and never costs more than before */
            expect_back(f, f->batch, buf_str(&f->events));
        }
    }
}

/* --- random events -------------------------------------------------------------------------- */

static void put_random_field(struct fixture *f, struct random *random, struct buf *out)
{
    static const struct str texts[] = { STR_INIT("k"), STR_INIT("head"), STR_INIT("other"),
                                        STR_INIT(""), STR_INIT("\x0a\x05other"),
                                        STR_INIT("\x18\x05") };
    static const uint32_t numbers[] = { 1, 2, 3, 4, 5, 11, 100, 1u << 29 >> 1 };

    switch (random_below(random, 6)) {
    case 0:
        put_attr(out, sample_fill(&f->arena, (size_t)random_below(random, 200), 'k'),
                 sample_fill(&f->arena, (size_t)random_below(random, 200), 'v'));
        break;
    case 1:
    case 2:
        put_attr(out, texts[random_below(random, MG_COUNT(texts))],
                 texts[random_below(random, MG_COUNT(texts))]);
        break;
    case 3:
        wire_put_bytes(out, numbers[random_below(random, MG_COUNT(numbers))],
                       texts[random_below(random, MG_COUNT(texts))]);
        break;
    case 4:
        wire_put_varint(out, numbers[random_below(random, MG_COUNT(numbers))], random_u64(random));
        break;
    case 5:
        wire_put_fixed64(out, numbers[random_below(random, MG_COUNT(numbers))], random_u64(random));
        break;
    }
}

static void make_random(struct fixture *f, struct random *random, unsigned most)
{
    unsigned n = 1 + (unsigned)random_below(random, most);

    buf_clear(&f->events);
    for (unsigned i = 0; i < n; i++) {
        buf_clear(&f->rest);
        if (random_below(random, 4))
            wire_put_bytes(&f->rest, 2, STR("head"));
        for (uint64_t k = random_below(random, 4); k > 0; k--)
            put_random_field(f, random, &f->rest);
        if (random_below(random, 8))
            put_event(&f->events, start_ns + random_below(random, 1u << 30), buf_str(&f->rest));
        else
            wire_put_bytes(&f->events, 11, buf_str(&f->rest));
    }
    for (uint64_t k = random_below(random, 3); k > 0 && random_below(random, 3) == 0; k--)
        f->events.ptr[random_below(random, f->events.len)] ^=
            (char)(1u << random_below(random, 8));
}

static void test_random_events(void **state)
{
    struct fixture *f = *state;
    struct random random;

    random_init(&random, 7);
    for (unsigned i = 0; i < 4000; i++) {
        make_random(f, &random, 6);
        expect_exact(f, buf_str(&f->events), i % 16 == 0);
    }
}

/* The room is enough for the worst that can come, also where rests and heads are not to repeat
 * (the address sanitizer watches). */
static void test_room_is_enough(void **state)
{
    struct fixture *f = *state;
    struct event_writer *writers = mem_zero(2, sizeof *writers);
    struct epoch *epoch = epoch_new(0);
    struct random random;

    random_init(&random, 9);
    writers[1].heads_note = writers[1].other_note = (uint32_t)1 << 31;
    for (unsigned i = 0; i < 70000; i++) { /* so that numbers of symbols take three bytes */
        char text[8];
        (void)epoch_intern(epoch, str_n(text, (size_t)snprintf(text, sizeof text, "%u", i)));
    }
    for (unsigned i = 0; i < 6000; i++) {
        make_random(f, &random, 3);
        struct span span = { .start_ns = random_u64(&random), .events = buf_str(&f->events) };
        size_t room = events_room(span.events.len);
        uint8_t *at = mem_alloc(room);
        assert_true((size_t)(events_put(&writers[i % 2], epoch, &span, at) - at) <= room);
        mem_free(at);
        arena_reset(&f->arena);
    }
    epoch_unref(&epoch);
    mem_free(writers);
}

/* Any damaged byte: what still is sound can be read, and becomes as much as it says. */
static void test_damage(void **state)
{
    struct fixture *f = *state;
    struct random random;
    unsigned seen = 0;

    random_init(&random, 11);
    for (unsigned i = 0; i < 300; i++) {
        make_random(f, &random, 4);
        const struct row *row =
            row_of(f, i % 2 ? f->raw : f->interner, buf_str(&f->events));
        for (size_t at = sizeof *row; at < row->bytes; at++) {
            struct row *copy = mem_copy(row, row->bytes);
            struct span span;
            ((uint8_t *)copy)[at] ^= (uint8_t)(1u << random_below(&random, 8));
            if (row_is_sound(copy, f->batch->epoch)) {
                row_decode(copy, f->batch->epoch, &f->arena, &span);
                assert_int_equal(span.events.len, row_events_bytes(copy));
                assert_true(row_equal(copy, f->batch->epoch, copy, f->batch->epoch));
            } else {
                seen++;
            }
            mem_free(copy);
            arena_reset(&f->arena);
        }
    }
    assert_true(seen > 1000);
}

static void test_forged_items(void **state)
{
    struct fixture *f = *state;
    static const struct { const char *name; struct str payload; bool want; } rows[] = {
        { "a symbol", STR_INIT("\x0b\x00\x00"), true }, /* the empty rest: 5a 09 time */
        { "more than said", STR_INIT("\x0a\x00\x00"), false },
        { "less than said", STR_INIT("\x0c\x00\x00"), false },
        { "no length", STR_INIT("\x00"), false },
        { "an unknown symbol", STR_INIT("\x0b\xfc\xff\xff\xff\x3f\x00"), false },
        { "a symbol of 62 bits",
          STR_INIT("\x0b\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"), false },
        { "no such item", STR_INIT("\x0b\x03\x00"), false },
        { "as received", STR_INIT("\x02\x0a\x5a\x00"), true },
        { "as received, empty", STR_INIT("\x02\x02\x0a\x5a\x00"), false },
        { "as received, cut", STR_INIT("\x7f\xfe\x03\x5a\x00"), false },
        { "pieces, none", STR_INIT("\x0b\x01\x00"), true },
        { "pieces: bytes", STR_INIT("\x0c\x05\x00\x05x"), true },
        { "pieces: too few", STR_INIT("\x0d\x09\x00\x05x"), false },
        { "pieces: too many", STR_INIT("\x0c\x05\x00\x09xy"), false },
        { "pieces: no bytes", STR_INIT("\x0c\x05\x00\x01\x05x"), false },
        { "pieces: the empty symbol", STR_INIT("\x0c\x05\x00\x02\x05x"), false },
        { "pieces: no such", STR_INIT("\x0c\x05\x00\x07x"), false },
        /* 1a 05 0a 00 12 01 x */
        { "pieces: an attribute", STR_INIT("\x12\x1d\x00\x00\x03x"), true },
        { "pieces: an attribute too long", STR_INIT("\x11\x19\x00\x00\x03x"), false },
        { "pieces: a value of 2^62",
          STR_INIT("\x12\x1d\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), false },
        { "pieces: 2^61 of them",
          STR_INIT("\x12\xfd\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x03x"), false },
        { "a length of 64 bits",
          STR_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00"), false },
    };

    (void)row_of(f, f->interner, STR("\x5a\x00"));
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        size_t bytes = (sizeof(struct row) + rows[i].payload.len + 7) & ~(size_t)7;
        struct row *row = mem_zero(1, bytes);
        row->bytes = (uint32_t)bytes;
        row->has = ROW_HAS_EVENTS;
        memcpy(row->payload, rows[i].payload.ptr, rows[i].payload.len);
        if (row_is_sound(row, f->batch->epoch) != rows[i].want)
            fail_msg("%s", rows[i].name);
        mem_free(row);
    }
}

/* --- bytes of others ------------------------------------------------------------------------ */

static void on_group(void *owner, struct str group)
{
    (void)owner;
    (void)group;
}

static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    (void)ordinal;
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct fixture *f = owner;
    struct interner *const interners[] = { f->interner, f->raw };
    struct span back;

    (void)ordinal;
    for (unsigned i = 0; i < 4; i++) {
        interner_begin(interners[i % 2], 0);
        sample_intern(interners[i % 2], span);
        struct row_batch *batch = interner_end(interners[i % 2]);
        assert_true(row_is_sound(batch_first(batch), batch->epoch));
        row_decode(batch_first(batch), batch->epoch, &f->arena, &back);
        assert_true(span_equal(span, &back));
        row_batch_free(&batch);
    }
    if (span->events.len)
        expect_exact(f, span->events, true);
}

static void scan_file(struct fixture *f, const char *path)
{
    static const struct span_visitor visitor = { on_group, on_group, on_span, on_refused };
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    char body[65536];
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    size_t len = fread(body, 1, sizeof body, file);
    fclose(file);
    (void)!otlp_scan(scanner, str_n(body, len), &visitor, f, NULL); /* Some are malformed. */
    otlp_scanner_free(&scanner);
}

static void test_fuzz_corpus(void **state)
{
    struct fixture *f = *state;
    DIR *folder = opendir(MGTEST_FUZZ_CORPUS);
    unsigned n = 0;

    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[1024];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", MGTEST_FUZZ_CORPUS, entry->d_name);
        scan_file(f, path);
        n++;
    }
    closedir(folder);
    assert_true(n >= 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_events, begin, end),
        cmocka_unit_test_setup_teardown(test_made_rests, begin, end),
        cmocka_unit_test_setup_teardown(test_repeated_events_are_small, begin, end),
        cmocka_unit_test_setup_teardown(test_pieces, begin, end),
        cmocka_unit_test_setup_teardown(test_rests_that_do_not_repeat, begin, end),
        cmocka_unit_test_setup_teardown(test_raw_is_per_kind, begin, end),
        cmocka_unit_test_setup_teardown(test_long_events, begin, end),
        cmocka_unit_test_setup_teardown(test_rows_do_not_explode, begin, end),
        cmocka_unit_test_setup_teardown(test_random_events, begin, end),
        cmocka_unit_test_setup_teardown(test_room_is_enough, begin, end),
        cmocka_unit_test_setup_teardown(test_damage, begin, end),
        cmocka_unit_test_setup_teardown(test_forged_items, begin, end),
        cmocka_unit_test_setup_teardown(test_fuzz_corpus, begin, end),
    };
    return cmocka_run_group_tests_name("row.events", tests, NULL, NULL);
}
