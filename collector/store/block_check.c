/* block_check.c - looking at a whole block: is it sound, and what is in it by bytes.
 *
 * The check reads the way a query does and compares with what the builder said beside the block. It
 * makes the catalogue and the run anew from the spans, and what is told of attributes from the
 * columns, and compares bytes: for each there is only one right answer. */
#include "store/block.h"

#include <stdlib.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "store/block_read.h"
#include "store/block_tags.h"
#include "store/summary_build.h"

struct check {
    struct block_reader *reader;
    struct mg_why *why;
    struct arena spans, names;
    struct summary found;         /* made from the spans */
    struct str resource, service; /* of the span before: most follow one of their own service */
    VEC(struct catalogue_entry) entries;
    struct buf catalogue, attributes;
    struct told *told;
};

static enum mg_err check_segments(struct check *c)
{
    bool may_be;

    for (uint32_t i = 0; i < c->reader->n_segments; i++)
        MG_TRY(reader_segment(c->reader, i, c->why));
    MG_TRY(reader_nested_key(c->reader, STR(""), &may_be, c->why));
    MG_TRY(reader_fragments(c->reader, c->why));
    MG_TRY(reader_fixed(c->reader, SEG_OUTCOMES, c->why));
    MG_TRY(reader_strings(c->reader, SEG_VOTES, c->why));
    const uint8_t *ids = fixed_ints(c->reader, SEG_TRACE_IDS)->planes;
    for (uint32_t i = 1; i < c->reader->fragments; i++)
        if (memcmp(ids + (size_t)(i - 1) * 16, ids + (size_t)i * 16, 16) > 0)
            return mg_fail(c->why, MG_E_FORMAT, "block: trace ids are not sorted at fragment %u",
                           i);
    return MG_OK;
}

static void add_span(struct check *c, const struct span *span)
{
    struct summary *found = &c->found;
    uint64_t duration = span_duration_ns(span);

    found->start_min_ns = MG_MIN(found->start_min_ns, span->start_ns);
    found->start_max_ns = MG_MAX(found->start_max_ns, span->start_ns);
    found->duration_min_ns = MG_MIN(found->duration_min_ns, duration);
    found->duration_max_ns = MG_MAX(found->duration_max_ns, duration);
    if (!c->service.ptr || span->resource.ptr != c->resource.ptr ||
        span->resource.len != c->resource.len) {
        c->resource = span->resource;
        c->service = view_service(span->resource, &c->names);
    }
    VEC_PUSH(&c->entries,
             ((struct catalogue_entry){ c->service, view_operation(span->name, &c->names),
                                        catalogue_kind(span->kind) }));
}

/* Only what was kept is in a block. */
static enum mg_err check_outcome(struct check *c, uint32_t fragment)
{
    struct block_fragment info;
    struct outcome outcome;

    MG_TRY(block_fragment_info(c->reader, fragment, &info));
    if (info.outcome && (!outcome_unpack(info.outcome, &outcome) || outcome.verdict != VERDICT_KEPT))
        return mg_fail(c->why, MG_E_FORMAT, "block: fragment %u has an outcome that is none",
                       fragment);
    return MG_OK;
}

static enum mg_err check_fragment(struct check *c, uint32_t fragment)
{
    uint64_t start_min = UINT64_MAX;
    struct span *spans;
    uint32_t n;

    arena_reset(&c->spans);
    MG_TRY(check_outcome(c, fragment));
    MG_TRY(block_decode(c->reader, fragment, &c->spans, &spans, &n, c->why));
    for (uint32_t i = 0; i < n; i++) {
        start_min = MG_MIN(start_min, spans[i].start_ns);
        add_span(c, &spans[i]);
    }
    if (start_min != ints_get(fixed_ints(c->reader, SEG_FRAGMENT_START), fragment))
        return mg_fail(c->why, MG_E_FORMAT, "block: fragment %u does not start when it says",
                       fragment);
    return MG_OK;
}

/* Blocks of earlier versions do not tell. */
static enum mg_err check_attributes(struct check *c, struct str said)
{
    if (!said.ptr)
        return MG_OK;
    c->told = told_new();
    MG_TRY(reader_tell(c->reader, c->told, c->why));
    told_write(c->told, &c->attributes);
    return str_eq(said, buf_str(&c->attributes))
               ? MG_OK
               : mg_fail(c->why, MG_E_FORMAT, "summary: its attributes are not the block's");
}

static enum mg_err check_summary(struct check *c, struct str bytes)
{
    struct summary said, *found = &c->found;

    if (summary_read(bytes, &said) != MG_OK)
        return mg_fail(c->why, MG_E_FORMAT, "summary: it is malformed");
    found->operations_cut = catalogue_write(&c->catalogue, c->entries.at, c->entries.n);
    if (said.rows != found->rows || said.fragments != found->fragments ||
        said.flags != found->flags || said.block_bytes != found->block_bytes)
        return mg_fail(c->why, MG_E_FORMAT, "summary: its counts are not the block's");
    if (said.start_min_ns != found->start_min_ns || said.start_max_ns != found->start_max_ns ||
        said.duration_min_ns != found->duration_min_ns ||
        said.duration_max_ns != found->duration_max_ns)
        return mg_fail(c->why, MG_E_FORMAT, "summary: its times are not the block's");
    if (said.operations_cut != found->operations_cut ||
        !str_eq(said.catalogue, buf_str(&c->catalogue)))
        return mg_fail(c->why, MG_E_FORMAT,
                       "summary: its services and operations are not the block's");
    return check_attributes(c, said.attributes);
}

static int compare_u32(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static enum mg_err check_run(struct check *c, struct str run)
{
    uint32_t n = c->reader->fragments, *want = mem_alloc(n * sizeof *want);
    const uint8_t *ids = fixed_ints(c->reader, SEG_TRACE_IDS)->planes;

    for (uint32_t i = 0; i < n; i++)
        want[i] = trace_fingerprint(ids + (size_t)i * 16);
    qsort(want, n, sizeof *want, compare_u32);
    bool is_fine = str_eq(run, str_n(want, n * sizeof *want));
    mem_free(want);
    return is_fine ? MG_OK : mg_fail(c->why, MG_E_FORMAT, "run: it is not that of the block");
}

static enum mg_err check_all(struct check *c, struct str summary, struct str run)
{
    c->found = (struct summary){
        .rows = c->reader->rows,
        .fragments = c->reader->fragments,
        .flags = c->reader->flags,
        .block_bytes = c->reader->block.len,
        .start_min_ns = UINT64_MAX,
        .duration_min_ns = UINT64_MAX,
    };
    MG_TRY(check_segments(c));
    for (uint32_t i = 0; i < c->reader->fragments; i++)
        MG_TRY(check_fragment(c, i));
    if (summary.len)
        MG_TRY(check_summary(c, summary));
    return run.len ? check_run(c, run) : MG_OK;
}

enum mg_err block_check(struct str block, struct str summary, struct str run, struct mg_why *why)
{
    MG_AUTO(block_close) struct block_reader *reader = NULL;

    MG_TRY(block_open(&reader, block, why));
    struct check c = { .reader = reader, .why = why };
    buf_init(&c.catalogue, UINT32_MAX);
    buf_init(&c.attributes, UINT32_MAX);
    enum mg_err err = check_all(&c, summary, run);
    told_free(&c.told);
    buf_fini(&c.attributes);
    buf_fini(&c.catalogue);
    VEC_FINI(&c.entries);
    arena_fini(&c.spans);
    arena_fini(&c.names);
    return err;
}

/* --- bytes by segment ------------------------------------------------------------------------- */
static const char *const kind_names[SEG_FIXED_END] = {
    [SEG_STRINGS] = "strings",
    [SEG_BLOBS] = "resources and scopes",
    [SEG_SHAPES] = "shapes",
    [SEG_TRACE_IDS] = "trace ids",
    [SEG_FRAGMENT_ROWS] = "fragment rows",
    [SEG_FRAGMENT_START] = "fragment starts",
    [SEG_FRAGMENT_POSITION] = "fragment positions",
    [SEG_OUTCOMES] = "outcomes",
    [SEG_VOTES] = "votes",
    [SEG_SPAN_IDS] = "span ids",
    [SEG_PARENTS] = "parents",
    [SEG_EXTERNAL] = "external parents",
    [SEG_STARTS] = "starts",
    [SEG_DURATIONS] = "durations",
    [SEG_NAMES] = "names",
    [SEG_RESOURCES] = "resource numbers",
    [SEG_SCOPES] = "scope numbers",
    [SEG_KINDS] = "kinds and status",
    [SEG_WIDE] = "wide enums",
    [SEG_FLAGS] = "flags",
    [SEG_ROW_SHAPES] = "shape numbers",
    [SEG_HAS] = "optional parts",
    [SEG_TRACE_STATES] = "trace states",
    [SEG_MESSAGES] = "status messages",
    [SEG_DROPPED_ATTRS] = "dropped attributes",
    [SEG_DROPPED_EVENTS] = "dropped events",
    [SEG_DROPPED_LINKS] = "dropped links",
    [SEG_EVENTS] = "events",
    [SEG_LINKS] = "links",
    [SEG_UNKNOWN] = "unknown fields",
    [SEG_NESTED_KEYS] = "keys in events and links",
};
static const char *const type_names[COLUMN_WIRE + 1] = { "empty",  "string",      "bool",  "int",
                                                         "double", "bytes",       "array", "map",
                                                         "other",  "in wire form" };

static const char *segment_name(const struct block_reader *r, const struct segment_info *s,
                                struct buf *name)
{
    if (s->kind < SEG_FIXED_END)
        return kind_names[s->kind] ? kind_names[s->kind] : "unknown kind";
    if (s->kind != SEG_ATTRIBUTE || s->key > reader_table(r)->n)
        return "unknown kind";
    buf_clear(name);
    buf_printf(name, "attribute %.*s %s", STR_ARG(reader_string(r, s->key)), type_names[s->type]);
    buf_put_char(name, 0);
    return name->failed ? "attribute" : name->ptr;
}

enum mg_err block_stats(struct str block, block_stat_fn *on_segment, void *owner,
                        struct mg_why *why)
{
    MG_AUTO(block_close) struct block_reader *r = NULL;
    struct buf name;

    MG_TRY(block_open(&r, block, why));
    MG_TRY(reader_strings(r, SEG_STRINGS, why));
    buf_init(&name, 4096);
    for (uint32_t i = 0; i < r->n_segments; i++)
        on_segment(owner, segment_name(r, &r->segments[i], &name), r->segments[i].packed,
                   r->segments[i].raw_bytes);
    on_segment(owner, "header and directory",
               BLOCK_HEADER_BYTES + (uint64_t)r->n_segments * BLOCK_ENTRY_BYTES,
               BLOCK_HEADER_BYTES + (uint64_t)r->n_segments * BLOCK_ENTRY_BYTES);
    buf_fini(&name);
    return MG_OK;
}
