/* head.c - see head.h. */
#include "ingest/head.h"
#include <stdlib.h>
#include "base/bytes.h"
#include "base/mem.h"

enum { VERSION_REFUSED = 1, VERSION = 2 };

bool left_out_has(struct left_out list, uint32_t ordinal)
{
    size_t low = 0, high = list.n;

    while (low < high) { /* the first run that ends behind it */
        size_t middle = low + (high - low) / 2;
        if (list.at[middle].first + list.at[middle].n <= ordinal)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list.n && list.at[low].first <= ordinal;
}

/* --- collecting ------------------------------------------------------------------------------------- */

void run_list_add(struct run_list *list, uint32_t ordinal)
{
    if (list->runs.n) {
        struct run *last = &list->runs.at[list->runs.n - 1];
        if (last->first + last->n == ordinal) {
            last->n++;
            return;
        }
        list->is_mixed |= ordinal < last->first;
    }
    VEC_PUSH(&list->runs, ((struct run){ ordinal, 1 }));
}

static int by_first(const void *a, const void *b)
{
    uint32_t x = ((const struct run *)a)->first, y = ((const struct run *)b)->first;

    return (x > y) - (x < y);
}

struct left_out run_list_end(struct run_list *list)
{
    size_t n = 0;

    if (list->is_mixed) {
        qsort(list->runs.at, list->runs.n, sizeof *list->runs.at, by_first);
        for (size_t i = 0; i < list->runs.n; i++) {
            struct run *last = n ? &list->runs.at[n - 1] : NULL, next = list->runs.at[i];
            if (last && last->first + last->n == next.first)
                last->n += next.n;
            else
                list->runs.at[n++] = next;
        }
        list->runs.n = n;
        list->is_mixed = false;
    }
    return (struct left_out){ list->runs.at, list->runs.n };
}

void run_list_clear(struct run_list *list)
{
    VEC_CLEAR(&list->runs);
    list->is_mixed = false;
}

void run_list_fini(struct run_list *list)
{
    VEC_FINI(&list->runs);
    list->is_mixed = false;
}

/* --- the wire --------------------------------------------------------------------------------------- */

static void write_list(struct buf *head, struct left_out list)
{
    uint32_t end = 0;

    buf_put_varint(head, list.n);
    for (size_t i = 0; i < list.n; i++) {
        buf_put_varint(head, list.at[i].first - end);
        buf_put_varint(head, list.at[i].n);
        end = list.at[i].first + list.at[i].n;
    }
}

void body_head_write(struct buf *head, struct left_out refused, struct left_out dropped)
{
    buf_put_varint(head, VERSION);
    write_list(head, refused);
    write_list(head, dropped);
}

static const uint8_t *read_run(const uint8_t *at, const uint8_t *end, uint64_t *from, struct run *out)
{
    uint64_t step, n;

    if (!(at = get_varint(at, end, &step)) || !(at = get_varint(at, end, &n)) || n == 0)
        return NULL;
    if (step > UINT32_MAX || n > UINT32_MAX || *from + step + n > UINT32_MAX)
        return NULL;
    *out = (struct run){ (uint32_t)(*from + step), (uint32_t)n };
    *from += step + n;
    return at;
}

static const uint8_t *read_list(const uint8_t *at, const uint8_t *end, struct left_out *out, uint32_t *spans)
{
    uint64_t count, from = 0;
    struct run *list;

    if (!(at = get_varint(at, end, &count)) || count > (uint64_t)(end - at) / 2) /* a run has two bytes at least */
        return NULL;
    list = mem_alloc((size_t)count * sizeof *list);
    *out = (struct left_out){ list, (size_t)count };
    for (size_t i = 0; i < count; i++) {
        if (!(at = read_run(at, end, &from, &list[i])))
            return NULL;
        *spans += list[i].n;
    }
    return at;
}

enum mg_err body_head_read(struct str head, struct body_head *out)
{
    const uint8_t *at = (const uint8_t *)head.ptr, *end = at + head.len;
    struct body_head read = { 0 };
    uint64_t version;

    if (!(at = get_varint(at, end, &version)) || version < VERSION_REFUSED || version > VERSION)
        return MG_E_FORMAT;
    at = read_list(at, end, &read.refused, &read.n_refused);
    if (at && version >= VERSION)
        at = read_list(at, end, &read.dropped, &read.n_dropped);
    if (at != end) {
        body_head_fini(&read);
        return MG_E_FORMAT;
    }
    *out = read;
    return MG_OK;
}

void body_head_fini(struct body_head *head)
{
    mem_free((void *)head->refused.at); /* borrowed as const by everybody but the reader */
    mem_free((void *)head->dropped.at);
    *head = (struct body_head){ 0 };
}
