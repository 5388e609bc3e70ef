/* How it works: senders push records on a list under one lock; the writer takes the whole list,
 * cuts it into groups and commits one group after the other. It waits in one of two ways, and says
 * which, so that a sender signals only when that changes something: idle (the first record wakes
 * it), or gathering (only a full megabyte wakes it before the 5 ms are over). A queue that woke its
 * receiver at every push would cost a thread switch per request, which is why base/queue.h does not
 * serve.
 *
 * Nothing is copied: a group is a vector of pointers to our headers, the owners' bytes and a page
 * of zeros.
 *
 * The segment set belongs to the opening thread, then to the writer; what other threads ask for is
 * kept in atomics that the writer sets after each step. Readers copy single segments (read.c). */
#define _GNU_SOURCE /* pthread_setname_np */
#include "journal/journal.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "base/file.h"
#include "base/clock.h"
#include "base/mem.h"
#include "journal/file.h"
#include "journal/read.h"

enum {
    GROUP_RECORDS = 255, /* 4 vectors each, group header and padding: under IOV_MAX, 1024 */
    GROUP_VECTORS = 2 + 4 * GROUP_RECORDS,
};
static const uint64_t group_write_max = 16 << 20;
static const uint64_t default_group_ns = 5000000;
static const uint64_t default_group_bytes = 1 << 20;
static const uint64_t default_retry_ns = 1000000000;

static const uint8_t zero_page[FORMAT_PAGE];

/* The group being written. Writer only. */
struct group {
    struct queue_item *first, *end; /* records [first, end) of the writer's list */
    uint32_t count;
    uint64_t bytes; /* header and records */
    int n_vectors;
    struct iovec vectors[GROUP_VECTORS];
    uint8_t head[FORMAT_GROUP_HEAD];
    uint8_t record_heads[GROUP_RECORDS][FORMAT_RECORD_HEAD];
};

enum waiting { WAITING_NOT, WAITING_IDLE, WAITING_GATHER };
enum life { LIFE_OPEN, LIFE_STARTED, LIFE_STOPPING, LIFE_STOPPED };

struct journal {
    struct segment_set set; /* the opening thread's, then the writer's */
    uint64_t group_ns, group_bytes, retry_ns;
    bool may_start_refusing;
    uint64_t log_base_ns, mono_base_ns; /* log time at open; fixed from then on */
    bool has_thread;
    pthread_t thread;

    struct {
        struct group *group;
        struct hash64_stream *hash;
        uint64_t commit_started_ns; /* monotonic; 0: none yet */
        uint64_t retry_at_ns;       /* while refusing */
        unsigned failures;          /* groups failed in a row */
    } own;                          /* writer */

    struct {
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct queue_item *head, **tail;
        uint64_t bytes; /* of the records in the list, as on disk */
        enum waiting waiting;
        enum life life;
        bool has_trim; /* there is a segment to trim */
    } shared;          /* any thread, under the lock */

    struct {
        _Atomic uint64_t records, bytes, groups, failed_groups, corrupt_records, corrupt_places;
        _Atomic uint64_t segments, disk_bytes, next_bytes, cpu_ns, first_position, next_position;
        _Atomic uint64_t trimmed_position; /* asked for */
        _Atomic uint64_t trim_point;       /* a trim to here releases something */
        _Atomic uint64_t damage_to;        /* damage below this position is counted; by readers, too */
        _Atomic bool refusing;
    } seen; /* any thread; trimmed_position by all, corrupt_* by readers, the rest by the writer */
};

struct journal_reader {
    struct journal *journal;
    struct reader reader;
};

#define SEEN_SET(journal, field, value)                                                            \
    atomic_store_explicit(&(journal)->seen.field, (value), memory_order_relaxed)
#define SEEN_ADD(journal, field, value)                                                            \
    atomic_fetch_add_explicit(&(journal)->seen.field, (value), memory_order_relaxed)
#define SEEN(journal, field) atomic_load_explicit(&(journal)->seen.field, memory_order_relaxed)

static struct journal_record *record_of(struct queue_item *item)
{
    return MG_CONTAINER(item, struct journal_record, link);
}

/* Who sees it finds the records below it in the segments. */
static void next_position_publish(struct journal *j)
{
    atomic_store_explicit(&j->seen.next_position, j->set.next_position, memory_order_release);
}

static void figures_publish(struct journal *j)
{
    const struct segment_set *set = &j->set;
    uint64_t first = set->segments.n ? set->segments.at[0].head.first_position : set->next_position;
    SEEN_SET(j, segments, set->segments.n);
    SEEN_SET(j, disk_bytes, segment_disk_bytes(set));
    SEEN_SET(j, next_bytes, segment_next_bytes(set));
    SEEN_SET(j, first_position, first);
    next_position_publish(j);
    SEEN_SET(j, trim_point, segment_trim_point(set));
    if (j->has_thread)
        SEEN_SET(j, cpu_ns, clock_thread_cpu_ns());
}

/* --- opening --- */

static struct journal *journal_new(const struct journal_options *options)
{
    struct journal *j = MEM_NEW(struct journal);
    segment_set_init(&j->set, options);
    j->group_ns = options->group_ns ? options->group_ns : default_group_ns;
    j->group_bytes = options->group_bytes ? options->group_bytes : default_group_bytes;
    j->retry_ns = options->retry_ns ? options->retry_ns : default_retry_ns;
    j->may_start_refusing = options->may_start_refusing;
    j->log_base_ns = options->floor_log_ns;
    j->shared.tail = &j->shared.head;
    pthread_mutex_init(&j->shared.lock, NULL);
    clock_cond_init(&j->shared.wake);
    return j;
}

void journal_close(struct journal **journal)
{
    struct journal *j = MG_STEAL(*journal);
    if (!j)
        return;
    journal_stop(j);
    segment_set_fini(&j->set);
    hash64_free(&j->own.hash);
    mem_free(j->own.group);
    pthread_cond_destroy(&j->shared.wake);
    pthread_mutex_destroy(&j->shared.lock);
    mem_free(j);
}

/* Segments are found after a power cut only when the directory is. */
static enum mg_err sync_parent(const struct journal_io *io, const char *dir, struct mg_why *why)
{
    char *parent = file_parent(dir);
    int failed = io->fsync_dir(io->ctx, parent) < 0 ? errno : 0;

    mem_free(parent);
    return failed ? mg_fail_os(why, failed, "%s: cannot sync the directory above it", dir) : MG_OK;
}

enum mg_err journal_open(struct journal **out, const struct journal_options *options,
                         struct mg_why *why)
{
    MG_AUTO(journal_close) struct journal *j = journal_new(options);
    const struct journal_io *io = j->set.io;
    struct scan_report report = {0};

    bool is_new = io->mkdir(io->ctx, options->dir, 0700) == 0;
    if (!is_new && errno != EEXIST)
        return mg_fail_os(why, errno, "%s: cannot create the directory", options->dir);
    if (is_new && !options->os_durability)
        MG_TRY(sync_parent(io, options->dir, why));
    MG_TRY(scan_open(&j->set, &j->log_base_ns, &report, why));
    if (j->set.next_position > FORMAT_NUMBER_MAX / 2) /* no log gets there by itself */
        return mg_fail(why, MG_E_FORMAT, "%s: its positions are used up; move the directory away", options->dir);
    j->mono_base_ns = clock_mono_ns();
    figures_publish(j);
    *out = MG_STEAL(j);
    return MG_OK;
}

enum mg_err journal_replay(struct journal *journal, uint64_t after, journal_replay_fn *on_record,
                           void *owner, struct mg_why *why)
{
    assert(journal->shared.life == LIFE_OPEN);
    struct scan_report report = {0};
    enum mg_err err = scan_records(&journal->set, after, on_record, owner, &report, why);
    SEEN_SET(journal, corrupt_records, report.corrupt_records);
    SEEN_SET(journal, corrupt_places, report.corrupt_places);
    SEEN_SET(journal, damage_to, report.damage_to);
    return err;
}

uint64_t journal_replay_total(const struct journal *journal, uint64_t after)
{
    const struct segment_set *set = &journal->set;
    uint64_t total = 0;
    for (size_t i = 0; i < set->segments.n; i++) {
        const struct segment *s = &set->segments.at[i];
        uint64_t from = MG_MAX(s->head.first_position, after + 1);
        if (s->next_position > from && after < UINT64_MAX)
            total += s->next_position - from;
    }
    return total;
}

uint64_t journal_time_ns(const struct journal *journal)
{
    /* A header may claim any time up to the limit; past it, what is written now could not be read again. */
    return MG_MIN(journal->log_base_ns + (clock_mono_ns() - journal->mono_base_ns), FORMAT_NUMBER_MAX);
}

/* --- a group --- */

static void group_vector(struct group *g, const void *bytes, size_t len)
{
    if (len > 0)
        g->vectors[g->n_vectors++] = (struct iovec){(void *)bytes, len};
}

static void group_begin(struct group *g, struct queue_item *first)
{
    g->first = g->end = first;
    g->count = 0;
    g->bytes = FORMAT_GROUP_HEAD;
    g->n_vectors = 0;
    group_vector(g, g->head, sizeof g->head);
}

/* How many records of the list make the next group: as many as fit in `room`, at least one. */
static void group_measure(struct group *g, uint64_t room)
{
    uint64_t most = MG_MIN(room, group_write_max);
    for (; g->end && g->count < GROUP_RECORDS; g->end = g->end->next) {
        uint64_t bytes = record_bytes(record_of(g->end));
        if (g->count > 0 && g->bytes + bytes > most)
            break;
        g->bytes += bytes;
        g->count++;
    }
}

static void group_add(struct journal *j, struct journal_record *record, uint8_t *head)
{
    struct group *g = j->own.group;
    uint64_t unpadded = FORMAT_RECORD_HEAD + record->head.len + record->body.len;
    record_head_write(head, record, segment_current(&j->set)->head.number, j->own.hash);
    group_vector(g, head, FORMAT_RECORD_HEAD);
    group_vector(g, record->head.ptr, record->head.len);
    group_vector(g, record->body.ptr, record->body.len);
    group_vector(g, zero_page, (size_t)(record_bytes(record) - unpadded));
}

/* Gives positions and composes the vectors. From here on the positions are used up. */
static void group_compose(struct journal *j)
{
    struct group *g = j->own.group;
    const struct segment_head *segment = &segment_current(&j->set)->head;
    struct group_head head = {.count = g->count,
                              .bytes = g->bytes,
                              .number = segment->number,
                              .nonce = segment->nonce,
                              .first_position = j->set.next_position,
                              .log_ns = journal_time_ns(j)};
    uint32_t i = 0;
    group_head_write(g->head, &head);
    for (struct queue_item *item = g->first; item != g->end; item = item->next, i++) {
        struct journal_record *record = record_of(item);
        record->position = j->set.next_position++;
        record->log_ns = head.log_ns;
        group_add(j, record, g->record_heads[i]);
    }
    group_vector(g, zero_page, (size_t)(format_align(g->bytes, FORMAT_PAGE) - g->bytes));
}

/* Makes the composed group durable in the current segment. */
static enum mg_err group_write(struct journal *j)
{
    struct group *g = j->own.group;
    struct segment_set *set = &j->set;
    MG_TRY(journal_io_write(set->io, set->current.fd, g->vectors, g->n_vectors, set->current.offset));
    if (!set->os_durability && set->io->fdatasync(set->io->ctx, set->current.fd) < 0)
        return MG_E_IO;
    segment_commit(set, set->current.offset + format_align(g->bytes, FORMAT_PAGE));
    return MG_OK;
}

/* Tells the owners of [from, end). An owner may free or append its record again inside done. */
static void records_done(struct queue_item *from, struct queue_item *end, enum mg_err err)
{
    while (from != end) {
        struct journal_record *record = record_of(from);
        from = from->next;
        record->done(record, err);
    }
}

/* --- failure --- */

static struct queue_item *list_take(struct journal *j)
{
    struct queue_item *items = j->shared.head;
    j->shared.head = NULL;
    j->shared.tail = &j->shared.head;
    j->shared.bytes = 0;
    return items;
}

/* From now on appends are refused; what was appended before is told so. */
static void refuse(struct journal *j, struct queue_item *rest)
{
    pthread_mutex_lock(&j->shared.lock);
    SEEN_SET(j, refusing, true);
    struct queue_item *queued = list_take(j);
    pthread_mutex_unlock(&j->shared.lock);
    j->own.retry_at_ns = clock_mono_ns() + j->retry_ns;
    records_done(rest, NULL, MG_E_IO);
    records_done(queued, NULL, MG_E_IO);
}

static enum mg_err begin(struct journal *j, uint64_t need)
{
    enum mg_err err = segment_begin(&j->set, need, journal_time_ns(j), NULL);
    if (err == MG_OK)
        segment_trim(&j->set, SEEN(j, trimmed_position));
    figures_publish(j);
    return err;
}

static void retry(struct journal *j)
{
    j->own.retry_at_ns = clock_mono_ns() + j->retry_ns;
    if (begin(j, 0) != MG_OK)
        return;
    pthread_mutex_lock(&j->shared.lock);
    SEEN_SET(j, refusing, false);
    pthread_mutex_unlock(&j->shared.lock);
}

/* The group could not be made durable: its segment is given up at the end of the group before,
 * which the header of the next one fixes at once. true: the records after this group may be tried.
 */
static bool group_failed(struct journal *j)
{
    struct group *g = j->own.group;
    segment_abandon(&j->set);
    SEEN_ADD(j, failed_groups, 1);
    records_done(g->first, g->end, MG_E_IO);
    return ++j->own.failures < 2 && begin(j, 0) == MG_OK;
}

/* --- the writer --- */

/* Commits one group from the front of the list. Returns what is left of the list. */
static struct queue_item *group_commit(struct journal *j, struct queue_item *items)
{
    struct group *g = j->own.group;
    uint64_t first = FORMAT_GROUP_HEAD + record_bytes(record_of(items));

    j->own.commit_started_ns = clock_mono_ns();
    if (segment_room(&j->set) < first && begin(j, first) != MG_OK) {
        SEEN_ADD(j, failed_groups, 1);
        refuse(j, items);
        return NULL;
    }
    group_begin(g, items);
    group_measure(g, segment_room(&j->set));
    group_compose(j);
    if (group_write(j) != MG_OK) {
        struct queue_item *rest = g->end;
        if (group_failed(j))
            return rest;
        refuse(j, rest);
        return NULL;
    }
    j->own.failures = 0;
    SEEN_ADD(j, records, g->count);
    SEEN_ADD(j, bytes, format_align(g->bytes, FORMAT_PAGE));
    SEEN_ADD(j, groups, 1);
    next_position_publish(j);
    records_done(g->first, g->end, MG_OK);
    SEEN_SET(j, cpu_ns, clock_thread_cpu_ns());
    return g->end;
}

static void wait_until(struct journal *j, uint64_t mono_ns)
{
    (void)clock_cond_wait_until(&j->shared.wake, &j->shared.lock, mono_ns); /* the caller looks again either way */
}

/* Waits in the way that fits; under the lock. false: there is something to do now. */
static bool wait_once(struct journal *j)
{
    uint64_t now = clock_mono_ns();
    uint64_t due = j->own.commit_started_ns ? j->own.commit_started_ns + j->group_ns : 0;
    bool is_refusing = SEEN(j, refusing);

    if (j->shared.life != LIFE_STARTED || j->shared.has_trim)
        return false;
    if (j->shared.head && (now >= due || j->shared.bytes >= j->group_bytes))
        return false;
    if (is_refusing && now >= j->own.retry_at_ns)
        return false;
    j->shared.waiting = j->shared.head ? WAITING_GATHER : WAITING_IDLE;
    if (j->shared.head)
        wait_until(j, due);
    else if (is_refusing)
        wait_until(j, j->own.retry_at_ns);
    else
        pthread_cond_wait(&j->shared.wake, &j->shared.lock);
    j->shared.waiting = WAITING_NOT;
    return true;
}

static void *writer_run(void *owner)
{
    struct journal *j = owner;
    bool is_stopping = false;

    pthread_setname_np(pthread_self(), "journal");
    while (!is_stopping) {
        pthread_mutex_lock(&j->shared.lock);
        while (wait_once(j))
            continue;
        struct queue_item *items = list_take(j);
        is_stopping = j->shared.life != LIFE_STARTED;
        bool has_trim = j->shared.has_trim;
        j->shared.has_trim = false;
        pthread_mutex_unlock(&j->shared.lock);

        while (items)
            items = group_commit(j, items);
        if (has_trim)
            segment_trim(&j->set, SEEN(j, trimmed_position));
        if (SEEN(j, refusing) && !is_stopping && clock_mono_ns() >= j->own.retry_at_ns)
            retry(j);
        figures_publish(j);
    }
    return NULL;
}

static void life_set(struct journal *j, enum life life)
{
    pthread_mutex_lock(&j->shared.lock);
    j->shared.life = life;
    pthread_cond_signal(&j->shared.wake);
    pthread_mutex_unlock(&j->shared.lock);
}

/* A wrong path or missing rights do not pass by waiting: those fail the start whatever the options say. */
static bool may_pass(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EIO;
}

static enum mg_err first_begin(struct journal *j, struct mg_why *why)
{
    struct mg_why reason = {""};
    enum mg_err err = segment_begin(&j->set, 0, journal_time_ns(j), &reason);
    if (err == MG_OK)
        return MG_OK;
    if (!j->may_start_refusing || !may_pass(j->set.begin_errno))
        return mg_fail(why, err, "%s", reason.text);
    refuse(j, NULL);
    return MG_OK;
}

enum mg_err journal_start(struct journal *journal, struct mg_why *why)
{
    assert(journal->shared.life == LIFE_OPEN);
    MG_TRY(first_begin(journal, why));
    figures_publish(journal);
    journal->own.group = mem_alloc(sizeof *journal->own.group);
    journal->own.hash = hash64_new();
    life_set(journal, LIFE_STARTED);
    journal->has_thread = true; /* before the thread reads it */
    int code = pthread_create(&journal->thread, NULL, writer_run, journal);
    if (code) {
        journal->has_thread = false;
        life_set(journal, LIFE_STOPPED);
        return mg_fail_os(why, code, "cannot start the journal's thread");
    }
    return MG_OK;
}

void journal_stop(struct journal *journal)
{
    if (!journal->has_thread)
        return;
    life_set(journal, LIFE_STOPPING);
    pthread_join(journal->thread, NULL);
    journal->has_thread = false;
    life_set(journal, LIFE_STOPPED);
}

/* --- reading meanwhile --- */

struct journal_reader *journal_reader_new(struct journal *journal)
{
    struct journal_reader *reader = MEM_NEW(struct journal_reader);
    reader->journal = journal;
    reader_init(&reader->reader, &journal->set);
    return reader;
}

void journal_reader_free(struct journal_reader **reader)
{
    struct journal_reader *r = MG_STEAL(*reader);
    if (!r)
        return;
    reader_fini(&r->reader);
    mem_free(r);
}

enum mg_err journal_read(struct journal_reader *reader, uint64_t after,
                         struct journal_record *record, bool *is_record, struct mg_why *why)
{
    struct journal *j = reader->journal;
    struct scan_report *report = &reader->reader.report;
    uint64_t trimmed = SEEN(j, trimmed_position), damage_to = SEEN(j, damage_to);

    *report = (struct scan_report){.damage_from = damage_to, .damage_to = damage_to};
    enum mg_err err = reader_next(&reader->reader, MG_MAX(after, trimmed), record, is_record, why);
    if (report->corrupt_places > 0) {
        SEEN_ADD(j, corrupt_records, report->corrupt_records);
        SEEN_ADD(j, corrupt_places, report->corrupt_places);
        SEEN_SET(j, damage_to, report->damage_to);
    }
    return err;
}

uint64_t journal_trim_to_fit(struct journal *journal, uint64_t bytes)
{
    return segment_fit(&journal->set, bytes);
}

/* --- any thread --- */

static bool writer_should_wake(const struct journal *j)
{
    return j->shared.waiting == WAITING_IDLE ||
           (j->shared.waiting == WAITING_GATHER && j->shared.bytes >= j->group_bytes);
}

enum mg_err journal_append(struct journal *journal, struct journal_record *record)
{
    uint64_t head_bytes = record->head.len, body_bytes = record->body.len;
    enum mg_err err = MG_E_IO;

    assert(record->done);
    if (body_bytes > FORMAT_PAYLOAD_MAX || head_bytes > FORMAT_PAYLOAD_MAX - body_bytes)
        return MG_E_TOO_BIG;
    record->link.next = NULL;
    pthread_mutex_lock(&journal->shared.lock);
    if (journal->shared.life == LIFE_STARTED && !SEEN(journal, refusing)) {
        *journal->shared.tail = &record->link;
        journal->shared.tail = &record->link.next;
        journal->shared.bytes += record_bytes(record);
        err = MG_OK;
        if (writer_should_wake(journal)) {
            journal->shared.waiting = WAITING_NOT;
            pthread_cond_signal(&journal->shared.wake);
        }
    }
    pthread_mutex_unlock(&journal->shared.lock);
    return err;
}

void journal_trim(struct journal *journal, uint64_t position)
{
    uint64_t before = SEEN(journal, trimmed_position);
    while (before < position &&
           !atomic_compare_exchange_weak(&journal->seen.trimmed_position, &before, position))
        continue;
    if (position < SEEN(journal, trim_point))
        return;
    pthread_mutex_lock(&journal->shared.lock);
    journal->shared.has_trim = true;
    pthread_cond_signal(&journal->shared.wake);
    pthread_mutex_unlock(&journal->shared.lock);
}

bool journal_refusing(const struct journal *journal)
{
    return SEEN(journal, refusing);
}

void journal_stat(const struct journal *journal, struct journal_stats *out)
{
    *out = (struct journal_stats){
        .records = SEEN(journal, records),
        .bytes = SEEN(journal, bytes),
        .groups = SEEN(journal, groups),
        .failed_groups = SEEN(journal, failed_groups),
        .corrupt_records = SEEN(journal, corrupt_records),
        .corrupt_places = SEEN(journal, corrupt_places),
        .segments = SEEN(journal, segments),
        .disk_bytes = SEEN(journal, disk_bytes),
        .next_bytes = SEEN(journal, next_bytes),
        .writer_cpu_ns = SEEN(journal, cpu_ns),
        .first_position = SEEN(journal, first_position),
        .next_position = atomic_load_explicit(&journal->seen.next_position, memory_order_acquire),
        .trimmed_position = SEEN(journal, trimmed_position),
        .refusing = SEEN(journal, refusing),
    };
}

void journal_survey(struct journal *journal, uint64_t after, uint64_t upto, struct journal_survey *out)
{
    segment_survey(&journal->set, after, upto, out);
}

/* --- offline --- */

enum mg_err journal_check(const char *dir, journal_line_fn *on_line, void *owner,
                          struct journal_stats *stats, struct mg_why *why)
{
    struct journal_options options = {.dir = dir};
    struct scan_report report = {.on_line = on_line, .owner = owner};
    MG_AUTO(journal_close) struct journal *j = journal_new(&options);

    MG_TRY(scan_open(&j->set, &j->log_base_ns, &report, why));
    figures_publish(j);
    MG_TRY(scan_records(&j->set, 0, NULL, NULL, &report, why));
    journal_stat(j, stats);
    stats->records = report.records;
    stats->corrupt_records = report.corrupt_records;
    stats->corrupt_places = report.corrupt_places;
    if (report.corrupt_places > 0)
        return mg_fail(why, MG_E_FORMAT, "%s: %llu damaged places, %llu records lost", dir,
                       (unsigned long long)report.corrupt_places,
                       (unsigned long long)report.corrupt_records);
    return MG_OK;
}
