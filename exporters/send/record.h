/* record.h - a batch as a record of the queue's journal, both directions. Module-private, any thread with
 * its own struct zip.
 *
 *   head  pairs of varints, field and value, in any order; unknown fields are skipped
 *   body  the OTLP request, in journal_record.encoding, a zip_kind: what the wire takes; for one that takes
 *         it plain a zstd frame, or plain where that gains little */
#pragma once
#include "send/send.h"

struct record_meta {
    uint64_t position;    /* send_item.position */
    uint64_t plain_bytes; /* of the request */
    uint32_t spans;
    bool is_first; /* it was appended when all items given before it were durable or dropped */
};

/* Composes *record but for done, in new memory that goes with record_release: nothing in it is the item's, whose owner need not
 * keep it until the disk has answered. wanted: send_wire.encoding. E_TOO_BIG: a request that this encoding cannot hold; nothing was made. */
enum mg_err record_pack(struct zip *zip, enum zip_kind wanted, const struct send_item *item, bool is_first, uint64_t wall_ns,
                        struct journal_record *record) MG_MUST_USE;
void record_release(struct journal_record *record); /* zeroed memory is fine */
/* E_FORMAT: malformed, or of a later version. */
enum mg_err record_meta_read(struct str head, struct record_meta *meta, struct mg_why *why) MG_MUST_USE;
/* Fills *out, an empty buffer without a limit, with the request as `wanted` says; packed again when the wire took another encoding
 * when it was written. E_FORMAT: it is damaged; *out may hold anything then. */
enum mg_err record_unpack(struct zip *zip, enum zip_kind wanted, const struct journal_record *record, const struct record_meta *meta,
                          struct buf *out, struct mg_why *why) MG_MUST_USE;
