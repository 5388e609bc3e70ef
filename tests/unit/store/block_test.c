#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/hash.h"
#include "store/block_format.h"
#include "store/block_tags.h"
#include "store/summary.h"
#include "unit/store/rows.h"

static struct block_reader *open_block(struct str block)
{
    struct block_reader *reader = NULL;
    struct mg_why why = { "" };

    if (block_open(&reader, block, &why) != MG_OK)
        fail_msg("%s", why.text);
    return reader;
}

/* --- round trips ------------------------------------------------------------------------------ */
static bool is_repeat(const struct row *const *rows, uint32_t at)
{
    for (uint32_t k = 0; k < at; k++)
        if (row_equal(rows[k], segment_of(rows[k])->epoch, rows[at], segment_of(rows[at])->epoch))
            return true;
    return false;
}

/* Every row of the trace that is not equal to one before it, in order, is what the block gives
 * back. */
static void check_trace(struct block_reader *reader, const struct fragment *trace,
                        struct arena *arena)
{
    const struct row **rows = mem_alloc(trace->n * sizeof *rows), *row = trace->last;
    uint32_t first, n, at = 0;
    struct span *spans, want;
    struct mg_why why;

    for (uint32_t i = trace->n; i-- > 0; row = row->prev)
        rows[i] = row;
    uint32_t parts = block_find(reader, trace->trace_id, &first);
    assert_true(parts >= 1);
    for (uint32_t part = first; part < first + parts; part++) {
        if (block_decode(reader, part, arena, &spans, &n, &why) != MG_OK)
            fail_msg("%s", why.text);
        for (uint32_t i = 0; i < n; i++, at++) {
            for (;; at++) {
                assert_true(at < trace->n);
                row_decode(rows[at], segment_of(rows[at])->epoch, arena, &want);
                if (span_equal(&want, &spans[i]))
                    break;
                assert_true(is_repeat(rows, at));
            }
        }
    }
    for (; at < trace->n; at++)
        assert_true(is_repeat(rows, at));
    mem_free(rows);
}

static void check_built(const struct block_built *built, const struct fragment *traces, size_t n)
{
    struct block_reader *reader = open_block(built->block);
    struct arena arena = { 0 };
    struct mg_why why = { "" };

    assert_int_equal(block_n_rows(reader), built->rows);
    assert_int_equal(block_n_fragments(reader), built->fragments);
    for (size_t i = 0; i < n; i++) {
        check_trace(reader, &traces[i], &arena);
        arena_reset(&arena);
    }
    block_close(&reader);
    arena_fini(&arena);
    if (block_check(built->block, built->summary, built->run, &why) != MG_OK)
        fail_msg("%s", why.text);
}

static void build(struct block_builder *builder, const struct rows *rows, struct block_built *built)
{
    for (size_t i = 0; i < rows->traces.n; i++)
        block_add(builder, &rows->traces.at[i]);
    block_finish(builder, 7, built);
}

/* One block of all rows, checked. */
static void check_rows(const struct rows *rows, uint64_t duplicates)
{
    struct block_builder *builder = block_builder_new();
    struct block_built built;

    build(builder, rows, &built);
    assert_int_equal(built.rows + built.duplicates, rows->all.n);
    if (duplicates != UINT64_MAX)
        assert_int_equal(built.duplicates, duplicates);
    check_built(&built, rows->traces.at, rows->traces.n);
    block_builder_free(&builder);
}

static void add_corpus(struct rows *rows, struct str rest)
{
    struct str body;

    for (unsigned i = 0; corpus_next(&rest, &body); i++) {
        rows->loop = i & 1;
        rows_body(rows, body);
    }
}

static void test_corpus_round_trip(void **state)
{
    struct block_builder *builder = block_builder_new();
    struct block_built built;
    struct str corpus;
    struct rows rows;
    size_t first = 0, stored = 0;

    (void)state;
    if (!corpus_load(&corpus)) {
        block_builder_free(&builder);
        skip();
    }
    rows_init(&rows);
    add_corpus(&rows, corpus);
    for (size_t i = 0; i < rows.traces.n; i++) {
        block_add(builder, &rows.traces.at[i]);
        if (block_rows(builder) < 20000 && i + 1 < rows.traces.n)
            continue;
        block_finish(builder, 7, &built);
        check_built(&built, &rows.traces.at[first], i + 1 - first);
        stored += built.rows + built.duplicates;
        first = i + 1;
    }
    assert_int_equal(stored, rows.all.n);
    rows_fini(&rows);
    block_builder_free(&builder);
    mem_free((void *)(uintptr_t)corpus.ptr);
}

static void add_random(struct rows *rows, uint64_t seed, unsigned spans, unsigned traces)
{
    struct arena arena = { 0 };
    struct random random;
    struct span span;

    random_init(&random, seed);
    for (unsigned i = 0; i < spans; i++) {
        rows->loop = (unsigned)random_below(&random, 2);
        random_span(&random, traces, &arena, &span);
        rows_span(rows, &span);
        if (random_below(&random, 4) == 0) /* sent again, perhaps through the other loop */
            rows->loop = (unsigned)random_below(&random, 2), rows_span(rows, &span);
        arena_reset(&arena);
    }
    arena_fini(&arena);
}

static void test_odd_spans_round_trip(void **state)
{
    struct rows rows;

    (void)state;
    rows_init(&rows);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        add_random(&rows, seed, (unsigned)seed * 7, 1 + (unsigned)seed / 3);
        check_rows(&rows, UINT64_MAX);
        rows_forget(&rows);
    }
    rows_fini(&rows);
}

static void test_builder_starts_anew(void **state)
{
    struct block_builder *builder = block_builder_new();
    struct block_built built;
    struct rows rows;
    char *first;
    size_t first_len;

    (void)state;
    rows_init(&rows);
    add_random(&rows, 5, 200, 20);
    build(builder, &rows, &built);
    first = mem_copy(built.block.ptr, built.block.len);
    first_len = built.block.len;
    assert_int_equal(block_rows(builder), 0);
    assert_int_equal(block_raw_bytes(builder), 0);
    build(builder, &rows, &built);
    assert_int_equal(built.block.len, first_len);
    assert_memory_equal(built.block.ptr, first, first_len);
    mem_free(first);
    rows_fini(&rows);
    block_builder_free(&builder);
}

/* --- duplicates, parents, cuts ---------------------------------------------------------------- */
static struct span plain_span(uint64_t trace, uint64_t id, uint64_t parent)
{
    struct span span = {
        .start_ns = 1000 + id,
        .end_ns = 2000 + id,
        .name = STR("op"),
        .kind = SPAN_SERVER,
        .trace_state = STR(""),
        .status_message = STR(""),
        .events = STR(""),
        .links = STR(""),
        .unknown = STR(""),
        .resource = STR(""),
        .scope = STR(""),
    };

    put_le64(span.trace_id, trace);
    put_le64(span.span_id, id);
    put_le64(span.parent_id, parent);
    return span;
}

static void test_equal_spans_once(void **state)
{
    struct attr attr = { STR("key"), { .type = VALUE_STRING, .str = STR("value") } };
    struct span span = plain_span(1, 5, 0), other = span;
    struct rows rows;

    (void)state;
    span.attrs = &attr;
    span.n_attrs = 1;
    other.end_ns++;
    rows_init(&rows);
    for (unsigned i = 0; i < 3; i++) {
        rows.loop = i & 1;
        rows_span(&rows, &span); /* equal in different epochs too */
    }
    rows_span(&rows, &other); /* the same id, another end */
    rows_span(&rows, &other);
    check_rows(&rows, 3);
    rows_fini(&rows);
}

static void test_equal_span_of_another_trace_stays(void **state)
{
    struct span a = plain_span(1, 5, 0), b = plain_span(2, 5, 0);
    struct rows rows;

    (void)state;
    rows_init(&rows);
    rows_span(&rows, &a);
    rows_span(&rows, &b);
    check_rows(&rows, 0);
    rows_fini(&rows);
}

/* Quadratic work would take minutes. */
static void test_one_id_for_all(void **state)
{
    struct rows rows;

    (void)state;
    rows_init(&rows);
    for (uint64_t i = 0; i < 20000; i++) {
        struct span span = plain_span(1, 9, 9);
        span.start_ns = i / 2;
        rows_span(&rows, &span);
    }
    struct block_builder *builder = block_builder_new();
    struct block_built built;
    build(builder, &rows, &built);
    assert_int_equal(built.rows, 10000);
    assert_int_equal(built.duplicates, 10000);
    block_builder_free(&builder);
    rows_fini(&rows);
}

static void test_parents(void **state)
{
    static const struct {
        uint64_t id, parent;
    } cases[] = {
        { 1, 0 },  /* root */
        { 2, 1 },  /* before */
        { 3, 4 },  /* after */
        { 4, 3 },  /* a ring of two */
        { 5, 5 },  /* itself */
        { 6, 99 }, /* not here */
        { 2, 6 },  /* an id twice */
        { 7, 2 },
    };
    struct rows rows;

    (void)state;
    rows_init(&rows);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct span span = plain_span(1, cases[i].id, cases[i].parent);
        rows_span(&rows, &span);
    }
    check_rows(&rows, 0);
    rows_fini(&rows);
}

static void check_cut(uint32_t n, uint32_t want_parts)
{
    struct block_builder *builder = block_builder_new();
    struct block_built built;
    struct arena arena = { 0 };
    struct rows rows;
    struct span *spans;
    uint32_t first, got, at = 0;

    rows_init(&rows);
    for (uint64_t i = 0; i < n; i++) { /* each is a child of one in the other half */
        struct span span = plain_span(1, i + 1, (i + n / 2) % n + 1);
        rows_span(&rows, &span);
    }
    build(builder, &rows, &built);
    assert_int_equal(built.rows, n);
    assert_int_equal(built.fragments, want_parts);
    struct block_reader *reader = open_block(built.block);
    assert_int_equal(block_find(reader, rows.traces.at[0].trace_id, &first), want_parts);
    for (uint32_t part = 0; part < want_parts; part++) {
        assert_int_equal(block_decode(reader, first + part, &arena, &spans, &got, NULL), MG_OK);
        for (uint32_t i = 0; i < got; i++, at++) {
            assert_int_equal(get_le64(spans[i].span_id), at + 1);
            assert_int_equal(get_le64(spans[i].parent_id), (at + n / 2) % n + 1);
        }
        arena_reset(&arena);
    }
    assert_int_equal(at, n);
    block_close(&reader);
    arena_fini(&arena);
    rows_fini(&rows);
    block_builder_free(&builder);
}

static void test_long_fragments_are_cut(void **state)
{
    (void)state;
    check_cut(BLOCK_FRAGMENT_ROWS_MAX - 1, 1);
    check_cut(BLOCK_FRAGMENT_ROWS_MAX, 1);
    check_cut(BLOCK_FRAGMENT_ROWS_MAX + 1, 2);
}

static void check_value_cut(uint32_t n, uint32_t want_parts)
{
    struct block_builder *builder = block_builder_new();
    struct attr *attrs = mem_zero(4000, sizeof *attrs);
    struct block_built built;
    struct rows rows;

    for (size_t i = 0; i < 4000; i++)
        attrs[i] = (struct attr){ STR("k"), { .type = VALUE_BOOL, .b = i & 1 } };
    rows_init(&rows);
    for (uint64_t i = 0; i < n; i++) {
        struct span span = plain_span(1, i + 1, 1);
        span.attrs = attrs;
        span.n_attrs = 4000;
        rows_span(&rows, &span);
    }
    build(builder, &rows, &built);
    assert_int_equal(built.rows, n);
    assert_int_equal(built.fragments, want_parts);
    assert_int_equal(block_check(built.block, built.summary, built.run, NULL), MG_OK);
    rows_fini(&rows);
    block_builder_free(&builder);
    mem_free(attrs);
}

static void test_fragments_of_many_values_are_cut(void **state)
{
    (void)state;
    check_value_cut(BLOCK_FRAGMENT_VALUES_MAX / 4000, 1);
    check_value_cut(BLOCK_FRAGMENT_VALUES_MAX / 4000 + 1, 2);
}

static void test_late_fragments_in_order(void **state)
{
    struct block_builder *builder = block_builder_new();
    struct block_built built;
    struct rows rows;
    struct block_fragment info;
    uint8_t trace_id[16] = { 7 };
    uint32_t first;

    (void)state;
    rows_init(&rows);
    for (uint64_t i = 0; i < 3; i++) {
        struct span a = plain_span(7, i + 1, 0), b = plain_span(100 + i, 1, 0);
        rows_span(&rows, &a);
        rows_span(&rows, &b);
    }
    struct fragment late = rows.traces.at[0]; /* three rows of trace 7, as three decisions */
    const struct row *row = late.last;
    for (uint64_t i = 3; i-- > 0; row = row->prev)
        block_add(builder, &(struct fragment){
                               .trace_id = { 7 }, .last = row, .n = 1, .position = 100 - i });
    block_finish(builder, 0, &built);
    struct block_reader *reader = open_block(built.block);
    assert_int_equal(block_find(reader, late.trace_id, &first), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(block_fragment_info(reader, first + i, &info), MG_OK);
        assert_int_equal(info.rows, 1);
        assert_int_equal(info.position, 98 + i);
        assert_int_equal(info.outcome, 0);
        assert_int_equal(info.votes.len, 0);
        assert_memory_equal(info.trace_id, late.trace_id, 16);
    }
    trace_id[15] = 1;
    assert_int_equal(block_find(reader, trace_id, &first), 0);
    block_close(&reader);
    block_builder_free(&builder);
    rows_fini(&rows);
}

/* --- outcomes and votes ----------------------------------------------------------------------- */
static uint64_t word_of(unsigned i)
{
    static const uint64_t thresholds[] = { 0, UINT64_C(0x80000000000000), UINT64_C(0xe6660000000000) };

    return outcome_pack(&(struct outcome){ .verdict = VERDICT_KEPT,
                                           .trigger = TRIGGER_ROOT + i % 5,
                                           .reason = 1 + i % 3,
                                           .policy = (uint8_t)i,
                                           .threshold = thresholds[i % 3],
                                           .rules = 1 + i });
}

static void build_decided(struct rows *rows, unsigned n, bool outcomes, bool votes,
                          struct block_builder *builder, struct block_built *built)
{
    static const char bits[] = "\x1b\xe4\x02\x40";

    for (uint64_t i = 0; i < n; i++) {
        struct span span = plain_span(i, i + 1, 0);
        rows_span(rows, &span);
    }
    for (unsigned i = 0; i < n; i++) {
        struct fragment fragment = rows->traces.at[i];
        fragment.outcome = outcomes && i % 4 ? word_of(i) : 0;
        fragment.votes = votes ? str_n(bits, i % 5) : STR("");
        block_add(builder, &fragment);
    }
    block_finish(builder, 0, built);
}

static bool has_segment(struct str block, uint8_t kind)
{
    uint32_t n = get_le32(block.ptr + 20);

    for (uint32_t i = 0; i < n; i++)
        if ((uint8_t)block.ptr[BLOCK_HEADER_BYTES + i * BLOCK_ENTRY_BYTES] == kind)
            return true;
    return false;
}

static void outcomes_and_votes_come_back(void **state)
{
    struct block_builder *builder = block_builder_new();
    struct mg_why why;

    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct block_built built;
        struct rows rows;
        bool outcomes = kind & 1, votes = kind & 2;
        rows_init(&rows);
        build_decided(&rows, 200, outcomes, votes, builder, &built);
        assert_int_equal(has_segment(built.block, SEG_OUTCOMES), outcomes);
        assert_int_equal(has_segment(built.block, SEG_VOTES), votes);
        if (block_check(built.block, built.summary, built.run, &why) != MG_OK)
            fail_msg("%s", why.text);
        struct block_reader *reader = open_block(built.block);
        for (unsigned i = 0; i < 200; i++) {
            struct block_fragment info;
            uint32_t first;
            assert_int_equal(block_find(reader, rows.traces.at[i].trace_id, &first), 1);
            assert_int_equal(block_fragment_info(reader, first, &info), MG_OK);
            assert_int_equal(info.outcome, outcomes && i % 4 ? word_of(i) : 0);
            assert_int_equal(info.votes.len, votes ? i % 5 : 0);
            assert_memory_equal(info.votes.ptr, "\x1b\xe4\x02\x40", info.votes.len);
        }
        block_close(&reader);
        rows_fini(&rows);
    }
    block_builder_free(&builder);
}

static bool stop_at_third(void *owner, const uint8_t trace_id[16], uint64_t outcome)
{
    (void)trace_id;
    (void)outcome;
    return ++*(unsigned *)owner < 3;
}

static void outcomes_are_told_until_it_is_enough(void **state)
{
    struct block_builder *builder = block_builder_new();
    struct block_built built;
    struct rows rows;
    unsigned n = 0;

    (void)state;
    rows_init(&rows);
    build_decided(&rows, 20, true, false, builder, &built);
    struct block_reader *reader = open_block(built.block);
    assert_int_equal(block_outcomes(reader, stop_at_third, &n, NULL), MG_OK);
    assert_int_equal(n, 3);
    block_close(&reader);
    rows_fini(&rows);
    block_builder_free(&builder);
}

/* What a dropped trace, or nothing, packs to is no outcome of a block. */
static void an_outcome_that_is_none_is_found(void **state)
{
    static const uint64_t words[] = { UINT64_C(1) << 63, 1, 2, UINT64_MAX };
    struct block_builder *builder = block_builder_new();
    struct outcome dropped = { .verdict = VERDICT_DROPPED, .trigger = TRIGGER_ROOT, .reason = REASON_NO_POLICY };
    struct mg_why why;

    (void)state;
    for (size_t i = 0; i <= MG_COUNT(words); i++) {
        struct block_built built;
        struct rows rows;
        rows_init(&rows);
        struct span span = plain_span(1, 1, 0);
        rows_span(&rows, &span);
        rows.traces.at[0].outcome = i < MG_COUNT(words) ? words[i] : outcome_pack(&dropped);
        block_add(builder, &rows.traces.at[0]);
        block_finish(builder, 0, &built);
        assert_int_equal(block_check(built.block, built.summary, built.run, &why), MG_E_FORMAT);
        assert_non_null(strstr(why.text, "has an outcome that is none"));
        rows_fini(&rows);
    }
    block_builder_free(&builder);
}

/* --- too many keys ---------------------------------------------------------------------------- */
static void add_keys(struct rows *rows, uint64_t trace, uint32_t from, uint32_t n)
{
    struct span span = plain_span(trace, trace, 0);
    struct attr *attrs = mem_zero(n, sizeof *attrs);
    struct arena arena = { 0 };

    for (uint32_t i = 0; i < n; i++)
        attrs[i] = (struct attr){ arena_printf(&arena, "key %u", from + i),
                                  { .type = VALUE_STRING,
                                    .str = arena_printf(&arena, "value %u", from + i) } };
    span.attrs = attrs;
    span.n_attrs = n;
    rows_span(rows, &span);
    mem_free(attrs);
    arena_fini(&arena);
}

static bool on_hit(void *owner, const uint8_t trace_id[16], uint64_t start_ns)
{
    (void)start_ns;
    *(uint64_t *)owner = get_le64(trace_id);
    return true;
}

static void check_keys(uint32_t n)
{
    struct block_builder *builder = block_builder_new();
    struct block_built built;
    struct rows rows;
    uint64_t hit = 0;

    rows_init(&rows);
    add_keys(&rows, 1, 0, 10);
    add_keys(&rows, 2, 0, n);
    add_keys(&rows, 3, 5, 5);
    add_keys(&rows, 4, n - 1, 3);
    build(builder, &rows, &built);
    check_built(&built, rows.traces.at, rows.traces.n);
    struct block_reader *reader = open_block(built.block);
    struct filter_tag tag = { .key = STR("key 1000"), .value = STR("value 1000") };
    struct span_filter filter = {
        .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX, .tags = &tag, .n_tags = 1
    };
    assert_int_equal(block_search(reader, &filter, on_hit, &hit, NULL), MG_OK);
    assert_int_equal(hit, 2);
    block_close(&reader);
    rows_fini(&rows);
    block_builder_free(&builder);
}

static void test_too_many_keys(void **state)
{
    (void)state;
    check_keys(BLOCK_COLUMNS_MAX - 2);
    check_keys(BLOCK_COLUMNS_MAX - 1);
    check_keys(BLOCK_COLUMNS_MAX);
    check_keys(4000);
}

/* --- damage ----------------------------------------------------------------------------------- */
/* Makes checksums right again, as somebody who means it would. */
static void reseal(char *block, size_t len)
{
    uint32_t n = get_le32(block + 20);
    struct hash64_stream *stream = hash64_new();

    if (n <= (len - BLOCK_HEADER_BYTES) / BLOCK_ENTRY_BYTES) {
        for (uint32_t i = 0; i < n; i++) {
            char *entry = block + BLOCK_HEADER_BYTES + i * BLOCK_ENTRY_BYTES;
            uint32_t offset = get_le32(entry + 8), packed = get_le32(entry + 12);
            if (offset <= len && packed <= len - offset)
                put_le64(entry + 24, hash64(block + offset, packed, BLOCK_SEED_SEGMENT));
        }
        hash64_begin(stream, BLOCK_SEED_HEAD);
        hash64_add(stream, block, 24);
        hash64_add(stream, block + BLOCK_HEADER_BYTES, (size_t)n * BLOCK_ENTRY_BYTES);
        put_le64(block + 24, hash64_end(stream));
    }
    hash64_free(&stream);
}

static bool tell_all(struct block_reader *reader)
{
    struct told *told = told_new();
    struct buf bytes;

    buf_init(&bytes, 1 << 20);
    bool is_fine = reader_tell(reader, told, NULL) == MG_OK;
    told_write(told, &bytes);
    buf_fini(&bytes);
    told_free(&told);
    return is_fine;
}

/* Everything a reader can be asked. */
static bool read_all(struct str block)
{
    static const struct filter_tag tags[] = { { .key = STR_INIT("k"), .value = STR_INIT("42") },
                                              { .key = STR_INIT("error"), .value = STR_INIT("true") } };
    struct span_filter filter = { .start_max_ns = UINT64_MAX,
                                  .duration_max_ns = UINT64_MAX,
                                  .operation = STR("GET") };
    struct block_reader *reader = NULL;
    uint64_t hit;
    bool is_fine = block_check(block, STR(""), STR(""), NULL) == MG_OK;

    if (block_open(&reader, block, NULL) != MG_OK)
        return false;
    is_fine &= tell_all(reader);
    is_fine &= block_search(reader, &filter, on_hit, &hit, NULL) == MG_OK;
    for (size_t i = 0; i < MG_COUNT(tags); i++) {
        filter = (struct span_filter){
            .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX, .tags = &tags[i], .n_tags = 1
        };
        is_fine &= block_search(reader, &filter, on_hit, &hit, NULL) == MG_OK;
    }
    block_close(&reader);
    return is_fine;
}

/* A copy of exactly that many bytes, so that a sanitizer sees a step too far. */
struct small {
    char *block;
    size_t len;
    struct rows rows;
};

static void small_init(struct small *small)
{
    struct block_builder *builder = block_builder_new();
    struct block_built built;

    rows_init(&small->rows);
    add_random(&small->rows, 3, 12, 3);
    build(builder, &small->rows, &built);
    small->block = mem_copy(built.block.ptr, built.block.len);
    small->len = built.block.len;
    block_builder_free(&builder);
    assert_true(read_all(str_n(small->block, small->len)));
}

static void small_fini(struct small *small)
{
    mem_free(small->block);
    rows_fini(&small->rows);
}

static bool is_padding(const struct small *small, size_t at)
{
    uint32_t n = get_le32(small->block + 20);

    if (at < BLOCK_HEADER_BYTES + n * BLOCK_ENTRY_BYTES)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const char *entry = small->block + BLOCK_HEADER_BYTES + i * BLOCK_ENTRY_BYTES;
        if (at >= get_le32(entry + 8) && at < get_le32(entry + 8) + get_le32(entry + 12))
            return false;
    }
    return true;
}

static void test_each_flipped_byte_is_told(void **state)
{
    struct small small;

    (void)state;
    small_init(&small);
    for (size_t i = 0; i < small.len; i++) {
        small.block[i] ^= 0x41;
        assert_int_equal(read_all(str_n(small.block, small.len)), is_padding(&small, i));
        small.block[i] ^= 0x41;
    }
    small_fini(&small);
}

static void test_forged_bytes_do_no_harm(void **state)
{
    static const uint8_t masks[] = { 0x01, 0x80, 0xff, 0x10 };
    struct small small;

    (void)state;
    small_init(&small);
    char *forged = mem_alloc(small.len);
    for (size_t i = 0; i < small.len; i++) {
        for (size_t k = 0; k < MG_COUNT(masks); k++) {
            memcpy(forged, small.block, small.len);
            forged[i] = (char)(forged[i] ^ masks[k]);
            reseal(forged, small.len);
            (void)read_all(str_n(forged, small.len)); /* either answer is fine */
        }
    }
    mem_free(forged);
    small_fini(&small);
}

/* The parent of the only row of its fragment: a row of the next fragment, and one far away. */
static void test_parent_outside_its_fragment(void **state)
{
    static const uint16_t parents[] = { 2, 64999 };
    struct block_builder *builder = block_builder_new();
    struct block_built built;
    struct rows rows;

    (void)state;
    rows_init(&rows);
    for (uint64_t i = 1; i <= 3; i++) {
        struct span span = plain_span(i, i, i);
        rows_span(&rows, &span);
    }
    build(builder, &rows, &built);
    for (size_t k = 0; k < MG_COUNT(parents); k++) {
        char *block = mem_copy(built.block.ptr, built.block.len), *entry = block + BLOCK_HEADER_BYTES;
        while (entry[0] != SEG_PARENTS)
            entry += BLOCK_ENTRY_BYTES;
        assert_int_equal(entry[1], CODEC_RAW);
        char *planes = block + get_le32(entry + 8);
        planes[0] = (char)parents[k];
        planes[3] = (char)(parents[k] >> 8);
        reseal(block, built.block.len);
        assert_int_equal(block_check(str_n(block, built.block.len), STR(""), STR(""), NULL),
                         MG_E_FORMAT);
        mem_free(block);
    }
    rows_fini(&rows);
    block_builder_free(&builder);
}

static void test_cut_blocks(void **state)
{
    struct small small;

    (void)state;
    small_init(&small);
    for (size_t len = 0; len < small.len; len++) {
        char *cut = mem_copy(small.block, len);
        if (len >= BLOCK_HEADER_BYTES)
            reseal(cut, len);
        assert_false(read_all(str_n(cut, len)));
        mem_free(cut);
    }
    small_fini(&small);
}

static void test_check_compares(void **state)
{
    struct block_builder *builder = block_builder_new();
    struct block_built built;
    struct summary said;
    struct rows rows;

    (void)state;
    rows_init(&rows);
    add_random(&rows, 4, 30, 5);
    build(builder, &rows, &built);
    assert_int_equal(block_check(built.block, built.summary, built.run, NULL), MG_OK);
    assert_int_equal(summary_read(built.summary, &said), MG_OK);
    size_t attributes = built.summary.len - said.attributes.len - varint_len(said.attributes.len) - 1; /* the last */
    assert_int_equal(built.summary.ptr[attributes], SUMMARY_ATTRIBUTES);
    for (size_t i = 0; i < built.summary.len; i++) {
        char *summary = mem_copy(built.summary.ptr, built.summary.len);
        summary[i] ^= 1;
        /* The commit's time is not in the block: it may say anything. Attributes under a tag that is not known look
         * like a block of an earlier version, which has none. */
        if ((i >= 2 && summary[i - 2] == SUMMARY_WALL && summary[i - 1] == 1 && summary[i] == 6) || i == attributes) {
            mem_free(summary);
            continue;
        }
        assert_int_equal(
            block_check(built.block, str_n(summary, built.summary.len), built.run, NULL),
            MG_E_FORMAT);
        mem_free(summary);
    }
    assert_int_equal(
        block_check(built.block, built.summary, str_n(built.run.ptr, built.run.len - 4), NULL),
        MG_E_FORMAT);
    rows_fini(&rows);
    block_builder_free(&builder);
}

/* --- runs, bytes ------------------------------------------------------------------------------ */
static void test_runs(void **state)
{
    static const uint8_t run[] = { 5, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 0, 1, 0, 0 };
    static const struct {
        uint32_t fingerprint;
        bool want;
    } cases[] = {
        { 5, true },  { 9, true },   { 256, true },         { 0, false },
        { 6, false }, { 10, false }, { UINT32_MAX, false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_int_equal(run_may_hold(str_n(run, sizeof run), cases[i].fingerprint), cases[i].want);
    assert_false(run_may_hold(STR(""), 5));
    assert_false(run_may_hold(str_n(run, 3), 5));
    assert_true(run_may_hold(str_n(run, 7), 5)); /* a cut entry is not looked at */
}

static void add_bytes(void *owner, const char *name, uint64_t packed, uint64_t raw)
{
    (void)raw;
    assert_true(name[0] != '\0');
    *(uint64_t *)owner += packed;
}

static void test_stats_add_up(void **state)
{
    struct small small;
    uint64_t bytes = 0, padding = 0;

    (void)state;
    small_init(&small);
    assert_int_equal(block_stats(str_n(small.block, small.len), add_bytes, &bytes, NULL), MG_OK);
    for (size_t i = 0; i < small.len; i++)
        padding += is_padding(&small, i);
    assert_int_equal(bytes + padding, small.len);
    assert_int_equal(block_stats(str_n(small.block, 40), add_bytes, &bytes, NULL), MG_E_FORMAT);
    small_fini(&small);
}

/* --- MGTEST_SEEDS=folder: small blocks for the fuzz corpus --------------------------------- */
static void test_write_seeds(void **state)
{
    const char *folder = getenv("MGTEST_SEEDS");

    (void)state;
    for (unsigned i = 1; folder && i <= 6; i++) {
        struct block_builder *builder = block_builder_new();
        struct block_built built;
        struct rows rows;
        char path[4096];
        rows_init(&rows);
        if (i == 6)
            add_keys(&rows, 1, 0, 40);
        else
            add_random(&rows, 70 + i, i * i, i);
        build(builder, &rows, &built);
        (void)snprintf(path, sizeof path, "%s/block-%u", folder, i);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(built.block.ptr, 1, built.block.len, file), built.block.len);
        assert_int_equal(fclose(file), 0);
        rows_fini(&rows);
        block_builder_free(&builder);
    }
    if (!folder)
        skip();
}

/* --- MGTEST_BENCH=1 ------------------------------------------------------------------------ */
struct bench {
    struct rows rows;
    struct block_builder *builder;
    struct block_built built;
    uint64_t add_ns, finish_ns, bytes, n;
    struct {
        char name[64];
        uint64_t packed;
    } segments[512];
    size_t n_segments;
};

static void add_segment(void *owner, const char *name, uint64_t packed, uint64_t raw)
{
    struct bench *b = owner;
    size_t i = 0;

    (void)raw;
    while (i < b->n_segments && strncmp(b->segments[i].name, name, 63) != 0)
        i++;
    if (i == b->n_segments && i < MG_COUNT(b->segments))
        (void)snprintf(b->segments[b->n_segments++].name, 64, "%s", name);
    if (i < MG_COUNT(b->segments))
        b->segments[i].packed += packed;
}

static void bench_fetch(struct bench *b)
{
    struct arena arena = { 0 };
    struct span *spans;
    uint32_t n;
    uint64_t begin = clock_thread_cpu_ns(), rounds = 50;

    for (uint32_t i = 0; i < rounds; i++) {
        struct block_reader *reader = open_block(b->built.block);
        assert_int_equal(
            block_decode(reader, i * 7 % block_n_fragments(reader), &arena, &spans, &n, NULL),
            MG_OK);
        block_close(&reader);
        arena_reset(&arena);
    }
    printf("fetch of one trace from a block of %u: %.3f ms\n", b->built.rows,
           (double)(clock_thread_cpu_ns() - begin) / 1e6 / (double)rounds);
    begin = clock_thread_cpu_ns();
    struct block_reader *reader = open_block(b->built.block);
    for (uint32_t i = 0; i < block_n_fragments(reader); i++) {
        assert_int_equal(block_decode(reader, i, &arena, &spans, &n, NULL), MG_OK);
        arena_reset(&arena);
    }
    printf("decode of all: %.0f ns a span\n",
           (double)(clock_thread_cpu_ns() - begin) / b->built.rows);
    block_close(&reader);
    arena_fini(&arena);
}

static bool count_hit(void *owner, const uint8_t trace_id[16], uint64_t start_ns)
{
    (void)trace_id;
    (void)start_ns;
    ++*(uint64_t *)owner;
    return true;
}

static void bench_search(struct bench *b)
{
    static const struct {
        const char *name;
        struct span_filter filter;
        struct filter_tag tag;
    } cases[] = {
        { "service absent", { .service = STR_INIT("nobody") }, { .key = { 0 } } },
        { "service", { .service = STR_INIT("frontend") }, { .key = { 0 } } },
        { "service, over 1 s",
          { .service = STR_INIT("frontend"), .duration_min_ns = 1000000000 },
          { .key = { 0 } } },
        { "status 500", { .service = { 0 } }, { .key = STR_INIT("http.status_code"), .value = STR_INIT("500") } },
        { "absent value", { .service = { 0 } }, { .key = STR_INIT("http.method"), .value = STR_INIT("BREW") } },
        { "absent key", { .service = { 0 } }, { .key = STR_INIT("no.such.key"), .value = STR_INIT("x") } },
        { "error", { .service = { 0 } }, { .key = STR_INIT("error"), .value = STR_INIT("true") } },
    };

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct span_filter filter = cases[i].filter;
        uint64_t hits = 0, begin = clock_thread_cpu_ns(), rounds = 50;
        filter.start_max_ns = filter.duration_max_ns = UINT64_MAX;
        filter.tags = &cases[i].tag;
        filter.n_tags = cases[i].tag.key.len ? 1 : 0;
        for (uint64_t k = 0; k < rounds; k++) {
            struct block_reader *reader = open_block(b->built.block);
            assert_int_equal(block_search(reader, &filter, count_hit, &hits, NULL), MG_OK);
            block_close(&reader);
        }
        printf("search, %s: %.2f ns a span, %lu hits\n", cases[i].name,
               (double)(clock_thread_cpu_ns() - begin) / (double)(rounds * b->built.rows),
               (unsigned long)(hits / rounds));
    }
}

static void bench_build(struct bench *b, bool is_first)
{
    for (size_t i = 0; i < b->rows.traces.n; i++) {
        uint64_t begin = clock_thread_cpu_ns();
        for (; i < b->rows.traces.n && block_rows(b->builder) < 20000; i++)
            block_add(b->builder, &b->rows.traces.at[i]);
        i--;
        b->add_ns += clock_thread_cpu_ns() - begin;
        bool is_full = block_rows(b->builder) >= 20000;
        begin = clock_thread_cpu_ns();
        block_finish(b->builder, 7, &b->built);
        b->finish_ns += clock_thread_cpu_ns() - begin;
        b->bytes += b->built.block.len + b->built.summary.len + b->built.run.len;
        b->n += b->built.rows;
        if (!is_first)
            continue;
        assert_int_equal(block_stats(b->built.block, add_segment, b, NULL), MG_OK);
        add_segment(b, "summary", b->built.summary.len, 0);
        add_segment(b, "run", b->built.run.len, 0);
        if (is_full && b->n >= 40000 && b->n < 60000) {
            bench_fetch(b);
            bench_search(b);
        }
    }
}

static void test_bench(void **state)
{
    struct str corpus;
    struct bench *b;

    (void)state;
    if (!getenv("MGTEST_BENCH") || !corpus_load(&corpus))
        skip();
    b = mem_zero(1, sizeof *b);
    rows_init(&b->rows);
    add_corpus(&b->rows, corpus);
    b->builder = block_builder_new();
    bench_build(b, true);
    printf("%lu spans: add %.0f, finish %.0f ns a span, %.2f B a span\n", (unsigned long)b->n,
           (double)b->add_ns / (double)b->n, (double)b->finish_ns / (double)b->n,
           (double)b->bytes / (double)b->n);
    for (size_t i = 0; i < b->n_segments; i++)
        if (b->segments[i].packed > b->n / 20)
            printf("  %6.2f B  %s\n", (double)b->segments[i].packed / (double)b->n,
                   b->segments[i].name);
    b->add_ns = b->finish_ns = b->n = b->bytes = 0;
    for (int i = 0; i < 20; i++)
        bench_build(b, false);
    printf("again, 20 times: add %.0f, finish %.0f ns a span\n", (double)b->add_ns / (double)b->n,
           (double)b->finish_ns / (double)b->n);
    block_builder_free(&b->builder);
    rows_fini(&b->rows);
    mem_free(b);
    mem_free((void *)(uintptr_t)corpus.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_and_votes_come_back),
        cmocka_unit_test(outcomes_are_told_until_it_is_enough),
        cmocka_unit_test(an_outcome_that_is_none_is_found),
        cmocka_unit_test(test_corpus_round_trip),
        cmocka_unit_test(test_odd_spans_round_trip),
        cmocka_unit_test(test_builder_starts_anew),
        cmocka_unit_test(test_equal_spans_once),
        cmocka_unit_test(test_equal_span_of_another_trace_stays),
        cmocka_unit_test(test_one_id_for_all),
        cmocka_unit_test(test_parents),
        cmocka_unit_test(test_long_fragments_are_cut),
        cmocka_unit_test(test_fragments_of_many_values_are_cut),
        cmocka_unit_test(test_late_fragments_in_order),
        cmocka_unit_test(test_too_many_keys),
        cmocka_unit_test(test_each_flipped_byte_is_told),
        cmocka_unit_test(test_forged_bytes_do_no_harm),
        cmocka_unit_test(test_parent_outside_its_fragment),
        cmocka_unit_test(test_cut_blocks),
        cmocka_unit_test(test_check_compares),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_stats_add_up),
        cmocka_unit_test(test_write_seeds),
        cmocka_unit_test(test_bench),
    };

    if (getenv("MGTEST_SEEDS"))
        cmocka_set_test_filter("test_write_seeds");
    if (getenv("MGTEST_BENCH"))
        cmocka_set_test_filter("test_bench");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
