/* record.h - a batch as a record of the queue's journal, both directions. Module-private, any thread with
 * its own struct zip.
 *
 *   head  pairs of varints, field and value, in any order; unknown fields are skipped
 *   body  the OTLP request, plain or one zstd frame: journal_record.encoding, a zip_kind */
#pragma once
#include "codec/zip.h"
#include "send/send.h"

struct record_meta {
    uint64_t position;    /* send_item.position */
    uint64_t plain_bytes; /* of the request */
    uint32_t spans;
    bool is_first; /* it was appended when all items given before it were durable or dropped */
};

/* Composes *record but for done, in new memory that goes with record_release: nothing in it is the item's, whose owner need not
 * keep it until the disk has answered. */
void record_pack(struct zip *zip, const struct send_item *item, bool is_first, uint64_t wall_ns, struct journal_record *record);
void record_release(struct journal_record *record); /* zeroed memory is fine */
/* E_FORMAT: malformed, or of a later version. */
enum mg_err record_meta_read(struct str head, struct record_meta *meta, struct mg_why *why) MG_MUST_USE;
/* Returns the plain request, meta->plain_bytes, in new memory (mem_free). */
enum mg_err record_unpack(struct zip *zip, const struct journal_record *record,
                          const struct record_meta *meta, char **out, struct mg_why *why) MG_MUST_USE;
