/* lot.c - a request is put together in two steps, because a group's length stands in front of it: spans are gathered as finished fields,
 * and once all are there they are copied to where they belong, with lengths that are known then.
 *
 *     spans:  [a1][b1][a2][c1][b2]          pieces, in the order they came
 *     groups: a -> a2 -> a1   b -> b2 -> b1   c -> c1
 *     out:    resource( scope a [a2][a1], scope b [b2][b1] ) resource( scope c [c1] ) */
#include "forward/lot.h"

#include <assert.h>
#include <stdlib.h>
#include "base/map.h"
#include "model/wire.h"

enum {
    FIELD_RESOURCE_SPANS = 1, /* of ExportTraceServiceRequest */
    FIELD_SCOPE_SPANS = 2,    /* of ResourceSpans */
    FIELD_SPAN = 2,           /* of ScopeSpans */
    HEAD_MAX = 11,            /* a tag and a length */
    SLOTS_MIN = 64,
    SLOTS_KEPT = 4096         /* by an empty lot */
};
#define SPANS_KEPT ((size_t)256 << 10) /* bytes, likewise */

void lot_init(struct lot *lot)
{
    *lot = (struct lot){ .seed = hash_seed() };
    buf_init(&lot->spans, SIZE_MAX);
}

void lot_fini(struct lot *lot)
{
    buf_fini(&lot->spans);
    VEC_FINI(&lot->pieces);
    VEC_FINI(&lot->groups);
    VEC_FINI(&lot->slots);
}

/* --- groups ----------------------------------------------------------------------------------------- */

static bool key_eq(const struct lot_key *a, const struct lot_key *b)
{
    return a->epoch == b->epoch && a->resource == b->resource && a->scope == b->scope;
}

/* The slot where the key's group stands or would stand. */
static uint32_t *slot_of(struct lot *lot, const struct lot_key *key)
{
    size_t mask = lot->slots.n - 1;
    size_t i = hash_bytes(key, sizeof *key, lot->seed) & mask;

    while (lot->slots.at[i] != LOT_NONE && !key_eq(&lot->groups.at[lot->slots.at[i]].key, key))
        i = (i + 1) & mask;
    return &lot->slots.at[i];
}

static void grow_slots(struct lot *lot)
{
    lot->slots.n = MG_MAX((size_t)SLOTS_MIN, lot->slots.n * 2);
    VEC_RESERVE(&lot->slots, lot->slots.n);
    memset(lot->slots.at, 0xff, lot->slots.n * sizeof *lot->slots.at);
    for (size_t i = 0; i < lot->groups.n; i++)
        *slot_of(lot, &lot->groups.at[i].key) = (uint32_t)i;
}

/* LOT_NONE: there is no such group yet. */
static uint32_t find_group(struct lot *lot, const struct lot_key *key)
{
    if (lot->groups.n == 0)
        return LOT_NONE;
    if (!key_eq(&lot->groups.at[lot->recent].key, key)) {
        uint32_t found = *slot_of(lot, key);
        if (found == LOT_NONE)
            return LOT_NONE;
        lot->recent = found;
    }
    return lot->recent;
}

static uint32_t add_group(struct lot *lot, const struct lot_key *key)
{
    if (lot->groups.n * 2 >= lot->slots.n)
        grow_slots(lot);
    lot->recent = (uint32_t)lot->groups.n;
    *slot_of(lot, key) = lot->recent;
    VEC_PUSH(&lot->groups, ((struct lot_group){ .key = *key, .newest = LOT_NONE }));
    return lot->recent;
}

/* What the heads of a new group can take; a resource that is there already is counted again. */
static size_t group_bytes(const struct lot_key *key)
{
    return 2 * HEAD_MAX + epoch_text(key->epoch, key->resource).len + epoch_text(key->epoch, key->scope).len;
}

/* --- adding ----------------------------------------------------------------------------------------- */

static void put_head(struct buf *out, uint32_t number, size_t len)
{
    buf_put_varint(out, WIRE_TAG(number, WIRE_BYTES));
    buf_put_varint(out, len);
}

bool lot_add(struct lot *lot, const struct row *row, const struct epoch *epoch, struct str span, size_t bytes_max)
{
    const struct lot_key key = { epoch, row->resource, row->scope };
    uint32_t group = find_group(lot, &key);
    size_t more = HEAD_MAX + span.len + (group == LOT_NONE ? group_bytes(&key) : 0);
    size_t at = lot->spans.len;

    if (lot->n > 0 && lot->bytes + more > bytes_max)
        return false;
    if (group == LOT_NONE)
        group = add_group(lot, &key);
    put_head(&lot->spans, FIELD_SPAN, span.len);
    buf_put_str(&lot->spans, span);
    VEC_PUSH(&lot->pieces, ((struct lot_piece){ at, lot->spans.len - at, lot->groups.at[group].newest }));
    lot->groups.at[group].newest = lot->n++;
    lot->groups.at[group].bytes += lot->spans.len - at;
    lot->bytes += more;
    return true;
}

/* --- writing ---------------------------------------------------------------------------------------- */

/* Any order will do in which equal resources are neighbours. */
static int compare_groups(const void *left, const void *right)
{
    const struct lot_key *a = &((const struct lot_group *)left)->key, *b = &((const struct lot_group *)right)->key;

    if (a->epoch != b->epoch)
        return (uintptr_t)a->epoch < (uintptr_t)b->epoch ? -1 : 1;
    if (a->resource != b->resource)
        return a->resource < b->resource ? -1 : 1;
    return a->scope < b->scope ? -1 : a->scope > b->scope;
}

static size_t scope_len(const struct lot_group *group)
{
    return epoch_text(group->key.epoch, group->key.scope).len + group->bytes;
}

static bool shares_resource(const struct lot_group *a, const struct lot_group *b)
{
    return a->key.epoch == b->key.epoch && a->key.resource == b->key.resource;
}

static void write_scope(const struct lot *lot, const struct lot_group *group, struct buf *out)
{
    put_head(out, FIELD_SCOPE_SPANS, scope_len(group));
    buf_put_str(out, epoch_text(group->key.epoch, group->key.scope));
    for (uint32_t i = group->newest; i != LOT_NONE; i = lot->pieces.at[i].before)
        buf_put(out, lot->spans.ptr + lot->pieces.at[i].at, lot->pieces.at[i].len);
}

/* The groups from `first` on that share its resource; returns the one after them. */
static size_t write_resource(const struct lot *lot, size_t first, struct buf *out)
{
    const struct lot_group *groups = lot->groups.at;
    struct str resource = epoch_text(groups[first].key.epoch, groups[first].key.resource);
    size_t len = resource.len, end = first;

    for (; end < lot->groups.n && shares_resource(&groups[first], &groups[end]); end++)
        len += 1 + varint_len(scope_len(&groups[end])) + scope_len(&groups[end]);
    put_head(out, FIELD_RESOURCE_SPANS, len);
    buf_put_str(out, resource);
    for (size_t i = first; i < end; i++)
        write_scope(lot, &groups[i], out);
    return end;
}

static void empty(struct lot *lot)
{
    lot->n = lot->recent = 0;
    lot->bytes = 0;
    buf_shrink(&lot->spans, SPANS_KEPT);
    VEC_CLEAR(&lot->pieces);
    VEC_CLEAR(&lot->groups);
    if (lot->slots.n > SLOTS_KEPT)
        VEC_FINI(&lot->slots); /* one lot of many groups must not make every later one slow */
    else if (lot->slots.n)
        memset(lot->slots.at, 0xff, lot->slots.n * sizeof *lot->slots.at);
}

void lot_write(struct lot *lot, struct buf *out)
{
    enum mg_err err = buf_reserve(out, lot->bytes);

    assert(err == MG_OK);
    if (lot->groups.n)
        qsort(lot->groups.at, lot->groups.n, sizeof *lot->groups.at, compare_groups);
    for (size_t i = 0; i < lot->groups.n;)
        i = write_resource(lot, i, out);
    empty(lot);
}
