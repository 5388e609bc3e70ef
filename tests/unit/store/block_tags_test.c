/* What blocks tell of their attributes: never that a span is absent which is there; and what is absent, mostly. */
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
#include "store/block_format.h"
#include "store/summary.h"
#include "store/tagged.h"
#include "unit/store/rows.h"

#define ANY .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX

static struct block_built build(struct block_builder *builder, const struct rows *rows)
{
    struct block_built built;
    struct mg_why why = { "" };

    for (size_t i = 0; i < rows->traces.n; i++)
        block_add(builder, &rows->traces.at[i]);
    block_finish(builder, 0, &built);
    if (block_check(built.block, built.summary, built.run, &why) != MG_OK)
        fail_msg("%s", why.text);
    return built;
}

static bool may_match(struct str bytes, const struct span_filter *filter)
{
    struct summary summary;

    assert_int_equal(summary_read(bytes, &summary), MG_OK);
    return summary_may_match(&summary, filter);
}

/* --- random spans, random questions ----------------------------------------------------------- */
struct asker {
    struct random random;
    struct arena names, spans;
    struct buf scratch;
    uint64_t asked, matched, excluded;
};

/* Attributes wherever a span has them. */
struct gathered {
    struct attr at[256];
    size_t n;
};

static void gather(struct gathered *all, struct str message, uint32_t field)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);

    while (all->n < MG_COUNT(all->at) && attr_next(&at, end, field, &all->at[all->n]) == 1)
        all->n++;
}

static void gather_all(struct gathered *all, const struct span *span)
{
    struct resource_view resource;
    struct scope_view scope;
    struct event_view event;
    struct link_view link;
    const uint8_t *at = wire_begin(span->events);

    all->n = 0;
    for (uint32_t i = 0; i < span->n_attrs; i++)
        all->at[all->n++] = span->attrs[i];
    resource_view(span->resource, &resource);
    for (uint32_t i = 0; i < resource.n; i++)
        gather(all, resource.attributes_owner[i], 1);
    scope_view(span->scope, &scope);
    gather(all, scope.message, 3);
    while (event_next(&at, wire_end(span->events), &event) == 1)
        gather(all, event.message, 3);
    for (at = wire_begin(span->links); link_next(&at, wire_end(span->links), &link) == 1;)
        gather(all, link.message, 4);
}

static struct str some_key(struct asker *asker, struct str key)
{
    struct random *random = &asker->random;

    switch (random_below(random, 12)) {
    case 0: return arena_printf(&asker->names, "resource.%.*s", STR_ARG(key));
    case 1: return str_starts(key, STR("resource.")) ? str_n(key.ptr + 9, key.len - 9) : key;
    case 2: return arena_printf(&asker->names, "%.*s.x", STR_ARG(key));
    default: return key;
    }
}

static struct str some_text(struct asker *asker, struct str text)
{
    struct random *random = &asker->random;

    switch (random_below(random, 12)) {
    case 0: return arena_printf(&asker->names, "%.*s0", STR_ARG(text));
    case 1: return arena_printf(&asker->names, "text %u", (unsigned)random_below(random, 90));
    case 2: return arena_printf(&asker->names, "%d", (int)random_below(random, 300) - 20);
    case 3: return STR("false");
    default: return text;
    }
}

static double some_number(struct asker *asker, struct str text)
{
    static const double off[] = { 0, 0, 0, 1, -1, 0.5, 1e10, -1e10 };
    double number;

    if (str_double(text, &number) != MG_OK)
        number = (double)random_below(&asker->random, 1000);
    return number + off[random_below(&asker->random, MG_COUNT(off))];
}

static struct filter_tag some_tag(struct asker *asker, const struct gathered *all)
{
    static const struct attr none = { STR_INIT("otel.status_code"), { .type = VALUE_STRING, .str = STR_INIT("OK") } };
    const struct attr *attr = all->n ? &all->at[random_below(&asker->random, all->n)] : &none;

    buf_clear(&asker->scratch);
    asker->scratch.limit = 1 << 20;
    value_text(&asker->scratch, &attr->value);
    struct str text = arena_str(&asker->names, buf_str(&asker->scratch));
    struct filter_tag tag = { .key = some_key(asker, arena_str(&asker->names, attr->key)), .value = some_text(asker, text) };
    if (random_below(&asker->random, 2)) {
        tag.op = (enum filter_op)random_below(&asker->random, TAG_IS + 1);
        tag.number = some_number(asker, text);
    }
    return tag;
}

static bool row_matches(struct asker *asker, const struct span_filter *filter, const struct rows *rows)
{
    bool matches = false;

    for (size_t i = 0; i < rows->all.n && !matches; i++) {
        matches = filter_match_row(filter, rows->all.at[i], segment_of(rows->all.at[i])->epoch, &asker->spans, &asker->scratch);
        arena_reset(&asker->spans);
    }
    return matches;
}

static void ask(struct asker *asker, const struct rows *rows, struct str summary, const struct span_filter *filter)
{
    bool may = may_match(summary, filter), matches = row_matches(asker, filter, rows);

    if (matches && !may)
        fail_msg("a match is excluded: %.*s op %d value %.*s number %g", STR_ARG(filter->tags[0].key), filter->tags[0].op,
                 STR_ARG(filter->tags[0].value), filter->tags[0].number);
    asker->asked++;
    asker->matched += matches;
    asker->excluded += !may;
}

static void ask_many(struct asker *asker, const struct rows *rows, unsigned rounds)
{
    struct block_builder *builder = block_builder_new();
    struct block_built built = build(builder, rows);

    for (unsigned i = 0; i < rounds; i++) {
        const struct row *row = rows->all.at[random_below(&asker->random, rows->all.n)];
        struct filter_tag tags[2];
        struct gathered all;
        struct span span;
        row_decode(row, segment_of(row)->epoch, &asker->names, &span);
        gather_all(&all, &span);
        struct span_filter filter = { .tags = tags, .n_tags = 1 + random_below(&asker->random, 4) / 3, ANY };
        for (size_t k = 0; k < filter.n_tags; k++)
            tags[k] = some_tag(asker, &all);
        if (random_below(&asker->random, 4) == 0)
            filter.service = view_service(span.resource, &asker->names);
        ask(asker, rows, built.summary, &filter);
        arena_reset(&asker->names);
    }
    block_builder_free(&builder);
}

static void no_match_is_excluded(void **state)
{
    struct asker asker = { .asked = 0 };
    struct arena arena = { 0 };
    struct rows rows;
    struct span span;

    (void)state;
    rows_init(&rows);
    buf_init(&asker.scratch, 1 << 20);
    for (uint64_t seed = 1; seed <= 400; seed++) {
        random_init(&asker.random, seed);
        for (uint64_t n = 1 + seed % 60; n; n--) {
            rows.loop = n & 1;
            random_span(&asker.random, 12, &arena, &span);
            rows_span(&rows, &span);
        }
        ask_many(&asker, &rows, 150);
        rows_forget(&rows);
        arena_reset(&arena);
    }
    assert_true(asker.matched * 3 > asker.asked); /* both come up, and much of what is absent is known to be */
    assert_true((asker.asked - asker.matched) * 4 > asker.asked);
    assert_true(asker.excluded * 4 > asker.asked - asker.matched);
    buf_fini(&asker.scratch);
    arena_fini(&asker.names);
    arena_fini(&asker.spans);
    arena_fini(&arena);
    rows_fini(&rows);
}

/* --- one block, many questions ---------------------------------------------------------------- */
struct blobs {
    struct buf resource[2], scope, events, links;
};

static void put_text(struct buf *out, uint32_t field, const char *key, const char *text)
{
    struct attr attr = { str_of(key), { .type = VALUE_STRING, .str = str_of(text) } };

    otlp_put_attr(out, field, &attr);
}

static void blobs_init(struct blobs *blobs)
{
    struct buf *bufs[] = { &blobs->resource[0], &blobs->resource[1], &blobs->scope, &blobs->events, &blobs->links };

    for (size_t i = 0; i < MG_COUNT(bufs); i++)
        buf_init(bufs[i], 4096);
    for (size_t i = 0; i < 2; i++) {
        size_t part = wire_open(&blobs->resource[i], 1);
        put_text(&blobs->resource[i], 1, "service.name", i ? "cart" : "shop");
        put_text(&blobs->resource[i], 1, "host.name", i ? "h2" : "h1");
        wire_close(&blobs->resource[i], part);
    }
    size_t part = wire_open(&blobs->scope, 1);
    wire_put_bytes(&blobs->scope, 1, STR("lib"));
    put_text(&blobs->scope, 3, "scope.key", "s");
    wire_close(&blobs->scope, part);
    part = wire_open(&blobs->events, 11);
    put_text(&blobs->events, 3, "event.key", "e");
    wire_close(&blobs->events, part);
    part = wire_open(&blobs->links, 13);
    put_text(&blobs->links, 4, "link.key", "l");
    wire_close(&blobs->links, part);
}

static void blobs_fini(struct blobs *blobs)
{
    struct buf *bufs[] = { &blobs->resource[0], &blobs->resource[1], &blobs->scope, &blobs->events, &blobs->links };

    for (size_t i = 0; i < MG_COUNT(bufs); i++)
        buf_fini(bufs[i]);
}

/* 300 spans of two services; odd ones are of "cart". Which forms the columns take follows from how their values repeat. */
static void put_spans(struct rows *rows, const struct blobs *blobs)
{
    struct arena arena = { 0 };

    for (unsigned i = 0; i < 300; i++) {
        const char *method = i % 3 ? "GET" : "POST";
        struct attr attrs[] = {
            { STR("method"), { .type = VALUE_STRING, .str = str_of(method) } },
            { STR("code"), { .type = VALUE_INT, .i = 200 + i % 5 } },
            { STR("ratio"), { .type = VALUE_DOUBLE, .d = 0.5 + (i % 3) * 0.25 } },
            { STR("retry"), { .type = VALUE_BOOL, .b = true } },
            { STR("digits"), { .type = VALUE_STRING, .str = arena_printf(&arena, "%u", 1000 + 3 * (i % 7)) } },
            { STR("once"), { .type = VALUE_STRING, .str = arena_printf(&arena, "some text %u", i * i) } },
            { STR("uuid"), { .type = VALUE_STRING, .str = arena_printf(&arena, "%08x-0000-4000-8000-%012x", i * 7919, i) } },
            { STR("hex"), { .type = VALUE_STRING, .str = arena_printf(&arena, "%08x%08x", i * 7919, i) } },
            { STR("raw"), { .type = VALUE_BYTES, .str = STR("abc") } },
            { STR("nothing"), { .type = VALUE_EMPTY } },
            { STR("of.cart"), { .type = VALUE_STRING, .str = STR("yes") } },
        };
        struct span span = { .start_ns = 1000 + i, .end_ns = 2000 + i, .name = STR("op"), .kind = SPAN_SERVER, .trace_state = STR(""),
                             .status_message = STR("broken"), .events = STR(""), .links = STR(""), .unknown = STR(""), .attrs = attrs,
                             .n_attrs = MG_COUNT(attrs) - (i % 2 == 0), .resource = buf_str(&blobs->resource[i % 2]),
                             .scope = buf_str(&blobs->scope) };
        if (i == 7)
            span.events = buf_str(&blobs->events);
        if (i == 8)
            span.links = buf_str(&blobs->links);
        put_le64(span.trace_id, 1 + i / 4);
        put_le64(span.span_id, i + 1);
        rows_span(rows, &span);
    }
    arena_fini(&arena);
}

struct question { const char *service, *key, *value; enum filter_op op; double number; bool want; };
#define EQUAL(k, v, w) { NULL, k, v, TAG_EQUALS, 0, w }
#define NUMBER(k, o, n, w) { NULL, k, "", o, n, w }

static const struct question questions[] = {
    EQUAL("method", "GET", true), EQUAL("method", "PATCH", false), EQUAL("method", "", false), EQUAL("methods", "GET", false),
    EQUAL("code", "204", true), EQUAL("code", "205", false), EQUAL("code", "199", false), EQUAL("code", "OK", false),
    EQUAL("ratio", "0.5", true), EQUAL("ratio", "1", true), EQUAL("ratio", "1.25", false), EQUAL("ratio", "NaN", false),
    EQUAL("retry", "true", true), EQUAL("retry", "false", false), EQUAL("retry", "1", false),
    EQUAL("digits", "1003", true), EQUAL("digits", "1004", false), EQUAL("digits", "1003.0", false),
    EQUAL("once", "nobody has this", true), EQUAL("uuid", "nobody has this", true), EQUAL("hex", "nobody has this", true), /* not told */
    EQUAL("raw", "YWJj", true), EQUAL("raw", "nobody has this", true), EQUAL("nothing", "", true), EQUAL("nothing", "null", false),
    EQUAL("host.name", "h1", true), EQUAL("host.name", "h3", false), EQUAL("resource.host.name", "h2", true),
    EQUAL("resource.host.name", "h3", false), EQUAL("resource.code", "205", false), EQUAL("service.name", "cart", true),
    EQUAL("service.name", "none", false), EQUAL("scope.key", "s", true), EQUAL("scope.key", "x", false),
    EQUAL("event.key", "e", true), EQUAL("event.key", "x", true), EQUAL("link.key", "x", true), EQUAL("event.kez", "e", false),
    EQUAL("otel.scope.name", "lib", true), EQUAL("otel.status_description", "broken", true), EQUAL("span.kind", "server", true),
    EQUAL("otel.scope.names", "lib", false), EQUAL("status", "broken", false),
    NUMBER("code", TAG_MORE, 203, true), NUMBER("code", TAG_MORE, 204, false), NUMBER("code", TAG_AT_LEAST, 900, false),
    NUMBER("code", TAG_LESS, 200, false), NUMBER("code", TAG_AT_MOST, 200, true), NUMBER("code", TAG_IS, 205, false),
    NUMBER("digits", TAG_AT_LEAST, 1018, true), NUMBER("digits", TAG_AT_LEAST, 1019, false), NUMBER("ratio", TAG_LESS, 0.5, false),
    NUMBER("method", TAG_MORE, 0, false), NUMBER("raw", TAG_MORE, 0, false), NUMBER("retry", TAG_IS, 1, false),
    NUMBER("nothing", TAG_IS, 0, false), NUMBER("hex", TAG_MORE, 0, true), NUMBER("event.key", TAG_MORE, 0, true),
    NUMBER("nothing", TAG_EXISTS, 0, true), NUMBER("no.such", TAG_EXISTS, 0, false), NUMBER("resource.host.name", TAG_EXISTS, 0, true),
    NUMBER("resource.no.such", TAG_EXISTS, 0, false), NUMBER("span.kind", TAG_EXISTS, 0, false),
    { "cart", "of.cart", "yes", TAG_EQUALS, 0, true }, { "shop", "of.cart", "yes", TAG_EQUALS, 0, true }, /* each is there */
    { "cart", "of.cart", "no", TAG_EQUALS, 0, false }, { "nobody", "of.cart", "yes", TAG_EQUALS, 0, false },
    { "cart", "no.such", "yes", TAG_EQUALS, 0, false }, { "shop", "code", "", TAG_AT_LEAST, 900, false },
    { "nobody", "otel.scope.name", "lib", TAG_EQUALS, 0, false },
};

static bool on_hit(void *owner, const uint8_t trace_id[16], uint64_t start_ns)
{
    (void)trace_id;
    (void)start_ns;
    ++*(unsigned *)owner;
    return true;
}

static void what_is_absent_is_told(void **state)
{
    struct block_builder *builder = block_builder_new();
    struct block_reader *reader = NULL;
    struct blobs blobs;
    struct rows rows;
    unsigned positive = 0;

    (void)state;
    rows_init(&rows);
    blobs_init(&blobs);
    put_spans(&rows, &blobs);
    struct block_built built = build(builder, &rows);
    assert_int_equal(block_open(&reader, built.block, NULL), MG_OK);
    for (size_t i = 0; i < MG_COUNT(questions); i++) {
        const struct question *q = &questions[i];
        struct filter_tag tag = { .key = str_of(q->key), .value = str_of(q->value), .op = q->op, .number = q->number };
        struct span_filter filter = { .tags = &tag, .n_tags = 1, ANY };
        unsigned hits = 0;
        if (q->service)
            filter.service = str_of(q->service);
        if (may_match(built.summary, &filter) != q->want)
            fail_msg("%s op %d %s %g", q->key, q->op, q->value, q->number);
        assert_int_equal(block_search(reader, &filter, on_hit, &hits, NULL), MG_OK);
        assert_true(q->want || hits == 0);
        positive += q->want;
    }
    assert_true(positive * 2 <= MG_COUNT(questions));
    block_close(&reader);
    block_builder_free(&builder);
    rows_fini(&rows);
    blobs_fini(&blobs);
}

/* --- blocks of which not everything is told --------------------------------------------------- */
enum odd { ODD_NOTHING, ODD_MANY_KEYS, ODD_EVENTS, ODD_LINKS, ODD_BLOB, ODDS };

static void put_odd(struct rows *rows, enum odd odd)
{
    struct attr attrs[BLOCK_COLUMNS_MAX];
    struct arena arena = { 0 };
    struct span span = { .start_ns = 1, .end_ns = 2, .name = STR("op"), .trace_state = STR(""), .status_message = STR(""), .events = STR(""),
                         .links = STR(""), .unknown = STR(""), .resource = STR(""), .scope = STR(""), .attrs = attrs, .n_attrs = 1 };

    attrs[0] = (struct attr){ STR("key"), { .type = VALUE_INT, .i = 1 } };
    for (uint32_t i = 1; odd == ODD_MANY_KEYS && i < MG_COUNT(attrs); i++, span.n_attrs++)
        attrs[i] = (struct attr){ arena_printf(&arena, "key %u", i), { .type = VALUE_INT, .i = 1 } };
    if (odd == ODD_EVENTS)
        span.events = STR("\x5a\x03\x1a\x01\xff"); /* an event whose attribute is malformed */
    if (odd == ODD_LINKS)
        span.links = STR("\x6a\x03\x22\x01\xff");
    if (odd == ODD_BLOB)
        span.resource = STR("\x0a\x03\x0a\x01\xff");
    put_le64(span.trace_id, 1);
    put_le64(span.span_id, 1);
    rows_span(rows, &span);
    arena_fini(&arena);
}

static void what_is_not_told_excludes_nothing(void **state)
{
    const struct filter_tag tag = { .key = STR("no such key"), .value = STR("x") };
    const struct span_filter filter = { .tags = &tag, .n_tags = 1, ANY };

    (void)state;
    for (enum odd odd = ODD_NOTHING; odd < ODDS; odd++) {
        struct block_builder *builder = block_builder_new();
        struct rows rows;
        rows_init(&rows);
        put_odd(&rows, odd);
        struct block_built built = build(builder, &rows);
        assert_int_equal(may_match(built.summary, &filter), odd != ODD_NOTHING);
        block_builder_free(&builder);
        rows_fini(&rows);
    }
}

/* One that is resource and scope alike is told as both: with attributes as field 1, and in another message as field 3. */
static void a_blob_with_two_uses_is_told_as_both(void **state)
{
    static const struct { const char *key; bool as_resource, as_scope; bool want; } cases[] = {
        { "of.resource", true, true, true }, { "of.scope", true, true, true },     { "of.resource", true, false, true },
        { "of.scope", true, false, false },  { "of.resource", false, true, false }, { "of.scope", false, true, true },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct block_builder *builder = block_builder_new();
        struct filter_tag tag = { .key = str_of(cases[i].key), .value = STR("x") };
        struct span_filter filter = { .tags = &tag, .n_tags = 1, ANY };
        struct rows rows;
        struct buf blob;
        rows_init(&rows);
        buf_init(&blob, 4096);
        size_t part = wire_open(&blob, 1);
        put_text(&blob, 3, "of.scope", "x");
        put_text(&blob, 1, "of.resource", "x");
        wire_close(&blob, part);
        struct span span = { .start_ns = 1, .end_ns = 2, .name = STR("op"), .trace_state = STR(""), .status_message = STR(""), .events = STR(""),
                             .links = STR(""), .unknown = STR(""), .resource = cases[i].as_resource ? buf_str(&blob) : STR(""),
                             .scope = cases[i].as_scope ? buf_str(&blob) : STR("") };
        put_le64(span.trace_id, 1);
        rows_span(&rows, &span);
        struct block_built built = build(builder, &rows);
        if (may_match(built.summary, &filter) != cases[i].want)
            fail_msg("case %zu", i);
        buf_fini(&blob);
        block_builder_free(&builder);
        rows_fini(&rows);
    }
}

/* --- the check -------------------------------------------------------------------------------- */
/* The summary with the content of its attributes' tag changed: cut, a byte flipped, left out. */
static void rewrite(struct str summary, struct buf *out, size_t cut, size_t flip, bool is_left_out)
{
    struct str content;
    uint32_t tag;

    buf_clear(out);
    while (tagged_next(&summary, &tag, &content) == 1) {
        if (tag == SUMMARY_ATTRIBUTES && is_left_out)
            continue;
        tagged_put(out, tag, tag == SUMMARY_ATTRIBUTES ? str_n(content.ptr, content.len - cut) : content);
        if (tag == SUMMARY_ATTRIBUTES && flip < content.len)
            out->ptr[out->len - content.len + flip] ^= 1;
    }
}

static void the_check_compares_it_with_the_columns(void **state)
{
    struct block_builder *builder = block_builder_new();
    struct mg_why why = { "" };
    struct summary summary;
    struct blobs blobs;
    struct rows rows;
    struct buf changed;

    (void)state;
    rows_init(&rows);
    blobs_init(&blobs);
    buf_init(&changed, 1 << 20);
    put_spans(&rows, &blobs);
    struct block_built built = build(builder, &rows);
    assert_int_equal(summary_read(built.summary, &summary), MG_OK);
    size_t len = summary.attributes.len;
    assert_true(len > 200);
    for (size_t i = 0; i < len; i += 1 + len / 100) {
        rewrite(built.summary, &changed, 0, i, false);
        assert_int_equal(block_check(built.block, buf_str(&changed), built.run, &why), MG_E_FORMAT);
        assert_string_equal(why.text, "summary: its attributes are not the block's");
    }
    for (size_t cut = 1; cut <= len; cut += cut == 1 ? len / 3 : len / 2) {
        rewrite(built.summary, &changed, cut, SIZE_MAX, false);
        assert_int_equal(block_check(built.block, buf_str(&changed), built.run, NULL), MG_E_FORMAT);
    }
    rewrite(built.summary, &changed, 0, SIZE_MAX, false);
    assert_int_equal(block_check(built.block, buf_str(&changed), built.run, NULL), MG_OK);
    rewrite(built.summary, &changed, 0, SIZE_MAX, true); /* as earlier versions wrote it */
    assert_int_equal(block_check(built.block, buf_str(&changed), built.run, NULL), MG_OK);
    struct filter_tag tag = { .key = STR("no.such"), .value = STR("x") };
    struct span_filter filter = { .tags = &tag, .n_tags = 1, ANY };
    assert_true(may_match(buf_str(&changed), &filter));
    assert_false(may_match(built.summary, &filter));
    buf_fini(&changed);
    block_builder_free(&builder);
    rows_fini(&rows);
    blobs_fini(&blobs);
}

int main(void)
{
#define T(name) cmocka_unit_test(name)
    const struct CMUnitTest tests[] = {
        T(no_match_is_excluded), T(what_is_absent_is_told), T(what_is_not_told_excludes_nothing), T(a_blob_with_two_uses_is_told_as_both),
        T(the_check_compares_it_with_the_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
