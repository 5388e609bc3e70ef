/* format.h - the bytes of segment, group and record headers (FORMAT.md), both directions.
 * Module-private. Nothing here does I/O or trusts a byte; any thread. */
#pragma once
#include "codec/hash.h"
#include "journal/journal.h"

enum {
    FORMAT_PAGE = 4096, /* groups begin at multiples of it; the segment header takes one */
    FORMAT_SEGMENT_HEAD = 128,
    FORMAT_GROUP_HEAD = 64,
    FORMAT_RECORD_HEAD = 64,
    FORMAT_RECORD_ALIGN = 64,
    FORMAT_VERSION = 1,
};
#define FORMAT_PAYLOAD_MAX ((uint64_t)1 << 30) /* head and body of one record */
#define FORMAT_NUMBER_MAX  ((uint64_t)1 << 62) /* positions, times, numbers: sums never overflow */

struct segment_head {
    uint64_t number, nonce, first_position, log_ns, wall_ns;
    uint64_t prev_number, prev_end, prev_next_position;
};
enum segment_state {
    SEGMENT_BEGUN,   /* a valid header of this number */
    SEGMENT_UNUSED,  /* the header of another number: never begun under this name */
    SEGMENT_BLANK,   /* zeros: never begun, unless it has groups */
    SEGMENT_DAMAGED, /* neither */
    SEGMENT_FOREIGN, /* a valid header of a version that is not read here */
};
void segment_head_write(uint8_t out[FORMAT_SEGMENT_HEAD], const struct segment_head *head);
/* *head is written for BEGUN only. */
enum segment_state segment_head_read(const uint8_t in[FORMAT_SEGMENT_HEAD], uint64_t number,
                                     struct segment_head *head);

struct group_head {
    uint32_t count;
    uint64_t bytes, first_position, log_ns, number, nonce;
};
void group_head_write(uint8_t out[FORMAT_GROUP_HEAD], const struct group_head *head);
/* false: not a group of the segment `number`. Count, bytes and positions are consistent when true.
 */
bool group_head_read(const uint8_t in[FORMAT_GROUP_HEAD], uint64_t number, struct group_head *head);

/* The record's header; the hash stream is scratch. */
void record_head_write(uint8_t out[FORMAT_RECORD_HEAD], const struct journal_record *record,
                       uint64_t number, struct hash64_stream *hash);
/* Reads all but head.ptr and body.ptr. false: a bad header or lengths above FORMAT_PAYLOAD_MAX. */
bool record_head_read(const uint8_t in[FORMAT_RECORD_HEAD], uint64_t number,
                      struct journal_record *record);
bool record_is_whole(const uint8_t in[FORMAT_RECORD_HEAD], const struct journal_record *record,
                     uint64_t number, struct hash64_stream *hash);

static inline uint64_t format_align(uint64_t bytes, uint64_t to)
{
    return (bytes + to - 1) & ~(to - 1);
}
static inline uint64_t record_bytes(const struct journal_record *record) /* on disk, aligned */
{
    uint64_t bytes = FORMAT_RECORD_HEAD + (uint64_t)record->head.len + record->body.len;
    return format_align(bytes, FORMAT_RECORD_ALIGN);
}
