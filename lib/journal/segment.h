/* segment.h - the segment files of one directory: which there are, which one is written, beginning,
 * abandoning and trimming. Module-private. Used by the opening thread, then by the writer thread
 * only; the functions at the end are for everybody. The writer changes `segments` under the lock and
 * reads it without. */
#pragma once
#include <pthread.h>
#include "base/vec.h"
#include "journal/format.h"

struct segment {
    struct segment_head head; /* zeros but the number when damaged */
    bool has_head;            /* the header is valid */
    uint64_t end; /* where its durable groups end; FORMAT_PAGE: it holds none; 0: not known yet */
    uint64_t next_position;     /* after its last record */
    uint64_t last_log_ns;       /* of its last group, when it was walked; else of its header */
    uint64_t bytes, disk_bytes; /* of the file */
};

struct segment_spare {
    uint64_t number; /* of its name */
    bool is_log;     /* still named .log */
    bool is_held;    /* its header is the only one that says where the previous segment ends:
                      * not to be touched before the next segment has begun */
    uint64_t bytes, disk_bytes;
};

struct segment_set {
    const struct journal_io *io;
    char *dir; /* owned */
    uint64_t segment_bytes;
    uint64_t spares_max;
    bool os_durability;
    bool is_name_unsynced; /* a trimmed segment's name has changed since the directory was synced */
    uint64_t next_number;
    uint64_t next_position;
    uint64_t told_position; /* there were records up to it, says the header of a segment without any; 0: none says so */
    pthread_mutex_t lock;
    VEC(struct segment) segments; /* by number; after segment_begin the last is the one written */
    VEC(struct segment_spare) spares;
    struct {
        int fd;
        bool is_open;
        uint64_t offset;
    } current;
    int begin_errno; /* why segment_begin failed last */
};

void segment_set_init(struct segment_set *set, const struct journal_options *options);
void segment_set_fini(struct segment_set *set); /* closes the current one */

/* Begins a segment with room for at least `need` bytes of groups, durable before it returns, and
 * makes it the current one. On failure the set is as before, but for a lost spare and number. */
enum mg_err segment_begin(struct segment_set *set, uint64_t need, uint64_t log_ns,
                          struct mg_why *why) MG_MUST_USE;
/* After a failed write: closes the current segment at its last durable group. */
void segment_abandon(struct segment_set *set);
uint64_t
segment_room(const struct segment_set *set); /* bytes left in the current one; 0: none is open */
struct segment *segment_current(struct segment_set *set);
/* Recycles or unlinks the oldest segments whose records are all ≤ position; never the last one. */
void segment_trim(struct segment_set *set, uint64_t position);
/* The largest position whose trim would release something; UINT64_MAX: nothing can be released. */
uint64_t segment_trim_point(const struct segment_set *set);
uint64_t segment_disk_bytes(const struct segment_set *set);
/* Free space that the next segment of the usual size takes; 0: there is a spare for it. */
uint64_t segment_next_bytes(const struct segment_set *set);
/* A group in the current segment is durable: its groups end at `end` now. */
void segment_commit(struct segment_set *set, uint64_t end);

/* --- any thread --- */
/* Copies the first segment with a higher number that holds positions > after. false: there is none. */
bool segment_after(struct segment_set *set, uint64_t number, uint64_t after, struct segment *out);
/* Copies *segment, which is known by its number, anew. false: it is no longer in the log. *is_last: no
 * segment follows, so its end may still move. */
bool segment_refresh(struct segment_set *set, struct segment *segment, bool *is_last);
/* The smallest position whose trim leaves at most `bytes` of segments; 0: they are no more than that. */
uint64_t segment_fit(struct segment_set *set, uint64_t bytes);
void segment_survey(struct segment_set *set, uint64_t after, uint64_t upto, struct journal_survey *out); /* see journal_survey */
