#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "model/otlp_write.h"
#include "store/filter.h"
#include "store/summary.h"
#include "unit/store/rows.h"

#define ANY .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX

/* --- one span, many questions ----------------------------------------------------------------- */
struct fixture {
    struct span span;
    struct buf resource, scope, events, links, array;
    struct attr attrs[9];
    struct buf scratch;
    struct arena arena;
};

static void put_text_attr(struct buf *out, uint32_t field, const char *key, struct str text)
{
    struct attr attr = { str_of(key), { .type = VALUE_STRING, .str = text } };

    otlp_put_attr(out, field, &attr);
}

static void fill_attrs(struct fixture *f)
{
    size_t value = wire_open(&f->array, 1);
    wire_put_bytes(&f->array, 1, STR("x"));
    wire_close(&f->array, value);
    f->attrs[0] = (struct attr){ STR("http.method"), { .type = VALUE_STRING, .str = STR("GET") } };
    f->attrs[1] = (struct attr){ STR("http.status_code"), { .type = VALUE_INT, .i = 404 } };
    f->attrs[2] = (struct attr){ STR("ratio"), { .type = VALUE_DOUBLE, .d = 0.5 } };
    f->attrs[3] = (struct attr){ STR("retry"), { .type = VALUE_BOOL, .b = true } };
    f->attrs[4] = (struct attr){ STR("list"), { .type = VALUE_ARRAY, .raw = buf_str(&f->array) } };
    f->attrs[5] = (struct attr){ STR("raw"), { .type = VALUE_BYTES, .str = STR("\x00\xff") } };
    f->attrs[6] = (struct attr){ STR("nothing"), { .type = VALUE_EMPTY } };
    f->attrs[7] = (struct attr){ STR("bad"), { .type = VALUE_STRING, .str = STR("a\xff") } };
    f->attrs[8] =
        (struct attr){ STR("http.method"), { .type = VALUE_STRING, .str = STR("again") } };
}

static void fixture_init(struct fixture *f)
{
    struct buf *bufs[] = { &f->resource, &f->scope, &f->events, &f->links, &f->array };

    *f = (struct fixture){ .arena = { 0 } };
    for (size_t i = 0; i < MG_COUNT(bufs); i++)
        buf_init(bufs[i], 4096);
    buf_init(&f->scratch, 0);
    fill_attrs(f);
    size_t part = wire_open(&f->resource, 1);
    put_text_attr(&f->resource, 1, "service.name", STR("shop"));
    put_text_attr(&f->resource, 1, "host.name", STR("h1"));
    wire_close(&f->resource, part);
    part = wire_open(&f->scope, 1);
    wire_put_bytes(&f->scope, 1, STR("lib"));
    wire_put_bytes(&f->scope, 2, STR("1.2"));
    put_text_attr(&f->scope, 3, "scope.key", STR("s"));
    wire_close(&f->scope, part);
    part = wire_open(&f->events, 11);
    put_text_attr(&f->events, 3, "event.key", STR("e"));
    wire_close(&f->events, part);
    part = wire_open(&f->links, 13);
    put_text_attr(&f->links, 4, "link.key", STR("l"));
    wire_close(&f->links, part);
    f->span = (struct span){
        .trace_id = { 1 },
        .span_id = { 2 },
        .start_ns = 1000,
        .end_ns = 1500,
        .name = STR("GET /"),
        .kind = SPAN_SERVER,
        .status_code = STATUS_ERROR,
        .status_message = STR("broken"),
        .trace_state = STR("a=b"),
        .attrs = f->attrs,
        .n_attrs = MG_COUNT(f->attrs),
        .events = buf_str(&f->events),
        .links = buf_str(&f->links),
        .unknown = STR(""),
        .resource = buf_str(&f->resource),
        .scope = buf_str(&f->scope),
    };
}

static void fixture_fini(struct fixture *f)
{
    struct buf *bufs[] = { &f->resource, &f->scope, &f->events, &f->links, &f->array, &f->scratch };

    for (size_t i = 0; i < MG_COUNT(bufs); i++)
        buf_fini(bufs[i]);
    arena_fini(&f->arena);
}

static bool on_hit(void *owner, const uint8_t trace_id[16], uint64_t start_ns)
{
    (void)trace_id;
    (void)start_ns;
    ++*(unsigned *)owner;
    return true;
}

/* The span, its row, and a block of it: one answer. */
static void check(struct fixture *f, struct block_reader *reader, const struct row *row,
                  const struct span_filter *filter, bool want, const char *what)
{
    unsigned hits = 0;

    if (filter_match(filter, &f->span, &f->scratch) != want)
        fail_msg("span: %s", what);
    if (filter_match_row(filter, row, segment_of(row)->epoch, &f->arena, &f->scratch) != want)
        fail_msg("row: %s", what);
    assert_int_equal(block_search(reader, filter, on_hit, &hits, NULL), MG_OK);
    if (hits != want)
        fail_msg("block: %s", what);
}

static void run_cases(void (*run)(struct fixture *, struct block_reader *, const struct row *))
{
    struct block_builder *builder = block_builder_new();
    struct block_reader *reader = NULL;
    struct block_built built;
    struct fixture f;
    struct rows rows;

    fixture_init(&f);
    rows_init(&rows);
    rows_span(&rows, &f.span);
    block_add(builder, &rows.traces.at[0]);
    block_finish(builder, 0, &built);
    assert_int_equal(block_open(&reader, built.block, NULL), MG_OK);
    run(&f, reader, rows.all.at[0]);
    block_close(&reader);
    block_builder_free(&builder);
    rows_fini(&rows);
    fixture_fini(&f);
}

static void tag_cases(struct fixture *f, struct block_reader *reader, const struct row *row)
{
    static const struct {
        const char *key, *value;
        bool want;
    } cases[] = {
        { "http.method", "GET", true },
        { "http.method", "again", true },
        { "http.method", "get", false },
        { "http.method", "", false },
        { "HTTP.method", "GET", false },
        { "", "GET", false },
        { "method", "GET", false },
        { "http.status_code", "404", true },
        { "http.status_code", "0404", false },
        { "http.status_code", "404.0", false },
        { "http.status_code", "40", false },
        { "http.status_code", "+404", false },
        { "ratio", "0.5", true },
        { "ratio", "0.50", false },
        { "ratio", ".5", false },
        { "ratio", "5e-1", false },
        { "retry", "true", true },
        { "retry", "false", false },
        { "retry", "1", false },
        { "list", "[\"x\"]", true },
        { "list", "[ \"x\" ]", false },
        { "list", "x", false },
        { "raw", "AP8=", true },
        { "raw", "AP8", false },
        { "nothing", "", true },
        { "nothing", "null", false },
        { "bad", "a\xef\xbf\xbd", true },
        { "bad", "a\xff", false },
        { "bad", "a", false },
        { "service.name", "shop", true },
        { "resource.service.name", "shop", true },
        { "resource.http.method", "GET", false },
        { "host.name", "h1", true },
        { "resource.host.name", "h1", true },
        { "resource.host.name", "h2", false },
        { "resource.", "h1", false },
        { "scope.key", "s", true },
        { "scope.key", "x", false },
        { "event.key", "e", true },
        { "event.key", "l", false },
        { "link.key", "l", true },
        { "link.key", "e", false },
        { "error", "true", true },
        { "error", "false", false },
        { "error", "TRUE", false },
        { "error", "", false },
        { "span.kind", "server", true },
        { "span.kind", "client", false },
        { "span.kind", "SERVER", false },
        { "span.kind", "", false },
        { "span.status", "error", true },
        { "span.status", "Error", true },
        { "span.status", "ok", false },
        { "span.status", "unset", false },
        { "otel.status_code", "ERROR", true },
        { "otel.status_code", "OK", false },
        { "otel.status_code", "UNSET", false },
        { "otel.status_code", "error", false },
        { "otel.status_description", "broken", true },
        { "otel.status_description", "broke", false },
        { "otel.status_description", "", false },
        { "otel.scope.name", "lib", true },
        { "scope.name", "lib", true },
        { "scope.name", "", false },
        { "scope.name", "1.2", false },
        { "otel.scope.version", "1.2", true },
        { "scope.version", "1.2", true },
        { "scope.version", "1", false },
        { "w3c.tracestate", "a=b", true },
        { "w3c.tracestate", "a", false },
        { "w3c.tracestate", "", false },
    };

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct filter_tag tag = { .key = str_of(cases[i].key), .value = str_of(cases[i].value) };
        struct span_filter filter = { .tags = &tag, .n_tags = 1, ANY };
        check(f, reader, row, &filter, cases[i].want, cases[i].key);
    }
}

static void part_cases(struct fixture *f, struct block_reader *reader, const struct row *row)
{
    static const struct filter_tag both[] = { { .key = STR_INIT("retry"), .value = STR_INIT("true") },
                                              { .key = STR_INIT("event.key"), .value = STR_INIT("e") } };
    static const struct filter_tag one[] = { { .key = STR_INIT("retry"), .value = STR_INIT("true") },
                                             { .key = STR_INIT("event.key"), .value = STR_INIT("x") } };
    static const struct {
        const char *name;
        struct span_filter filter;
        bool want;
    } cases[] = {
        { "all", { ANY }, true },
        { "service", { .service = STR_INIT("shop"), ANY }, true },
        { "another service", { .service = STR_INIT("Shop"), ANY }, false },
        { "an empty service", { .service = STR_INIT(""), ANY }, false },
        { "operation", { .operation = STR_INIT("GET /"), ANY }, true },
        { "another operation", { .operation = STR_INIT("GET"), ANY }, false },
        { "the name of no name", { .operation = STR_INIT("empty-span-name"), ANY }, false },
        { "start at",
          { .start_min_ns = 1000, .start_max_ns = 1000, .duration_max_ns = UINT64_MAX },
          true },
        { "start below", { .start_max_ns = 999, .duration_max_ns = UINT64_MAX }, false },
        { "start above", { .start_min_ns = 1001, ANY }, false },
        { "duration at",
          { .duration_min_ns = 500, .duration_max_ns = 500, .start_max_ns = UINT64_MAX },
          true },
        { "duration below", { .duration_max_ns = 499, .start_max_ns = UINT64_MAX }, false },
        { "duration above", { .duration_min_ns = 501, ANY }, false },
        { "two tags", { .tags = both, .n_tags = 2, ANY }, true },
        { "one tag of two", { .tags = one, .n_tags = 2, ANY }, false },
    };

    for (size_t i = 0; i < MG_COUNT(cases); i++)
        check(f, reader, row, &cases[i].filter, cases[i].want, cases[i].name);
}

static void test_tags(void **state)
{
    (void)state;
    run_cases(tag_cases);
}
static void test_parts(void **state)
{
    (void)state;
    run_cases(part_cases);
}

static void test_names_as_seen(void **state)
{
    static const struct {
        struct str name, want;
    } cases[] = {
        { STR_INIT("GET"), STR_INIT("GET") },
        { STR_INIT(""), STR_INIT("empty-span-name") },
        { STR_INIT("a\xff"
                   "b"),
          STR_INIT("a\xef\xbf\xbd"
                   "b") },
        { STR_INIT("\xed\xa0\x80"), STR_INIT("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") },
    };
    struct arena arena = { 0 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_true(str_eq(view_operation(cases[i].name, &arena), cases[i].want));
    assert_true(str_eq(view_service(STR(""), &arena), STR("missing-service-name")));
    assert_true(str_eq(view_service(STR("\x0a\xff"), &arena), STR("missing-service-name")));
    arena_fini(&arena);
}

/* --- the block agrees with the span ----------------------------------------------------------- */
struct found {
    struct map starts;
    unsigned hits;
}; /* trace id to highest start */

static void found_add(struct found *found, const uint8_t trace_id[16], uint64_t start_ns)
{
    bool is_new;
    void **at = map_put(&found->starts, str_n(trace_id, 16), &is_new);

    if (is_new || (uint64_t)(uintptr_t)*at < start_ns)
        *at = (void *)(uintptr_t)start_ns;
}

static bool on_found(void *owner, const uint8_t trace_id[16], uint64_t start_ns)
{
    struct found *found = owner;

    found->hits++;
    found_add(found, trace_id, start_ns);
    return true;
}

static struct filter_tag random_tag(struct random *random, const struct span *span,
                                    struct buf *scratch, struct arena *arena)
{
    static const struct filter_tag derived[] = {
        { .key = STR_INIT("error"), .op = TAG_EXISTS },
        { .key = STR_INIT("resource.x"), .op = TAG_EXISTS },
        { .key = STR_INIT("k"), .op = TAG_EXISTS },
        { .key = STR_INIT("k"), .op = TAG_AT_LEAST, .number = 0 },
        { .key = STR_INIT("span.kind"), .op = TAG_IS, .number = 2 },
        { .key = STR_INIT("error"), .value = STR_INIT("true") },
        { .key = STR_INIT("error"), .value = STR_INIT("false") },
        { .key = STR_INIT("span.kind"), .value = STR_INIT("server") },
        { .key = STR_INIT("span.status"), .value = STR_INIT("unset") },
        { .key = STR_INIT("otel.status_code"), .value = STR_INIT("OK") },
        { .key = STR_INIT("x"), .value = STR_INIT("42") },
        { .key = STR_INIT("k"), .value = STR_INIT("0") },
        { .key = STR_INIT("k"), .value = STR_INIT("-0") },
        { .key = STR_INIT("k"), .value = STR_INIT("NaN") },
        { .key = STR_INIT("resource.x"), .value = STR_INIT("text 3") },
        { .key = STR_INIT("otel.scope.name"), .value = STR_INIT("GET") },
        { .key = STR_INIT("k"), .value = STR_INIT("") },
        { .key = STR_INIT(""), .value = STR_INIT("ok") },
        { .key = STR_INIT("otel.status_description"), .value = STR_INIT("42") },
        { .key = STR_INIT("w3c.tracestate"), .value = STR_INIT("ok") },
    };
    struct filter_tag tag;

    if (!span->n_attrs || random_below(random, 3) == 0)
        return derived[random_below(random, MG_COUNT(derived))];
    const struct attr *attr = &span->attrs[random_below(random, span->n_attrs)];
    buf_clear(scratch);
    scratch->limit = 1 << 20;
    value_text(scratch, &attr->value);
    tag = (struct filter_tag){ .key = arena_str(arena, attr->key), .value = arena_str(arena, buf_str(scratch)) };
    if (random_below(random, 3) == 0) {
        tag.op = TAG_EXISTS + (enum filter_op)random_below(random, 6);
        if (str_double(tag.value, &tag.number) != MG_OK)
            tag.number = (double)random_below(random, 1000);
        return tag;
    }
    if (random_below(random, 4) == 0)
        tag.value = random_below(random, 2) ? arena_printf(arena, "%.*s0", STR_ARG(tag.value))
                                            : STR("true");
    return tag;
}

/* A filter made from a span that is there, so that it matches often, and is near when it does not.
 */
static void random_filter(struct random *random, const struct span *span, struct filter_tag tags[2],
                          struct buf *scratch, struct arena *arena, struct span_filter *out)
{
    uint64_t duration = span_duration_ns(span);

    *out = (struct span_filter){ .tags = tags, .n_tags = (size_t)random_below(random, 3), ANY };
    for (size_t i = 0; i < out->n_tags; i++)
        tags[i] = random_tag(random, span, scratch, arena);
    if (random_below(random, 3) == 0)
        out->service = view_service(span->resource, arena);
    if (random_below(random, 4) == 0)
        out->operation = random_below(random, 4) ? view_operation(span->name, arena) : span->name;
    if (random_below(random, 4) == 0)
        out->start_min_ns = span->start_ns + random_below(random, 2);
    if (random_below(random, 4) == 0)
        out->start_max_ns = span->start_ns - (span->start_ns && random_below(random, 2));
    if (random_below(random, 4) == 0)
        out->duration_min_ns = duration + random_below(random, 2);
    if (random_below(random, 4) == 0)
        out->duration_max_ns = duration - (duration && random_below(random, 2));
}

struct compared {
    struct span *spans;
    size_t n;
    struct block_reader *reader;
    struct summary summary;
    uint64_t matched, asked;
};

static void compare(struct compared *c, const struct span_filter *filter, struct buf *scratch)
{
    struct found by_block = { .hits = 0 }, by_span = { .hits = 0 };
    struct str id;
    void *start, **other;

    assert_int_equal(block_search(c->reader, filter, on_found, &by_block, NULL), MG_OK);
    for (size_t i = 0; i < c->n; i++)
        if (filter_match(filter, &c->spans[i], scratch))
            found_add(&by_span, c->spans[i].trace_id, c->spans[i].start_ns);
    if (by_block.starts.n != by_span.starts.n)
        fail_msg("block %zu, spans %zu: service %.*s operation %.*s tags %zu %.*s=%.*s",
                 by_block.starts.n, by_span.starts.n, STR_ARG(filter->service),
                 STR_ARG(filter->operation), filter->n_tags,
                 STR_ARG(filter->n_tags ? filter->tags[0].key : STR("")),
                 STR_ARG(filter->n_tags ? filter->tags[0].value : STR("")));
    for (size_t i = 0; map_next(&by_span.starts, &i, &id, &start);) {
        other = map_find(&by_block.starts, id);
        assert_non_null(other);
        assert_true(*other == start);
    }
    if (by_span.starts.n)
        assert_true(summary_may_match(&c->summary, filter));
    c->matched += by_span.starts.n != 0;
    c->asked++;
    map_fini(&by_block.starts);
    map_fini(&by_span.starts);
}

static void compare_many(const struct rows *rows, const struct fragment *traces, size_t n_traces,
                         uint64_t seed, unsigned rounds, struct compared *total)
{
    struct block_builder *builder = block_builder_new();
    struct compared c = { .n = 0 };
    struct block_built built;
    struct arena arena = { 0 }, names = { 0 };
    struct buf scratch;
    struct random random;

    (void)rows;
    random_init(&random, seed);
    buf_init(&scratch, 1 << 20);
    for (size_t i = 0; i < n_traces; i++)
        block_add(builder, &traces[i]);
    block_finish(builder, 0, &built);
    assert_int_equal(block_open(&c.reader, built.block, NULL), MG_OK);
    assert_int_equal(summary_read(built.summary, &c.summary), MG_OK);
    c.spans = mem_zero(built.rows + built.duplicates, sizeof *c.spans);
    for (size_t i = 0; i < n_traces; i++) {
        const struct row *row = traces[i].last;
        for (uint32_t k = 0; k < traces[i].n; k++, row = row->prev)
            row_decode(row, segment_of(row)->epoch, &arena, &c.spans[c.n++]);
    }
    for (unsigned i = 0; i < rounds; i++) {
        struct filter_tag tags[2];
        struct span_filter filter;
        random_filter(&random, &c.spans[random_below(&random, c.n)], tags, &scratch, &names,
                      &filter);
        compare(&c, &filter, &scratch);
        arena_reset(&names);
    }
    total->matched += c.matched;
    total->asked += c.asked;
    block_close(&c.reader);
    block_builder_free(&builder);
    mem_free(c.spans);
    arena_fini(&arena);
    arena_fini(&names);
    buf_fini(&scratch);
}

static void test_odd_spans_agree(void **state)
{
    struct compared total = { .n = 0 };
    struct arena arena = { 0 };
    struct random random;
    struct rows rows;
    struct span span;

    (void)state;
    rows_init(&rows);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        random_init(&random, seed);
        for (unsigned i = 0; i < 80; i++) {
            rows.loop = i & 1;
            random_span(&random, 12, &arena, &span);
            rows_span(&rows, &span);
        }
        compare_many(&rows, rows.traces.at, rows.traces.n, seed, 150, &total);
        rows_forget(&rows);
        arena_reset(&arena);
    }
    assert_true(total.matched * 5 > total.asked); /* both answers come up */
    assert_true(total.matched * 5 < total.asked * 4);
    arena_fini(&arena);
    rows_fini(&rows);
}

static void test_corpus_agrees(void **state)
{
    struct compared total = { .n = 0 };
    struct str corpus, rest, body;
    struct rows rows;

    (void)state;
    if (!corpus_load(&corpus))
        skip();
    rest = corpus;
    rows_init(&rows);
    for (unsigned i = 0; corpus_next(&rest, &body); i++) {
        rows.loop = i & 1;
        rows_body(&rows, body);
        if (i % 93 == 92) {
            compare_many(&rows, rows.traces.at, rows.traces.n, i, 60, &total);
            rows_forget(&rows);
        }
    }
    assert_true(total.matched * 5 > total.asked);
    rows_fini(&rows);
    mem_free((void *)(uintptr_t)corpus.ptr);
}

static bool on_first(void *owner, const uint8_t trace_id[16], uint64_t start_ns)
{
    (void)trace_id;
    (void)start_ns;
    ++*(unsigned *)owner;
    return false;
}

static void test_search_ends_when_told(void **state)
{
    struct block_builder *builder = block_builder_new();
    struct block_reader *reader = NULL;
    struct span_filter filter = { ANY };
    struct block_built built;
    struct fixture f;
    struct rows rows;
    unsigned hits = 0;

    (void)state;
    fixture_init(&f);
    rows_init(&rows);
    for (uint8_t i = 1; i < 10; i++) {
        f.span.trace_id[0] = i;
        rows_span(&rows, &f.span);
        block_add(builder, &rows.traces.at[rows.traces.n - 1]);
    }
    block_finish(builder, 0, &built);
    assert_int_equal(block_open(&reader, built.block, NULL), MG_OK);
    assert_int_equal(block_search(reader, &filter, on_first, &hits, NULL), MG_OK);
    assert_int_equal(hits, 1);
    block_close(&reader);
    block_builder_free(&builder);
    rows_fini(&rows);
    fixture_fini(&f);
}

static void where_conditions_are_read_or_refused(void **state)
{
    static const struct { const char *text; enum mg_err want; const char *key; enum filter_op op; double number; } cases[] = {
        { "http.status_code>=500", MG_OK, "http.status_code", TAG_AT_LEAST, 500 },
        { " a.b  <  1.5 ", MG_OK, "a.b", TAG_LESS, 1.5 },
        { "a<=-2", MG_OK, "a", TAG_AT_MOST, -2 },
        { "a>1e3", MG_OK, "a", TAG_MORE, 1000 },
        { "retries = 3", MG_OK, "retries", TAG_IS, 3 },
        { "db.system exists", MG_OK, "db.system", TAG_EXISTS, 0 },
        { "a b exists", MG_OK, "a b", TAG_EXISTS, 0 },
        { .text = "", .want = MG_E_FORMAT }, { .text = " exists", .want = MG_E_FORMAT }, { .text = "exists", .want = MG_E_FORMAT }, { .text = "a", .want = MG_E_FORMAT },
        { .text = "a>", .want = MG_E_FORMAT }, { .text = ">=5", .want = MG_E_FORMAT }, { .text = "a>=x", .want = MG_E_FORMAT }, { .text = "a==5", .want = MG_E_FORMAT },
        { .text = "a>=5 and b", .want = MG_E_FORMAT }, { .text = "a>0x10", .want = MG_E_FORMAT }, { .text = "a>nan", .want = MG_E_FORMAT },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct filter_tag tag;
        struct mg_why why = { "" };
        assert_int_equal(filter_where_parse(str_of(cases[i].text), &tag, &why), cases[i].want);
        if (cases[i].want != MG_OK) {
            assert_true(why.text[0] != '\0');
            continue;
        }
        assert_true(str_eq(tag.key, str_of(cases[i].key)));
        assert_int_equal(tag.op, cases[i].op);
        assert_true(tag.number == cases[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),          cmocka_unit_test(test_parts),
        cmocka_unit_test(test_names_as_seen), cmocka_unit_test(test_odd_spans_agree),
        cmocka_unit_test(test_corpus_agrees), cmocka_unit_test(test_search_ends_when_told),
        cmocka_unit_test(where_conditions_are_read_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
