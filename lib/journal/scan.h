/* scan.h - reading the log back: what a directory holds, where its segments end, and the records in
 * them. Module-private. One thread, and nothing here changes the files. They are not written
 * meanwhile either, but for one case: a walk up to the durable end of a segment (read.c). */
#pragma once
#include "journal/segment.h"

struct scan_report {
    journal_line_fn *on_line; /* a sentence for each find; NULL: nobody listens */
    void *owner;
    uint64_t records;         /* whole ones that were read */
    uint64_t corrupt_records; /* lost, as far as the positions tell */
    uint64_t corrupt_places;
    uint64_t damage_from; /* damage at positions below was counted before and is left out */
    uint64_t damage_to;   /* damage below this position is counted now */
};

/* One segment being read, record after record, through a window that moves forward. */
struct walk {
    struct segment_set *set;
    struct segment *segment;
    struct scan_report *report;
    struct mg_why *why;
    int fd;
    uint64_t limit; /* nothing is read beyond; may be moved on between two calls */
    uint64_t nonce; /* of the segment, when has_nonce */
    bool has_nonce;
    uint64_t expected; /* the position after the group that was entered last; never falls */
    uint64_t ceiling;  /* positions are below it; moves with the limit */
    uint64_t offset;   /* of the next group */
    uint64_t record_at, group_end; /* of the next record in the group that was entered */
    uint32_t records_left;
    uint8_t *window; /* bytes [window_at, window_at + window_len) of the file */
    size_t window_room, window_len;
    uint64_t window_at;
    struct hash64_stream *hash;
};
/* Opens the file; fine to close also when that failed. The segment, the report and *why must live as
 * long. */
enum mg_err walk_open(struct walk *w, struct segment_set *set, struct segment *segment,
                      struct scan_report *report, struct mg_why *why) MG_MUST_USE;
/* Before the first walk_next: `reached` is the position after what was read before, 0: unknown. */
void walk_begin(struct walk *w, uint64_t reached);
/* The next whole record with a position > after; its memory is the window's until the next call.
 * *is_record false: there is none up to the limit. After a failure the same call may be made again. */
enum mg_err walk_next(struct walk *w, uint64_t after, struct journal_record *record,
                      bool *is_record) MG_MUST_USE;
void walk_close(struct walk *w);

/* Fills the set from its directory: segments with records, spares, the next number and position.
 * *log_ns becomes the largest log time found, if that is larger. */
enum mg_err scan_open(struct segment_set *set, uint64_t *log_ns, struct scan_report *report,
                      struct mg_why *why) MG_MUST_USE;

/* Reads every record with a position > after, in order. */
enum mg_err scan_records(struct segment_set *set, uint64_t after, journal_replay_fn *on_record,
                         void *owner, struct scan_report *report, struct mg_why *why) MG_MUST_USE;
