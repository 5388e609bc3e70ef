/* column.h - the encodings of one column (FORMAT.md 3: ints, ids, strings, text forms), private to
 * the block codec. Writers append to a buf; readers look into unpacked bytes and check them first,
 * so that the getters, whose index the caller has checked, cannot leave them. Reader and writer of
 * one form stand beside each other in column.c. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "store/block_format.h"

/* --- ints and ids ----------------------------------------------------------------------------- */
struct ints {
    const uint8_t *planes; /* plane k of value i: planes[k * n + i] */
    uint64_t base;
    uint32_t n;
    uint8_t width; /* planes, 0 to 8 */
};
static inline uint64_t ints_get(const struct ints *ints, uint32_t i)
{
    const uint8_t *p = ints->planes + i;
    uint64_t value = 0;

    for (unsigned k = 0; k < ints->width; k++, p += ints->n)
        value |= (uint64_t)*p << (8 * k);
    return ints->base + value;
}
uint8_t column_put_ints(struct buf *out, const uint64_t *values,
                        uint32_t n); /* returns the width */
uint8_t column_put_ids(struct buf *out, const uint32_t *values, uint32_t n);
void column_put_planes(struct buf *out, const uint64_t *values, uint32_t n, unsigned width);
bool ints_open(struct ints *out, struct str raw, uint32_t n, unsigned width); /* false: malformed */
bool ids_open(struct ints *out, struct str raw, uint32_t n, unsigned width);
void ints_unpack(const struct ints *ints, uint32_t first, uint32_t n, uint64_t *out);
void ids_unpack(const struct ints *ints, uint32_t first, uint32_t n,
                uint32_t *out);                         /* the low 32 bits */
bool ids_below(const struct ints *ids, uint64_t limit); /* every value is below */

/* --- strings ---------------------------------------------------------------------------------- */
struct strings {
    uint32_t *offsets; /* n + 1; owned (mem_free) */
    const char *bytes;
    uint32_t n;
};
static inline struct str strings_get(const struct strings *strings, uint32_t i)
{
    return str_n(strings->bytes + strings->offsets[i],
                 strings->offsets[i + 1] - strings->offsets[i]);
}
void column_put_strings(struct buf *out, const struct str *values, uint32_t n);
bool strings_open(struct strings *out, struct str raw, uint32_t n);
void strings_fini(struct strings *strings);

/* --- text columns ----------------------------------------------------------------------------- */
/* The packed forms. `bytes` is set to the packed bytes of one value. */
bool text_is_uuid(struct str text);
bool text_is_hex(struct str text);                /* lower case, even, 2 to 510 digits */
void text_pack(struct buf *out, struct str text); /* of either form: the digits, two a byte */

struct text_column {
    enum text_form form;
    uint32_t n;
    struct {
        uint32_t *numbers; /* string numbers, below the block's count + 1; owned */
        uint32_t n;
        struct ints ids;
    } dictionary;
    struct strings strings;
    const uint8_t *packed;
    uint8_t packed_bytes; /* of one value */
};
bool text_column_open(struct text_column *out, struct str raw, uint32_t n, unsigned form,
                      uint32_t strings);
void text_column_fini(struct text_column *column);
/* Value i; `table` is the block's string table. Packed forms are written into the arena. */
struct str text_column_get(const struct text_column *column, uint32_t i,
                           const struct strings *table, struct arena *arena);
/* The packed bytes of a wanted text, when the column could hold it; false: it holds no such value.
 */
bool text_column_pack(const struct text_column *column, struct str wanted, uint8_t out[255]);

/* String number to text: 0 is the empty string. */
static inline struct str string_number(const struct strings *table, uint32_t number)
{
    return number ? strings_get(table, number - 1) : STR("");
}
