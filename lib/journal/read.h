/* read.h - reading a log that is being written: see journal_read. Module-private. One thread, which
 * need not be the writer's. */
#pragma once
#include "journal/scan.h"

struct reader {
    struct segment_set *set; /* the writer's; its lock is taken */
    struct scan_report report; /* damage_from is the caller's; counts add up */
    struct segment segment; /* a copy, of the segment that is open or was read last */
    struct walk walk;
    bool is_open;
    uint64_t reached; /* the position after what was read of the segment that was left; 0: unknown */
    uint64_t after;   /* of the last call, or the position of the last record */
};

void reader_init(struct reader *reader, struct segment_set *set);
void reader_fini(struct reader *reader);
/* *is_record only on success. */
enum mg_err reader_next(struct reader *reader, uint64_t after, struct journal_record *record,
                        bool *is_record, struct mg_why *why) MG_MUST_USE;
