/* row.h - a span as it waits in memory: a fixed header and a varint payload, 8-byte aligned.
 *
 *   header 96 B | length of events | attribute values in shape order | optional parts in ROW_HAS
 *   order, but for events | events | pad
 *
 *   attribute value by the shape's type:
 *     STRING BYTES ARRAY KVLIST OTHER  varint(symbol << 1)            a symbol of the epoch
 *                                      varint(length << 1 | 1) bytes  the bytes stand here
 *     INT  varint(zigzag)     DOUBLE  8 bytes, bit pattern     BOOL  1 byte     EMPTY  nothing
 *   optional parts:
 *     TRACE_STATE, STATUS_MESSAGE  coded like a STRING value
 *     DROPPED_*                    varint
 *     LINKS UNKNOWN                varint(length) bytes (wire form, see model/span.h)
 *     WIDE                         varint(zigzag kind) varint(zigzag status), when one does
 *                                  not fit the header (the header then has 255 for that one)
 *     EVENTS                       varint(length in wire form) before the values, and at the end
 *                                  what becomes so many bytes (events.h)
 *
 * A row is written once by an interner, copied once by live into a ring segment, where live sets
 * `prev`, and never changed after it was published. Every reader needs the epoch:
 * segment_of(row)->epoch. */
#pragma once
#include "row/epoch.h"

enum row_has {
    ROW_HAS_TRACE_STATE = 1, ROW_HAS_STATUS_MESSAGE = 2,
    ROW_HAS_DROPPED_ATTRS = 4, ROW_HAS_DROPPED_EVENTS = 8, ROW_HAS_DROPPED_LINKS = 16,
    ROW_HAS_EVENTS = 32, ROW_HAS_LINKS = 64, ROW_HAS_UNKNOWN = 128, ROW_HAS_WIDE = 256
};

struct row {
    const struct row *prev;     /* the trace's row before this one; set by live; meaningful only
                                   within a chain's count */
    uint32_t record;            /* journal position, from its segment's first one on; set by live */
    uint32_t wall_s;            /* when it was received, seconds since 1970; set by live */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8];       /* zero: root */
    uint64_t start_ns, end_ns;
    uint32_t bytes;             /* of the whole row, a multiple of 8 */
    uint32_t name, resource, scope; /* symbols */
    uint32_t shape;
    uint32_t red_key;           /* reserved for RED metrics, 0 */
    uint32_t flags;
    uint16_t has;               /* enum row_has */
    uint8_t kind, status;       /* 255: see WIDE */
    uint8_t payload[];
};
_Static_assert(sizeof(struct row) == 96, "the header is part of the memory budget");

static inline bool row_is_root(const struct row *row)
{
    static const uint8_t none[8];

    return memcmp(row->parent_id, none, sizeof none) == 0;
}

/* Spans that start outside [receive - 1 h, receive + 10 min] go to blocks of their own, so that 1970 and
 * 2100 neither widen summaries nor escape retention (collector/README.md R7). */
static inline bool row_is_stray(const struct row *row)
{
    uint64_t start_s = row->start_ns / 1000000000u;

    return start_s + 3600 < row->wall_s || start_s > (uint64_t)row->wall_s + 600;
}

/* A value where it stands: either a symbol or bytes, or a number. */
struct row_value {
    uint32_t key;
    enum value_type type;
    bool is_symbol;
    union { uint32_t symbol; struct str bytes; int64_t i; double d; bool b; };
};
struct row_cursor {
    const struct row *row;
    const struct epoch *epoch;
    const struct shape *shape;
    uint32_t i;
    const uint8_t *at;
};
void row_values(const struct row *row, const struct epoch *epoch, struct row_cursor *cursor);
bool row_next_value(struct row_cursor *cursor, struct row_value *value); /* false: all n are read */

/* Events as they stand in the row. */
struct row_events {
    const struct row *row;
    const struct epoch *epoch;
    const uint8_t *at;
    size_t bytes; /* in wire form; 0: none */
};
/* In wire form (model/span.h): a slice of the row where they stand so, else in the arena. */
struct str row_events(const struct row_events *events, struct arena *arena);
/* How many bytes that would be: more than the row has, up to 4 KiB or 64 times as many as are in
 * the row for them. Who makes memory of rows' events counts these. */
size_t row_events_bytes(const struct row *row);

/* The optional parts; the cursor must have read all values (row_skip_values does it). */
struct row_rest {
    int32_t kind, status;
    struct row_value trace_state, status_message; /* STRING; symbol 0 when absent */
    uint32_t dropped_attrs, dropped_events, dropped_links;
    struct row_events events;
    struct str links, unknown;
};
void row_skip_values(struct row_cursor *cursor);
void row_read_rest(const struct row_cursor *cursor, struct row_rest *rest);

/* The whole row as a span; attrs and events are in the arena, everything else points into row and
 * epoch. */
void row_decode(const struct row *row, const struct epoch *epoch, struct arena *arena,
                struct span *out);
/* Equal in every field (collector/README.md R15), also across epochs. */
bool row_equal(const struct row *a, const struct epoch *epoch_a,
               const struct row *b, const struct epoch *epoch_b);
/* Structural check for tests and fuzzing: lengths inside the row (whose `bytes` must be readable),
 * symbols and shapes known to the epoch, zeroes in the pad. */
bool row_is_sound(const struct row *row, const struct epoch *epoch);
