/* summary.c - what a search may conclude about a block without opening it.
 *
 * The catalogue is kept as bytes and walked at each question: it has a few hundred names, which is
 * less than one column of the block that it saves reading. Services and operations are sorted, so
 * equal blocks have equal summaries and a checker compares bytes. */
#include "store/summary.h"

#include <stdlib.h>
#include "store/block_format.h"
#include "store/summary_build.h"
#include "store/summary_tags.h"
#include "store/tagged.h"

/* --- writing ---------------------------------------------------------------------------------- */
static int compare_entries(const void *left, const void *right)
{
    const struct catalogue_entry *a = left, *b = right;
    int order = str_cmp(a->service, b->service);

    if (order == 0)
        order = str_cmp(a->operation, b->operation);
    return order ? order : (int)a->kind - (int)b->kind;
}

static size_t unique_entries(struct catalogue_entry *entries, size_t n)
{
    size_t kept = 0;

    qsort(entries, n, sizeof *entries, compare_entries);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || compare_entries(&entries[kept - 1], &entries[i]) != 0)
            entries[kept++] = entries[i];
    return kept;
}

static size_t service_end(const struct catalogue_entry *entries, size_t n, size_t first)
{
    size_t i = first;

    while (i < n && str_eq(entries[i].service, entries[first].service))
        i++;
    return i;
}

static void put_name(struct buf *out, struct str name)
{
    buf_put_varint(out, name.len);
    buf_put_str(out, name);
}

bool catalogue_write(struct buf *out, struct catalogue_entry *entries, size_t n)
{
    size_t services = 0, all = n ? unique_entries(entries, n) : 0;

    n = MG_MIN(all, (size_t)SUMMARY_OPERATIONS_MAX);
    for (size_t i = 0; i < n; i = service_end(entries, n, i))
        services++;
    buf_put_varint(out, services);
    for (size_t i = 0, end; i < n; i = end) {
        end = service_end(entries, n, i);
        put_name(out, entries[i].service);
        buf_put_varint(out, end - i);
        for (size_t k = i; k < end; k++) {
            put_name(out, entries[k].operation);
            buf_put_char(out, (char)entries[k].kind);
        }
    }
    return all > n;
}

void summary_write(struct buf *out, const struct summary *summary)
{
    tagged_put_u64(out, SUMMARY_ROWS, summary->rows);
    tagged_put_u64(out, SUMMARY_FRAGMENTS, summary->fragments);
    tagged_put_u64(out, SUMMARY_START_MIN, summary->start_min_ns);
    tagged_put_u64(out, SUMMARY_START_MAX, summary->start_max_ns);
    tagged_put_u64(out, SUMMARY_DURATION_MIN, summary->duration_min_ns);
    tagged_put_u64(out, SUMMARY_DURATION_MAX, summary->duration_max_ns);
    tagged_put_u64(out, SUMMARY_FLAGS, summary->flags);
    tagged_put_u64(out, SUMMARY_BLOCK_BYTES, summary->block_bytes);
    tagged_put_u64(out, SUMMARY_WALL, summary->wall_ns);
    tagged_put(out, SUMMARY_CATALOGUE, summary->catalogue);
    if (summary->operations_cut)
        tagged_put(out, SUMMARY_OPERATIONS_CUT, STR(""));
    if (summary->attributes.len)
        tagged_put(out, SUMMARY_ATTRIBUTES, summary->attributes);
}

/* --- reading ---------------------------------------------------------------------------------- */
struct walk {
    const uint8_t *at, *end;
};

static bool walk_count(struct walk *walk, uint64_t *count)
{
    walk->at = get_varint(walk->at, walk->end, count);
    return walk->at && *count <= (uint64_t)(walk->end - walk->at);
}

static bool walk_name(struct walk *walk, struct str *name)
{
    uint64_t len;

    if (!walk_count(walk, &len))
        return false;
    *name = str_n(walk->at, (size_t)len);
    walk->at += len;
    return true;
}

typedef bool operation_fn(void *owner, struct str service, struct str operation, int kind);

/* Walks until on_operation says false. */
static enum mg_err walk_catalogue(struct str catalogue, operation_fn *on_operation, void *owner)
{
    struct walk walk = { wire_begin(catalogue), wire_end(catalogue) };
    uint64_t services, operations;
    struct str service, operation;

    if (!walk_count(&walk, &services))
        return MG_E_FORMAT;
    while (services--) {
        if (!walk_name(&walk, &service) || !walk_count(&walk, &operations))
            return MG_E_FORMAT;
        while (operations--) {
            if (!walk_name(&walk, &operation) || walk.at == walk.end)
                return MG_E_FORMAT;
            if (!on_operation(owner, service, operation, *walk.at++))
                return MG_OK;
        }
    }
    return walk.at == walk.end ? MG_OK : MG_E_FORMAT;
}

/* Where tag's number goes; NULL: not one of those that are kept as they are. */
static uint64_t *number_of(struct summary *summary, uint32_t tag)
{
    switch (tag) {
    case SUMMARY_START_MIN: return &summary->start_min_ns;
    case SUMMARY_START_MAX: return &summary->start_max_ns;
    case SUMMARY_DURATION_MIN: return &summary->duration_min_ns;
    case SUMMARY_DURATION_MAX: return &summary->duration_max_ns;
    case SUMMARY_BLOCK_BYTES: return &summary->block_bytes;
    case SUMMARY_WALL: return &summary->wall_ns;
    default: return NULL;
    }
}

static uint32_t *count_of(struct summary *summary, uint32_t tag)
{
    switch (tag) {
    case SUMMARY_ROWS: return &summary->rows;
    case SUMMARY_FRAGMENTS: return &summary->fragments;
    case SUMMARY_FLAGS: return &summary->flags;
    default: return NULL;
    }
}

static bool take_entry(struct summary *summary, uint32_t tag, struct str content)
{
    uint64_t *number = number_of(summary, tag), value;
    uint32_t *count = count_of(summary, tag);

    if (number)
        return tagged_u64(content, number);
    if (count) {
        if (!tagged_u64(content, &value) || value > UINT32_MAX)
            return false;
        *count = (uint32_t)value;
    } else if (tag == SUMMARY_CATALOGUE) {
        summary->catalogue = content;
    } else if (tag == SUMMARY_OPERATIONS_CUT) {
        summary->operations_cut = true;
    } else if (tag == SUMMARY_ATTRIBUTES) {
        summary->attributes = content;
    }
    return true;
}

#define TAGS_NEEDED ((1u << (SUMMARY_CATALOGUE + 1)) - 2)

enum mg_err summary_read(struct str bytes, struct summary *out)
{
    struct summary summary = { 0 };
    struct str content;
    uint32_t tag, seen = 0;
    int more;

    while ((more = tagged_next(&bytes, &tag, &content)) == 1) {
        if (!take_entry(&summary, tag, content))
            return MG_E_FORMAT;
        if (tag < 32)
            seen |= 1u << tag;
    }
    if (more < 0 || (seen & TAGS_NEEDED) != TAGS_NEEDED)
        return MG_E_FORMAT;
    *out = summary;
    return MG_OK;
}

struct wanted {
    const struct span_filter *filter;
    bool is_found;
};

static bool on_wanted(void *owner, struct str service, struct str operation, int kind)
{
    struct wanted *wanted = owner;
    const struct span_filter *filter = wanted->filter;

    (void)kind;
    wanted->is_found = (!filter->service.ptr || str_eq(service, filter->service)) &&
                       (!filter->operation.ptr || str_eq(operation, filter->operation));
    return !wanted->is_found;
}

static bool names_may_match(const struct summary *summary, const struct span_filter *filter)
{
    struct wanted wanted = { .filter = filter };

    if (summary->operations_cut || (!filter->service.ptr && !filter->operation.ptr))
        return true;
    /* A catalogue that cannot be read rules nothing out: the block is opened and says what is
     * wrong. */
    return walk_catalogue(summary->catalogue, on_wanted, &wanted) != MG_OK || wanted.is_found;
}

bool summary_may_match(const struct summary *summary, const struct span_filter *filter)
{
    if (filter->start_min_ns > summary->start_max_ns ||
        filter->start_max_ns < summary->start_min_ns ||
        filter->duration_min_ns > summary->duration_max_ns ||
        filter->duration_max_ns < summary->duration_min_ns)
        return false;
    return told_may_match(summary->attributes, filter) && names_may_match(summary, filter);
}

struct each {
    summary_operation_fn *on_operation;
    void *owner;
};

static bool on_each(void *owner, struct str service, struct str operation, int kind)
{
    struct each *each = owner;

    each->on_operation(each->owner, service, operation, kind);
    return true;
}

enum mg_err summary_operations(const struct summary *summary, summary_operation_fn *on_operation,
                               void *owner)
{
    struct each each = { on_operation, owner };

    return walk_catalogue(summary->catalogue, on_each, &each);
}
