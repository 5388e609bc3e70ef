/* journal.h - the durable log: append, group commit, positions, replay, trim, and reading while it is
 * written.
 *
 * One writer thread owns the segment files of one directory. Callers hand it records; it gathers them into
 * groups, writes each group with one pwritev at the next 4 KiB boundary, makes it durable with one
 * fdatasync, and then tells every record's owner. A group is committed at once when the log is idle, else
 * after `group_ns` (5 ms) or `group_bytes` (1 MiB). One group is in flight at a time.
 *
 * Positions: every record gets the next 64-bit number at append (1, 2, 3 …); a position is never given
 * twice, and never below `floor_position` given at open, also when the directory was emptied. Records are
 * replayed in position order. Log time (journal_time_ns) advances with the monotonic clock, stands still
 * while no process has the log open, is stored in every record and continues from the last one.
 *
 * Files: <dir>/NNNNNNNN.log, 64 MiB, preallocated, recycled in place, mode 0600; the layout is drawn in
 * journal/FORMAT.md. Every start and every failed group begins a new segment, whose header says where the
 * previous one ends; what lies beyond is never read. A checksum failure followed by a valid later group is
 * corruption (counted, reported, skipped); anything else is the torn tail of the last group and is cut.
 *
 * Failure: after a write or fdatasync error the group fails (its owners hear E_IO), the segment is
 * abandoned and the next group goes to a new one; when that fails too the journal refuses appends
 * (E_IO) and tries again at most once a second. A failed group's positions are not given again.
 *
 * The caller sees to it that one process has the directory open. */
#pragma once
#include <sys/uio.h>
#include "base/queue.h"
#include "base/str.h"

enum journal_kind { JOURNAL_BODY = 1, JOURNAL_DECISIONS = 2, JOURNAL_SERIES = 3 };

struct journal_record;
/* Called on the writer thread, in position order, once per appended record: err is MG_OK when the record is
 * durable. The record is the owner's again. Must not block. */
typedef void journal_done_fn(struct journal_record *record, enum mg_err err);

/* The owner's memory, embedded in its batch, until done is called. */
struct journal_record {
    struct queue_item link;       /* journal's while appended */
    enum journal_kind kind;
    uint8_t encoding, protocol;   /* the owner's codes: zip_kind, door; stored and given back */
    uint64_t wall_ns;             /* receive time, wall clock */
    struct str head;              /* small meta the owner composes (refused ordinals, tenant); stored first */
    struct str body;              /* the body as received; head and body must stay until done;
                                   * together at most 1 GiB (E_TOO_BIG) */
    journal_done_fn *done;
    uint64_t position, log_ns;    /* set by the journal before done */
};

struct journal_options {
    const char *dir;              /* created with mode 0700 when absent */
    uint64_t segment_bytes;       /* 0: 64 MiB; tests use small ones. A record larger than a segment gets a segment of its own size */
    uint64_t group_ns;            /* 0: 5 ms */
    uint64_t group_bytes;         /* 0: 1 MiB */
    bool os_durability;           /* journal.durability: os — no fdatasync; survives kill -9, not power loss */
    uint64_t retry_ns;            /* 0: 1 s. How often a refusing journal tries to begin a segment */
    uint64_t floor_position;      /* next position is at least this + 1 */
    uint64_t floor_log_ns;        /* log time continues at least from here */
    bool may_start_refusing;      /* journal_start also succeeds on a disk that is full or fails; see there */
    uint64_t spare_segments;      /* 0: 2. Recycled segments kept; more are unlinked */
    const struct journal_io *io;  /* NULL: the operating system. Faults and power cuts in tests */
};

typedef void journal_name_fn(void *owner, const char *name);
/* Every file call the writer and the reader make, so that a test can fail or drop each of them. Each
 * answers like its system call: negative with errno set when it failed. */
struct journal_io {
    int (*mkdir)(void *ctx, const char *dir, unsigned mode);
    int (*list)(void *ctx, const char *dir, journal_name_fn *on_name, void *owner);
    int (*size)(void *ctx, int fd, uint64_t *file_bytes, uint64_t *disk_bytes);
    int (*open)(void *ctx, const char *path, int flags, unsigned mode);
    int (*close)(void *ctx, int fd);
    long (*pwritev)(void *ctx, int fd, const void *iovec, int n, int64_t offset);
    long (*pread)(void *ctx, int fd, void *out, size_t n, int64_t offset);
    int (*fallocate)(void *ctx, int fd, int64_t bytes);
    int (*fdatasync)(void *ctx, int fd);
    int (*fsync_dir)(void *ctx, const char *dir);
    int (*rename)(void *ctx, const char *from, const char *to);
    int (*unlink)(void *ctx, const char *path);
    void *ctx;
};

const struct journal_io *journal_io_os(void); /* for a caller that keeps files of its own beside the log */
/* Writes all of the vectors (which it changes) at the offset; a short write is continued. E_IO: see errno. */
enum mg_err journal_io_write(const struct journal_io *io, int fd, struct iovec *iov, int n, uint64_t offset) MG_MUST_USE;
/* Fills `out`; beyond the end of the file it is zeros. E_IO: see errno. */
enum mg_err journal_io_read(const struct journal_io *io, int fd, void *out, size_t bytes, uint64_t offset) MG_MUST_USE;

struct journal;
struct journal_stats {
    uint64_t records, bytes, groups, failed_groups, corrupt_records, corrupt_places, segments, disk_bytes;
    uint64_t next_bytes;          /* free space that the next segment of the usual size takes; 0: a recycled one is there */
    uint64_t writer_cpu_ns;       /* CPU of the writer thread so far */
    uint64_t first_position, next_position; /* next: a reader that is asked from now on finds all durable records below it */
    uint64_t trimmed_position;    /* everything ≤ it may be gone */
    bool refusing;
};

/* Opens and scans the segment headers; nothing is replayed yet and no thread runs. Refuses (E_FORMAT) a
 * directory of an unknown format version. */
enum mg_err journal_open(struct journal **out, const struct journal_options *options, struct mg_why *why) MG_MUST_USE;

/* Replays all records with position > after, in order, on the calling thread, before journal_start.
 * Damage is skipped and counted in corrupt_records; a read error is E_IO.
 * on_record may block (waiting for ring room); returning an error ends the replay with it. Memory of
 * head and body is valid during the call only. */
typedef enum mg_err journal_replay_fn(void *owner, const struct journal_record *record);
enum mg_err journal_replay(struct journal *journal, uint64_t after, journal_replay_fn *on_record, void *owner, struct mg_why *why) MG_MUST_USE;
uint64_t journal_replay_total(const struct journal *journal, uint64_t after); /* records ahead, for progress */

/* Starts the writer in a new segment. With may_start_refusing it also starts when the segment cannot be begun
 * because the disk is full, a quota is used up, or the disk reports an error (ENOSPC, EDQUOT, EIO): it then
 * refuses appends and tries again, as after a failed group. Any other reason fails the start all the same. */
enum mg_err journal_start(struct journal *journal, struct mg_why *why) MG_MUST_USE;
/* Any thread. Gives the record away until done. E_IO while refusing or after journal_stop: still the caller's. */
enum mg_err journal_append(struct journal *journal, struct journal_record *record) MG_MUST_USE;
/* Any thread: segments whose records are all ≤ position may be recycled. */
void journal_trim(struct journal *journal, uint64_t position);
/* The smallest position whose trim leaves at most `bytes` of disk space in segments, spares apart; 0: they
 * take no more than that. The segment being written always stays. Any thread. */
uint64_t journal_trim_to_fit(struct journal *journal, uint64_t bytes);
uint64_t journal_time_ns(const struct journal *journal); /* log time now; any thread */
bool journal_refusing(const struct journal *journal);    /* any thread, cheap */
void journal_stat(const struct journal *journal, struct journal_stats *out); /* any thread */
struct journal_survey {
    uint64_t held;    /* they lie in a segment, whole or damaged */
    uint64_t before;  /* they were durable, and the first segment there is begins after them: trimmed, or removed */
    uint64_t between; /* they were durable, and lie in no segment though one before them does */
    uint64_t behind;  /* the last segment ends before them */
};
/* What became of the positions in (after, upto], as the headers tell. Those that failed groups used up are nowhere. Any thread. */
void journal_survey(struct journal *journal, uint64_t after, uint64_t upto, struct journal_survey *out);
void journal_stop(struct journal *journal);   /* commits what was appended, joins the writer */
void journal_close(struct journal **journal); /* after stop, or without start */

/* --- reading while it is written ---
 *
 * A reader sees what is durable, at once and perhaps before the record's owner was told; never a group
 * that failed or is being written. It belongs to one thread at a time, which may be any but the
 * writer's (not inside done); several readers do not disturb each other or the writer. It holds one
 * descriptor and a window of 256 KiB, or of the largest record it met. It is made after journal_open and
 * freed before journal_close; started or stopped makes no difference. */
struct journal_reader;
struct journal_reader *journal_reader_new(struct journal *journal);
void journal_reader_free(struct journal_reader **reader);
/* The first durable record with a position > after; *is_record false: there is none yet. The memory of head
 * and body is the reader's until its next call, so the caller bounds what it takes by when it stops asking.
 * Asking for the position after the last one goes on where the reader stands, going back searches the
 * segment from its beginning. Positions that journal_trim was given are not met any more, whether their
 * segments were recycled or not, and are not missed. Damage is skipped and counted as in replay, once for
 * all readers. E_IO: a file could not be read; the same call may be made again. */
enum mg_err journal_read(struct journal_reader *reader, uint64_t after, struct journal_record *record,
                         bool *is_record, struct mg_why *why) MG_MUST_USE;

/* Offline: walks a stopped directory; finds are told through on_line (a sentence each), counts through *stats.
 * E_FORMAT when anything is wrong beyond a torn tail. */
typedef void journal_line_fn(void *owner, const char *line);
enum mg_err journal_check(const char *dir, journal_line_fn *on_line, void *owner, struct journal_stats *stats, struct mg_why *why) MG_MUST_USE;
