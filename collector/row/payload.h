/* payload.h - the bytes behind a header, as row.c and events.c read them.
 *
 * take_… trust: rows are written by this process. The end is there because the varint reader wants
 * one, and they assert that it was not needed. check_… believe nothing; what they say after a
 * failure is 0. */
#pragma once
#include <assert.h>
#include "row/row.h"

static inline const uint8_t *row_end(const struct row *row)
{
    return (const uint8_t *)row + row->bytes;
}

static inline uint64_t take_varint(const uint8_t **at, const uint8_t *end)
{
    uint64_t value = 0;

    if (**at < 0x80)
        return *(*at)++;
    *at = get_varint(*at, end, &value);
    assert(*at);
    return value;
}

static inline struct str take_bytes(const uint8_t **at, size_t len)
{
    struct str bytes = str_n(*at, len);

    *at += len;
    return bytes;
}

struct checker {
    const uint8_t *at, *end;
    uint32_t symbols; /* the highest */
    bool failed;
};

static inline uint64_t check_varint(struct checker *c)
{
    uint64_t value = 0;
    const uint8_t *after = c->failed ? NULL : get_varint(c->at, c->end, &value);

    if (!after) {
        c->failed = true;
        return 0;
    }
    c->at = after;
    return value;
}

static inline void check_bytes(struct checker *c, uint64_t len)
{
    if (c->failed || len > (uint64_t)(c->end - c->at))
        c->failed = true;
    else
        c->at += len;
}

static inline uint32_t check_symbol(struct checker *c, uint64_t symbol)
{
    c->failed |= symbol > c->symbols;
    return c->failed ? 0 : (uint32_t)symbol;
}
