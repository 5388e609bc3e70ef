/* tags.h - attributes as the tags a person sees: sanitised, sorted by key, shown once.
 *
 * A list is filled from a span's attributes or from a message in wire form, adjusted unless the
 * reader asked for raw data, and written. It borrows what it was filled with; strings that
 * adjusting makes are the arena's. One thread. */
#pragma once
#include "codec/json_write.h"
#include "model/span.h"

struct tag_list {
    struct attr *at; /* a VEC */
    size_t n, room;
};
void tag_list_fini(struct tag_list *tags); /* zeroed memory is an empty list */
void tag_list_add(struct tag_list *tags, const struct attr *attr);
/* The KeyValue fields with that number in a message, up to the first malformed one. */
void tag_list_add_message(struct tag_list *tags, struct str message, uint32_t field);

/* In place: keys and values that are not UTF-8 become bytes (3.8); integers under `ip` and
 * `peer.ipv4` become dotted quads when format_ips (7, step 5); sorted by key, equal keys in the
 * order received; the same key with the same value only once. */
void tag_list_adjust(struct tag_list *tags, bool format_ips, struct arena *arena);
/* Independent of the order; two lists with the same digest hold the same attributes (64 bits,
 * seeded by process). */
uint64_t tag_list_digest(const struct tag_list *tags);

/* A bare AnyValue, read where it lies: attr_decode would need a copy with a key's frame, and copies
 * of copies at each level. The last member counts; an unknown one leaves the value as it is. */
struct value any_value(struct str message);

/* {"key":…,"type":…,"value":…}. `text` is scratch; what does not fit into it is lost, so its limit
 * must be that of the output (check buf_err of both). */
void tag_write(struct json_writer *w, const struct attr *tag, struct buf *text);
