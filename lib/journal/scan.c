/* How it works: a `walk` is one segment being read through a window that moves forward. All users
 * walk groups: scan_open finds the end of the segments whose end no header tells, by hopping from
 * group header to group header and verifying the records of the last one only; scan_records reads
 * everything up to the ends, and read.c one record at a time while the writer goes on. Whether
 * something invalid is damage or the torn tail is decided in end_find alone (FORMAT.md, "Reading");
 * within a known end everything invalid is damage.
 *
 * Positions are the second line of defence behind the checksums: `expected` never falls, a group
 * below it is not accepted, and the difference to what comes next is the number of lost records. */
#include "journal/scan.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "journal/file.h"

static const uint64_t window_bytes = 256 << 10; /* read at once, unless a record is larger */

static void tell(const struct scan_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void tell(const struct scan_report *report, const char *format, ...)
{
    char line[256];
    va_list args;
    if (!report->on_line)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    report->on_line(report->owner, line);
}

/* `position`: the last one that may be lost by it, or where the reading was. */
static void damaged(struct walk *w, uint64_t offset, uint64_t position, uint64_t records,
                    const char *what)
{
    if (position < w->report->damage_from)
        return;
    w->report->damage_to = MG_MAX(w->report->damage_to, position + 1);
    w->report->corrupt_places++;
    w->report->corrupt_records += records;
    tell(w->report, "segment %" PRIu64 ": %s at byte %" PRIu64 "; %" PRIu64 " records lost",
         w->segment->head.number, what, offset, records);
}

/* --- the walk --- */

enum mg_err walk_open(struct walk *w, struct segment_set *set, struct segment *segment,
                      struct scan_report *report, struct mg_why *why)
{
    char *path = file_path(set->dir, segment->head.number, FILE_LOG);
    int fd = set->io->open(set->io->ctx, path, O_RDONLY, 0);
    enum mg_err err = MG_OK;
    if (fd < 0)
        err = mg_fail_os(why, errno, "%s: cannot open", path);
    mem_free(path);
    *w = (struct walk){.set = set,
                       .segment = segment,
                       .report = report,
                       .why = why,
                       .fd = fd,
                       .nonce = segment->head.nonce,
                       .has_nonce = segment->has_head,
                       .expected = MG_MAX(segment->head.first_position, (uint64_t)1),
                       .offset = FORMAT_PAGE,
                       .hash = hash64_new()};
    w->limit = segment->end ? segment->end : segment->bytes;
    w->ceiling = segment->end ? segment->next_position : UINT64_MAX;
    return err;
}

void walk_close(struct walk *w)
{
    if (w->fd >= 0)
        w->set->io->close(w->set->io->ctx, w->fd);
    hash64_free(&w->hash);
    mem_free(w->window);
}

/* Bytes of the file, valid until the next call. The caller has seen that offset + bytes ≤ limit. */
static enum mg_err walk_bytes(struct walk *w, uint64_t offset, size_t bytes, const uint8_t **out)
{
    bool is_inside = offset >= w->window_at && offset - w->window_at <= w->window_len &&
                     bytes <= w->window_len - (size_t)(offset - w->window_at);
    if (!is_inside) {
        uint64_t left = w->limit - offset;
        size_t len = MG_MAX(bytes, (size_t)MG_MIN(left, window_bytes));
        if (len > w->window_room) {
            mem_free(w->window);
            w->window = mem_alloc(len);
            w->window_room = len;
        }
        w->window_len = 0;
        if (journal_io_read(w->set->io, w->fd, w->window, len, offset) != MG_OK)
            return mg_fail_os(w->why, errno, "%s: cannot read segment %" PRIu64, w->set->dir,
                              w->segment->head.number);
        w->window_at = offset;
        w->window_len = len;
    }
    *out = w->window + (offset - w->window_at);
    return MG_OK;
}

/* Is there a group at the offset that can belong here? */
static enum mg_err group_at(struct walk *w, uint64_t offset, struct group_head *g, bool *is_group)
{
    const uint8_t *bytes;
    *is_group = false;
    if (offset > w->limit || w->limit - offset < FORMAT_GROUP_HEAD)
        return MG_OK;
    MG_TRY(walk_bytes(w, offset, FORMAT_GROUP_HEAD, &bytes));
    *is_group = group_head_read(bytes, w->segment->head.number, g) &&
                (!w->has_nonce || g->nonce == w->nonce) && g->first_position >= w->expected &&
                g->first_position + g->count <= w->ceiling && g->bytes <= w->limit - offset;
    return MG_OK;
}

/* The first group at or after the offset; *is_group false: there is none. */
static enum mg_err group_search(struct walk *w, uint64_t *offset, struct group_head *g,
                                bool *is_group)
{
    for (*is_group = false; *offset < w->limit; *offset += FORMAT_PAGE) {
        MG_TRY(group_at(w, *offset, g, is_group));
        if (*is_group)
            break;
    }
    return MG_OK;
}

static uint64_t group_after(uint64_t offset, const struct group_head *g)
{
    return offset + format_align(g->bytes, FORMAT_PAGE);
}

static void group_accept(struct walk *w, const struct group_head *g)
{
    w->nonce = g->nonce;
    w->has_nonce = true;
    w->expected = g->first_position + g->count;
    w->segment->last_log_ns = MG_MAX(w->segment->last_log_ns, g->log_ns);
}

enum record_state { RECORD_WHOLE, RECORD_BAD_BODY, RECORD_BAD_HEAD };

/* Reads the record at `offset` in a group that ends at `end`. A bad head tells no length, so the
 * rest of the group cannot be found. */
static enum mg_err record_at(struct walk *w, uint64_t offset, uint64_t end, uint64_t position,
                             struct journal_record *record, enum record_state *state)
{
    const uint8_t *bytes;
    *state = RECORD_BAD_HEAD;
    if (end - offset < FORMAT_RECORD_HEAD)
        return MG_OK;
    MG_TRY(walk_bytes(w, offset, FORMAT_RECORD_HEAD, &bytes));
    if (!record_head_read(bytes, w->segment->head.number, record) || record->position != position ||
        record_bytes(record) > end - offset)
        return MG_OK;
    MG_TRY(walk_bytes(w, offset, (size_t)record_bytes(record), &bytes));
    record->head.ptr = (const char *)bytes + FORMAT_RECORD_HEAD;
    record->body.ptr = record->head.ptr + record->head.len;
    *state = record_is_whole(bytes, record, w->segment->head.number, w->hash) ? RECORD_WHOLE
                                                                              : RECORD_BAD_BODY;
    return MG_OK;
}

/* --- finding the end --- */

static enum mg_err group_is_whole(struct walk *w, uint64_t offset, const struct group_head *g,
                                  bool *is_whole)
{
    uint64_t at = offset + FORMAT_GROUP_HEAD;
    *is_whole = false;
    for (uint32_t i = 0; i < g->count; i++) {
        struct journal_record record;
        enum record_state state;
        MG_TRY(record_at(w, at, offset + g->bytes, g->first_position + i, &record, &state));
        if (state != RECORD_WHOLE)
            return MG_OK;
        at += record_bytes(&record);
    }
    *is_whole = true;
    return MG_OK;
}

static enum mg_err end_find_in(struct walk *w)
{
    struct segment *s = w->segment;
    struct group_head g;
    uint64_t offset = FORMAT_PAGE, last = 0, last_log_ns = s->last_log_ns;
    uint64_t next_position = w->expected;
    bool is_group, is_whole = true;

    s->end = FORMAT_PAGE;
    for (;;) {
        MG_TRY(group_search(w, &offset, &g, &is_group));
        if (!is_group)
            break;
        last = offset;
        next_position = w->expected;
        last_log_ns = s->last_log_ns;
        group_accept(w, &g);
        offset = s->end = group_after(offset, &g);
    }
    if (last) {
        w->expected = next_position;
        MG_TRY(group_at(w, last, &g, &is_group));
        MG_TRY(group_is_whole(w, last, &g, &is_whole));
    }
    if (last && is_whole) {
        next_position = g.first_position + g.count;
    } else if (last) {
        tell(w->report,
             "segment %" PRIu64 ": torn tail cut at byte %" PRIu64
             " (a group that was never acknowledged)",
             s->head.number, last);
        s->end = last;
        s->last_log_ns = last_log_ns;
    }
    s->next_position = next_position;
    return MG_OK;
}

static enum mg_err end_find(struct segment_set *set, struct segment *segment,
                            struct scan_report *report, struct mg_why *why)
{
    struct walk w;
    segment->end = 0;
    enum mg_err err = walk_open(&w, set, segment, report, why);
    if (err == MG_OK)
        err = end_find_in(&w);
    walk_close(&w);
    return err;
}

/* --- what the directory holds --- */

struct found {
    struct segment segment;
    enum segment_state state;
};
struct listing {
    struct segment_set *set;
    VEC(struct found) logs;
    VEC(uint64_t) spares;
};

static void on_name(void *owner, const char *name)
{
    struct listing *listing = owner;
    uint64_t number = 0;
    enum file_kind kind = file_name_parse(name, &number);
    if (kind == FILE_LOG)
        VEC_ADD(&listing->logs)->segment.head.number = number;
    else if (kind == FILE_SPARE)
        VEC_PUSH(&listing->spares, number);
    if (kind != FILE_OTHER)
        listing->set->next_number = MG_MAX(listing->set->next_number, number + 1);
}

static int by_number(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return (x->segment.head.number > y->segment.head.number) -
           (x->segment.head.number < y->segment.head.number);
}

static enum mg_err file_inspect(struct segment_set *set, struct found *found, enum file_kind kind,
                                struct mg_why *why)
{
    struct segment *s = &found->segment;
    uint8_t bytes[FORMAT_SEGMENT_HEAD];
    char *path = file_path(set->dir, s->head.number, kind);
    int fd = set->io->open(set->io->ctx, path, O_RDONLY, 0);
    enum mg_err err = MG_OK;
    if (fd < 0 || set->io->size(set->io->ctx, fd, &s->bytes, &s->disk_bytes) < 0 ||
        journal_io_read(set->io, fd, bytes, sizeof bytes, 0) != MG_OK)
        err = mg_fail_os(why, errno, "%s: cannot read", path);
    if (fd >= 0)
        set->io->close(set->io->ctx, fd);
    if (err == MG_OK)
        found->state = segment_head_read(bytes, s->head.number, &s->head);
    if (err == MG_OK && kind == FILE_LOG && found->state == SEGMENT_FOREIGN)
        err = mg_fail(why, MG_E_FORMAT, "%s: a version of the journal that is not read here", path);
    mem_free(path);
    s->has_head = found->state == SEGMENT_BEGUN;
    s->last_log_ns = s->head.log_ns;
    return err;
}

static void spare_add(struct segment_set *set, const struct segment *segment, bool is_log,
                      bool is_held)
{
    struct segment_spare spare = {.number = segment->head.number,
                                  .is_log = is_log,
                                  .is_held = is_held,
                                  .bytes = segment->bytes,
                                  .disk_bytes = segment->disk_bytes};
    VEC_PUSH(&set->spares, spare);
}

/* Does the newer header's word about this segment's end fit the file? */
static bool end_is_plausible(const struct segment *s, const struct segment_head *newer)
{
    return newer->prev_end >= FORMAT_PAGE && newer->prev_end % FORMAT_PAGE == 0 &&
           newer->prev_end <= s->bytes && newer->prev_next_position >= s->head.first_position &&
           newer->prev_next_position > 0;
}

/* Sorts one file into the segments or the spares. *newer: the nearest valid header after it, if
 * any. */
static enum mg_err file_place(struct segment_set *set, struct found *found,
                              const struct segment_head **newer, struct scan_report *report,
                              struct mg_why *why)
{
    struct segment *s = &found->segment;
    uint64_t number = s->head.number;

    if (found->state == SEGMENT_UNUSED || (*newer && number > (*newer)->prev_number)) {
        spare_add(set, s, true, false);
        return MG_OK;
    }
    if (*newer && number == (*newer)->prev_number && end_is_plausible(s, *newer)) {
        s->end = (*newer)->prev_end;
        s->next_position = (*newer)->prev_next_position;
    } else {
        MG_TRY(end_find(set, s, report, why));
    }
    if (found->state == SEGMENT_BLANK && s->end <= FORMAT_PAGE) { /* else its header was overwritten */
        spare_add(set, s, true, false);
        return MG_OK;
    }
    *newer = s->has_head ? &s->head : NULL;
    if (s->end > FORMAT_PAGE) {
        VEC_PUSH(&set->segments, *s);
    } else {
        spare_add(set, s, true, true);
        set->told_position = MG_MAX(set->told_position, s->head.prev_next_position);
    }
    set->next_position = MG_MAX(set->next_position, s->next_position);
    set->next_position = MG_MAX(set->next_position, s->head.first_position);
    return MG_OK;
}

/* Newest first, because every header speaks about the segment before it. */
static enum mg_err files_place(struct segment_set *set, struct listing *listing,
                               struct scan_report *report, struct mg_why *why)
{
    const struct segment_head *newer = NULL;
    for (size_t i = listing->logs.n; i-- > 0;)
        MG_TRY(file_place(set, &listing->logs.at[i], &newer, report, why));
    for (size_t i = 0, n = set->segments.n; i < n / 2; i++) {
        struct segment swap = set->segments.at[i];
        set->segments.at[i] = set->segments.at[n - 1 - i];
        set->segments.at[n - 1 - i] = swap;
    }
    return MG_OK;
}

static enum mg_err listing_inspect(struct segment_set *set, struct listing *listing,
                                   uint64_t *log_ns, struct scan_report *report, struct mg_why *why)
{
    if (set->io->list(set->io->ctx, set->dir, on_name, listing) < 0)
        return mg_fail_os(why, errno, "%s: cannot list", set->dir);
    for (size_t i = 0; i < listing->logs.n; i++)
        MG_TRY(file_inspect(set, &listing->logs.at[i], FILE_LOG, why));
    for (size_t i = 0; i < listing->spares.n; i++) {
        struct found found = {.segment.head.number = listing->spares.at[i]};
        MG_TRY(file_inspect(set, &found, FILE_SPARE, why));
        found.segment.head.number = listing->spares.at[i];
        spare_add(set, &found.segment, false, false);
    }
    if (listing->logs.n > 0)
        qsort(listing->logs.at, listing->logs.n, sizeof *listing->logs.at, by_number);
    MG_TRY(files_place(set, listing, report, why));
    for (size_t i = 0; i < listing->logs.n; i++)
        *log_ns = MG_MAX(*log_ns, listing->logs.at[i].segment.last_log_ns);
    return MG_OK;
}

enum mg_err scan_open(struct segment_set *set, uint64_t *log_ns, struct scan_report *report,
                      struct mg_why *why)
{
    struct listing listing = {.set = set};
    enum mg_err err = listing_inspect(set, &listing, log_ns, report, why);
    VEC_FINI(&listing.logs);
    VEC_FINI(&listing.spares);
    return err;
}

/* --- reading the records --- */

/* Finds the next group from *offset; counts what had to be skipped. *is_group false: the end. */
static enum mg_err group_next(struct walk *w, uint64_t *offset, struct group_head *g,
                              bool *is_group)
{
    uint64_t expected_at = *offset;
    bool knows_expected = w->segment->has_head || expected_at > FORMAT_PAGE;

    MG_TRY(group_search(w, offset, g, is_group));
    if (!*is_group)
        damaged(w, expected_at, w->expected, 0,
                "damaged groups up to the end of the segment"); /* counted by the next header */
    else if (*offset > expected_at || (knows_expected && g->first_position > w->expected))
        damaged(w, expected_at, MG_MAX(g->first_position - 1, w->expected),
                g->first_position - w->expected, "damaged group");
    return MG_OK;
}

/* Enters the next group that is not wholly at or below `after`, or passes one that is. */
static enum mg_err group_enter(struct walk *w, uint64_t after, bool *is_group)
{
    struct group_head g;
    uint64_t offset = w->offset;

    *is_group = false;
    if (offset >= w->limit)
        return MG_OK;
    MG_TRY(group_next(w, &offset, &g, is_group));
    if (!*is_group) {
        w->offset = w->limit;
        return MG_OK;
    }
    w->offset = group_after(offset, &g);
    w->record_at = offset + FORMAT_GROUP_HEAD;
    w->group_end = offset + g.bytes;
    w->records_left = g.first_position + g.count - 1 > after ? g.count : 0;
    group_accept(w, &g);
    return MG_OK;
}

enum mg_err walk_next(struct walk *w, uint64_t after, struct journal_record *record,
                      bool *is_record)
{
    bool is_group = true;
    *is_record = false;
    while (!*is_record) {
        while (w->records_left == 0 && is_group)
            MG_TRY(group_enter(w, after, &is_group));
        if (!is_group)
            return MG_OK;

        uint64_t position = w->expected - w->records_left;
        enum record_state state;
        MG_TRY(record_at(w, w->record_at, w->group_end, position, record, &state));
        if (state == RECORD_BAD_HEAD) {
            damaged(w, w->record_at, w->expected - 1, w->records_left, "damaged record header");
            w->records_left = 0;
            continue;
        }
        if (state == RECORD_BAD_BODY)
            damaged(w, w->record_at, position, 1, "damaged record");
        else
            w->report->records++;
        w->record_at += record_bytes(record);
        w->records_left--;
        *is_record = state == RECORD_WHOLE && position > after;
    }
    return MG_OK;
}

void walk_begin(struct walk *w, uint64_t reached)
{
    const struct segment_head *head = &w->segment->head;
    /* Records that the header of this segment says were written before it, and that were not met. */
    if (w->segment->has_head && reached && reached < head->prev_next_position)
        damaged(w, 0, head->prev_next_position - 1, head->prev_next_position - reached,
                "records missing before the segment");
    w->expected = MG_MAX(w->expected, reached);
    if (!w->segment->has_head)
        damaged(w, 0, w->expected, 0, "damaged segment header");
}

struct reading {
    uint64_t after;
    journal_replay_fn *on_record; /* NULL: only verifies */
    void *owner;
};

static enum mg_err walk_all(struct walk *w, const struct reading *r)
{
    struct journal_record record;
    bool is_record;
    for (;;) {
        MG_TRY(walk_next(w, r->after, &record, &is_record));
        if (!is_record)
            return MG_OK;
        if (r->on_record)
            MG_TRY(r->on_record(r->owner, &record));
    }
}

static enum mg_err segment_read(struct segment_set *set, struct segment *segment, uint64_t *reached,
                                const struct reading *r, struct scan_report *report,
                                struct mg_why *why)
{
    struct walk w;
    enum mg_err err = walk_open(&w, set, segment, report, why);
    if (err == MG_OK) {
        walk_begin(&w, *reached);
        err = walk_all(&w, r);
        *reached = w.expected;
    }
    walk_close(&w);
    return err;
}

enum mg_err scan_records(struct segment_set *set, uint64_t after, journal_replay_fn *on_record,
                         void *owner, struct scan_report *report, struct mg_why *why)
{
    struct reading reading = {after, on_record, owner};
    uint64_t reached = 0; /* 0: unknown */
    for (size_t i = 0; i < set->segments.n; i++) {
        struct segment *s = &set->segments.at[i];
        if (s->next_position - 1 <= after)
            reached = MG_MAX(reached, s->next_position);
        else
            MG_TRY(segment_read(set, s, &reached, &reading, report, why));
    }
    return MG_OK;
}
