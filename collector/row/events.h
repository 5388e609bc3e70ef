/* events.h - a span's events in its row. How others read them is in row.h (row_events); this is for
 * the interner, which writes them, and for row.c.
 *
 * Events repeat but for their time. One that begins with its time, as every sender writes it, is
 * split into the time and the rest, which is a symbol; where rests of its kind do not repeat, it is
 * split further: what comes before the first attribute, keys, values. Anything else stays as it was
 * received. All of it comes back byte by byte.
 *
 *   events     varint(bytes in wire form), first in the payload, and last in it what becomes them:
 *   item       varint(symbol << 2) time              the rest of an event that begins with its time
 *              varint(bytes << 2 | 1) time piece...  the same, of so many bytes
 *              varint(bytes << 2 | 2) bytes          as received: an event, several, or no event
 *   time       varint(zigzag(time - the time of the event split before it, or the span's start))
 *   piece      varint(symbol << 2) value             an `attributes` field: key and value
 *              varint(bytes << 2 | 1) bytes          as received
 *              varint(symbol << 2 | 2)               as received
 *   value      the AnyValue message, coded like a STRING value
 *
 * In wire form an event is 5a LENGTH 09 TIME rest, and an `attributes` field 1a LENGTH 0a LENGTH
 * key 12 LENGTH value. Only what is exactly that, with lengths as short as can be, is split. */
#pragma once
#include "row/payload.h"

#define EVENT_GUESSES 64

struct event_guess { /* a rest */
    const char *ptr; /* in the epoch */
    uint32_t len, symbol;
    uint32_t *note; /* of its kind */
};

/* What an interner remembers of an epoch; zeroed memory is the beginning. */
struct event_writer {
    uint32_t heads_note; /* what comes before the first attribute, the name: does it repeat? */
    uint32_t other_note; /* rests of those whose head does not */
    struct event_guess guesses[EVENT_GUESSES];
};

/* Room for the items of events that are so long. Worst of each: 11 bytes before a rest become 15,
 * and one head of 2 bytes a symbol of 5; 6 bytes around an attribute's key and value become 10; n
 * bytes as received cost a varint of their number more. None is more than twice as long. */
static inline size_t events_room(size_t bytes)
{
    return 2 * bytes;
}
/* Writes the items, returns their end. Loop thread. */
uint8_t *events_put(struct event_writer *writer, struct epoch *epoch, const struct span *span,
                    uint8_t *at);

bool events_equal(const struct row_events *a, const struct row_events *b);
void events_check(struct checker *checker, uint64_t bytes, const struct epoch *epoch);
