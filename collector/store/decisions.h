/* decisions.h - NNNNNN.why: what was decided about traces that were not kept (FORMAT.md 7). Private to store.
 *
 * The block thread (the opener before it) appends, merges and unlinks. Others read the file by its name with a copy of the list of runs,
 * taken under the store's lock: runs are never written again, a merged file takes the old one's name at once, and whoever opened the
 * old one reads it to its end. So nothing is held open between look-ups, and nobody waits for a reader.
 *
 * Bytes are a file's: lengths are checked before they are believed. Checksums are looked at by whoever reads whole runs. */
#pragma once
#include <stdatomic.h>
#include "base/str.h"
#include "base/vec.h"

struct decision { uint64_t hash, word; uint32_t time_s, order; /* as it came; in memory only */ };

struct decision_run {
    uint64_t at, commit;
    uint32_t n;
    bool is_merged;
};
#define DECISION_HEAD_BYTES 32u
#define DECISION_BYTES 20u
static inline uint64_t decision_run_bytes(uint32_t n)
{
    return DECISION_HEAD_BYTES + (uint64_t)n * DECISION_BYTES;
}

/* The file of one partition. What readers look at (runs) changes under the store's lock. */
struct decisions {
    char *path;                    /* NULL: the archive, which has none */
    VEC(struct decision_run) runs; /* oldest first; those whose form is sound */
    uint64_t length;               /* bytes that are good; 0: there is no file. The next run goes there */
    uint64_t entries, disk_bytes;
    unsigned damaged;              /* places that were left out */
    bool is_merged;
    int fd;                        /* for appending; -1: not open */
};
void decisions_init(struct decisions *decisions, const char *dir, uint32_t number); /* reads nothing */
void decisions_fini(struct decisions *decisions);

/* Lists the runs within `length` (tag 10 of the state), or the one of a merged file. What is damaged, or cannot be read, is left out and
 * counted. An absent file has none. */
void decisions_read(struct decisions *decisions, uint64_t length);
/* Cuts off what was never committed; a failure is of no consequence, as the next run goes over it. */
void decisions_cut(const struct decisions *decisions);
void decisions_unlink(const struct decisions *decisions); /* the file only */
void decisions_forget(struct decisions *decisions);       /* that there is one */

/* Sorts the entries, which then stand by hash and, where equal, as they came, and writes them as that run at its place, synced. Nothing of
 * it is listed before decisions_added. After a failure the same place may be written again. */
enum mg_err decisions_append(struct decisions *decisions, struct decision *entries, const struct decision_run *run, struct mg_why *why) MG_MUST_USE;
void decisions_added(struct decisions *decisions, const struct decision_run *run);

/* All runs into one (decisions_merge.c): written beside, synced, renamed, the directory synced. The result is the list's new content; n 0: there
 * was nothing sound, and the file is gone. Damaged runs are left out and counted in *damaged. At most `fan_in` runs are
 * merged at a time, in memory that does not depend on how many entries there are. E_BUSY: *stop became true. Who has other things to do
 * merges in steps of some ten milliseconds; the list must not change meanwhile, and after an error there is no next step. */
struct decisions_merge_options { const char *dir; size_t fan_in; const _Atomic bool *stop; };
#define DECISIONS_FAN_IN 1024
struct decisions_merging;
enum mg_err decisions_merging_new(struct decisions_merging **out, const struct decisions *decisions, const struct decisions_merge_options *options,
                                  struct mg_why *why) MG_MUST_USE; /* borrows decisions */
enum mg_err decisions_merging_step(struct decisions_merging *merging, bool *is_done, struct mg_why *why) MG_MUST_USE;
void decisions_merging_result(const struct decisions_merging *merging, struct decision_run *out, unsigned *damaged); /* when done */
void decisions_merging_free(struct decisions_merging **merging); /* at any time */
enum mg_err decisions_merge(const struct decisions *decisions, const struct decisions_merge_options *options, struct decision_run *out,
                            unsigned *damaged, struct mg_why *why) MG_MUST_USE; /* all steps */
void decisions_merged(struct decisions *decisions, const struct decision_run *run);

/* --- reading: any thread ------------------------------------------------------------------------------------------------ */

/* Opens the file for reading; *fd -1: there is none. *merged.n > 0: it is a merged file, and that is its only run, whatever was
 * listed before. */
enum mg_err decisions_open(const char *path, int *fd, struct decision_run *merged, struct mg_why *why) MG_MUST_USE;
/* The decisions of a run about a hash, the newest first, at most `room`. */
enum mg_err decisions_find(int fd, const struct decision_run *run, uint64_t hash, struct decision *out, size_t room, size_t *n,
                           struct mg_why *why) MG_MUST_USE;
/* E_FORMAT: the checksum is wrong, or its bytes are not there. */
enum mg_err decisions_verify(int fd, const struct decision_run *run, struct mg_why *why) MG_MUST_USE;
/* Entries [first, first + n). */
enum mg_err decisions_load(int fd, const struct decision_run *run, uint32_t first, uint32_t n, struct decision *out, struct mg_why *why) MG_MUST_USE;
/* Only their times. */
enum mg_err decisions_load_times(int fd, const struct decision_run *run, uint32_t first, uint32_t n, uint32_t *out, struct mg_why *why) MG_MUST_USE;
/* Of the bytes of a run without its checksum; for who makes one. */
void decisions_put_head(uint8_t head[DECISION_HEAD_BYTES], const struct decision_run *run);
enum mg_err decisions_checksum(int fd, const uint8_t head[DECISION_HEAD_BYTES], const struct decision_run *run, uint64_t *out, struct mg_why *why) MG_MUST_USE;
/* Reads all, or E_IO, or E_FORMAT at the file's end. */
enum mg_err decisions_pread(int fd, void *out, size_t bytes, uint64_t at, struct mg_why *why) MG_MUST_USE;
enum mg_err decisions_pwrite(int fd, const void *bytes, size_t n, uint64_t at, struct mg_why *why) MG_MUST_USE;
char *decisions_path(const char *dir, uint32_t number); /* new text */
/* At start: temporary files, and those whose partition's file is gone, are removed. */
void decisions_sweep(const char *dir);
