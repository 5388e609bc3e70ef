/* summary_build.h - writing a summary, private to the block codec. */
#pragma once
#include "store/summary.h"

struct catalogue_entry {
    struct str service, operation;
    uint8_t kind;
};
/* Sorts the entries, leaves out repeats, writes the content of tag 10; true: cut at the limit. */
bool catalogue_write(struct buf *out, struct catalogue_entry *entries, size_t n);
/* The kind byte of a span's kind: numbers that have no name count as unspecified. */
static inline uint8_t catalogue_kind(int64_t kind)
{
    return kind >= 0 && kind <= 5 ? (uint8_t)kind : 0;
}
/* catalogue and operations_cut are taken from *summary like the rest. */
void summary_write(struct buf *out, const struct summary *summary);
