/* trace.c - one trace out of everything that has parts of it.
 *
 * Rows are taken from the ring first (one message to live for all traces of a step), the store's
 * view after that: a row that live let go meanwhile had been committed before, so the view has it.
 * What is in both comes twice and is removed below like any other repeat.
 *
 * Ring rows stay where they are while their segments are referenced, so only structs and attribute
 * lists are made. A block's slices point into its reader, and the view may close a reader when
 * another block is opened: so the spans of all blocks but the last opened are copied. Traces of one
 * block, nearly all, are not.
 *
 * Repeats are equal in every field, so they are neighbours after sorting by start and span id. A
 * peer could send a group of thousands with the same start and id that differ elsewhere; comparing
 * each with each would then take minutes. Within a group only spans of equal hash are compared. */
#include "query/private.h"

#include <stdlib.h>
#include "base/map.h"

/* --- sources ---------------------------------------------------------------------------------- */

static void forget_trace(struct query *query)
{
    VEC_CLEAR(&query->spans);
    arena_reset(&query->trace);
    query->first.outcome = 0;
}

void query_let_go(struct query *query)
{
    forget_trace(query);
    store_view_free(&query->view);
    live_found_fini(&query->found);
}

void query_take(struct query *query, const uint8_t (*ids)[16], size_t n)
{
    query_let_go(query);
    live_lookup(query->options->live, ids, n, &query->found);
    query->view = store_view_new(query->options->store);
}

/* What an older version kept, or while sampling was off, tells nothing; rows of a dropped trace that
 * the ring still has are shown as long as it has them, and were kept by nobody. */
static void note_decision(struct query *query, uint64_t position, uint64_t word)
{
    struct outcome outcome;

    if (query->first.outcome && query->first.position <= position)
        return;
    if (!outcome_unpack(word, &outcome) || outcome.verdict != VERDICT_KEPT)
        return;
    query->first.position = position;
    query->first.outcome = word;
}

static enum mg_err add_rows(struct query *query, const struct live_rows *rows, struct mg_why *why)
{
    MG_TRY(query_room(query, rows->n * sizeof(struct span), why));
    VEC_RESERVE(&query->spans, query->spans.n + rows->n);
    for (size_t i = 0; i < rows->n; i++) {
        struct span *span = ARENA_NEW(&query->trace, struct span);
        if (i % QUERY_STEP_ROWS == 0)
            MG_TRY(query_step(query, why));
        MG_TRY(query_room(query, row_events_bytes(rows->at[i]), why));
        row_decode(rows->at[i], segment_of(rows->at[i])->epoch, &query->trace, span);
        VEC_PUSH(&query->spans, span);
    }
    note_decision(query, UINT64_MAX, rows->outcome); /* newer than all that is stored */
    return query_step(query, why);
}

/* --- copies out of a reader ------------------------------------------------------------------- */

/* Keys, names and resources of neighbouring spans are the same slices: each is copied once, as a
 * rule. */
enum { COPIES = 256 };
struct copier {
    struct arena *arena;
    struct {
        struct str from, to;
    } copies[COPIES];
};

static void copy_out(struct copier *copier, struct str *text)
{
    size_t at = ((uintptr_t)text->ptr * 0x9e3779b97f4a7c15u >> 40) % COPIES;

    if (text->len == 0) {
        *text = STR("");
        return;
    }
    if (copier->copies[at].from.ptr != text->ptr || copier->copies[at].from.len != text->len) {
        copier->copies[at].from = *text;
        copier->copies[at].to = arena_str(copier->arena, *text);
    }
    *text = copier->copies[at].to;
}

static bool has_bytes(enum value_type type)
{
    return type == VALUE_STRING || type == VALUE_BYTES || type == VALUE_ARRAY ||
           type == VALUE_KVLIST || type == VALUE_OTHER;
}

static void copy_span(struct copier *copier, struct span *span)
{
    struct str *const parts[] = { &span->name,     &span->trace_state, &span->status_message,
                                  &span->events,   &span->links,       &span->unknown,
                                  &span->resource, &span->scope };
    struct attr *attrs = arena_alloc(copier->arena, span->n_attrs * sizeof *attrs);

    for (size_t i = 0; i < MG_COUNT(parts); i++)
        copy_out(copier, parts[i]);
    for (uint32_t i = 0; i < span->n_attrs; i++) {
        attrs[i] = span->attrs[i];
        copy_out(copier, &attrs[i].key);
        if (has_bytes(attrs[i].value.type))
            copy_out(copier, &attrs[i].value.str);
    }
    span->attrs = attrs;
}

/* The reader of these spans may be closed afterwards. */
static enum mg_err copy_spans(struct query *query, size_t first, struct mg_why *why)
{
    struct copier *copier = ARENA_NEW(&query->trace, struct copier);

    copier->arena = &query->trace;
    for (size_t i = first; i < query->spans.n; i++) {
        if ((i - first) % QUERY_STEP_ROWS == 0)
            MG_TRY(query_step(query, why));
        copy_span(copier, query->spans.at[i]);
    }
    return MG_OK;
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* What was decoded before a damaged place stays. A failure is the block's, unless the query is
 * stopped. */
static enum mg_err add_fragments(struct query *query, struct block_reader *reader,
                                 const uint8_t id[16], struct mg_why *why)
{
    uint32_t first = 0, n = block_find(reader, id, &first);

    for (uint32_t i = first; i < first + n; i++) {
        struct block_fragment fragment;
        struct span *spans;
        uint32_t rows;
        MG_TRY(block_fragment_info(reader, i, &fragment));
        note_decision(query, fragment.position, fragment.outcome);
        MG_TRY(query_room(query, fragment.rows * sizeof(struct span), why));
        MG_TRY(block_decode(reader, i, &query->trace, &spans, &rows, why));
        for (uint32_t k = 0; k < rows; k++)
            VEC_PUSH(&query->spans, &spans[k]);
    }
    return MG_OK;
}

static enum mg_err add_block(struct query *query, const struct block_info *block,
                             const uint8_t id[16], bool is_last, struct mg_why *why)
{
    struct mg_why damage = { "" };
    struct block_reader *reader;
    size_t first = query->spans.n;
    enum mg_err err = store_view_open(query->view, block, &reader, &damage);

    if (err == MG_OK)
        err = add_fragments(query, reader, id, &damage);
    if (query->is_stopped)
        return mg_fail(why, err, "%s", damage.text);
    if (err != MG_OK)
        query_damaged(query, &damage);
    if (!is_last)
        MG_TRY(copy_spans(query, first, why));
    return query_step(query, why);
}

/* Indexes of the blocks that may hold the trace, those of the archive among them: an archived trace
 * is shown also when retention has dropped the rest. The list is the trace arena's. */
static size_t find_blocks(struct query *query, const uint8_t id[16], uint32_t **at)
{
    size_t most = store_view_find_most(query->view), room = MG_MIN((size_t)64, most), n;

    for (;; room = MG_MIN(room * 4, most)) {
        *at = arena_alloc(&query->trace, room * sizeof **at);
        n = store_view_find(query->view, id, *at, room);
        if (n < room || room == most)
            return n;
    }
}

static enum mg_err add_blocks(struct query *query, const uint8_t id[16], struct mg_why *why)
{
    const struct block_info *blocks;
    uint32_t *at;
    size_t n = find_blocks(query, id, &at);

    (void)store_view_blocks(query->view, &blocks); /* the archive's stand behind its count */
    for (size_t i = 0; i < n; i++)
        MG_TRY(add_block(query, &blocks[at[i]], id, i + 1 == n, why));
    return MG_OK;
}

/* --- order and repeats ------------------------------------------------------------------------ */

/* Beyond start and id only to make the order of what differs elsewhere the same from ring and from
 * store. */
static int by_start(const void *a, const void *b)
{
    const struct span *left = *(struct span *const *)a, *right = *(struct span *const *)b;
    int order;

    if (left->start_ns != right->start_ns)
        return left->start_ns < right->start_ns ? -1 : 1;
    if ((order = memcmp(left->span_id, right->span_id, sizeof left->span_id)))
        return order;
    if (left->end_ns != right->end_ns)
        return left->end_ns < right->end_ns ? -1 : 1;
    if (left->kind != right->kind)
        return left->kind < right->kind ? -1 : 1;
    return str_cmp(left->name, right->name);
}

static bool is_same_group(const struct span *a, const struct span *b)
{
    return a->start_ns == b->start_ns && memcmp(a->span_id, b->span_id, sizeof a->span_id) == 0;
}

static uint64_t text_hash(struct str text, uint64_t chain)
{
    return hash_bytes(text.ptr ? text.ptr : "", text.len, chain);
}

static uint64_t value_hash(const struct value *value, uint64_t chain)
{
    if (has_bytes(value->type))
        return text_hash(value->str, chain);
    if (value->type == VALUE_BOOL)
        return chain * 3 + value->b;
    if (value->type == VALUE_EMPTY)
        return chain * 3 + 2;
    return hash_bytes(&value->i, sizeof value->i, chain);
}

/* Equal spans have equal hashes. */
static uint64_t span_hash(const struct span *span)
{
    const uint64_t numbers[] = { span->end_ns,         get_le64(span->parent_id),
                                 (uint64_t)span->kind, (uint64_t)span->status_code,
                                 span->flags,          span->dropped_attrs,
                                 span->dropped_events, span->dropped_links };
    const struct str texts[] = {
        span->name,  span->trace_state, span->status_message, span->events,
        span->links, span->unknown,     span->resource,       span->scope
    };
    uint64_t hash = hash_bytes(numbers, sizeof numbers, hash_seed());

    for (size_t i = 0; i < MG_COUNT(texts); i++)
        hash = text_hash(texts[i], hash);
    for (uint32_t i = 0; i < span->n_attrs; i++)
        hash = value_hash(&span->attrs[i].value, text_hash(span->attrs[i].key, hash));
    return hash;
}

struct hashed {
    uint64_t hash;
    size_t at;
};

static int by_hash(const void *a, const void *b)
{
    const struct hashed *left = a, *right = b;

    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return left->at < right->at ? -1 : left->at > right->at;
}

/* A repeat of one of the group becomes NULL. */
static void strike_repeats(struct span **group, size_t n, struct arena *arena)
{
    struct hashed *hashes = arena_alloc(arena, n * sizeof *hashes);

    for (size_t i = 0; i < n; i++)
        hashes[i] = (struct hashed){ span_hash(group[i]), i };
    qsort(hashes, n, sizeof *hashes, by_hash);
    for (size_t i = 0, k; i < n; i = k)
        for (k = i + 1; k < n && hashes[k].hash == hashes[i].hash; k++)
            if (span_equal(group[hashes[i].at], group[hashes[k].at]))
                group[hashes[k].at] = NULL;
}

static void sort_once(struct query *query)
{
    struct span **at = query->spans.at;
    size_t n = query->spans.n, kept = 0;

    if (n > 1)
        qsort(at, n, sizeof *at, by_start);
    for (size_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && is_same_group(at[i], at[k]); k++)
            ;
        if (k - i > 1)
            strike_repeats(&at[i], k - i, &query->trace);
    }
    for (size_t i = 0; i < n; i++)
        if (at[i])
            at[kept++] = at[i];
    query->spans.n = kept;
}

/* --- a trace ---------------------------------------------------------------------------------- */

enum mg_err query_gather(struct query *query, const uint8_t (*ids)[16], size_t i,
                         struct query_trace *out, struct mg_why *why)
{
    struct outcome outcome;

    forget_trace(query);
    MG_TRY(query_step(query, why));
    MG_TRY(add_rows(query, &query->found.traces[i], why));
    MG_TRY(add_blocks(query, ids[i], why));
    if (query->spans.n == 0)
        return mg_fail(why, MG_E_ABSENT, "trace not found");
    sort_once(query);
    *out = (struct query_trace){ .spans = query->spans.at,
                                 .n = query->spans.n,
                                 .outcome = query->first.outcome,
                                 .policy = "" };
    if (outcome_unpack(out->outcome, &outcome))
        out->policy = query_policy(query, &outcome);
    memcpy(out->id, ids[i], sizeof out->id);
    return MG_OK;
}

enum mg_err query_trace(struct query *query, const uint8_t id[16], struct query_trace *out,
                        struct mg_why *why)
{
    uint8_t ids[1][16];

    memcpy(ids[0], id, sizeof ids[0]);
    MG_TRY(query_step(query, why));
    query_take(query, (const uint8_t(*)[16])ids, 1);
    return query_gather(query, (const uint8_t(*)[16])ids, 0, out, why);
}
