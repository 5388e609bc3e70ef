/* How it works: the reader walks copies of the writer's segments, each up to the end that was durable
 * when the call was made; within that end the file never changes again, until the segment is trimmed.
 *
 * A trimmed segment may be overwritten while it is open here. What is then read carries another
 * number, so that no checksum fits, and looks like damage. Therefore damage, and a read that fails,
 * count only when the segment is still in the log *after* they were met; if it is not, the reader goes
 * on behind it. A descriptor or a lock that kept a segment from being recycled is not needed. */
#include "journal/read.h"

enum outcome { OUTCOME_END, OUTCOME_RECORD, OUTCOME_GO_ON };

void reader_init(struct reader *reader, struct segment_set *set)
{
    *reader = (struct reader){.set = set};
}

static void reader_leave(struct reader *reader, uint64_t reached)
{
    if (reader->is_open)
        walk_close(&reader->walk);
    reader->is_open = false;
    reader->reached = reached;
}

void reader_fini(struct reader *reader)
{
    reader_leave(reader, 0);
}

static bool is_gone(const struct reader *reader)
{
    struct segment s = reader->segment;
    bool is_last;
    return !segment_refresh(reader->set, &s, &is_last);
}

/* Opens the next segment that holds positions > after. */
static enum mg_err reader_enter(struct reader *reader, enum outcome *outcome, struct mg_why *why)
{
    struct segment *s = &reader->segment, left = *s;
    *outcome = OUTCOME_END;
    if (!segment_after(reader->set, left.head.number, reader->after, s))
        return MG_OK;
    *outcome = OUTCOME_GO_ON;
    enum mg_err err = walk_open(&reader->walk, reader->set, s, &reader->report, why);
    if (err != MG_OK) {
        bool was_trimmed = is_gone(reader);
        walk_close(&reader->walk);
        *s = left; /* the same segment is tried again, if it is still there */
        return was_trimmed ? MG_OK : err;
    }
    reader->is_open = true;
    /* Segments between the two were trimmed: nothing is missing. */
    walk_begin(&reader->walk, s->head.prev_number == left.head.number ? reader->reached : 0);
    return MG_OK;
}

/* The next record of the open segment. At its end it is left, unless it is the last: then its end
 * may move. */
static enum mg_err reader_walk(struct reader *reader, struct journal_record *record,
                               enum outcome *outcome, struct mg_why *why)
{
    struct walk *w = &reader->walk;
    struct segment *s = &reader->segment;
    bool is_last, is_record;

    *outcome = OUTCOME_GO_ON;
    if (!segment_refresh(reader->set, s, &is_last)) {
        reader_leave(reader, 0);
        return MG_OK;
    }
    if (s->next_position - 1 <= reader->after && !is_last) {
        reader_leave(reader, MG_MAX(w->expected, s->next_position));
        return MG_OK;
    }
    w->limit = s->end;
    w->ceiling = s->next_position;
    w->why = why;
    MG_TRY(walk_next(w, reader->after, record, &is_record));
    if (is_record)
        *outcome = OUTCOME_RECORD;
    else if (is_last)
        *outcome = OUTCOME_END;
    else
        reader_leave(reader, w->expected);
    return MG_OK;
}

enum mg_err reader_next(struct reader *reader, uint64_t after, struct journal_record *record,
                        bool *is_record, struct mg_why *why)
{
    enum outcome outcome;
    if (after < reader->after) { /* going back begins anew */
        reader_leave(reader, 0);
        reader->segment.head.number = 0;
    }
    reader->after = after;
    for (;;) {
        struct scan_report before = reader->report;
        bool was_open = reader->is_open;
        enum mg_err err = was_open ? reader_walk(reader, record, &outcome, why)
                                   : reader_enter(reader, &outcome, why);
        bool is_suspect = (err != MG_OK && was_open) || reader->report.corrupt_places > before.corrupt_places;
        if (is_suspect && is_gone(reader)) {
            reader->report = before;
            reader_leave(reader, 0);
            continue;
        }
        if (err != MG_OK)
            return err;
        if (outcome == OUTCOME_GO_ON)
            continue;
        *is_record = outcome == OUTCOME_RECORD;
        if (*is_record)
            reader->after = record->position;
        return MG_OK;
    }
}
