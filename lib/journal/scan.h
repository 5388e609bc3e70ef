/* scan.h - reading the log back: what a directory holds, where its segments end, and the records in
 * them. Module-private. One thread; the files are not written meanwhile and nothing here changes
 * them. */
#pragma once
#include "journal/segment.h"

struct scan_report {
    journal_line_fn *on_line; /* a sentence for each find; NULL: nobody listens */
    void *owner;
    uint64_t records;         /* whole ones that were read */
    uint64_t corrupt_records; /* lost, as far as the positions tell */
    uint64_t corrupt_places;
};

/* Fills the set from its directory: segments with records, spares, the next number and position.
 * *log_ns becomes the largest log time found, if that is larger. */
enum mg_err scan_open(struct segment_set *set, uint64_t *log_ns, struct scan_report *report,
                      struct mg_why *why) MG_MUST_USE;

/* Reads every record with a position > after, in order. */
enum mg_err scan_records(struct segment_set *set, uint64_t after, journal_replay_fn *on_record,
                         void *owner, struct scan_report *report, struct mg_why *why) MG_MUST_USE;
